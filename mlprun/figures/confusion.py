"""Which classes are taken for which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.plot import NetworkPlot, kinds
from mlprun.figures.scores import refuses_classes, tested
from mlprun.parts import SplitName

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.figures.subject import Subject

WRITTEN = 16
"""classes whose counts are written into the cells, at most"""


@dataclass(frozen=True)
class Confusion:
    """`counts` is [C, C]: rows are true classes, columns predicted ones."""

    title: str
    details: tuple[str, ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]


@kinds.register
class ConfusionMatrix(NetworkPlot):
    """How many rows of each class the network took for which class."""

    name: Literal["confusion"] = "confusion"
    split: SplitName | None = Field(
        None, description="whose rows; by default test, or dev where there is no test"
    )

    def refuses(self, subject: Subject) -> str | None:
        return refuses_classes(subject)

    def compute(self, subject: Subject) -> Confusion:
        epoch, split = self.moment(subject), tested(subject, self.split)
        said = subject.predictions(split, epoch)
        assert said.classes is not None
        count = len(said.classes)
        pairs = np.asarray(said.targets, np.int64) * count + said.labels
        counts = np.bincount(pairs, minlength=count * count).reshape(count, count)
        right = float(np.trace(counts)) / max(1, int(counts.sum()))
        details = f"{split}, {int(counts.sum()):,} rows; {subject.call(epoch)}; {right:.1%} on the diagonal"
        return Confusion(f"Confusion matrix of {subject.name}", (details,), said.classes, counts)

    def draw(self, values: Confusion) -> Figure:
        from mlprun.figures import canvas

        count = len(values.classes)
        size = float(np.clip(2.9 + 0.27 * count, 3.3, 6.3))
        figure = canvas.picture(width=size + 1.1 if count < 12 else style.PAGE, height=size)
        axes = figure.subplots()
        totals = values.counts.sum(axis=1, keepdims=True)
        shares = values.counts / np.maximum(totals, 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
        if count <= WRITTEN:
            _write(axes, values.counts, shares)
        _name_classes(axes, values.classes)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        canvas.entitle(figure, values.title, *values.details)
        return figure


def _write(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    few = len(counts) <= 6
    for (row, column), number in np.ndenumerate(counts):
        text = f"{number:,}" + (f"\n{shares[row, column]:.0%}" if few else "")
        color = "white" if shares[row, column] > 0.55 else "black" if number else "#999999"
        axes.text(
            column, row, text, ha="center", va="center", color=color, fontsize=style.SIZE - (0 if few else 2)
        )


def _name_classes(axes: Axes, classes: tuple[str, ...]) -> None:
    count = len(classes)
    if count > 30:
        axes.set_title("class ids", fontsize=style.SIZE, loc="left")
        return
    names = [style.name(name, 14) for name in classes]
    slanted = max(map(len, names)) * count > 45
    turn = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(count), names, **turn)  # type: ignore[arg-type]
    axes.set_yticks(range(count), names)
