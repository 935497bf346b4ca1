"""Trained runs whose names try to get into the markup of a page, and what a page is made of."""

from __future__ import annotations

import csv
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOSTILE = {
    "script": "<script>canary()</script>",
    "end": "</script></style></title><img src=x onerror=canary()>",
    "quotes": "\" onmouseover=canary() x='`",
    "cdata": "]]><svg onload=canary()>",
    "comment": "--><!-- canary",
    "entity": "&lt;canary&gt;&#60;b&#62;",
    "direction": "\u202ecanary\u2066\u200f",
    "css": "}body{background:url(https://example.org/canary)}",
    "url": "javascript:canary()//https://example.org",
    "template": "${canary()}{{canary}}`",
    "long": "canary" * 500,
}
"""names that would do something if any of them reached markup"""


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(content.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="session")
def parsed() -> Callable[[bytes], Page]:
    return Page


@pytest.fixture(scope="session")
def hostile() -> dict[str, str]:
    return HOSTILE


@pytest.fixture(scope="session")
def hostile_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose columns, classes and categories have hostile names, in a folder with one too."""
    folder = tmp_path_factory.mktemp("tables") / "<b>canary'\"&"
    folder.mkdir()
    draw, names = np.random.default_rng(0), list(HOSTILE.values())
    with (folder / "t.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*names[:5], "y" + names[0]])
        for row in draw.normal(size=(80, 4)):
            category = names[5 + int(draw.integers(3))]
            table.writerow([*row, category, names[8 + int(row[0] > 0) + int(row[1] > 1)]])
    return folder / "t.csv"


@pytest.fixture(scope="session")
def runs(hostile_table: Path) -> dict[str, mlprun.Run]:
    """One run of every kind that reports treat differently."""
    out = str(hostile_table.parent)
    train: dict[str, Any] = {"epochs": 12}
    table = {"name": "table", "path": str(hostile_table)}
    moons = {"name": "moons", "noise": 0.2, "split": {"train": 60, "dev": 20, "test": 20}}
    configs = {
        "classes": {"dataset": {**table, "target": "y" + HOSTILE["script"]}},
        "numbers": {"dataset": {**table, "target": HOSTILE["quotes"]}, "metrics": ["r2"]},
        "moons": {"dataset": moons, "metrics": ["accuracy"], "architecture": {"hidden": [4]}},
    }
    return {
        name: mlprun.train({"name": name, "training": train, **one}, out=out) for name, one in configs.items()
    }
