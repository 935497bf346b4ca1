"""Reports: one HTML file for a run, a sweep or several runs, readable offline and without scripts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.report.run import comparison_report, run_report, run_summary
    from mlprun.report.sweep import sweep_report

__all__ = ["FILE", "comparison_report", "run_report", "run_summary", "sweep_report"]

FILE = "report.html"
"""the name of a report in the folder of a run or sweep"""


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: importing this package alone loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "sweep" if name == "sweep_report" else "run"
    return getattr(import_module(f"{__name__}.{module}"), name)
