"""Texts changed at random: in their bytes, their lines and their structure."""

from __future__ import annotations

import copy
import random
import re
from typing import Any

import yaml

SIGNS = (
    *"{}[]:,-#&*!|>%@`\"'?\\\n\t ~<=",
    "\r\n",
    "\x00",
    "\x85",
    "\u2028",
    "\ufeff",
    "\ud7ff",
    "é",
    "🙂",
    "\x1b[2J",
)
WORDS = (
    "null",
    "true",
    "no",
    "0",
    "-1",
    "1e999",
    "-0.0",
    ".nan",
    ".inf",
    "0x10",
    "1_000",
    "1e-3",
    "9" * 400,
    "''",
    "[]",
    "{}",
    "[[[[]]]]",
    "{name: {}}",
    "{name: mlp, name: rnn}",
    "&a [*a]",
    "*a",
    "<<: {}",
    "!!python/name:os.system",
    "|",
    "? x",
    "- x",
    "---",
    "...",
    "%YAML 1.1",
    "name",
    "extend: [x.py]",
    "base: run.yaml",
    "$(id)",
    "../../etc/passwd",
    "/dev/zero",
    "1:30",
    "2026-01-01",
    "fresh",
    "same",
    "[1, 2, 3]",
    "{train: 1}",
    "1.5",
    "1e30",
    "4294967296",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**63,
    10**30,
    0.5,
    -0.5,
    1e-300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "mlp",
    "adam",
    [],
    [1],
    [[1]],
    [0, "x", None],
    {},
    {"name": "x"},
    {"name": "mse"},
    {"x": 1},
    "same",
    "full",
    "auto",
    [5, 5, 5],
)


def mutated(text: str, others: list[str], chance: random.Random) -> bytes:
    """One of the ways to spoil a text; most results are near what was meant."""
    kind = chance.randrange(6)
    if kind == 0:
        return _bytes(text.encode(), chance)
    if kind == 1:
        return _lines(text, others, chance).encode()
    if kind in (2, 3):
        return _words(text, chance).encode(errors="surrogatepass")
    return _structure(text, others, chance).encode()


def _bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        start = chance.randrange(len(changed) + 1)
        stop = min(len(changed), start + chance.choice([0, 1, 1, 3, 20]))
        changed[start:stop] = chance.choice(
            [b"", bytes([chance.randrange(256)]), bytes(changed[start:stop]) * 3]
        )
    return bytes(changed)


def _lines(text: str, others: list[str], chance: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(lines))
        other = chance.choice(others).split("\n")
        action = chance.randrange(4)
        if action == 0:
            lines[place : place + 1] = []
        elif action == 1:
            lines.insert(place, chance.choice(other))
        elif action == 2:
            lines[place] = " " * chance.randrange(5) + lines[place].strip()
        else:
            lines.insert(place, lines[place])
        lines = lines or [""]
    return "\n".join(lines)


def _words(text: str, chance: random.Random) -> str:
    words = re.split(r"(\W)", text)
    for _ in range(chance.randint(1, 3)):
        words[chance.randrange(len(words))] = chance.choice(chance.choice([SIGNS, WORDS]))
    return "".join(words)


def _structure(text: str, others: list[str], chance: random.Random) -> str:
    """Values moved, replaced, removed and added where a config has them, written as YAML again."""
    tree, other = yaml.safe_load(text), yaml.safe_load(chance.choice(others))
    for _ in range(chance.randint(1, 3)):
        owner, key = chance.choice(_places(tree))
        _, _, found = chance.choice([(None, None, value) for value in VALUES] + _values(other))
        given = copy.deepcopy(found)  # shared between places it could come to hold itself
        if isinstance(owner, dict) and chance.random() < 0.15:
            del owner[key]
        elif isinstance(owner, dict) and chance.random() < 0.15:
            owner[chance.choice(["x", "name", "epochs", "lr", "split", "layers", "init"])] = given
        else:
            owner[key] = given
        if not _places(tree):
            break
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def _values(tree: Any) -> list[tuple[Any, Any, Any]]:
    return [(owner, key, owner[key]) for owner, key in _places(tree)]


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Where values stand: a mapping or list, and a key or index of it."""
    found: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        here = pending.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            pending.append(here[key])
    return found
