"""How steps are executed: interchangeable engines behind one contract."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from mlprun.engines.contract import (
    Best,
    ChunkResult,
    Engine,
    Improvement,
    Progress,
    RunFailure,
    State,
    StopCondition,
)
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from mlprun.experiment import Experiment


_ENGINES = {
    "torch": "torch.TorchEngine",
    "fused": "fused.FusedEngine",
    "scratch": "scratch.trainer.ScratchEngine",
}
"""the reference first; each is imported when it is first used"""
NAMES = tuple(_ENGINES)


@cache
def named(name: str) -> Engine:
    """Return the engine of that name. Raises KeyError."""
    module, _, kind = _ENGINES[name].rpartition(".")
    engine: Engine = getattr(import_module(f"{__name__}.{module}"), kind)()
    return engine


def every() -> list[Engine]:
    """Return all engines, the reference first."""
    return [named(name) for name in _ENGINES]


def choose(experiment: Experiment, name: str) -> tuple[Engine, str]:
    """Return the engine that `engine: name` means for this experiment, and why it is that one.

    `auto` is a function of the config and its rows alone. Raises UsageError when the named engine cannot run
    the experiment.
    """
    if name == "auto":
        return _choose_fastest(experiment)
    if name not in _ENGINES:
        raise UsageError(
            "engine", f"{name!r} is not an engine of this version", f"use {', '.join(_ENGINES)} or auto"
        )
    reason = named(name).unsupported_reason(experiment)
    if reason is not None:
        raise UsageError("engine", f"{name} cannot run this experiment: {reason}", "use engine: auto")
    return named(name), f"the config names {name}"


def _choose_fastest(experiment: Experiment) -> tuple[Engine, str]:
    """Return the fused engine if it can run the experiment and is worth loading, else the torch engine."""
    from mlprun.engines.fused import support

    reason = named("fused").unsupported_reason(experiment)
    if reason is not None:
        return named("torch"), f"auto: fused cannot run it: {reason}"
    torch, fused = support.estimated_seconds(experiment)
    if fused + support.STARTUP < torch + support.TORCH_STARTUP:
        return named("fused"), "auto: the fastest that can run it"
    return named("torch"), "auto: fused would take no less time, its start included"
