"""Chapter 5: the engine, whose runs train a `Learner` epoch by epoch, evaluate it and save its state."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlprun.engines import epoch_protocol as protocol
from mlprun.engines import state_spec
from mlprun.engines.contract import Arrays, State, StopCondition
from mlprun.engines.evaluation import evaluate_logits, metrics_of, outputs_of
from mlprun.engines.scratch.engine import CAPABILITIES, Learner
from mlprun.experiment import Experiment, SplitArrays


def optimizer_spec(experiment: Experiment, state: State) -> state_spec.OptimizerSpec:
    """Return what a learner's optimizer keeps of each parameter, found by one step with zero gradients."""
    zeros = {name: np.zeros_like(array) for name, array in state.model.items()}
    blank = Learner(experiment.config, zeros, {})
    blank.step(zeros, 0.0)
    steps = state.epoch * experiment.steps_per_epoch
    return [
        {
            parameter: {
                slot: state_spec.Number(1, steps, whole=True, plain=False, dtype=str(array.dtype))
                if slot == "step"
                else state_spec.Array(str(array.dtype), array.shape)
                for slot, array in kept.items()
            }
            for parameter, kept in blank.slots.items()
            if kept
        }
    ]


class NumpyTrainer:
    """A run between `open` and the last `advance`."""

    def __init__(self, experiment: Experiment, state: State, device: str = "cpu") -> None:
        self.experiment, self.config, self.train = experiment, experiment.computed, experiment.fixed["train"]
        self.restore(state)

    def restore(self, state: State) -> None:
        """Continue from a state."""
        self.epoch, self.progress = state.epoch, state.progress
        kept = {
            name: state_spec.unpack(packed, state.optimizer_state)
            for name, packed in (state.optimizer_meta or [{}])[0].items()
        }
        self.learner = Learner(self.config, state_spec.trained_model(state), kept)
        self.averaged: Arrays = dict(state.model)
        self.save_best()

    def state(self) -> State:
        """Return a copy of the run's state."""
        arrays: dict[str, NDArray[Any]] = {}
        # as the torch engine does, a parameter of which nothing is kept is left out
        structure = {
            name: state_spec.pack(slots, f"0.{name}", arrays)
            for name, slots in self.learner.slots.items()
            if slots
        }
        kept: Arrays = arrays
        if self.config.training.average is not None and self.epoch:
            kept = state_spec.with_trained(arrays, self.learner.model)
        return State(self.epoch, dict(self.model), kept, [structure], self.progress)

    @property
    def model(self) -> Arrays:
        """The parameters that are evaluated."""
        return self.learner.model if self.config.training.average is None else self.averaged

    snapshot = state

    def save_best(self) -> None:
        """Copy the model as it is now."""
        self._best = dict(self.model)

    def best_model(self) -> Arrays:
        """Return the model as it was at the last `save_best`."""
        return self._best

    def is_finite(self) -> bool:
        """Return True if every parameter is a finite number."""
        return all(bool(np.isfinite(array).all()) for array in self.learner.model.values())

    @np.errstate(all="ignore")  # a run may diverge, which its metrics show
    def run_epoch(self, until: int, stop: StopCondition) -> protocol.EpochTotals | None:
        """Train one epoch; None when `stop` was met between batches."""
        rows, loss = self._ordered(), self.config.loss
        lr = protocol.learning_rate(self.experiment.config, self.epoch, self.progress)
        totals = protocol.EpochTotals(rows, lr)
        average, batches = self.config.training.average, self._batches(rows)
        for step, batch in enumerate(batches, self.epoch * len(batches) + 1):
            if stop():
                return None
            weights = batch.weights_of(loss)
            batch_result = self.learner.differentiate(batch.inputs, batch.targets, weights)
            self.learner.step(batch_result.gradients, lr)
            self._average(average.after_step(step) if average else None)
            weight = loss.weight(batch.targets, weights)
            mean = protocol.mean_loss(loss, batch_result.loss, weight)
            totals.add(batch_result.logits, mean, batch_result.objective, weight=weight, rows=len(batch))
        self.epoch += 1
        self._average(average.after_epoch(self.epoch) if average else None)
        return totals

    def _average(self, keep: float | None) -> None:
        """Let a share of the average stay, and give the rest to the parameters."""
        if keep is not None:
            former = self.averaged
            self.averaged = {name: w + keep * (former[name] - w) for name, w in self.learner.model.items()}

    def next_gradient(self) -> Arrays:
        """Return the gradient of the next step's objective by parameter name, before clipping."""
        batch = self._batches(self._ordered())[0]
        weights = batch.weights_of(self.config.loss)
        return self.learner.differentiate(batch.inputs, batch.targets, weights).gradients

    def train_metrics(self, totals: protocol.EpochTotals) -> dict[str, Any]:
        """Return the metrics and extra losses of the train rows during the epoch."""
        return metrics_of(self.experiment, np.concatenate(totals.logits), totals.rows)

    @np.errstate(all="ignore")
    def evaluate(self) -> dict[str, Any]:
        """Return `loss` and the metrics of the dev rows after the epochs so far."""
        rows = self.experiment.rows("dev", epoch=self.epoch)
        logits = Learner(self.config, self.model, {}).logits(rows.inputs)
        return evaluate_logits(self.experiment, logits, rows)

    def _ordered(self) -> SplitArrays:
        order = protocol.row_order(self.config, len(self.train), self.epoch)
        return self.train if order is None else self.train.take(order)

    def _batches(self, rows: SplitArrays) -> list[SplitArrays]:
        # a sum over batches is a sum over their rows
        size = self.config.training.batch_rows(len(rows)) * self.config.training.accumulate
        return [rows.take(slice(start, start + size)) for start in range(0, len(rows), size)]


def evaluate(
    experiment: Experiment, model: Arrays, rows: Mapping[str, SplitArrays], *, device: str
) -> dict[str, dict[str, Any]]:
    """Return `loss`, then the metrics, of a model on some rows by name, confusion matrices included."""
    learner = Learner(experiment.computed, model, {})
    return {
        name: evaluate_logits(experiment, learner.logits(one.inputs), one, tables=True)
        for name, one in rows.items()
    }


def outputs(experiment: Experiment, model: Arrays, inputs: NDArray[Any], *, device: str) -> NDArray[Any]:
    """Return [N, K] outputs after the output activation of preprocessed inputs."""
    return outputs_of(experiment, Learner(experiment.computed, model, {}).logits(inputs))


class ScratchEngine(protocol.SequentialEngine[NumpyTrainer]):
    """The explained engine."""

    name = "scratch"
    trainer = NumpyTrainer
    unsupported_reason = staticmethod(CAPABILITIES.missing)
    optimizer_spec = staticmethod(optimizer_spec)
    evaluate = staticmethod(evaluate)
    outputs = staticmethod(outputs)
