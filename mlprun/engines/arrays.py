"""A run on NumPy arrays: its epochs, figures and state, around whatever differentiates and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from mlprun.engines import epoch as epochs
from mlprun.engines import kinds
from mlprun.engines.contract import State
from mlprun.engines.stepwise import Stepwise
from mlprun.experiment import compute_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from mlprun.engines.abilities import Abilities
    from mlprun.engines.contract import Arrays
    from mlprun.experiment import Experiment, SplitArrays
    from mlprun.parts.losses import Loss
    from mlprun.schema import Config

    Array = NDArray[np.float64]
    Slots = dict[str, dict[str, NDArray[Any]]]
    """parameter to slot to array"""
    Make = Callable[[Config, Arrays, Slots], "Learner"]


FIRST = "0."
"""how torch's engine names the arrays of the first of an experiment's optimizers"""


class Differentiated(NamedTuple):
    """A batch gone through in both directions."""

    before: Array
    """[B, K] values before the output activation"""
    loss: float
    """with the config's reduction and scale"""
    objective: float
    """the loss and its penalties: what was differentiated"""
    gradients: dict[str, Array]
    """of the objective, by parameter name, before clipping"""


class Learner(Protocol):
    """A network and its optimizer. Arrays are replaced by a step and never written to."""

    model: dict[str, Array]
    slots: Slots

    def before(self, inputs: Array) -> Array:
        """[N, D] or [N, T] inputs to values before the output activation, [N, K]."""
        ...

    def outputs(self, before: Array) -> Array:
        """The output activation, [N, K] to [N, K]."""
        ...

    def mean(self, loss: Loss, before: Array, targets: Array) -> float:
        """A loss without its reduction and scale."""
        ...

    def differentiate(self, inputs: Array, targets: Array) -> Differentiated:
        """Forward and backward on a batch; nothing is updated."""
        ...

    def step(self, gradients: dict[str, Array], rate: float) -> None:
        """One update of the parameters and of what the optimizer remembers."""
        ...


def expected(experiment: Experiment, state: State, learner: Make) -> kinds.Expected:
    """What a learner's optimizer keeps of each parameter: found by letting it take one step of nothing."""
    nothing = {name: np.zeros_like(array) for name, array in state.model.items()}
    blank = learner(experiment.config, nothing, {})
    blank.step(nothing, 0.0)
    steps = kinds.steps_so_far(experiment, state.epoch)
    return [
        {
            parameter: {
                slot: kinds.Number(1, steps, whole=True, plain=False, dtype=str(array.dtype))
                if slot == "step"
                else kinds.Array(str(array.dtype), array.shape)
                for slot, array in kept.items()
            }
            for parameter, kept in blank.slots.items()
            if kept
        }
    ]


class Member:
    """A run between `open` and the last `advance`."""

    def __init__(self, experiment: Experiment, state: State, learner: Make) -> None:
        self.experiment, self.config, self.train = experiment, experiment.computed, experiment.fixed["train"]
        self._learner = learner
        self.restore(state)

    def restore(self, state: State) -> None:
        """Stand where `state` says."""
        self.epoch, self.progress = state.epoch, state.progress
        self.learner = self._learner(self.config, state.model, put_together(state))
        self.keep()

    def state(self) -> State:
        """Where the run stands."""
        arrays, structure = taken_apart(self.learner.slots)
        return State(self.epoch, dict(self.learner.model), arrays, structure, self.progress)

    def keep(self) -> None:
        """Remember the network as it is now."""
        self._best = dict(self.learner.model)

    def kept(self) -> Arrays:
        """The network as it was at the last `keep`."""
        return self._best

    def finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return all(bool(np.isfinite(array).all()) for array in self.learner.model.values())

    @np.errstate(all="ignore")  # a run may diverge, which its figures tell
    def run_epoch(self, rate: float, stop: Callable[[], bool]) -> epochs.Met[SplitArrays, Array] | None:
        """Train one epoch at a learning rate; None when `stop` said so between batches."""
        rows, loss = self._ordered(), self.config.loss
        met: epochs.Met[SplitArrays, Array] = epochs.Met(rows)
        for batch in self._batches(rows):
            if stop():
                return None
            found = self.learner.differentiate(batch.inputs, batch.targets)
            self.learner.step(found.gradients, rate)
            weight = loss.weight(batch.targets)
            shown = epochs.mean_of(loss, found.loss, weight)
            met.add(found.before, shown, found.objective, weight=weight, rows=len(batch))
        self.epoch += 1
        return met

    def first_gradient(self) -> Arrays:
        """The gradient of the next step's objective by parameter name, before clipping."""
        batch = self._batches(self._ordered())[0]
        return self.learner.differentiate(batch.inputs, batch.targets).gradients

    def figures(self, done: epochs.Met[SplitArrays, Array]) -> dict[str, Any]:
        """The metrics and extra losses of the train rows as the epoch met them."""
        return self._measured(np.concatenate(done.before), done.rows)

    @np.errstate(all="ignore")
    def evaluate(self) -> dict[str, Any]:
        """`loss` and the figures of the dev rows as they are after the epochs so far."""
        rows = self.experiment.rows("dev", epoch=self.epoch)
        before = self.learner.before(rows.inputs)
        loss = self.learner.mean(self.config.loss, before, rows.targets)
        return {"loss": loss, **self._measured(before, rows)}

    def _measured(self, before: Array, rows: SplitArrays) -> dict[str, Any]:
        def mean(loss: Loss, targets: Array) -> float:
            return self.learner.mean(loss, before, targets)

        return compute_metrics(self.experiment, self.learner.outputs(before), rows.truth, rows.extra, mean)

    def _ordered(self) -> SplitArrays:
        order = epochs.row_order(self.config, len(self.train), self.epoch)
        return self.train if order is None else self.train.take(order)

    def _batches(self, rows: SplitArrays) -> list[SplitArrays]:
        size = epochs.batch_size(self.config, len(rows))
        return [rows.take(slice(start, start + size)) for start in range(0, len(rows), size)]


def engine(name: str, learner: Make, abilities: Abilities) -> Stepwise[Member]:
    """The engine of that name whose runs are members around such learners."""
    return Stepwise(
        name,
        lambda experiment, state, _: Member(experiment, state, learner),
        abilities.lacking,
        lambda experiment, state: expected(experiment, state, learner),
    )


def taken_apart(slots: Mapping[str, Arrays]) -> tuple[dict[str, NDArray[Any]], Any]:
    """Copies of the arrays by name, and the structure around them as JSON."""
    arrays: dict[str, NDArray[Any]] = {}
    structure: dict[str, Any] = {}
    for parameter, kept in slots.items():
        if not kept:  # as torch's engine leaves such a parameter out
            continue
        names = {slot: f"{FIRST}{parameter}.{slot}" for slot in kept}
        arrays |= {names[slot]: np.array(array) for slot, array in kept.items()}
        structure[parameter] = {"of": {slot: {"array": name} for slot, name in names.items()}}
    return arrays, [structure]


def put_together(state: State) -> Slots:
    """The inverse of `taken_apart`; slots that hold no array are left out."""
    structure = (state.structure or [{}])[0]
    return {
        parameter: {
            slot: np.array(state.slots[packed["array"]])
            for slot, packed in kept["of"].items()
            if isinstance(packed, dict)
        }
        for parameter, kept in structure.items()
    }
