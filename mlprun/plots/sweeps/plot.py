"""What a picture of a sweep is: options, when it makes sense, what is computed for it, how that is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.parts.part import Registry
from mlprun.plots.plot import Picture

if TYPE_CHECKING:
    from mlprun.plots.sweeps.subject import Sweep


class SweepPlot(Picture):
    """Base of all pictures of a sweep."""

    def refuses(self, sweep: Sweep) -> str | None:
        """Why this picture makes no sense for the sweep; None if it does."""
        raise NotImplementedError

    def compute(self, sweep: Sweep) -> Any:
        """What is drawn, as plain data."""
        raise NotImplementedError


kinds: Registry[SweepPlot] = Registry("sweep_plot", "sweep_plots")
