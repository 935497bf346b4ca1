"""Best so far, patience and plateau: pure functions of the dev figures a run has met.

Used by the engines that work epoch by epoch, and the reference for those that do it inside a kernel.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.parts.schedules import ReduceOnPlateau


@dataclass(frozen=True)
class Plateau:
    """The state of reduce_on_plateau: the factor on the learning rate and what leads to the next cut."""

    factor: float = 1.0
    best: float | None = None
    bad_evaluations: int = 0
    cooldown_left: int = 0


@dataclass(frozen=True)
class Progress:
    """How a run stands after the epochs it has seen: its best evaluation and the plateau's state."""

    best_epoch: int = 0
    best_value: float | None = None
    plateau: Plateau = Plateau()
    undefined: int = 0
    """evaluations since the best one where the watched figure was not a number"""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Progress:
        """The inverse of `to_json`. Raises an error of Python's own for what it cannot have given."""
        plateau = Plateau(**value["plateau"])
        undefined = value.get("undefined", 0)  # mlprun 0.1 did not count them
        counts = value["best_epoch"], plateau.bad_evaluations, plateau.cooldown_left, undefined
        figures = [figure for figure in (value["best_value"], plateau.best) if figure is not None]
        if not all(type(count) is int and 0 <= count < 2**53 for count in counts):
            raise ValueError("its progress counts what is no count")
        if not all(type(figure) in (int, float) and not math.isnan(figure) for figure in figures):
            raise ValueError("its progress knows a best value that is no number")
        if not (type(plateau.factor) in (int, float) and 0 <= plateau.factor < math.inf):
            raise ValueError("its plateau has a factor that is none")
        if (value["best_value"] is None) != (value["best_epoch"] == 0):
            raise ValueError("its progress has a best epoch without a value, or a value without an epoch")
        return cls(value["best_epoch"], value["best_value"], plateau, undefined)


def improves(value: float, best: float | None, mode: str) -> bool:
    """Whether `value` is strictly better than `best`; nan never is, and any number is better than none."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value < best if mode == "min" else value > best


def observe(progress: Progress, epoch: int, value: float, mode: str) -> Progress:
    """Progress after the watched dev figure was `value` at `epoch`."""
    if improves(value, progress.best_value, mode):
        return replace(progress, best_epoch=epoch, best_value=value, undefined=0)
    return replace(progress, undefined=progress.undefined + 1) if math.isnan(value) else progress


def observe_plateau(
    progress: Progress, value: float, mode: str, schedule: ReduceOnPlateau, *, lr: float
) -> Progress:
    """Progress after the plateau schedule saw `value`; nan is ignored; `lr` is the config's learning rate."""
    if math.isnan(value):
        return progress
    state = progress.plateau
    best, bad, cooldown, factor = state.best, state.bad_evaluations, state.cooldown_left, state.factor
    if schedule.improves(value, best, mode):
        best, bad = value, 0
    else:
        bad += 1
    if cooldown > 0:
        cooldown, bad = cooldown - 1, 0
    if bad > schedule.patience:
        factor, cooldown, bad = schedule.cut(factor, lr), schedule.cooldown, 0
    return replace(progress, plateau=Plateau(factor, best, bad, cooldown))


def out_of_patience(progress: Progress, epoch: int, patience: int | None, *, every: int = 1) -> bool:
    """Whether `patience` epochs have passed since the best one, those not counted whose figure was nan.

    An evaluation stands for the `every` epochs up to it.
    """
    passed = epoch - progress.best_epoch - progress.undefined * every
    return patience is not None and passed >= patience
