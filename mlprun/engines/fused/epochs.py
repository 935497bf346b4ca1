"""Whole epochs in one call: the kernels that Python calls."""

from __future__ import annotations

import math
from typing import Any

from mlprun.engines.fused.batches import draw_words, gather, stable_order
from mlprun.engines.fused.compilation import Kernel, device_function, inlined
from mlprun.engines.fused.denormals import flush_denormals, restore_denormals
from mlprun.engines.fused.evaluation import evaluate, log, metric_of, update_progress
from mlprun.engines.fused.records import (
    DIVERGED,
    FINISHED,
    OUT_OF_PATIENCE,
    PAUSED,
    REACHED,
    evaluation_signature,
    train_signature,
)
from mlprun.engines.fused.train_step import train_step
from mlprun.randomness import Purpose

ORDER = int(Purpose.ORDER)


@device_function
def draw_order(run: Any, state: Any, words: Any, counts: Any, order: Any) -> None:
    """Draw the row order of the running epoch, unless it was drawn by this call."""
    if run.shuffle == 1 and state.drawn_epoch != state.epoch:
        draw_words(run.seed, ORDER, state.epoch, words)
        stable_order(words, run.train_rows, counts, order)
        state.drawn_epoch = state.epoch


@device_function
def begin_epoch(state: Any, squared_errors: Any) -> None:
    """Reset the sums of an epoch."""
    state.loss_sum, state.weight_sum, state.objective_sum, state.hits = 0.0, 0.0, 0.0, 0.0
    squared_errors[:] = 0.0


@inlined
def train_batches(
    run: Any, network: Any, rows: Any, state: Any, parameters: Any, space: Any, epoch: Any
) -> Any:
    """Train on the remaining batches of the epoch, at most `budget`; return what is left of the budget.

    `epoch` is the learning rate, whether loss and metric are read, whether outputs are kept, and the budget.
    """
    lr, read, keep, budget = epoch
    size, count = run.batch_size, run.train_rows
    batches = (count + size - 1) // size
    while state.batch_index < batches and budget > 0:
        budget -= 1
        begin = state.batch_index * size
        here = min(size, count - begin)
        kept = begin * run.outputs if keep else -1
        source = rows
        if size < count:
            gather(
                rows, space.order, run.shuffle == 1, (begin, here, run.fields, run.block_rows), space.batch
            )
            source = space.batch
        train_step(run, network, state, parameters, space, (source, here, lr, read, kept))
        state.batch_index += 1
    return budget


@inlined
def evaluate_epoch(
    run: Any, network: Any, data: Any, state: Any, parameters: Any, space: Any, due: Any
) -> Any:
    """Return the status after an epoch, with loss and metric of dev where an evaluation is `due`."""
    dev = math.nan, math.nan
    if not (math.isfinite(state.epoch_loss) and math.isfinite(state.epoch_objective)):
        return DIVERGED, dev
    status = REACHED
    if due:
        dev = evaluate(run, network, data, parameters, space)
        if not math.isfinite(dev[0]):
            status = DIVERGED
        elif update_progress(run, state, parameters, space.improvements, dev):
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
            begin_epoch(state, space.squared_errors)
        if size < count:
            draw_order(run, state, space.words, space.counts, space.order)
        budget = train_batches(run, network, data.train, state, parameters, space, (lr, read, keep, budget))
        if state.batch_index * size < count:
            return PAUSED
        state.batch_index, state.epoch = 0, epoch
        state.epoch_loss = state.loss_sum / state.weight_sum
        state.epoch_objective, state.epoch_lr = state.objective_sum / count, lr
        train_metric = metric_of(run, state.hits, count, space.squared_errors, data.train_r2)
        status, dev = evaluate_epoch(run, network, data, state, parameters, space, due)
        if status == DIVERGED:
            return DIVERGED
        if last and not python_metrics:
            status = FINISHED
        if logs or status == OUT_OF_PATIENCE:
            log(state, history, train_metric, due, dev)
        if status != REACHED:
            return status
        if state.rows_written == history.shape[0] or state.improvements == space.improvements.shape[0]:
            return PAUSED if epoch < until else REACHED
    return REACHED


def train(run: Any, network: Any, data: Any, state: Any, parameters: Any, space: Any, schedule: Any) -> Any:
    """Call `train_epochs` with denormal numbers flushed to 0."""
    former = flush_denormals()
    status = train_epochs(run[0], network, data, state[0], parameters, space, schedule)
    restore_denormals(former)
    return status


def evaluate_dev(run: Any, network: Any, data: Any, parameters: Any, space: Any) -> Any:
    """Return the loss of the dev rows; their outputs before the output activation are kept."""
    former = flush_denormals()
    loss, _ = evaluate(run[0], network, data, parameters, space)
    restore_denormals(former)
    return loss


TRAIN, EVALUATE = Kernel(train, train_signature), Kernel(evaluate_dev, evaluation_signature)
