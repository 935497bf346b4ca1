"""Options in the target's units are that whatever targets are scaled to, in every engine."""

from __future__ import annotations

import numpy as np
import pytest

from mlprun import engines, schema
from mlprun.config import document as reading
from mlprun.engines.torch.trainer import MetricComputer, SplitTensors
from mlprun.experiment import Experiment

DELTA = 3000.0
LINES = [
    "a,big,small",
    *(f"{k},{50_000 + 3000 * k + 90_000 * (k == 4)},{k % 5 - (k == 7) * 30}.5" for k in range(20)),
]


def made(folder, loss, target="big", *, metrics=(), **others):
    (folder / "t.csv").write_text("\n".join(LINES) + "\n")
    dataset = {"name": "table", "path": str(folder / "t.csv"), "target": target, "features": ["a"]}
    mapping = {
        "dataset": dataset | others,
        "architecture": {"hidden": [2], "activation": "tanh"},
        "loss": loss,
        "metrics": list(metrics),
        "training": {"epochs": 2, "dtype": "float64"},
    }
    return Experiment.of(schema.parse(reading.from_mapping(mapping, "", "c")))


def huber(errors, delta):
    size = np.abs(errors)
    return np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))


@pytest.mark.parametrize("target", ["big", ["big", "small"]])
@pytest.mark.parametrize("name", ["huber", "smooth_l1"])
def test_the_width_of_a_loss_is_in_the_targets_units(tmp_path, name, target):
    option = {"huber": "delta", "smooth_l1": "beta"}[name]
    loss = {"name": name, option: DELTA}
    for experiment, figure in (
        (made(tmp_path, loss, target), "loss"),
        (made(tmp_path, "mse", target, metrics=[loss]), name),
    ):
        network, rows = experiment.network(), SplitTensors.of(experiment.rows("train", epoch=0))
        found = MetricComputer(experiment).evaluate(network, rows)[figure]
        outputs = network(rows.inputs).detach().numpy()
        errors = experiment.preprocessing.restore(outputs) - rows.truth
        scale = rows.truth.std(axis=0)
        wanted = huber(errors, DELTA) / (scale**2 if name == "huber" else scale * DELTA)
        assert found == pytest.approx(wanted.mean(), rel=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["huber", "smooth_l1"])
def test_engines_agree_on_a_width_in_the_targets_units(tmp_path, name, reduction):
    loss = {"name": name, {"huber": "delta", "smooth_l1": "beta"}[name]: DELTA, "reduction": reduction}
    for target in ("big", ["big", "small"]):
        experiment = made(tmp_path, loss, target)
        found = []
        for engine in map(engines.named, ("torch", "scratch", "fused")):
            assert engine.unsupported_reason(experiment) is None
            found.append(engine.gradients(experiment, engine.initial_state(experiment), device="cpu"))
        for gradients in found[1:]:
            for parameter, gradient in gradients.items():
                assert gradient == pytest.approx(found[0][parameter], rel=1e-9)


def test_without_a_width_it_is_one_standard_deviation(tmp_path):
    experiment = made(tmp_path, "huber")
    (scale,) = experiment.preprocessing.target_units[1]
    assert experiment.config.loss.units == "standardized"
    assert experiment.computed.loss.delta == 1.0
    same = made(tmp_path, {"name": "huber", "delta": float(scale)})
    assert same.computed.loss.delta == 1.0
    assert made(tmp_path, {"name": "huber", "delta": DELTA}, standardize=False).computed.loss.delta == DELTA
