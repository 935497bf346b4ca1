"""Whole epochs in one call: the kernel that Python calls.

Evaluation, the best, patience and plateau are those of progress.py to the letter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlprun.engines.fused import tables as t
from mlprun.engines.fused.compiled import inner, kernel
from mlprun.engines.fused.lanes import VECTOR_BYTES
from mlprun.engines.fused.order import draw_words, stable_order
from mlprun.engines.fused.passes import forward
from mlprun.engines.fused.steps import block_loss, gather, measure, step

PAUSED, REACHED, FINISHED, OUT_OF_PATIENCE = t.PAUSED, t.REACHED, t.FINISHED, t.OUT_OF_PATIENCE
DIVERGED, ORDER, NO_FIGURE, R2 = t.DIVERGED, 1, t.NO_FIGURE, t.R2


@inner
def figure_of(plan: Any, hits: Any, rows: Any, squares: Any, shares: Any) -> Any:
    """The share of rows that are right, or r2 from squared errors and what they are to be multiplied by."""
    if plan[t.FIGURE] != R2:
        return hits / rows
    total = 0.0
    for k in range(plan[t.OUTPUTS]):
        total += 1.0 - squares[k] * shares[k]
    return total / plan[t.OUTPUTS]


@inner
def evaluate(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, theta: Any, zeros: Any, work: Any, rows: Any,
    shares: Any, squares: Any, kept: Any, kept0: Any,
) -> Any:  # fmt: skip
    """Loss and figure of the dev rows."""
    lanes, count = VECTOR_BYTES // work.itemsize, plan[t.DEV_ROWS]
    stride, size = plan[t.STRIDE], plan[t.FIELDS] * plan[t.STRIDE]
    values, total, hits, weight = layers[layers.shape[0] - 1, t.VALUES], 0.0, 0, 0.0
    squares[:] = 0.0
    for begin in range(0, count, stride):
        here, rows0 = min(stride, count - begin), begin // stride * size
        vectors = (here + lanes - 1) // lanes
        at = kept0 + begin * plan[t.OUTPUTS] if kept0 >= 0 else -1
        forward(layers, codes, options, theta, zeros, work, rows, rows0, stride, vectors, kept, at, here)
        total += block_loss(plan, numbers, layers, work, rows, rows0, vectors, 0.0, True)
        hits += measure(plan, numbers, values, work, rows, rows0, here, squares)
        if plan[t.WEIGHTED] == 1:
            field = plan[t.INPUTS] + plan[t.OUTPUTS] + t.ROW_WEIGHT
            for i in range(here):
                weight += rows[rows0 + field * stride + i]
    if plan[t.WEIGHTED] == 0:
        weight = float(count * plan[t.PER_ROW])
    return total / weight, figure_of(plan, hits, count, squares, shares)


@inner
def beats(value: Any, best: Any, has_best: Any, maximises: Any) -> Any:
    """Whether a value is strictly better than the best; NaN never is, any number is better than none."""
    if math.isnan(value):
        return False
    if not has_best:
        return True
    return value > best if maximises else value < best


@inner
def observe_plateau(plan: Any, numbers: Any, cursor: Any, stands: Any, value: Any) -> None:
    """The plateau's state after one evaluation."""
    best, threshold = stands[t.PLATEAU_BEST], numbers[t.PLATEAU_THRESHOLD]
    sign = 1.0 if plan[t.MAXIMISES] == 1 else -1.0
    if cursor[t.PLATEAU_HAS_BEST] == 0:
        better = not math.isnan(value)
    elif plan[t.PLATEAU_ABSOLUTE] == 1:
        better = sign * value > sign * best + threshold
    else:
        better = sign * value > sign * best * (1.0 + math.copysign(threshold, sign * best))
    if better:
        stands[t.PLATEAU_BEST], cursor[t.PLATEAU_HAS_BEST], cursor[t.PLATEAU_BAD] = value, 1, 0
    else:
        cursor[t.PLATEAU_BAD] += 1
    if cursor[t.PLATEAU_COOLDOWN_LEFT] > 0:
        cursor[t.PLATEAU_COOLDOWN_LEFT] -= 1
        cursor[t.PLATEAU_BAD] = 0
    if cursor[t.PLATEAU_BAD] > plan[t.PLATEAU_PATIENCE]:
        share, lr = stands[t.PLATEAU_SHARE], numbers[t.LR]
        reduced = max(share * numbers[t.PLATEAU_FACTOR], numbers[t.PLATEAU_MIN_LR] / lr)
        if (share - reduced) * lr > numbers[t.PLATEAU_EPS]:
            stands[t.PLATEAU_SHARE] = reduced
        cursor[t.PLATEAU_COOLDOWN_LEFT], cursor[t.PLATEAU_BAD] = plan[t.PLATEAU_COOLDOWN], 0


@inner
def all_finite(theta: Any) -> Any:
    """Whether every parameter is a finite number: what is not makes the sum of its zero-folds NaN."""
    total = 0.0
    for i in range(theta.shape[0]):
        total += theta[i] * 0
    return total == 0.0


@inner
def draw_order(plan: Any, cursor: Any, words: Any, counts: Any, order: Any) -> None:
    """The row order of the running epoch, unless it is there already."""
    if plan[t.SHUFFLED] == 1 and cursor[t.DRAWN] != cursor[t.EPOCH]:
        draw_words(plan[t.SEED], ORDER, cursor[t.EPOCH], words)
        stable_order(words, plan[t.ROWS], counts, order)
        cursor[t.DRAWN] = cursor[t.EPOCH]


@inner
def back_up(theta: Any, slots: Any, cursor: Any, stands: Any, kept: Any, kept_cursor: Any) -> None:
    """Keep where a run stands before an epoch that may diverge."""
    length = theta.shape[0]
    kept[:length] = theta
    kept[length : length + slots.shape[0]] = slots
    kept_cursor[: t.CURSOR] = cursor
    for i in range(t.STANDS):
        kept_cursor[t.CURSOR + i] = stands[i : i + 1].view(np.int64)[0]


@inner
def put_back(theta: Any, slots: Any, cursor: Any, stands: Any, kept: Any, kept_cursor: Any) -> None:
    """Stand again where `back_up` was."""
    length = theta.shape[0]
    theta[:] = kept[:length]
    slots[:] = kept[length : length + slots.shape[0]]
    cursor[:] = kept_cursor[: t.CURSOR]
    stands.view(np.int64)[:] = kept_cursor[t.CURSOR :]


@kernel
def train(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, rates: Any, first_rate: Any, rows: Any, dev: Any,
    shares: Any, theta: Any, slots: Any, best: Any, cursor: Any, stands: Any, zeros: Any, work: Any, gradient: Any,
    scalars: Any, squares: Any, words: Any, counts: Any, order: Any, batch: Any, history: Any, improvements: Any,
    kept: Any, saved: Any, saved_cursor: Any, until: Any, budget: Any, careful: Any,
) -> Any:  # fmt: skip
    """Train one run up to `until` completed epochs, at most `budget` batches; returns why it returned."""
    size, count = plan[t.BATCH], plan[t.ROWS]
    batches = (count + size - 1) // size
    figure, outside = plan[t.FIGURE], plan[t.OUTSIDE] == 1
    cursor[t.ROWS_WRITTEN], cursor[t.IMPROVED], cursor[t.DRAWN] = 0, 0, -1
    while cursor[t.EPOCH] < until:
        epoch = cursor[t.EPOCH] + 1
        last = epoch == plan[t.EPOCHS]
        evaluates = plan[t.DEV_ROWS] > 0 and not outside and (last or epoch % plan[t.EVALUATE_EVERY] == 0)
        logs = (last or epoch % plan[t.LOG_EVERY] == 0) and not outside
        seen = logs or (evaluates and plan[t.PATIENCE] >= 0) or (outside and epoch == until)
        rate = rates[cursor[t.EPOCH] - first_rate] * numbers[t.LR] * stands[t.PLATEAU_SHARE]
        if cursor[t.BATCH_INDEX] == 0:
            if careful:
                back_up(theta, slots, cursor, stands, saved, saved_cursor)
            stands[t.LOSS_SUM], stands[t.WEIGHT_SUM], stands[t.OBJECTIVE_SUM], stands[t.HITS] = 0.0, 0.0, 0.0, 0.0
            squares[:] = 0.0
        if size < count:
            draw_order(plan, cursor, words, counts, order)
        while cursor[t.BATCH_INDEX] < batches:
            if budget <= 0:
                return PAUSED
            budget -= 1
            begin = cursor[t.BATCH_INDEX] * size
            here = min(size, count - begin)
            at = begin * plan[t.OUTPUTS] if outside and epoch == until else -1
            given = rows
            if size < count:
                gather(rows, order, plan[t.SHUFFLED] == 1, begin, here, plan[t.FIELDS], plan[t.STRIDE], batch)
                given = batch
            step(
                plan, numbers, layers, codes, options, theta, slots, zeros, work, given, here, gradient, scalars, rate,
                cursor, stands, squares, seen, kept, at,
            )  # fmt: skip
            cursor[t.BATCH_INDEX] += 1
        cursor[t.BATCH_INDEX] = 0
        cursor[t.EPOCH] = epoch
        loss, objective = stands[t.LOSS_SUM] / stands[t.WEIGHT_SUM], stands[t.OBJECTIVE_SUM] / count
        status = REACHED
        if not (math.isfinite(loss) and math.isfinite(objective)) or (careful and not all_finite(theta)):
            status = DIVERGED
        seen_figure = figure_of(plan, stands[t.HITS], count, squares, shares) if seen and figure != NO_FIGURE else 0.0
        stands[t.EPOCH_LOSS], stands[t.EPOCH_OBJECTIVE], stands[t.EPOCH_RATE] = loss, objective, rate
        dev_loss, dev_figure = math.nan, math.nan
        if status == REACHED and evaluates:
            dev_loss, dev_figure = evaluate(
                plan, numbers, layers, codes, options, theta, zeros, work, dev, shares[plan[t.OUTPUTS] :], squares,
                kept, -1,
            )  # fmt: skip
            if not math.isfinite(dev_loss):
                status = DIVERGED
        if status == DIVERGED:
            if careful:
                put_back(theta, slots, cursor, stands, saved, saved_cursor)
            return DIVERGED
        if evaluates:
            value = dev_figure if plan[t.WATCHES_FIGURE] == 1 else dev_loss
            if beats(value, stands[t.BEST_VALUE], cursor[t.HAS_BEST] == 1, plan[t.MAXIMISES] == 1):
                place = cursor[t.IMPROVED]
                improvements[place, 0], improvements[place, 2] = epoch, value
                improvements[place, 1] = stands[t.BEST_VALUE] if cursor[t.HAS_BEST] == 1 else math.nan
                cursor[t.IMPROVED] += 1
                stands[t.BEST_VALUE], cursor[t.BEST_EPOCH], cursor[t.HAS_BEST] = value, epoch, 1
                stands[t.BEST_LOSS], stands[t.BEST_FIGURE] = dev_loss, dev_figure
                best[:] = theta
            if plan[t.PLATEAU] == 1:
                observe_plateau(plan, numbers, cursor, stands, value)
            if plan[t.PATIENCE] >= 0 and epoch - cursor[t.BEST_EPOCH] >= plan[t.PATIENCE]:
                status = OUT_OF_PATIENCE
        if last and not outside:
            status = FINISHED
        if logs or status == OUT_OF_PATIENCE:
            place = cursor[t.ROWS_WRITTEN]
            row = history[place]
            row[0], row[1], row[2], row[3], row[4] = epoch, rate, loss, objective, seen_figure
            row[5], row[6], row[7] = (1.0 if evaluates else 0.0), dev_loss, dev_figure
            cursor[t.ROWS_WRITTEN] += 1
        if status != REACHED:
            return status
        if cursor[t.ROWS_WRITTEN] == history.shape[0] or cursor[t.IMPROVED] == improvements.shape[0]:
            return PAUSED if epoch < until else REACHED
    return REACHED


@kernel
def examine(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, theta: Any, zeros: Any, work: Any, dev: Any,
    shares: Any, squares: Any, kept: Any,
) -> Any:  # fmt: skip
    """The loss of dev rows; their values before the output activation are left in `kept`."""
    loss, _ = evaluate(
        plan, numbers, layers, codes, options, theta, zeros, work, dev, shares, squares, kept, 0
    )  # fmt: skip
    return loss
