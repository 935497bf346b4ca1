"""How steps are executed: interchangeable engines behind one contract."""

from __future__ import annotations

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

__all__ = [
    "Best",
    "ChunkResult",
    "Engine",
    "Improvement",
    "Progress",
    "RunFailure",
    "State",
    "StopCondition",
    "choose",
    "every",
]


def _engines() -> dict[str, Engine]:
    from mlprun.engines.fused import FusedEngine
    from mlprun.engines.scratch.trainer import ScratchEngine
    from mlprun.engines.torch import TorchEngine

    return {engine.name: engine for engine in (TorchEngine(), FusedEngine(), ScratchEngine())}


def choose(experiment: Experiment, name: str) -> tuple[Engine, str]:
    """The engine that `engine: name` means for this experiment, and why it is that one.

    `auto` is a function of the config and its rows alone. Raises UsageError when the named engine cannot run
    the experiment.
    """
    engines = _engines()
    if name == "auto":
        return _chosen(experiment, engines)
    if name not in engines:
        raise UsageError(
            "engine", f"{name!r} is not an engine of this version", f"use {', '.join(engines)} or auto"
        )
    reason = engines[name].unsupported_reason(experiment)
    if reason is not None:
        raise UsageError("engine", f"{name} cannot run this experiment: {reason}", "use engine: auto")
    return engines[name], f"the config names {name}"


def every() -> list[Engine]:
    """All engines, the definition first."""
    return list(_engines().values())


def named(name: str) -> Engine:
    """The engine of that name, which must be one."""
    return _engines()[name]


def _chosen(experiment: Experiment, engines: dict[str, Engine]) -> tuple[Engine, str]:
    """What `auto` takes: the fused engine where it can run the experiment and is worth loading."""
    from mlprun.engines.fused import support

    reason = engines["fused"].unsupported_reason(experiment)
    if reason is not None:
        return engines["torch"], f"auto: fused cannot run it: {reason}"
    torch, fused = support.estimated_seconds(experiment)
    if fused < torch:
        return engines["fused"], "auto: the fastest that can run it"
    return engines["torch"], "auto: fused would take no less time, its start included"
