"""One run as kernels take it: its records, its state and the arrays that a thread works with."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.engines.contract import Plateau, Progress, State
from mlprun.engines.epoch_protocol import batch_size
from mlprun.engines.fused.data import ArrayCache, blocks, fields_of, has_constant, r2_denominators, row_table
from mlprun.engines.fused.epochs import TRAIN
from mlprun.engines.fused.losses import LOSSES
from mlprun.engines.fused.optimizers import OPTIMIZERS, OPTIONS, SCALARS
from mlprun.engines.fused.records import (
    ACCURACY,
    BINARY_ACCURACY,
    NO_METRIC,
    PAUSED,
    R2,
    REACHED,
    RUN,
    STATE,
    Data,
    Parameters,
    Schedule,
    Scratch,
    Workspace,
)
from mlprun.engines.fused.support import kernel_loss, kernel_optimizer, kernels_compute_metrics
from mlprun.parts import metrics
from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlprun.engines.contract import StopCondition
    from mlprun.engines.fused.records import Layout
    from mlprun.experiment import Experiment, SplitArrays

PREFIX = "0."
"""what the torch engine puts before the names of the arrays of an experiment's first optimizer"""
HISTORY_ROWS = 4096
"""rows and improvements of one call of a kernel; when they are full it returns and is called again"""
HISTORY_COLUMNS = 8
CALL_PRODUCTS = 100_000_000
"""multiplications of one call of a kernel: some 20 ms, so that a stop is noticed soon"""
STEP_PRODUCTS = 1000
"""the least cost of a step, in multiplications"""
CACHE_LINE = 128
"""bytes that processors fetch together: two cache lines"""
ARRAYS = ArrayCache()


def aligned_zeros(count: int, dtype: Any) -> NDArray[Any]:
    """Return zeros that share no cache line with other arrays, for which two threads would compete."""
    size = count * np.dtype(dtype).itemsize
    memory = np.zeros(-(-size // CACHE_LINE) * CACHE_LINE + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + size].view(dtype)


class Snapshot(NamedTuple):
    """A copy of a run's state between two epochs, to return to it within a chunk."""

    state: bytes
    parameters: Parameters


class KernelResult:
    """Tables of history rows and improvements from calls of the kernel, and why the last one returned."""

    def __init__(self) -> None:
        self.rows: list[NDArray[np.float64]] = []
        self.improvements: list[NDArray[np.float64]] = []
        self.status = REACHED
        self.interrupted = False


class FusedRun:
    """A run between `open` and the last `advance`."""

    def __init__(self, experiment: Experiment, state: State, layout: Layout) -> None:
        config = experiment.computed
        optimizer = kernel_optimizer(config.optimizer)
        assert optimizer is not None, "optimizers without a kernel are not supported"
        self.experiment, self.config, self.layout = experiment, config, layout
        self.optimizer, self._options = optimizer
        self.outputs = config.architecture.outputs or 0
        self.python_metrics = not kernels_compute_metrics(experiment)
        train, dev = experiment.fixed["train"], experiment.fixed.get("dev")
        self.train_rows, self.dev_rows = len(train), 0 if dev is None else len(dev)
        self.batch_size = batch_size(config, self.train_rows)
        self.full_batch = self.batch_size == self.train_rows
        self.data = Data(
            self._rows(train, in_blocks=self.full_batch, padded=layout.transposes_inputs),
            np.zeros(0, layout.dtype) if dev is None else self._rows(dev, in_blocks=True),
            r2_denominators(experiment, train, self.outputs),
            r2_denominators(experiment, dev, self.outputs),
        )
        self.record = self._new_record()
        dtype, length = layout.dtype, layout.length
        self.parameters = Parameters(
            aligned_zeros(length, dtype),
            aligned_zeros(len(self.optimizer.state) * length, dtype),
            aligned_zeros(length, dtype),
        )
        self.states = aligned_zeros(1, STATE)
        self.load_state(state)

    def _rows(self, rows: SplitArrays, *, in_blocks: bool, padded: bool = False) -> NDArray[Any]:
        experiment, layout = self.experiment, self.layout

        def make() -> NDArray[Any]:
            table = row_table(experiment, rows)
            return blocks(layout, table, padded=padded) if in_blocks else table.ravel()

        stride = layout.block_rows if in_blocks else 0
        return ARRAYS.get(rows, (self.config.loss, self.outputs, layout.lanes, stride, padded), make)

    def _new_record(self) -> Any:
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
            "constant_field": fields.constant,
            "batch_size": self.batch_size,
            "block_rows": layout.block_rows,
            "shuffle": training.shuffle and not self.full_batch,
            "patience": config.early_stopping.patience if config.early_stopping else -1,
            "python_metrics": self.python_metrics,
            "metric": self._metric(),
            "best_is_metric": config.best.metric != "dev_loss",
            "maximize": config.best.mode == "max",
            "optimizer": OPTIMIZERS.index(self.optimizer),
            "lr": config.optimizer.lr,
            "clip_norm": -1 if training.clip_norm is None else training.clip_norm,
            "clip_value": -1 if training.clip_value is None else training.clip_value,
            "parameters": layout.length,
            "transposed": layout.transposed,
            "padded_gradients": layout.has_padded_gradients,
        }
        names = ("seed", "epochs", "log_every", "evaluate_every")
        values |= {name: getattr(training, name) for name in names}
        values |= {penalty.name: penalty.coefficient for penalty in config.penalties}
        values |= self._loss_values()
        if isinstance(config.schedule, ReduceOnPlateau):
            options = ("patience", "cooldown", "factor", "threshold", "min_lr", "eps")
            values |= {f"plateau_{name}": getattr(config.schedule, name) for name in options}
            values |= {"plateau": 1, "plateau_absolute": config.schedule.threshold_mode == "abs"}
        values["options"] = tuple(self._options.get(name, 0.0) for name in OPTIONS.names or ())
        record = aligned_zeros(1, RUN)
        record[0] = tuple(values.get(name, 0) for name in RUN.names or ())
        return record

    def _loss_values(self) -> dict[str, Any]:
        part = self.config.loss
        kernel = kernel_loss(part)
        assert kernel is not None, "losses without a kernel are not supported"
        loss, option = kernel
        names = [other.name for other in LOSSES]
        per_row = loss.function is None and not has_constant(part)
        return {
            "loss": names.index(loss.name),
            "unread_loss": names.index(loss.unread or loss.name),
            "loss_option": option,
            "sum_reduction": part.reduction == "sum",
            "scale": part.scale,
            "weight_per_row": 1 if per_row else self.outputs,
            # a probability is above one half where its logit is above 0
            "output_threshold": 0.0 if loss.name == "bce" else part.threshold,
            "target_threshold": part.threshold,
        }

    def _metric(self) -> int:
        scalars = [part for part in self.config.metrics if getattr(part, "scalar", True)]
        if self.python_metrics or not scalars:
            return NO_METRIC
        if isinstance(scalars[0], metrics.R2):
            return R2
        return BINARY_ACCURACY if self.outputs == 1 else ACCURACY

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
        value = dict(zip(STATE.names or (), self.states.item(), strict=True))
        plateau = Plateau(
            value["plateau_factor"],
            value["plateau_best"] if value["plateau_has_best"] else None,
            value["plateau_bad"],
            value["plateau_cooldown_left"],
        )
        best = value["best_value"] if value["has_best"] else None
        return Progress(value["best_epoch"], best, plateau, value["undefined"])

    @progress.setter
    def progress(self, progress: Progress) -> None:
        plateau = progress.plateau
        values = {
            "best_epoch": progress.best_epoch,
            "has_best": progress.best_value is not None,
            "best_value": progress.best_value or 0.0,
            "undefined": progress.undefined,
            "plateau_factor": plateau.factor,
            "plateau_has_best": plateau.best is not None,
            "plateau_best": plateau.best or 0.0,
            "plateau_bad": plateau.bad_evaluations,
            "plateau_cooldown_left": plateau.cooldown_left,
        }
        for name, value in values.items():
            self.states[name][0] = value

    @cached_property
    def _kernel(self) -> Callable[..., int]:
        return TRAIN.compiled(self.layout.dtype.name)

    def call_kernel(self, space: Workspace, schedule: Schedule) -> int:
        """Call the training kernel once; return why it returned."""
        network = self.layout.network
        return self._kernel(self.record, network, self.data, self.states, self.parameters, space, schedule)

    def is_finite(self) -> bool:
        """Return True if every parameter is a finite number."""
        return bool(np.isfinite(self.parameters.current).all())

    def snapshot(self) -> Snapshot:
        """Return a copy of the state, for `restore`."""
        return Snapshot(self.states.tobytes(), Parameters(*(array.copy() for array in self.parameters)))

    def restore(self, snapshot: Snapshot) -> None:
        """Continue from a snapshot."""
        for array, copy in zip(self.parameters, snapshot.parameters, strict=True):
            array[:] = copy
        self.states[:] = np.frombuffer(snapshot.state, STATE)

    def load_state(self, state: State) -> None:
        """Continue from a state between two epochs."""
        record, layout = self.states, self.layout
        record.view(np.uint8)[:] = 0
        record["epoch"][0], self.progress = state.epoch, state.progress
        for product in self.optimizer.products:
            record[product][0] = 1.0
        self.parameters.current[:] = layout.flatten(state.model)
        self.parameters.optimizer[:] = 0
        if "initial_accumulator_value" in self._options:
            self.parameters.optimizer[: layout.parameters] = self._options["initial_accumulator_value"]

        def read(value: Any) -> Any:
            return state.optimizer_state[value["array"]] if isinstance(value, dict) else value

        for name, values in (state.optimizer_meta or [{}])[0].items():
            slots = values["of"]
            for index, slot in enumerate(self.optimizer.state):
                if slots.get(slot) is not None:
                    array = np.asarray(read(slots[slot])).ravel()
                    begin = index * layout.length + layout.offsets[name]
                    self.parameters.optimizer[begin : begin + array.size] = array
            # torch keeps no count for sgd, whose first step alone is different
            record["steps"][0] = int(read(slots.get("step", 1)))
            for product in self.optimizer.products:
                record[product][0] = float(read(slots[product]))

    def state(self) -> State:
        """Return a copy of the state."""
        layout, slots, steps = self.layout, self.optimizer.state, self.states["steps"].item()
        model = layout.unflatten(self.parameters.current)
        if not steps or not slots:
            return State(self.epoch, model, {}, None, self.progress)
        arrays: dict[str, NDArray[Any]] = {}
        numbers = {"step": steps} | {name: self.states[name].item() for name in self.optimizer.products}
        meta: dict[str, dict[str, Any]] = {name: {"of": dict(numbers)} for name in layout.offsets}
        for index, slot in enumerate(slots):
            for name, array in layout.unflatten(self.parameters.optimizer[index * layout.length :]).items():
                arrays[f"{PREFIX}{name}.{slot}"] = array
                meta[name]["of"][slot] = {"array": f"{PREFIX}{name}.{slot}"}
        return State(self.epoch, model, arrays, [meta], self.progress)

    def train(self, space: Workspace, until: int, stop: StopCondition) -> KernelResult:
        """Train up to `until` epochs, asking `stop` between calls of the kernel.

        A stop may leave an epoch incomplete: `batch_index` of the state is not 0 then.
        """
        states, layout, first, result = self.states, self.layout, self.epoch, KernelResult()
        # a function of the network's shape, though it changes no byte
        batches = CALL_PRODUCTS // (STEP_PRODUCTS + layout.products * max(16, self.batch_size))
        schedule = Schedule(self.lr_factors(first, until), first, until, max(1, batches))
        while True:
            if stop():
                result.interrupted = True
                return result
            result.status = self.call_kernel(space, schedule)
            if rows := states["rows_written"].item():
                result.rows.append(space.history[:rows].copy())
            if improvements := states["improvements"].item():
                result.improvements.append(space.improvements[:improvements].copy())
            if result.status != PAUSED:
                return result

    def workspace_key(self) -> tuple[Any, ...]:
        """Return a key: runs with equal keys can share a workspace, one after another."""
        run = self.record
        shape = (self.layout, self.train_rows, self.dev_rows, self.batch_size, self.python_metrics)
        return (*shape, run["shuffle"].item(), run["fields"].item())

    def new_workspace(self) -> Workspace:
        """Return the arrays that a thread needs to train this run."""
        layout, dtype, fields = self.layout, self.layout.dtype, self.record["fields"].item()
        shuffled = self.train_rows if self.record["shuffle"].item() else 0
        batch_blocks = 0 if self.full_batch else -(-self.batch_size // layout.block_rows)
        kept_rows = max(self.train_rows, self.dev_rows) if self.python_metrics else 0
        return Workspace(
            scratch=Scratch(
                zeros=np.zeros(1, dtype),
                values=aligned_zeros(layout.values_size, dtype),
                outputs=np.zeros(kept_rows * self.outputs, dtype),
            ),
            gradient=aligned_zeros(layout.gradient_size, dtype),
            scalars=aligned_zeros(1, SCALARS),
            squared_errors=aligned_zeros(self.outputs, np.float64),
            words=np.zeros(-(-shuffled // 4) * 4, np.uint64),
            counts=np.zeros((1 << max(0, shuffled - 1).bit_length()) + 1, np.int64),
            order=np.zeros(shuffled, np.int64),
            batch=np.zeros((batch_blocks * fields + layout.lanes) * layout.block_rows, dtype),
            history=np.zeros((HISTORY_ROWS, HISTORY_COLUMNS)),
            improvements=np.zeros((HISTORY_ROWS, 3)),
        )
