"""Whole epochs in one call: the kernels that Python calls."""

from __future__ import annotations

import math
from typing import Any

from mlprun.engines.fused import tables as t
from mlprun.engines.fused.compiled import inner, kernel, merged
from mlprun.engines.fused.denormals import flush, restore
from mlprun.engines.fused.judging import figure_of, log, observe, wants
from mlprun.engines.fused.lanes import VECTOR_BYTES
from mlprun.engines.fused.order import draw_words, stable_order
from mlprun.engines.fused.passes import forward
from mlprun.engines.fused.steps import block_loss, gather, measure, step
from mlprun.randomness import Purpose

PAUSED, REACHED, FINISHED, OUT_OF_PATIENCE = t.PAUSED, t.REACHED, t.FINISHED, t.OUT_OF_PATIENCE
DIVERGED, ORDER = t.DIVERGED, int(Purpose.ORDER)


@inner
def evaluate(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, theta: Any, zeros: Any, work: Any,
    rows: Any, shares: Any, squares: Any, kept: Any,
) -> Any:  # fmt: skip
    """Loss and figure of the dev rows; figures from outside find the outputs in `kept`."""
    lanes, count = VECTOR_BYTES // work.itemsize, plan[t.DEV_ROWS]
    stride, size = plan[t.STRIDE], plan[t.FIELDS] * plan[t.STRIDE]
    values, total, hits, weight = layers[layers.shape[0] - 1, t.VALUES], 0.0, 0.0, 0.0
    squares[:] = 0.0
    for begin in range(0, count, stride):
        here, rows0 = min(stride, count - begin), begin // stride * size
        vectors = (here + lanes - 1) // lanes
        at = begin * plan[t.OUTPUTS] if plan[t.OUTSIDE] == 1 else -1
        forward(layers, codes, options, theta, zeros, work, rows, rows0, stride, vectors, kept, at, here)
        total += block_loss(plan, numbers, layers, work, rows, rows0, vectors, 0.0, plan[t.LOSS])
        hits += measure(plan, numbers, values, work, rows, rows0, here, squares)
        field = plan[t.WEIGHT_FIELD]
        if field > 0:
            for i in range(here):
                weight += rows[rows0 + field * stride + i]
    if plan[t.WEIGHT_FIELD] == 0:
        weight = float(count * plan[t.PER_ROW])
    return total / weight, figure_of(plan, hits, count, squares, shares)


@inner
def draw_order(plan: Any, cursor: Any, words: Any, counts: Any, order: Any) -> None:
    """The row order of the running epoch, unless it is there already."""
    if plan[t.SHUFFLED] == 1 and cursor[t.DRAWN] != cursor[t.EPOCH]:
        draw_words(plan[t.SEED], ORDER, cursor[t.EPOCH], words)
        stable_order(words, plan[t.ROWS], counts, order)
        cursor[t.DRAWN] = cursor[t.EPOCH]


@inner
def begin_epoch(stands: Any, squares: Any) -> None:
    """Nothing is summed yet."""
    stands[t.LOSS_SUM], stands[t.WEIGHT_SUM], stands[t.OBJECTIVE_SUM], stands[t.HITS] = 0.0, 0.0, 0.0, 0.0
    squares[:] = 0.0


@merged
def train_batches(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, rate: Any, rows: Any, theta: Any,
    slots: Any, cursor: Any, stands: Any, zeros: Any, work: Any, gradient: Any, scalars: Any, squares: Any,
    order: Any, batch: Any, kept: Any, seen: Any, keeps: Any, budget: Any,
) -> Any:  # fmt: skip
    """The batches that the running epoch has left, at most `budget`; returns how many may still follow."""
    size, count = plan[t.BATCH], plan[t.ROWS]
    batches = (count + size - 1) // size
    while cursor[t.BATCH_INDEX] < batches and budget > 0:
        budget -= 1
        begin = cursor[t.BATCH_INDEX] * size
        here = min(size, count - begin)
        at = begin * plan[t.OUTPUTS] if keeps else -1
        given = rows
        if size < count:
            gather(rows, order, plan[t.SHUFFLED] == 1, begin, here, plan[t.FIELDS], plan[t.STRIDE], batch)
            given = batch
        step(
            plan, numbers, layers, codes, options, theta, slots, zeros, work, given, here, gradient, scalars,
            rate, cursor, stands, squares, seen, kept, at,
        )  # fmt: skip
        cursor[t.BATCH_INDEX] += 1
    return budget


@merged
def judge(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, dev: Any, shares: Any, theta: Any,
    best: Any, cursor: Any, stands: Any, zeros: Any, work: Any, squares: Any, improvements: Any, kept: Any,
    evaluates: Any,
) -> Any:  # fmt: skip
    """How training stands after an epoch, with the loss and figure of dev where it `evaluates`."""
    loss, objective = stands[t.EPOCH_LOSS], stands[t.EPOCH_OBJECTIVE]
    dev_loss, dev_figure = math.nan, math.nan
    if not (math.isfinite(loss) and math.isfinite(objective)):
        return DIVERGED, dev_loss, dev_figure
    status = REACHED
    if evaluates:
        dev_loss, dev_figure = evaluate(
            plan, numbers, layers, codes, options, theta, zeros, work, dev, shares[plan[t.OUTPUTS] :],
            squares, kept,
        )  # fmt: skip
        if not math.isfinite(dev_loss):
            status = DIVERGED
        elif observe(plan, numbers, cursor, stands, theta, best, improvements, dev_loss, dev_figure):
            status = OUT_OF_PATIENCE
    return status, dev_loss, dev_figure


@inner
def trained(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, rates: Any, first_rate: Any, rows: Any,
    dev: Any, shares: Any, theta: Any, slots: Any, best: Any, cursor: Any, stands: Any, zeros: Any, work: Any,
    gradient: Any, scalars: Any, squares: Any, words: Any, counts: Any, order: Any, batch: Any, history: Any,
    improvements: Any, kept: Any, until: Any, budget: Any,
) -> Any:  # fmt: skip
    """Train one run up to `until` completed epochs, at most `budget` batches; returns why it returned."""
    size, count, outside = plan[t.BATCH], plan[t.ROWS], plan[t.OUTSIDE] == 1
    cursor[t.ROWS_WRITTEN], cursor[t.IMPROVED], cursor[t.DRAWN] = 0, 0, -1
    while cursor[t.EPOCH] < until:
        epoch = cursor[t.EPOCH] + 1
        evaluates, logs, seen = wants(plan, epoch, until)
        rate = rates[cursor[t.EPOCH] - first_rate] * numbers[t.LR] * stands[t.PLATEAU_SHARE]
        if cursor[t.BATCH_INDEX] == 0:
            begin_epoch(stands, squares)
        if size < count:
            draw_order(plan, cursor, words, counts, order)
        budget = train_batches(
            plan, numbers, layers, codes, options, rate, rows, theta, slots, cursor, stands, zeros, work,
            gradient, scalars, squares, order, batch, kept, seen, outside and epoch == until, budget,
        )  # fmt: skip
        if cursor[t.BATCH_INDEX] * size < count:
            return PAUSED
        cursor[t.BATCH_INDEX], cursor[t.EPOCH] = 0, epoch
        stands[t.EPOCH_LOSS] = stands[t.LOSS_SUM] / stands[t.WEIGHT_SUM]
        stands[t.EPOCH_OBJECTIVE], stands[t.EPOCH_RATE] = stands[t.OBJECTIVE_SUM] / count, rate
        figure = figure_of(plan, stands[t.HITS], count, squares, shares)
        status, dev_loss, dev_figure = judge(
            plan, numbers, layers, codes, options, dev, shares, theta, best, cursor, stands, zeros, work,
            squares, improvements, kept, evaluates,
        )  # fmt: skip
        if status == DIVERGED:
            return DIVERGED
        if epoch == plan[t.EPOCHS] and not outside:
            status = FINISHED
        if logs or status == OUT_OF_PATIENCE:
            log(cursor, stands, history, figure, evaluates, dev_loss, dev_figure)
        if status != REACHED:
            return status
        if cursor[t.ROWS_WRITTEN] == history.shape[0] or cursor[t.IMPROVED] == improvements.shape[0]:
            return PAUSED if epoch < until else REACHED
    return REACHED


@kernel
def train(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, rates: Any, first_rate: Any, rows: Any,
    dev: Any, shares: Any, theta: Any, slots: Any, best: Any, cursor: Any, stands: Any, zeros: Any, work: Any,
    gradient: Any, scalars: Any, squares: Any, words: Any, counts: Any, order: Any, batch: Any, history: Any,
    improvements: Any, kept: Any, until: Any, budget: Any,
) -> Any:  # fmt: skip
    """As `trained`, without denormal numbers."""
    state = flush()
    status = trained(
        plan, numbers, layers, codes, options, rates, first_rate, rows, dev, shares, theta, slots, best,
        cursor, stands, zeros, work, gradient, scalars, squares, words, counts, order, batch, history,
        improvements, kept, until, budget,
    )  # fmt: skip
    restore(state)
    return status


@kernel
def examine(
    plan: Any, numbers: Any, layers: Any, codes: Any, options: Any, theta: Any, zeros: Any, work: Any,
    dev: Any, shares: Any, squares: Any, kept: Any,
) -> Any:  # fmt: skip
    """The loss of dev rows; their values before the output activation are left in `kept`."""
    state = flush()
    loss, _ = evaluate(
        plan, numbers, layers, codes, options, theta, zeros, work, dev, shares, squares, kept
    )  # fmt: skip
    restore(state)
    return loss
