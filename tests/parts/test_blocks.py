"""Splits by group and by time, compared with scikit-learn's splitters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, TimeSeriesSplit

from mlprun.errors import UsageError
from mlprun.parts.blocks import cut
from mlprun.parts.data import Data
from mlprun.parts.splits import SPLITS, Split, divide, split_problems


def rows_of(count, *, groups=None, times=None, classes=None):
    column = np.arange(count, dtype=float)[:, None]
    targets = column if classes is None else np.asarray(classes)
    names = None if classes is None else tuple(str(k) for k in range(int(max(classes)) + 1))
    made = Data(column, targets, ("x",), ("y",), classes=names)
    return replace(
        made,
        groups=None if groups is None else np.asarray(groups, np.int64),
        times=None if times is None else np.asarray(times, np.float64),
    )


def parts(indices):
    return [getattr(indices, name) for name in SPLITS]


@settings(max_examples=30)
@given(st.lists(st.integers(1, 30), min_size=6, max_size=40), st.integers(0, 99), st.booleans())
def test_each_group_is_in_one_split_and_no_split_is_empty(sizes, seed, shuffle):
    data = rows_of(sum(sizes), groups=np.repeat(np.arange(len(sizes)), sizes))
    found = parts(divide(Split(train=0.6, dev=0.2, test=0.2, shuffle=shuffle), data, seed=seed))
    assert sorted(np.concatenate(found)) == list(range(sum(sizes)))
    groups = [set(data.groups[rows]) for rows in found]
    assert all(groups)
    assert sum(map(len, groups)) == len(sizes)
    for rows, share in zip(found, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(rows) - share * sum(sizes)) <= 2 * max(sizes)
        assert shuffle or list(rows) == sorted(rows)


def test_groups_are_dealt_anew_with_each_seed_and_equally_with_the_same():
    data = rows_of(300, groups=np.arange(300) % 60)
    draws = [tuple(map(tuple, parts(divide(Split(), data, seed=seed)))) for seed in (0, 1, 2, 0)]
    assert len(set(draws)) == 3
    assert draws[0] == draws[3]
    assert [len(rows) for rows in draws[0]] == [180, 60, 60]


def distance(data, found, shares):
    """Squared distances of the parts' shares of each class (or of all rows) from those that are wanted."""
    labels = np.zeros(len(data.inputs), int) if data.classes is None else data.targets
    totals = np.bincount(labels)
    counts = [np.bincount(labels[rows], minlength=len(totals)) / totals for rows in found]
    return float(sum(np.square(one - share).sum() for one, share in zip(counts, shares, strict=True)))


@pytest.mark.parametrize("seed", range(4))
def test_folds_of_groups_are_as_balanced_as_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 25, 60)
    groups = np.repeat(np.arange(60), sizes)
    rates = np.repeat(random.beta(0.5, 1.5, 60), sizes)
    classes = (random.random(len(groups)) < rates).astype(int)
    data = rows_of(len(groups), groups=groups, classes=classes)
    split = Split(dev=0, folds=5, fold=1)
    folds = [divide(split.model_copy(update={"fold": k}), data, seed=seed).test for k in range(1, 6)]
    assert sorted(np.concatenate(folds)) == list(range(len(groups)))
    theirs = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(groups, classes, groups)
    ours = distance(data, folds, [0.2] * 5)
    assert ours <= distance(data, [test for _, test in theirs], [0.2] * 5) + 0.001
    without = replace(data, classes=None, targets=data.inputs)
    folds = [divide(split.model_copy(update={"fold": k}), without, seed=seed).test for k in range(1, 6)]
    largest = max(len(test) for _, test in GroupKFold(5).split(groups, groups=groups))
    assert max(map(len, folds)) <= largest + max(sizes) / 2


def test_train_and_dev_of_a_fold_are_divided_by_group_too():
    data = rows_of(120, groups=np.arange(120) // 6, classes=np.arange(120) % 2)
    found = parts(divide(Split(train=0.75, dev=0.25, folds=4, fold=2), data, seed=1))
    groups = [set(data.groups[rows]) for rows in found]
    assert list(map(len, groups)) == [11, 4, 5]
    assert len(set.union(*groups)) == 20


def test_groups_that_are_not_shuffled_stay_in_the_order_of_their_first_rows():
    data = rows_of(10, groups=[5, 5, 2, 5, 2, 2, 2, 9, 9, 1])
    found = parts(divide(Split(train=4, dev=3, test=3, shuffle=False), data, seed=0))
    assert [list(rows) for rows in found] == [[0, 1, 3], [2, 4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize("rows", [23, 60])
def test_folds_by_time_are_those_of_a_time_series_split(rows):
    times = np.random.default_rng(0).permutation(rows).astype(float)
    data = rows_of(rows, times=times, classes=np.arange(rows) % 2)
    theirs = TimeSeriesSplit(4).split(np.zeros(rows))
    for fold, (train, test) in enumerate(theirs, 1):
        ours = divide(Split(dev=0, folds=4, fold=fold), data, seed=0)
        assert list(times[ours.train]) == list(train)
        assert list(times[ours.test]) == list(test)
        assert len(ours.dev) == 0
        with_dev = divide(Split(train=0.75, dev=0.25, folds=4, fold=fold), data, seed=0)
        assert [*with_dev.train, *with_dev.dev] == list(ours.train)
        assert len(with_dev.dev) == round(len(ours.train) / 4 + 1e-9)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 20), min_size=30, max_size=80).filter(lambda some: len(set(some)) > 8))
def test_time_goes_forward_and_equal_times_are_in_one_split(times):
    train, dev, test = parts(divide(Split(), rows_of(len(times), times=times), seed=0))
    when = np.array(times)
    assert when[train].max() < when[dev].min() <= when[dev].max() < when[test].min()
    assert len(train) + len(dev) + len(test) == len(times)


def test_a_boundary_among_equal_times_moves_to_the_nearer_end_of_them():
    times = np.array([0.0, 1, 2, 3, 3, 3, 4, 5, 6, 7])
    assert [len(part) for part in cut(times, [4, 6], "time")] == [3, 7]
    assert [len(part) for part in cut(times, [5, 5], "time")] == [6, 4]
    with pytest.raises(
        UsageError, match=r"dataset.time: rows with the same time stay together, and too few differ"
    ):
        cut(np.array([0.0, 1, 1, 1, 1, 1, 1]), [1, 1, 5], "time")


def test_a_fraction_of_train_rows_by_time_is_the_newest_part():
    data = rows_of(50, times=np.arange(50)[::-1])
    part = divide(Split(), data, seed=0, fraction=0.2)
    assert sorted(data.times[part.train]) == list(range(24, 30))


FEW = rows_of(12, groups=np.arange(12) % 2).info
TIMES = rows_of(12, times=np.arange(12) % 3, classes=np.arange(12) % 2).info


@pytest.mark.parametrize(
    ("split", "info", "problem"),
    [
        (Split(), FEW, ("", "2 groups cannot be divided into train, dev, test; leave some of these out")),
        (
            Split(folds=3, fold=1),
            FEW,
            ("folds", "2 groups cannot be divided into 3 folds; expected at most 2"),
        ),
        (
            Split(folds=3, fold=1),
            TIMES,
            ("folds", "3 different times cannot be divided into 3 folds; expected at most 2"),
        ),
        (
            Split(shuffle=True),
            TIMES,
            ("shuffle", "splits go forward in time with dataset.time; expected false"),
        ),
        (
            Split(stratify=True),
            TIMES,
            ("stratify", "splits of dataset.time go forward in time; expected false"),
        ),
        (
            Split(same=True),
            FEW,
            ("same", "divides the rows already, and dataset.group does too; remove one of them"),
        ),
        (
            Split(column="part"),
            TIMES,
            ("column", "divides the rows already, and dataset.time does too; remove one of them"),
        ),
    ],
)
def test_what_contradicts_groups_or_times_is_one_problem(split, info, problem):
    assert list(split_problems(split, info)) == [problem]


def test_too_few_groups_for_train_and_dev_of_a_fold_are_one_line():
    data = rows_of(9, groups=np.arange(9) % 2)
    expected = r"dataset.group: 1 group cannot be divided into 2 parts; use fewer folds, or leave dev or test"
    with pytest.raises(UsageError, match=expected):
        divide(Split(folds=2, fold=1), data, seed=0)
