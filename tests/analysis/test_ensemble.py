"""The ensemble of a sweep: averaged predictions, beside those of its trials."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error

import mlprun.api as mlprun
from mlprun.analysis.ensemble import bootstrap
from mlprun.errors import UsageError
from mlprun.parts.metrics import Predictions, metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOONS: dict[str, Any] = {
    "dataset": {"name": "moons", "noise": 0.3, "seed": 3, "split": {"train": 40, "dev": 60, "test": 50}},
    "optimizer": {"name": "adam", "lr": 0.05},
    "training": {"epochs": 20},
}


def swept(folder: Path, base: dict[str, Any], **sections: Any) -> mlprun.Sweep:
    return mlprun.sweep({"name": "s", "base": base, "seeds": 3, **sections}, out=str(folder))


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory) -> mlprun.Sweep:
    """A sweep over two learning rates with three seeds, which share their rows."""
    return swept(tmp_path_factory.mktemp("moons"), MOONS, grid={"optimizer.lr": [0.05, 1e-6]})


def test_an_ensemble_averages_the_probabilities_of_its_trials(moons: mlprun.Sweep) -> None:
    ensemble = moons.ensemble()
    assert (ensemble.setting, ensemble.trials) == (1, (1, 2, 3))
    model = ensemble.models[0]
    rows = model.experiment.rows("test", epoch=0)
    outputs = [one.outputs(rows.inputs)[:, 0].astype(np.float64) for one in ensemble.models]
    together = np.mean(outputs, axis=0)
    found = ensemble.evaluate()["test"]
    assert found["accuracy"].ensemble == accuracy_score(rows.truth, together > 0.5)
    assert found["log_loss"].ensemble == pytest.approx(log_loss(rows.truth, together), rel=1e-6)
    single = [log_loss(rows.truth, one) for one in outputs]
    assert found["log_loss"].single == pytest.approx(np.mean(single), rel=1e-5)
    figures = [trial.figures["test_accuracy"] for trial in moons.trials[:3]]
    assert found["accuracy"].single == pytest.approx(np.mean(np.array(figures, np.float64)))
    for one in found.values():
        assert one.single_interval is not None
        assert one.ensemble_interval is not None
        assert one.single_interval.low <= one.single <= one.single_interval.high
        assert one.ensemble_interval.low < one.ensemble < one.ensemble_interval.high


def test_eval_and_predict_take_a_sweep(
    moons: mlprun.Sweep, tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    status, out, _ = call("eval", moons.path, "--json", "--setting", 2)
    said = json.loads(out)
    assert (status, said["setting"], said["trials"]) == (0, 2, [4, 5, 6])
    found = moons.ensemble(2).evaluate()
    assert said["ensemble"]["dev"]["accuracy"] == found["dev"]["accuracy"].ensemble
    assert said["splits"]["dev"]["accuracy"] == found["dev"]["accuracy"].single
    assert said["ensemble_interval"]["dev"]["accuracy"] == list(
        found["dev"]["accuracy"].ensemble_interval or ()
    )
    assert call("eval", moons.path, "--fail-under", "test_accuracy=1.01")[0] == 10
    table = tmp_path / "new.csv"
    table.write_text("id,x1,x2,class,p(inner)\n007,0.10,0.2,a,0\nb,1,-1,b,0\n")
    lines = call("predict", moons.path, table, "--keep", "id,x1", "--digits", 3)[1].splitlines()
    assert lines[0] == "id,x1,class,p(outer),p(inner),std_p(outer),std_p(inner)"
    assert lines[1].startswith("007,0.10,")
    head = call("predict", moons.path, table, "--keep", "class")[1].splitlines()[0]
    assert head.startswith("class,class_predicted,p(outer)")
    head = call("predict", moons.path, table, "--keep", "p(inner)")[1].splitlines()[0]
    assert head == "p(inner),class,p(outer),p(inner)_predicted,std_p(outer),std_p(inner)_predicted"
    ensemble = moons.ensemble()
    each = np.stack([model.predict(model.read_rows(str(table))).probabilities for model in ensemble.models])
    cells = np.array([[float(cell) for cell in line.split(",")[3:]] for line in lines[1:]])
    np.testing.assert_allclose(cells, np.hstack([each.mean(axis=0), each.std(axis=0, ddof=1)]), rtol=6e-3)


def test_intervals_of_single_trials_are_within_the_bounds_of_the_metric(tmp_path: Path) -> None:
    dataset = {**MOONS["dataset"], "noise": 0.1, "split": {"train": 40, "dev": 10, "test": 10}}
    sweep = swept(tmp_path, {**MOONS, "dataset": dataset, "training": {"epochs": 100}}, seeds=5)
    values = np.array([trial.figures["test_accuracy"] for trial in sweep.trials], np.float64)
    half = 2.776 * values.std(ddof=1) / np.sqrt(5)  # t of 4 degrees of freedom
    interval = sweep.ensemble().evaluate()["test"]["accuracy"].single_interval
    assert interval is not None
    assert values.mean() + half > 1
    assert interval == pytest.approx((values.mean() - half, 1), abs=1e-3)


def test_numbers_are_averaged_in_the_users_units(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.random(60)
    lines = [f"{one},{1000 * one + draw.normal()}" for one in x]
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *lines]) + "\n")
    dataset = {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "seed": 0}
    sweep = swept(tmp_path, {"dataset": dataset, "training": {"epochs": 5}})
    ensemble = sweep.ensemble()
    table = ensemble.predict_table(str(tmp_path / "t.csv"))
    assert table.columns == ("y", "std_y")
    each = [model.predict_table(str(tmp_path / "t.csv")).rows for model in ensemble.models]
    np.testing.assert_allclose([row[0] for row in table.rows], np.mean(each, axis=0)[:, 0])
    np.testing.assert_allclose([row[1] for row in table.rows], np.std(each, axis=0, ddof=1)[:, 0])
    data = ensemble.models[0].table(str(tmp_path / "t.csv"))
    expected = root_mean_squared_error(data.targets[:, 0], [row[0] for row in table.rows])
    assert ensemble.evaluate_data(data)["rmse"].ensemble == pytest.approx(expected)


def test_trials_with_other_splits_have_no_common_test_rows(tmp_path: Path) -> None:
    sweep = swept(tmp_path, {"dataset": "iris", "training": {"epochs": 1}}, seeds=2)
    with pytest.raises(UsageError, match=r"divide the rows differently.*set dataset\.seed"):
        sweep.ensemble().evaluate()


def test_a_setting_without_trials_and_a_run_with_a_setting_are_refused(
    moons: mlprun.Sweep, tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    status, _, said = call("eval", moons.path, "--setting", 9)
    assert (status, "setting 9 has no trial that finished" in said) == (2, True)
    status, _, said = call("eval", moons.path, "--baselines", "boosting")
    assert (status, "--baselines: is for a single run" in said) == (2, True)
    run = mlprun.train({**MOONS, "training": {"epochs": 1}}, out=str(tmp_path))
    assert "is not a sweep" in call("eval", run.path, "--setting", 1)[2]


def test_a_bootstrap_interval_is_that_of_the_mean() -> None:
    right = np.arange(400) % 4 != 0
    predicted = Predictions(right[:, None] * 1.0, np.ones(400, np.int64), ("a", "b"), probabilistic=True)
    found = bootstrap(metrics["accuracy"].model_validate({}), predicted)
    assert found is not None
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    np.testing.assert_allclose(found, [0.75 - half, 0.75 + half], atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threshold", "1.5"), "--threshold: 1.5 is no probability; give a number between 0 and 1"),
        (("--keep", "idd"), "has no column 'idd'; its columns are x1, x2"),
    ],
)
def test_impossible_options_of_predict_are_refused(
    options: tuple[str, str],
    message: str,
    moons: mlprun.Sweep,
    tmp_path: Path,
    call: Callable[..., tuple[int, str, str]],
) -> None:
    table = tmp_path / "new.csv"
    table.write_text("x1,x2\n0.1,0.2\n")
    status, _, said = call("predict", moons.path, table, *options)
    assert status in (2, 3)
    assert message in said


def test_a_threshold_of_predict_replaces_the_models(
    moons: mlprun.Sweep, tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    run = mlprun.train({**MOONS, "threshold": "f1"}, out=str(tmp_path))
    table = tmp_path / "new.csv"
    table.write_text("x1,x2\n" + "".join(f"{x / 9},{y / 9}\n" for x in range(-9, 18) for y in range(-5, 9)))
    for path in (run.path, moons.path):
        rows = [line.split(",") for line in call("predict", path, table, "--threshold", 0.8)[1].splitlines()]
        assert {row[0] for row in rows[1:]} == {"outer", "inner"}
        assert all((row[0] == "inner") == (float(row[2]) > 0.8) for row in rows[1:])
