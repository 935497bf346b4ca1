"""What `mlprun bench` measures: built-in workloads, any config without an end, and a plain PyTorch loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import yaml

from mlprun.config import document as reading
from mlprun.engines.torch.metrics import SplitTensors
from mlprun.experiment import Experiment
from mlprun.parts.optimizers import build_trained
from mlprun.schema import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlprun.schema import Config

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
        embeddings = self.model.embeddings()
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
