"""The estimators against scikit-learn's own: its checks, its loss curves, its predictions, its tools."""

from __future__ import annotations

import doctest
import pickle
import signal
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from scipy.sparse import csr_matrix
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_moons, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.metrics import d2_pinball_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import mlprun.sklearn
from mlprun.errors import ConfigError, UsageError
from mlprun.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS, CLASSES = load_iris(return_X_y=True)
IRIS = StandardScaler().fit_transform(IRIS)
MOONS, ARCS = make_moons(150, noise=0.2, random_state=0)
ROWS, AMOUNTS = load_diabetes(return_X_y=True)
ROWS, AMOUNTS = ROWS * 20, AMOUNTS / 100
FEATURES, LABELS = make_multilabel_classification(90, 5, n_classes=3, random_state=0)
SEVERAL = np.column_stack([AMOUNTS, ROWS[:, 0], ROWS[:, 3]])
WEIGHTS = np.random.default_rng(0).uniform(0.1, 3, 150)
FITTED = ("loss_", "best_loss_", "n_iter_", "t_", "n_layers_", "n_outputs_")


def small(**options: Any) -> MLPClassifier:
    return MLPClassifier(**{"hidden_layer_sizes": (6,), "max_iter": 20, "random_state": 0, **options})


@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_scikit_learns_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


def test_examples_of_the_documentation_run() -> None:
    result = doctest.testmod(mlprun.sklearn)
    assert result.attempted > 10
    assert not result.failed


# --- the same numbers as scikit-learn's

CURVES: dict[str, tuple[type[Any], Any, Any, dict[str, Any]]] = {
    "two classes": (MLPClassifier, MOONS, ARCS, {"hidden_layer_sizes": (8, 4), "batch_size": 40}),
    "three classes": (MLPClassifier, IRIS, CLASSES, {"activation": "tanh", "alpha": 0.5, "batch_size": 64}),
    "labels": (MLPClassifier, FEATURES, LABELS, {"activation": "logistic", "batch_size": 25}),
    "sgd": (MLPClassifier, IRIS, CLASSES, {"solver": "sgd", "learning_rate_init": 0.1, "max_iter": 300}),
    "plain momentum": (MLPClassifier, MOONS, ARCS, {"solver": "sgd", "nesterovs_momentum": False}),
    "invscaling": (
        MLPClassifier,
        MOONS,
        ARCS,
        {"solver": "sgd", "learning_rate": "invscaling", "momentum": 0.0, "learning_rate_init": 0.5},
    ),
    "adaptive": (
        MLPClassifier,
        MOONS,
        ARCS,
        {"solver": "sgd", "learning_rate": "adaptive", "momentum": 0.0, "tol": 1e-2, "max_iter": 300},
    ),
    "early stopping": (MLPClassifier, MOONS, ARCS, {"early_stopping": True, "validation_fraction": 0.3}),
    "early stopping, labels": (MLPClassifier, FEATURES, LABELS, {"early_stopping": True, "tol": 0.01}),
    "numbers": (MLPRegressor, ROWS, AMOUNTS, {"batch_size": 64, "alpha": 3.0, "max_iter": 30}),
    "several numbers": (MLPRegressor, ROWS, SEVERAL, {"activation": "identity", "solver": "sgd"}),
    "poisson": (MLPRegressor, ROWS, AMOUNTS, {"loss": "poisson", "epsilon": 1e-3, "beta_1": 0.8}),
    "early stopping, numbers": (MLPRegressor, ROWS, AMOUNTS, {"early_stopping": True, "tol": 0.01}),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("name", CURVES)
def test_curves_and_parameters_are_those_of_scikit_learn(name: str, *, weighted: bool) -> None:
    """Several numbers are an exception: with weights, batches count by their rows or by their weights."""
    kind, rows, targets, options = CURVES[name]
    options = {"hidden_layer_sizes": (7,), "max_iter": 60, "random_state": 5, "shuffle": False, **options}
    if weighted and name in ("several numbers", "poisson"):
        options["batch_size"] = len(rows)
    weights = np.resize(WEIGHTS, len(rows)) if weighted else None
    reference = getattr(neural_network, kind.__name__)(**options).fit(rows, targets, sample_weight=weights)
    ours = kind(dtype="float64", **options).fit(rows, targets, sample_weight=weights)
    exact = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, **exact)
    for attribute in ("coefs_", "intercepts_"):
        pairs = zip(getattr(ours, attribute), getattr(reference, attribute), strict=True)
        for mine, theirs in pairs:
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-10)
    found, expected = ({name: getattr(one, name) or 0 for name in FITTED} for one in (ours, reference))
    assert found == pytest.approx(expected, rel=1e-10)
    assert ours.out_activation_ == reference.out_activation_
    if options.get("early_stopping"):
        np.testing.assert_allclose(ours.validation_scores_, reference.validation_scores_, rtol=1e-9)
        assert ours.best_validation_score_ == pytest.approx(reference.best_validation_score_)
    np.testing.assert_allclose(ours.predict(rows), reference.predict(rows), rtol=1e-7, atol=1e-9)
    assert ours.score(rows, targets) == pytest.approx(reference.score(rows, targets))
    if kind is MLPClassifier:
        found, expected = ours.predict_proba(rows), reference.predict_proba(rows)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(ours.predict_log_proba(rows), np.log(expected), rtol=1e-6, atol=1e-9)
        np.testing.assert_array_equal(ours.classes_, reference.classes_)


def test_a_warm_start_goes_on_as_in_scikit_learn() -> None:
    options = {"hidden_layer_sizes": (5,), "max_iter": 8, "random_state": 1, "shuffle": False}
    reference = neural_network.MLPClassifier(warm_start=True, **options)
    ours = MLPClassifier(warm_start=True, dtype="float64", **options)
    for _ in range(2):
        reference.fit(IRIS, CLASSES)
        ours.fit(IRIS, CLASSES)
    np.testing.assert_allclose(ours.loss_curve_, reference.loss_curve_, rtol=1e-10)
    assert (ours.n_iter_, ours.t_) == (8, 16 * len(IRIS))
    with pytest.raises(ValueError, match="same classes as in the previous call to fit"):
        ours.fit(IRIS, CLASSES > 0)
    with pytest.raises(ValueError, match="needs the layers of the previous call"):
        ours.set_params(hidden_layer_sizes=(4,)).fit(IRIS, CLASSES)


def test_class_weights_are_weights_of_rows() -> None:
    names, weights = np.array(["c", "a", "b"])[CLASSES[:120]], WEIGHTS[:120]
    by_class = {"a": 3.0, "b": 0.5}
    own = compute_sample_weight(by_class, names)
    expected = small().fit(IRIS[:120], names, own * weights).loss_curve_
    found = small(class_weight=by_class).fit(IRIS[:120], names, weights).loss_curve_
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    balanced = compute_sample_weight("balanced", names)
    expected = small().fit(IRIS[:120], names, balanced).loss_curve_
    found = small(class_weight="balanced").fit(IRIS[:120], names).loss_curve_
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found != small().fit(IRIS[:120], names).loss_curve_
    of_labels = [{0: 1.0, 1: 5.0}, {0: 2.0, 1: 1.0}, {0: 1.0, 1: 1.0}]
    expected = small().fit(FEATURES, LABELS, compute_sample_weight(of_labels, LABELS)).loss_curve_
    assert small(class_weight=of_labels).fit(FEATURES, LABELS).loss_curve_ == expected


# --- what scikit-learn's lack


def test_each_layer_has_its_own_activation_and_dropout() -> None:
    model = MLPClassifier((6, 5), ["tanh", {"name": "leaky_relu", "slope": 0.1}], random_state=0, max_iter=5)
    model.fit(IRIS, CLASSES)
    first, second = (IRIS @ model.coefs_[0] + model.intercepts_[0], None)
    second = np.tanh(first) @ model.coefs_[1] + model.intercepts_[1]
    logits = np.where(second > 0, second, 0.1 * second) @ model.coefs_[2] + model.intercepts_[2]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(IRIS), expected, rtol=1e-10)
    dropped = clone(model).set_params(dropout=[0.5, 0.0]).fit(IRIS, CLASSES)
    assert [layer["dropout"] for layer in dropped.config_["architecture"]["layers"]] == [0.5, 0.0]
    assert dropped.loss_curve_[0] != model.loss_curve_[0]


def test_quantiles_are_predicted_and_scored() -> None:
    levels = [0.1, 0.5, 0.9]
    model = MLPRegressor((8,), loss="quantile", quantiles=levels, learning_rate_init=0.02, random_state=0)
    model.fit(ROWS, AMOUNTS)
    predicted = model.predict(ROWS)
    assert predicted.shape == (len(ROWS), 3)
    assert (np.diff(predicted, axis=1) >= 0).all()
    shares = (AMOUNTS[:, None] <= predicted).mean(axis=0)
    np.testing.assert_allclose(shares, levels, atol=0.06)
    scores = [d2_pinball_score(AMOUNTS, predicted[:, k], alpha=level) for k, level in enumerate(levels)]
    assert model.score(ROWS, AMOUNTS) == pytest.approx(np.mean(scores))
    one = clone(model).set_params(quantiles=0.5, early_stopping=True, max_iter=10).fit(ROWS, AMOUNTS)
    assert one.predict(ROWS).shape == (len(ROWS),)
    assert max(one.validation_scores_) == one.best_validation_score_ < 0  # minus a loss


def test_config_is_merged_over_the_parameters() -> None:
    config = {
        "architecture": {"norm": "batch"},
        "optimizer": {"name": "adamw", "weight_decay": np.float64(0.2)},
        "schedule": "cosine",
        "loss": {"label_smoothing": 0.1},
        "training": {"seed": 7},
    }
    model = small(config=config, hidden_layer_sizes=(6, 4)).fit(IRIS, CLASSES)
    kept = model.config_
    assert kept["architecture"]["hidden"] == [6, 4]
    assert (kept["optimizer"]["name"], kept["optimizer"]["weight_decay"]) == ("adamw", 0.2)
    assert (kept["training"]["seed"], kept["training"]["epochs"], kept["engine"]) == (7, 20, "fused")
    assert kept["loss"] == {**kept["loss"], "name": "cross_entropy", "label_smoothing": 0.1}
    assert {name.partition(".")[2] for name in model.norms_} >= {"0.weight", "1.running_mean"}
    again = clone(model).fit(IRIS, CLASSES)
    np.testing.assert_array_equal(again.predict_proba(IRIS), model.predict_proba(IRIS))
    model.set_params(hidden_layer_sizes=(3,), config=None)
    np.testing.assert_array_equal(again.predict(IRIS), model.predict(IRIS))  # of the fit, not of parameters


def test_given_initial_values_replace_those_of_scikit_learn() -> None:
    values = {"layers.0.weight": [[0.5, -0.5], [0.1, 0.2]], "layers.0.bias": [0.0, 0.1],
              "layers.1.weight": [[0.3, 0.4]], "layers.1.bias": [0.0]}  # fmt: skip
    init = {"architecture": {"init": {"name": "values", "parameters": values}}}
    model = MLPClassifier((2,), max_iter=1, learning_rate_init=1e-9, config=init).fit(MOONS, ARCS)
    np.testing.assert_allclose(model.coefs_[0], np.transpose(values["layers.0.weight"]), atol=1e-8)


@pytest.mark.parametrize("engine", ["torch", "scratch"])
def test_other_engines_train_the_same(engine: str) -> None:
    fused = small(dtype="float64").fit(IRIS, CLASSES)
    other = small(dtype="float64", config={"engine": engine}).fit(IRIS, CLASSES)
    np.testing.assert_allclose(other.loss_curve_, fused.loss_curve_, rtol=1e-10)
    np.testing.assert_allclose(other.predict_proba(IRIS), fused.predict_proba(IRIS), rtol=1e-9)
    assert other.config_["engine"] == engine


def test_another_metric_can_be_the_validation_score() -> None:
    watched = {"metrics": ["f1"], "best": {"metric": "dev_f1"}}
    accuracy = small(early_stopping=True).fit(MOONS, ARCS)
    f1 = small(early_stopping=True, config=watched).fit(MOONS, ARCS)
    assert f1.validation_scores_ != accuracy.validation_scores_
    assert f1.best_validation_score_ == max(f1.validation_scores_)


# --- scikit-learn's tools


def test_a_search_in_threads_and_a_pipeline_work() -> None:
    grid = {
        "mlpclassifier__hidden_layer_sizes": [(4,), (4, 4)],
        "mlpclassifier__alpha": np.logspace(-3, 0, 2),
    }
    pipeline = make_pipeline(StandardScaler(), small(learning_rate_init=0.05))
    with parallel_config("threading"):
        search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(IRIS, CLASSES)
    alone = GridSearchCV(pipeline, grid, cv=3).fit(IRIS, CLASSES)
    scores = "mean_test_score"
    np.testing.assert_array_equal(search.cv_results_[scores], alone.cv_results_[scores])
    assert search.best_score_ > 0.8
    assert cross_val_score(
        MLPRegressor(hidden_layer_sizes=16, max_iter=50, random_state=0), ROWS, SEVERAL
    ).shape == (5,)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_fitted_estimators_can_be_stored(norm: str) -> None:
    skops = pytest.importorskip("skops.io")
    model = small(config={"architecture": {"norm": norm}}).fit(IRIS, CLASSES)
    expected = model.predict_proba(IRIS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(IRIS), expected)
    stored = skops.dumps(model)
    trusted = skops.get_untrusted_types(data=stored)
    assert trusted == ["mlprun.sklearn.MLPClassifier"]
    np.testing.assert_array_equal(skops.loads(stored, trusted=trusted).predict_proba(IRIS), expected)


def test_frames_are_read_and_their_names_checked() -> None:
    frames = pytest.importorskip("pandas")
    rows = frames.DataFrame(IRIS, columns=["a", "b", "c", "d"])
    model = small().fit(rows, CLASSES)
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(model.predict(rows), small().fit(IRIS, CLASSES).predict(IRIS))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(rows.rename(columns={"a": "z"}))


def test_torch_takes_arrays_that_cannot_be_written_to_without_a_warning() -> None:
    rows, amounts = ROWS[:40].copy(), AMOUNTS[:40].copy()
    for array in (rows, amounts):
        array.flags.writeable = False
    options: Any = {"dtype": "float64", "max_iter": 1, "tol": 0.0, "random_state": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = MLPRegressor(config={"engine": "torch"}, **options).fit(rows, amounts)
        predicted = model.predict(rows)
    assert {one.category for one in caught} == {ConvergenceWarning}
    np.testing.assert_array_equal(predicted, model.predict(ROWS[:40]))


def test_weights_below_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        small().fit(IRIS, CLASSES, np.full(len(IRIS), -1.0))


# --- data and parameters of every kind


@pytest.mark.parametrize(
    "classes",
    [
        CLASSES == 1,
        CLASSES.astype(float),
        np.array(["x", "y", "z"])[CLASSES],
        ["p" if c else "q" for c in CLASSES],
    ],
    ids=["bool", "float", "str", "list"],
)
def test_classes_of_any_type_are_predicted_as_they_are(classes: Any) -> None:
    model = small(learning_rate_init=0.1, max_iter=60).fit(IRIS, classes)
    predicted = model.predict(IRIS)
    assert predicted.dtype == np.asarray(classes).dtype
    assert (predicted == classes).mean() > 0.6
    assert model.predict_proba(IRIS).shape == (150, len(np.unique(classes)))


def test_rows_of_other_forms_are_the_same_rows() -> None:
    dense = small().fit(IRIS, CLASSES)
    sparse = small().fit(csr_matrix(IRIS), CLASSES)
    np.testing.assert_array_equal(sparse.predict_proba(csr_matrix(IRIS)), dense.predict_proba(IRIS))
    np.testing.assert_array_equal(
        small().fit(FEATURES, csr_matrix(LABELS)).predict(FEATURES),
        small().fit(FEATURES, LABELS).predict(FEATURES),
    )
    with pytest.warns(DataConversionWarning, match="column-vector"):
        column = small().fit(IRIS, CLASSES[:, None])
    assert column.loss_curve_ == dense.loss_curve_


def test_few_rows_and_one_class_suffice() -> None:
    assert small().fit(IRIS[:1], ["only"]).predict(IRIS[:2]).tolist() == ["only"] * 2
    one = small().fit(IRIS[:30], np.full(30, 4))
    assert one.predict_proba(IRIS[:2]).shape == (2, 1)
    assert MLPRegressor(max_iter=3).fit(ROWS[:1], AMOUNTS[:1]).predict(ROWS[:2]).shape == (2,)
    with pytest.raises(ValueError, match="validation set is too small"):
        small(early_stopping=True).fit(IRIS[:8], CLASSES[:8])


def test_a_random_state_decides_everything_that_is_drawn() -> None:
    def losses(state: Any) -> list[float]:
        return small(random_state=state, dropout=0.2, batch_size=20).fit(IRIS, CLASSES).loss_curve_

    assert losses(3) == losses(3) == losses(np.random.RandomState(3))
    shared = np.random.RandomState(3)
    assert losses(shared) != losses(shared)
    assert losses(None) != losses(None)


def test_float32_is_for_more_rows_than_a_batch() -> None:
    assert small(max_iter=1).fit(IRIS, CLASSES).coefs_[0].dtype == np.float64
    assert MLPRegressor(max_iter=1).fit(ROWS, AMOUNTS).coefs_[0].dtype == np.float32
    assert small(max_iter=1, dtype="float32").fit(IRIS, CLASSES).coefs_[0].dtype == np.float32


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"hidden_layer_sizes": (4, 0)}, ValueError, r"hidden_layer_sizes must be > 0, got \[4, 0\]"),
        ({"alpha": -1}, ValueError, "'alpha' parameter of MLPClassifier must be a float in the range"),
        ({"solver": "lbfgs"}, ValueError, "'solver' parameter of MLPClassifier"),
        ({"activation": ["relu", "tanh"]}, ValueError, "activation lists 2 values for 1 hidden layers"),
        (
            {"activation": ["rellu"]},
            ConfigError,
            "layers.0.activation: unknown activation 'rellu'; did you mean",
        ),
        ({"config": {"optimizer": {"momentun": 1}}}, ConfigError, "config: optimizer.momentun: unknown key"),
        ({"config": {"dataset": "moons"}}, UsageError, "config: dataset has no meaning in an estimator; use"),
        ({"config": {"loss": Exception}}, UsageError, "config: a type is not a config value"),
        ({"config": {"architecture": "rnn"}}, UsageError, "an estimator trains an mlp of numbers"),
        ({"config": {"loss": "focal"}}, UsageError, "no kernel for the loss focal; use engine: auto"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_used_are_one_line(
    options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        small(**options).fit(IRIS, CLASSES)
    assert "\n" not in str(raised.value)


def test_targets_that_a_loss_does_not_take_are_refused() -> None:
    with pytest.raises(UsageError, match="poisson_nll takes targets from 0 to inf, not -"):
        MLPRegressor(loss="poisson").fit(ROWS, AMOUNTS - 2)
    with pytest.raises(ConfigError, match="quantile takes 1 number per row, not 3"):
        MLPRegressor(loss="quantile").fit(ROWS, SEVERAL)
    with pytest.raises(UsageError, match="gives no probabilities; use predict"):
        small(config={"loss": "hinge"}).fit(IRIS, CLASSES).predict_proba(IRIS)


@pytest.mark.parametrize("name", ["labels", "early stopping", "poisson"])
def test_a_run_folder_holds_the_same_training(name: str, tmp_path: Any) -> None:
    kind, rows, targets, options = CURVES[name]
    model = kind(hidden_layer_sizes=(4,), max_iter=15, random_state=0, dropout=0.1).set_params(**options)
    model.set_params(batch_size=30, config={"architecture": {"norm": "layer"}})
    weights = np.resize(WEIGHTS, len(rows))
    expected = clone(model).fit(rows, targets, weights)
    model.set_params(run_dir=tmp_path).fit(rows, targets, weights)
    assert model.loss_curve_ == expected.loss_curve_
    assert (model.n_iter_, model.validation_scores_) == (expected.n_iter_, expected.validation_scores_)
    np.testing.assert_array_equal(model.predict(rows), expected.predict(rows))
    run = mlprun.load(model.run_)
    assert run.path.startswith(str(tmp_path))
    assert len(run.history["epoch"]) == model.n_iter_
    with pytest.raises(UsageError, match="run_dir: a run has no learning_rate='adaptive'"):
        model.set_params(solver="sgd", learning_rate="adaptive").fit(rows, targets)


# --- how training ends


def test_training_that_diverges_is_an_error() -> None:
    model = MLPRegressor(solver="sgd", learning_rate_init=1e8, random_state=0)
    with pytest.raises(ValueError, match=r"training diverged after epoch \d+; scale the inputs"):
        model.fit(ROWS, AMOUNTS)


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_training_warns_where_it_did_not_converge_and_says_what_it_does(capsys: Any) -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\) reached"):
        small(max_iter=3, verbose=True, early_stopping=True).fit(MOONS, ARCS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines[::2]] == ["Iteration 1", "Iteration 2", "Iteration 3"]
    assert all(line.startswith("Validation score: 0.") for line in lines[1::2])


def test_ctrl_c_keeps_the_epochs_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    observe = MLPClassifier._observe

    def interrupted(self: Any, epoch: int, *values: float) -> None:
        observe(self, epoch, *values)
        if epoch == 11:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(MLPClassifier, "_observe", interrupted)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = small(max_iter=500, n_iter_no_change=10).fit(IRIS, CLASSES)
    assert model.n_iter_ == len(model.loss_curve_) == 11
    assert model.predict(IRIS).shape == (150,)


SCRIPT = """
import os, sys
import numpy as np
from mlprun.sklearn import MLPClassifier

model = MLPClassifier(4, max_iter=2, tol=1e9, n_iter_no_change=1).fit(np.eye(4), [0, 1, 0, 1])
model.predict(np.eye(4))
print([name for name in ("torch", "numba", "polars", "matplotlib") if name in sys.modules], os.listdir())
"""


def test_a_fit_imports_no_other_libraries_and_writes_no_files(tmp_path: Any) -> None:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[] []\n", found.stderr
