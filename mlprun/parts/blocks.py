"""Splits that keep rows together: groups as a whole, and time that goes forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlprun import randomness
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.parts.data import Array, Floats, Ints
    from mlprun.randomness import Purpose

ORDERS = 20
"""orders of the groups that are tried; the nearest to the shares counts"""
PLACED = 20_000
"""groups that are placed in all orders together, so that many groups take no longer"""

DIGITS = 12
"""decimals of what is compared: the last bits of equal sums differ between processors"""


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
    shares = np.array([*sizes, len(groups) - sum(sizes)]) / len(groups)
    wanted = np.array([size > 0 for size in sizes] + [False])
    if count < wanted.sum():
        what = f"{count} group{'s'[: count > 1]} cannot be divided into {wanted.sum()} parts"
        raise UsageError("dataset.group", what, "use fewer folds, or leave dev or test without rows")
    tries = int(np.clip(PLACED // count, 1, ORDERS))
    orders = (randomness.order(seed, purpose, count, step=1 + k) for k in range(tries))
    placed = (_placed(has, order, shares, wanted) for order in orders)
    return min(placed, key=lambda pair: pair[0])[1][group]


def _placed(has: Floats, order: Ints, shares: Floats, wanted: Array) -> tuple[float, Ints]:
    """The squared distance to the shares and the part of each group, placed one by one."""
    lacks = np.outer(shares, np.ones(has.shape[1]))
    parts, empty = np.zeros(len(has), np.int64), wanted.copy()
    closed = np.where(shares > 0, 0.0, -np.inf)
    for left, one in zip(range(len(order), 0, -1), order, strict=True):
        gain = np.round(lacks @ has[one], DIGITS) + closed
        if left <= empty.sum():  # every part gets a group at least
            gain[~empty] = -np.inf
        part = int(gain.argmax())
        lacks[part] -= has[one]
        parts[one], empty[part] = part, False
    return round(float(np.square(lacks).sum()), DIGITS), parts


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
