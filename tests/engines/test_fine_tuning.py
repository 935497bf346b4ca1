"""Frozen parameters, groups with their own rates, and the rest of what fine-tuning needs, on every engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from mlprun import engines
from mlprun.engines import state_spec
from mlprun.engines.contract import RunFailure, never

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.engines import State
    from mlprun.experiment import Experiment

    Make = Callable[..., Experiment]

NAMES = ("torch", "fused", "scratch")
FLOAT64 = {"dtype": "float64", "epochs": 3, "batch_size": 16, "shuffle": False}


def trained(experiment: Experiment, name: str) -> State:
    """The state of a run at its end."""
    engine = engines.choose(experiment, name)[0]
    engine.warm_up(experiment, lambda _: None)
    cohort = engine.open([experiment], [engine.initial_state(experiment)], device="cpu")
    (result,) = engine.advance(cohort, [experiment.config.training.epochs], never)
    assert not isinstance(result, RunFailure)
    return engine.states(cohort, [0])[0]


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_those_of_torch_optim(name: str, experiment: Make) -> None:
    groups = [
        {"parameters": "layers.1.weight", "lr": 0.05},
        {"parameters": ["layers.1.*"], "lr": 0.01, "weight_decay": 0.3},
    ]
    options = {"name": "adam", "lr": 0.02, "weight_decay": 0.1, "groups": groups}
    schedule = {"name": "step", "step_size": 1, "gamma": 0.5}
    made = experiment(optimizer=options, schedule=schedule, freeze=["layers.0.bias"], training=FLOAT64)
    network, train = made.network(), made.fixed["train"]
    parameters, frozen = dict(network.named_parameters()), network.layers[0].bias.detach().clone()
    by_hand = torch.optim.Adam(
        [
            {"params": [parameters["layers.0.weight"]]},
            {"params": [parameters["layers.1.weight"]], "lr": 0.05},
            {"params": [parameters["layers.1.bias"]], "lr": 0.01, "weight_decay": 0.3},
        ],
        lr=0.02,
        weight_decay=0.1,
    )
    decay = torch.optim.lr_scheduler.StepLR(by_hand, step_size=1, gamma=0.5)
    for _ in range(3):
        for start in range(0, len(train), 16):
            inputs, targets = (torch.from_numpy(a[start : start + 16]) for a in (train.inputs, train.targets))
            network.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(
                network.preactivation(inputs), targets
            ).backward()
            by_hand.step()
        decay.step()
    model = trained(made, name).model
    np.testing.assert_array_equal(model["layers.0.bias"], frozen)
    for parameter, tensor in network.named_parameters():
        np.testing.assert_allclose(model[parameter], tensor.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_frozen_batch_norm_keeps_its_running_statistics(name: str, experiment: Make) -> None:
    architecture = {"hidden": [4, 3], "norm": "batch"}
    made = experiment(architecture=architecture, freeze=["norms.0.*"], training=FLOAT64)
    before, after = made.initial(), trained(made, name).model
    for buffer in ("running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_array_equal(after[f"norms.0.{buffer}"], before[f"norms.0.{buffer}"])
        assert not np.array_equal(after[f"norms.1.{buffer}"], before[f"norms.1.{buffer}"])


def test_auto_takes_torch_for_what_kernels_cannot_group(experiment: Make) -> None:
    groups = [{"parameters": "*.bias", "lr": 0.1}]
    made = experiment(optimizer={"name": "asgd", "lr": 0.2, "groups": groups})
    engine, why = engines.choose(made, "auto")
    assert engine.name == "torch"
    assert "asgd decays one learning rate" in why


def test_neighbouring_parameters_with_one_rule_are_one_group(experiment: Make) -> None:
    from mlprun.engines.fused.run import FusedRun

    def groups(**sections: Any) -> list[tuple[int, int]]:
        made = experiment(architecture={"hidden": [8, 8]}, **sections)
        run = FusedRun(made, engines.choose(made, "fused")[0].initial_state(made))
        return [(int(group["begin"]), int(group["length"])) for group in run.parameters.groups]

    assert len(groups()) == len(groups(optimizer={"groups": [{"parameters": "*", "lr": 0.1}]})) == 1
    assert len(groups(freeze=["layers.0.*"])) == 1
    assert len(groups(freeze=["layers.1.weight"])) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("metric", "delta"), [("loss", 0.03), ("accuracy", 0.06), ("roc_auc", 0.01)])
def test_min_delta_ends_a_run_at_the_same_epoch_however_it_is_cut(
    name: str, metric: str, delta: float, experiment: Make
) -> None:
    stopping = {"patience": 4, "min_delta": delta}
    training = {**FLOAT64, "epochs": 40, "batch_size": "full"}
    sections: dict[str, Any] = {"best": {"metric": f"dev_{metric}"}, "training": training}
    sections |= {"metrics": ["roc_auc" if metric == "roc_auc" else "accuracy"], "optimizer": {"lr": 0.4}}
    made = experiment(early_stopping=stopping, **sections)
    engine = engines.choose(made, name)[0]
    state, epoch, stopped = engine.initial_state(made), 0, None
    while stopped is None:  # reopened after each epoch
        cohort = engine.open([made], [state], device="cpu")
        (result,) = engine.advance(cohort, [epoch + 1], never)
        assert not isinstance(result, RunFailure)
        epoch, stopped, (state,) = result.epoch, result.stopped, engine.states(cohort, [0])
    whole = trained(made, name)
    assert (whole.epoch, whole.progress) == (state.epoch, state.progress)
    if metric == "loss":
        assert whole.epoch < trained(experiment(early_stopping={"patience": 4}, **sections), name).epoch
    assert (whole.epoch, whole.progress.best_epoch) == (
        trained(made, "torch").epoch,
        trained(made, "torch").progress.best_epoch,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("loss", ["bce", {"name": "cross_entropy", "class_weights": [1.0, 4.0]}])
def test_accumulated_batches_are_a_larger_batch(name: str, loss: Any, experiment: Make) -> None:
    """45 rows are steps of 20, 20 and 5, the last of a single batch."""
    sections: dict[str, Any] = {
        "loss": loss,
        "optimizer": {"name": "adam", "lr": 0.1},
        "penalty": {"l2": 0.1},
    }
    training = {"dtype": "float64", "epochs": 4, "log_every": 1}
    accumulated = experiment(training={**training, "batch_size": 5, "accumulate": 4}, **sections)
    larger = experiment(training={**training, "batch_size": 20}, **sections)
    one, other = trained(accumulated, name), trained(larger, name)
    for parameter, array in one.model.items():
        np.testing.assert_allclose(array, other.model[parameter], rtol=1e-10, atol=1e-13)
    assert accumulated.steps_per_epoch == 3


def newest(state: State) -> dict[str, Any]:
    return dict(state_spec.trained_model(state))


@pytest.mark.parametrize("name", NAMES)
def test_averages_are_those_of_the_parameters_of_a_plain_run(name: str, experiment: Make) -> None:
    def made(epochs: int, **average: Any) -> State:
        return trained(
            experiment(training={**FLOAT64, "batch_size": "full", "epochs": epochs, **average}), name
        )

    after = [made(epochs).model for epochs in range(1, 7)]  # a step each
    swa = made(6, average={"name": "swa", "start": 3})
    reference = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 4, dtype=torch.float64))
    for model in after[2:]:
        layer = torch.nn.Linear(2, 4, dtype=torch.float64)
        weights = {kind: torch.from_numpy(model[f"layers.0.{kind}"]) for kind in ("weight", "bias")}
        layer.load_state_dict(weights)
        reference.update_parameters(layer)
    np.testing.assert_allclose(swa.model["layers.0.weight"], reference.module.weight.detach(), rtol=1e-12)
    ema, shares = made(6, average={"name": "ema", "decay": 0.7}), 0.7 ** np.arange(5, -1, -1)
    for parameter, array in ema.model.items():
        mean = np.average([model[parameter] for model in after], axis=0, weights=shares)
        np.testing.assert_allclose(array, mean, rtol=1e-12)
    for state in (swa, ema):  # training continues from the newest parameters
        for parameter, array in newest(state).items():
            np.testing.assert_array_equal(array, after[-1][parameter])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("metrics", [["accuracy"], ["roc_auc"]])
def test_averages_are_evaluated_and_are_the_best_model(
    name: str, metrics: list[str], experiment: Make
) -> None:
    training = {**FLOAT64, "epochs": 6, "average": {"name": "ema", "decay": 0.9}}
    made = experiment(training=training, metrics=metrics)
    engine = engines.choose(made, name)[0]
    cohort = engine.open([made], [engine.initial_state(made)], device="cpu")
    (result,) = engine.advance(cohort, [6], never)
    (state,) = engine.states(cohort, [0])
    assert not isinstance(result, RunFailure)
    assert result.best is not None
    assert result.best.epoch == 6  # the loss still falls
    for parameter, array in state.model.items():
        np.testing.assert_array_equal(result.best.model[parameter], array)
    dev = engine.evaluate(made, state.model, {"dev": made.fixed["dev"]}, device="cpu")["dev"]
    assert result.best.metrics == {key: pytest.approx(dev[key], rel=1e-12) for key in ("loss", *metrics)}


@pytest.mark.parametrize("name", NAMES)
def test_a_state_without_the_parameters_that_were_averaged_is_refused(name: str, experiment: Make) -> None:
    made = experiment(training={**FLOAT64, "average": {"name": "ema"}}, optimizer={"name": "adam", "lr": 0.1})
    engine, state = engines.choose(made, name)[0], trained(made, name)
    assert engine.validate_state(made, state) is None
    key = "trained.layers.0.weight"
    for arrays in ({k: v for k, v in state.optimizer_state.items() if k != key}, {key: np.zeros(3)}):
        forged = replace(
            state, optimizer_state={**state.optimizer_state, **arrays} if len(arrays) == 1 else arrays
        )
        assert "the averaged run lacks trained.layers.0.weight" in str(engine.validate_state(made, forged))
    plain = experiment(training=FLOAT64, optimizer={"name": "adam", "lr": 0.1})
    assert "unknown slot trained." in str(engine.validate_state(plain, state))
