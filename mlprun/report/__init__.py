"""Reports: one HTML file for a run, a sweep or several runs, readable offline and without scripts."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.report.page import Markup, Section, assemble, element, write_page
    from mlprun.report.run import comparison_report, run_report
    from mlprun.report.sweep import sweep_report

__all__ = [
    "Markup",
    "Section",
    "assemble",
    "comparison_report",
    "element",
    "run_report",
    "sweep_report",
    "write_page",
]

FILE = "report.html"
"""the name of a report in the folder of a run or sweep"""
_MODULES = {
    "page": ("Markup", "Section", "assemble", "element", "write_page"),
    "run": ("comparison_report", "run_report"),
    "sweep": ("sweep_report",),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: importing this package alone loads nothing."""
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
