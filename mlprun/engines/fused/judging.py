"""What follows a completed epoch, inside kernels: the figures, the best, plateau, patience and the history.

Equal to progress.py to the letter.
"""

from __future__ import annotations

import math
from typing import Any

from mlprun.engines.fused import tables as t
from mlprun.engines.fused.compiled import inner

R2 = t.R2


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
def observe(
    plan: Any, numbers: Any, cursor: Any, stands: Any, theta: Any, best: Any, improvements: Any,
    dev_loss: Any, dev_figure: Any,
) -> Any:  # fmt: skip
    """Best, plateau and patience after an evaluation; whether patience is at its end."""
    epoch, value = cursor[t.EPOCH], dev_figure if plan[t.WATCHES_FIGURE] == 1 else dev_loss
    if math.isnan(value):
        cursor[t.UNDEFINED] += 1
    if beats(value, stands[t.BEST_VALUE], cursor[t.HAS_BEST] == 1, plan[t.MAXIMISES] == 1):
        place = cursor[t.IMPROVED]
        improvements[place, 0], improvements[place, 2] = epoch, value
        improvements[place, 1] = stands[t.BEST_VALUE] if cursor[t.HAS_BEST] == 1 else math.nan
        cursor[t.IMPROVED] += 1
        cursor[t.UNDEFINED] = 0
        stands[t.BEST_VALUE], cursor[t.BEST_EPOCH], cursor[t.HAS_BEST] = value, epoch, 1
        stands[t.BEST_LOSS], stands[t.BEST_FIGURE] = dev_loss, dev_figure
        for i in range(theta.shape[0]):
            best[i] = theta[i]
    if plan[t.PLATEAU] == 1 and not math.isnan(value):
        observe_plateau(plan, numbers, cursor, stands, value)
    passed = epoch - cursor[t.BEST_EPOCH] - cursor[t.UNDEFINED] * plan[t.EVALUATE_EVERY]
    return plan[t.PATIENCE] >= 0 and passed >= plan[t.PATIENCE]


@inner
def log(
    cursor: Any, stands: Any, history: Any, figure: Any, evaluated: Any, dev_loss: Any, dev_figure: Any
) -> None:
    """Write the row of the epoch that was just completed."""
    row = history[cursor[t.ROWS_WRITTEN]]
    row[0], row[1] = cursor[t.EPOCH], stands[t.EPOCH_RATE]
    row[2], row[3], row[4] = stands[t.EPOCH_LOSS], stands[t.EPOCH_OBJECTIVE], figure
    row[5], row[6], row[7] = (1.0 if evaluated else 0.0), dev_loss, dev_figure
    cursor[t.ROWS_WRITTEN] += 1


@inner
def wants(plan: Any, epoch: Any, until: Any) -> Any:
    """Whether an epoch is evaluated, whether it is logged, and whether its train figures may be read."""
    outside, last = plan[t.OUTSIDE] == 1, epoch == plan[t.EPOCHS]
    evaluates = plan[t.DEV_ROWS] > 0 and not outside and (last or epoch % plan[t.EVALUATE_EVERY] == 0)
    logs = (last or epoch % plan[t.LOG_EVERY] == 0) and not outside
    return evaluates, logs, logs or (evaluates and plan[t.PATIENCE] >= 0) or (outside and epoch == until)
