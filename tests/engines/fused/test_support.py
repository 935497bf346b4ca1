"""What the engine refuses, with which reason, and what `auto` takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlprun import engines
from mlprun.api import load_config
from mlprun.engines.fused import support
from mlprun.errors import UsageError
from mlprun.experiment import Experiment
from mlprun.parts.activations import activations
from mlprun.parts.losses import losses
from mlprun.parts.optimizers import optimizers

REFUSED = {
    "the architecture rnn": {"architecture": {"name": "rnn"}},
    "float32 numbers the symbols of an embedding up to 16777216": {
        "architecture": {"hidden": [4], "embedding": {"vocabulary": 2**24 + 1, "dim": 1}},
        "dataset": {"name": "inline", "inputs": [[0], [1]], "targets": [0, 1]},
    },
    "the optimizer lbfgs": {"optimizer": {"name": "lbfgs"}},
    "the activation softmax": {
        "architecture": {"output_activation": "softmax"},
        "loss": "mse",
        "dataset": {"name": "inline", "inputs": [[0], [1], [2]], "targets": [0, 1, 2]},
    },
    "not on device auto": {"device": "auto"},
}


def config(**changes: Any) -> dict[str, Any]:
    """XOR with changes."""
    return {"dataset": "xor", "loss": "bce", "training": {"epochs": 3}, **changes}


@pytest.mark.parametrize(("reason", "changes"), REFUSED.items(), ids=REFUSED)
def test_what_has_no_kernel_is_refused_with_the_reason(
    lab: Any, reason: str, changes: dict[str, Any]
) -> None:
    experiment = lab.make(config(**changes))
    with pytest.raises(UsageError, match=reason):
        engines.choose(experiment, "fused")
    engine, why = engines.choose(experiment, "auto")
    assert engine.name == "torch"
    assert reason in why


def test_all_parts_have_kernels_but_these() -> None:
    def lacking(registry: Any, kernel: Any) -> set[str]:
        return {part.names()[0] for part in registry if kernel(part.model_validate({})) is None}

    assert lacking(losses, support.kernel_loss) == {"focal"}  # of more than two classes
    binary = losses["focal"](output="logistic")
    assert support.kernel_loss(binary)[1] == binary.gamma
    assert lacking(activations, support.kernel_activation) == {"softmax", "log_softmax"}
    others = {"adafactor", "lbfgs", "sparseadam", "muon"}
    assert lacking(optimizers, support.kernel_optimizer) == others


def test_the_kernel_of_equal_parts_is_looked_up_once() -> None:
    asked = []

    @support.cached
    def rate(part: Any) -> float:
        asked.append(part)
        return part.lr

    sgd = optimizers["sgd"]
    assert [rate(sgd(lr=lr)) for lr in (0.5, 0.25, 0.5)] == [0.5, 0.25, 0.5]
    assert len(asked) == 2
    assert support.cached(lambda part: len(part))([1, 2]) == 2  # lists have no hash


def test_options_decide_on_the_kernel_of_a_part() -> None:
    def name(kernel: Any, part: Any) -> str:
        return kernel(part)[0].name

    sgd, adam, smooth, gelu = optimizers["sgd"], optimizers["adam"], losses["smooth_l1"], activations["gelu"]
    kernel = support.kernel_optimizer
    assert [name(kernel, sgd(momentum=value)) for value in (0.0, 0.9, 0.0)] == ["sgd", "momentum", "sgd"]
    assert [name(kernel, adam(amsgrad=value)) for value in (False, True)] == ["adam", "amsgrad"]
    assert [name(support.kernel_loss, smooth(beta=value)) for value in (0.0, 0.5)] == ["mae", "smooth_l1"]
    assert support.kernel_loss(smooth(beta=0.5))[1] == 0.5
    assert support.kernel_activation(activations["selu"]())[1] == (1.6732632423543772, 1.0507009873554805)
    assert name(support.kernel_activation, gelu(approximate="tanh")) == "gelu_tanh"


@pytest.mark.parametrize("loss", [{"name": "huber", "delta": 0.5}, {"name": "smooth_l1", "beta": 2.0}])
def test_a_loss_with_a_width_for_each_target_agrees_with_torch(lab: Any, loss: dict[str, Any]) -> None:
    dataset = lab.rows(20, 2, 3, "mse") | {"standardize": True, "split": {"train": 12, "dev": 8}}
    dataset["targets"] = [[a, 100 * b, 0.1 * c] for a, b, c in dataset["targets"]]
    experiment = lab.make(config(dataset=dataset, loss=loss, training={"epochs": 5, "dtype": "float64"}))
    option = support.kernel_loss(experiment.computed.loss)[1]
    assert len(set(option)) == 3
    (ours, _), (theirs, _) = (lab.run(engine, experiment) for engine in ("fused", "torch"))
    np.testing.assert_allclose(np.array(ours.rows, float), np.array(theirs.rows, float), rtol=1e-10)


def test_auto_takes_fused_but_for_long_runs_of_wide_networks_on_single_rows(lab: Any) -> None:
    assert engines.choose(lab.make(config()), "auto")[0].name == "fused"
    assert engines.choose(lab.make(config(training={"epochs": 10**6})), "auto")[0].name == "fused"
    wide = {"architecture": {"name": "mlp", "hidden": [1024, 1024]}}
    for batch, engine in ((1, "torch"), (4, "fused")):
        training = {"epochs": 10**6, "batch_size": batch, "evaluate_every": 1000}
        assert engines.choose(lab.make(config(**wide, training=training)), "auto")[0].name == engine


def test_what_auto_takes_depends_on_the_config_alone(lab: Any) -> None:
    """The constants are published numbers, and nothing of this machine is asked."""
    experiment = lab.make(config(training={"epochs": 1000}))
    torch, fused = support.estimated_seconds(experiment)
    overhead = support.TORCH.step + 2 * support.TORCH.layer + support.TORCH.evaluation
    assert torch == pytest.approx(1000 * overhead, rel=0.01)
    assert fused < 0.01 * torch
    for changes in ({"optimizer": {"name": "adam"}}, {"optimizer": {"name": "sgd", "momentum": 0.9}}):
        with_state, _ = support.estimated_seconds(lab.make(config(training={"epochs": 1000}, **changes)))
        assert with_state - torch == pytest.approx(1000 * support.TORCH.state)


def test_auto_counts_norms_and_dropout(lab: Any) -> None:
    def seconds(**options: Any) -> Any:
        architecture = {"name": "mlp", "hidden": [8, 8], **options}
        return support.estimated_seconds(lab.make(config(architecture=architecture)))

    plain = seconds()
    for options in ({"norm": "batch"}, {"norm": "layer"}, {"dropout": 0.5}):
        torch, fused = seconds(**options)
        cost = support.TORCH.dropout if "dropout" in options else support.TORCH.norm
        assert torch - plain[0] == pytest.approx(2 * 3 * cost, rel=0.01)
        assert plain[1] < fused < 3 * plain[1]


@pytest.mark.parametrize(
    ("name", "engine"), [("spirals", "fused"), ("diabetes", "fused"), ("xor", "fused"), ("moons", "fused")]
)
def test_auto_counts_layers_optimizers_and_evaluations_of_shipped_configs(name: str, engine: str) -> None:
    experiment = Experiment.of(load_config(f"configs/{name}.yaml"))
    assert engines.choose(experiment, "auto")[0].name == engine
