"""What a plain scalar means in YAML 1.2's core schema (`on` is a string, `012` is 12, `1e-3` a number)."""

from __future__ import annotations

import re
from typing import Final

_FIXED: Final[dict[str, bool | float | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o(?P<octal>[0-7]+)|0x(?P<hexadecimal>[0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MOST_DIGITS: Final = 400  # Python refuses to read integers of more than 4300


class TooManyDigitsError(ValueError):
    """A number with more digits than any number of a config can need."""

    def __init__(self) -> None:
        super().__init__("has too many digits; write a smaller number")


def resolve(plain: str) -> bool | int | float | str | None:
    """The value of a plain scalar; raises TooManyDigitsError."""
    if plain in _FIXED:
        return _FIXED[plain]
    if plain[0] not in "-+.0123456789" or not _is_number(plain):
        return plain
    if len(plain) > _MOST_DIGITS:
        raise TooManyDigitsError
    if _DECIMAL.fullmatch(plain):
        return whole(int(plain))
    based = _BASED.fullmatch(plain)
    if based:
        return whole(int(based["octal"], 8) if based["octal"] else int(based["hexadecimal"], 16))
    return float(plain)


def is_text(plain: str) -> bool:
    """Whether a plain scalar is read as the string that it is."""
    try:
        return isinstance(resolve(plain), str)
    except TooManyDigitsError:
        return False


def whole(number: int) -> int | float:
    """The number, as a float where it needs more than 64 bits; raises TooManyDigitsError."""
    if -(2**63) <= number < 2**63:
        return number
    try:
        return float(number)
    except OverflowError as error:
        raise TooManyDigitsError from error


def _is_number(plain: str) -> bool:
    return bool(_FLOAT.fullmatch(plain) or _BASED.fullmatch(plain))
