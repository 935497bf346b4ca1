"""What a user looks at of a sweep: one file per picture. Importing it loads no heavy library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.errors import UsageError

# isort: off
# importing a picture registers it, in the order in which they are listed and drawn
from mlprun.figures.sweeps import curves, parameter, heat_map, success, parallel  # noqa: F401
from mlprun.figures.sweeps import distribution, importance  # noqa: F401

# isort: on
from mlprun.figures.plot import SweepPlot, named, sweep_kinds
from mlprun.figures.sweeps.subject import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Sweep", "SweepPlot", "draw", "make", "names", "sweep_kinds"]


def names() -> list[str]:
    """The names of all pictures of sweeps, in the order in which they are drawn."""
    return [part.names()[0] for part in sweep_kinds]


def make(kind: str, **options: Any) -> SweepPlot:
    """The picture of that name with its options. Raises UsageError for an unknown name or option."""
    return named(sweep_kinds, kind, options)


def draw(kind: str, sweep: Sweep, **options: Any) -> Figure:
    """One picture of a sweep, which a notebook shows. Raises UsageError where it makes no sense."""
    from mlprun.figures import canvas

    plot = make(kind, **options)
    reason = plot.refuses(sweep)
    if reason is not None:
        raise UsageError(kind, f"cannot be drawn of {sweep.name}: {reason}", "mlprun plot SWEEP --list")
    return canvas.finished(plot.draw, plot.compute(sweep))
