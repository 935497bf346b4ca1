"""Evaluation inside kernels, and what follows it: metric, best epoch, plateau, patience and the history.

Equal to the epoch protocol in Python (engines/progress.py) to the bit.
"""

from __future__ import annotations

import math
from typing import Any

from mlprun.engines.fused.compilation import device_function
from mlprun.engines.fused.records import R2
from mlprun.engines.fused.train_step import block_at, block_hits, block_loss, forward


@device_function
def metric_of(run: Any, hits: Any, rows: Any, squared_errors: Any, r2: Any) -> Any:
    """Return the share of rows that are correct, or R2 from squared errors and their factors."""
    if run.metric != R2:
        return hits / rows
    total = 0.0
    for k in range(run.outputs):
        total += 1.0 - squared_errors[k] * r2[k]
    return total / run.outputs


@device_function
def evaluate(run: Any, network: Any, data: Any, parameters: Any, space: Any) -> Any:
    """Return loss and metric of the dev rows; with metrics in Python, keep the outputs."""
    count, stride, values, dev = run.dev_rows, run.block_rows, space.scratch.values, data.dev
    squared_errors, field = space.squared_errors, run.weight_field
    last = network.layers[network.layers.shape[0] - 1]
    total, hits, weight = 0.0, 0.0, 0.0
    squared_errors[:] = 0.0
    for begin in range(0, count, stride):
        block = block_at(run, dev, begin, count)
        at = begin * run.outputs if run.python_metrics == 1 else -1
        forward(network, parameters.current, space.scratch, block, at)
        total += block_loss(run, last, values, block, (run.loss, 0.0))
        hits += block_hits(run, last, values, block, squared_errors)
        if field > 0:
            for i in range(block.count):
                weight += dev[block.start + field * stride + i]
    if field == 0:
        weight = float(count * run.weight_per_row)
    return total / weight, metric_of(run, hits, count, squared_errors, data.dev_r2)


@device_function
def is_better(value: Any, best: Any, has_best: Any, maximize: Any) -> Any:
    """Return True if a value is strictly better than the best; NaN never is."""
    if math.isnan(value):
        return False
    if not has_best:
        return True
    return value > best if maximize else value < best


@device_function
def update_plateau(run: Any, state: Any, value: Any) -> None:
    """Update the plateau schedule after an evaluation."""
    best, threshold = state.plateau_best, run.plateau_threshold
    sign = 1.0 if run.maximize == 1 else -1.0
    if state.plateau_has_best == 0:
        better = not math.isnan(value)
    elif run.plateau_absolute == 1:
        better = sign * value > sign * best + threshold
    else:
        better = sign * value > sign * best * (1.0 + math.copysign(threshold, sign * best))
    if better:
        state.plateau_best, state.plateau_has_best, state.plateau_bad = value, 1, 0
    else:
        state.plateau_bad += 1
    if state.plateau_cooldown_left > 0:
        state.plateau_cooldown_left -= 1
        state.plateau_bad = 0
    if state.plateau_bad > run.plateau_patience:
        factor, lr = state.plateau_factor, run.lr
        reduced = max(factor * run.plateau_factor, run.plateau_min_lr / lr)
        if (factor - reduced) * lr > run.plateau_eps:
            state.plateau_factor = reduced
        state.plateau_cooldown_left, state.plateau_bad = run.plateau_cooldown, 0


@device_function
def update_progress(run: Any, state: Any, parameters: Any, improvements: Any, dev: Any) -> Any:
    """Update best, plateau and patience after an evaluation; return True if patience is exhausted.

    `dev` is the loss and the metric.
    """
    dev_loss, dev_metric = dev
    epoch, value = state.epoch, dev_metric if run.best_is_metric == 1 else dev_loss
    if math.isnan(value):
        state.undefined += 1
    if is_better(value, state.best_value, state.has_best == 1, run.maximize == 1):
        row = state.improvements
        improvements[row, 0], improvements[row, 2] = epoch, value
        improvements[row, 1] = state.best_value if state.has_best == 1 else math.nan
        state.improvements += 1
        state.undefined = 0
        state.best_value, state.best_epoch, state.has_best = value, epoch, 1
        state.best_loss, state.best_metric = dev_loss, dev_metric
        for i in range(parameters.current.shape[0]):
            parameters.best[i] = parameters.current[i]
    if run.plateau == 1 and not math.isnan(value):
        update_plateau(run, state, value)
    passed = epoch - state.best_epoch - state.undefined * run.evaluate_every
    return run.patience >= 0 and passed >= run.patience


@device_function
def log(state: Any, history: Any, train_metric: Any, evaluated: Any, dev: Any) -> None:
    """Write the history row of the epoch that was just completed; `dev` is the loss and the metric."""
    row = history[state.rows_written]
    row[0], row[1] = state.epoch, state.epoch_lr
    row[2], row[3], row[4] = state.epoch_loss, state.epoch_objective, train_metric
    row[5], row[6], row[7] = (1.0 if evaluated else 0.0), dev[0], dev[1]
    state.rows_written += 1
