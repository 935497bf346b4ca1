"""The curves of several runs over one another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun.errors import UsageError
from mlprun.figures import style
from mlprun.figures.curves import Curve, curve, draw_curves, wants_log
from mlprun.figures.panels import Panels, fitting, head
from mlprun.parts.losses import Loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject

PANELS = 40
RUNS = 12
"""runs that a legend can tell apart, at most; more are refused"""
OVERLAYS = ("loss", "metrics")


@dataclass(frozen=True)
class Overlay:
    """Curves of each run by column of the history."""

    title: str
    details: tuple[str, ...]
    curves: dict[str, tuple[Curve, ...]]
    may_be_log: bool
    """whether values that span much get a logarithmic axis"""


def compute_overlay(subjects: Sequence[Subject], figure_name: str) -> Overlay:
    """The columns that a picture of several runs draws, of those that have them. UsageError without any."""
    if figure_name not in OVERLAYS:
        raise UsageError(
            figure_name, "is no picture of several runs", f"expected one of {', '.join(OVERLAYS)}"
        )
    if len(subjects) > RUNS:
        raise UsageError("runs", f"{len(subjects)} curves cannot be told apart", f"name at most {RUNS}")
    found: dict[str, tuple[Curve, ...]] = {}
    for column in dict.fromkeys(column for subject in subjects for column in _columns(subject, figure_name)):
        every = (
            curve(label, subject.history, column, _line(index))
            for index, (label, subject) in enumerate(zip(_labels(subjects), subjects, strict=True))
        )
        known = tuple(one for one in every if one is not None)
        if known:
            found[column] = known
    if not found:
        raise UsageError("runs", f"none has any {figure_name} to draw", "train them first")
    names = dict.fromkeys(subject.config.loss.name for subject in subjects)
    is_loss = figure_name == "loss"
    details = ("losses differ: " + ", ".join(names),) if is_loss and len(names) > 1 else ()
    title = f"{figure_name.capitalize()} of {len(subjects)} runs"
    shown, rest = fitting(found, PANELS)
    return Overlay(title, details + rest, shown, is_loss)


def _line(index: int) -> style.Line:
    # colours repeat after 10 runs and dashes after 6, so that no two of 12 share both
    return style.Line(
        style.COLORS[index % len(style.COLORS)],
        style.dashes_of(index),
        style.MARKERS[index % len(style.MARKERS)],
    )


def draw_overlay(values: Overlay) -> Figure:
    """The picture; to be called inside `style.styled()`."""
    from mlprun.figures import canvas

    panels = Panels(len(values.curves), columns=2, height=2.6, alone=4.2)
    for axes, (column, curves) in zip(panels.axes, values.curves.items(), strict=True):
        split, _, name = column.partition("_")
        draw_curves(axes, curves, log=values.may_be_log and wants_log(curves))
        axes.set_ylabel(name)
        head(axes, split)
    panels.label(below="epoch")
    canvas.entitle(panels.figure, values.title, *values.details)
    canvas.legend_below(panels.figure)
    return panels.figure


def _columns(subject: Subject, figure_name: str) -> list[str]:
    losses = {"loss", *(part.name for part in subject.config.metrics if isinstance(part, Loss))}
    columns = [column for column in subject.history if column.startswith(("train_", "dev_"))]
    names = {column: column.partition("_")[2] for column in columns}
    wanted = [
        column
        for column in columns
        if (names[column] in losses) == (figure_name == "loss") and names[column] != "objective"
    ]
    # train and dev of one figure stand side by side
    return sorted(wanted, key=lambda column: [names[other] for other in columns].index(names[column]))


def _labels(subjects: Sequence[Subject]) -> list[str]:
    """The runs' names; of equal ones from different folders, each with its number."""
    names = [style.name(subject.name, 40) for subject in subjects]
    return [name if names.count(name) == 1 else f"{name} ({k + 1})" for k, name in enumerate(names)]
