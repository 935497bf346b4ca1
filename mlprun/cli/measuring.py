"""What a training step costs on each engine and in a plain PyTorch loop, for workloads or any config.

All evaluate dev and keep a row of history equally often, after a whole epoch. They take turns, so that a busy
machine slows all; times are medians over turns, ratios medians of each turn's ratio.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import yaml

from mlprun import engines
from mlprun.config import document as reading
from mlprun.engines import Engine
from mlprun.engines import device as devices
from mlprun.engines.torch.trainer import SplitTensors
from mlprun.errors import DivergedError
from mlprun.experiment import Experiment
from mlprun.parts.optimizers import build_trained
from mlprun.schema import Config, parse
from mlprun.training.trainer import Trainer, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Say = Callable[[str], None]
    Runner = Callable[[int], None]
    """Trains so many epochs beyond those of the call before."""
    Clock = Callable[[], float]

PLAIN = "plain PyTorch"
STEPS_PER_EVALUATION = 100
"""Steps between two evaluations of dev, each with a row of history."""
ENDLESS = 10**9
"""Epochs of a run that is measured."""

WORKLOADS = {
    "xor, 4 rows, 2-5-1": """
        dataset: xor
        architecture: {hidden: [5], activation: logistic}
    """,
    "moons, 640 rows, 2-5-1": """
        dataset: {name: moons, split: {train: 640, dev: 160, test: 160}}
        architecture: {hidden: [5], activation: logistic}
    """,
    "parity, 1024 rows, 3-4-1": """
        dataset: {name: parity, bits: 3, split: {train: 1024, dev: 512, test: 512}}
        architecture: {hidden: [4], activation: logistic, bias: false}
        optimizer: {name: sgd, lr: 0.01}
        penalty: {l2: 0.0001}
    """,
    "1000 rows, 5-8-4-1 ReLU": """
        dataset:
          {name: classification, features: 5, informative: 3, split: {train: 1000, dev: 200, test: 200}}
        architecture: {hidden: [8, 4], activation: relu}
    """,
    "32 rows, 20-64-64-1 ReLU, Adam": """
        dataset:
          {name: classification, features: 20, informative: 10, split: {train: 32, dev: 80, test: 80}}
        architecture: {hidden: [64, 64], activation: relu}
        optimizer: {name: adam, lr: 0.001}
    """,
}
"""Configs by title."""
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


def workload(text: str, *overrides: str) -> Config:
    """A workload as a config; without an optimizer it takes SGD."""
    settings = {"loss": "bce", "optimizer": {"name": "sgd", "lr": 0.1}, **yaml.safe_load(text)}
    return parse(reading.from_mapping(settings, "", "workload", overrides))


def unlimited_epochs(config: Config) -> tuple[Experiment, int]:
    """The experiment as it is measured, and the epochs between two of its evaluations.

    It trains on the CPU, never ends, and has no schedule.
    """
    every = max(1, STEPS_PER_EVALUATION // Experiment.of(config).steps_per_epoch)
    training = config.training.model_copy(
        update={"epochs": ENDLESS, "evaluate_every": every, "log_every": every}
    )
    changes = {
        "early_stopping": None,
        "device": "cpu",
        "snapshots": (),
        "schedule": workload("dataset: xor").schedule,
    }
    return Experiment.of(config.model_copy(update={"training": training, **changes})), every


class PlainLoop:
    """A loop over epochs and batches as a competent PyTorch user would write it, without a schedule."""

    def __init__(self, experiment: Experiment, every: int) -> None:
        self.config, self.every = experiment.computed, every
        self.model = experiment.network()
        self.rows = SplitTensors.of(experiment.fixed["train"])
        self.dev = SplitTensors.of(experiment.rows("dev", epoch=0)) if experiment.has("dev") else None
        embeddings = self.model.embedding_tables()
        parameters = dict(self.model.named_parameters())
        rules = self.config.optimizer.update_rules(self.config.freeze, parameters)
        self.optimizers = build_trained(self.config.optimizer, parameters, rules, embeddings)
        self.loss, self.penalties = self.config.loss.build(), self.config.penalties
        self.forward = self.model if self.config.loss.activation is None else self.model.preactivation
        self.history: list[tuple[float, ...]] = []

    def train(self, epochs: int) -> None:
        """Train some epochs more, with a row of history every `every` epochs."""
        for epoch in range(1, epochs + 1):
            for inputs, targets in self._batches():
                loss = self._step(inputs, targets)
            if epoch % self.every == 0:
                self.history.append((loss.item(), *self._evaluate()))

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        inputs, targets, size = self.rows.inputs, self.rows.targets, self.config.training.batch_size
        if size == "full" or size >= len(inputs):
            yield inputs, targets
            return
        order = torch.randperm(len(inputs)) if self.config.training.shuffle else torch.arange(len(inputs))
        for indices in torch.split(order, size):
            yield inputs[indices], targets[indices]

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        for dropout in self.model.dropouts:
            dropout.keep = torch.rand(len(inputs), dropout.width) >= dropout.probability
        if self.config.optimizer.needs_closure:
            closure = partial(self._differentiate, inputs, targets)
            return torch.as_tensor(self.optimizers[0].step(closure))  # type: ignore[arg-type]
        loss = self._differentiate(inputs, targets)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def _differentiate(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self._objective(inputs, targets)
        torch.autograd.backward(loss)
        training = self.config.training
        if training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip_norm)
        if training.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.model.parameters(), training.clip_value)
        return loss

    def _objective(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self.loss(self.forward(inputs), targets)
        divisor = self.config.penalty.divisor(self.config.loss, targets)
        for penalty in self.penalties:
            loss = loss + penalty.value(self.model.weights()) / divisor
        return loss

    def _evaluate(self) -> tuple[float, ...]:
        if self.dev is None:
            return ()
        self.model.eval()
        for dropout in self.model.dropouts:
            dropout.keep = None
        with torch.no_grad():
            value = self._objective(self.dev.inputs, self.dev.targets).item()
        self.model.train()
        return (value,)
