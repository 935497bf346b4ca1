"""Curves over epochs: the loss, the metrics and the learning rate of a run, and those of several compared."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.errors import UsageError
from mlprun.figures import chart, style
from mlprun.figures.chart import Array, Axis, Chart, Line, Mark, Panel, Points, Text
from mlprun.figures.figure import RunFigure, run_figures
from mlprun.figures.style import LineStyle
from mlprun.parts.losses import Loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.rate_range import RangeTest
    from mlprun.figures.run_data import RunData
    from mlprun.schema import Config
    from mlprun.verification.verify import Verification

POINTS = 2000
"""points of a drawn curve, more or less; a long history keeps the extremes of each stretch"""
PANELS = 40
SPARSE = 25
"""points of a curve that have a marker each, at most"""
DECADE, TAIL = 10.0, 0.1
EPOCHS = Axis("epoch", is_integer=True)
RUNS = 12
"""runs that a legend can tell apart, at most; more are refused"""
OVERLAYS = ("loss", "metrics")
"""the figures that can be drawn of several runs together"""
PRECISIONS = ("float32", "float64")


@run_figures.register
class LossCurves(RunFigure):
    """The loss on train and dev over epochs, with the best epoch marked.

    All are means over rows and outputs, without reduction, scale or penalties; the differentiated objective
    is drawn too where penalties make it another number. Losses that are logged beside the trained one are in
    the same figure.
    """

    needs_data = False

    name: Literal["loss"] = "loss"

    def check(self, data: RunData) -> str | None:
        return None if loss_curves(data) else "the history has no loss that is a finite number"

    def compute(self, data: RunData) -> Chart:
        lines, extra = loss_curves(data), _extra_losses(data.config)
        name = "several" if extra else data.config.loss.title or data.config.loss.name
        unit = data.loss_targets and f"losses of {data.loss_targets}"
        loss = Axis(f"loss ({name})", chart.scale_of(*(line.y for line in lines), span=DECADE))
        panel = Panel((*lines, *best_marks(data, "dev_loss", lines)), EPOCHS, loss)
        return Chart(f"Loss: {data.name}", chart.joined(best_text(data), unit), (panel,), height=3.5)


@run_figures.register
class MetricCurves(RunFigure):
    """Every logged metric on train and dev over epochs, with the best epoch marked."""

    needs_data = False

    name: Literal["metrics"] = "metrics"

    def check(self, data: RunData) -> str | None:
        return None if metric_curves(data) else "no metric was logged, or none is a finite number"

    def compute(self, data: RunData) -> Chart:
        curves = metric_curves(data)
        panels = [
            Panel((*lines, *best_marks(data, f"dev_{name}", lines)), EPOCHS, Axis(label_of(name)))
            for name, lines in list(curves.items())[:PANELS]
        ]
        details = chart.joined(best_text(data), not_shown(list(curves)[PANELS:]))
        return chart.grid_of(f"Metrics: {data.name}", details, panels, alone=3.5)


@run_figures.register
class LearningRate(RunFigure):
    """The learning rate over epochs, where a schedule changes it."""

    needs_data = False
    is_default = False

    name: Literal["learning_rate"] = "learning_rate"

    def check(self, data: RunData) -> str | None:
        rates = data.history.get("lr", np.empty(0))
        known = rates[np.isfinite(rates)]
        return None if len(known) and known.min() < known.max() else "the learning rate never changes"

    def compute(self, data: RunData) -> Chart:
        line = curve("", data.history, "lr", LineStyle(style.BLUE))
        assert line is not None
        # a schedule that ends at nearly 0 spans many decades in its last epochs alone
        most = np.quantile(line.y, [TAIL, 1 - TAIL])
        rate = Axis("learning rate", chart.scale_of(most, span=DECADE**2))
        details = (f"schedule {data.config.schedule.name}",)
        return Chart(f"Learning rate: {data.name}", details, (Panel((line,), EPOCHS, rate),), height=2.8)


def best_text(data: RunData) -> str:
    """How the best epoch was chosen."""
    return f"best epoch by {label_of(data.config.best.metric)}" if data.best is not None else "no dev rows"


def best_marks(data: RunData, column: str, lines: Sequence[Line]) -> tuple[Mark, ...]:
    """A line at the best epoch with its number and, where its dev metric is a finite number, a ring.

    The number stands at the end of the line that the curves are farther from.

    An epoch may be evaluated without being logged; the ring then lies beside the drawn curve.
    """
    epochs = data.history.get("epoch", ())
    if data.best is None or not len(epochs):
        return ()
    value = data.best_metrics.get(column, math.nan)
    at = np.array([float(data.best)])
    label = f"best: {data.best:,}" + ("" if data.best in epochs else " (not logged)")
    ends = [(line.y.min(), line.y.max()) for line in lines]
    is_high = value > (min(low for low, _ in ends) + max(high for _, high in ends)) / 2
    side, edge = (-4.0 if data.best > 0.6 * max(epochs) else 4.0), np.array([-np.inf if is_high else np.inf])
    text = Text(at, edge, (label,), style.GREY, (side, 3.0 if is_high else -3.0))
    marks: tuple[Mark, ...] = (chart.vertical(data.best, width=0.9), text)
    ring = Points(at, np.array([value]), color=style.WHITE, edge=style.SPLITS["dev"].color, size=26)
    return (*marks, ring) if chart.is_drawable(value) else marks


def label_of(column: str) -> str:
    """A column of the history as axes call it: `dev loss`, `R²`."""
    names = {"r2": "R²", "roc_auc": "ROC AUC", "f1": "F1", "rmse": "RMSE", "mae": "MAE"}
    return names.get(column, column.replace("_", " "))


def _extra_losses(config: Config) -> list[str]:
    """The losses that are logged beside the trained one."""
    return list(dict.fromkeys(part.name for part in config.metrics if isinstance(part, Loss)))


def loss_curves(data: RunData) -> list[Line]:
    """The trained loss and the losses among the metrics on train and dev, and the objective."""
    config, extra = data.config, _extra_losses(data.config)
    lines = []
    for index, name in enumerate((config.loss.name, *extra)):
        for split in ("train", "dev"):
            look = style.SPLITS[split]
            if index:
                other = LineStyle.of(1 + index)
                look = LineStyle(other.color, look.dashes, other.marker)
            column = f"{split}_{name if index else 'loss'}"
            lines.append(curve(f"{split} {name}" if extra else split, data.history, column, look))
    # penalties make the differentiated objective another number than the loss, on the same scale
    if config.penalties and config.loss.reduction == "mean" and config.loss.scale == 1.0:
        look = LineStyle(style.GREY, style.DASHES[3])
        lines.append(curve("train, with penalties", data.history, "train_objective", look))
    return [line for line in lines if line is not None]


def metric_curves(data: RunData) -> dict[str, list[Line]]:
    """The curves on train and dev of each logged metric that is no loss."""
    losses = {"loss", "objective", *_extra_losses(data.config)}
    curves = {}
    for name in [column.removeprefix("train_") for column in data.history if column.startswith("train_")]:
        both = (
            curve(split, data.history, f"{split}_{name}", style.SPLITS[split]) for split in ("train", "dev")
        )
        known = [line for line in both if line is not None]
        if known and name not in losses:
            curves[name] = known
    return curves


def curve(label: str, history: Mapping[str, NDArray[Any]], column: str, look: LineStyle) -> Line | None:
    """A column of the history over its epochs; None when nothing of it is known."""
    if column not in history:
        return None
    line = line_of(label, history["epoch"], history[column], look)
    return line if len(line.x) else None


def line_of(label: str, epochs: NDArray[Any], values: NDArray[Any], look: LineStyle) -> Line:
    """A curve over the epochs at which it is a number that an axis can hold, thinned where it is long."""
    known = chart.is_drawable(values)
    x, y = downsample(np.asarray(epochs, np.float64)[known], np.asarray(values, np.float64)[known])
    return Line(x, y, label, *(look if len(x) <= SPARSE else look[:2]))


def downsample(epochs: Array, values: Array) -> tuple[Array, Array]:
    """About POINTS of the points: of each stretch its first, smallest and largest, and the very last."""
    count = len(values)
    if count <= POINTS:
        return epochs, values
    kept = {count - 1}
    for start, stop in pairwise(np.linspace(0, count, POINTS // 3 + 1).astype(np.int64)):
        stretch = values[start:stop]
        kept |= {int(start), int(start + stretch.argmin()), int(start + stretch.argmax())}
    index = np.array(sorted(kept))
    return epochs[index], values[index]


def not_shown(names: Sequence[str]) -> str:
    """What a chart with too many panels says of the others."""
    return f"not shown: {', '.join(map(style.name, names))}" if names else ""


def overlay(runs: Sequence[RunData], kind: str = "loss") -> Chart:
    """The curves of several runs in one chart. Raises UsageError where none has any, or for too many runs."""
    if kind not in OVERLAYS:
        raise UsageError(kind, "is no figure of several runs", f"expected one of {', '.join(OVERLAYS)}")
    if len(runs) > RUNS:
        raise UsageError("runs", f"{len(runs)} curves cannot be told apart", f"name at most {RUNS}")
    curves: dict[str, list[Line]] = {}
    for column in dict.fromkeys(column for run in runs for column in _columns(run, kind)):
        every = (
            curve(label, run.history, column, LineStyle.of(index))
            for index, (label, run) in enumerate(zip(run_labels(runs), runs, strict=True))
        )
        lines = [line for line in every if line is not None]
        if lines:
            curves[column] = lines
    if not curves:
        raise UsageError("runs", f"none has any {kind} to draw", "train them first")
    losses = dict.fromkeys(run.config.loss.name for run in runs)
    differ = f"losses differ: {', '.join(losses)}" if kind == "loss" and len(losses) > 1 else ""
    panels = []
    for column, lines in list(curves.items())[:PANELS]:
        split, _, name = column.partition("_")
        scale = chart.scale_of(*(line.y for line in lines)) if kind == "loss" else "linear"
        panels.append(Panel(tuple(lines), EPOCHS, Axis(label_of(name), scale), split))
    details = (differ, not_shown(list(curves)[PANELS:]))
    return chart.grid_of(f"{kind.capitalize()} of {len(runs)} runs", details, panels, columns=2, height=2.6)


def rate_range_chart(name: str, range_test: RangeTest) -> Chart:
    """The train loss of each seed and their smoothed mean against the learning rate."""
    smoothed = np.exp(range_test.smoothed)
    drawable = np.where(chart.is_drawable(range_test.losses), range_test.losses, np.nan)
    marks: list[Mark] = [Line(range_test.rates, drawable, "one seed", style.GREY, width=0.6, opacity=0.6)]
    marks.append(Line(range_test.rates[: len(smoothed)], smoothed, "smoothed mean", style.BLUE, width=2.0))
    if suggestion := range_test.points["suggestion"]:
        marks.append(chart.vertical(suggestion, label=f"suggestion: {suggestion:g}"))
    # a loss that explodes would flatten the rest
    limits = (None, smoothed[0] * 4) if len(smoothed) else None
    panel = Panel(tuple(marks), Axis("learning rate", "log"), Axis("train loss", "log", limits))
    return Chart(f"Learning-rate range test: {name}", (), (panel,))


def _columns(run: RunData, kind: str) -> list[str]:
    """The columns of the history that are drawn; train and dev of one metric stand side by side."""
    losses = {"loss", *_extra_losses(run.config)}
    columns = [column for column in run.history if column.startswith(("train_", "dev_"))]
    names = [column.partition("_")[2] for column in columns]
    wanted = [
        column
        for name, column in zip(names, columns, strict=True)
        if (name in losses) == (kind == "loss") and name != "objective"
    ]
    return sorted(wanted, key=lambda column: names.index(column.partition("_")[2]))


def run_labels(runs: Sequence[RunData]) -> list[str]:
    """The runs' names; of equal ones from different folders, each with its number."""
    names = [style.name(run.name, 40) for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({k + 1})" for k, name in enumerate(names)]


def agreement(verified: Verification) -> Chart:
    """The loss curves of a verification, and how far each is from the definition in float64."""
    ordered = sorted(verified.trajectories, key=lambda one: one.dtype != "float64")
    losses_of = [(one.label, one.history["train_loss"]) for one in ordered]
    curves = [(label, np.arange(1, len(values) + 1), values) for label, values in losses_of]
    if verified.comparison is not None:
        other = verified.comparison.reference
        curves.append((style.name(other.name, 40), other.epochs, other.losses))
    reference = curves[0][2]
    size = float(np.abs(reference[np.isfinite(reference)]).max(initial=0.0)) or 1.0
    roundings = {dtype: float(np.finfo(dtype).eps) * size for dtype in PRECISIONS}
    lowest = roundings["float64"] / 8
    losses, distances = [], []
    for index, (label, epochs, values) in enumerate(curves):
        look = LineStyle(style.COLORS[index % 8], *LineStyle.of(index)[1:])
        losses.append(line_of(label, epochs, values, look))
        if index:
            common = epochs <= len(reference)
            apart = np.abs(values[common] - reference[epochs[common] - 1])
            distances.append(line_of(label, epochs[common], np.maximum(apart, lowest), look))
    guides = [
        chart.horizontal(size, f"one rounding of {dtype}", width=0.9, dashes=dashes)
        for (dtype, size), dashes in zip(roundings.items(), style.DASHES[2:], strict=False)
    ]
    return Chart(
        f"Agreement of {len(curves)} curves of {verified.name}",
        (f"{verified.steps:,} steps, engines from the same weights; equal losses stand at the lower edge",),
        (
            Panel(tuple(losses), EPOCHS, Axis("train loss", chart.scale_of(*(line.y for line in losses)))),
            Panel((*distances, *guides), EPOCHS, Axis(f"distance from\n{curves[0][0]}", "log")),
        ),
        height=5.2,
        share="x",
    )
