import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from mlprun import randomness
from mlprun.errors import UsageError
from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.splits import (
    SPLITS,
    Fresh,
    Split,
    controlled_rounding,
    divide,
    fraction_of,
    resolve_sizes,
    split_problems,
    split_sizes,
)


def numbers(rows: int) -> Data:
    return Data(np.arange(rows, dtype=float)[:, None], np.arange(rows, dtype=float)[:, None], ("x0",), ("y",))


def labelled(classes: list[int]) -> Data:
    names = tuple(str(k) for k in range(max(classes) + 1))
    return Data(
        np.arange(len(classes), dtype=float)[:, None], np.array(classes), ("x0",), ("y",), classes=names
    )


def parts(indices):
    return [list(getattr(indices, name)) for name in SPLITS]


def test_counts_slice_the_data_in_its_own_order():
    split = Split(train=5, dev=2, test=3, shuffle=False)
    assert parts(divide(split, numbers(10), seed=0)) == [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]]


def test_counts_may_leave_rows_unused():
    split = Split(train=2, dev=1, test=0, shuffle=False)
    assert parts(divide(split, numbers(10), seed=0)) == [[0, 1], [2], []]


def test_shuffled_rows_come_in_the_order_drawn_for_the_split():
    order = randomness.order(7, randomness.Purpose.SPLIT, 10)
    indices = divide(Split(train=6, dev=2, test=2), numbers(10), seed=7)
    assert parts(indices) == [list(order[:6]), list(order[6:8]), list(order[8:])]
    assert all(getattr(indices, name).dtype == np.int64 for name in SPLITS)


@pytest.mark.parametrize(
    ("shares", "rows", "expected"),
    [
        ((0.6, 0.2, 0.2), 10, (6, 2, 2)),
        ((0.6, 0.2, 0.2), 4, (2, 1, 1)),  # 2.4, 0.8, 0.8
        ((0.29, 0.35, 0.36), 100, (29, 35, 36)),  # 0.29 * 100 is 28.999999999999996 in floating point
        ((0.7, 0.1, 0.2), 10, (7, 1, 2)),
        ((0.3333, 0.3333, 0.3334), 9, (3, 3, 3)),
        ((0.5, 0.5, 0.0), 3, (2, 1, 0)),  # equal remainders: train first
        ((0.5, 0, 0.5), 4, (2, 0, 2)),
    ],
)
def test_fractions_use_every_row(shares, rows, expected):
    assert split_sizes(Split(train=shares[0], dev=shares[1], test=shares[2]), rows) == expected


@given(st.integers(3, 500), st.integers(1, 98), st.integers(1, 98))
def test_fractions_miss_their_share_by_less_than_a_row(rows, dev, test):
    if dev + test >= 100:
        return
    shares = ((100 - dev - test) / 100, dev / 100, test / 100)
    sizes = split_sizes(Split(train=shares[0], dev=shares[1], test=shares[2]), rows)
    assert sum(sizes) == rows
    assert all(abs(size - share * rows) < 1 for size, share in zip(sizes, shares, strict=True))


def test_fresh_splits_take_no_rows():
    split = Split(train=8, dev=Fresh(fresh=512), test=Fresh(fresh=512), shuffle=False)
    assert parts(divide(split, numbers(8), seed=0)) == [list(range(8)), [], []]


def test_same_means_all_the_rows_three_times():
    assert parts(divide(Split(same=True), numbers(3), seed=0)) == [[0, 1, 2]] * 3


def test_a_column_names_the_split_of_each_row():
    data = Data(
        np.zeros((4, 1)), np.zeros((4, 1)), ("x",), ("y",), parts=np.array(["test", "train", "dev", "train"])
    )
    assert parts(divide(Split(column="part"), data, seed=0)) == [[1, 3], [2], [0]]


def test_a_resolved_split_is_still_valid():
    split = Split.model_validate(Split(column="part").model_dump())
    assert not list(split_problems(split, DatasetInfo(rows=4, inputs=1, classes=None)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=10, max_size=120), st.integers(0, 2**32 - 1), st.booleans())
def test_stratified_splits_keep_class_shares_within_a_row_and_exact_totals(classes, seed, shuffle):
    data = labelled(classes)
    split = Split(train=0.6, dev=0.2, test=0.2, stratify=True, shuffle=shuffle)
    indices = divide(split, data, seed=seed)
    sizes = split_sizes(split, len(classes))
    chosen = [getattr(indices, name) for name in SPLITS]
    assert tuple(len(rows) for rows in chosen) == sizes
    assert sorted(np.concatenate(chosen)) == list(range(len(classes)))
    for rows, size in zip(chosen, sizes, strict=True):
        for one in set(classes):
            share = classes.count(one) * size / len(classes)
            assert abs(int((data.targets[rows] == one).sum()) - share) < 1


def test_slices_are_those_of_scikit_learn():
    """Without shuffling, its train_test_split cuts the data in their order too."""
    indices = divide(Split(train=70, dev=20, test=13, shuffle=False), numbers(103), seed=0)
    train, rest = train_test_split(np.arange(103), train_size=70, shuffle=False)
    dev, test = train_test_split(rest, train_size=20, shuffle=False)
    assert parts(indices) == [list(train), list(dev), list(test)]


@pytest.mark.parametrize("seed", range(5))
def test_stratified_splits_have_as_many_of_each_class_as_scikit_learns(seed):
    classes = np.random.default_rng(seed).permutation([0] * 60 + [1] * 30 + [2] * 10)
    indices = divide(Split(train=80, dev=0, test=20, stratify=True), labelled(list(classes)), seed=seed)
    theirs = train_test_split(classes, train_size=80, test_size=20, stratify=classes, random_state=seed)
    for mine, other in zip((indices.train, indices.test), theirs, strict=True):
        assert np.bincount(classes[mine]).tolist() == np.bincount(other).tolist()


def test_stratified_counts_leave_unused_rows_of_every_class_in_proportion():
    indices = divide(Split(train=40, dev=10, test=10), labelled([0] * 80 + [1] * 40), seed=1)
    tally = [
        [int((rows < 80).sum()), int((rows >= 80).sum())]
        for rows in (indices.train, indices.dev, indices.test)
    ]
    assert tally[0] in ([27, 13], [26, 14])
    assert [sum(pair) for pair in tally] == [40, 10, 10]
    assert all(pair in ([6, 4], [7, 3]) for pair in tally[1:])


def test_stratified_rows_stand_in_the_drawn_order_not_class_by_class():
    data = labelled([0, 1] * 50)
    place = np.argsort(randomness.order(3, randomness.Purpose.SPLIT, 100))
    train = divide(Split(), data, seed=3).train
    assert list(place[train]) == sorted(place[train])
    assert len(set(data.targets[train[:10]])) == 2


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=30),
    st.lists(st.integers(0, 40), min_size=2, max_size=5),
)
def test_controlled_rounding_keeps_both_sums_and_rounds_each_cell_up_or_down(rows, columns):
    columns = [*columns, max(sum(rows) - sum(columns), 0)]
    rows = [*rows, sum(columns) - sum(rows)]
    table = controlled_rounding(np.array(rows), np.array(columns))
    assert list(table.sum(axis=1)) == rows
    assert list(table.sum(axis=0)) == columns
    assert (np.abs(table * sum(rows) - np.outer(rows, columns)) < max(sum(rows), 1)).all()


def test_controlled_rounding_takes_the_nearer_of_two_tables():
    # the shares are 7.2, 1.8 and 0.8, 0.2
    assert controlled_rounding(np.array([9, 1]), np.array([8, 2])).tolist() == [[7, 2], [1, 0]]


@pytest.mark.parametrize(
    ("given_shares", "rows", "expected"),
    [
        ({"train": 0.8, "dev": 0.2}, 10, (0.8, 0.2, 0)),
        ({"train": 0.8, "test": 0.2}, 10, (0.8, 0, 0.2)),
        ({"dev": 0.1, "test": 0.1}, 10, (0.8, 0.1, 0.1)),
        ({"dev": 3}, 10, (7, 3, 0)),
        ({"train": 6}, 10, (6, 0, 0)),
        ({}, 10, (0.6, 0.2, 0.2)),
        ({"shuffle": False}, 10, (0.6, 0.2, 0.2)),
    ],
)
def test_shares_that_are_not_named_follow_from_those_that_are(given_shares, rows, expected):
    split = resolve_sizes(Split(**given_shares), rows)
    assert (split.train, split.dev, split.test) == expected
    assert resolve_sizes(Split.model_validate(split.model_dump()), rows).model_dump() == split.model_dump()


def test_fresh_splits_leave_every_row_to_train():
    split = resolve_sizes(Split(dev=Fresh(fresh=5), test=Fresh(fresh=5)), 64)
    assert split.train == 64


@pytest.mark.parametrize(
    ("split", "field", "fragment"),
    [
        (Split(train=8, dev=2, test=2), "", "8 + 2 + 2 = 12 rows, but the data has 10"),
        (Split(train=0.5, dev=0.2, test=0.2), "", "sum to 0.9; expected 1"),
        (Split(train=0.8, dev=0.3, test=0.2), "", "sum to 1.3; expected 1"),
        (Split(train=8, dev=0.2, test=0), "", "train in rows but dev as a fraction"),
        (Split(train=0, dev=2, test=2), "train", "at least 1"),
        (Split(train=0.9, dev=0.04, test=0.06), "dev", "less than one row"),
        (Split(stratify=True), "stratify", "not classes"),
        (Split(same=True, train=5), "train", "beside same"),
        (Split(column="part", dev=5), "dev", "beside column"),
        (Split(column="part", same=True), "column", "beside same"),
    ],
)
def test_a_split_that_cannot_be_is_refused_with_what_would_work(split, field, fragment):
    ((option, message),) = split_problems(split, DatasetInfo(rows=10, inputs=1, classes=None))
    assert option == field
    assert fragment in message
    with pytest.raises(UsageError, match=r"dataset\.split"):
        divide(split, numbers(10), seed=0)


def test_what_a_dataset_cannot_offer_is_refused():
    info = DatasetInfo(rows=10, inputs=1, classes=None)
    fresh = Split(train=8, dev=Fresh(fresh=5), test=0)
    assert [option for option, _ in split_problems(fresh, info, can_draw_fresh=False)] == ["dev"]
    assert [option for option, _ in split_problems(Split(column="part"), info, has_columns=False)] == [
        "column"
    ]


@given(
    classes=st.lists(st.integers(0, 2), min_size=8, max_size=60),
    folds=st.integers(2, 6),
    shuffle=st.booleans(),
    stratify=st.booleans(),
)
@settings(max_examples=60)
def test_folds_test_on_every_row_once_and_keep_the_shares_of_the_rest(classes, folds, shuffle, stratify):
    data = labelled([*classes, 2])
    rows, tested = len(data.inputs), []
    for fold in range(1, folds + 1):
        split = Split(
            train=0.6, dev=0.2, test=0.2, folds=folds, fold=fold, shuffle=shuffle, stratify=stratify
        )
        train, dev, test = parts(divide(split, data, seed=3))
        assert sorted(train + dev + test) == list(range(rows))
        assert (len(train), len(dev), len(test)) == split_sizes(split, rows)
        assert abs(len(dev) - len(train + dev) / 4) < 1
        assert not shuffle or len(test) in (rows // folds, rows // folds + 1)
        if not (shuffle or stratify):
            assert test == list(range(rows))[sum(map(len, tested)) :][: len(test)]
        if stratify:
            for k in range(3):
                assert abs(sum(data.targets[test] == k) - sum(data.targets == k) * len(test) / rows) < 1
        tested.append(test)
    assert sorted(row for test in tested for row in test) == list(range(rows))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": 1}, "fold: has no meaning without folds"),
        ({"folds": 3}, "add fold: 1"),
        ({"folds": 3, "fold": 4}, "fold: there are 3 folds; expected 1 to 3"),
        ({"folds": 11, "fold": 1}, "10 rows cannot be divided into 11 folds"),
        ({"folds": 3, "fold": 1, "test": Fresh(fresh=3)}, "test: is not drawn anew where folds"),
        ({"folds": 3, "fold": 1, "same": True}, "folds: has no meaning beside same"),
    ],
)
def test_folds_that_make_no_sense_are_refused(options, message):
    found = split_problems(Split(**options), numbers(10).info)
    assert message in " and ".join(map(": ".join, found))


FRACTIONS = (0.01, 0.1, 0.3, 0.5, 0.99, 1.0)


@pytest.mark.parametrize("shuffle", [False, True])
def test_smaller_fractions_of_train_are_part_of_larger_ones_and_keep_the_classes(shuffle):
    data = labelled([0] * 150 + [1] * 50)
    split = Split(train=160, dev=20, test=20, shuffle=shuffle)
    whole = divide(split, data, seed=3)
    former: set[int] = set()
    for fraction in FRACTIONS:
        part = divide(split, data, seed=3, fraction=fraction)
        assert len(part.train) == max(1, round(160 * fraction)) == fraction_of(160, fraction)
        assert former <= set(part.train)
        former = set(part.train)
        assert [row for row in whole.train if row in former] == list(part.train)
        assert parts(part)[1:] == parts(whole)[1:]
        for label in (0, 1):
            share = fraction * (data.targets[whole.train] == label).sum()
            assert abs((data.targets[part.train] == label).sum() - share) <= 1
    assert parts(divide(split, data, seed=3, fraction=1.0)) == parts(whole)


def test_a_fraction_is_drawn_whatever_the_order_of_the_rows():
    split = Split(train=100, dev=0, test=0, shuffle=False)
    draws = [set(divide(split, numbers(100), seed=seed, fraction=0.2).train) for seed in (0, 1)]
    assert draws[0] != draws[1]
    assert all(max(one) > 50 for one in draws)
