"""What engines say of a model: the digits of the history, and each other's metrics."""

import numpy as np
import pytest

import mlprun
from mlprun import engines
from mlprun.experiment import SPLITS

CONFIGS = {
    "two classes": {"dataset": {"name": "moons", "split": {"train": 40, "dev": 23, "test": 10}}},
    "three classes": {"dataset": {"name": "iris"}, "metrics": ["accuracy", "confusion_matrix"]},
    "other metrics": {
        "dataset": {"name": "moons", "split": {"train": 40, "dev": 23, "test": 10}},
        "loss": "mse",
        "architecture": {"hidden": [4], "output_activation": "logistic"},
        "metrics": ["f1", "log_loss", "roc_auc", "accuracy", "bce"],
    },
    "numbers": {"dataset": {"name": "diabetes", "standardize": True}, "loss": "huber", "metrics": ["r2"]},
    "fresh rows": {
        "dataset": {
            "name": "parity",
            "bits": 3,
            "split": {"train": 6, "dev": {"fresh": 20}, "test": {"fresh": 9}},
        }
    },
    "norms and dropout": {
        "dataset": {"name": "moons", "split": {"train": 40, "dev": 23, "test": 10}},
        "architecture": {"hidden": [5, 4], "norm": "batch", "dropout": 0.2},
    },
    "margins": {
        "dataset": {"name": "moons", "split": {"train": 40, "dev": 23, "test": 10}},
        "loss": {"name": "hinge"},
    },
}
TRAINING = {"epochs": 6, "batch_size": 16, "dtype": "float64"}


def trained(values, engine, tmp_path, **training):
    config = {"architecture": {"hidden": [4]}, **values, "training": TRAINING | training, "engine": engine}
    return mlprun.train(config, out=str(tmp_path))


@pytest.mark.parametrize("engine", ["torch", "fused", "scratch"])
@pytest.mark.parametrize("values", CONFIGS.values(), ids=CONFIGS)
def test_final_metrics_have_the_digits_of_the_history(engine, values, tmp_path):
    if engine == "scratch" and "norm" in values.get("architecture", {}):
        pytest.skip("scratch has no norms")
    run = trained(values, engine, tmp_path)
    history, dev = run.history, run.metrics["last"]["splits"]["dev"]
    logged = {name: column[-1] for name, column in history.items() if name.startswith("dev_")}
    assert logged == {f"dev_{name}": value for name, value in dev.items() if isinstance(value, float)}
    assert run.last.evaluate() == run.metrics["last"]["splits"]
    assert run.best.evaluate() == run.metrics["best"]["splits"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("values", CONFIGS.values(), ids=CONFIGS)
def test_engines_agree_on_a_model(values, dtype, tmp_path):
    model = trained(values, "torch", tmp_path, dtype=dtype).last
    rows = {split: model.experiment.rows(split, epoch=6) for split in SPLITS}
    inputs, tolerance = rows["dev"].inputs, 1e-5 if dtype == "float32" else 1e-12
    expected = model.engine.evaluate(model.experiment, model.model, rows, device="cpu")
    outputs = model.engine.outputs(model.alone, model.model, inputs, device="cpu")
    for name in ("fused",) if dtype == "float32" else ("fused", "scratch"):
        engine = engines.named(name)
        if engine.unsupported_reason(model.alone):
            continue
        found = engine.evaluate(model.experiment, model.model, rows, device="cpu")
        assert found.keys() == expected.keys()
        for split, metrics in expected.items():
            assert found[split].keys() == metrics.keys()
            for metric, value in metrics.items():
                np.testing.assert_allclose(found[split][metric], value, tolerance, tolerance, err_msg=metric)
        again = engine.outputs(model.alone, model.model, inputs, device="cpu")
        assert again.dtype == outputs.dtype
        np.testing.assert_allclose(again, outputs, rtol=tolerance, atol=tolerance)
