"""JSON in one spelling: sorted keys, shortest digits, ASCII.

NaN and infinities, which JSON lacks, are written as `{"$float": "nan"}`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_FLOAT = "$float"
_MAX_DIGITS = 300
"""an integer of more need not fit a float, and none is ever written"""
_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encode(value: object, *, indent: int | None = None) -> str:
    """Return the text of mappings with string keys, sequences, strings, numbers, booleans and None.

    Tuples become lists. Raises TypeError for anything else: a mistake of the caller, not of a user.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(_plain(value), sort_keys=True, separators=separators, indent=indent, allow_nan=False)


def digest(value: object) -> str:
    """Return the SHA-256 of a value's text, in hexadecimal digits; equal values have equal digests."""
    return hashlib.sha256(encode(value).encode()).hexdigest()


def decode(text: str | bytes) -> Any:
    """Return the value of a text that `encode` wrote; raises ValueError for any other or one too deep."""
    try:
        return json.loads(
            text, object_hook=_decode_special, parse_int=_decode_int, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _plain(value: object) -> object:
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else {_FLOAT: repr(number)}
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.floating | np.integer | np.bool_):  # last: the rest needs no numpy
        return _plain(value.item())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{key!r} cannot be a key")
    return f"${key}" if key.startswith("$") else key  # a column may be called $float


def _decode_special(mapping: dict[str, Any]) -> Any:
    if mapping.keys() != {_FLOAT}:
        return {key.removeprefix("$"): value for key, value in mapping.items()}
    if not isinstance(mapping[_FLOAT], str) or mapping[_FLOAT] not in _SPECIAL:
        raise ValueError(f"{mapping[_FLOAT]!r} is not a float")
    return _SPECIAL[mapping[_FLOAT]]


def _decode_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
