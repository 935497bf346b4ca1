"""What is chosen on dev when training has ended: a threshold and a temperature, stored and applied."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.metrics import f1_score, log_loss

import mlprun.api as mlprun
from mlprun import figures
from mlprun.errors import CheckpointError, ConfigError
from mlprun.evaluation.decision import Decision, best_threshold, temperature
from mlprun.figures import RunData
from mlprun.figures.chart import HeatMap, Region
from mlprun.figures.regions import SHADES
from mlprun.parts.metrics import Predictions
from mlprun.schema.model import ThresholdChoice
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGS = Path(__file__).parents[2] / "configs"
CONFIG: dict[str, Any] = {
    "name": "run",
    "dataset": {"name": "moons", "noise": 0.4, "split": {"train": 60, "dev": 200, "test": 100}},
    "architecture": {"hidden": [16]},
    "optimizer": {"name": "adam", "lr": 0.05},
    "training": {"epochs": 60},
    "metrics": ["accuracy", "f1", "log_loss", "ece"],
}


def train(folder: Path, **sections: Any) -> mlprun.Run:
    return mlprun.train({**CONFIG, **sections}, out=str(folder))


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> mlprun.Run:
    """A run with a threshold by F1 and a temperature."""
    return train(tmp_path_factory.mktemp("decided"), threshold="f1", calibrate="temperature")


def test_a_temperature_has_the_smallest_loss_on_dev() -> None:
    draw = np.random.default_rng(0)
    for outputs in (1, 3):
        logits = 4 * draw.normal(size=(300, outputs))
        both = np.hstack([np.zeros((300, 1)), logits]) if outputs == 1 else logits
        targets = np.array([draw.choice(len(row), p=special.softmax(row / 2.5)) for row in both])
        found = temperature(logits, targets)

        def loss(factor: float, both: Any = both, targets: Any = targets) -> float:
            return float(log_loss(targets, special.softmax(both / factor, axis=1)))

        least = optimize.minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9})
        assert found == pytest.approx(least.x, rel=1e-5)


def test_a_temperature_of_separable_rows_stays_within_its_bounds() -> None:
    assert temperature(np.array([[-1.0], [1.0]]), np.array([0, 1])) == pytest.approx(0.05)
    assert temperature(np.array([[-1.0], [1.0]]), np.array([1, 0])) == pytest.approx(20)


class Asked:
    """A config with nothing but its threshold."""

    def __init__(self, **choice: Any) -> None:
        self.threshold = ThresholdChoice.model_validate(choice)


@pytest.mark.parametrize("columns", [1, 2])
def test_a_threshold_is_the_best_on_the_rows(columns: int) -> None:
    draw = np.random.default_rng(1)
    scores = draw.random(80)
    targets = (draw.random(80) < scores**2).astype(np.int64)
    outputs = np.stack([1 - scores, scores], axis=1)[:, -columns:]
    predicted = Predictions(outputs, targets, ("no", "yes"), probabilistic=True)
    chosen = best_threshold(Asked(metric={"name": "f1"}), predicted)  # type: ignore[arg-type]
    assert chosen is not None
    best = max(f1_score(targets, scores > one) for one in scores)
    assert f1_score(targets, scores > chosen) == best > f1_score(targets, scores > 0.5)
    costs = np.array([[0, 1], [5, 0]])
    cheapest = best_threshold(Asked(costs=((0.0, 1.0), (5.0, 0.0))), predicted)  # type: ignore[arg-type]
    assert cheapest is not None
    cost = {one: costs[targets, (scores > one).astype(int)].sum() for one in [*scores, cheapest]}
    assert cost[cheapest] == min(cost.values())


def test_a_threshold_of_labels_is_the_best_of_all_on_the_rows() -> None:
    draw = np.random.default_rng(1)
    scores = draw.random((60, 3))
    targets = (draw.random((60, 3)) < scores**2).astype(np.float64)
    predicted = Predictions(scores, targets, None, probabilistic=True, multilabel=True)
    values = np.unique(scores)
    between = (values[1:] + values[:-1]) / 2
    chosen = best_threshold(Asked(metric={"name": "f1"}), predicted)  # type: ignore[arg-type]
    best = max(f1_score(targets, scores > one, average="macro") for one in between)
    assert f1_score(targets, scores > chosen, average="macro") == pytest.approx(best)
    costs = np.array([[0, 1], [5, 0]])
    cheapest = best_threshold(Asked(costs=((0.0, 1.0), (5.0, 0.0))), predicted)  # type: ignore[arg-type]
    cost = {one: costs[targets.astype(int), (scores > one).astype(int)].sum() for one in [*between, cheapest]}
    assert cheapest is not None
    assert cost[cheapest] == min(cost.values())


def dishes(**sections: Any) -> dict[str, Any]:
    """The example of labels, trained for a moment."""
    target = ["vegan", "sweet", "hot", "balanced"]
    dataset = {"name": "table", "path": str(CONFIGS / "data/dishes.csv"), "target": target}
    return {**CONFIG, "dataset": dataset, "loss": "bce", "metrics": ["f1"], **sections}


def test_labels_are_predicted_above_the_threshold(
    tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    run = mlprun.train(dishes(threshold={"metric": "f1"}), out=str(tmp_path))
    assert run.best.decision is not None
    threshold = run.best.decision.threshold
    assert threshold is not None
    assert threshold != 0.5
    rows = run.best.experiment.rows("test", epoch=0)
    outputs = run.best.outputs(rows.inputs)
    found = run.best.evaluate()["test"]["f1"]
    assert found == pytest.approx(f1_score(rows.truth, outputs > threshold, average="macro"))
    assert f"threshold: {threshold:.4g}, chosen on dev" in call("show", run.path)[1]
    table = csv.reader(io.StringIO(call("predict", run.path, CONFIGS / "data/dishes.csv")[1]))
    cells = np.array(list(table)[1:], np.float64)
    np.testing.assert_array_equal(cells[:, :4], cells[:, 4:] > threshold)
    code, _, err = call("export", run.path, "--to", "numpy", "--out", tmp_path / "model.py")
    assert code == 0, err  # once its answers are those of predict
    fixed = mlprun.train(dishes(threshold=0.3), out=str(tmp_path))
    rows = fixed.best.experiment.rows("dev", epoch=0)
    expected = f1_score(rows.truth, fixed.best.outputs(rows.inputs) > 0.3, average="macro")
    assert fixed.history["dev_f1"][fixed.best.epoch - 1] == pytest.approx(expected)
    for metric, message in (("accuracy", "accuracy does not depend"), ("roc_auc", "use f1, label_accuracy")):
        with pytest.raises(ConfigError, match=message):
            mlprun.load_config(dishes(threshold={"metric": metric}))


def test_of_more_classes_the_one_of_the_smallest_expected_cost_is_predicted(
    tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    costs = [[0, 1, 9], [1, 0, 9], [0.5, 1, 0]]
    sections = {"threshold": {"costs": costs}, "loss": "cross_entropy", "metrics": ["accuracy", "f1"]}
    dataset = {"name": "blobs", "cluster_std": 4.0, "split": {"train": 60, "dev": 40, "test": 90}}
    training = {"epochs": 9, "dtype": "float64"}
    config = {**CONFIG, **sections, "dataset": dataset, "training": training}
    run = mlprun.train(config, out=str(tmp_path))
    assert run.best.decision is None
    for engine in ("torch", "scratch"):
        other = mlprun.train({**config, "engine": engine}, out=str(tmp_path))
        np.testing.assert_allclose(other.history["dev_f1"], run.history["dev_f1"], rtol=1e-9)
    rows = run.best.experiment.rows("test", epoch=0)
    outputs = run.best.outputs(rows.inputs)
    expected = np.array([min(range(3), key=lambda k: one @ np.array(costs)[:, k]) for one in outputs])
    assert (expected != outputs.argmax(axis=1)).any()
    values = run.best.evaluate()["test"]
    assert values["accuracy"] == np.mean(expected == rows.truth)
    assert values["f1"] == pytest.approx(f1_score(rows.truth, expected, average="macro"))
    table = tmp_path / "new.csv"
    inputs = run.best.experiment.raw_rows("test", epoch=0).inputs
    np.savetxt(table, inputs, delimiter=",", header="x1,x2", comments="")
    lines = list(csv.reader(io.StringIO(call("predict", run.path, table)[1])))[1:]
    assert [line[0] for line in lines] == [run.best.preprocessing.classes[k] for k in expected]  # type: ignore[index]
    code, _, err = call("export", run.path, "--to", "numpy", "--out", tmp_path / "model.py")
    assert (code, err.count("\n")) == (2, 1)
    assert "predicts the class of the smallest expected cost (threshold.costs), which no format" in err
    assert "costs:" in call("show", run.path)[1]
    assert not list(tmp_path.glob("model.py"))
    data = RunData.of(run.folder)
    chart = figures.make(figures.run_figures, "regions", {}).compute(data)
    (cells,), region = chart.marks(HeatMap), chart.marks(Region)[0]
    size = len(cells.values)
    left, right, bottom, top = region.extent
    places = np.stack(
        np.meshgrid(np.linspace(left, right, size), np.linspace(bottom, top, size)), axis=-1
    ).reshape(-1, 2)
    inputs = data.plane(None).unproject(places[::199])
    expected = np.argmin(run.best.outputs(inputs) @ np.array(costs), axis=1)
    assert np.mean(expected == cells.values.reshape(-1)[::199] // SHADES) > 0.99  # ties may differ


def test_of_equally_good_thresholds_the_usual_one_is_taken() -> None:
    scores = np.array([[0.1], [0.2], [0.8], [0.9]])
    predicted = Predictions(scores, np.array([0, 0, 1, 1]), ("a", "b"), probabilistic=True)
    assert best_threshold(Asked(metric={"name": "accuracy"}), predicted) == 0.5  # type: ignore[arg-type]


def test_eval_and_predict_use_what_training_chose(
    decided: mlprun.Run, tmp_path: Path, call: Callable[..., Any]
) -> None:
    loaded, best = decided.best, decided.metrics["best"]
    assert loaded.decision is not None
    assert best["decision"] == loaded.decision.to_json()
    assert loaded.evaluate() == best["splits"]
    status, out, _ = call("eval", decided.path, "--json")
    said = json.loads(out)
    assert (status, said["splits"]) == (0, best["splits"])
    assert {name: said[name] for name in ("threshold", "temperature", "ece")} == best["decision"]
    before, after = said["ece"]
    assert after == said["splits"]["dev"]["ece"] != before
    rows = loaded.experiment.rows("dev", epoch=0)
    outputs = loaded.outputs(rows.inputs)[:, 0]
    plain = mlprun.train({**CONFIG}, out=str(tmp_path)).best
    logits = special.logit(plain.outputs(rows.inputs)[:, 0].astype(np.float64))
    divided = special.logit(outputs.astype(np.float64))
    np.testing.assert_allclose(divided, logits / said["temperature"], rtol=1e-4, atol=1e-5)
    assert f1_score(rows.truth, outputs > said["threshold"]) == pytest.approx(said["splits"]["dev"]["f1"])
    table = tmp_path / "new.csv"
    table.write_text("x1,x2\n" + "".join(f"{x},{y}\n" for x, y in rows.inputs.tolist()))
    columns, *predictions = (line.split(",") for line in call("predict", decided.path, table)[1].splitlines())
    assert columns == ["class", "p(outer)", "p(inner)"]
    np.testing.assert_allclose([float(row[2]) for row in predictions], outputs, rtol=1e-6)
    assert [row[0] == "inner" for row in predictions] == (outputs > said["threshold"]).tolist()


def test_train_show_and_eval_print_the_choices(decided: mlprun.Run, call: Callable[..., Any]) -> None:
    expected = r"temperature: \S+ \(dev ECE \S+ -> \S+\); threshold: \S+, chosen on dev"
    for command in ("show", "eval"):
        assert re.search(expected, call(command, decided.path)[1])


def test_the_networks_module_and_figures_are_calibrated(decided: mlprun.Run) -> None:
    import torch

    best = decided.best
    rows = best.experiment.rows("test", epoch=0)
    with torch.no_grad():
        outputs = decided.model(torch.from_numpy(rows.inputs)).numpy()
    np.testing.assert_allclose(outputs, best.outputs(rows.inputs), rtol=1e-5)

    data = RunData.of(decided.folder)
    assert best.decision is not None
    assert data.predictions("test", data.best_or_last).threshold == best.decision.threshold
    drawn = data.predictions("test", data.best_or_last).outputs
    np.testing.assert_array_equal(drawn, best.outputs(rows.inputs))


def test_a_resumed_run_chooses_the_same(tmp_path: Path, decided: mlprun.Run) -> None:
    sections = {"threshold": "f1", "calibrate": "temperature", "training": {"epochs": 30}}
    short = train(tmp_path, **sections)
    extended = mlprun.resume(short.path, epochs=60)
    assert extended.metrics == decided.metrics
    for name in ("best", "last"):
        one, other = (checkpoints.read(getattr(run.folder, name)) for run in (extended, decided))
        assert one.meta["decision"] == other.meta["decision"]


def test_a_number_is_the_threshold_of_all_metrics(tmp_path: Path) -> None:
    # metrics that kernels compute, unless there is a threshold
    sections = {"threshold": 0.2, "metrics": ["f1"], "training": {"epochs": 9, "dtype": "float64"}}
    runs = {engine: train(tmp_path, engine=engine, **sections) for engine in ("torch", "fused", "scratch")}
    for run in runs.values():
        last = run.last
        rows = last.experiment.rows("dev", epoch=0)
        expected = f1_score(rows.truth, last.outputs(rows.inputs)[:, 0] > 0.2)
        assert run.history["dev_f1"][-1] == pytest.approx(expected)
        assert last.evaluate(["dev"])["dev"]["f1"] == pytest.approx(expected)
        assert last.decision is None


def test_sweeps_report_what_a_run_reports(tmp_path: Path) -> None:
    options = {"threshold": "f1", "calibrate": "temperature"}
    base = {**CONFIG, **options, "training": {"epochs": 5}}
    sweep = mlprun.sweep({"name": "s", "base": base, "seeds": [0]}, out=str(tmp_path))
    (trial,) = sweep.trials
    alone = train(tmp_path, **options, training={"epochs": 5})
    assert trial.figures["test_f1"] == alone.metrics["best"]["splits"]["test"]["f1"]
    assert trial.figures["last_dev_log_loss"] == alone.metrics["last"]["splits"]["dev"]["log_loss"]


def test_a_checkpoint_from_before_the_end_has_no_choice(tmp_path: Path, decided: mlprun.Run) -> None:
    checkpoint = checkpoints.read(decided.folder.best)
    meta = dict(checkpoint.meta)
    for decision, warned in ((None, True), ({"threshold": 0.3}, False)):
        meta.pop("decision", None)
        if decision is not None:
            meta["decision"] = decision
        path = tmp_path / "one.safetensors"
        path.write_bytes(checkpoints.encode(checkpoints.Checkpoint(checkpoint.tensors, meta)))
        loaded = mlprun.load_checkpoint(path)
        assert bool(loaded.warnings) is warned
        assert loaded.decision == (None if decision is None else Decision(threshold=0.3))
    meta["decision"] = {"temperature": -1}
    path.write_bytes(checkpoints.encode(checkpoints.Checkpoint(checkpoint.tensors, meta)))
    with pytest.raises(CheckpointError, match="threshold or temperature is damaged"):
        mlprun.load_checkpoint(path)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"threshold": 1.5}, "threshold: is a probability; expected a number between 0 and 1, not 1.5"),
        ({"threshold": "abc"}, "threshold: unknown metric 'abc'"),
        ({"threshold": {}}, "threshold: expected either metric or costs"),
        ({"threshold": "roc_auc"}, "threshold.metric: roc_auc does not depend on the threshold; use f1"),
        ({"threshold": {"costs": [[0, -1], [1, 0]]}}, "threshold.costs.0.1"),
        (
            {"threshold": "f1", "dataset": {"name": "blobs"}},
            "threshold: is for two classes, and these targets are 3 classes; use costs",
        ),
        (
            {"threshold": {"costs": [[0, 1], [5, 0]]}, "dataset": {"name": "blobs"}},
            "threshold.costs: expected 3 lists of 3 numbers, by true and predicted class",
        ),
        (
            {"threshold": {"costs": [[0, 1], [5]]}},
            "threshold.costs: expected 2 lists of 2 numbers, by true and predicted class",
        ),
        ({"calibrate": "temperature", "loss": "hinge", "metrics": ["f1"]}, "calibrate: needs probabilities"),
        ({"calibrate": "isotonic"}, "calibrate: expected temperature"),
        (
            {"threshold": "f1", "dataset": {"name": "moons", "split": {"train": 50, "dev": 0, "test": 50}}},
            "threshold: is chosen on dev, and dev has no rows",
        ),
    ],
)
def test_impossible_choices_are_refused(sections: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        train(tmp_path, **sections)
