"""The torch engine, and a run in it: its module, its optimizers, and one epoch of steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun import randomness
from mlprun.engines import epoch_protocol as protocol
from mlprun.engines.contract import State
from mlprun.engines.torch.metrics import MetricComputer, SplitTensors, evaluate, outputs
from mlprun.engines.torch.optimizer_state import flatten, optimizer_spec, unflatten
from mlprun.experiment.experiment import load_model
from mlprun.parts.optimizers import build_trained, step_function
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from mlprun.engines.contract import StopCondition
    from mlprun.experiment import Experiment


class TorchTrainer:
    """A run between `open` and the last `advance`."""

    def __init__(self, experiment: Experiment, state: State, device: str) -> None:
        config = experiment.computed
        self.experiment, self.config, self.device = experiment, config, torch.device(device)
        # blank: the state fills it, and a file of initial weights may be gone by now
        self.network = experiment.blank_network().to(self.device)
        self.parameters = dict(self.network.named_parameters())
        rules = config.optimizer.update_rules(config.freeze, self.parameters)
        self.optimizers = build_trained(config.optimizer, self.parameters, rules, self.network.embeddings())
        self._frozen = [parameter for name, parameter in self.parameters.items() if name not in rules]
        for parameter in self._frozen:
            parameter.requires_grad = False
        self.meter = MetricComputer(experiment)
        self.train = SplitTensors.of(experiment.fixed["train"], self.device)
        dev = experiment.fixed.get("dev")
        self.dev = None if dev is None else SplitTensors.of(dev, self.device)
        self.batch = config.training.batch_rows(len(self.train))
        self._steps = [step_function(optimizer) for optimizer in self.optimizers]
        self._loss, self._penalties, self._weights = (
            config.loss.build(),
            config.penalties,
            self.network.weights(),
        )
        # whether train and eval mode differ: switching a network that has no such layer costs time for
        # nothing
        self._dropouts = self.network.dropouts
        norms = [module for module in self.network.modules() if hasattr(module, "running_mean")]
        own = [(module, list(module.parameters(recurse=False))) for module in norms]
        self._frozen_norms = [m for m, some in own if some and not any(one.requires_grad for one in some)]
        self._modal = bool(norms)
        self.network.eval()
        self._live = list(self.network.state_dict().values())
        self._best = [tensor.clone() for tensor in self._live]
        self.restore(state)

    def restore(self, state: State) -> None:
        """Continue from a state."""
        self._state: State | None = state
        self.epoch, self.progress = state.epoch, state.progress
        load_model(self.network, state.model)
        host = self.config.optimizer.host_slots
        unflatten(self.optimizers, self.parameters, state.optimizer_state, state.optimizer_meta, host=host)

    def state(self) -> State:
        """Return a copy of the run's state; one copy serves until the run goes on."""
        if self._state is not None:
            return self._state
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        slots, structure = flatten(self.optimizers, names)
        self._state = State(self.epoch, arrays_of(self.network), slots, structure, self.progress)
        return self._state

    snapshot = state

    def save_best(self) -> None:
        """Copy the model as it is now: it is the best so far."""
        torch._foreach_copy_(self._best, self._live)

    def best_model(self) -> dict[str, NDArray[Any]]:
        """Return the model as it was at the last `save_best`."""
        return {
            name: np.array(tensor.cpu().numpy())
            for name, tensor in zip(self.network.state_dict(), self._best, strict=True)
        }

    def run_epoch(self, until: int, stop: StopCondition) -> protocol.EpochTotals | None:
        """Train one epoch; None when `stop` was met between batches, the epoch incomplete."""
        self._state = None
        lr = protocol.learning_rate(self.experiment.config, self.epoch, self.progress)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * group["lr_factor"]
        self._set_modes()
        try:
            totals = self._batches(lr, stop)
        except RuntimeError as error:
            if "without overflow" not in str(error):
                raise
            # torch refuses a rate beyond float32, which infinity is not: the run has diverged
            totals = protocol.EpochTotals(None, lr)
            totals.loss = math.inf
        for dropout in self._dropouts:
            dropout.keep = None
        if totals is not None:
            self.epoch += 1
        return totals

    def _set_modes(self) -> None:
        """Let dropout and norms behave as in training; a frozen batch norm stays as in evaluation."""
        if self._modal:
            self.network.train()
            for module in self._frozen_norms:
                module.eval()

    def _batches(self, lr: float, stop: StopCondition) -> protocol.EpochTotals | None:
        rows = self._ordered()
        totals, part = protocol.EpochTotals(rows, lr), self.config.loss
        tensors = (rows.inputs, rows.targets, *rows.weights_of(part))
        for step, start in enumerate(range(0, len(rows), self.batch)):
            if stop():
                return None
            batch = tensors
            if self.batch < len(rows):
                batch = tuple(tensor[start : start + self.batch] for tensor in tensors)
            self._draw_dropout(step, len(batch[0]))
            logits, loss, objective = self._step(*batch)
            weight = part.weight(*batch[1:])
            mean = protocol.mean_loss(part, loss, weight)
            totals.add(logits, mean, objective, weight=weight, rows=len(batch[0]))
        return totals

    def _ordered(self) -> SplitTensors:
        """The train rows in this epoch's order."""
        order = protocol.row_order(self.config, len(self.train), self.epoch)
        return self.train if order is None else self.train.reordered(order)

    def _draw_dropout(self, step: int, rows: int) -> None:
        """Masks of this step: one stream for all layers, sliced in module order."""
        layers = self._dropouts
        if not layers:
            return
        widths = [layer.width for layer in layers]
        seed = self.config.training.seed
        drawn = randomness.uniforms(seed, Purpose.DROPOUT, rows * sum(widths), epoch=self.epoch, step=step)
        for layer, part in zip(layers, np.split(drawn, np.cumsum(widths)[:-1] * rows), strict=True):
            keep = part.reshape(rows, layer.width) >= layer.probability
            layer.keep = torch.from_numpy(keep.astype(self.experiment.dtype)).to(self.device)

    def _step(self, *batch: Tensor) -> tuple[Tensor, float, float]:
        """Update once; return the logits, the loss and the objective, all from before the update.

        A batch is the inputs, the targets and, if there are any, the weights of rows in the loss.
        """
        if not self.config.optimizer.needs_closure:
            before_update = self._differentiate(*batch)
            for step in self._steps:
                step()
            return before_update
        passes: list[tuple[Tensor, float, float]] = []

        def closure() -> float:
            passes.append(self._differentiate(*batch))
            return passes[-1][2]

        for step in self._steps:
            step(closure)
        return passes[0]

    def _differentiate(self, *batch: Tensor) -> tuple[Tensor, float, float]:
        for parameter in self.parameters.values():
            parameter.grad = None
        logits, loss, objective = self._forward(*batch)
        torch.autograd.backward(objective)
        self._clip()
        value = loss.item()
        return logits.detach(), value, value if objective is loss else objective.item()

    def _forward(self, inputs: Tensor, *targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits, the loss, and the loss with its penalties."""
        logits = self.network.preactivation(inputs)
        values = logits if self.config.loss.activation else self.network.output_activation(logits)
        loss = objective = self._loss(values, *targets)
        for penalty in self._penalties:
            objective = objective + penalty.value(self._weights)
        return logits, loss, objective

    def first_batch(self) -> tuple[Tensor, ...]:
        """Return the batch of the next step; its dropout is drawn, and nothing is updated."""
        rows = self._ordered()
        self._set_modes()
        self._draw_dropout(0, self.batch)
        tensors = (rows.inputs, rows.targets, *rows.weights_of(self.config.loss))
        return tuple(tensor[: self.batch] for tensor in tensors)

    def objective(self, *batch: Tensor) -> Tensor:
        """Return what a step on a batch differentiates."""
        return self._forward(*batch)[2]

    def next_gradient(self) -> dict[str, NDArray[Any]]:
        """Return the gradient of the next step by parameter name; 0 for one that it does not depend on."""
        batch = self.first_batch()
        for parameter in self.parameters.values():
            parameter.grad = None
            parameter.requires_grad_()
        torch.autograd.backward(self.objective(*batch))
        found = {}
        for name, parameter in self.parameters.items():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            found[name] = np.array(gradient.to_dense().cpu().numpy())
        for parameter in self._frozen:
            parameter.requires_grad = False
        return found

    def _clip(self) -> None:
        training = self.config.training
        if training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), training.clip_norm)
        if training.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.parameters.values(), training.clip_value)

    def train_metrics(self, totals: protocol.EpochTotals) -> dict[str, Any]:
        """Return the metrics and extra losses of the train rows during the epoch."""
        logits = totals.logits[0] if len(totals.logits) == 1 else torch.cat(totals.logits)
        return self.meter.compute(self.network, logits, totals.rows)

    def evaluate(self) -> dict[str, Any]:
        """Return the metrics of the dev rows after the epochs so far."""
        rows = self.dev
        if rows is None:
            rows = SplitTensors.of(self.experiment.rows("dev", epoch=self.epoch), self.device)
        return self.meter.evaluate(self.network, rows)

    def is_finite(self) -> bool:
        """Return True if every parameter is a finite number."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters.values())


def arrays_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Return copies of a module's parameters and buffers by name."""
    return {name: np.array(tensor.detach().cpu().numpy()) for name, tensor in network.state_dict().items()}


class TorchEngine(protocol.SequentialEngine[TorchTrainer]):
    """nn.Module, autograd and torch.optim: it runs everything that a config can say."""

    name = "torch"
    trainer = TorchTrainer
    unsupported_reason = staticmethod(lambda _: None)
    optimizer_spec = staticmethod(optimizer_spec)
    evaluate = staticmethod(evaluate)
    outputs = staticmethod(outputs)
