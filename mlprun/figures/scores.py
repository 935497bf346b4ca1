"""How well scores tell classes apart, for the pictures of classes and the curves over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlprun.figures import style
from mlprun.figures.plane import spread
from mlprun.parts.metrics import Ranking, rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject
    from mlprun.parts.metrics import Predictions

CLASSES = 10
"""classes that have a curve or panel of their own, at most: those with most rows"""
STEPS = 2000
"""points of a drawn curve, at most"""


def refuses_classes(subject: Subject) -> str | None:
    """Why there are no predicted classes."""
    return "targets are numbers" if subject.classes is None else None


def refuses_probabilities(subject: Subject) -> str | None:
    """Why there are no probabilities of classes."""
    if subject.classes is None:
        return "targets are numbers"
    said = subject.predictions(subject.splits[0], subject.last)
    return None if said.probabilistic else "the outputs are no probabilities"


def refuses_ranking(subject: Subject) -> str | None:
    """Why rows cannot be ranked by how likely a class is."""
    if subject.classes is None:
        return "targets are numbers"
    present = [len(np.unique(subject.rows(split).truth)) for split in subject.splits]
    return None if max(present) > 1 else "all rows are of one class"


def tested(subject: Subject, split: str | None) -> str:
    """The split that is asked for, or the one that training saw least of."""
    return split if split in subject.splits else subject.splits[-1]


@dataclass(frozen=True)
class Rankings:
    """One ranking for each split (of two classes) or for each class (of more, on one split)."""

    title: str
    details: tuple[str, ...]
    rankings: dict[str, tuple[Ranking, style.Line]]


def rankings(subject: Subject, epoch: int, split: str | None, what: str) -> Rankings:
    """All rankings that a picture shows; those without rows of both kinds are left out."""
    assert subject.classes is not None
    if len(subject.classes) <= 2:
        said = {
            name: subject.predictions(name, epoch)
            for name in ((split,) if split in subject.splits else subject.splits)
        }
        found = {
            name: (rank(_score(one, 1), one.targets == 1), style.SPLIT_LINES[name])
            for name, one in said.items()
        }
        first, second = (style.name(name) for name in (subject.classes[0], subject.classes[-1]))
        about = f"{subject.call(epoch)}; class {second} against {first}"
        return _kept(subject, what, about, found)
    chosen = tested(subject, split)
    one = subject.predictions(chosen, epoch)
    largest = frequent(one)
    lines = [
        style.Line(style.color_of(k, len(largest)), style.dashes_of(k), style.marker_of(k))
        for k in range(len(largest))
    ]
    found = {
        f"class {style.name(subject.classes[k])}": (rank(_score(one, k), one.targets == k), line)
        for k, line in zip(largest, lines, strict=True)
    }
    fewer = (
        f"; the {len(largest)} of {len(subject.classes)} classes with most rows"
        if len(largest) < len(subject.classes)
        else ""
    )
    return _kept(
        subject, what, f"{chosen}, {subject.call(epoch)}; each class against all others{fewer}", found
    )


def _kept(subject: Subject, what: str, about: str, found: dict[str, tuple[Ranking, style.Line]]) -> Rankings:
    both = {name: pair for name, pair in found.items() if pair[0].positives and pair[0].negatives}
    return Rankings(f"{what} of {subject.name}", (about,), both)


def _score(said: Predictions, index: int) -> NDArray[np.floating]:
    return said.outputs[:, 0] if said.outputs.shape[1] == 1 else said.outputs[:, index]


def frequent(said: Predictions) -> list[int]:
    """The classes with most rows, as many as a picture bears, in the order of their ids."""
    assert said.classes is not None
    counts = np.bincount(np.asarray(said.targets, np.int64), minlength=len(said.classes))
    return sorted(int(index) for index in np.argsort(-counts, kind="stable")[:CLASSES])


def draw_steps(
    axes: Axes,
    across: NDArray[np.float64],
    up: NDArray[np.float64],
    label: str,
    line: style.Line,
    *,
    steps: bool,
) -> None:
    """One curve over all thresholds, of too many points evenly spread ones."""
    chosen = spread(len(across), STEPS)
    axes.plot(
        across[chosen],
        up[chosen],
        label=label,
        color=line.color,
        linestyle=line.dashes,
        drawstyle="steps-pre" if steps else "default",
        clip_on=False,
        zorder=3,
    )
    axes.set(xlim=(0, 1), ylim=(0, 1.0))
    axes.set_aspect("equal")
