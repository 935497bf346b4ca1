"""Tables of metrics (one row per split and metric, one column per network or baseline) and of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlprun.cli.terminal import Table
from mlprun.parts import SPLITS

if TYPE_CHECKING:
    from mlprun.parts.part import LayerSummary as Layer
    from mlprun.storage.runs import Status

ORDER = (*SPLITS, "data")
Metrics = Mapping[str, Mapping[str, Any]]


def metrics_table(columns: Mapping[str, Metrics], title: str = "", positive: str | None = None) -> Table:
    """Return metrics by column, split and name as a table, without those that are tables themselves.

    The title names the `positive` class of precision, recall and the like.
    """
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for column, metrics in columns.items():
        for split, values in metrics.items():
            for name, value in values.items():
                if not isinstance(value, list):
                    cells.setdefault((split, name), {})[column] = value
    # splits in order of use, losses before metrics: JSON does not keep the order
    names = sorted(cells, key=lambda name: (ORDER.index(name[0]), name[1] != "loss"))
    if positive is not None:
        title = f"{title}{'; ' if title else ''}positive class: {positive}"
    rows = [(*name, *(cells[name].get(column) for column in columns)) for name in names]
    return Table(("split", "metric", *columns), rows, title)


def confusion_tables(metrics: Mapping[str, Any], classes: tuple[str, ...] | None, split: str) -> list[Table]:
    """Return the metrics that are tables: rows are true classes, columns predicted classes."""
    names = classes or ()
    return [
        Table(
            ("true \\ predicted", *names),
            [(name, *row) for name, row in zip(names, value, strict=True)],
            f"{split} {title}",
        )
        for title, value in metrics.items()
        if isinstance(value, list)
    ]


def final_table(metrics: Mapping[str, Any]) -> Table:
    """Return the final metrics of a run: best epoch, last epoch and baselines."""
    ends = {name: metrics[name] for name in ("best", "last") if metrics.get(name)}
    constant_first = sorted(metrics["baselines"].items(), key=lambda item: "regression" in item[0])
    columns = {name: end["splits"] for name, end in ends.items()} | dict(constant_first)
    # in the title, since headings with epochs would be wider than the numbers
    title = ", ".join(f"{name} epoch: {end['epoch']}" for name, end in ends.items())
    return metrics_table(columns, title, positive=metrics.get("positive"))


def selected(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return, as JSON, the best epoch and its metrics; those of the last if none was selected on dev rows."""
    best, of = metrics.get("best"), "best" if metrics.get("best") else "last"
    return {
        "best": {key: best[key] for key in ("epoch", "metric", "value")} if best else None,
        "of": of if metrics else "",
        "splits": metrics[of]["splits"] if metrics else {},
    }


def early_end(status: Status) -> list[str]:
    """Return a line about what ended a run before its last epoch, if it did not run to the end."""
    is_early = status.state == "finished" and status.reason not in ("", "finished")
    return [f"stopped by {status.reason}"] * is_early


def layers_table(layers: Sequence[Layer]) -> tuple[list[dict[str, Any]], Table]:
    """Return the layers as JSON and as a table with the number of parameters in its title."""
    total = sum(layer.parameters for layer in layers)
    described = [layer._asdict() for layer in layers]
    cells = [(one.name, one.kind, "×".join(map(str, one.shape)), one.parameters) for one in layers]
    return described, Table(("layer", "kind", "output", "parameters"), cells, f"network: {total} parameters")
