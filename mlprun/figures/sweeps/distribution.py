"""How the final figures of each setting are spread over its seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.analysis.summary import describe_counts
from mlprun.figures import style
from mlprun.figures.plot import SweepPlot, sweep_kinds
from mlprun.figures.sweeps.subject import amount, wants_log
from mlprun.sweeps.objective import UNSOUND

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.sweeps.subject import Sweep

ROWS = 30
LABEL = 44
"""characters beside a row"""
DOTS = 300
"""dots of one setting, at most: evenly spread ones of its sorted figures"""


@dataclass(frozen=True)
class Row:
    """One setting: its figures in order, their mean with its interval, and the trials that are apart."""

    label: str
    values: NDArray[np.float64]
    mean: float | None
    interval: tuple[float, float] | None
    apart: str
    """trials without a figure that counts, such as `1 diverged`"""


@dataclass(frozen=True)
class Distributions:
    """A row for each setting, the best first."""

    title: str
    details: tuple[str, ...]
    axis: str
    rows: tuple[Row, ...]
    is_log: bool


@sweep_kinds.register
class DistributionPlot(SweepPlot):
    """The final figures of each setting over its seeds: dots, quartiles, and the mean with its interval."""

    name: Literal["distribution"] = "distribution"

    def refuses(self, sweep: Sweep) -> str | None:
        few = all(line.stats.n < 2 for line in sweep.lines)
        return sweep.lacks_figures() or ("no setting has two seeds" if few else None)

    def compute(self, sweep: Sweep) -> Distributions:
        every = [line for line in sweep.lines if line.pruned_at is None]
        lines = every[:ROWS]
        rows = tuple(
            Row(
                label,
                np.sort(sweep.values(line)),
                line.stats.mean,
                line.stats.interval,
                ", ".join(describe_counts(line.counts, UNSOUND)),
            )
            for label, line in zip(sweep.labels(lines, LABEL), lines, strict=True)
        )
        fewer = f"the best {len(rows)} of {len(every):,} settings" if len(rows) < len(every) else ""
        gone = f"left out: {amount(len(sweep.pruned), 'pruned setting')}" if sweep.pruned else ""
        intervals = "with 95% intervals" if any(row.interval for row in rows) else "of too few for intervals"
        dots = f"dots are single {sweep.seeds_word}, boxes quartiles, diamonds means {intervals}"
        details = "; ".join(part for part in (sweep.seeds, dots, fewer, gone) if part)
        figures = np.concatenate([row.values for row in rows])
        title = f"{sweep.figure.capitalize()} of each setting of {sweep.name}"
        return Distributions(title, (details,), sweep.axis, rows, wants_log(figures))

    def draw(self, values: Distributions) -> Figure:
        from mlprun.figures import canvas

        count = len(values.rows)
        figure = canvas.picture(height=float(np.clip(1.5 + 0.27 * count, 2.6, 9.2)))
        axes = figure.subplots()
        for place, row in enumerate(values.rows):
            _draw_row(axes, row, place)
        if values.is_log:
            style.use_log(axes.xaxis)
        axes.set_xlabel(values.axis)
        axes.set_ylim(count - 0.4, -0.6)  # the best on top
        longest = max(len(row.label) for row in values.rows)
        size = style.SIZE - 1 - (count > 15) - (longest > 40)
        axes.set_yticks(range(count), [row.label for row in values.rows], fontsize=size)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.03)
        _note_apart(axes, values.rows)
        canvas.entitle(figure, values.title, *values.details)
        return figure


def _draw_row(axes: Axes, row: Row, place: int) -> None:
    from matplotlib.patches import Rectangle

    values = row.values
    if not len(values):
        return
    chosen = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), DOTS)).astype(np.int64))]
    # neighbours in size stand apart, the same at each drawing
    shift = (np.arange(len(chosen)) * 0.6180339887 % 1 - 0.5) * 0.56
    size = float(np.clip(900 / len(chosen), 5, 11))
    axes.scatter(chosen, place + shift, s=size, color=style.BLUE, alpha=0.5, linewidths=0, zorder=2)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    box = Rectangle((low, place - 0.31), high - low, 0.62, facecolor=style.lighter(style.SKY, 0.7))
    box.set(edgecolor=style.GREY, linewidth=0.7, zorder=1)
    axes.add_patch(box)
    axes.plot([middle, middle], [place - 0.31, place + 0.31], color="black", linewidth=1.2, zorder=3)
    if row.mean is not None:
        ends = row.interval or (row.mean, row.mean)
        axes.plot(ends, [place, place], color=style.VERMILLION, linewidth=1.6, zorder=4)
        axes.plot(
            [row.mean],
            [place],
            marker="D",
            markersize=4.2,
            color=style.VERMILLION,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=5,
        )


def _note_apart(axes: Axes, rows: tuple[Row, ...]) -> None:
    """How many trials of a setting have no figure that counts, at the right of its row."""
    for place, row in enumerate(rows):
        if row.apart:
            axes.annotate(
                row.apart,
                (1, place),
                xycoords=axes.get_yaxis_transform(),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=style.SIZE - 2,
                color=style.VERMILLION,
                annotation_clip=False,
            )
