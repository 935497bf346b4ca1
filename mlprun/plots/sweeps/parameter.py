"""The figure against each parameter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlprun.plots import style
from mlprun.plots.panels import Panels
from mlprun.plots.sweeps.plot import SweepPlot, kinds
from mlprun.plots.sweeps.subject import line_of, wants_log
from mlprun.sweeps import statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.plots.sweeps.dimensions import Dimension
    from mlprun.plots.sweeps.subject import Sweep
    from mlprun.sweeps.summary import Line

PANELS = 6
LINES = 6
"""values of the other parameter that have a line of their own, at most"""
DOTS = 1500


@dataclass(frozen=True)
class Means:
    """A line over the values of a parameter: the mean at each, its interval and the figures behind it."""

    label: str
    places: NDArray[np.float64]
    means: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One parameter: lines where each value has several figures, and the figures themselves as dots."""

    dimension: Dimension
    lines: tuple[Means, ...]
    other: str
    """the parameter that the lines are values of; empty where there is one line"""
    of_seeds: bool
    """whether the intervals of the lines are over seeds; else they are over settings"""
    dots: tuple[NDArray[np.float64], NDArray[np.float64]]
    """places and figures: of trials where one parameter varies, else of settings"""
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


@kinds.register
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
        parts = (_about(sweep, panels), fewer, sweep.missing(), crosses)
        details = "; ".join(part for part in parts if part)
        title = f"{sweep.figure.capitalize()} against parameters of {sweep.name}"
        if len(chosen) == 1:
            title = f"{sweep.figure.capitalize()} against {style.name(chosen[0].name)} of {sweep.name}"
        return AgainstParameters(title, (details,), sweep.axis, panels, wants_log(every))

    def draw(self, values: AgainstParameters) -> Figure:
        from mlprun.plots import canvas

        count = len(values.panels)
        high = 3.1 if count > 1 and any(panel.other for panel in values.panels) else 2.6
        panels = Panels(count, columns=2 if count in (2, 4) else 3, height=high, alone=3.9, heading=0.9)
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


def _about(sweep: Sweep, panels: tuple[Panel, ...]) -> str:
    """What dots, lines and intervals are."""
    drawn = [panel for panel in panels if panel.lines]
    if not drawn:
        return f"a dot is a {'trial' if len(sweep.dimensions) == 1 else 'setting'} ({sweep.seeds})"
    over = sweep.seeds if drawn[0].of_seeds else "settings"
    means = f"means over {over} with 95% intervals"
    if len(sweep.dimensions) == 1:
        return f"{means}; dots are single seeds"
    if any(panel.other for panel in drawn):
        return means
    return f"{means}, averaged over the other parameters; dots are settings"


def _panel(sweep: Sweep, one: Dimension) -> Panel:
    lines = [line for line in sweep.lines if one.path in line.setting.chosen]
    known = [line for line in lines if line.sample.n]
    lone = len(sweep.dimensions) == 1
    dots = [
        (one.place(line.setting.chosen[one.path]), value)
        for line in known
        for value in (line.values.values() if lone else (line.sample.mean,))
    ][:DOTS]
    places, figures = (np.array(side, np.float64) for side in zip(*dots, strict=True))
    other = _other(sweep, one)
    of_seeds = (lone or sweep.is_grid) and max(line.sample.n for line in known) > 1
    drawn: tuple[Means, ...] = ()
    if one.is_few or (lone and of_seeds):
        groups = {"": known}
        if other is not None:
            groups = dict(zip(other.labels, other.sorted_in(known), strict=True))
        drawn = tuple(_means(label, one, some, of_seeds=of_seeds) for label, some in groups.items() if some)
    name = other.name if other else ""
    return Panel(one, drawn, name, of_seeds, (places, figures), _diverged(one, lines))


def _diverged(one: Dimension, lines: list[Line]) -> dict[float, tuple[int, int]]:
    found: dict[float, tuple[int, int]] = {}
    for line in lines:
        place = one.place(line.setting.chosen[one.path])
        before = found.get(place, (0, 0))
        found[place] = before[0] + line.counts.get("diverged", 0), before[1] + sum(line.counts.values())
    return {place: counts for place, counts in found.items() if counts[0]}


def _other(sweep: Sweep, one: Dimension) -> Dimension | None:
    """The parameter whose values have lines of their own: the only other one of a grid, with few values."""
    others = [other for other in sweep.dimensions if other.path != one.path]
    alone = len(others) == 1 and len(others[0].levels) <= LINES and sweep.is_grid
    return others[0] if alone else None


def _means(label: str, one: Dimension, lines: list[Line], *, of_seeds: bool) -> Means:
    """The mean at each value with its interval."""
    rows = []
    for level, settings in zip(one.levels, one.sorted_in(lines), strict=True):
        found = statistics.sample(over_seeds(settings) if of_seeds else means_of(settings))
        if found.mean is not None:
            rows.append((one.place(level), found.mean, *(found.interval or (np.nan, np.nan))))
    return Means(label, *np.array(rows, np.float64).reshape(-1, 4).T)


def over_seeds(lines: list[Line]) -> list[float]:
    """For each seed that all settings have, the mean over the settings."""
    shared = set.intersection(*(set(line.values) for line in lines)) if lines else set()
    return [statistics.mean_of([line.values[seed] for line in lines]) for seed in shared]


def means_of(lines: list[Line]) -> list[float]:
    """The mean of each setting that has one."""
    return [line.sample.mean for line in lines if line.sample.mean is not None]


def _draw_panel(axes: Axes, panel: Panel, values: AgainstParameters, *, legend: bool) -> None:
    one = panel.dimension
    places, figures = panel.dots
    if not panel.lines or not panel.other:
        size = float(np.clip(3000 / max(1, len(places)), 5, 18))
        axes.scatter(
            _beside(places, one), figures, s=size, color=style.GREY, alpha=0.55, linewidths=0, zorder=2
        )
    for place, line in enumerate(panel.lines):
        look = line_of(place) if panel.other else style.Line(style.BLUE, "-", "o")
        axes.errorbar(
            _dodged(line.places, one, place, len(panel.lines)),
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
    if not one.is_number:
        axes.set_xlim(-0.5, len(one.levels) - 0.5)
    _mark_diverged(axes, panel, label=not legend)
    if legend and panel.other:
        short = max(len(line.label) for line in panel.lines) <= 6
        axes.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1.02),
            ncols=4 if short else 2,
            title=style.name(panel.other, 30),
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
    if not panel.other:
        return None
    return style.name(line.label, 14) if legend else f"{style.name(panel.other, 18)} {line.label}"


def _beside(places: NDArray[np.float64], one: Dimension) -> NDArray[np.float64]:
    """Places with some width, so that dots of one value do not hide one another; the same at each drawing."""
    if not one.is_few:
        return places
    shift = (np.arange(len(places)) * 0.6180339887 % 1 - 0.5) * 0.5
    return one.moved(places, np.asarray(shift, np.float64))


def _dodged(places: NDArray[np.float64], one: Dimension, place: int, count: int) -> NDArray[np.float64]:
    """Places moved a little, so that the intervals of several lines stand beside one another."""
    return one.moved(places, np.full(len(places), (place - (count - 1) / 2) * 0.07))
