"""Figures as people read them: a row for each split and figure, a column for each network and baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlprun.cli.terminal import Table
from mlprun.parts import SPLITS

if TYPE_CHECKING:
    from mlprun.parts.architectures.network import LayerSummary as Layer

ORDER = (*SPLITS, "data")
OF_POSITIVE = frozenset(("precision", "recall", "f1", "average_precision"))
"""metrics of one class, where there are two"""
Figures = Mapping[str, Mapping[str, Any]]


def metrics_table(columns: Mapping[str, Figures], title: str = "", positive: str | None = None) -> Table:
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


def confusion_tables(figures: Mapping[str, Any], classes: tuple[str, ...] | None, split: str) -> list[Table]:
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


def final_table(figures: Mapping[str, Any]) -> Table:
    """The figures a run ended with: its best and its last epoch, and the baselines."""
    ends = {name: figures[name] for name in ("best", "last") if figures.get(name)}
    constant_first = sorted(figures["baselines"].items(), key=lambda item: "regression" in item[0])
    columns = {name: end["splits"] for name, end in ends.items()} | dict(constant_first)
    # in the title, since headings that name epochs are wider than their numbers
    title = ", ".join(f"{name} epoch: {end['epoch']}" for name, end in ends.items())
    return metrics_table(columns, title, positive=figures.get("positive"))


def selected(figures: Mapping[str, Any]) -> tuple[str, Figures]:
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


def layers_table(layers: Sequence[Layer]) -> tuple[list[dict[str, Any]], Table]:
    """The network's layers as JSON and as a table, with the number of parameters in its title."""
    total = sum(layer.parameters for layer in layers)
    described = [layer._asdict() for layer in layers]
    cells = [(one.name, one.kind, "×".join(map(str, one.shape)), one.parameters) for one in layers]
    return described, Table(("layer", "kind", "output", "parameters"), cells, f"network: {total} parameters")
