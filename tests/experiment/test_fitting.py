"""Fitted operations of columns are those of scikit-learn, fitted on train rows only."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from mlprun.errors import DataError, UsageError
from mlprun.experiment import fitting
from mlprun.experiment.fitting import encoding_folds, fit
from mlprun.parts.data import Data
from mlprun.parts.datasets.table.column_options import ColumnOptions

RANDOM = np.random.default_rng(11)
ROWS = np.arange(200)
TRAIN = np.arange(0, 200, 2)
CITIES = ("Bern", "Lima", "Oslo", "Paris", "Rome", "Turin")


def numbers(values, **options) -> tuple[Data, dict[str, ColumnOptions]]:
    inputs = np.asarray(values, float)[:, None]
    return Data(inputs, RANDOM.normal(size=(len(inputs), 1)), ("x",), ("y",)), {"x": ColumnOptions(**options)}


def cities(targets=None, classes=None, **options) -> tuple[Data, dict[str, ColumnOptions]]:
    codes = np.minimum(RANDOM.geometric(0.4, 200) - 1, 5).astype(float)
    codes[TRAIN[codes[TRAIN] == 5]] = 0  # Turin is never met in train
    codes[1] = 5
    targets = RANDOM.normal(50, 20, (200, 1)) + 30 * codes[:, None] if targets is None else targets
    data = Data(codes[:, None], targets, ("city",), ("y",), classes, categories=(CITIES,))
    return data, {"city": ColumnOptions(**options)}


def texts(data: Data) -> np.ndarray:
    return np.array(CITIES, object)[data.inputs[:, 0].astype(int)][:, None]


def prepared(data, columns, *, standardize=False, rows=ROWS):
    fitted = fit(data, TRAIN, standardize=standardize, columns=columns)
    return fitted, fitted.transform(data, rows, np.float64)


@pytest.mark.parametrize(
    ("scale", "scaler"),
    [
        ("standard", StandardScaler()),
        ("robust", RobustScaler()),
        ("minmax", MinMaxScaler()),
        ("quantile", QuantileTransformer(n_quantiles=100)),
    ],
)
@pytest.mark.parametrize("ties", [False, True])
def test_numbers_are_scaled_as_scikit_learn_scales_them(scale, scaler, ties):
    values = RANDOM.lognormal(3, 1, 200)
    data, columns = numbers(np.round(values, -1) if ties else values, scale=scale)
    expected = scaler.fit(data.inputs[TRAIN]).transform(data.inputs)
    np.testing.assert_allclose(prepared(data, columns)[1], expected, rtol=1e-12, atol=1e-12)


def test_quantiles_and_logarithms_are_standardized_where_numbers_are():
    data, columns = numbers(RANDOM.lognormal(3, 1, 200), scale="log")
    expected = StandardScaler().fit(np.log1p(data.inputs[TRAIN])).transform(np.log1p(data.inputs))
    fitted, got = prepared(data, columns, standardize=True)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    assert fitted.names == ("x log1p",)
    means, scales = fitted.input_units
    np.testing.assert_allclose(got * scales + means, np.log1p(data.inputs), rtol=1e-12)
    np.testing.assert_array_equal(prepared(data, columns)[1], np.log1p(data.inputs))
    data, columns = numbers(data.inputs[:, 0], scale="quantile")
    ranks = QuantileTransformer(n_quantiles=100).fit(data.inputs[TRAIN]).transform(data.inputs)
    expected = StandardScaler().fit(ranks[TRAIN]).transform(ranks)
    np.testing.assert_allclose(prepared(data, columns, standardize=True)[1], expected, rtol=1e-12, atol=1e-12)


def test_many_numbers_have_two_hundred_quantiles():
    data, columns = numbers(RANDOM.normal(size=1000), scale="quantile")
    fitted = fit(data, np.arange(1000), standardize=False, columns=columns)
    expected = QuantileTransformer(n_quantiles=200).fit_transform(data.inputs)
    got = fitted.transform(data, np.arange(1000), np.float64)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("scale", "expected"), [("none", 5.0), ("standard", 0.0), ("robust", 0.0)])
def test_the_option_of_a_column_goes_before_standardize(scale, expected):
    data, columns = numbers(np.full(200, 5.0), scale=scale)
    assert (prepared(data, columns, standardize=scale == "none")[1] == expected).all()


@pytest.mark.parametrize("missing", ["mean", "median", "most_frequent", -7.5])
@pytest.mark.parametrize("standardize", [False, True])
def test_missing_numbers_are_imputed_as_scikit_learn_imputes_them(missing, standardize):
    values = np.round(RANDOM.normal(size=200), 1)
    values[RANDOM.random(200) < 0.3] = np.nan
    data, columns = numbers(values, missing=missing, indicator=True)
    constant = isinstance(missing, float)
    imputer = SimpleImputer(
        strategy="constant" if constant else missing,
        fill_value=missing if constant else None,
        add_indicator=True,
    ).fit(data.inputs[TRAIN])
    expected = imputer.transform(data.inputs)
    if standardize:
        expected[:, :1] = StandardScaler().fit(expected[TRAIN, :1]).transform(expected[:, :1])
    fitted, got = prepared(data, columns, standardize=standardize)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
    assert fitted.names == ("x", "x missing")
    assert fitted.imputed == {"x"}


def test_an_indicator_tells_of_missing_categories_and_a_constant_becomes_one():
    data, columns = cities(missing="nowhere", indicator=True)
    data.inputs[4:8, 0] = np.nan
    fitted, got = prepared(data, columns)
    assert fitted.names == (*(f"city={name}" for name in (*CITIES[:5], "nowhere")), "city missing")
    np.testing.assert_array_equal(got[:, 6:], MissingIndicator().fit_transform(data.inputs))
    np.testing.assert_array_equal(got[:, 5], got[:, 6])


@pytest.mark.parametrize("most", [2, 3, 4, 5, 6])
def test_rare_categories_become_one_input_as_in_scikit_learn(most):
    data, columns = cities(max_categories=most)
    encoder = OneHotEncoder(
        max_categories=most, handle_unknown="infrequent_if_exist", sparse_output=False
    ).fit(texts(data)[TRAIN])
    fitted, got = prepared(data, columns)
    np.testing.assert_array_equal(got, encoder.transform(texts(data)))
    assert ("city=other" in fitted.names) == (most <= 5)
    unseen = list(fitted.unseen(data, ROWS, "rows"))
    place = "'other'" if most <= 5 else "all zeros"
    count = int((data.inputs == 5).sum())
    assert len(unseen) == 1
    assert f"{count} of 200 rows hold" in unseen[0]
    assert unseen[0].endswith(f"not seen during training ('Turin'), encoded as {place}")


def test_a_category_called_other_is_not_that_of_rare_ones():
    data, columns = cities(max_categories=3)
    data = replace(data, categories=(("other", *CITIES[1:]),))
    fitted, _ = prepared(data, columns)
    assert fitted.names[-1] == "city=other categories"
    assert "city=other" in fitted.names


@pytest.mark.parametrize("most", [None, 3])
def test_positions_of_categories_are_those_of_scikit_learn(most):
    data, columns = cities(encode="ordinal", max_categories=most)
    encoder = OrdinalEncoder(max_categories=most, handle_unknown="use_encoded_value", unknown_value=-1).fit(
        texts(data)[TRAIN]
    )
    expected = encoder.transform(texts(data))
    if most is not None:
        expected[expected == -1] = most - 1  # scikit-learn leaves them out of the infrequent ones
    _, got = prepared(data, columns)
    np.testing.assert_array_equal(got, expected)
    _, scaled = prepared(data, columns, standardize=True)
    reference = StandardScaler().fit(expected[TRAIN]).transform(expected)
    np.testing.assert_allclose(scaled, reference, rtol=1e-12, atol=1e-12)


class Folds:
    """The folds of mlprun as scikit-learn takes them."""

    def __init__(self, folds):
        self.folds = folds

    def split(self, *_, **__):
        return [(np.flatnonzero(self.folds != k), np.flatnonzero(self.folds == k)) for k in range(5)]

    def get_n_splits(self, *_, **__):
        return 5


@pytest.mark.parametrize("task", ["numbers", "binary", "classes"])
def test_encodings_by_the_target_are_cross_fitted_as_in_scikit_learn(task):
    data, columns = cities(encode="target")
    if task != "numbers":
        cuts = [60] if task == "binary" else [50, 80]
        names = ("a", "b", "c")[: len(cuts) + 1]
        data = replace(data, targets=np.digitize(data.targets[:, 0], cuts), classes=names)
    truth = data.targets[TRAIN].ravel()
    folds = encoding_folds(data, TRAIN, seed=7)
    encoder = TargetEncoder(cv=Folds(folds))
    expected_train = encoder.fit_transform(texts(data)[TRAIN], truth)
    fitted, got = prepared(data, columns)
    np.testing.assert_allclose(got, encoder.transform(texts(data)), rtol=1e-12)
    assert len(fitted.names) == (3 if task == "classes" else 1)
    crossed = np.empty((len(TRAIN), fitted.width))
    for inside, preprocessing in fitting.cross_fitted(fitted, data, TRAIN, seed=7):
        crossed[inside] = preprocessing.transform(data, TRAIN[inside], np.float64)
    np.testing.assert_allclose(crossed, expected_train, rtol=1e-12)


def test_encodings_by_the_target_read_it_as_the_loss_does():
    data, columns = cities(encode="target")
    raw = prepared(data, columns)[1]
    fitted = fit(data, TRAIN, standardize=True, columns=columns)
    (mean,), (scale,) = fitted.target_units
    got = fitted.transform(data, ROWS, np.float64)
    np.testing.assert_allclose(got, (raw - mean) / scale, rtol=1e-12, atol=1e-12)
    assert fitted.names == ("city mean of y",)


def test_folds_have_equal_shares_of_each_class_and_come_from_the_seed():
    data, _ = cities()
    data = replace(data, targets=(ROWS % 4 == 0).astype(int), classes=("a", "b"))
    folds = encoding_folds(data, ROWS, seed=3)
    assert np.array_equal(np.bincount(folds[data.targets == 1]), [10] * 5)
    assert np.array_equal(np.bincount(folds), [40] * 5)
    assert np.array_equal(folds, encoding_folds(data, ROWS, seed=3))
    assert not np.array_equal(folds, encoding_folds(data, ROWS, seed=4))


def test_rows_of_a_group_are_in_one_fold():
    groups = RANDOM.integers(0, 30, 200)
    data = replace(cities()[0], groups=groups)
    folds = encoding_folds(data, TRAIN, seed=3)
    pairs = {(group, fold) for group, fold in zip(groups[TRAIN].tolist(), folds.tolist(), strict=True)}
    assert len(pairs) == len({group for group, _ in pairs})
    assert np.bincount([fold for _, fold in pairs]).tolist() == [
        len(pairs) // 5 + (k < len(pairs) % 5) for k in range(5)
    ]
    assert not np.array_equal(folds, encoding_folds(data, TRAIN, seed=4))


def test_dates_become_their_parts():
    days = np.arange("2023-11-30", "2024-12-05", dtype="datetime64[D]")
    data = replace(numbers(days.astype(float) + 0.25)[0], dates=("x",))
    every = np.arange(len(days))
    fitted = fit(data, every, standardize=False)
    got = dict(zip(fitted.names, fitted.transform(data, every, np.float64).T, strict=True))
    for row, day in enumerate(days.tolist()):
        of_year = day.timetuple().tm_yday
        assert got["x year"][row] == day.year
        assert got["x days"][row] == row + 0.25
        for part, turn in (
            ("month", (day.month - 1) / 12),
            ("weekday", day.weekday() / 7),
            ("day of year", (of_year - 1) / 365.25),
        ):
            assert got[f"x {part} sin"][row] == pytest.approx(np.sin(2 * np.pi * turn), abs=1e-12)
            assert got[f"x {part} cos"][row] == pytest.approx(np.cos(2 * np.pi * turn), abs=1e-12)
    scaled = fit(data, every, standardize=True).transform(data, every, np.float64)
    for k in (0, 7):
        assert scaled[:, k].mean() == pytest.approx(0, abs=1e-9)
        assert scaled[:, k].std() == pytest.approx(1)
    np.testing.assert_array_equal(scaled[:, 1], got["x month sin"])


@pytest.mark.parametrize(
    ("transform", "forward"),
    [("log", np.log), ("log1p", np.log1p), ("sqrt", np.sqrt), ("quantile", None)],
)
@pytest.mark.parametrize("standardize", [False, True])
def test_transformed_targets_come_back_in_the_users_units(transform, forward, standardize):
    data = replace(
        numbers(np.zeros(200))[0], targets=RANDOM.lognormal(3, 1, (200, 2)), target_names=("a", "b")
    )
    fitted = fit(data, TRAIN, standardize=standardize, target_transform=transform)
    if forward is None:
        forward = QuantileTransformer(n_quantiles=100).fit(data.targets[TRAIN]).transform
    expected = forward(data.targets)
    if standardize:
        expected = StandardScaler().fit(expected[TRAIN]).transform(expected)
    got = fitted.transform_targets(data, ROWS)
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)
    low, high = data.targets[TRAIN].min(axis=0), data.targets[TRAIN].max(axis=0)
    clipped = np.clip(data.targets, low, high) if transform == "quantile" else data.targets
    np.testing.assert_allclose(fitted.restore(got), clipped, rtol=1e-10)
    assert not fitted.has_linear_targets
    assert fitted.target_labels == (f"a {transform}", f"b {transform}")


def test_a_negative_root_is_a_prediction_of_zero():
    data = replace(numbers(np.zeros(200))[0], targets=RANDOM.random((200, 1)))
    fitted = fit(data, TRAIN, standardize=False, target_transform="sqrt")
    assert fitted.restore(np.array([[-2.0], [3.0]])).tolist() == [[0.0], [9.0]]


@pytest.mark.parametrize(
    ("transform", "value", "message"),
    [
        (
            "log",
            0.0,
            "column 'y': is 0, and log takes numbers above 0; set dataset.target_transform to log1p",
        ),
        ("log1p", -1.5, "is -1.5, and log1p takes numbers above -1"),
        ("sqrt", -0.5, "is -0.5, and sqrt takes numbers from 0"),
    ],
)
def test_targets_outside_the_domain_of_a_transform_are_refused(transform, value, message):
    targets = np.ones((200, 1))
    targets[[4, 5]] = value
    data = replace(numbers(np.zeros(200))[0], targets=targets)
    with pytest.raises(DataError) as caught:
        fit(data, TRAIN, standardize=True, target_transform=transform)
    assert message in str(caught.value)
    dev_only = replace(data, targets=np.where(np.arange(200)[:, None] == 5, value, 1.0))
    fitted = fit(dev_only, TRAIN, standardize=True, target_transform=transform)
    with pytest.raises(DataError, match=f"{transform} is not defined for; expected numbers"):
        fitted.transform_targets(dev_only, ROWS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encode": "onehot"}, "dataset.columns.x.encode: is for categories, and the column has numbers"),
        ({"max_categories": 3}, "dataset.columns.x.max_categories: is for categories"),
        (
            {"indicator": True},
            "dataset.columns.x.indicator: marks missing cells, which are refused; set missing",
        ),
        (
            {"missing": "none"},
            "dataset.columns.x.missing: is 'none', and the column has numbers; give a number",
        ),
    ],
)
def test_options_that_do_not_fit_a_column_of_numbers_are_refused(options, message):
    data, columns = numbers(np.arange(200.0), **options)
    with pytest.raises(UsageError) as caught:
        fit(data, TRAIN, standardize=True, columns=columns)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "robust"}, "dataset.columns.city.scale: is for numbers, and the column has categories"),
        ({"missing": "median"}, "dataset.columns.city.missing: is median, and the column has categories"),
    ],
)
def test_options_that_do_not_fit_a_column_of_categories_are_refused(options, message):
    data, columns = cities(**options)
    with pytest.raises(UsageError) as caught:
        fit(data, TRAIN, standardize=True, columns=columns)
    assert message in str(caught.value)


def test_logarithms_of_numbers_below_minus_one_are_refused():
    data, columns = numbers(np.arange(200.0) - 3, scale="log")
    with pytest.raises(
        DataError, match=r"column 'x': is -3, and log1p takes numbers above -1; set its scale"
    ):
        fit(data, TRAIN, standardize=True, columns=columns)


def test_a_column_with_the_name_of_an_indicator_is_refused():
    data, columns = numbers(np.arange(200.0), missing="mean", indicator=True)
    twice = np.repeat(data.inputs, 2, axis=1)
    with pytest.raises(DataError, match="rename it"):
        fit(
            replace(data, inputs=twice, input_names=("x", "x missing")),
            TRAIN,
            standardize=True,
            columns=columns,
        )


def test_only_train_rows_are_fitted():
    options = {"scale": "quantile", "missing": "median", "indicator": True}
    values = RANDOM.normal(size=200)
    changed = np.where(ROWS % 2, 1e6, values)
    one, other = (
        fit(data, TRAIN, standardize=True, columns=columns)
        for data, columns in (numbers(values, **options), numbers(changed, **options))
    )
    assert one.input_operations == other.input_operations
