"""What a training step costs on each engine and in a plain PyTorch loop.

All evaluate dev and keep a row of history equally often, after a whole epoch. They take turns, so that a busy
machine slows all; times are medians over turns, ratios medians of each turn's ratio.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import engines
from mlprun.cli.workloads import ENDLESS, STEPS_PER_EVALUATION, PlainLoop, moons, unlimited_epochs, wide
from mlprun.engines import device as devices
from mlprun.errors import DivergedError
from mlprun.figures import CostPanel
from mlprun.sweeps.executors import cores
from mlprun.training.trainer import Trainer, TrainingRun
from mlprun.verification.trajectories import steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from mlprun.engines import Engine
    from mlprun.experiment import Experiment
    from mlprun.schema import Config

    Say = Callable[[str], None]
    Runner = Callable[[int], None]
    """Trains so many epochs beyond those of the call before."""
    Clock = Callable[[], float]

PLAIN = "plain PyTorch"
_LEAST_LR = 1e-12

SECONDS = 45.0
"""Of measuring for `--plot`; with everything else the command takes about a minute."""
ROUNDS = 3
"""Turns that count for `--plot`; finding their length takes about 1.5 more."""
_GROWTH = 4.0
"""How much longer a turn is expected to take than at the size before."""
_PATIENCE = 2.0
"""Shares of the time that one point of a curve may take; the curve ends where it would take more."""


def measure(config: Config, *, rounds: int, seconds: float, say: Say) -> dict[str, Any]:
    """Measure the plain loop and every engine that can run a config; a turn of each takes about `seconds`.

    Returns the costs of a step by engine and the reasons of those that cannot run it, as `--json` prints
    them. A run that diverges is measured with a smaller learning rate, which is the same arithmetic.
    """
    experiment, every = unlimited_epochs(config)
    reasons = {engine.name: engine.unsupported_reason(experiment) for engine in engines.every()}
    clock = time.thread_time if config.training.threads == 1 else time.perf_counter
    try:
        with devices.compute_context(config.training.threads, "cpu"):
            runners = runners_of([experiment], every, say)
            turns = take_turns(runners, rounds=rounds, seconds=seconds, unit=every, clock=clock)
    except DivergedError:
        lr = config.optimizer.lr
        if lr < _LEAST_LR:
            raise
        slower = config.optimizer.model_copy(update={"lr": lr / 1e6})
        say(f"{config.name} diverges in the long run with lr {lr:g}; measured with {slower.lr:g}")
        slow = config.model_copy(update={"optimizer": slower})
        return measure(slow, rounds=rounds, seconds=seconds, say=say)
    refused = [{"engine": name, "reason": reason} for name, reason in reasons.items() if reason is not None]
    return {"engines": compare_turns(turns, steps_per_epoch(experiment)), "refused": refused}


def runners_of(
    experiments: Sequence[Experiment], every: int, say: Say, skip: Collection[str] = ()
) -> dict[str, Runner]:
    """The plain loop, one run after another, and the engines that can train the runs, by name."""
    runners: dict[str, Runner] = {}
    if PLAIN not in skip:
        runners[PLAIN] = plain_runner([PlainLoop(experiment, every) for experiment in experiments])
    for engine in engines.every():
        if engine.name not in skip and engine.unsupported_reason(experiments[0]) is None:
            engine.warm_up(experiments[0], say)
            runners[engine.name] = cohort_runner(engine, experiments)
    return runners


def plain_runner(loops: Sequence[PlainLoop]) -> Runner:
    """Train plain loops one after another."""

    def train(epochs: int) -> None:
        for loop in loops:
            loop.train(epochs)

    return train


def cohort_runner(engine: Engine, experiments: Sequence[Experiment]) -> Runner:
    """Train experiments as one cohort, as sweeps do. The runner raises DivergedError."""
    runs = [TrainingRun(one, engine.initial_state(one), until=0) for one in experiments]
    trainer = Trainer(engine, runs)

    def train(epochs: int) -> None:
        for run in runs:
            run.until += epochs
        trainer.fit()
        for run in runs:
            run.raise_for_error()
            if run.stop_reason is not None:
                what = f"a run {run.stop_reason} after epoch {run.epoch} while it was measured"
                raise DivergedError("bench", what, "choose a smaller learning rate")

    return train


def take_turns(
    runners: Mapping[str, Runner], *, rounds: int, seconds: float, unit: int, clock: Clock = time.thread_time
) -> list[dict[str, float]]:
    """The seconds of an epoch of each runner, turn by turn.

    Turns are multiples of `unit` epochs, so that each evaluates equally often. The clock is of this thread's
    CPU time unless other threads do the work.
    """
    epochs = {name: _fitting_epochs(run, seconds, unit, clock) for name, run in runners.items()}
    return [
        {name: _time(run, epochs[name], clock) / epochs[name] for name, run in runners.items()}
        for _ in range(rounds)
    ]


def compare_turns(turns: Sequence[Mapping[str, float]], steps: int) -> list[dict[str, Any]]:
    """The cost of a step of each runner, an epoch having `steps`; ratios are to the first runner."""
    first = next(iter(turns[0]))
    costs = []
    for name in turns[0]:
        micros = 1e6 * statistics.median(turn[name] for turn in turns) / steps
        ratio = statistics.median(turn[first] / turn[name] for turn in turns)
        cost = {"engine": name, "microseconds": micros, "steps_per_second": 1e6 / micros, "ratio": ratio}
        costs.append(cost)
    return costs


def _fitting_epochs(run: Runner, seconds: float, unit: int, clock: Clock) -> int:
    """The number of epochs that takes about `seconds`."""
    epochs = unit
    while True:
        elapsed = _time(run, epochs, clock)
        if elapsed >= seconds / 4 or epochs >= ENDLESS // 1000:
            return max(1, round(epochs * seconds / elapsed / unit)) * unit
        epochs *= 4


def _time(run: Runner, epochs: int, clock: Clock) -> float:
    start = clock()
    run(epochs)
    return max(clock() - start, 1e-9)


class Family(NamedTuple):
    """Workloads of growing size: `runs` gives the runs that are trained together."""

    heading: str
    axis: str
    sizes: tuple[int, ...]
    runs: Callable[[int], list[Config]]
    clock: Clock = time.thread_time


FAMILIES = [
    Family("2-5-1, SGD, full batch", "rows", tuple(4**k for k in range(1, 7)), lambda rows: [moons(rows)]),
    Family(
        "20-W-W-1, 32 rows, Adam", "width W", tuple(2**k for k in range(1, 9)), lambda units: [wide(units)]
    ),
    Family(
        f"2-5-1, 640 rows, {cores()} cores",
        "runs together",
        tuple(4**k for k in range(6)),
        lambda runs: [moons(640, seed=seed) for seed in range(runs)],
        time.perf_counter,  # several threads work
    ),
]
DETAILS = (
    f"Medians of {ROUNDS} repetitions, float32, dev evaluated every {STEPS_PER_EVALUATION} steps; CPU time "
    f"of one core. Runs together: wall time on {cores()} cores."
)
"""How the costs of `FAMILIES` are measured."""


def measure_families(families: Sequence[Family], seconds: float, say: Say) -> list[CostPanel]:
    """Measure every family, each in an equal part of about `seconds`."""
    with devices.compute_context(1, "cpu"):
        return [_measure_family(family, seconds / len(families), say) for family in families]


def _measure_family(family: Family, seconds: float, say: Say) -> CostPanel:
    share = seconds / len(family.sizes) / (ROUNDS + 1.5)
    costs: dict[str, list[float | None]] = {}
    too_slow: set[str] = set()
    for size in family.sizes:
        endless_runs = [unlimited_epochs(config) for config in family.runs(size)]
        experiments, every = [experiment for experiment, _ in endless_runs], endless_runs[0][1]
        runners = runners_of(experiments, every, say, too_slow)
        length = share / max(1, len(runners))
        turns = take_turns(runners, rounds=ROUNDS, seconds=length, unit=every, clock=family.clock)
        for name in runners:
            seconds_of_epoch = statistics.median(turn[name] for turn in turns)
            costs.setdefault(name, []).append(1e6 * seconds_of_epoch / len(experiments))
            if _GROWTH * seconds_of_epoch * every > _PATIENCE * share:
                too_slow.add(name)
    count = len(family.sizes)
    curves = {name: [*found, *[None] * (count - len(found))] for name, found in costs.items()}
    return CostPanel(family.heading, family.axis, family.sizes, curves)
