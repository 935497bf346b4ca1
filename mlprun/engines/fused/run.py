"""One run as kernels take it: its records, its state and the arrays that a thread works with."""

from __future__ import annotations

import ctypes
import math
import threading
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.contract import Plateau, Progress, State
from mlprun.engines.fused.compilation import Kernel
from mlprun.engines.fused.data import fields_of, has_constant, kernel_rows, output_units, r2_denominators
from mlprun.engines.fused.losses import LOSSES
from mlprun.engines.fused.optimizers import OPTIMIZERS, OPTIONS, SCALARS
from mlprun.engines.fused.records import (
    BINARY_COUNTS,
    BINARY_HITS,
    COUNTS,
    EMA,
    ERRORS,
    GROUP,
    HITS,
    NO_SUMS,
    RUN,
    SQUARED_ERRORS,
    STATE,
    SWA,
    Data,
    Parameters,
    Schedule,
    Workspace,
    kernel_table,
    layout_of,
)
from mlprun.engines.fused.support import (
    MAE,
    MICRO,
    RECALL,
    kernel_loss,
    kernel_metrics,
    kernel_optimizer,
)
from mlprun.engines.state_spec import pack, trained_model, unpack, with_trained
from mlprun.experiment import history_metrics
from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlprun.engines.fused.compilation import CompileCode
    from mlprun.experiment import Experiment, SplitArrays

HISTORY_ROWS = 4096
"""rows and improvements of one call of a kernel; when they are full it returns and is called again"""
CALL_PRODUCTS = 100_000_000
"""multiplications of one call of a kernel: some 20 ms, so that a stop is noticed soon"""
STEP_PRODUCTS = 1000
"""the least cost of a step, in multiplications"""
CACHE_LINE = 128
"""bytes that processors fetch together: two cache lines"""
_RUN_FIELDS, _STATE_FIELDS, _OPTIONS = (dtype.names or () for dtype in (RUN, STATE, OPTIONS))


def aligned_zeros(*arrays: tuple[int, Any]) -> list[NDArray[Any]]:
    """Return zeros, by their number and type, that share no cache line: two threads would compete for it."""
    sizes = [count * np.dtype(dtype).itemsize for count, dtype in arrays]
    memory = np.zeros(sum(sizes) + CACHE_LINE * (1 + len(sizes)), np.uint8)
    start, made = -memory.ctypes.data % CACHE_LINE, []
    for (_, dtype), size in zip(arrays, sizes, strict=True):
        made.append(memory[start : start + size].view(dtype))
        start += -(-size // CACHE_LINE) * CACHE_LINE
    return made


def _compile(name: str) -> CompileCode:
    def compile_code(dtype: str) -> tuple[str, bytes, Callable[[], int]]:
        from mlprun.engines.fused.epochs import compile_kernel  # imports Numba

        return compile_kernel(name, dtype)

    return compile_code


TRAIN = Kernel("train", ctypes.c_int64, _compile("train"))
EVALUATE = Kernel("evaluate", ctypes.c_double, _compile("evaluate"))
_THREAD = threading.local()


def _packed(space: Workspace) -> list[int]:
    """Return a workspace as kernels read it; thousands of small runs after one another share one."""
    last: tuple[Workspace, list[int]] | None = getattr(_THREAD, "last", None)
    if last is None or last[0] is not space:
        last = _THREAD.last = (space, kernel_table(space))
    return last[1]


def _total(rows: SplitArrays | None) -> float:
    """Return the sum of the rows' weights: their number where they have none."""
    if rows is None or rows.weights is None:
        return 0.0 if rows is None else len(rows)
    return float(rows.weights.sum())


class FusedRun:
    """A run between `open` and the last `advance`."""

    def __init__(self, experiment: Experiment, state: State) -> None:
        layout = layout_of(experiment)
        config = experiment.computed
        optimizer = kernel_optimizer(config.optimizer)
        assert optimizer is not None, "optimizers without a kernel are not supported"
        loss = kernel_loss(config.loss)
        assert loss is not None, "losses without a kernel are not supported"
        self.experiment, self.config, self.layout = experiment, config, layout
        self.optimizer, self._options = optimizer
        self._loss = loss[0]
        self.outputs = config.architecture.outputs or 0
        metrics = kernel_metrics(experiment)
        self.python_metrics, self.metrics = metrics is None, metrics or []
        train, dev = experiment.fixed["train"], experiment.fixed.get("dev")
        self.train_rows, self.dev_rows = len(train), 0 if dev is None else len(dev)
        self.batch_size = config.training.batch_rows(self.train_rows)
        self.steps_per_epoch = -(-self.train_rows // (self.batch_size * config.training.accumulate))
        self.full_batch = self.batch_size == self.train_rows
        self.data = Data(
            kernel_rows(
                experiment, train, layout, in_blocks=self.full_batch, padded=layout.transposes_inputs
            ),
            np.zeros(0, layout.dtype)
            if dev is None
            else kernel_rows(experiment, dev, layout, in_blocks=True),
            r2_denominators(experiment, train, self.outputs),
            r2_denominators(experiment, dev, self.outputs),
            output_units(experiment, self.outputs),
            np.resize(np.array(loss[1], np.float64), self.outputs),
            np.array(self.metrics, np.int64).ravel(),
        )
        dtype, length = layout.dtype, layout.length
        slots = len(self.optimizer.state)
        average = config.training.average
        self.record, self.states, current, state_of_optimizer, best, averaged = aligned_zeros(
            (1, RUN),
            (1, STATE),
            (layout.size, dtype),
            (slots * length, dtype),
            (layout.size, dtype),
            (0 if average is None else layout.size, dtype),
        )
        self.rules = config.optimizer.update_rules(config.freeze, layout.offsets)
        self.parameters = Parameters(
            current, state_of_optimizer, best, current if average is None else averaged, self._groups()
        )
        self._fill_record()
        self.load_state(state)

    def _fill_record(self) -> None:
        config, training, layout = self.config, self.config.training, self.layout
        fields = fields_of(self.experiment)
        values: dict[str, Any] = {
            "train_rows": self.train_rows,
            "dev_rows": self.dev_rows,
            "inputs": self.experiment.width,
            "outputs": self.outputs,
            "fields": fields.size,
            "class_field": fields.classes,
            "weight_field": fields.weight,
            "sample_weight_field": fields.sample_weight,
            "train_weight": _total(self.experiment.fixed["train"]),
            "dev_weight": _total(self.experiment.fixed.get("dev")),
            "constant_field": fields.constant,
            "batch_size": self.batch_size,
            "accumulate": training.accumulate,
            "average": 0 if training.average is None else (EMA if training.average.name == "ema" else SWA),
            "average_decay": getattr(training.average, "decay", 0.0),
            "average_start": getattr(training.average, "start", 0),
            "block_rows": layout.block_rows,
            "shuffle": training.shuffle and not self.full_batch,
            "patience": config.early_stopping.patience if config.early_stopping else -1,
            "min_delta": config.early_stopping.min_delta if config.early_stopping else 0.0,
            "python_metrics": self.python_metrics,
            "best_metric": self._best_metric(),
            "maximize": config.best.mode == "max",
            "optimizer": OPTIMIZERS.index(self.optimizer),
            "lr": config.optimizer.lr,
            "clip_norm": -1 if training.clip_norm is None else training.clip_norm,
            "clip_value": -1 if training.clip_value is None else training.clip_value,
            "parameters": layout.length,
            "transposed": layout.transposed,
        }
        names = ("seed", "epochs", "log_every", "evaluate_every")
        values |= {name: getattr(training, name) for name in names}
        values |= {penalty.name: penalty.coefficient for penalty in config.penalties}
        values["penalty_per_row"] = config.penalty.divide_by_rows
        values |= self._loss_values() | self._sums()
        if isinstance(config.schedule, ReduceOnPlateau):
            options = ("patience", "cooldown", "factor", "threshold", "min_lr", "eps")
            values |= {f"plateau_{name}": getattr(config.schedule, name) for name in options}
            values |= {"plateau": 1, "plateau_absolute": config.schedule.threshold_mode == "abs"}
        self.record[0] = tuple(values.get(name, 0) for name in _RUN_FIELDS)

    def _groups(self) -> NDArray[Any]:
        found = self.layout.groups(self.rules)
        groups = np.zeros(len(found), GROUP)
        for index, (begin, length, rule) in enumerate(found):
            own = {} if rule.weight_decay is None else {"weight_decay": rule.weight_decay}
            options = {**self._options, **own}
            numbers = tuple(options.get(name, 0.0) for name in _OPTIONS)
            groups[index] = (begin, length, rule.lr_factor, numbers)
        return groups

    def _loss_values(self) -> dict[str, Any]:
        part, loss = self.config.loss, self._loss
        names = [other.name for other in LOSSES]
        per_row = loss.function is None and not has_constant(part)
        return {
            "loss": names.index(loss.name),
            "unread_loss": names.index(loss.unread or loss.name),
            "sum_reduction": part.reduction == "sum",
            "scale": part.scale,
            "weight_per_row": 1 if per_row else self.outputs,
            # a probability is above one half where its logit is above 0
            "output_threshold": 0.0 if part.activation == "logistic" else part.threshold,
            "target_threshold": part.threshold,
        }

    def _sums(self) -> dict[str, int]:
        """Return what is summed up over rows for the metrics: no more than they need."""
        binary, kinds = self.outputs == 1, [kind for kind, _ in self.metrics]
        if not kinds:
            return {"sums": NO_SUMS}
        if self.experiment.classes is None:
            return {"sums": ERRORS if max(kinds) >= MAE else SQUARED_ERRORS}
        if set(self.metrics) == {(RECALL, MICRO)}:  # accuracy
            return {"sums": BINARY_HITS if binary else HITS, "classes": 1}
        return {"sums": BINARY_COUNTS if binary else COUNTS, "classes": max(2, self.outputs)}

    def _best_metric(self) -> int:
        name = self.config.best.metric.removeprefix("dev_")
        return -1 if name == "loss" or self.python_metrics else history_metrics(self.config).index(name)

    def lr_factors(self, first: int, until: int) -> NDArray[np.float64]:
        """Return the factors on the learning rate of the epochs after epoch `first`, up to `until`."""
        schedule, epochs = self.config.schedule, self.config.training.epochs
        if not isinstance(schedule, EpochSchedule) or schedule.name == "constant":
            return np.ones(until - first)
        return np.array([schedule.factor(epoch, epochs) for epoch in range(first, until)], np.float64)

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return int(self.states["epoch"].item())

    @property
    def progress(self) -> Progress:
        """Best epoch, patience and plateau, as in states of every engine."""
        values = zip(_STATE_FIELDS, self.states.item(), strict=True)
        state: dict[str, Any] = {name: None if math.isnan(value) else value for name, value in values}
        names = ("factor", "best", "bad_evaluations", "cooldown_left")
        plateau = Plateau(*(state[f"plateau_{name}"] for name in names))
        reference = state["reference_epoch"], state["reference_value"]
        best = state["best_epoch"], state["best_value"]
        return Progress(*best, plateau, state["undefined"], None if reference == best else reference)

    @progress.setter
    def progress(self, progress: Progress) -> None:
        values = {name: getattr(progress, name) for name in ("best_epoch", "best_value", "undefined")}
        values |= {f"plateau_{name}": value for name, value in vars(progress.plateau).items()}
        reference = progress.reference or (progress.best_epoch, progress.best_value)
        values |= dict(zip(("reference_epoch", "reference_value"), reference, strict=True))
        for name, value in values.items():
            self.states[name] = math.nan if value is None else value

    @cached_property
    def _evaluation_record(self) -> NDArray[Any]:
        return np.frombuffer(bytearray(self.record.view(np.uint8)), RUN)  # `copy` goes field by field

    @cached_property
    def _data_table(self) -> Data:
        return Data(*map(kernel_table, self.data))

    @cached_property
    def _parameters_table(self) -> list[int]:
        return kernel_table(self.parameters)

    @cached_property
    def _table(self) -> list[int]:
        record, states = kernel_table(self.record), kernel_table(self.states)
        return [*record, *self.layout.table, *chain(*self._data_table), *states, *self._parameters_table]

    def call_kernel(self, space: Workspace, schedule: Schedule) -> int:
        """Call the training kernel once; return why it returned."""
        table = (*self._table, *_packed(space), *kernel_table(schedule))
        return int(TRAIN.compiled(self.layout.dtype.name)(table))

    def evaluate(
        self, space: Workspace, rows: SplitArrays, *, keep: bool
    ) -> tuple[float, list[float], NDArray[Any]]:
        """Return the loss of rows, the metrics that kernels compute, and with `keep` the logits [N, K]."""
        count, record = len(rows) if keep else 0, self._evaluation_record
        outputs = np.zeros(count * self.outputs, self.layout.dtype)
        record["dev_rows"], record["python_metrics"] = len(rows), keep  # which keeps the outputs
        record["dev_weight"] = _total(rows)
        dev = kernel_rows(self.experiment, rows, self.layout, in_blocks=True)
        r2 = r2_denominators(self.experiment, rows, self.outputs)
        data = self._data_table._replace(dev=kernel_table(dev), dev_r2=kernel_table(r2))
        packed = kernel_table(space._replace(outputs=outputs)) if keep else _packed(space)
        tables = (kernel_table(record), self.layout.table, *data, self._parameters_table, packed)
        loss = EVALUATE.compiled(self.layout.dtype.name)([*chain(*tables)])
        metrics = space.metrics[len(self.metrics) :].tolist()
        return float(loss), metrics, outputs.reshape(count, self.outputs)

    def is_finite(self) -> bool:
        """Return True if every parameter is a finite number."""
        return bool(np.isfinite(self.parameters.current[self.layout.used]).all())

    def snapshot(self) -> list[NDArray[Any]]:
        """Return a copy of the state, for `restore`."""
        return [array.copy() for array in (self.states, *self.parameters)]

    def restore(self, snapshot: list[NDArray[Any]]) -> None:
        """Continue from a snapshot."""
        for array, copy in zip((self.states, *self.parameters), snapshot, strict=True):
            array[:] = copy

    def load_state(self, state: State) -> None:
        """Continue from a state between two epochs."""
        record, layout = self.states, self.layout
        record.view(np.uint8)[:] = 0
        record["epoch"], self.progress = state.epoch, state.progress
        for number in self.optimizer.numbers:
            record[number] = 1.0
        record["averaged_steps"] = state.epoch * self.steps_per_epoch
        self.parameters.evaluated[:] = layout.flatten(state.model)
        self.parameters.current[:] = layout.flatten(trained_model(state))
        names = state.model.keys() - layout.shapes
        self._counts = state.epoch, {name: int(state.model[name]) for name in names}
        self.parameters.optimizer[:] = 0
        if "initial_accumulator_value" in self._options:
            self.parameters.optimizer[: layout.parameters] = self._options["initial_accumulator_value"]

        for name, packed in (state.optimizer_meta or [{}])[0].items():
            kept = unpack(packed, state.optimizer_state)
            for index, slot in enumerate(self.optimizer.state):
                if kept.get(slot) is not None:
                    array, begin = kept[slot].ravel(), index * layout.length + layout.offsets[name]
                    self.parameters.optimizer[begin : begin + array.size] = array
            # torch keeps no count for sgd, whose first step alone is different
            record["steps"] = int(kept.get("step", 1))
            for number in self.optimizer.numbers:
                record[number] = float(kept[number])

    def model(self, flat: NDArray[Any], epoch: int) -> dict[str, NDArray[Any]]:
        """Return the parameters and the buffers of batch norm after an epoch, from a flat array."""
        # kernels do not count the batches of batch norm: every step is one
        since, counts = self._counts
        steps = (epoch - since) * -(-self.train_rows // self.batch_size)
        frozen = {f"{name}.num_batches_tracked" for name in self.layout.frozen}
        tracked = {name: np.array(count + steps * (name not in frozen)) for name, count in counts.items()}
        return self.layout.unflatten(flat) | self.layout.statistics(flat) | tracked

    def state(self) -> State:
        """Return a copy of the state."""
        layout, slots, steps = self.layout, self.optimizer.state, self.states["steps"].item()
        model = self.model(self.parameters.evaluated, self.epoch)
        arrays: dict[str, NDArray[Any]] = {}
        if self.config.training.average is not None and self.epoch:
            arrays |= with_trained({}, self.model(self.parameters.current, self.epoch))
        if not steps or not slots:
            return State(self.epoch, model, arrays, None, self.progress)
        numbers = {"step": steps} | {name: self.states[name].item() for name in self.optimizer.numbers}
        kept = {name: dict(numbers) for name in self.rules}
        for index, slot in enumerate(slots):
            arrays_of_slot = layout.unflatten(self.parameters.optimizer[index * layout.length :])
            for name, slots_of_name in kept.items():
                slots_of_name[slot] = arrays_of_slot[name]
        meta = {name: pack(values, f"0.{name}", arrays) for name, values in kept.items()}
        return State(self.epoch, model, arrays, [meta], self.progress)

    def schedule(self, until: int) -> Schedule:
        """Return the epochs from here up to `until`, and how many batches a call of the kernel trains."""
        # a function of the network's shape, though it changes no byte
        batches = CALL_PRODUCTS // (STEP_PRODUCTS + self.layout.products * max(16, self.batch_size))
        return Schedule(self.lr_factors(self.epoch, until), self.epoch, until, max(1, batches))

    def workspace_key(self) -> tuple[Any, ...]:
        """Return a key: runs with equal keys can share a workspace, one after another."""
        run = self.record
        shape = (self.layout, self.train_rows, self.dev_rows, self.batch_size, self.python_metrics)
        return (*shape, len(self.metrics), run["shuffle"].item(), run["fields"].item())

    def new_workspace(self) -> Workspace:
        """Return the arrays that a thread needs to train this run."""
        layout, dtype, fields = self.layout, self.layout.dtype, self.record["fields"].item()
        shuffled = self.train_rows if self.record["shuffle"].item() else 0
        batch_blocks = 0 if self.full_batch else -(-self.batch_size // layout.block_rows)
        kept_rows = self.train_rows if self.python_metrics else 0
        metrics = len(self.metrics)
        values, gradient, scalars, sums = aligned_zeros(
            (layout.values_size, dtype),
            (layout.gradient_size, dtype),
            (1, SCALARS),
            (3 * max(2, self.outputs), np.float64),
        )
        return Workspace(
            zero=np.zeros(1, dtype),
            values=values,
            outputs=np.zeros(kept_rows * self.outputs, dtype),
            gradient=gradient,
            scalars=scalars,
            sums=sums,
            metrics=np.zeros(2 * metrics),
            words=np.zeros(max(-(-shuffled // 4) * 4, layout.dropout_words), np.uint64),
            counts=np.zeros((1 << max(0, shuffled - 1).bit_length()) + 1, np.int64),
            order=np.zeros(shuffled, np.int64),
            batch=np.zeros((batch_blocks * fields + layout.lanes) * layout.block_rows, dtype),
            history=np.zeros((HISTORY_ROWS, 5 + 2 * metrics)),
            improvements=np.zeros((HISTORY_ROWS, 4 + metrics)),
        )
