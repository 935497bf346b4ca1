"""The torch engine; a run in it, of a module and its optimizers; and the loss and metrics of a module."""

from __future__ import annotations

import copy
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun import randomness
from mlprun.engines import epoch_protocol as protocol
from mlprun.engines import state_spec
from mlprun.engines.contract import Arrays, State, StopCondition
from mlprun.engines.torch.optimizer_state import flatten, optimizer_spec, unflatten
from mlprun.experiment import Experiment, SplitArrays, compute_metrics, plain
from mlprun.experiment.experiment import load_model
from mlprun.parts.optimizers import build_trained, step_function
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from mlprun.parts.data import Array, Floats
    from mlprun.parts.losses import Loss
    from mlprun.parts.network import Network

CHUNK = 65_536
"""rows evaluated at once, so that memory stays bounded on large tables"""
_THREAD = threading.local()


@dataclass(frozen=True)
class SplitTensors:
    """A split on its device; fields as in Rows, `truth` and `weights` stay in NumPy."""

    inputs: Tensor
    targets: Tensor
    extra: tuple[Tensor, ...]
    truth: Array
    weights: Floats | None = None

    @classmethod
    def of(cls, rows: SplitArrays, device: torch.device | str = "cpu") -> SplitTensors:
        """The rows as tensors; on the CPU they share the rows' memory."""
        extra = tuple(torch.from_numpy(targets).to(device) for targets in rows.extra)
        inputs, targets = torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)
        return cls(inputs.to(device), targets.to(device), extra, rows.truth, rows.weights)

    def weights_of(self, loss: Loss) -> tuple[Tensor, ...]:
        """What the losses of rows are multiplied by, [N] float64; empty where that is 1."""
        weights = loss.row_weights(self.truth, self.weights)
        return () if weights is None else (torch.from_numpy(weights).to(self.inputs.device),)

    def reordered(self, order: Array) -> SplitTensors:
        """The same rows in another order."""
        index = torch.from_numpy(order).to(self.inputs.device)
        extra = tuple(targets[index] for targets in self.extra)
        weights = None if self.weights is None else self.weights[order]
        return SplitTensors(self.inputs[index], self.targets[index], extra, self.truth[order], weights)

    def __len__(self) -> int:
        return len(self.inputs)


class MetricComputer:
    """Computes the loss and metrics of one experiment's networks. It holds no state of a run."""

    def __init__(self, experiment: Experiment) -> None:
        config = experiment.computed
        self._experiment = experiment
        self._loss, self._plain = config.loss, plain(config.loss).build()
        self._means = {loss.name: plain(loss).build() for loss in config.losses[1:]}

    def compute(
        self, network: Network, before: Tensor, rows: SplitTensors, *, tables: bool = False
    ) -> dict[str, Any]:
        """Metrics and extra losses of [N, K] values before the output activation, and of their rows.

        `tables` includes metrics that are no single number.
        """
        with torch.no_grad():
            outputs = network.output_activation(before)

        def mean(loss: Loss, targets: Tensor) -> float:
            with torch.no_grad():
                values, weights = before if loss.activation else outputs, rows.weights_of(loss)
                return self._means[loss.name](values, targets, *weights).item()

        array = outputs.cpu().numpy()
        options: dict[str, Any] = {"weights": rows.weights, "tables": tables}
        return compute_metrics(self._experiment, array, rows.truth, rows.extra, mean, **options)

    def evaluate(self, network: Network, rows: SplitTensors, *, tables: bool = False) -> dict[str, Any]:
        """`loss`, then the metrics, of a network on some rows; the network is left in evaluation mode."""
        if network.training:
            network.eval()
        before = compute_logits(network, rows.inputs)
        with torch.no_grad():
            values = before if self._loss.activation else network.output_activation(before)
            loss = self._plain(values, rows.targets, *rows.weights_of(self._loss)).item()
        return {"loss": loss, **self.compute(network, before, rows, tables=tables)}


def compute_logits(network: Network, inputs: Tensor) -> Tensor:
    """Values before the output activation, [N, K], computed in chunks without gradients."""
    with torch.no_grad():
        if len(inputs) <= CHUNK:
            return network.preactivation(inputs)
        return torch.cat([network.preactivation(part) for part in torch.split(inputs, CHUNK)])


def evaluate(
    experiment: Experiment, model: Mapping[str, Array], rows: Mapping[str, SplitArrays], *, device: str
) -> dict[str, dict[str, Any]]:
    """Return `loss`, then the metrics, of a model on some rows by name, confusion matrices included."""
    network, meter = _network(experiment, model, device), MetricComputer(experiment)
    tensors = {name: SplitTensors.of(arrays, device) for name, arrays in rows.items()}
    return {name: meter.evaluate(network, one, tables=True) for name, one in tensors.items()}


def outputs(experiment: Experiment, model: Mapping[str, Array], inputs: Array, *, device: str) -> Array:
    """Return [N, K] outputs after the output activation of preprocessed inputs."""
    network = _network(experiment, model, device)
    with torch.no_grad():
        logits = compute_logits(network, torch.from_numpy(inputs).to(device))
        return np.asarray(network.output_activation(logits).cpu().numpy())


def _network(experiment: Experiment, model: Mapping[str, Array], device: str) -> Network:
    """The module with these parameters; this thread's last one is used again for equal architectures."""
    architecture = experiment.config.architecture
    options = architecture.model_dump_json(), architecture.tables
    key = (*options, experiment.width, experiment.dtype, device)
    if getattr(_THREAD, "key", None) != key:
        _THREAD.key, _THREAD.network = key, experiment.blank_network().to(device).eval()
    network: Network = _THREAD.network
    load_model(network, model)
    return network


class TorchTrainer:
    """A run between `open` and the last `advance`."""

    def __init__(self, experiment: Experiment, state: State, device: str) -> None:
        config = experiment.computed
        self.experiment, self.config, self.device = experiment, config, torch.device(device)
        # blank: the state fills it, and a file of initial weights may be gone by now
        self.network = experiment.blank_network().to(self.device)
        self.parameters = dict(self.network.named_parameters())
        rules = config.optimizer.update_rules(config.freeze, self.parameters)
        self.optimizers = build_trained(
            config.optimizer, self.parameters, rules, self.network.embedding_tables()
        )
        self._frozen = [parameter for name, parameter in self.parameters.items() if name not in rules]
        for parameter in self._frozen:
            parameter.requires_grad = False
        self.meter = MetricComputer(experiment)
        self.train = SplitTensors.of(experiment.fixed["train"], self.device)
        dev = experiment.fixed.get("dev")
        self.dev = None if dev is None else SplitTensors.of(dev, self.device)
        self.batch = config.training.batch_rows(len(self.train))
        self._step_rows = self.batch * config.training.accumulate
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
        self._average = config.training.average
        # where no average is taken, the network that is trained is evaluated
        self.evaluated = self.network if self._average is None else copy.deepcopy(self.network)
        self._live = list(self.evaluated.state_dict().values())
        self._best = [tensor.clone() for tensor in self._live]
        self.restore(state)

    def restore(self, state: State) -> None:
        """Continue from a state."""
        self._state: State | None = state
        self.epoch, self.progress = state.epoch, state.progress
        load_model(self.network, state_spec.trained_model(state))
        if self._average is not None:
            load_model(self.evaluated, state.model)
        host = self.config.optimizer.host_slots
        unflatten(self.optimizers, self.parameters, state.optimizer_state, state.optimizer_meta, host=host)

    def state(self) -> State:
        """Return a copy of the run's state; one copy serves until the run goes on."""
        if self._state is not None:
            return self._state
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        slots, structure = flatten(self.optimizers, names)
        kept: Arrays = slots
        if self._average is not None and self.epoch:
            kept = state_spec.with_trained(slots, arrays_of(self.network))
        self._state = State(self.epoch, arrays_of(self.evaluated), kept, structure, self.progress)
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
            if self._average is not None:
                self._take_average(self._average.after_epoch(self.epoch))
                for mine, buffer in zip(self.evaluated.buffers(), self.network.buffers(), strict=True):
                    mine.copy_(buffer)
        return totals

    @torch.no_grad()
    def _take_average(self, keep: float | None) -> None:
        """Let a share of the average stay, and give the rest to the parameters."""
        if keep is not None:
            for average, newest in zip(self.evaluated.parameters(), self.parameters.values(), strict=True):
                average.copy_(newest + keep * (average - newest))

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
        for start in range(0, len(rows), self._step_rows):
            if stop():
                return None
            batch = tensors
            if self._step_rows < len(rows):
                batch = tuple(tensor[start : start + self._step_rows] for tensor in tensors)
            logits, loss, objective = self._step(start // self.batch, *batch)
            if self._average is not None:
                steps = self.epoch * self.experiment.steps_per_epoch + start // self._step_rows + 1
                self._take_average(self._average.after_step(steps))
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

    def _step(self, first: int, *batch: Tensor) -> tuple[Tensor, float, float]:
        """Update once; return the logits, the loss and the objective, all from before the update.

        A batch is the inputs, the targets and, if there are any, the weights of rows in the loss; here it has
        the rows of all batches from `first` that make the step.
        """
        if not self.config.optimizer.needs_closure:
            before_update = self._differentiate(first, *batch)
            for step in self._steps:
                step()
            return before_update
        passes: list[tuple[Tensor, float, float]] = []

        def closure() -> float:
            passes.append(self._differentiate(first, *batch))
            return passes[-1][2]

        for step in self._steps:
            step(closure)
        return passes[0]

    def _differentiate(self, first: int, *batch: Tensor) -> tuple[Tensor, float, float]:
        for parameter in self.parameters.values():
            parameter.grad = None
        parts = []
        for logits, loss, objective in self._forward(first, *batch):
            torch.autograd.backward(objective)
            value = loss.item()
            parts.append((logits.detach(), value, value if objective is loss else objective.item()))
        self._clip()
        if len(parts) == 1:
            return parts[0]
        every, losses, objectives = zip(*parts, strict=True)
        return torch.cat(every), sum(losses), sum(objectives)

    def _forward(self, first: int, *batch: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the logits, the loss, and the loss with its penalties: of each batch of a step its share."""
        part, rows = self.config.loss, len(batch[0])
        for start in range(0, rows, self.batch):
            is_whole = rows <= self.batch
            inputs, *targets = batch if is_whole else (one[start : start + self.batch] for one in batch)
            self._draw_dropout(first + start // self.batch, len(inputs))
            logits = self.network.preactivation(inputs)
            values = logits if part.activation else self.network.output_activation(logits)
            loss = self._loss(values, *targets)
            if not is_whole and part.reduction == "mean":
                loss = loss * (part.weight(*targets) / (part.weight(*batch[1:]) or 1.0))
            objective = loss
            for penalty in self._penalties if start == 0 else ():
                value, divisor = penalty.value(self._weights), self.config.penalty.divisor(part, *batch[1:])
                objective = objective + (value if divisor == 1.0 else value / divisor)
            yield logits, loss, objective

    def first_batch(self) -> tuple[Tensor, ...]:
        """Return the rows of the next step; nothing is updated."""
        rows = self._ordered()
        self._set_modes()
        tensors = (rows.inputs, rows.targets, *rows.weights_of(self.config.loss))
        return tuple(tensor[: self._step_rows] for tensor in tensors)

    def objective(self, *batch: Tensor) -> Tensor:
        """Return what the first step of an epoch differentiates, on its rows."""
        first, *others = (objective for *_, objective in self._forward(0, *batch))
        return sum(others, first)

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
        return self.meter.evaluate(self.evaluated, rows)

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
