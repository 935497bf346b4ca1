"""The figure against each parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.figures import style
from mlprun.figures.panels import Panels
from mlprun.figures.plot import SweepPlot, sweep_kinds
from mlprun.figures.sweeps.means import averages
from mlprun.figures.sweeps.subject import amount, line_of, wants_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.means import Averages, Means
    from mlprun.figures.sweeps.subject import Sweep

PANELS = 6
DOTS = 1500


@dataclass(frozen=True)
class Panel:
    """One parameter: means where values have several figures, and the figures themselves as dots."""

    dimension: Dimension
    averages: Averages
    dots: tuple[NDArray[np.float64], NDArray[np.float64]]
    """places and figures: of trials where one parameter varies, else of settings"""
    pruned: tuple[NDArray[np.float64], NDArray[np.float64]]
    """of settings that were given up: places, and what they had reached by then"""
    diverged: dict[float, tuple[int, int]]
    """trials that diverged, of how many, by place"""


@dataclass(frozen=True)
class AgainstParameters:
    """A panel for each parameter."""

    title: str
    details: tuple[str, ...]
    axis: str
    panels: tuple[Panel, ...]
    is_log: bool


@sweep_kinds.register
class AgainstParameter(SweepPlot):
    """The figure against each parameter: means with 95% intervals over seeds, or a dot for each setting."""

    name: Literal["parameter"] = "parameter"

    def refuses(self, sweep: Sweep) -> str | None:
        if not sweep.dimensions:
            return "no parameter has two values"
        return sweep.lacks_figures()

    def compute(self, sweep: Sweep) -> AgainstParameters:
        chosen = sweep.dimensions[:PANELS]
        panels = tuple(_panel(sweep, one) for one in chosen)
        every = np.concatenate([panel.dots[1] for panel in panels])
        fewer = (
            f"the first {PANELS} of {len(sweep.dimensions)} parameters"
            if len(chosen) < len(sweep.dimensions)
            else ""
        )
        crosses = "crosses: trials that diverged" if any(panel.diverged for panel in panels) else ""
        pruned = "triangles: pruned settings, by what they had reached" if len(panels[0].pruned[0]) else ""
        parts = (*_about(sweep, panels), fewer, sweep.missing(), crosses, pruned)
        details = "; ".join(part for part in parts if part)
        title = f"{sweep.figure.capitalize()} against parameters of {sweep.name}"
        if len(chosen) == 1:
            title = f"{sweep.figure.capitalize()} against {style.name(chosen[0].name)} of {sweep.name}"
        return AgainstParameters(title, (details,), sweep.axis, panels, wants_log(every))

    def draw(self, values: AgainstParameters) -> Figure:
        from mlprun.figures import canvas

        count = len(values.panels)
        high = 3.1 if count > 1 and any(panel.averages.other for panel in values.panels) else 2.6
        columns = 2 if count in (2, 4) else 3
        panels = Panels(count, columns=columns, height=high, alone=3.9, heading=0.9, share_up=True)
        several = count > 1
        for axes, panel in zip(panels.axes, values.panels, strict=True):
            _draw_panel(axes, panel, values, legend=several)
        for index, axes in enumerate(panels.axes):
            if index % panels.columns == 0:
                axes.set_ylabel(values.axis)
        canvas.entitle(panels.figure, values.title, *values.details)
        if not several:
            canvas.legend_below(panels.figure)
        return panels.figure


def _about(sweep: Sweep, panels: tuple[Panel, ...]) -> list[str]:
    """What dots, lines and intervals are, and what is left out of them."""
    lone = len(sweep.dimensions) == 1
    parts = []
    for over in ("seeds", "settings"):
        some = [panel.averages for panel in panels if panel.averages.over == over]
        if not some:
            continue
        parts.append(_told(sweep, some))
    if not any(panel.averages.other for panel in panels):
        parts.append(f"dots are {'single ' + sweep.seeds_word if lone else 'settings'}")
        if not any(panel.averages.over for panel in panels) and not lone:
            parts[-1] += f" ({sweep.seeds})"
    left = max(panel.averages.left_out for panel in panels)
    without = sum(panel.averages.without for panel in panels)
    if left:
        parts.append(f"means leave out up to {amount(left, 'trial')} without a partner at another value")
    if without:
        parts.append(f"no mean at {amount(without, 'value')} of which few trials are left")
    return parts


def _told(sweep: Sweep, some: Sequence[Averages]) -> str:
    """What means are over, and whether they have intervals."""
    means = [line for one in some for line in one.lines]
    counts = [count for line in means for count in line.counts]
    low, high, of_seeds = min(counts), max(counts), some[0].over == "seeds"
    if of_seeds and high == 1 and (some[0].other or len(sweep.dimensions) == 1):
        return f"one {sweep.seeds_word[:-1]} each, and so no intervals"
    word = sweep.seeds_word[:-1] if of_seeds else "setting"
    over = amount(high, word) if low == high else f"{low:,} to {amount(high, word)}"
    is_averaged = of_seeds and len(sweep.dimensions) > 1 and not some[0].other
    averaged = ", averaged over the other parameters" if is_averaged else ""
    return f"means over {over}{'' if of_seeds else ' of one value'}{_intervals(means)}{averaged}"


def _intervals(means: Sequence[Means]) -> str:
    known = np.concatenate([np.isfinite(line.low) for line in means])
    if not known.any():
        return ", too few for intervals"
    return " with 95% intervals" + ("" if known.all() else " where there are enough")


def _panel(sweep: Sweep, one: Dimension) -> Panel:
    lines = [line for line in sweep.lines if one.path in line.setting.values]
    lone = len(sweep.dimensions) == 1
    dots = [
        (one.place(line.setting.values[one.path]), value)
        for line in lines
        if line.stats.n
        for value in (line.values.values() if lone else (line.stats.mean,))
    ][:DOTS]
    pruned = [
        (one.place(line.setting.values[one.path]), reached)
        for line in lines
        if (reached := sweep.given_up(line)) is not None
    ][:DOTS]
    return Panel(one, averages(sweep, one), _columns(dots), _columns(pruned), _diverged(one, lines))


def _columns(dots: Sequence[tuple[float, float | None]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = np.array(dots, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _diverged(one: Dimension, lines: list[ConfigurationSummary]) -> dict[float, tuple[int, int]]:
    found: dict[float, tuple[int, int]] = {}
    for line in lines:
        place = one.place(line.setting.values[one.path])
        before = found.get(place, (0, 0))
        found[place] = before[0] + line.counts.get("diverged", 0), before[1] + sum(line.counts.values())
    return {place: counts for place, counts in found.items() if counts[0]}


def _draw_panel(axes: Axes, panel: Panel, values: AgainstParameters, *, legend: bool) -> None:
    one = panel.dimension
    places, figures = panel.dots
    lines, other = panel.averages.lines, panel.averages.other
    if len(panel.pruned[0]):
        axes.scatter(
            _beside(panel.pruned[0], one),
            panel.pruned[1],
            marker="v",
            s=10,
            facecolors="none",
            edgecolors=style.GREY,
            linewidths=0.4,
            alpha=0.7,
            zorder=1.5,
        )
    if not other:
        size = float(np.clip(3000 / max(1, len(places)), 5, 18))
        axes.scatter(
            _beside(places, one), figures, s=size, color=style.GREY, alpha=0.55, linewidths=0, zorder=2
        )
    for place, line in enumerate(lines):
        look = line_of(place) if other else style.Line(style.BLUE, "-", "o")
        axes.errorbar(
            _dodged(line.places, one, place, len(lines)),
            line.means,
            yerr=np.nan_to_num([line.means - line.low, line.high - line.means]).clip(0),
            color=look.color,
            linestyle=look.dashes,
            marker=look.marker,
            markersize=4.5 if panel.dimension.is_few else 2.5,
            linewidth=1.3,
            elinewidth=1.0,
            capsize=2.5 if panel.dimension.is_few else 0,
            label=_line_label(panel, line, legend=legend),
            zorder=3,
        )
    if values.is_log:
        style.use_log(axes.yaxis)
    one.prepare(axes.xaxis)
    _mark_diverged(axes, panel, label=not legend)
    if legend and other:
        short = max(len(line.label) for line in lines) <= 6
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.02),
            ncols=4 if short else 2,
            title=style.name(other, 30),
            title_fontsize=style.SIZE - 1.5,
            fontsize=style.SIZE - 2,
            handlelength=2.2,
            columnspacing=1.0,
        )


def _mark_diverged(axes: Axes, panel: Panel, *, label: bool) -> None:
    """Crosses on the upper edge; where values are few, with how many trials they stand for."""
    if not panel.diverged:
        return
    places = list(panel.diverged)
    axes.plot(
        places,
        np.full(len(places), 1.0),
        transform=axes.get_xaxis_transform(),
        linestyle="none",
        marker="x",
        color=style.VERMILLION,
        clip_on=False,
        label="trials that diverged" if label else None,
        zorder=4,
    )
    if label and panel.dimension.is_few:
        for place, (count, total) in panel.diverged.items():
            axes.annotate(
                f"{count}/{total}",
                (place, 1.0),
                xycoords=axes.get_xaxis_transform(),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=style.SIZE - 2,
                color=style.VERMILLION,
                annotation_clip=False,
            )


def _line_label(panel: Panel, line: Means, *, legend: bool) -> str | None:
    """A line in the legend: under the parameter's name where the legend has that for its title."""
    other = panel.averages.other
    if not other:
        return None
    return style.name(line.label, 14) if legend else f"{style.name(other, 18)} {line.label}"


def _beside(places: NDArray[np.float64], one: Dimension) -> NDArray[np.float64]:
    """Places with some width, so that dots of one value do not hide one another; the same at each drawing."""
    if not one.is_few:
        return places
    shift = (np.arange(len(places)) * 0.6180339887 % 1 - 0.5) * 0.5
    return one.moved(places, np.asarray(shift, np.float64))


def _dodged(places: NDArray[np.float64], one: Dimension, place: int, count: int) -> NDArray[np.float64]:
    """Places moved a little, so that the intervals of several lines stand beside one another."""
    return one.moved(places, np.full(len(places), (place - (count - 1) / 2) * 0.07))
