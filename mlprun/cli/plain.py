"""The plain PyTorch loop that engines are measured beside: what a competent user would write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from mlprun.experiment import SplitTensors

if TYPE_CHECKING:
    from mlprun.experiment import Experiment


class Plain:
    """A loop over epochs and batches that trains an experiment's network; schedules are left out."""

    def __init__(self, experiment: Experiment, every: int) -> None:
        config, self.every = experiment.computed, every
        self.model = experiment.network()
        self.train_rows = SplitTensors.of(experiment.fixed["train"])
        self.dev = SplitTensors.of(experiment.rows("dev", epoch=0)) if experiment.has("dev") else None
        self.parameters = dict(self.model.named_parameters())
        self.optimizers = config.optimizer.build(self.parameters, embeddings=self.model.embeddings())
        self.loss, self.penalties = config.loss.build(), config.penalties
        self.activation = config.loss.activation is None
        size = config.training.batch_size
        self.size = len(self.train_rows) if size == "full" else size
        self.shuffle = config.training.shuffle and self.size < len(self.train_rows)
        self.clip_norm, self.clip_value = config.training.clip_norm, config.training.clip_value
        self.closure = config.optimizer.needs_closure
        self.history: list[tuple[float, ...]] = []

    def train(self, epochs: int) -> None:
        """Epochs with a row of history at every so many."""
        rows = len(self.train_rows)
        inputs, targets = self.train_rows.inputs, self.train_rows.targets
        for epoch in range(1, epochs + 1):
            order = torch.randperm(rows) if self.shuffle else None
            for start in range(0, rows, self.size):
                if self.size >= rows:
                    loss = self._step(inputs, targets)
                    continue
                chosen = (
                    slice(start, start + self.size) if order is None else order[start : start + self.size]
                )
                loss = self._step(inputs[chosen], targets[chosen])
            if epoch % self.every == 0:
                self.history.append((loss.item(), *self._evaluated()))

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

        if self.closure:
            return torch.as_tensor(self.optimizers[0].step(closure))  # type: ignore[arg-type]
        loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def _objective(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        values = self.model(inputs) if self.activation else self.model.preactivation(inputs)
        loss: torch.Tensor = self.loss(values, targets)
        for penalty in self.penalties:
            loss = loss + penalty.value(self.model.weights())
        return loss

    def _evaluated(self) -> tuple[float, ...]:
        if self.dev is None:
            return ()
        self.model.eval()
        for dropout in self.model.dropouts:
            dropout.keep = None
        with torch.no_grad():
            value = self._objective(self.dev.inputs, self.dev.targets).item()
        self.model.train()
        return (value,)
