"""What `mlprun bench` measures: built-in workloads, any config without an end, and a plain PyTorch loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from mlprun import config as reading
from mlprun.experiment import Experiment, SplitTensors
from mlprun.schema import parse
from mlprun.verification.trajectories import steps_per_epoch

if TYPE_CHECKING:
    from mlprun.schema import Config

STEPS_PER_EVALUATION = 100
"""Steps between two evaluations of dev, each with a row of history."""
ENDLESS = 10**9
"""Epochs of a run that is measured."""
_HIDDEN = {"name": "mlp", "activation": "logistic"}


def moons(rows: int, *, seed: int = 0) -> dict[str, Any]:
    """A 2-5-1 network on so many rows of two interleaving arcs."""
    return {
        "dataset": {"name": "moons", "split": {"train": rows, "dev": rows // 4, "test": rows // 4}},
        "architecture": {**_HIDDEN, "hidden": [5]},
        "training": {"seed": seed},
    }


def wide(units: int) -> dict[str, Any]:
    """Two hidden layers of so many units for 20 inputs, on 32 rows, with Adam."""
    split = {"train": 32, "dev": 80, "test": 80}
    return {
        "dataset": {"name": "classification", "features": 20, "informative": 10, "split": split},
        "architecture": {"name": "mlp", "hidden": [units, units], "activation": "relu"},
        "optimizer": {"name": "adam", "lr": 0.001},
    }


WORKLOADS: dict[str, dict[str, Any]] = {
    "xor, 4 rows, 2-5-1": {"dataset": "xor", "architecture": {**_HIDDEN, "hidden": [5]}},
    "moons, 640 rows, 2-5-1": moons(640),
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
    },
    "32 rows, 20-64-64-1 ReLU, Adam": wide(64),
}


def workload(settings: dict[str, Any]) -> Config:
    """A workload as a config; without an optimizer it takes SGD."""
    defaults = {"loss": "bce", "optimizer": {"name": "sgd", "lr": 0.1}}
    return parse(reading.from_mapping({**defaults, **settings}, "", "workload"))


def endless(config: Config) -> tuple[Experiment, int]:
    """The experiment as it is measured, and the epochs between two of its evaluations.

    It trains on the CPU and never ends; a schedule that depends on the end is replaced by none.
    """
    every = max(1, STEPS_PER_EVALUATION // steps_per_epoch(Experiment.of(config)))
    changes = {"epochs": ENDLESS, "evaluate_every": every, "log_every": every}
    changed: dict[str, Any] = {
        "training": config.training.model_copy(update=changes),
        "early_stopping": None,
        "device": "cpu",
        "snapshots": (),
    }
    if config.schedule.depends_on_total:
        changed["schedule"] = workload(moons(4)).schedule
    return Experiment.of(config.model_copy(update=changed)), every


class PlainLoop:
    """A loop over epochs and batches as a competent PyTorch user would write it, without a schedule."""

    def __init__(self, experiment: Experiment, every: int) -> None:
        config, self.every = experiment.computed, every
        self.model = experiment.network()
        self.train_rows = SplitTensors.of(experiment.fixed["train"])
        self.dev = SplitTensors.of(experiment.rows("dev", epoch=0)) if experiment.has("dev") else None
        self.parameters = dict(self.model.named_parameters())
        self.optimizers = config.optimizer.build(self.parameters, embeddings=self.model.embeddings())
        self.loss, self.penalties = config.loss.build(), config.penalties
        self.takes_logits = config.loss.activation is not None
        size = config.training.batch_size
        self.size = len(self.train_rows) if size == "full" else size
        self.shuffle = config.training.shuffle and self.size < len(self.train_rows)
        self.clip_norm, self.clip_value = config.training.clip_norm, config.training.clip_value
        self.needs_closure = config.optimizer.needs_closure
        self.history: list[tuple[float, ...]] = []

    def train(self, epochs: int) -> None:
        """Train some epochs more, with a row of history every `every` epochs."""
        rows = len(self.train_rows)
        inputs, targets = self.train_rows.inputs, self.train_rows.targets
        for epoch in range(1, epochs + 1):
            order = torch.randperm(rows) if self.shuffle else None
            for start in range(0, rows, self.size):
                if self.size >= rows:
                    loss = self._step(inputs, targets)
                    continue
                batch = slice(start, start + self.size)
                indices = batch if order is None else order[batch]
                loss = self._step(inputs[indices], targets[indices])
            if epoch % self.every == 0:
                self.history.append((loss.item(), *self._evaluate()))

    def _step(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        for dropout in self.model.dropouts:
            dropout.keep = torch.rand(len(inputs), dropout.width) >= dropout.probability

        def closure() -> torch.Tensor:
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            loss = self._objective(inputs, targets)
            torch.autograd.backward(loss)
            if self.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.clip_norm)
            if self.clip_value is not None:
                torch.nn.utils.clip_grad_value_(self.parameters.values(), self.clip_value)
            return loss

        if self.needs_closure:
            return torch.as_tensor(self.optimizers[0].step(closure))  # type: ignore[arg-type]
        loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def _objective(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        outputs = self.model.preactivation(inputs) if self.takes_logits else self.model(inputs)
        loss: torch.Tensor = self.loss(outputs, targets)
        for penalty in self.penalties:
            loss = loss + penalty.value(self.model.weights())
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
