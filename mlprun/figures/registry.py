"""Computing, drawing and saving figures by name. Importing this registers all figures of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun import files

# isort: off
# importing a figure registers it, in the order in which they are listed and drawn
from mlprun.figures import curves, rows, regions, outputs, regression  # noqa: F401
from mlprun.figures import classification, weights  # noqa: F401

# isort: on
from mlprun.errors import UsageError
from mlprun.figures.figure import Figure, make, run_figures, sweep_figures
from mlprun.figures.run_data import RunData

if TYPE_CHECKING:
    import matplotlib.figure

    from mlprun.figures.chart import Chart
    from mlprun.parts.part import Registry

__all__ = ["FORMATS", "compute", "draw", "encode", "format_of", "make", "run_figures", "save"]

FORMATS = ("png", "svg", "pdf")


def compute(kind: str, data: Any, **options: Any) -> Chart:
    """The chart of one kind of a run or a sweep. Raises UsageError where the kind does not apply to it."""
    of_run = isinstance(data, RunData)
    registry: Registry[Any] = run_figures if of_run else sweep_figures
    figure: Figure = make(registry, kind, options)
    reason = figure.unsupported_reason(data)
    if reason is not None:
        remedy = f"mlprun plot {'RUN' if of_run else 'SWEEP'} --list"
        raise UsageError(kind, f"cannot be drawn of {data.name}: {reason}", remedy)
    return figure.compute(data)


def draw(kind: str, data: Any, **options: Any) -> matplotlib.figure.Figure:
    """One figure of a run or a sweep, which a notebook shows. Raises UsageError where it does not apply."""
    from mlprun.figures import render

    return render.draw(compute(kind, data, **options))


def format_of(path: str) -> str:
    """The format that a path's suffix names: png, svg or pdf. Raises UsageError for another suffix."""
    form = path.rpartition(".")[2].lower()
    if form not in FORMATS:
        endings = ", ".join("." + known for known in FORMATS)
        raise UsageError(path, "is no figure's name", f"end it in {endings}")
    return form


def encode(chart: Chart, form: str, *, dpi: int = 200) -> bytes:
    """The chart as a file of that format: png, svg, pdf or, of an animation, gif."""
    from mlprun.figures import render

    return render.encode(chart, form, dpi=dpi)


def save(chart: Chart, path: str, *, dpi: int = 200) -> None:
    """Write the chart to a file in the format of its suffix, replacing what is there."""
    files.write_atomic(path, encode(chart, format_of(path), dpi=dpi))
