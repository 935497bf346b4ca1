"""One run in flat arrays: between `open` and the last `advance` everything about it stands here."""

from __future__ import annotations

import hashlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.engines.contract import Plateau, Progress, State
from mlprun.engines.fused import data, encoding, scalars
from mlprun.engines.fused import tables as t
from mlprun.engines.fused.support import kernels_compute_metrics
from mlprun.engines.fused.workspace import apart
from mlprun.parts.metrics import R2
from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from mlprun.engines.fused.layout import Layout
    from mlprun.experiment import Experiment, SplitArrays

FIRST = "0."
"""how torch's engine names the arrays of the first of an experiment's optimizers"""


class Snapshot(NamedTuple):
    """A run's state between two epochs, for a way back within one chunk."""

    epoch: int
    theta: NDArray[Any]
    slots: NDArray[Any]
    best: NDArray[Any]
    cursor: NDArray[np.int64]
    stands: NDArray[np.float64]


class Member:
    """A run's tables and its state."""

    def __init__(self, experiment: Experiment, state: State, layout: Layout) -> None:
        config = experiment.computed
        self.experiment, self.config, self.layout = experiment, config, layout
        rule = encoding.rule(config.optimizer)
        assert rule is not None, "an optimizer without a rule is refused"
        self.rule, self.inside = rule, kernels_compute_metrics(experiment)
        self.outputs = config.architecture.outputs or 0
        self._rows()
        self.plan, self.numbers = self._plan(), self._numbers()
        dtype, slots = layout.dtype, len(encoding.RULES[rule])
        self.theta, self.best = apart(layout.length, dtype), apart(layout.length, dtype)
        self.slots = apart(slots * layout.length, dtype)
        self.cursor, self.stands = apart(t.CURSOR, np.int64), apart(t.STANDS, np.float64)
        self.restore(state)

    def _rows(self) -> None:
        experiment, layout = self.experiment, self.layout
        train, dev = experiment.fixed["train"], experiment.fixed.get("dev")
        self.count, self.dev_count = len(train), 0 if dev is None else len(dev)
        size = self.config.training.batch_size
        self.batch = self.count if size == "full" else min(size, self.count)
        self.full = self.batch == self.count
        self.rows = self._array(train, in_blocks=self.full, turns=bool(layout.layers[0, t.TURNS]))
        self.dev = np.zeros(0, layout.dtype) if dev is None else self._array(dev, in_blocks=True)
        self.shares = np.concatenate([data.shares(experiment, rows, self.outputs) for rows in (train, dev)])

    def _array(self, rows: SplitArrays, *, in_blocks: bool, turns: bool = False) -> NDArray[Any]:
        experiment, layout = self.experiment, self.layout
        stride = layout.stride if in_blocks else 0

        def make() -> NDArray[Any]:
            table = data.table(experiment, rows)
            return data.blocks(layout, table, turns=turns) if in_blocks else table.ravel()

        return SHARED.once(rows, (self.config.loss, self.outputs, layout.lanes, stride, turns), make)

    def _plan(self) -> NDArray[np.int64]:
        config, plan, layout = self.config, np.zeros(t.PLAN, np.int64), self.layout
        training = config.training
        loss = encoding.loss(config.loss)
        assert loss is not None, "a loss that kernels lack is refused"
        plateau = config.schedule if isinstance(config.schedule, ReduceOnPlateau) else None
        fields = data.fields_of(self.experiment)
        by_row = loss[0] == "cross_entropy" and not encoding.adds_constant(config.loss)
        values = {
            t.ROWS: self.count,
            t.BATCH: self.batch,
            t.STRIDE: layout.stride,
            t.FIELDS: fields.numbers,
            t.SHUFFLED: training.shuffle and not self.full,
            t.SEED: training.seed,
            t.INPUTS: self.experiment.width,
            t.OUTPUTS: self.outputs,
            t.DEV_ROWS: self.dev_count,
            t.EVALUATE_EVERY: training.evaluate_every,
            t.LOG_EVERY: training.log_every,
            t.EPOCHS: training.epochs,
            t.MAXIMISES: config.best.mode == "max",
            t.WATCHES_FIGURE: config.best.metric != "dev_loss",
            t.FIGURE: self._figure(),
            t.LOSS: encoding.code(encoding.LOSSES, loss[0]),
            t.SUMS: config.loss.reduction == "sum",
            t.CLASS_FIELD: fields.classes,
            t.WEIGHT_FIELD: fields.weight,
            t.CONSTANT_FIELD: fields.constant,
            t.RULE: encoding.code(encoding.RULES, self.rule),
            t.FAMILY: scalars.FAMILIES[type(config.optimizer).names()[0]],
            t.PATIENCE: config.early_stopping.patience if config.early_stopping else -1,
            t.PLATEAU: plateau is not None,
            t.PLATEAU_PATIENCE: plateau.patience if plateau else 0,
            t.PLATEAU_COOLDOWN: plateau.cooldown if plateau else 0,
            t.PLATEAU_ABSOLUTE: plateau is not None and plateau.threshold_mode == "abs",
            t.LENGTH: layout.length,
            t.TURNED: layout.turned,
            t.OUTSIDE: not self.inside,
            t.COMPACTS: layout.compacts,
            t.PER_ROW: 1 if by_row else self.outputs,
        }
        for place, value in values.items():
            plan[place] = value
        return plan

    def _figure(self) -> int:
        metrics = [part for part in self.config.metrics if getattr(part, "scalar", True)]
        if not self.inside or not metrics:
            return t.NO_FIGURE
        if isinstance(metrics[0], R2):
            return t.R2
        return t.HIT_OF_ONE if self.outputs == 1 else t.HIT_OF_MANY

    def _numbers(self) -> NDArray[np.float64]:
        config, numbers = self.config, np.zeros(t.NUMBERS)
        loss = encoding.loss(config.loss)
        assert loss is not None
        numbers[t.LR], numbers[t.SCALE], numbers[t.LOSS_OPTION] = (
            config.optimizer.lr,
            config.loss.scale,
            loss[1],
        )
        for penalty in config.penalties:
            numbers[t.L2 if penalty.name == "l2" else t.L1] = penalty.coefficient
        clip_norm, clip_value = config.training.clip_norm, config.training.clip_value
        numbers[t.CLIP_NORM] = -1 if clip_norm is None else clip_norm
        numbers[t.CLIP_VALUE] = -1 if clip_value is None else clip_value
        # the logistic of bce is above one half where what comes before it is above 0
        numbers[t.OUTPUT_THRESHOLD] = 0.0 if loss[0] == "bce" else config.loss.threshold
        numbers[t.TARGET_THRESHOLD] = config.loss.threshold
        if isinstance(config.schedule, ReduceOnPlateau):
            plateau = config.schedule
            numbers[t.PLATEAU_FACTOR], numbers[t.PLATEAU_THRESHOLD] = plateau.factor, plateau.threshold
            numbers[t.PLATEAU_MIN_LR], numbers[t.PLATEAU_EPS] = plateau.min_lr, plateau.eps
        options = scalars.options(config.optimizer)
        numbers[t.O0 : t.O0 + len(options)] = options
        return numbers

    def rates(self, first: int, until: int) -> NDArray[np.float64]:
        """Factors on the learning rate of the epochs after `first` completed ones, up to `until`."""
        schedule, epochs = self.config.schedule, self.config.training.epochs
        if not isinstance(schedule, EpochSchedule) or schedule.name == "constant":
            return np.ones(until - first)
        return np.array([schedule.factor(epoch, epochs) for epoch in range(first, until)], np.float64)

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return int(self.cursor[t.EPOCH])

    @property
    def progress(self) -> Progress:
        """Best and plateau in the terms of progress.py."""
        cursor, stands = self.cursor, self.stands
        plateau = Plateau(
            float(stands[t.PLATEAU_SHARE]),
            float(stands[t.PLATEAU_BEST]) if cursor[t.PLATEAU_HAS_BEST] else None,
            int(cursor[t.PLATEAU_BAD]),
            int(cursor[t.PLATEAU_COOLDOWN_LEFT]),
        )
        value = float(stands[t.BEST_VALUE]) if cursor[t.HAS_BEST] else None
        return Progress(int(cursor[t.BEST_EPOCH]), value, plateau, int(cursor[t.UNDEFINED]))

    @progress.setter
    def progress(self, progress: Progress) -> None:
        cursor, stands, plateau = self.cursor, self.stands, progress.plateau
        cursor[t.BEST_EPOCH], cursor[t.HAS_BEST] = progress.best_epoch, progress.best_value is not None
        cursor[t.UNDEFINED] = progress.undefined
        stands[t.BEST_VALUE] = 0.0 if progress.best_value is None else progress.best_value
        cursor[t.PLATEAU_HAS_BEST] = plateau.best is not None
        stands[t.PLATEAU_SHARE], stands[t.PLATEAU_BEST] = plateau.factor, plateau.best or 0.0
        cursor[t.PLATEAU_BAD], cursor[t.PLATEAU_COOLDOWN_LEFT] = (
            plateau.bad_evaluations,
            plateau.cooldown_left,
        )

    def snapshot(self) -> Snapshot:
        """A copy of where the run stands, to come back to."""
        theta, slots, best = self.theta.copy(), self.slots.copy(), self.best.copy()
        return Snapshot(self.epoch, theta, slots, best, self.cursor.copy(), self.stands.copy())

    def stand(self, snapshot: Snapshot) -> None:
        """Come back to where a snapshot was taken."""
        self.theta[:], self.slots[:], self.best[:] = snapshot.theta, snapshot.slots, snapshot.best
        self.cursor[:], self.stands[:] = snapshot.cursor, snapshot.stands

    def restore(self, state: State) -> None:
        """Stand where `state` says."""
        self.cursor[:], self.stands[:] = 0, 0
        self.cursor[t.EPOCH], self.progress = state.epoch, state.progress
        self.theta[:] = self.layout.flat(state.model)
        self.slots[:], self.stands[t.MOMENTUM_PRODUCT] = 0, 1.0
        if self.rule == "adagrad":
            initial = self.config.optimizer.model_dump()["initial_accumulator_value"]
            self.slots[: self.layout.parameters] = initial
        packed = (state.optimizer_meta or [{}])[0]
        for name, values in packed.items():
            self._unpack(name, values["of"], state)

    def _unpack(self, name: str, values: dict[str, Any], state: State) -> None:
        def read(packed: Any) -> Any:
            return state.optimizer_state[packed["array"]] if isinstance(packed, dict) else packed

        offset, length = self.layout.offsets[name], self.layout.length
        for number, slot in enumerate(encoding.RULES[self.rule]):
            if values.get(slot) is not None:
                array = np.asarray(read(values[slot])).ravel()
                begin = number * length + offset
                self.slots[begin : begin + array.size] = array
        # torch keeps no count for sgd, whose first step alone is different
        self.cursor[t.STEPS] = int(read(values.get("step", 1)))
        self.stands[t.MOMENTUM_PRODUCT] = float(read(values.get("mu_product", 1.0)))

    def state(self) -> State:
        """A copy of where the run stands."""
        model = self.layout.named(self.theta)
        steps, names = int(self.cursor[t.STEPS]), encoding.RULES[self.rule]
        if not steps or not names:
            return State(self.epoch, model, {}, None, self.progress)
        length, arrays = self.layout.length, {}
        packed: dict[str, dict[str, Any]] = {name: {"of": {"step": steps}} for name in self.layout.offsets}
        for number, slot in enumerate(names):
            for name, array in self.layout.named(self.slots[number * length :]).items():
                arrays[f"{FIRST}{name}.{slot}"] = array
                packed[name]["of"][slot] = {"array": f"{FIRST}{name}.{slot}"}
        if self.rule == "nadam":
            for values in packed.values():
                values["of"]["mu_product"] = float(self.stands[t.MOMENTUM_PRODUCT])
        return State(self.epoch, model, arrays, [packed], self.progress)


class Shared:
    """Arrays by the rows they were made of, for as long as these exist, and by their own content."""

    def __init__(self) -> None:
        self._of_rows: dict[int, dict[Hashable, NDArray[Any]]] = {}
        self._of_content: weakref.WeakValueDictionary[bytes, NDArray[Any]] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def once(self, rows: SplitArrays, kind: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What `make` gives for these rows and this kind of array; rows of equal content share it."""
        known = self._of_rows.get(id(rows))
        if known is None:
            known = self._of_rows.setdefault(id(rows), {})
            weakref.finalize(rows, self._of_rows.pop, id(rows), None).atexit = False
        if kind not in known:
            made = make()
            key = hashlib.sha256(made.data).digest() + f"{made.dtype} {made.shape}".encode()
            with self._lock:
                known[kind] = self._of_content.setdefault(key, made)
        return known[kind]


SHARED = Shared()
