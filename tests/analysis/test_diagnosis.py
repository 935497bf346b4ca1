"""A diagnosis finds what was put into a run, with the numbers that say so."""

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun.analysis.diagnosis import diagnose
from mlprun.storage.runs import Status

SPLIT = {"train": 60, "dev": 20, "test": 20}
EPOCHS = np.arange(1, 101)


def splits(train, dev, test):
    return {"train": train, "dev": dev, "test": test}


def figures_of(best, baselines, epoch=100):
    best = {"epoch": epoch, "metric": "dev_loss", "value": best["dev"]["loss"], "splits": best}
    return {"best": best, "last": {**best, "epoch": 100}, "baselines": baselines, "positive": None}


def same(**metrics):
    return splits(*[metrics] * 3)


@pytest.fixture(scope="module")
def moons(tmp_path_factory):
    config = {
        "dataset": {"name": "moons", "noise": 0.2, "split": SPLIT},
        "architecture": {"hidden": [8], "activation": "relu"},
        "training": {"epochs": 2},
    }
    return mlprun.train(config, out=str(tmp_path_factory.mktemp("runs")))


def diagnosed(
    run, *, history=None, metrics=None, model=None, state="finished", reason="finished", epochs=100
):
    """The findings of a run with another history and other metrics, by kind."""
    metrics = metrics or figures_of(same(loss=0.5, accuracy=0.8), {})
    status = Status(state, epochs, 1.0, metrics, reason)
    history = {} if history is None else {"epoch": EPOCHS[: len(next(iter(history.values())))], **history}
    model = model or run.best
    return diagnose(status, history, model, model.experiment)


def kinds(diagnosis):
    return {one.kind: one for one in diagnosis.findings}


def baselines(accuracy, loss=0.4):
    linear = same(loss=loss, accuracy=accuracy)
    return {"logistic regression": linear, "majority": same(loss=0.69, accuracy=0.5)}


@pytest.mark.parametrize(
    ("accuracy", "linear", "level", "words"),
    [
        (0.99, 0.6, "good", "better than logistic regression"),
        (0.86, 0.85, "note", "about as good as logistic regression"),
        (0.60, 0.95, "warning", "Logistic regression is better"),
        (0.50, 0.85, "warning", "no better than the majority baseline"),
    ],
)
def test_the_network_is_compared_with_its_baselines(moons, accuracy, linear, level, words):
    metrics = figures_of(same(loss=0.3, accuracy=accuracy), baselines(linear))
    diagnosis = diagnosed(moons, metrics=metrics)
    finding = kinds(diagnosis)["baseline"]
    assert finding.level == level
    assert words in finding.claim
    assert f"{accuracy:.1%}" in finding.evidence
    assert f"{accuracy:.1%} of 20 test rows correctly" in diagnosis.verdict
    assert "logistic regression" in diagnosis.verdict


def test_dev_loss_that_rises_while_train_loss_falls_is_overfitting(moons):
    dev = np.r_[np.linspace(1, 0.2, 40), np.linspace(0.2, 0.5, 60)]
    history = {"train_loss": np.geomspace(1, 0.01, 100), "dev_loss": dev}
    finding = kinds(diagnosed(moons, history=history))["overfitting"]
    assert finding.level == "warning"
    assert "0.2 at epoch 40, 0.5 at epoch 100" in finding.evidence
    slight = {**history, "dev_loss": np.r_[np.linspace(1, 0.2, 40), np.linspace(0.2, 0.21, 60)]}
    assert (
        kinds(diagnosed(moons, history=slight))["overfitting"].claim == "Slight overfitting after epoch 40."
    )
    better = {**history, "dev_accuracy": np.linspace(0.5, 1, 100)}
    assert kinds(diagnosed(moons, history=better))["overfitting"].level == "note"
    rising = {"train_loss": np.linspace(0.1, 1, 100), "dev_loss": dev}
    assert "overfitting" not in kinds(diagnosed(moons, history=rising))


def test_a_gap_between_train_and_dev_is_a_note(moons):
    metrics = figures_of(splits(*({"loss": loss} for loss in (0.1, 0.4, 0.4))), {})
    flat = {"train_loss": np.full(100, 0.1), "dev_loss": np.full(100, 0.4)}
    assert kinds(diagnosed(moons, metrics=metrics, history=flat))["overfitting"].level == "note"


def test_a_loss_that_still_falls_asks_for_more_epochs_and_a_flat_one_does_not(moons):
    falling = {"dev_loss": np.geomspace(1, 0.1, 100), "train_loss": np.geomspace(1, 0.1, 100)}
    finding = kinds(diagnosed(moons, history=falling))["epochs"]
    assert finding.level == "note"
    assert finding.remedy == "mlprun resume RUN --epochs 200"
    assert "20." in finding.evidence, "ten epochs of 100 lose a tenth of the decade: 1 − 10^(−1/10)"
    flat = {"dev_loss": np.r_[np.linspace(1, 0.2, 50), np.full(50, 0.21)], "train_loss": np.full(100, 0.1)}
    assert kinds(diagnosed(moons, history=flat))["epochs"].claim == "More epochs would not help."
    stopped = diagnosed(moons, history=falling, reason="early_stopping")
    assert "epochs" not in kinds(stopped)
    assert "early_stopping" in kinds(stopped)


def test_a_loss_that_oscillates_asks_for_a_lower_learning_rate(moons):
    swings = 0.5 + 0.2 * (-1.0) ** EPOCHS
    history = {"dev_loss": swings, "train_loss": swings}
    finding = kinds(diagnosed(moons, history=history))
    assert "epochs" not in finding
    assert finding["oscillation"].evidence.startswith("between 0.3 and 0.7")


def test_a_small_difference_in_r2_on_few_rows_is_no_advantage(moons):
    better = {"linear regression": same(loss=0.5, r2=0.5), "mean": same(loss=1, r2=0.0)}
    few = diagnosed(moons, metrics=figures_of(same(loss=0.4, r2=0.55), better))
    assert kinds(few)["baseline"].level == "note"
    assert "(R² 0.550)" in few.verdict
    many = diagnosed(moons, metrics=figures_of(same(loss=0.1, r2=0.95), better))
    assert kinds(many)["baseline"].level == "good"


def test_divergence_and_unfinished_runs_are_warnings(moons):
    diverged = kinds(diagnosed(moons, state="diverged", epochs=7))["diverged"]
    assert diverged.level == "warning"
    assert "after 7 of 2 epochs, with learning rate" in diverged.evidence
    assert "mlprun resume RUN" in kinds(diagnosed(moons, state="interrupted"))["unfinished"].remedy


def test_splits_that_differ_are_found(moons):
    far = figures_of(
        splits({"loss": 1, "accuracy": 1.0}, {"loss": 1, "accuracy": 1.0}, {"loss": 1, "accuracy": 0.5}), {}
    )
    finding = kinds(diagnosed(moons, metrics=far))
    assert finding["splits"].level == "warning"


def test_dead_and_saturated_units_are_counted(moons, tmp_path):
    from dataclasses import replace

    model = {name: array.copy() for name, array in moons.best.model.items()}
    model["layers.0.bias"][:3] = -100
    dead = kinds(diagnosed(moons, model=replace(moons.best, model=model)))["dead_units"]
    assert dead.level == "warning"
    assert dead.claim.startswith("3 of 8 units of hidden layer 1 are dead")
    config = {"dataset": {"name": "moons", "split": SPLIT}, "training": {"epochs": 1}}
    tanh = mlprun.train(config, "architecture={hidden: [6], activation: tanh}", out=str(tmp_path)).best
    model = {name: array.copy() for name, array in tanh.model.items()}
    model["layers.0.weight"][:] = 0.1
    model["layers.0.weight"][:2] *= 1000
    saturated = kinds(diagnosed(moons, model=replace(tanh, model=model)))["saturation"]
    assert saturated.claim.startswith("2 of 6 units of hidden layer 1 are saturated")


def trained(inputs, targets, tmp_path, **split):
    dataset = {"name": "inline", "inputs": inputs, "targets": targets, "split": split, "seed": 0}
    return mlprun.train({"dataset": dataset, "training": {"epochs": 1}}, out=str(tmp_path))


def test_rows_that_repeat_and_a_feature_that_is_the_target_are_found(tmp_path):
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(60, 2))
    inputs[40:] = inputs[:20]
    targets = (3 * inputs[:, :1] + 1).tolist()
    run = trained(inputs.tolist(), targets, tmp_path, train=40, test=20, shuffle=False)
    finding = kinds(diagnose(run.status, run.history, run.best, run.best.experiment))
    assert finding["duplicates"].level == "warning"
    assert finding["duplicates"].claim.startswith("20 of 20 test rows")
    assert finding["leakage"].evidence.startswith("they share 100")


def test_imbalanced_classes_are_found(tmp_path):
    table = tmp_path / "t.csv"
    numbers = np.random.default_rng(0).normal(size=60)
    table.write_text("\n".join(["x,y", *(f"{x},{'ab'[k >= 57]}" for k, x in enumerate(numbers))]))
    dataset = {"name": "table", "path": str(table), "target": "y", "split": {"train": 60, "shuffle": False}}
    run = mlprun.train({"dataset": dataset, "training": {"epochs": 1}}, out=str(tmp_path))
    finding = kinds(diagnose(run.status, run.history, run.best, run.best.experiment))
    assert "57 of 'a', 3 of 'b'" in finding["imbalance"].evidence


def test_without_rows_and_metrics_a_diagnosis_says_so(moons):
    diagnosis = diagnose(Status("running", 1), {}, moons.best, None)
    assert "no final metrics" in diagnosis.verdict
    assert not {one.kind for one in diagnosis.findings} - {"unfinished"}
