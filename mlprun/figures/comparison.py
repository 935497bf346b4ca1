"""Several curves compared: of runs, and of engines that should agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.figures.chart import Axis, Chart, Line, Panel, grid_of, horizontal, scale_of
from mlprun.figures.curves import EPOCHS, PANELS, curve, line_of, not_shown
from mlprun.figures.style import LineStyle
from mlprun.parts.losses import Loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.figures.run_data import RunData
    from mlprun.verification.verify import Verification

RUNS = 12
"""runs that a legend can tell apart, at most; more are refused"""
OVERLAYS = ("loss", "metrics")
"""the figures that can be drawn of several runs together"""
PRECISIONS = ("float32", "float64")


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
        scale = scale_of(*(line.y for line in lines)) if kind == "loss" else "linear"
        panels.append(Panel(tuple(lines), EPOCHS, Axis(name, scale), split))
    details = (differ, not_shown(list(curves)[PANELS:]))
    return grid_of(f"{kind.capitalize()} of {len(runs)} runs", details, panels, columns=2, height=2.6)


def _columns(run: RunData, kind: str) -> list[str]:
    """The columns of the history that are drawn; train and dev of one metric stand side by side."""
    losses = {"loss", *(part.name for part in run.config.metrics if isinstance(part, Loss))}
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
        horizontal(size, f"one rounding of {dtype}", width=0.9, dashes=dashes)
        for (dtype, size), dashes in zip(roundings.items(), style.DASHES[2:], strict=False)
    ]
    return Chart(
        f"Agreement of {len(curves)} curves of {verified.name}",
        (f"{verified.steps:,} steps, engines from the same weights; equal losses stand at the lower edge",),
        (
            Panel(tuple(losses), EPOCHS, Axis("train loss", scale_of(*(line.y for line in losses)))),
            Panel((*distances, *guides), EPOCHS, Axis(f"distance from\n{curves[0][0]}", "log")),
        ),
        height=5.2,
        share="x",
    )
