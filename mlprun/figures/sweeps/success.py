"""How often trials succeed: over two parameters as a map, over one with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlprun.analysis import report_text, statistics
from mlprun.analysis.summary import describe_counts
from mlprun.figures import style
from mlprun.figures.plot import sweep_kinds
from mlprun.figures.sweeps.heat_map import (
    CELLS,
    ROOM,
    Map,
    OverTwo,
    are_cells,
    cells_of,
    given_up,
    or_nan,
    places_of,
)
from mlprun.sweeps.objective import SILENT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.figures.sweeps.subject import Sweep


@sweep_kinds.register
class SuccessMap(OverTwo):
    """How often trials succeed: over two parameters as a map, over one with Wilson's intervals."""

    name: Literal["success"] = "success"

    def refuses(self, sweep: Sweep) -> str | None:
        if sweep.description.success is None:
            return "the sweep does not say what success is"
        if not sweep.dimensions:
            return "no parameter has two values"
        return None if any(line.successes for line in sweep.lines) else "no trial has ended"

    def compute(self, sweep: Sweep) -> Any:
        assert sweep.description.success is not None
        text = sweep.description.success["text"]
        title = f"Success rate of {sweep.name}"
        if len(sweep.dimensions) == 1:
            return _rates(sweep, title, text)
        across, up = self.chosen(sweep)
        places = None if are_cells(across, up) else places_of(sweep, across, up)
        if places is not None:
            values = np.array([or_nan(line.success.rate if line.success else None) for line in sweep.lines])
            texts: list[list[str]] = []
        else:
            cells = [[_rate(lines) for lines in row] for row in cells_of(sweep, across, up)]
            values = np.array([[or_nan(rate.rate) for rate in row] for row in cells], np.float64)
            texts = _rate_texts(cells)
        averaged = (
            "all values of the other parameters together"
            if len(sweep.dimensions) > 2 and places is None
            else ""
        )
        parts = (f"success: {text}", self.about_others(sweep), averaged, _not_counted(sweep))
        details = "; ".join(part for part in parts if part)
        return Map(
            title,
            (details,),
            "share of successful trials",
            across,
            up,
            values,
            texts,
            places,
            given_up=given_up(sweep),
            is_log=False,
            limits=(0, 1),
            best_is_small=False,
        )

    def draw(self, values: Any) -> Figure:
        return super().draw(values) if isinstance(values, Map) else _draw_rates(values)


def _rate_texts(cells: list[list[statistics.SuccessRate]]) -> list[list[str]]:
    """Counts such as 39/40; where there is no room for them, percent."""
    texts = [[report_text.fraction(rate) if rate.n else "" for rate in row] for row in cells]
    if max(len(text) for row in texts for text in row) * len(texts[0]) <= ROOM:
        return texts
    return [["" if rate.rate is None else f"{rate.rate:.0%}" for rate in row] for row in cells]


def _not_counted(sweep: Sweep) -> str:
    counts = sweep.summary.counts
    diverged, silent = counts.get("diverged", 0), describe_counts(counts, SILENT)
    parts = (
        [f"{diverged:,} diverged, which {'is' if diverged == 1 else 'are'} no success"] if diverged else []
    )
    parts += [f"left out: {', '.join(silent)}"] if silent else []
    return "; ".join(parts)


@dataclass(frozen=True)
class Rates:
    """Success rates with their intervals over one parameter."""

    title: str
    details: tuple[str, ...]
    dimension: Dimension
    places: NDArray[np.float64]
    rates: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    texts: tuple[str, ...]


def _rates(sweep: Sweep, title: str, text: str) -> Rates:
    one = sweep.dimensions[0]
    rows, texts = [], []
    for level, lines in zip(one.levels, one.sorted_in(sweep.lines), strict=True):
        rate = _rate(lines)
        if rate.rate is not None and rate.interval is not None:
            rows.append((one.place(level), rate.rate, *rate.interval))
            texts.append(report_text.fraction(rate))
    places, rates, low, high = np.array(rows, np.float64).T
    details = "; ".join(
        part for part in (f"success: {text}", "Wilson's 95% intervals", _not_counted(sweep)) if part
    )
    return Rates(title, (details,), one, places, rates, low, high, tuple(texts))


def _draw_rates(values: Rates) -> Figure:
    from mlprun.figures import canvas

    figure = canvas.picture(height=3.7)
    axes = figure.subplots()
    axes.errorbar(
        values.places,
        values.rates,
        yerr=np.maximum(0, [values.rates - values.low, values.high - values.rates]),
        color=style.BLUE,
        marker="o",
        linestyle="-",
        linewidth=1.2,
        elinewidth=1.0,
        capsize=3,
        zorder=3,
        clip_on=False,
    )
    if len(values.places) <= CELLS:
        for place, high, text in zip(values.places, values.high, values.texts, strict=True):
            axes.annotate(
                text,
                (place, high),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=style.SIZE - 2,
                clip_on=False,
            )
    values.dimension.prepare(axes.xaxis)
    axes.set(ylim=(0, 1.06), yticks=np.linspace(0, 1, 6))
    axes.set_ylabel("share of successful trials")
    canvas.entitle(figure, values.title, *values.details)
    return figure


def _rate(lines: list[ConfigurationSummary]) -> statistics.SuccessRate:
    rates = [line.success for line in lines if line.success is not None]
    return statistics.success_rate(
        sum(rate.successes for rate in rates),
        sum(rate.n for rate in rates),
        sum(rate.independent for rate in rates),
    )
