"""How steps are executed: interchangeable engines behind one contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun.engines.contract import Advance, Best, Engine, Improvement, State, Watch
from mlprun.engines.progress import Progress
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from mlprun.experiment import Experiment

__all__ = ["Advance", "Best", "Engine", "Improvement", "Progress", "State", "Watch", "choose"]


def _engines() -> dict[str, Engine]:
    from mlprun.engines.torch import TorchEngine

    return {engine.name: engine for engine in (TorchEngine(),)}


def choose(experiment: Experiment, name: str) -> tuple[Engine, str]:
    """The engine that `engine: name` means for this experiment, and why it is that one.

    `auto` is a function of the config alone. Raises UsageError when the named engine cannot run the
    experiment.
    """
    engines = _engines()
    if name == "auto":
        return engines["torch"], "auto: torch runs every config"
    if name not in engines:
        raise UsageError(
            "engine", f"{name!r} is not an engine of this version", f"use {', '.join(engines)} or auto"
        )
    reason = engines[name].refuses(experiment)
    if reason is not None:
        raise UsageError("engine", f"{name} cannot run this experiment: {reason}", "use engine: auto")
    return engines[name], f"the config names {name}"
