"""Tables of metrics, of one network beside its baselines or of several runs, and of layers; dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlprun.cli.terminal import Table
from mlprun.parts import SPLITS
from mlprun.storage.runs import selected

if TYPE_CHECKING:
    from mlprun.evaluation import TargetMetrics
    from mlprun.parts.part import LayerSummary as Layer
    from mlprun.storage.runs import Status

ORDER = (*SPLITS, "data")
Metrics = Mapping[str, Mapping[str, Any]]


def comparison_table(columns: Mapping[str, Metrics], title: str) -> Table:
    """Return metrics by column, split and name as a table, without those that are tables themselves."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for column, metrics in columns.items():
        for split, values in metrics.items():
            for name, value in values.items():
                if not isinstance(value, list):
                    cells.setdefault((split, name), {})[column] = value
    # splits in order of use, losses before metrics: JSON does not keep the order
    names = sorted(cells, key=lambda name: (ORDER.index(name[0]), name[1] != "loss"))
    rows = [(*name, *(cells[name].get(column) for column in columns)) for name in names]
    return Table(("split", "metric", *columns), rows, title, is_fixed=True)


def result_table(results: Mapping[str, Metrics], title: str, positive: str | None = None) -> Table:
    """Return the metrics of a network and, below a rule, of its baselines: a row each, a column per split.

    The title names the `positive` class of precision, recall and the like.
    """
    splits = [split for split in ORDER if any(split in metrics for metrics in results.values())]
    rows: list[tuple[str | float | None, ...]] = []
    starts = []
    for label, metrics in results.items():
        starts.append(len(rows))
        columns = [metrics.get(split, {}) for split in splits]
        names = {name for values in columns for name, value in values.items() if not isinstance(value, list)}
        for name in sorted(names, key=lambda name: (name != "loss", name)):
            rows.append(("" if len(rows) > starts[-1] else label, name, *(one.get(name) for one in columns)))
    if positive is not None:
        title = f"{title}; positive class: {positive}"
    rule = starts[1] if len(starts) > 1 else None
    return Table(("", "metric", *splits), rows, title, rule, is_fixed=True)


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


def target_table(metrics: TargetMetrics, split: str) -> Table:
    """Return the metrics of each target, a row each, and below a rule the averages over labels."""
    names = list(next(iter(metrics.targets.values())))
    rows = [(name, *map(one.get, names)) for name, one in metrics.rows]
    rule = len(metrics.targets) if metrics.averages else None
    return Table(("target", *names), rows, f"{split}: each target", rule, is_fixed=True)


def final_table(metrics: Mapping[str, Any]) -> Table:
    """Return the final metrics of a run, of the best epoch (else the last one), with its baselines."""
    one, last = selected(metrics), metrics["last"]["epoch"]
    title = f"best epoch: {one['best']['epoch']} of {last}" if one["best"] else f"last epoch: {last}"
    title = "; ".join([title, *described(metrics[one["of"]].get("decision"))])
    words = ("regression", "boosting", "")
    found = metrics["baselines"].items()
    constant_last = sorted(found, key=lambda item: [word in item[0] for word in words].index(True))
    return result_table({one["of"]: one["splits"]} | dict(constant_last), title, metrics.get("positive"))


def described(decision: Mapping[str, Any] | None) -> list[str]:
    """Return a text for each choice on dev: the temperature and the threshold."""
    values, texts = decision or {}, []
    if "temperature" in values:
        before, after = values["ece"]
        texts.append(f"temperature: {values['temperature']:.4g} (dev ECE {before:.4f} -> {after:.4f})")
    if "threshold" in values:
        texts.append(f"threshold: {values['threshold']:.4g}, chosen on dev")
    return texts


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
