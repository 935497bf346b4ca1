"""mlprun: the experiment runner for small neural networks.

    import mlprun

    run = mlprun.train("configs/moons.yaml", "optimizer.lr=0.1")
    run.history, run.metrics, run.model, run.plot()

`train`, `resume` and `load` give a `Run`, `runs` those of a folder; `load_checkpoint` gives the network of
one checkpoint; `sweep`, which runs many trials, and `load_sweep` give a `Sweep`. What they raise is in
`mlprun.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlprun.version import __version__

if TYPE_CHECKING:
    from mlprun import errors
    from mlprun.api import (
        Callback,
        Run,
        RunHistory,
        RunList,
        Sweep,
        load,
        load_checkpoint,
        load_config,
        load_sweep,
        reproduce,
        resume,
        sweep,
        train,
        verify,
    )
    from mlprun.api.runs import runs

__all__ = [
    "Callback",
    "Run",
    "RunHistory",
    "RunList",
    "Sweep",
    "__version__",
    "errors",
    "load",
    "load_checkpoint",
    "load_config",
    "load_sweep",
    "reproduce",
    "resume",
    "runs",
    "sweep",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a name of the API on first use, so that importing the package alone loads nothing."""
    if name in ("api", "errors", "sklearn"):
        return import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # `mlprun.api.runs` is a module
    return getattr(import_module("mlprun.api.runs" if name == "runs" else "mlprun.api"), name)


def __dir__() -> list[str]:
    """Return the names that completion offers, imported or not."""
    return sorted(__all__)
