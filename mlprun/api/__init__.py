"""mlprun from Python, as in a notebook; the commands are made of the same functions.

run = mlprun.train("configs/moons.yaml", "optimizer.lr=0.1")
run.history["dev_loss"], run.metrics, run.model, run.plot()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.api.runs import Run, load, load_checkpoint, load_config, reproduce, resume, train, verify
    from mlprun.api.sweeps import SilentSweep, Sweep, load_definition, load_sweep, sweep
    from mlprun.training.trainer import Callback

__all__ = [
    "Callback",
    "Run",
    "SilentSweep",
    "Sweep",
    "load",
    "load_checkpoint",
    "load_config",
    "load_definition",
    "load_sweep",
    "reproduce",
    "resume",
    "sweep",
    "train",
    "verify",
]
_MODULES = {
    "training.trainer": ("Callback",),
    "api.sweeps": ("SilentSweep", "Sweep", "load_definition", "load_sweep", "sweep"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: runs load no sweeps, and light commands no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "api.runs")
    return getattr(importlib.import_module(f"mlprun.{module}"), name)


def __dir__() -> list[str]:
    """Return the names that completion offers."""
    return sorted({*globals(), *__all__})
