"""What two runs of one config must have in common."""

from __future__ import annotations

import json
import os

COMPARED = ("history.csv", "best.safetensors", "last.safetensors", "snapshots.safetensors")


def read(*path: str) -> bytes:
    """A file's bytes."""
    with open(os.path.join(*path), "rb") as file:
        return file.read()


def compare(expected: str, found: str) -> None:
    """Demand equal bytes, equal figures and no leftovers. Raises AssertionError."""
    for name in COMPARED:
        assert read(expected, name) == read(found, name), f"{name} differs"
    figures, ended = (json.loads(read(path, "status.json")) for path in (expected, found))
    for key in ("state", "epochs", "figures", "reason"):
        assert figures[key] == ended[key], f"{key} of the status differs"
    assert sorted(os.listdir(expected)) == sorted(os.listdir(found)), f"{sorted(os.listdir(found))} is left"


def state(path: str) -> str:
    """What status.json says, without asking whether the run is alive."""
    return str(json.loads(read(path, "status.json"))["state"])
