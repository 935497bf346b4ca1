"""mlprun from Python, as in a notebook; the commands are made of the same functions.

run = mlprun.train("configs/moons.yaml", "optimizer.lr=0.1")
run.history["dev_loss"], run.figures, run.model, run.plot()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.api.run import Run, load, load_checkpoint
    from mlprun.api.sweeps import Sweep, load_definition, load_sweep, sweep
    from mlprun.api.training import Silent, SilentSweep, load_config, reproduce, resume, train, verify

__all__ = [
    "Run",
    "Silent",
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
    "run": ("Run", "load", "load_checkpoint"),
    "sweeps": ("Sweep", "load_definition", "load_sweep", "sweep"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: importing this package alone does not load torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "training")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
