"""Verify a config: train it with every engine from the same weights, compare, and check the gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.parts.data import short_repr
from mlprun.verification import gradcheck
from mlprun.verification.agreement import STRAYED, TrajectoryPair, compare, largest, max_difference
from mlprun.verification.references import ReferenceComparison, compare_with, open_reference
from mlprun.verification.trajectories import (
    DEFINITION,
    DTYPES,
    Setup,
    Trajectory,
    epochs_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.schema import Config
    from mlprun.verification.gradcheck import GradientCheck


@dataclass(frozen=True)
class Verification:
    """The results of verifying a config."""

    __repr__ = short_repr

    name: str
    """Of the config."""
    dtype: str
    """The config's."""
    epochs: int
    steps: int
    requested_epochs: int
    """More than `epochs` where rounding grew too large to compare them all."""
    trajectories: tuple[Trajectory, ...]
    refused: dict[str, str]
    """Why engines cannot run the config, by engine."""
    pairs: tuple[TrajectoryPair, ...]
    checks: tuple[GradientCheck, ...]
    comparison: ReferenceComparison | None = None
    """With a run, a config or a script's losses, where that was asked for."""

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that ran it."""
        return tuple(dict.fromkeys(one.engine for one in self.trajectories))

    @property
    def agrees(self) -> bool:
        """Whether every pair and every gradient is within its bounds."""
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is out of bounds, as sentences."""
        problems = [
            f"{pair.one} and {pair.other} differ in {name} by {difference.value:.3g}, "
            f"more than {difference.bound:.3g}"
            for pair in self.pairs
            for name, difference in pair.differences.items()
            if not difference.agrees
        ]
        problems += [
            f"{check.engine} has {check.wrong} wrong of {check.checked} gradients, the worst at {check.where}"
            for check in self.checks
            if not check.agrees
        ]
        if self.comparison is not None and not self.comparison.agrees:
            name, epoch = self.comparison.reference.name, self.comparison.first_epoch
            problems.append(f"{name} is another curve from epoch {epoch} on")
        return tuple(problems)


def verify(
    config: Config,
    *,
    steps: int | None = None,
    coordinates: int,
    against: str | None = None,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Compare the engines over some steps (by default 100, or 10 if nonsmooth) and check their gradients.

    `coordinates` is how many entries of the gradient are checked, at most. `against` names a run folder, a
    config or a CSV of losses to compare with. Raises UsageError, DataError, DeviceError as training does, and
    what opening the other one raises.
    """
    setup = Setup.of(config)
    with devices.compute_context(setup.config.training.threads, setup.device):
        requested = epochs_for(setup.experiments["float64"], steps)
        epochs, trajectories = _while_rounding_only_grows(setup, requested)
        refused = {}
        for engine in engines.every():
            if engine.name == DEFINITION:
                continue
            reasons = {dtype: engine.unsupported_reason(setup.experiments[dtype]) for dtype in DTYPES}
            if reasons["float64"] is not None:
                refused[engine.name] = reasons["float64"]
            for dtype in dict.fromkeys((setup.config.training.dtype, "float64")):
                if reasons[dtype] is None:
                    engine.warm_up(setup.experiments[dtype], say)
                    trajectories.append(setup.train(dtype, epochs, engine))
        gradients = {one.engine: one.gradient for one in trajectories if one.dtype == "float64"}
        checks = gradcheck.check_gradients(
            setup.experiments["float64"], setup.state, gradients, limit=coordinates
        )
        comparison = None
        if against is not None:
            reference = open_reference(against, epochs=epochs, allow_code=allow_code)
            comparison = compare_with(reference, setup, *trajectories[:2])
    return Verification(
        config.name,
        config.training.dtype,
        epochs,
        epochs * setup.experiments["float64"].steps_per_epoch,
        requested,
        tuple(trajectories),
        refused,
        tuple(compare(trajectories)),
        tuple(checks),
        comparison,
    )


def _while_rounding_only_grows(setup: Setup, epochs: int) -> tuple[int, list[Trajectory]]:
    """Torch in both precisions, over fewer epochs where its float32 strays: no bound holds there."""
    while True:
        rounded, exact = (setup.train(dtype, epochs) for dtype in DTYPES)
        if epochs == 1 or not _strays(rounded, exact):
            return epochs, [rounded, exact]
        epochs //= 2


def _strays(rounded: Trajectory, exact: Trajectory) -> bool:
    if rounded.diverged != exact.diverged:
        return True
    pairs = ((rounded.curve, exact.curve), (rounded.weights, exact.weights))
    return any(max_difference(near, reference) > STRAYED * largest(reference) for near, reference in pairs)
