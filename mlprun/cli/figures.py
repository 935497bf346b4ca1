"""Figures as people read them: a row for each split and figure, a column for each network and baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlprun.cli.terminal import Table
from mlprun.parts import SPLITS

ORDER = (*SPLITS, "data")
OF_POSITIVE = frozenset(("precision", "recall", "f1", "average_precision"))
"""metrics of one class, where there are two"""
Figures = Mapping[str, Mapping[str, Any]]


def table(columns: Mapping[str, Figures], title: str = "", positive: str | None = None) -> Table:
    """Figures by column, split and name as a table; what is no single number is left out.

    The title names the `positive` class where figures are of it.
    """
    names = sorted(dict.fromkeys(_names(columns)), key=_place)
    if positive is not None and OF_POSITIVE & {name for _, name in names}:
        title = f"{title}{'; ' if title else ''}positive class: {positive}"
    rows = [
        (split, name, *(_number(figures, split, name) for figures in columns.values()))
        for split, name in names
    ]
    return Table(("split", "figure", *columns), rows, title)


def confusion(figures: Mapping[str, Any], classes: tuple[str, ...] | None, split: str) -> list[Table]:
    """The figures that are tables themselves: rows are true classes, columns predicted ones."""
    return [
        Table(
            ("true \\ predicted", *(classes or ())),
            [(name, *row) for name, row in zip(classes or (), value, strict=True)],
            f"{split} {title}",
        )
        for title, value in figures.items()
        if isinstance(value, list)
    ]


def closing(figures: Mapping[str, Any]) -> Table:
    """The figures a run ended with: its best and its last epoch, and the baselines."""
    ends = {name: figures[name] for name in ("best", "last") if figures.get(name)}
    constant_first = sorted(figures["baselines"].items(), key=lambda item: "regression" in item[0])
    columns = {name: end["splits"] for name, end in ends.items()} | dict(constant_first)
    # in the title, since headings that name epochs are wider than their numbers
    title = ", ".join(f"{name} epoch: {end['epoch']}" for name, end in ends.items())
    return table(columns, title, positive=figures.get("positive"))


def chosen(figures: Mapping[str, Any]) -> tuple[str, Figures]:
    """What a run's figures are of: its best epoch, or its last where no dev rows chose one."""
    of = "best" if figures.get("best") else "last"
    return of, figures[of]["splits"]


def _names(columns: Mapping[str, Figures]) -> list[tuple[str, str]]:
    return [
        (split, name)
        for figures in columns.values()
        for split, values in figures.items()
        for name, value in values.items()
        if not isinstance(value, list)
    ]


def _place(name: tuple[str, str]) -> tuple[int, bool]:
    """Splits in the order of their use, losses before metrics: JSON has lost their order."""
    return ORDER.index(name[0]), name[1] != "loss"


def _number(figures: Figures, split: str, name: str) -> float | None:
    value = figures.get(split, {}).get(name)
    return None if value is None else float(value)
