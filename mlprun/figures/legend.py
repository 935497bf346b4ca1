"""Where the legend of a panel hides least: inside in its emptiest corner, or above it where none is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mlprun.figures.chart import HEADING, Band, Bars, Line, Points, Polygons, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.figures.chart import Array, Axis, Chart, Mark, Panel

Place = Literal[
    "upper right", "upper left", "lower right", "lower left", "center right", "center left", "above"
]
INSIDE: tuple[tuple[Place, float, float], ...] = (
    ("upper right", 1.0, 1.0),
    ("lower right", 1.0, 0.0),
    ("upper left", 0.0, 1.0),
    ("lower left", 0.0, 0.0),
    ("center right", 1.0, 0.5),
    ("center left", 0.0, 0.5),
)
"""with where they are between the left and the right, and between the lower and the upper edge"""
CROWDED = 0.03
"""share of what a panel shows that a legend may hide"""
ABOVE = 3
"""entries that have room above a panel, at most"""
STEPS = 200
"""places between the ends of a panel at which a line along it is looked at"""


class Legend(NamedTuple):
    """The labels of one panel that no earlier panel explains, with the marks that they belong to."""

    place: Place
    entries: dict[str, Any]

    @property
    def columns(self) -> int:
        """Entries beside one another."""
        return len(self.entries) if self.place == "above" else 1


def legends(chart: Chart) -> tuple[Legend, ...]:
    """The legend of each panel; without entries where it has none."""
    known: set[str] = set()
    found = []
    size = chart.width / chart.columns, (chart.height - HEADING) / -(-len(chart.panels) // chart.columns)
    for panel in chart.panels:
        entries: dict[str, Any] = {}
        for mark in panel.marks:
            label = getattr(mark, "label", "")
            if label and label not in known:
                entries.setdefault(label, mark)
        known |= entries.keys()
        found.append(Legend(_place(panel, entries, size), entries))
    return tuple(found)


def _place(panel: Panel, entries: dict[str, Any], inches: tuple[float, float]) -> Place:
    if not entries:
        return INSIDE[0][0]
    width = (0.5 + 0.075 * max(map(len, entries))) / max(1.0, inches[0] - 0.7)
    height = (0.1 + 0.17 * len(entries)) / inches[1]
    places, box = positions(panel), np.array([width, height])
    hidden = dict[Place, float]()
    for name, *at in INSIDE:
        low = np.array(at) * (1 - box)
        inside = ((places >= low) & (places <= low + box)).all(axis=1)
        hidden[name] = float(inside.sum()) / max(1, len(places))
    best = min(hidden, key=lambda name: hidden[name])
    is_free = hidden[best] <= CROWDED or panel.title or len(entries) > ABOVE
    return best if is_free else "above"


def positions(panel: Panel) -> Array:
    """Places [N, 2] of what a panel shows, from 0 to 1 between its edges; lines count by their length."""
    found = [
        (isinstance(mark, Line | Band), np.array(pair)) for mark in panel.marks for pair in _outline(mark)
    ]
    every = np.concatenate([np.empty((2, 0)), *(pair for _, pair in found)], axis=1)
    unit = np.column_stack(
        [_scaled(side, axis) for side, axis in zip(every, (panel.x, panel.y), strict=True)]
    )
    parts = np.split(unit, np.cumsum([pair.shape[1] for _, pair in found])[:-1])
    known = [part[np.isfinite(part).all(axis=1)] for part in parts]
    lines = [is_line for is_line, _ in found] or [False]
    return np.concatenate([_evenly(part) if line else part for line, part in zip(lines, known, strict=True)])


def _evenly(places: Array) -> Array:
    """Places [N, 2] along a line through known ones, STEPS for each length of a panel's side."""
    if len(places) < 2:
        return places
    lengths = np.append(0, np.cumsum(np.hypot(*np.diff(places, axis=0).T)))
    along = np.linspace(0, lengths[-1], 2 + int(lengths[-1] * STEPS))
    return np.column_stack([np.interp(along, lengths, side) for side in places.T])


def _outline(mark: Mark) -> Sequence[tuple[Array, Array]]:
    """Positions of a mark; guides across the whole panel and lines between units may be hidden in part."""
    match mark:
        case Line() if not (np.isinf(mark.x).any() or np.isinf(mark.y).any()):
            return [(mark.x, y) for y in np.atleast_2d(mark.y)]
        case Band():
            pairs = [(mark.position, mark.low), (mark.position, mark.high)]
        case Bars():
            pairs = [((mark.start + mark.end) / 2, mark.height * share) for share in (0.5, 1.0)]
        case Points():
            return [(mark.x, mark.y)]
        case Text():
            return [(mark.x, mark.y)] * (STEPS // 4)
        case Polygons():
            return [tuple(mark.corners.mean(axis=1).T)]
        case _:
            return []
    return pairs if mark.along == "x" else [pair[::-1] for pair in pairs]


def _scaled(values: Array, axis: Axis) -> Array:
    """Places on an axis between 0 and 1; infinite ones are its ends."""
    known = values[np.isfinite(values)]
    if axis.scale == "log":
        values, known = (np.log(np.where(side > 0, side, np.nan)) for side in (values, known))
        known = known[np.isfinite(known)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    if axis.limits is not None:
        low, high = (
            end if limit is None else (np.log(limit) if axis.scale == "log" else limit)
            for limit, end in zip(axis.limits, (low, high), strict=True)
        )
    return np.asarray(np.clip((values - low) / ((high - low) or 1.0), 0, 1))
