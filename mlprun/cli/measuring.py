"""What a step costs on each engine, beside a plain PyTorch loop that does the same.

All evaluate dev and keep a row of history as often, after a whole epoch. They take turns, so that a busy
machine slows all; figures are medians over turns, ratios medians of each turn's ratio.
"""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from mlprun import engines
from mlprun.cli.plain import Plain
from mlprun.cli.workloads import LONG, endless, steps_of
from mlprun.engines import ChunkResult, RunFailure
from mlprun.engines.contract import never
from mlprun.errors import DivergedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlprun.engines import Engine
    from mlprun.experiment import Experiment
    from mlprun.schema import Config

    Runner = Callable[[int], object]
    """trains so many epochs beyond those of the call before"""

PLAIN = "plain PyTorch"
SLOWER = 10.0
"""how much smaller the learning rate is made for a run that diverges while it is measured"""
TRIES = 8


@dataclass(frozen=True)
class Cost:
    """What a step takes: microseconds, and how many times less than the plain loop."""

    engine: str
    microseconds: float
    ratio: float

    @property
    def steps_per_second(self) -> float:
        """Steps in a second."""
        return 1e6 / self.microseconds


@dataclass(frozen=True)
class Measured:
    """What was found of a config: costs, the plain loop's first, and why other engines cannot run it."""

    costs: Sequence[Cost]
    refusals: Mapping[str, str]


def measure(config: Config, *, rounds: int, seconds: float, say: Callable[[str], None]) -> Measured:
    """The plain loop and every engine that can run a config; a turn of each takes about `seconds`.

    A run that diverges is measured with a smaller learning rate, which is the same arithmetic.
    """
    for _ in range(TRIES):
        try:
            return _measured(config, rounds=rounds, seconds=seconds, say=say)
        except DivergedError:
            rate = config.optimizer.lr
            smaller = config.optimizer.model_copy(update={"lr": rate / SLOWER})
            config = config.model_copy(update={"optimizer": smaller})
            say(f"{config.name} diverges in the long run with lr {rate:g}; measured with {smaller.lr:g}")
    return _measured(config, rounds=rounds, seconds=seconds, say=say)


def _measured(config: Config, *, rounds: int, seconds: float, say: Callable[[str], None]) -> Measured:
    experiment, every = endless(config)
    refusals = {engine.name: engine.unsupported_reason(experiment) for engine in engines.every()}
    clock = time.thread_time if config.training.threads == 1 else time.perf_counter
    with threads(config.training.threads):
        runners = runners_of(experiment, every, say)
        turns = by_turns(runners, rounds=rounds, seconds=seconds, unit=every, clock=clock)
    return Measured(
        compared(turns, steps_of(experiment)),
        {name: reason for name, reason in refusals.items() if reason is not None},
    )


def runners_of(experiment: Experiment, every: int, say: Callable[[str], None]) -> dict[str, Runner]:
    """The plain loop and the engines that can run an experiment, by name."""
    runners: dict[str, Runner] = {PLAIN: Plain(experiment, every).train}
    for engine in engines.every():
        if engine.unsupported_reason(experiment) is None:
            engine.warm_up(experiment, say)
            runners[engine.name] = Training(engine, [experiment]).train
    return runners


class Training:
    """Runs on an engine that go on from call to call."""

    def __init__(self, engine: Engine, experiments: Sequence[Experiment]) -> None:
        self.engine, self.done, self.runs = engine, 0, len(experiments)
        starts = [engine.initial_state(experiment) for experiment in experiments]
        self.cohort = engine.open(experiments, starts, device="cpu")

    def train(self, epochs: int) -> Sequence[ChunkResult]:
        """Epochs of every run. Raises DivergedError."""
        self.done += epochs
        advances: list[ChunkResult] = []
        for advance in self.engine.advance(self.cohort, [self.done] * self.runs, never):
            if isinstance(advance, RunFailure):
                raise advance.error
            advances.append(advance)
            if advance.stopped is not None:
                what = f"a run {advance.stopped} after epoch {advance.epoch} while it was measured"
                raise DivergedError("bench", what, "choose a smaller learning rate")
        return advances


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch compute on so many threads."""
    former = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def by_turns(
    runners: Mapping[str, Runner],
    *,
    rounds: int,
    seconds: float,
    unit: int,
    clock: Callable[[], float] = time.thread_time,
) -> list[dict[str, float]]:
    """Seconds of an epoch of each runner, turn by turn.

    Turns are multiples of `unit` epochs, so that each evaluates as often. The clock is of this thread's
    processor unless work is done by others.
    """
    epochs = {name: _fitting(run, seconds, unit, clock) for name, run in runners.items()}
    return [
        {name: _timed(run, epochs[name], clock) / epochs[name] for name, run in runners.items()}
        for _ in range(rounds)
    ]


def compared(turns: Sequence[Mapping[str, float]], steps: int) -> list[Cost]:
    """What a step of each runner costs, an epoch having so many; ratios are to the first runner."""
    first = next(iter(turns[0]))
    return [
        Cost(
            name,
            1e6 * statistics.median(turn[name] for turn in turns) / steps,
            statistics.median(turn[first] / turn[name] for turn in turns),
        )
        for name in turns[0]
    ]


def _fitting(run: Runner, seconds: float, unit: int, clock: Callable[[], float]) -> int:
    """How many epochs take about that long."""
    epochs = unit
    while True:
        took = _timed(run, epochs, clock)
        if took >= seconds / 4 or epochs >= LONG // 1000:
            return max(1, round(epochs * seconds / took / unit)) * unit
        epochs *= 4


def _timed(run: Runner, epochs: int, clock: Callable[[], float]) -> float:
    began = clock()
    run(epochs)
    return max(clock() - began, 1e-9)
