"""Whole epochs in one call: evaluation, best epoch, plateau, patience and history, and the loop over epochs.

What follows an epoch equals the epoch protocol in Python (engines/epoch_protocol.py) to the bit.
`compile_kernel` makes the two kernels that Python calls.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numba import types

from mlprun.engines.fused import compat
from mlprun.engines.fused.batches import draw_words, gather, stable_order
from mlprun.engines.fused.compat import device_function, inlined, named_tuple, record_array
from mlprun.engines.fused.denormals import flush_denormals, restore_denormals
from mlprun.engines.fused.metrics import compute_metrics
from mlprun.engines.fused.optimizers import SCALARS
from mlprun.engines.fused.records import (
    DIVERGED,
    FINISHED,
    GROUP,
    LAYER,
    OUT_OF_PATIENCE,
    PAUSED,
    REACHED,
    RUN,
    STATE,
    SWA,
    Data,
    Network,
    Parameters,
    Schedule,
    Workspace,
)
from mlprun.engines.fused.train_step import (
    Pass,
    add_sums,
    block_at,
    block_loss,
    forward,
    take_average,
    train_step,
)
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = int(Purpose.ORDER)


@device_function
def evaluate(run: Any, network: Any, data: Any, parameters: Any, space: Any) -> Any:
    """Return the loss of the dev rows and compute their metrics; with metrics in Python, keep the outputs."""
    count, stride, values, dev = run.dev_rows, run.block_rows, space.values, data.dev
    sums, field = space.sums, run.weight_field
    last = network.layers[network.layers.shape[0] - 1]
    total, weight = 0.0, 0.0
    sums[:] = 0.0
    for begin in range(0, count, stride):
        block = block_at(run, dev, begin, count)
        at = begin * run.outputs if run.python_metrics == 1 else -1
        forward(network, parameters.evaluated, space, block, Pass(at, -1, run.seed, 0, 0, count, begin))
        total += block_loss(run, last, values, block, (run.loss, data.loss_options, 0.0))
        add_sums(run, last, values, block, sums)
        if field > 0:
            for i in range(block.count):
                weight += dev[block.start + field * stride + i]
    weight = weight * run.weight_per_row if field > 0 else float(count * run.weight_per_row)
    metrics = space.metrics[space.metrics.shape[0] // 2 :]
    compute_metrics(run, data, sums, (run.dev_weight, data.dev_r2), metrics)
    return total / weight


@device_function
def update_plateau(run: Any, state: Any, value: Any) -> None:
    """Update the plateau schedule after an evaluation."""
    best, threshold = state.plateau_best, run.plateau_threshold
    sign = 1.0 if run.maximize == 1 else -1.0
    if math.isnan(best):
        better = not math.isnan(value)
    elif run.plateau_absolute == 1:
        better = sign * value > sign * best + threshold
    else:
        better = sign * value > sign * best * (1.0 + math.copysign(threshold, sign * best))
    if better:
        state.plateau_best, state.plateau_bad_evaluations = value, 0
    else:
        state.plateau_bad_evaluations += 1
    if state.plateau_cooldown_left > 0:
        state.plateau_cooldown_left -= 1
        state.plateau_bad_evaluations = 0
    if state.plateau_bad_evaluations > run.plateau_patience:
        factor, lr = state.plateau_factor, run.lr
        reduced = max(factor * run.plateau_factor, run.plateau_min_lr / lr)
        if (factor - reduced) * lr > run.plateau_eps:
            state.plateau_factor = reduced
        state.plateau_cooldown_left, state.plateau_bad_evaluations = run.plateau_cooldown, 0


@device_function
def update_progress(run: Any, state: Any, parameters: Any, space: Any, dev_loss: Any) -> Any:
    """Update best, plateau and patience after an evaluation; return True if patience is exhausted."""
    improvements, metrics = space.improvements, space.metrics
    count = metrics.shape[0] // 2
    epoch, best, value = state.epoch, state.best_value, dev_loss
    if run.best_metric >= 0:
        value = metrics[count + run.best_metric]
    reference, delta = state.reference_value, run.min_delta
    if math.isnan(value):
        state.undefined += 1
    elif math.isnan(reference) or (
        value - delta > reference if run.maximize == 1 else value + delta < reference
    ):
        state.reference_value, state.reference_epoch, state.undefined = value, epoch, 0
    if not math.isnan(value) and (math.isnan(best) or (value > best if run.maximize == 1 else value < best)):
        row = state.improvements
        improvements[row, 0], improvements[row, 1], improvements[row, 2] = epoch, best, value
        improvements[row, 3] = dev_loss
        for index in range(count):
            improvements[row, 4 + index] = metrics[count + index]
        state.improvements += 1
        state.best_value, state.best_epoch = value, epoch
        for i in range(parameters.best.shape[0]):
            parameters.best[i] = parameters.evaluated[i]
    if run.plateau == 1 and not math.isnan(value):
        update_plateau(run, state, value)
    passed = epoch - state.reference_epoch - state.undefined * run.evaluate_every
    return run.patience >= 0 and passed >= run.patience


@device_function
def log(state: Any, space: Any, dev_loss: Any) -> None:
    """Write the history row of the epoch that was just completed; `dev_loss` is nan without an evaluation."""
    row, metrics = space.history[state.rows_written], space.metrics
    count = metrics.shape[0] // 2
    row[0], row[1], row[2], row[3] = state.epoch, state.epoch_lr, state.epoch_loss, state.epoch_objective
    row[4 + count] = dev_loss
    for index in range(count):
        row[4 + index] = metrics[index]
        row[5 + count + index] = math.nan if math.isnan(dev_loss) else metrics[count + index]
    state.rows_written += 1


@device_function
def draw_order(run: Any, state: Any, words: Any, counts: Any, order: Any) -> None:
    """Draw the row order of the running epoch, unless it was drawn by this call."""
    if run.shuffle == 1 and state.drawn_epoch != state.epoch:
        draw_words(run.seed, ORDER, (state.epoch, 0, 0), (run.train_rows + 3) // 4, words)
        stable_order(words, run.train_rows, counts, order)
        state.drawn_epoch = state.epoch


@inlined
def train_batches(
    run: Any, network: Any, data: Any, state: Any, parameters: Any, space: Any, epoch: Any
) -> Any:
    """Train on the remaining batches of the epoch, at most `budget`; return what is left of the budget.

    `epoch` is the learning rate, whether loss and metric are read, whether outputs are kept, and the budget.
    """
    (lr, read, keep, budget), rows = epoch, data.train
    size, count = run.batch_size, run.train_rows
    batches = (count + size - 1) // size
    # the gradient of a step that is not complete would not outlive the call
    while state.batch_index < batches and (budget > 0 or state.step_batches > 0):
        budget -= 1
        begin = state.batch_index * size
        here = min(size, count - begin)
        offset = begin * run.outputs if keep else -1
        source = rows
        if size < count:
            gather(
                rows, space.order, run.shuffle == 1, (begin, here, run.fields, run.block_rows), space.batch
            )
            source = space.batch
        batch = source, here, data.loss_options, lr, read, offset, begin + here == count
        train_step(run, network, state, parameters, space, batch)
        state.batch_index += 1
    return budget


@device_function
def complete_average(run: Any, parameters: Any, epoch: Any) -> None:
    """Take the average of an epoch, and the newest running statistics behind the parameters."""
    if run.average == SWA:
        count = max(1, epoch - run.average_start + 1)
        take_average(run, parameters, (count - 1) / count)
    for i in range(run.parameters, parameters.current.shape[0]):
        parameters.evaluated[i] = parameters.current[i]


@inlined
def evaluate_epoch(
    run: Any, network: Any, data: Any, state: Any, parameters: Any, space: Any, due: Any
) -> Any:
    """Return the status after an epoch, and the loss of dev where an evaluation is `due`."""
    dev = math.nan
    if not (math.isfinite(state.epoch_loss) and math.isfinite(state.epoch_objective)):
        return DIVERGED, dev
    status = REACHED
    if due:
        dev = evaluate(run, network, data, parameters, space)
        if not math.isfinite(dev):
            status = DIVERGED
        elif update_progress(run, state, parameters, space, dev):
            status = OUT_OF_PATIENCE
    return status, dev


@device_function
def train_epochs(
    run: Any, network: Any, data: Any, state: Any, parameters: Any, space: Any, schedule: Any
) -> Any:
    """Train a run up to the end of a schedule; return the reason for returning."""
    size, count, python_metrics = run.batch_size, run.train_rows, run.python_metrics == 1
    until, budget, history = schedule.until, schedule.batches, space.history
    state.rows_written, state.improvements, state.drawn_epoch = 0, 0, -1
    while state.epoch < until:
        epoch = state.epoch + 1
        last = epoch == run.epochs
        due = run.dev_rows > 0 and not python_metrics and (last or epoch % run.evaluate_every == 0)
        logs = (last or epoch % run.log_every == 0) and not python_metrics
        keep = python_metrics and epoch == until
        read = logs or (due and run.patience >= 0) or keep
        lr = schedule.lr_factors[state.epoch - schedule.first] * run.lr * state.plateau_factor
        if state.batch_index == 0:
            state.loss_sum, state.weight_sum, state.objective_sum = 0.0, 0.0, 0.0
            space.sums[:] = 0.0
        if size < count:
            draw_order(run, state, space.words, space.counts, space.order)
        budget = train_batches(run, network, data, state, parameters, space, (lr, read, keep, budget))
        if state.batch_index * size < count:
            return PAUSED
        state.batch_index, state.epoch = 0, epoch
        if run.average > 0:
            complete_average(run, parameters, epoch)
        state.epoch_loss = state.loss_sum / state.weight_sum
        state.epoch_objective, state.epoch_lr = state.objective_sum / count, lr
        if read:
            metrics = space.metrics[: space.metrics.shape[0] // 2]
            compute_metrics(run, data, space.sums, (run.train_weight, data.train_r2), metrics)
        status, dev = evaluate_epoch(run, network, data, state, parameters, space, due)
        if status == DIVERGED:
            return DIVERGED
        if last and not python_metrics:
            status = FINISHED
        if logs or status == OUT_OF_PATIENCE:
            log(state, space, dev)
        if status != REACHED:
            return status
        if state.rows_written == history.shape[0] or state.improvements == space.improvements.shape[0]:
            return PAUSED if epoch < until else REACHED
    return REACHED


def train_signature(dtype: str) -> tuple[Any, ...]:
    """Return the Numba types of run, network, data, state, parameters, workspace and schedule.

    A record is an array of one: a single record takes Numba long to read.
    """
    float_, int_ = (types.Array(type_, 1, "C") for type_ in (types.float64, types.int64))
    kinds = (RUN, STATE, LAYER, GROUP, SCALARS)
    run, state, layers, groups, scalars = (record_array(fields) for fields in kinds)
    real = types.Array(types.float32 if dtype == "float32" else types.float64, 1, "C")
    words, table = types.Array(types.uint64, 1, "C"), types.Array(types.float64, 2, "C")
    return (
        run,
        named_tuple(Network, layers, int_, float_),
        named_tuple(Data, real, real, float_, float_, float_, float_, int_),
        state,
        named_tuple(Parameters, real, real, real, real, groups),
        named_tuple(
            Workspace, real, real, real, real, scalars, float_, float_, words, int_, int_, real, table, table
        ),
        named_tuple(Schedule, float_, types.int64, types.int64, types.int64),
    )


def compile_kernel(name: str, dtype: str) -> tuple[str, bytes, Callable[[], int]]:
    """Compile the kernel `train` or `evaluate` for a NumPy dtype's name, as `compat.compile_function` does.

    Denormal numbers are flushed to 0 while it runs. `train` returns why it returned, `evaluate` the loss of
    the dev rows; their logits are kept, and their metric in place of the first squared error.
    """
    signature = train_signature(dtype)
    if name == "evaluate":
        run, network, data, _, parameters, workspace, _ = signature
        signature = run, network, data, parameters, workspace
    records_at = compat.records_reader(signature)

    def train_kernel(table: Any) -> Any:
        run, network, data, state, parameters, space, schedule = records_at(table)
        former = flush_denormals()
        status = train_epochs(run[0], network, data, state[0], parameters, space, schedule)
        restore_denormals(former)
        return status

    def evaluation_kernel(table: Any) -> Any:
        run, network, data, parameters, space = records_at(table)
        former = flush_denormals()
        loss = evaluate(run[0], network, data, parameters, space)
        restore_denormals(former)
        return loss

    return compat.compile_function(train_kernel if name == "train" else evaluation_kernel)
