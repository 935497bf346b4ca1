"""One run, live in PyTorch: its module, its optimizers, and one epoch of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun import randomness
from mlprun.engines import epoch as epochs
from mlprun.engines.contract import State
from mlprun.engines.torch.optimizer_state import flatten, unflatten
from mlprun.experiment import Meter, Tensors
from mlprun.parts.optimizers.light import step_function
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from mlprun.experiment import Experiment


class Member:
    """A run between `open` and the last `advance`."""

    def __init__(self, experiment: Experiment, state: State, device: torch.device) -> None:
        config = experiment.computed
        self.experiment, self.config, self.device = experiment, config, device
        # blank: the state fills it, and a file of initial weights may be gone by now
        self.network = experiment.blank_network().to(device)
        self.parameters = dict(self.network.named_parameters())
        self.optimizers = config.optimizer.build(self.parameters, embeddings=self.network.embeddings())
        self.meter = Meter(experiment)
        self.train = Tensors.of(experiment.fixed["train"], device)
        dev = experiment.fixed.get("dev")
        self.dev = None if dev is None else Tensors.of(dev, device)
        self.batch = epochs.batch_size(config, len(self.train))
        self._steps = [step_function(optimizer) for optimizer in self.optimizers]
        self._loss, self._penalties, self._weights = (
            config.loss.build(),
            config.penalties,
            self.network.weights(),
        )
        # whether train and eval mode differ: switching a network that has no such layer costs time for
        # nothing
        self._dropouts = self.network.dropouts
        self._modal = any(hasattr(module, "running_mean") for module in self.network.modules())
        self.network.eval()
        self._live = list(self.network.state_dict().values())
        self._kept = [tensor.clone() for tensor in self._live]
        self.restore(state)

    def restore(self, state: State) -> None:
        """Stand where `state` says."""
        self._state: State | None = state
        self.epoch, self.progress = state.epoch, state.progress
        self.network.load_state_dict(
            {name: torch.from_numpy(np.array(array)) for name, array in state.model.items()}
        )
        host = self.config.optimizer.host_slots
        unflatten(self.optimizers, self.parameters, state.optimizer_state, state.optimizer_meta, host=host)

    def state(self) -> State:
        """A copy of where the run stands; one copy serves until the run goes on."""
        if self._state is not None:
            return self._state
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        slots, structure = flatten(self.optimizers, names)
        self._state = State(self.epoch, arrays_of(self.network), slots, structure, self.progress)
        return self._state

    def keep(self) -> None:
        """Remember the network as it is now: it is the best so far."""
        torch._foreach_copy_(self._kept, self._live)

    def kept(self) -> dict[str, NDArray[Any]]:
        """The network as it was at the last `keep`."""
        return {
            name: np.array(tensor.cpu().numpy())
            for name, tensor in zip(self.network.state_dict(), self._kept, strict=True)
        }

    def run_epoch(self, rate: float, stop: Callable[[], bool]) -> epochs.EpochTotals[Tensors, Tensor] | None:
        """Train one epoch; None when `stop` said so between batches, with the epoch half done.

        Raises OverflowError for a learning rate that the run's dtype cannot hold.
        """
        self._state = None
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        if self._modal:
            self.network.train()
        try:
            done = self._batches(stop)
        except RuntimeError as error:
            if "without overflow" not in str(error):
                raise
            # torch refuses a rate beyond float32, which infinity is not
            raise OverflowError(str(error)) from error
        for dropout in self._dropouts:
            dropout.keep = None
        if done is not None:
            self.epoch += 1
        return done

    def _batches(self, stop: Callable[[], bool]) -> epochs.EpochTotals[Tensors, Tensor] | None:
        rows = self._ordered()
        met: epochs.EpochTotals[Tensors, Tensor] = epochs.EpochTotals(rows)
        for step, start in enumerate(range(0, len(rows), self.batch)):
            if stop():
                return None
            inputs, targets = rows.inputs, rows.targets
            if self.batch < len(rows):
                inputs, targets = inputs[start : start + self.batch], targets[start : start + self.batch]
            self._draw_dropout(step, len(inputs))
            values, loss, objective = self._step(inputs, targets)
            weight = self.config.loss.weight(targets)
            shown = epochs.mean_loss(self.config.loss, loss, weight)
            met.add(values, shown, objective, weight=weight, rows=len(inputs))
        return met

    def _ordered(self) -> Tensors:
        """The train rows in this epoch's order."""
        order = epochs.row_order(self.config, len(self.train), self.epoch)
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

    def _step(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, float, float]:
        """One update; values before the output activation, the loss and the objective, all from before it."""
        if not self.config.optimizer.needs_closure:
            before, loss, objective = self._differentiate(inputs, targets)
            for step in self._steps:
                step()
            return before, loss, objective
        met: list[tuple[Tensor, float, float]] = []

        def closure() -> float:
            met.append(self._differentiate(inputs, targets))
            return met[-1][2]

        for step in self._steps:
            step(closure)
        return met[0]

    def _differentiate(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, float, float]:
        for parameter in self.parameters.values():
            parameter.grad = None
        before, loss, objective = self._forward(inputs, targets)
        torch.autograd.backward(objective)
        self._clip()
        shown = loss.item()
        return before.detach(), shown, shown if objective is loss else objective.item()

    def _forward(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values before the output activation, the loss, and the loss with its penalties."""
        before = self.network.preactivation(inputs)
        values = before if self.config.loss.activation else self.network.output_activation(before)
        loss = objective = self._loss(values, targets)
        for penalty in self._penalties:
            objective = objective + penalty.value(self._weights)
        return before, loss, objective

    def first_batch(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the next step; its dropout is drawn, and nothing is updated."""
        rows = self._ordered()
        if self._modal:
            self.network.train()
        self._draw_dropout(0, self.batch)
        return rows.inputs[: self.batch], rows.targets[: self.batch]

    def objective(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """What a step on a batch differentiates."""
        return self._forward(inputs, targets)[2]

    def next_gradient(self) -> dict[str, NDArray[Any]]:
        """The gradient of the next step by parameter name; 0 for one that it does not depend on."""
        for parameter in self.parameters.values():
            parameter.grad = None
        torch.autograd.backward(self.objective(*self.first_batch()))
        found = {}
        for name, parameter in self.parameters.items():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            found[name] = np.array(gradient.to_dense().cpu().numpy())
        return found

    def _clip(self) -> None:
        training = self.config.training
        if training.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), training.clip_norm)
        if training.clip_value is not None:
            torch.nn.utils.clip_grad_value_(self.parameters.values(), training.clip_value)

    def figures(self, done: epochs.EpochTotals[Tensors, Tensor]) -> dict[str, Any]:
        """The metrics and extra losses of the train rows as the epoch met them."""
        before = done.before[0] if len(done.before) == 1 else torch.cat(done.before)
        return self.meter.figures(self.network, before, done.rows)

    def evaluate(self) -> dict[str, Any]:
        """Figures of the dev rows as they are after the epochs so far."""
        rows = self.dev
        if rows is None:
            rows = Tensors.of(self.experiment.rows("dev", epoch=self.epoch), self.device)
        return self.meter.evaluate(self.network, rows)

    def finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.parameters.values())


def arrays_of(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Copies of a module's parameters and buffers by name."""
    return {name: np.array(tensor.detach().cpu().numpy()) for name, tensor in network.state_dict().items()}
