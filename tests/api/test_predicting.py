"""Predictions and metrics of a run for frames, arrays, lists and files, compared with its torch module."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import accuracy_score, mean_squared_error

import mlprun
from mlprun.errors import DataError, UsageError

ROWS = 80
CONFIG = {"architecture": {"hidden": [4]}, "training": {"epochs": 30}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def flowers(tmp_path_factory):
    """A run with three classes, whose inputs are standardized, and its rows."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(5, 2, size=(ROWS, 2))
    names = np.array(["rose", "iris", "lily"])[np.digitize(inputs[:, 0], [4, 6])]
    frame = pl.DataFrame({"length": inputs[:, 0], "width": inputs[:, 1], "flower": names})
    out = str(tmp_path_factory.mktemp("flowers"))
    return mlprun.train({**CONFIG, "dataset": {"target": "flower"}}, data=frame, out=out), frame


def outputs(run, inputs):
    """What the plain module gives for raw inputs, standardized by the train rows."""
    data, indices = run.best.config.dataset.divided()
    train = data.inputs[indices.train]
    scaled = (inputs - train.mean(axis=0)) / train.std(axis=0)
    with torch.no_grad():
        return run.model(torch.tensor(scaled, dtype=torch.float32))


def forms(frame):
    """The same rows in every form that is taken."""
    columns = frame[["length", "width"]]
    columns.write_csv("rows.csv")
    columns.write_parquet("rows.parquet")
    yield from (frame, columns, columns.to_numpy(), columns.to_numpy().tolist(), columns.to_dicts())
    yield from ("rows.csv", Path("rows.parquet"), columns[["width", "length"]])


def test_every_form_of_rows_gives_class_names(flowers):
    run, frame = flowers
    expected = outputs(run, frame[["length", "width"]].to_numpy()).numpy()
    assert list(run.classes) == ["iris", "lily", "rose"]
    for rows in forms(frame):
        predicted = run.predict(rows)
        assert predicted.shape == (ROWS,)
        assert predicted.tolist() == [["iris", "lily", "rose"][k] for k in expected.argmax(1)]
        np.testing.assert_allclose(run.predict_proba(rows), expected, rtol=1e-5, atol=1e-7)
    pandas = pytest.importorskip("pandas")
    assert (run.predict(pandas.DataFrame(frame.to_dict(as_series=False))) == predicted).all()


def test_metrics_are_those_of_scikit_learn(flowers):
    run, frame = flowers
    inputs, names = frame[["length", "width"]], frame["flower"]
    expected = accuracy_score(names, run.predict(inputs))
    frame.write_csv("new.csv")
    given = [
        (frame,),
        (inputs, names),
        (inputs.to_numpy(), names.to_list()),
        (frame.to_dicts(),),
        ("new.csv",),
    ]
    for rows in given:
        found = run.evaluate(*rows)
        assert found["accuracy"] == expected
        assert found == run.evaluate(frame)
    test = run.best.experiment.config.dataset.divided()[1].test
    assert run.evaluate(frame[test]) == pytest.approx(run.metrics["best"]["splits"]["test"])


@pytest.mark.parametrize(
    ("classes", "kind"),
    [([0, 1], "i"), ([-1, 7], "i"), ([0.5, 1.5], "f"), ([False, True], "b"), (["01", "x"], "U")],
)
def test_classes_are_predicted_as_they_were_given(classes, kind):
    inputs = np.random.default_rng(0).normal(size=(ROWS, 1))
    targets = np.array(classes)[(inputs[:, 0] > 0).astype(int)]
    run = mlprun.train({**CONFIG, "dataset": {"task": "classes"}}, data=(inputs, targets))
    predicted = run.predict(inputs)
    assert predicted.dtype.kind == kind
    assert run.classes.tolist() == classes
    assert (predicted == targets).mean() > 0.9
    assert (run.predict_proba(inputs).argmax(1) == (predicted == classes[1])).all()


def test_numbers_are_in_the_units_of_the_targets():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(ROWS, 2))
    targets = 1000 + 50 * inputs[:, 0]
    run = mlprun.train({**CONFIG, "loss": "mse", "metrics": ["mse"]}, data=(inputs, targets))
    predicted = run.predict(inputs)
    assert predicted.shape == (ROWS,)
    assert abs(predicted - targets).mean() < 20
    assert run.evaluate(inputs, targets)["mse"] == pytest.approx(mean_squared_error(targets, predicted))
    with pytest.raises(UsageError, match="loss mse, it gives no probabilities"):
        run.predict_proba(inputs)
    several = mlprun.train(CONFIG, data=(inputs, np.stack([targets, -targets], axis=1)))
    assert several.predict(inputs).shape == (ROWS, 2)
    assert set(several.evaluate(inputs, np.stack([targets, -targets], axis=1))) >= {"loss", "r2"}


def test_quantiles_and_labels_have_a_column_each():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(ROWS, 2))
    loss = {"name": "quantile", "quantiles": [0.1, 0.5, 0.9]}
    run = mlprun.train({**CONFIG, "loss": loss}, data=(inputs, inputs.sum(axis=1)))
    quantiles = run.predict(inputs)
    assert quantiles.shape == (ROWS, 3)
    assert (np.diff(quantiles) >= 0).all()
    labels = inputs > 0
    run = mlprun.train({**CONFIG, "loss": "bce", "optimizer": {"lr": 2.0}}, data=(inputs, labels))
    predicted, probabilities = run.predict(inputs), run.predict_proba(inputs)
    assert predicted.shape == probabilities.shape == (ROWS, 2)
    assert (predicted == (probabilities > 0.5)).all()
    assert (predicted == labels).mean() > 0.9


def test_a_chosen_threshold_decides_and_probabilities_stay():
    inputs = np.random.default_rng(0).normal(size=(ROWS, 1))
    targets = (inputs[:, 0] > 0).astype(int)
    run = mlprun.train({**CONFIG, "threshold": 0.9, "loss": "bce"}, data=(inputs, targets))
    assert (run.predict(inputs) == (run.predict_proba(inputs)[:, 1] > 0.9)).all()


def test_rows_that_do_not_fit_are_refused_in_one_line(flowers):
    run, frame = flowers
    remedy = "expected 2: length, width"
    inputs = frame[["length", "width"]]
    for rows, y, message in (
        (np.ones((3, 1)), None, f"data: has 1 column; {remedy}"),
        (np.ones((3, 3)), None, f"data: has 3 columns; {remedy}"),
        (frame[["length"]], None, "data: has no column 'width'; the model was trained on length, width"),
        ([{"length": 1.0, "width": "x"}], None, "data:row 1: column 'width' is 'x'; expected a number"),
        (inputs, ["rose"] * 3, "data: has 80 rows, and there are 3 targets; give one target for each row"),
        (inputs[:1], ["oak"], "data:row 1: column 'flower' is 'oak'; the model knows iris, lily, rose"),
    ):
        with pytest.raises(DataError) as caught:
            run.predict(rows) if y is None else run.evaluate(rows, y)
        assert str(caught.value).startswith(message)
    with pytest.raises(DataError, match="has no column 'flower'"):
        run.evaluate(inputs)
    with pytest.raises(UsageError, match="leave it out"):
        run.evaluate("rows.csv", [1])


def test_categories_that_training_did_not_meet_give_a_warning():
    frame = pl.DataFrame({"city": ["Bern", "Rome"] * 20, "rich": ["no", "yes"] * 20})
    run = mlprun.train({**CONFIG, "dataset": {"target": "rich"}}, data=frame)
    with pytest.warns(UserWarning, match="Oslo"):
        assert run.predict([{"city": "Oslo"}]).shape == (1,)
