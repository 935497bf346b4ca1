"""The figure over two parameters, as a map; and what maps have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.figures.plot import SweepPlot, sweep_kinds
from mlprun.figures.sweeps import colors
from mlprun.figures.sweeps.importance import most_important
from mlprun.figures.sweeps.subject import wants_log
from mlprun.sweeps.objective import APART, UNSOUND, mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.subject import Sweep

CELLS = 20
"""values of a parameter that have a row or a column of their own, at most"""
ROOM = 62
"""characters that a row of cells has room for"""
SMALLEST = 5.0
"""points of the smallest letters in a cell"""


@dataclass(frozen=True)
class Map:
    """Cells [rows, columns] over two parameters, or dots at (across, up) where values rarely meet."""

    title: str
    details: tuple[str, ...]
    bar: str
    across: Dimension
    up: Dimension
    values: NDArray[np.float64]
    """[rows, columns] or [dots]; nan where there is nothing"""
    texts: list[list[str]]
    places: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    given_up: NDArray[np.bool_]
    """which settings were pruned [dots]"""
    is_log: bool
    limits: tuple[float, float] | None
    best_is_small: bool


class OverTwo(SweepPlot):
    """Base of the maps."""

    parameters: tuple[str, str] | None = Field(
        None, description="the two parameters, across and up; by default the two most important"
    )

    def chosen(self, sweep: Sweep) -> tuple[Dimension, Dimension]:
        """The two parameters. Raises UsageError for one that does not vary."""
        if self.parameters is None:
            return _default(sweep)
        known = {name: one for one in sweep.dimensions for name in (one.path, one.name)}
        for name in self.parameters:
            if name not in known:
                paths = ", ".join(one.path for one in sweep.dimensions)
                raise UsageError("--parameters", f"{name} does not vary", f"expected two of {paths}")
        return known[self.parameters[0]], known[self.parameters[1]]

    def about_others(self, sweep: Sweep) -> str:
        """How the two were chosen where more parameters vary."""
        count, wide = len(sweep.dimensions), _wide(sweep)
        if count < 3 or self.parameters is not None:
            return ""
        if most_important(sweep, wide) is None:
            return f"two of {count} parameters"
        return (
            f"the two most important of {len(wide)} {'parameters' if len(wide) == count else 'that spread'}"
        )

    def draw(self, values: Map) -> Figure:
        from mlprun.figures import canvas

        rows = len(values.up.levels)
        height = 4.0 if values.places is not None else float(np.clip(1.7 + 0.34 * rows, 2.9, 7.5))
        figure = canvas.picture(height=height)
        axes = figure.subplots()
        axes.grid(visible=False)
        drawn = _draw_dots(axes, values) if values.places is not None else _draw_cells(axes, values)
        colors.bar(axes, drawn, values.bar, is_log=values.is_log, best_is_small=values.best_is_small)
        canvas.entitle(figure, values.title, *values.details)
        return figure


@sweep_kinds.register
class HeatMap(OverTwo):
    """The mean of the figure over two parameters."""

    name: Literal["heat_map"] = "heat_map"

    def refuses(self, sweep: Sweep) -> str | None:
        if len(sweep.dimensions) < 2:
            return "fewer than two parameters vary"
        return sweep.lacks_figures()

    def compute(self, sweep: Sweep) -> Map:
        across, up = self.chosen(sweep)
        places = None if are_cells(across, up) else places_of(sweep, across, up)
        if places is not None:
            values = np.array([or_nan(line.stats.mean) for line in sweep.lines], np.float64)
            texts: list[list[str]] = []
        else:
            cells = cells_of(sweep, across, up)
            means = [[_mean(lines) for lines in row] for row in cells]
            values = np.array([[or_nan(mean) for mean in row] for row in means], np.float64)
            texts = [
                [_text(lines, mean) for lines, mean in zip(*pair, strict=True)]
                for pair in zip(cells, means, strict=True)
            ]
        what = (
            f"means over {sweep.seeds}"
            if places is None
            else f"a dot is a setting, its colour the mean over {sweep.seeds}"
        )
        averaged = (
            "averaged over the other parameters" if len(sweep.dimensions) > 2 and places is None else ""
        )
        starred = "* of those trials of a cell that have a figure" if any_starred(texts) else ""
        parts = (what, self.about_others(sweep), averaged, sweep.missing(), starred)
        details = "; ".join(part for part in parts if part)
        title = f"{sweep.figure.capitalize()} over two parameters of {sweep.name}"
        return Map(
            title,
            (details,),
            sweep.axis,
            across,
            up,
            values,
            texts,
            places,
            given_up=given_up(sweep),
            is_log=wants_log(values.ravel()),
            limits=None,
            best_is_small=sweep.best_is_small,
        )


def _default(sweep: Sweep) -> tuple[Dimension, Dimension]:
    """The two most important parameters of those that make a picture, in the sweep file's order."""
    wide = _wide(sweep)
    best = (most_important(sweep, wide) or wide)[:2]
    across, up = (one for one in sweep.dimensions if one in best)
    return across, up


def _wide(sweep: Sweep) -> Sequence[Dimension]:
    """The parameters that spread over a plane where there are two of these, else all."""
    wide = [
        one for one in sweep.dimensions if one.is_continuous or (one.is_number and len(one.levels) > CELLS)
    ]
    return wide if len(wide) > 1 else sweep.dimensions


def given_up(sweep: Sweep) -> NDArray[np.bool_]:
    """Which settings were pruned."""
    return np.array([line.pruned_at is not None for line in sweep.lines])


def any_starred(texts: list[list[str]]) -> bool:
    """Whether a cell is marked as one of which trials are left out."""
    return any(text.endswith("*") for row in texts for text in row)


def are_cells(across: Dimension, up: Dimension) -> bool:
    """Whether values are few enough for a row or a column each, and not numbers from a range."""
    return all(len(one.levels) <= CELLS and not one.is_continuous for one in (across, up))


def places_of(
    sweep: Sweep, across: Dimension, up: Dimension
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where each setting stands."""
    return tuple(  # type: ignore[return-value]
        np.array([one.place(line.setting.values.get(one.path)) for line in sweep.lines])
        for one in (across, up)
    )


def cells_of(sweep: Sweep, across: Dimension, up: Dimension) -> list[list[list[ConfigurationSummary]]]:
    """The settings in each cell."""
    cells: list[list[list[ConfigurationSummary]]] = [[[] for _ in across.levels] for _ in up.levels]
    for line in sweep.lines:
        chosen = line.setting.values
        if across.path in chosen and up.path in chosen:
            cells[up.index(chosen[up.path])][across.index(chosen[across.path])].append(line)
    return cells


def _mean(lines: list[ConfigurationSummary]) -> float | None:
    means = [line.stats.mean for line in lines if line.stats.mean is not None]
    return mean(means) if means else None


def _text(lines: list[ConfigurationSummary], mean: float | None) -> str:
    if mean is None:
        return next((one for one in UNSOUND if any(line.counts.get(one) for line in lines)), "")
    return _digits(mean) + ("*" if any(line.counts.get(one) for line in lines for one in APART) else "")


def _digits(value: float) -> str:
    """Three significant digits, those at the end too, so that all cells show as many."""
    return f"{value:#.3g}".removesuffix(".").replace("-", "\N{MINUS SIGN}")


def or_nan(value: float | None) -> float:
    """The value; nan where there is none."""
    return np.nan if value is None else value


def _norm(values: Map) -> Any:
    known = values.values[np.isfinite(values.values)]
    low, high = values.limits or (float(known.min()), float(known.max()))
    return colors.between(low, high, is_log=values.is_log)


def _draw_cells(axes: Axes, values: Map) -> Any:
    norm = _norm(values)
    shown = np.ma.masked_invalid(values.values)
    shades = colors.shades(best_is_small=values.best_is_small)
    drawn = axes.imshow(shown, origin="lower", aspect="auto", norm=norm, cmap=shades)
    columns = values.values.shape[1]
    longest = max(len(text) for row in values.texts for text in row)
    size = min(style.SIZE - 1, (style.SIZE - 1) * ROOM / max(1, longest * columns))
    for row, column in np.ndindex(values.values.shape):
        value = values.values[row, column]
        known = bool(np.isfinite(value))
        if not known:
            _hatch(axes, row, column)
        if values.texts[row][column] and size >= SMALLEST:
            light = norm(value) if values.best_is_small else 1 - norm(value)
            color = "white" if known and light < 0.55 else "black"
            box = None if known else {"facecolor": "#eeeeee", "edgecolor": "none", "pad": 1}
            text = axes.text(column, row, values.texts[row][column], ha="center", va="center", bbox=box)
            text.set(fontsize=size, color=color)
    for axis, one in ((axes.xaxis, values.across), (axes.yaxis, values.up)):
        axis.set_ticks(range(len(one.levels)), one.labels)
        axis.set_label_text(style.name(one.name, 30))
        axis.set_tick_params(length=0)
    if max(map(len, values.across.labels)) * columns > ROOM - 4:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    return drawn


def _hatch(axes: Axes, row: int, column: int) -> None:
    """A cell of which nothing is known."""
    from matplotlib.patches import Rectangle

    cell = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="#eeeeee", hatch="////", linewidth=0)
    cell.set_edgecolor("#bbbbbb")
    axes.add_patch(cell)


def _draw_dots(axes: Axes, values: Map) -> Any:
    assert values.places is not None
    across, up = values.places
    known = np.isfinite(values.values)
    size = float(np.clip(8000 / max(1, len(across)), 12, 60))
    drawn = axes.scatter(
        across[known],
        up[known],
        c=values.values[known],
        norm=_norm(values),
        cmap=colors.shades(best_is_small=values.best_is_small),
        s=size,
        edgecolors="black",
        linewidths=0.3,
        zorder=3,
    )
    looks: Any = {"marker": "x", "color": style.VERMILLION, "s": size * 0.7, "linewidths": 1.1, "zorder": 4}
    grey: Any = {"marker": "v", "facecolors": "none", "edgecolors": style.GREY, "s": 14, "linewidths": 0.5}
    for some, look, label in (
        (~known & ~values.given_up, looks, "no trial ended well"),
        (~known & values.given_up, grey, "pruned"),
    ):
        if some.any():
            axes.scatter(across[some], up[some], label=label, **look)
    if not known.all():
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1, ncols=2)
    values.across.prepare(axes.xaxis)
    values.up.prepare(axes.yaxis)
    axes.grid(visible=True)
    return drawn
