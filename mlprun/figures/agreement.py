"""The loss curves of engines, and of what a config is held against, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlprun.figures import style
from mlprun.figures.curves import Curve, draw_curves, thinned, wants_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.verification.verify import Verification

COLUMN = "train_loss"
PRECISIONS = ("float32", "float64")


@dataclass(frozen=True)
class Agreement:
    """Curves, the distance of each from the first, and what one rounding is in each precision."""

    title: str
    details: tuple[str, ...]
    curves: tuple[Curve, ...]
    distances: tuple[Curve, ...]
    roundings: dict[str, float]


def compute_agreement(verified: Verification) -> Agreement:
    """The curves of a verification; the definition in float64 is what distances are from."""
    ordered = sorted(verified.trajectories, key=lambda one: one.dtype != "float64")
    found = [(one.label, _epochs(one.history[COLUMN]), one.history[COLUMN]) for one in ordered]
    if verified.comparison is not None:
        other = verified.comparison.reference
        found.append((style.name(other.name, 40), other.epochs, other.losses))
    reference = found[0][2]
    size = float(np.abs(reference[np.isfinite(reference)]).max(initial=0.0)) or 1.0
    roundings = {dtype: float(np.finfo(dtype).eps) * size for dtype in PRECISIONS}
    lines = [
        style.Line(style.COLORS[i % 8], style.dashes_of(i), style.MARKERS[i % 8]) for i in range(len(found))
    ]
    curves = [
        Curve(label, *thinned(*_known(epochs, values)), line)
        for (label, epochs, values), line in zip(found, lines, strict=True)
    ]
    lowest = roundings["float64"] / 8
    distances = []
    for (label, epochs, values), line in list(zip(found, lines, strict=True))[1:]:
        common = epochs <= len(reference)
        apart = np.abs(values[common] - reference[epochs[common] - 1])
        distances.append(Curve(label, *thinned(*_known(epochs[common], np.maximum(apart, lowest))), line))
    details = (
        f"{verified.steps:,} steps, engines from the same weights; equal losses stand at the lower edge",
    )
    title = f"Agreement of {len(found)} curves of {verified.name}"
    return Agreement(title, details, tuple(curves), tuple(distances), roundings)


def draw_agreement(values: Agreement) -> Figure:
    """The picture; to be called inside `style.styled()`."""
    from mlprun.figures import canvas

    figure = canvas.picture(height=5.2)
    above, below = figure.subplots(2, 1, sharex=True)
    draw_curves(above, values.curves, log=wants_log(values.curves))
    above.set_ylabel("train loss")
    draw_curves(below, values.distances, log=True)
    for (dtype, size), dashes in zip(values.roundings.items(), style.DASHES[2:], strict=False):
        below.axhline(
            size, color=style.GREY, linewidth=0.9, linestyle=dashes, label=f"one rounding of {dtype}"
        )
    below.set_ylabel(f"distance from\n{values.curves[0].label}")
    below.set_xlabel("epoch")
    canvas.entitle(figure, values.title, *values.details)
    canvas.legend_below(figure)
    return figure


def _epochs(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.arange(1, len(values) + 1)


def _known(
    epochs: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    known = np.isfinite(values)
    return epochs[known], values[known]
