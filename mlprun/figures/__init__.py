"""What a user looks at: files of one or two pictures, and what they share. Loads no heavy library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun import files
from mlprun.errors import UsageError

# isort: off
# importing a picture registers it, in the order in which they are listed and drawn
from mlprun.figures import loss, metrics, learning_rate, data, regions, frames, fit, outputs  # noqa: F401
from mlprun.figures import numbers, confusion, threshold_curves  # noqa: F401
from mlprun.figures import probabilities, calibration, weights, weight_changes  # noqa: F401

# isort: on
from mlprun.figures.comparison import OVERLAYS
from mlprun.figures.plot import Plot, kinds, named
from mlprun.figures.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from mlprun.verification.verify import Verification

__all__ = [
    "OVERLAYS",
    "Plot",
    "Subject",
    "draw",
    "encode",
    "form_of",
    "kinds",
    "make",
    "names",
    "overlay",
    "refusal",
    "save",
    "verified",
]


def names() -> list[str]:
    """The names of all pictures, in the order in which they are drawn."""
    return [part.names()[0] for part in kinds]


def make(kind: str, **options: Any) -> Plot:
    """The picture of that name with its options. Raises UsageError for an unknown name or option."""
    return named(kinds, kind, options)


def refusal(plot: Plot, subject: Subject) -> str | None:
    """Why a picture cannot be drawn of a run; None if it can. DataError where it needs data that is gone."""
    reason = plot.refuses(subject)
    if reason is None and plot.needs_data:
        return None if len(subject.experiment.fixed["train"]) else "there are no rows"
    return reason


def draw(kind: str, subject: Subject, **options: Any) -> Figure:
    """One picture of a run, which a notebook shows. Raises UsageError where it makes no sense for the run."""
    from mlprun.figures import canvas

    plot = make(kind, **options)
    reason = refusal(plot, subject)
    if reason is not None:
        raise UsageError(kind, f"cannot be drawn of {subject.name}: {reason}", "mlprun plot RUN --list")
    return canvas.finished(plot.draw, plot.compute(subject))


def overlay(subjects: Sequence[Subject], figure_name: str = "loss") -> Figure:
    """The curves of several runs in one picture: `loss` or `metrics`."""
    from mlprun.figures import canvas
    from mlprun.figures.comparison import compute_overlay, draw_overlay

    return canvas.finished(draw_overlay, compute_overlay(subjects, figure_name))


def verified(verification: Verification) -> Figure:
    """The curves of a verification in one picture, and how far they are apart."""
    from mlprun.figures import canvas
    from mlprun.figures.agreement import compute_agreement, draw_agreement

    return canvas.finished(draw_agreement, compute_agreement(verification))


def form_of(path: str) -> str:
    """The format that a path's ending names: png, svg or pdf. UsageError for another ending."""
    from mlprun.figures import canvas

    form = path.rpartition(".")[2].lower()
    if form not in canvas.FORMATS:
        raise UsageError(
            path, "is no picture's name", f"end it in {', '.join('.' + known for known in canvas.FORMATS)}"
        )
    return form


def encode(figure: Figure, path: str, *, dpi: int | None = None) -> bytes:
    """The figure in the format that the path's ending names."""
    from mlprun.figures import canvas

    return canvas.encode(figure, form_of(path), dpi=dpi or canvas.DPI)


def save(figure: Figure, path: str, *, dpi: int | None = None) -> None:
    """Write the figure to a file, in the format that its ending names, replacing what is there."""
    files.write_atomic(path, encode(figure, path, dpi=dpi))
