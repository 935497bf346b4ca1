"""mlprun: the experiment runner for small neural networks.

    import mlprun

    run = mlprun.train("configs/moons.yaml", "optimizer.lr=0.1")
    run.history, run.metrics, run.model, run.plot()

`train`, `resume` and `load` give a `Run`; `load_checkpoint` gives the network of one checkpoint; `sweep`,
which runs many trials, and `load_sweep` give a `Sweep`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.version import __version__

if TYPE_CHECKING:
    from mlprun.api import Callback, Run, Sweep, load, load_checkpoint, load_sweep, resume, sweep, train

__all__ = [
    "Callback",
    "Run",
    "Sweep",
    "__version__",
    "load",
    "load_checkpoint",
    "load_sweep",
    "resume",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a name of the API on first use: it loads torch, which light commands do without."""
    if name in __all__:
        from mlprun import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names above too, before they are imported, so that completion offers them."""
    return sorted({*globals(), *__all__})
