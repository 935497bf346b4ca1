"""Rows as points: a class is a colour and a marker, a split is how the marker is filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.figures import style
from mlprun.figures.plane import spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

POINTS = 2000
"""points of a split in one picture, at most: evenly spread rows"""
NAMED = len(style.COLORS)
"""classes that have a colour and a marker of their own and stand in a legend, at most"""


@dataclass(frozen=True)
class Points:
    """Rows of one split in a picture: places [N, 2] and class ids [N] or numbers [N]."""

    split: str
    places: NDArray[np.float64]
    truth: NDArray[Any]
    rows: int
    """rows of the split, of which these are some"""
    opacity: NDArray[np.float64] | None = None
    """[N] of each mark; None where all are full"""


def points_of(
    subject: Subject,
    show: Callable[[NDArray[Any]], NDArray[np.float64]],
    splits: tuple[str, ...],
    epoch: int | None = None,
    opacity: Callable[[NDArray[Any]], NDArray[np.float64]] | None = None,
) -> tuple[Points, ...]:
    """The rows of the splits where `show` places their inputs, with class ids or their first target."""
    found = []
    for split in splits:
        rows = subject.rows(split, epoch)
        chosen = spread(len(rows), POINTS)
        truth = rows.truth[chosen]
        inputs, truth = rows.inputs[chosen], truth if truth.ndim == 1 else truth[:, 0]
        marks = None if opacity is None else opacity(inputs)
        found.append(Points(split, show(inputs), truth, len(rows), marks))
    return tuple(found)


def thinning(points: tuple[Points, ...]) -> str:
    """What to say where not all rows are drawn."""
    fewer = [one for one in points if len(one.places) < one.rows]
    return ", ".join(f"{len(one.places):,} of {one.rows:,} {one.split} rows shown" for one in fewer)


def limits(points: tuple[Points, ...], margin: float = 0.12) -> NDArray[np.float64]:
    """[[left, right], [bottom, top]] around all points."""
    places = np.concatenate([one.places for one in points])
    low, high = places.min(axis=0), places.max(axis=0)
    room = np.where(high > low, (high - low) * margin, 1.0)
    return np.stack([low - room, high + room], axis=1)


def draw_classes(
    axes: Axes, points: tuple[Points, ...], classes: tuple[str, ...], *, small: bool = False
) -> None:
    """A marker and colour for each class; train filled, dev hollow, test filled with a black rim."""
    size = marker_size(points) * (0.4 if small else 1)
    for one in points:
        for index in np.unique(one.truth):
            look = _look(one.split, style.color_of(int(index), len(classes)), points)
            look["linewidths"] *= min(1.0, size / 9)  # the rims of many small markers must not cover them
            marker = style.marker_of(int(index)) if len(classes) <= NAMED else "o"
            here = one.truth == index
            places, opacity = one.places[here], None if one.opacity is None else one.opacity[here]
            axes.scatter(places[:, 0], places[:, 1], s=size, marker=marker, zorder=3, alpha=opacity, **look)


def marker_size(points: tuple[Points, ...]) -> float:
    """Smaller markers where there are many, in points squared."""
    return float(np.clip(9000 / max(1, sum(len(one.places) for one in points)), 5, 34))


def class_handles(
    points: tuple[Points, ...], classes: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Legend entries of the classes, and of the splits where there are several."""
    from matplotlib.lines import Line2D

    plain: dict[str, Any] = {"linestyle": "none", "markersize": 6.0}
    handles: dict[str, Any] = {}
    splits: dict[str, Any] = {}
    if len(classes) <= NAMED:
        for index, name in enumerate(classes):
            color = style.color_of(index, len(classes))
            handles[class_label(name)] = Line2D([], [], color=color, marker=style.marker_of(index), **plain)
    if len(points) > 1:
        for one in points:
            look = _look(one.split, style.GREY, points)
            splits[f"{one.split} ({one.rows:,} rows)"] = Line2D(
                [],
                [],
                marker="o",
                markerfacecolor=look["facecolors"],
                markeredgecolor=look["edgecolors"],
                markeredgewidth=look["linewidths"],
                **plain,
            )
    return handles, splits


def class_label(name: str) -> str:
    """A class as legends call it; a number by itself would not say that it is one."""
    return f"class {style.name(name)}"


def _look(split: str, color: str, points: tuple[Points, ...]) -> dict[str, Any]:
    if len(points) == 1 or split == "train":
        return {"facecolors": color, "edgecolors": "white", "linewidths": 0.3}
    if split == "dev":
        return {"facecolors": "white", "edgecolors": color, "linewidths": 1.0}
    return {"facecolors": color, "edgecolors": "black", "linewidths": 0.9}
