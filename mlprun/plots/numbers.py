"""Predicted against true numbers, as two pictures of them need it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlprun.plots import style
from mlprun.plots.plane import spread
from mlprun.plots.points import POINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlprun.plots.subject import Subject

TARGETS = 6


@dataclass(frozen=True)
class Answers:
    """True and predicted numbers [N, K] of one split, in the user's units."""

    split: str
    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    rows: int


@dataclass(frozen=True)
class Numbers:
    """Answers on all splits for the first targets."""

    title: str
    details: tuple[str, ...]
    targets: tuple[str, ...]
    answers: tuple[Answers, ...]


def refuses_numbers(subject: Subject) -> str | None:
    """Why there are no predicted numbers."""
    return "targets are classes" if subject.classes is not None else None


def numbers(subject: Subject, epoch: int, title: str) -> Numbers:
    """What the network after `epoch` predicts for every split."""
    found = []
    for split in subject.splits:
        said = subject.predictions(split, epoch)
        chosen = spread(len(said.outputs), POINTS)
        true, predicted = (
            np.asarray(values[chosen], np.float64)[:, :TARGETS] for values in (said.targets, said.outputs)
        )
        found.append(Answers(split, true, predicted, len(said.outputs)))
    names = subject.preprocessing.target_names
    fewer = [
        f"{len(one.true):,} of {one.rows:,} {one.split} rows" for one in found if len(one.true) < one.rows
    ]
    cut = f"the first {TARGETS} of {len(names)} targets" if len(names) > TARGETS else ""
    about = "; ".join(part for part in (subject.call(epoch), *fewer, cut) if part)
    shown = tuple(style.name(name) for name in names[:TARGETS])
    return Numbers(f"{title} of {subject.name}", (about,), shown, tuple(found))


def draw_points(
    axes: Axes, one: Answers, across: NDArray[np.float64], up: NDArray[np.float64], total: int
) -> None:
    """One split's points."""
    look = style.SPLIT_LINES[one.split]
    size = float(np.clip(5000 / max(1, total), 6, 26))
    hollow = one.split == "dev"
    axes.scatter(
        across,
        up,
        s=size,
        marker=look.marker,
        facecolors="none" if hollow else look.color,
        edgecolors=look.color if hollow else "white",
        linewidths=0.9 if hollow else 0.2,
        label=f"{one.split} ({one.rows:,} rows)",
    )
