import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlprun.errors import CheckpointError, DataError
from mlprun.experiment import preprocessing
from mlprun.experiment.fitting import fit
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.parts.data import Data

RANDOM = np.random.default_rng(5)
EVERY = np.arange(50)
TRAIN = np.arange(0, 50, 2)
COLOURS = ("blue", "green", "red", "white")


def numeric(inputs, targets=None) -> Data:
    inputs = np.asarray(inputs)
    targets = np.zeros((len(inputs), 1)) if targets is None else np.asarray(targets)
    names = tuple(f"x{k}" for k in range(inputs.shape[1]))
    missing = bool(np.isnan(inputs).any())
    return Data(inputs, targets, names, tuple(f"y{k}" for k in range(targets.shape[1])), imputed=missing)


def coloured(codes, categories=COLOURS) -> Data:
    codes = np.asarray(codes, float)
    inputs = np.stack([np.arange(len(codes), dtype=float), codes], axis=1)
    return Data(inputs, np.zeros((len(codes), 1)), ("size", "colour"), ("y",), categories=(None, categories))


def test_numbers_are_scaled_as_scikit_learn_scales_them():
    data = numeric(RANDOM.normal(3, 20, (50, 4)), RANDOM.normal(-7, 0.3, (50, 2)))
    fitted = fit(data, TRAIN, standardize=True)
    scaler = StandardScaler().fit(data.inputs[TRAIN])
    np.testing.assert_allclose(
        fitted.transform(data, EVERY, np.float64), scaler.transform(data.inputs), rtol=1e-12
    )
    scaler = StandardScaler().fit(data.targets[TRAIN])
    np.testing.assert_allclose(
        fitted.transform_targets(data, EVERY), scaler.transform(data.targets), rtol=1e-12
    )


def test_only_train_rows_teach():
    inputs = RANDOM.normal(size=(50, 2))
    changed = inputs.copy()
    changed[1::2] = 1e6
    assert fit(numeric(inputs), TRAIN, standardize=True) == fit(numeric(changed), TRAIN, standardize=True)


def test_missing_numbers_become_the_train_mean_before_scaling():
    inputs = RANDOM.normal(size=(50, 3))
    inputs[RANDOM.random((50, 3)) < 0.3] = np.nan
    data = numeric(inputs)
    imputer = SimpleImputer().fit(inputs[TRAIN])
    scaler = StandardScaler().fit(imputer.transform(inputs[TRAIN]))
    expected = scaler.transform(imputer.transform(inputs))
    got = fit(data, TRAIN, standardize=True).transform(data, EVERY, np.float64)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)
    plain = fit(data, TRAIN, standardize=False).transform(data, EVERY, np.float64)
    np.testing.assert_allclose(plain, imputer.transform(inputs), rtol=1e-12)


def test_a_number_missing_outside_train_only_becomes_the_mean_too():
    inputs = np.array([[1.0], [3.0], [np.nan]])
    data = Data(inputs, np.zeros((3, 1)), ("x",), ("y",), imputed=True)
    for standardize, expected in ((True, 0.0), (False, 2.0)):
        fitted = fit(data, np.array([0, 1]), standardize=standardize)
        assert fitted.imputed
        assert fitted.transform(data, np.array([2]), np.float64)[0, 0] == expected


def test_categories_become_columns_as_scikit_learn_makes_them():
    codes = RANDOM.integers(0, 4, 50).astype(float)
    codes[TRAIN[codes[TRAIN] == 3]] = 0  # white is never met in train
    codes[1] = 3
    data = coloured(codes)
    fitted = fit(data, TRAIN, standardize=False)
    names = np.array(COLOURS)[codes.astype(int)][:, None]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(names[TRAIN])
    got = fitted.transform(data, EVERY, np.float32)
    np.testing.assert_array_equal(got[:, 1:], encoder.transform(names))
    assert list(fitted.names) == ["size", "colour=blue", "colour=green", "colour=red"]
    assert fitted.width == got.shape[1] == 4
    assert not got[1, 1:].any()


def test_a_missing_category_becomes_the_most_frequent_one_and_the_first_among_equals():
    data = replace(coloured([2, 2, 1, 1, 0, np.nan]), imputed=True)
    fitted = fit(data, np.arange(6), standardize=True)
    filled = SimpleImputer(strategy="most_frequent").fit(np.array([[2.0, 2, 1, 1, 0]]).T)
    assert filled.statistics_[0] == 1
    assert list(fitted.transform(data, np.array([5]), np.float64)[0, 1:]) == [0, 1, 0]


def test_categories_of_other_rows_are_matched_by_name_not_by_index():
    fitted = fit(coloured([0, 1, 2, 3]), np.arange(4), standardize=False)
    other = coloured([0, 1, 2], ("red", "violet", "white"))
    got = fitted.transform(other, np.arange(3), np.float64)[:, 1:]
    assert got.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_one_hot_columns_are_not_scaled():
    data = coloured([0, 1, 1, 1])
    assert set(
        fit(data, np.arange(4), standardize=True).transform(data, np.arange(4), float)[:, 1:].ravel()
    ) == {0, 1}


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-300, 1e300, 1 / 3, 123456.789])
def test_a_constant_feature_becomes_exactly_zero(value):
    data = numeric(np.full((50, 1), value))
    assert not fit(data, TRAIN, standardize=True).transform(data, EVERY, np.float64).any()


def test_a_feature_that_varies_only_by_rounding_keeps_its_scale_as_in_scikit_learn():
    inputs = np.full((50, 1), 1e8)
    inputs[::4] = np.nextafter(1e8, 2e8)
    scale = fit(numeric(inputs), EVERY, standardize=True).input_units[1][0]
    assert scale == StandardScaler().fit(inputs).scale_[0] == 1.0


def test_targets_come_back_in_the_users_units():
    data = numeric(RANDOM.normal(size=(50, 1)), RANDOM.normal(5, 100, (50, 2)))
    fitted = fit(data, TRAIN, standardize=True)
    np.testing.assert_allclose(
        fitted.restore(fitted.transform_targets(data, EVERY)), data.targets, rtol=1e-13
    )
    untouched = fit(data, TRAIN, standardize=False)
    np.testing.assert_array_equal(untouched.restore(untouched.transform_targets(data, EVERY)), data.targets)


def test_class_ids_and_class_outputs_pass_as_they_are():
    data = Data(np.eye(3), np.array([2, 0, 1]), ("a", "b", "c"), ("y",), classes=("p", "q", "r"))
    fitted = fit(data, np.arange(3), standardize=True)
    assert fitted.transform_targets(data, np.array([0, 2])).tolist() == [2, 1]
    outputs = RANDOM.normal(size=(3, 3))
    np.testing.assert_array_equal(fitted.restore(outputs), outputs)
    assert fitted.classes == ("p", "q", "r")


def test_symbols_are_never_scaled_but_integers_that_are_numbers_can_be():
    data = numeric(np.array([[1, 2], [3, 4]]))
    rows = np.arange(2)
    fitted = fit(data, rows, standardize=True)
    assert fitted.symbols
    assert fitted.transform(data, rows, np.int64).tolist() == [[1, 2], [3, 4]]
    assert fitted.transform(data, rows, np.float32).dtype == np.float32
    numbers = fit(data, rows, standardize=True, symbols=False)
    assert numbers.transform(data, rows, np.float64).tolist() == [[-1, -1], [1, 1]]


def test_single_precision_is_rounded_once_from_double():
    inputs = RANDOM.normal(1000, 1, (50, 3)).astype(np.float32)
    data = numeric(inputs)
    fitted = fit(data, TRAIN, standardize=True)
    doubled = fitted.transform(numeric(inputs.astype(np.float64)), EVERY, np.float64)
    np.testing.assert_array_equal(fitted.transform(data, EVERY, np.float32), doubled.astype(np.float32))
    plain = fit(data, TRAIN, standardize=False).transform(data, EVERY, np.float32)
    np.testing.assert_array_equal(plain, inputs)


def test_blocks_do_not_show(monkeypatch):
    monkeypatch.setattr(preprocessing, "BLOCK_CELLS", 40)
    monkeypatch.setattr(preprocessing, "BLOCK_ROWS", 16)
    rows = 107
    inputs = RANDOM.normal(size=(rows, 2))
    data = numeric(inputs)
    fitted = fit(data, np.arange(rows), standardize=True)
    order = RANDOM.permutation(rows)
    np.testing.assert_allclose(
        fitted.transform(data, order, np.float64),
        StandardScaler().fit_transform(inputs)[order],
        rtol=1e-9,
        atol=1e-12,
    )


def test_no_rows_are_prepared_as_no_rows():
    data = numeric(np.eye(2), np.eye(2))
    fitted, none = fit(data, np.arange(2), standardize=True), np.arange(0)
    assert fitted.transform(data, none, np.float32).shape == (0, 2)
    assert fitted.transform_targets(data, none).shape == (0, 2)


VERSION_1 = {
    "classes": None,
    "columns": [
        {"categories": None, "fill": 2.0, "frequent": 0, "mean": 2.0, "name": "size", "scale": 0.5},
        {
            "categories": ["blue", "red"],
            "fill": None,
            "frequent": 1,
            "mean": 0.0,
            "name": "colour",
            "scale": 1.0,
        },
    ],
    "imputed": True,
    "symbols": False,
    "target_columns": [
        {"categories": None, "fill": None, "frequent": 0, "mean": 7.0, "name": "y", "scale": 2.0}
    ],
}


def test_the_records_of_checkpoints_of_version_1_become_operations():
    read = Preprocessing.from_json(VERSION_1)
    assert Preprocessing.from_json(read.to_json()) == read
    inputs = np.array([[3.0, 0], [np.nan, 1], [2.5, np.nan]])
    categories = (None, ("blue", "white"))
    data = Data(inputs, np.array([[9.0]] * 3), ("size", "colour"), ("y",), None, categories, imputed=True)
    rows = np.arange(3)
    assert read.transform(data, rows, float).tolist() == [[2, 1, 0], [0, 0, 0], [1, 0, 1]]
    assert read.transform_targets(data, rows).tolist() == [[1.0]] * 3
    assert read.names == ("size", "colour=blue", "colour=red")
    classes = Preprocessing.from_json({**VERSION_1, "classes": ["a", "b"]})
    assert (classes.classes, classes.imputed, classes.target_units[1]) == (
        ("a", "b"),
        {"size", "colour"},
        [1.0],
    )
    plain = [{**VERSION_1["columns"][0], "mean": 0.0, "scale": 1.0}]
    symbols = Preprocessing.from_json({**VERSION_1, "columns": plain, "symbols": True})
    assert (symbols.symbols, symbols.imputed) == (True, frozenset())


def test_raw_rows_are_left_as_they_were():
    inputs = RANDOM.normal(size=(50, 2))
    inputs[3, 1] = np.nan
    data = numeric(inputs.copy())
    fit(data, TRAIN, standardize=True).transform(data, EVERY, np.float64)
    np.testing.assert_array_equal(data.inputs, inputs)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (6, 2), elements=st.floats(-1e100, 1e100, allow_nan=False)))
def test_json_gives_back_the_same_preprocessing_to_the_bit(inputs):
    fitted = fit(numeric(inputs, inputs), np.arange(6), standardize=True)
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    assert again.input_operations[0].means[0].hex() == fitted.input_operations[0].means[0].hex()


def test_json_keeps_names_categories_and_classes():
    colours = coloured([0, 1, np.nan, 1])
    data = Data(
        colours.inputs, np.array([0, 1, 0, 1]), ("größe", "[/x]"), ("y",), ("a", "b"), colours.categories
    )
    fitted = fit(data, np.arange(4), standardize=True)
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    assert (again.input_names, again.target_names, again.classes) == (("größe", "[/x]"), ("y",), ("a", "b"))


@pytest.mark.parametrize(
    "damage",
    [
        {"inputs": 3},
        {"inputs": [{"name": "x"}]},
        {"inputs": [{"name": name, "type": "text"} for name in ("x0", "x1", "x2")]},
        {"inputs": [{"name": "x0"}] * 3},
        {"input_operations": [{"operation": "scale", "columns": ["x0"], "means": [0.0], "scales": [0.0]}]},
        {"input_operations": [{"operation": "scale", "columns": ["x0"], "means": [], "scales": []}]},
        {"input_operations": [{"operation": "one_hot", "columns": ["x0"], "categories": [["a"]]}]},
        {"input_operations": [{"operation": "impute", "columns": ["x0"], "values": ["a"]}]},
        {"input_operations": [{"operation": "other", "columns": ["x0"]}]},
        {"targets": [{"name": "y", "type": "text"}]},
        {"target_columns": [1]},
        {"unknown": 1},
        {"inputs": {1, 2}},
    ],
)
def test_damaged_json_is_a_checkpoint_error(damage):
    good = fit(numeric(np.eye(3)), np.arange(3), standardize=True).to_json()
    with pytest.raises(CheckpointError, match="damaged"):
        Preprocessing.from_json({**good, **damage})


def test_a_column_without_any_value_in_train_is_refused():
    inputs = np.array([[np.nan, 1.0], [np.nan, 2.0], [1.0, 3.0]])
    with pytest.raises(DataError, match="'x0' has no value in any train row"):
        fit(numeric(inputs), np.array([0, 1]), standardize=True)
    with pytest.raises(DataError, match="'colour' has no value"):
        fit(coloured([np.nan, np.nan, 1]), np.array([0, 1]), standardize=True)


def test_numbers_beyond_the_run_s_precision_are_refused_with_what_would_work():
    data = numeric(np.array([[1e300], [0.0]]))
    rows = np.arange(2)
    with pytest.raises(DataError, match=r"1e\+300, which float32 cannot hold.*float64"):
        fit(data, rows, standardize=False).transform(data, rows, np.float32)
    assert fit(data, rows, standardize=False).transform(data, rows, np.float64)[0, 0] == 1e300
    with pytest.raises(DataError, match="too large to add up"):
        fit(data, rows, standardize=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": ("q", "p")}, "its classes are now q, p; expected those of the training: p, q"),
        ({"target_names": ("z",)}, "its targets are now z"),
        ({"input_names": ("b", "a")}, "its inputs are now b, a"),
    ],
)
def test_rows_of_another_table_are_refused(changed, message):
    data = Data(np.eye(2), np.array([1, 0]), ("a", "b"), ("y",), classes=("p", "q"))
    fitted = fit(data, np.arange(2), standardize=True)
    other = replace(data, **changed)
    read = fitted.transform if "input_names" in changed else fitted.transform_targets
    options = (float,) if "input_names" in changed else ()
    with pytest.raises(DataError) as caught:
        read(other, np.arange(2), *options)
    assert message in str(caught.value)


def test_two_columns_of_one_name_are_refused():
    data = replace(numeric(np.eye(3)), input_names=("a", "b", "a"))
    with pytest.raises(DataError, match="two columns are called 'a'"):
        fit(data, np.arange(3), standardize=True)


def test_a_summary_writes_what_replaces_a_missing_date_as_a_date():
    day = (np.datetime64("2024-07-05") - np.datetime64("1970-01-01")).astype(int) + 0.5
    impute = {"operation": "impute", "columns": ["a", "b"], "values": [day, day]}
    columns = [{"name": "a", "type": "date"}, {"name": "b", "type": "number"}]
    parts = {"operation": "date_parts", "columns": ["a"], "first": [day]}
    operations = [impute, parts]
    made = Preprocessing.from_json({"inputs": columns, "targets": [], "input_operations": operations})
    steps = {name: steps for name, _, steps, _ in made.summaries()}
    assert steps == {
        "a": ("missing = 2024-07-05", "date parts, first 2024-07-05"),
        "b": ("missing = 1.991e+04",),
    }
