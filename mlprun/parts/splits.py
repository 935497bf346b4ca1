"""Splits: how a config divides rows into train, dev and test, and the rows of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from mlprun import randomness
from mlprun.errors import UsageError
from mlprun.parts import SPLITS
from mlprun.parts.blocks import cut, deal_groups, forward_folds
from mlprun.parts.data import short_repr
from mlprun.parts.part import NonNegativeInt, Options, PositiveInt, Probability

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlprun.parts.data import Array, Data, DatasetInfo, Ints

    Problems = Iterator[tuple[str, str]]


class Fresh(Options):
    """Rows drawn anew from the dataset's generator at every evaluation."""

    fresh: PositiveInt = Field(description="rows generated for each evaluation")


Share = NonNegativeInt | Probability
"""A number of rows, or a fraction of them."""


class Split(Options):
    """Counts, fractions that sum to 1, a column that names the split of each row, or `same` for all three."""

    train: Share = Field(0.6, description="number or fraction of rows")
    dev: Share | Fresh = Field(0.2, description="number or fraction of rows, or {fresh: rows}")
    test: Share | Fresh = Field(0.2, description="number or fraction of rows, or {fresh: rows}")
    shuffle: bool | None = Field(
        None, description="shuffle before splitting (default: false for generators, otherwise true)"
    )
    stratify: bool | None = Field(
        None, description="stratify by class (default: true if rows are shuffled and targets are classes)"
    )
    column: str | None = Field(None, description="table column with the values train, dev and test")
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="cross-validation: number of folds of equal size"
    )
    fold: PositiveInt | None = Field(
        None, description="number of the test fold, from 1; the other folds are split into train and dev"
    )
    same: bool = Field(
        default=False, description="train, dev and test each use all rows; short form `split: same`"
    )


def expand_split(value: Any) -> Any:
    """`same` stands for `{same: true}`."""
    if isinstance(value, str) and value != "same":
        raise ValueError(f"expected same or a mapping, got the string {str(value)[:40]!r}")
    return {"same": True} if value == "same" else value


SplitField = Annotated[Split, BeforeValidator(expand_split, json_schema_input_type=Literal["same"] | Split)]


# hand-written fractions such as 0.3333 three times are meant to be the whole; 0.9 is not
TOLERANCE = Fraction(1, 1000)
_HALF = Fraction(1, 2)


def resolve_sizes(split: Split, rows: int) -> Split:
    """The same split with all three shares named, for data of so many rows.

    Where some shares are given and others are not, the missing dev and test are 0 and the missing train is
    the rest. Without any given share the defaults stand.
    """
    given = split.model_fields_set & set(SPLITS)
    if split.same or split.column is not None or len(given) in (0, len(SPLITS)):
        return split
    named = split.model_copy(update={name: 0 for name in ("dev", "test") if name not in given})
    if "train" in given:
        return named
    _, dev, test = _shares(named)
    kind = type(dev or test)
    rest = (1 if kind is float else rows) - _exact(kind(dev)) - _exact(kind(test))
    return named.model_copy(update={"train": kind(max(rest, Fraction(0)))})


def split_sizes(split: Split, rows: int) -> tuple[int, int, int]:
    """Rows of train, dev and test; a split of fresh rows has 0.

    Fractions use every row: each split gets the whole rows of its share, and the rows left over go to the
    largest remainders (train before dev before test among equals).
    """
    shares = _shares(split)
    if split.folds is not None:
        test = rows // split.folds + ((split.fold or 1) <= rows % split.folds)
        train, dev = _apportioned(shares[:2], rows - test)
    elif any(isinstance(share, float) and share > 0 for share in shares):
        train, dev, test = _apportioned(shares, rows)
    else:
        train, dev, test = map(int, shares)
    return train, dev, test


def split_problems(
    split: Split, info: DatasetInfo, *, can_draw_fresh: bool = True, has_columns: bool = True
) -> Problems:
    """Why rows like these cannot be divided so: options of the split with messages on what would work.

    The option is empty for the split as a whole. `can_draw_fresh` and `has_columns` say what the dataset
    offers: a generator's fresh rows, a table's columns.
    """
    split = resolve_sizes(split, info.rows)
    yield from _block_problems(split, info)
    if split.same or split.column is not None:
        yield from _exclusive_problems(split, has_columns=has_columns)
        return
    if split.stratify and info.classes is None:
        yield "stratify", "targets are numbers, not classes; expected false"
    if split.folds is not None or split.fold is not None:
        yield from _fold_problems(split, info.rows)
    else:
        yield from _share_problems(split, info.rows, can_draw_fresh=can_draw_fresh)


def _block_problems(split: Split, info: DatasetInfo) -> Problems:
    """Why rows that stay together, of a group or a time, cannot be divided so."""
    forward = info.times is not None
    blocks, option = (info.times, "time") if forward else (info.groups, "group")
    if blocks is None:
        return
    if split.same or split.column is not None:
        way = "same" if split.same else "column"
        yield way, f"divides the rows already, and dataset.{option} does too; remove one of them"
        return
    if forward and split.shuffle:
        yield "shuffle", "splits go forward in time with dataset.time; expected false"
    if split.stratify and (forward or split.shuffle is False):
        which = "go forward in time" if forward else "are not shuffled"
        yield "stratify", f"splits of dataset.{option} {which}; expected false"
    unit = "different times" if forward else "groups"
    if split.folds is not None and blocks < split.folds + forward:
        most = f"expected at most {blocks - forward}" if blocks > 1 + forward else "expected no folds"
        yield "folds", f"{blocks} {unit} cannot be divided into {split.folds} folds; {most}"
    wanted = [name for name, share in zip(SPLITS, _shares(split), strict=True) if share]
    if split.folds is None and blocks < len(wanted):
        yield "", f"{blocks} {unit} cannot be divided into {', '.join(wanted)}; leave some of these out"


def _shares(split: Split) -> tuple[int | float, int | float, int | float]:
    dev = 0 if isinstance(split.dev, Fresh) else split.dev
    return split.train, dev, 0 if isinstance(split.test, Fresh) else split.test


def _exact(share: float) -> Fraction:
    """The fraction as it is written: 0.1 means a tenth, not the nearest double."""
    return Fraction(share if isinstance(share, int) else repr(share))


def _apportioned(shares: Sequence[float], rows: int) -> list[int]:
    """Whole numbers with the sum `rows`, each its share of them rounded up or down."""
    exact = list(map(_exact, shares))
    quotas = [share * rows / sum(exact) for share in exact]
    whole = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda k: whole[k] - quotas[k])
    for k in by_remainder[: rows - sum(whole)]:
        whole[k] += 1
    return whole


def _exclusive_problems(split: Split, *, has_columns: bool) -> Problems:
    fields, way = Split.model_fields, "same" if split.same else "column"
    # a resolved config spells every default out, and must stay valid
    for name in (*SPLITS, "folds", "fold", *(["column"] if split.same else [])):
        if getattr(split, name) != fields[name].default:
            yield name, f"has no meaning beside {way}; remove one of them"
    if split.column is not None and not has_columns:
        yield "column", "only a table has columns; expected counts or fractions"


def _fresh(split: Split) -> Iterator[str]:
    return (name for name in ("dev", "test") if isinstance(getattr(split, name), Fresh))


def _fold_problems(split: Split, rows: int) -> Problems:
    if split.folds is None:
        yield "fold", "has no meaning without folds; add folds: 5, or remove it"
        return
    for name in _fresh(split):
        yield name, "is not drawn anew where folds divide the rows; expected a count or a fraction"
    if split.fold is None:
        yield "folds", "says into how many parts and not which of them is test; add fold: 1"
    elif split.fold > split.folds:
        yield "fold", f"there are {split.folds} folds; expected 1 to {split.folds}"
    if split.folds > rows:
        yield "folds", f"{rows} rows cannot be divided into {split.folds} folds; expected at most {rows}"
    elif not split.train:
        yield "train", "no rows to train on; expected at least 1"
    elif not split_sizes(split, rows)[0]:
        yield "folds", f"{rows} rows leave none to train on; expected fewer folds"


def _share_problems(split: Split, rows: int, *, can_draw_fresh: bool) -> Problems:
    if not can_draw_fresh:
        for name in _fresh(split):
            yield name, "this dataset draws no fresh rows; expected a count or a fraction"
    shares = dict(zip(SPLITS, _shares(split), strict=True))
    counts, fractions = (
        [name for name, share in shares.items() if share > 0 and isinstance(share, kind)]
        for kind in (int, float)
    )
    total = sum((_exact(share) for share in shares.values()), Fraction(0))
    if counts and fractions:
        what = f"{', '.join(counts)} in rows but {', '.join(fractions)} as a fraction"
        yield "", f"{what}; expected counts for all or fractions for all"
    elif not fractions and total > rows:
        asked = f"{' + '.join(map(str, shares.values()))} = {total} rows"
        yield "", f"{asked}, but the data has {rows}; expected at most {rows}"
    elif not shares["train"] and not fractions:
        yield "train", "no rows to train on; expected at least 1"
    elif fractions and abs(total - 1) > TOLERANCE:
        yield "", f"the fractions sum to {float(total):g}; expected 1"
    elif fractions:
        for (name, share), size in zip(shares.items(), split_sizes(split, rows), strict=True):
            if size == 0 and (share > 0 or name == "train"):
                what = f"{share:g} of {rows} rows is less than one row"
                yield name, f"{what}; expected more rows, or split: same"


@dataclass(frozen=True)
class SplitIndices:
    """Row numbers of each split, int64; a split of fresh rows has none."""

    __repr__ = short_repr

    train: Ints
    dev: Ints
    test: Ints


def divide(split: Split, data: Data, *, seed: int, fraction: float | None = None) -> SplitIndices:
    """The rows of each split; with a `fraction` only so many of the train rows, drawn from (seed, FRACTION).

    Rows of a group are in one split. With times, train is before dev before test, rows with equal times are
    in one split, and a fraction of train is the newest part of it.

    Where the split leaves it open, rows are shuffled, and shuffled rows stratified when targets are classes.
    Shuffled rows come in the order drawn from (seed, SPLIT), others in the data's.
    """
    indices = _divided(split, data, seed)
    if fraction is None:
        return indices
    train = indices.train
    if data.times is not None:
        return replace(indices, train=train[-fraction_of(len(train), fraction) :])
    order = randomness.order(seed, randomness.Purpose.FRACTION, len(train))
    labels = np.zeros(len(train), np.int64) if data.classes is None else np.asarray(data.targets)[train]
    # ranks within a class as shares of its rows: the first ones have every class in its proportion
    by_class = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels)
    ranks = np.concatenate([(np.arange(size) + 0.5) / size for size in sizes if size])
    first = by_class[np.argsort(ranks, kind="stable")][: fraction_of(len(train), fraction)]
    return replace(indices, train=train[np.sort(first)])


def fraction_of(rows: int, fraction: float | None) -> int:
    """How many of so many train rows a fraction of them is: the nearest number, at least 1."""
    return rows if fraction is None else min(max(1, math.floor(_exact(fraction) * rows + _HALF)), rows)


def _divided(split: Split, data: Data, seed: int) -> SplitIndices:
    problems = split_problems(split, data.info, has_columns=data.parts is not None)
    if found := " and ".join(": ".join(filter(None, problem)) for problem in problems):
        raise UsageError("dataset.split", found)
    rows = len(data.inputs)
    split = resolve_sizes(split, rows)
    if split.same:
        return SplitIndices(*(np.arange(rows) for _ in SPLITS))
    if split.column is not None:
        return SplitIndices(*(np.flatnonzero(data.parts == name) for name in SPLITS))
    shuffle = split.shuffle is not False and data.times is None
    stratify = shuffle if split.stratify is None else split.stratify
    purpose = randomness.Purpose.SPLIT if split.folds is None else randomness.Purpose.FOLDS
    order = randomness.order(seed, purpose, rows) if shuffle else np.arange(rows)
    divided = _Divided(data, order, seed if shuffle else None, stratify=stratify)
    if split.folds is None or split.fold is None:
        return SplitIndices(*divided.parts(order, split_sizes(split, rows), purpose))
    # all folds of a seed come from one order, so that each row is in one of them
    test, rest = divided.fold(split.folds, split.fold)
    train, dev = divided.parts(rest, _apportioned(_shares(split)[:2], len(rest)), randomness.Purpose.SPLIT)
    return SplitIndices(train, dev, test)


@dataclass(frozen=True)
class _Divided:
    """How rows in an order are divided into parts: one by one, by class, by group or by time."""

    data: Data
    order: Ints
    seed: int | None
    """None for rows that are not shuffled"""
    stratify: bool

    def parts(self, rows: Ints, sizes: Sequence[int], purpose: randomness.Purpose) -> list[Ints]:
        """These rows in parts of about these sizes."""
        data = self.data
        if data.times is not None:
            return [rows[part] for part in cut(data.times[rows], sizes, "time")]
        classes = np.asarray(data.targets) if self.stratify and data.classes is not None else None
        if data.groups is None:
            return _parted(rows, sizes, classes)
        groups = data.groups[rows]
        if self.seed is None:  # groups come in the order of their first rows
            first, group = np.unique(groups, return_index=True, return_inverse=True)[1:]
            return [rows[part] for part in cut(first[group], sizes, "group")]
        labels = None if classes is None else classes[rows]
        part = deal_groups(groups, sizes, labels, seed=self.seed, purpose=purpose)
        return [rows[part == k] for k in range(len(sizes))]

    def fold(self, folds: int, fold: int) -> tuple[Ints, Ints]:
        """The test rows of a fold, and those that train and dev share: of time, the earlier ones."""
        if self.data.times is not None:
            consecutive = forward_folds(self.data.times, folds)
            return consecutive[fold], np.concatenate(consecutive[:fold])
        sizes = [len(part) for part in np.array_split(self.order, folds)]
        test = self.parts(self.order, sizes, randomness.Purpose.FOLDS)[fold - 1]
        return test, self.order[~np.isin(self.order, test)]


def _parted(order: Ints, sizes: Sequence[int], classes: Array | None) -> list[Ints]:
    """Rows in the given order in parts of these sizes, each with its share of each class if given."""
    if classes is None:
        return np.split(order, np.cumsum(sizes))[: len(sizes)]
    # position in `order` of each row, sorted by class: the rows of a class stand together
    by_class = np.argsort(classes[order], kind="stable")
    class_sizes = np.bincount(np.unique(classes[order], return_inverse=True)[1])
    unused = len(order) - sum(sizes)
    allotted = controlled_rounding(class_sizes, np.array([*sizes, unused]))
    labels = np.repeat(np.tile(np.arange(allotted.shape[1]), len(allotted)), allotted.ravel())
    return [order[np.sort(by_class[labels == k])] for k in range(len(sizes))]


def controlled_rounding(rows: Ints, columns: Ints) -> Ints:
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


def _cycle(remainders: Ints, row: int) -> list[tuple[int, int]] | None:
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
