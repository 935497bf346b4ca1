"""Splits that keep rows together: groups as a whole, and time that goes forward."""

from __future__ import annotations

from operator import itemgetter, mul, sub
from typing import TYPE_CHECKING

import numpy as np

from mlprun import randomness
from mlprun.errors import UsageError, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.parts.data import Array, Floats, Ints
    from mlprun.randomness import Purpose

ORDERS = 20
"""orders of the groups that are tried; the nearest to the shares counts"""
PLACED = 200_000
"""shares of groups that are placed in all orders together, so that many groups take no longer"""


def deal_groups(
    groups: Ints, sizes: Sequence[int], classes: Array | None, *, seed: int, purpose: Purpose
) -> Ints:
    """The number of the part of each row [N]: about `sizes` rows in each, every group in one of them.

    Groups come in an order drawn from (seed, purpose), and each goes to the part that lacks most of what the
    group has: rows and, with `classes`, rows of each class, as shares of their totals. Of twenty orders the
    one with the least squared distance to the shares counts. Rows beyond all parts have the number
    `len(sizes)`.

    scikit-learn's StratifiedGroupKFold has the same aim for parts of equal size.
    Raises UsageError where there are too few groups for the parts.
    """
    group = np.unique(groups, return_inverse=True)[1]
    count = int(group.max()) + 1
    has = np.bincount(group)[:, None].astype(np.float64)
    if classes is not None:
        names, label = np.unique(classes, return_inverse=True)
        cells = np.bincount(group * len(names) + label, minlength=count * len(names))
        has = np.column_stack([has, cells.reshape(count, -1)])
    has /= has.sum(axis=0)
    shares = [size / len(groups) for size in (*sizes, len(groups) - sum(sizes))]
    wanted = [part for part, size in enumerate(sizes) if size > 0]
    if count < len(wanted):
        what = f"{plural(count, 'group')} cannot be divided into {len(wanted)} parts"
        raise UsageError("dataset.group", what, "use fewer folds, or leave dev or test without rows")
    tries = max(1, min(PLACED // has.size, ORDERS))
    orders = (randomness.order(seed, purpose, count, step=1 + k).tolist() for k in range(tries))
    placed = (_placed(has.tolist(), order, shares, wanted) for order in orders)
    return np.array(min(placed, key=itemgetter(0))[1])[group]


def _placed(
    has: list[list[float]], order: list[int], shares: list[float], wanted: list[int]
) -> tuple[float, list[int]]:
    """The squared distance to the shares and the part of each group, placed one by one.

    NumPy would take longer for so few numbers, and its sums may differ between processors.
    """
    lacks = [[share] * len(has[0]) for share in shares]
    parts, empty = [0] * len(has), list(wanted)
    filled = [part for part, share in enumerate(shares) if share > 0]
    for left, one in zip(range(len(order), 0, -1), order, strict=True):
        choices = empty if left <= len(empty) else filled  # every part gets a group at least
        gains = [sum(map(mul, lacks[part], has[one])) for part in choices]
        part = choices[gains.index(max(gains))]
        lacks[part] = list(map(sub, lacks[part], has[one]))
        parts[one] = part
        if part in empty:
            empty.remove(part)
    return sum(number * number for row in lacks for number in row), parts


def cut(keys: Array, sizes: Sequence[int], option: str) -> list[Ints]:
    """Row numbers by rising key [N], in parts of about these sizes; equal keys are in one part.

    A boundary among equal keys moves to the nearest end of such a run, the earlier one of two, that leaves no
    part empty. Raises UsageError about `option` where there is none.
    """
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.r_[True, np.diff(keys[order]) != 0, True])
    ends, at = [], 0
    for k, end in enumerate(np.cumsum(sizes)):
        if sizes[k]:
            choices = edges[at + 1 : len(edges) - sum(size > 0 for size in sizes[k + 1 :])]
            if not len(choices):
                what = f"rows with the same {option} stay together, and too few differ for all splits"
                raise UsageError(f"dataset.{option}", what, "use fewer folds, or no dev or test rows")
            at += 1 + int(np.abs(choices - end).argmin())
        ends.append(edges[at])
    return np.split(order, ends)[: len(sizes)]


def forward_folds(times: Floats, folds: int) -> list[Ints]:
    """Row numbers by time in `folds` + 1 consecutive parts: each but the first is the test part of a fold.

    The sizes are those of scikit-learn's TimeSeriesSplit: equal ones, and what is left over in the first.
    """
    size = len(times) // (folds + 1)
    return cut(times, [len(times) - folds * size, *[size] * folds], "time")
