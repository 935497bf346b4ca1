"""Computing figures by name. Importing this registers all figures of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# isort: off
# importing a figure registers it, in the order in which they are listed and drawn
from mlprun.figures import curves, rows, regions, outputs, regression  # noqa: F401
from mlprun.figures import classification, weights, animation  # noqa: F401
from mlprun.figures import network, units, landscape, explanation  # noqa: F401

# isort: on
from mlprun.errors import UsageError
from mlprun.figures.figure import FORMATS, Figure, make, run_figures, sweep_figures
from mlprun.figures.run_data import RunData

if TYPE_CHECKING:
    from mlprun.figures.chart import Chart
    from mlprun.parts.part import Registry

__all__ = ["FORMATS", "compute", "format_of", "make", "run_figures"]


def compute(kind: str, data: Any, **options: Any) -> Chart:
    """The chart of one kind of a run or a sweep. Raises UsageError where the kind does not apply to it."""
    of_run = isinstance(data, RunData)
    registry: Registry[Any] = run_figures if of_run else sweep_figures
    figure: Figure = make(registry, kind, options)
    reason = figure.unsupported_reason(data)
    if reason is not None:
        remedy = "mlprun plot RUN --list" if of_run else "mlprun plot SWEEP --list"
        raise UsageError(kind, f"cannot be drawn of {data.name}: {reason}", remedy)
    return figure.compute(data)


def format_of(path: str) -> str:
    """The format that a path's suffix names: png, svg or pdf. Raises UsageError for another suffix."""
    form = path.rpartition(".")[2].lower()
    if form not in FORMATS:
        endings = ", ".join("." + known for known in FORMATS)
        raise UsageError(path, "is no figure's name", f"end it in {endings}")
    return form
