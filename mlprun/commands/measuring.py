"""What a step costs on each engine, beside a plain PyTorch loop that does the same.

Each evaluates dev and keeps a row of history every `EVERY` steps, after a whole epoch. They take turns, so
that a busy machine slows all; times are of the processor, medians over turns, and ratios are medians of each
turn's ratio.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from mlprun import engines
from mlprun.engines import Watch
from mlprun.errors import UsageError
from mlprun.experiment import Experiment, Tensors
from mlprun.schema import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.engines import Engine
    from mlprun.schema import Config

EVERY = 100
LONG = 10**9
"""epochs of a run that is never at its end"""
PLAIN = "plain PyTorch"
_SGD, _ADAM = {"name": "sgd", "lr": 0.1}, {"name": "adam", "lr": 0.001}
_HIDDEN = {"name": "mlp", "activation": "logistic"}
WORKLOADS: dict[str, dict[str, Any]] = {
    "xor, 4 rows, 2-5-1": {"dataset": "xor", "architecture": {**_HIDDEN, "hidden": [5]}, "optimizer": _SGD},
    "moons, 640 rows, 2-5-1": {
        "dataset": {"name": "moons", "split": {"train": 640, "dev": 160, "test": 200}},
        "architecture": {**_HIDDEN, "hidden": [5]},
        "optimizer": _SGD,
    },
    "parity, 1024 rows, 3-4-1": {
        "dataset": {"name": "parity", "bits": 3, "split": {"train": 1024, "dev": 512, "test": 512}},
        "architecture": {**_HIDDEN, "hidden": [4], "bias": False},
        "optimizer": {"name": "sgd", "lr": 0.01},
        "penalty": {"l2": 1e-4},
    },
    "1000 rows, 5-8-4-1 ReLU": {
        "dataset": {
            "name": "classification",
            "features": 5,
            "informative": 3,
            "split": {"train": 1000, "dev": 200, "test": 200},
        },
        "architecture": {"name": "mlp", "hidden": [8, 4], "activation": "relu"},
        "optimizer": _SGD,
    },
    "32 rows, 20-64-64-1 ReLU, Adam": {
        "dataset": {
            "name": "classification",
            "features": 20,
            "informative": 10,
            "split": {"train": 32, "dev": 80, "test": 80},
        },
        "architecture": {"name": "mlp", "hidden": [64, 64], "activation": "relu"},
        "optimizer": _ADAM,
    },
}


@dataclass(frozen=True)
class Cost:
    """What a step takes on one engine: microseconds, and how many times less than the plain loop."""

    engine: str
    microseconds: float
    ratio: float

    @property
    def steps_per_second(self) -> float:
        """Steps in a second."""
        return 1e6 / self.microseconds


def workload(settings: dict[str, Any]) -> Config:
    """One of the workloads as a config."""
    from mlprun import config as reading

    return parse(reading.from_mapping({"loss": "bce", **settings}, "", "workload"))


def costs(config: Config, *, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Cost]:
    """The plain loop and each engine that can run the config; a turn of each takes about `seconds`."""
    every = max(1, EVERY // _steps(Experiment.of(config)))
    training = config.training.model_copy(
        update={"epochs": LONG, "evaluate_every": every, "log_every": every}
    )
    changed = {"training": training, "early_stopping": None, "device": "cpu", "snapshots": ()}
    experiment = Experiment.of(config.model_copy(update=changed))
    if config.schedule.depends_on_total:
        experiment = Experiment.of(
            experiment.config.model_copy(
                update={"schedule": workload(WORKLOADS["xor, 4 rows, 2-5-1"]).schedule}
            )
        )
    runners: dict[str, Callable[[int], None]] = {PLAIN: Plain(experiment, every).train}
    for engine in engines.able(experiment):
        engine.prepare(experiment, say)
        runners[engine.name] = _trainer(engine, experiment)
    former = torch.get_num_threads()
    torch.set_num_threads(training.threads)
    try:
        return _compared(runners, (_steps(experiment), every), rounds, seconds)
    finally:
        torch.set_num_threads(former)


def _steps(experiment: Experiment) -> int:
    """Batches of an epoch."""
    size, rows = experiment.config.training.batch_size, len(experiment.fixed["train"])
    return 1 if size == "full" else -(-rows // size)


def _compared(
    runners: dict[str, Callable[[int], None]], extent: tuple[int, int], rounds: int, seconds: float
) -> list[Cost]:
    steps, every = extent
    epochs = {name: _fitting(run, seconds, every) for name, run in runners.items()}
    turns: list[dict[str, float]] = []
    for _ in range(rounds):
        turn = {name: _timed(run, epochs[name]) / epochs[name] / steps for name, run in runners.items()}
        turns.append(turn)
    return [
        Cost(
            name,
            1e6 * statistics.median(turn[name] for turn in turns),
            statistics.median(turn[PLAIN] / turn[name] for turn in turns),
        )
        for name in runners
    ]


def _fitting(run: Callable[[int], None], seconds: float, every: int) -> int:
    """How many epochs take about that long, multiples of `every` so that every turn evaluates as often."""
    epochs = every
    while True:
        took = _timed(run, epochs)
        if took >= seconds / 4 or epochs >= LONG // 1000:
            return max(1, round(epochs * seconds / took / every)) * every
        epochs *= 4


def _timed(run: Callable[[int], None], epochs: int) -> float:
    began = time.thread_time()
    run(epochs)
    return max(time.thread_time() - began, 1e-9)


def _trainer(engine: Engine, experiment: Experiment) -> Callable[[int], None]:
    """Trains a run of an engine that goes on from call to call."""
    cohort = engine.open([experiment], [engine.start(experiment)], device="cpu")
    done = 0

    def train(epochs: int) -> None:
        nonlocal done
        (advance,) = engine.advance(cohort, done + epochs, Watch(LONG))
        done = advance.epoch
        if advance.stopped is not None:
            what = f"the run {advance.stopped} at epoch {done} while it was measured"
            raise UsageError("bench", what, "choose a smaller learning rate")

    return train


class Plain:
    """The loop that a competent user would write."""

    def __init__(self, experiment: Experiment, every: int) -> None:
        config, self.every = experiment.config, every
        self.model = experiment.network()
        self.train_rows = Tensors.of(experiment.fixed["train"])
        self.dev = Tensors.of(experiment.rows("dev", epoch=0)) if experiment.has("dev") else None
        parameters = dict(self.model.named_parameters())
        self.optimizers = config.optimizer.build(parameters, embeddings=self.model.embeddings())
        self.loss, self.penalties = config.loss.build(), config.penalties
        self.activation = config.loss.activation is None
        size = config.training.batch_size
        self.size = len(self.train_rows) if size == "full" else size
        self.closure = config.optimizer.needs_closure
        self.history: list[tuple[float, ...]] = []

    def _objective(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        values = self.model(inputs) if self.activation else self.model.preactivation(inputs)
        loss: torch.Tensor = self.loss(values, targets)
        for penalty in self.penalties:
            loss = loss + penalty.value(self.model.weights())
        return loss

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        def closure() -> torch.Tensor:
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            loss = self._objective(inputs, targets)
            torch.autograd.backward(loss)
            return loss

        if self.closure:
            return torch.as_tensor(self.optimizers[0].step(closure))  # type: ignore[arg-type]
        loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def train(self, epochs: int) -> None:
        """Epochs with a row of history at every so many."""
        inputs, targets = self.train_rows.inputs, self.train_rows.targets
        for epoch in range(1, epochs + 1):
            order = torch.randperm(len(inputs)) if self.size < len(inputs) else None
            for start in range(0, len(inputs), self.size):
                if order is None:
                    loss = self._step(inputs, targets)
                else:
                    chosen = order[start : start + self.size]
                    loss = self._step(inputs[chosen], targets[chosen])
            if epoch % self.every == 0:
                self.history.append((loss.item(), *self._evaluated()))

    def _evaluated(self) -> tuple[float, ...]:
        if self.dev is None:
            return ()
        with torch.no_grad():
            return (self._objective(self.dev.inputs, self.dev.targets).item(),)
