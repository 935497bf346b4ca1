"""Which rows are train, dev and test: counts or fractions, shuffled or sliced, class shares kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlprun import randomness
from mlprun.errors import UsageError
from mlprun.parts.datasets.shares import (
    Problem,
    counts,
    fold_sizes,
    problems,
    resolve_sizes,
    rest_sizes,
)
from mlprun.parts.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.parts.datasets.dataset import Data
    from mlprun.parts.datasets.split import Split

__all__ = [
    "SPLITS",
    "Indices",
    "Problem",
    "controlled_rounding",
    "counts",
    "divide",
    "problems",
    "resolve_sizes",
]


@dataclass(frozen=True)
class Indices:
    """Row numbers of each split, int64; a split of fresh rows has none."""

    train: NDArray[np.int64]
    dev: NDArray[np.int64]
    test: NDArray[np.int64]


def divide(split: Split, data: Data, *, seed: int) -> Indices:
    """The rows of each split.

    Where the split leaves it open, rows are shuffled, and shuffled rows stratified when targets are classes.
    Shuffled rows come in the order drawn from (seed, SPLIT), others in the data's.
    """
    found = problems(split, data.info, has_columns=data.parts is not None)
    if found:
        raise UsageError("dataset.split", " and ".join(f"{p.field}: {p.message}".lstrip(": ") for p in found))
    rows = len(data.inputs)
    split = resolve_sizes(split, rows)
    if split.same:
        return Indices(*(np.arange(rows) for _ in SPLITS))
    if split.column is not None:
        return Indices(*(np.flatnonzero(data.parts == name) for name in SPLITS))
    shuffle = split.shuffle is not False
    stratify = (shuffle if split.stratify is None else split.stratify) and data.classes is not None
    if split.folds is not None:
        return _of_fold(split, data, seed=seed, shuffle=shuffle, stratify=stratify)
    order = randomness.order(seed, randomness.Purpose.SPLIT, rows) if shuffle else np.arange(rows)
    sizes = counts(split, rows)
    if not stratify:
        train, dev, _ = sizes
        return Indices(*np.split(order[: sum(sizes)], [train, train + dev]))
    return Indices(*_stratified(order, np.asarray(data.targets), sizes)[: len(SPLITS)])


def _of_fold(split: Split, data: Data, *, seed: int, shuffle: bool, stratify: bool) -> Indices:
    """One fold as test, the others divided between train and dev.

    All folds of a seed come from one order, drawn from (seed, FOLDS), so that each row is in one of them.
    """
    assert split.folds is not None
    assert split.fold is not None
    rows, classes = len(data.inputs), np.asarray(data.targets)
    order = randomness.order(seed, randomness.Purpose.FOLDS, rows) if shuffle else np.arange(rows)

    def parted(chosen: NDArray[np.int64], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
        if stratify:
            return _stratified(chosen, classes, sizes)
        return np.split(chosen, np.cumsum(sizes)[:-1])

    folds = parted(order, fold_sizes(split.folds, rows))
    test = folds[split.fold - 1]
    rest = order[~np.isin(order, test)]
    train, dev = parted(rest, rest_sizes(split, len(rest)))
    return Indices(train, dev, test)


def _stratified(
    order: NDArray[np.int64], classes: NDArray[np.generic], sizes: Sequence[int]
) -> list[NDArray[np.int64]]:
    """Rows taken class by class in the given order, then put back into that order within each part."""
    # position in `order` of each row, sorted by class: the rows of a class stand together
    by_class = np.argsort(classes[order], kind="stable")
    class_sizes = np.bincount(np.unique(classes[order], return_inverse=True)[1])
    unused = len(order) - sum(sizes)
    allotted = controlled_rounding(class_sizes, np.array([*sizes, unused]))
    labels = np.repeat(np.tile(np.arange(allotted.shape[1]), len(allotted)), allotted.ravel())
    return [order[np.sort(by_class[labels == k])] for k in range(len(sizes))]


def controlled_rounding(rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whole numbers [rows, columns] with these sums, each row x column / total rounded up or down.

    Rounding each class by itself would miss the totals of the splits; shifting remainders around cycles of
    the table keeps both sums at every step. Source: Cox (1987), doi.org/10.1080/01621459.1987.10478456
    """
    total = max(int(rows.sum()), 1)
    products = np.outer(rows, columns).astype(np.int64)
    whole, remainders = np.divmod(products, total)
    for start in range(len(rows)):
        while (cycle := _cycle(remainders, start)) is not None:
            up, down = (tuple(np.transpose(cells)) for cells in (cycle[::2], cycle[1::2]))
            rise = min((total - remainders[up]).min(), remainders[down].min())
            fall = min(remainders[up].min(), (total - remainders[down]).min())
            step = rise if rise <= fall else -fall  # the smaller change stays nearer to the shares
            remainders[up] += step
            remainders[down] -= step
            carried = remainders == total
            whole[carried] += 1
            remainders[carried] = 0
    return np.asarray(whole, np.int64)


def _cycle(remainders: NDArray[np.int64], row: int) -> list[tuple[int, int]] | None:
    """Cells with a remainder that close a cycle, in turn along a row and along a column; None without any.

    Every row and column sums to whole numbers, so a cell with a remainder never stands alone in either, and a
    walk that turns at each cell must meet itself.
    """
    if not remainders[row].any():
        return None
    path, before = [(0, row)], -1
    while True:
        axis, here = path[-1]
        line = remainders[:, here] if axis else remainders[here]
        node = (1 - axis, next(int(k) for k in np.flatnonzero(line) if k != before))
        if node in path:
            break
        path.append(node)
        before = here
    cycle = path[path.index(node) :]
    pairs = zip(cycle, cycle[1:] + cycle[:1], strict=True)
    return [(after[1], here[1]) if here[0] else (here[1], after[1]) for here, after in pairs]
