"""What a training step costs on each engine and in a plain PyTorch loop.

All evaluate dev and keep a row of history equally often, after a whole epoch. They take turns, so that a busy
machine slows all; times are medians over turns, ratios medians of each turn's ratio.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from mlprun import engines
from mlprun.cli.workloads import ENDLESS, PlainLoop, unlimited_epochs
from mlprun.engines import device as devices
from mlprun.errors import DivergedError
from mlprun.training.trainer import Trainer, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.engines import Engine
    from mlprun.experiment import Experiment
    from mlprun.schema import Config

    Say = Callable[[str], None]
    Runner = Callable[[int], None]
    """Trains so many epochs beyond those of the call before."""
    Clock = Callable[[], float]

PLAIN = "plain PyTorch"
_LEAST_LR = 1e-12


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
            runners = runners_of(experiment, every, say)
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
    return {"engines": compare_turns(turns, experiment.steps_per_epoch), "refused": refused}


def runners_of(experiment: Experiment, every: int, say: Say) -> dict[str, Runner]:
    """The plain loop, and the engines that can train the experiment, by name."""
    runners: dict[str, Runner] = {PLAIN: PlainLoop(experiment, every).train}
    for engine in engines.every():
        if engine.unsupported_reason(experiment) is None:
            engine.warm_up(experiment, say)
            runners[engine.name] = engine_runner(engine, experiment)
    return runners


def engine_runner(engine: Engine, experiment: Experiment) -> Runner:
    """Train an experiment as `train` does. The runner raises DivergedError."""
    run = TrainingRun(experiment, engine.initial_state(experiment), until=0)
    trainer = Trainer(engine, [run])

    def train(epochs: int) -> None:
        run.until += epochs
        trainer.fit()
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
