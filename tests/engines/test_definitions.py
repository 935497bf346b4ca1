"""What an epoch is and what its row of the history says, against plain PyTorch loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from mlprun import randomness
from mlprun.experiment import history_columns
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[..., Any]

CLASSES = {"name": "blobs", "features": 3, "centers": 3, "split": {"train": 45, "dev": 20, "test": 15}}


def table(course: Any) -> dict[str, np.ndarray]:
    """The history's columns."""
    names = history_columns(course.experiment.config)
    return dict(zip(names, np.array(course.rows, dtype=float).T, strict=True))


def plain_network(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).to(dtype)


def batches(experiment: Any, epoch: int, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    rows = experiment.fixed["train"]
    order = randomness.order(0, Purpose.ORDER, len(rows), epoch=epoch)
    if size >= len(rows):
        order = np.arange(len(rows))
    for start in range(0, len(rows), size):
        chosen = order[start : start + size]
        yield torch.from_numpy(rows.inputs[chosen]), torch.from_numpy(rows.targets[chosen])


OPTIMIZERS = {
    "sgd": ({"name": "sgd", "lr": 0.5}, lambda p: torch.optim.SGD(p, lr=0.5)),
    "momentum": (
        {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    ),
    "adam": ({"name": "adam", "lr": 0.01}, lambda p: torch.optim.Adam(p, lr=0.01)),
    "rmsprop": ({"name": "rmsprop", "lr": 0.01}, lambda p: torch.optim.RMSprop(p, lr=0.01)),
}


@pytest.mark.parametrize(("size", "dtype"), [(45, "float32"), (16, "float64")])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_epochs_are_those_of_a_plain_loop_to_the_bit(
    name: str, size: int, dtype: str, experiment: Make, course: Make
) -> None:
    options, build = OPTIMIZERS[name]
    made = experiment(optimizer=options, training={"epochs": 50, "batch_size": size, "dtype": dtype})
    run = course(made).finish()
    network = plain_network(getattr(torch, dtype))
    optimizer = build(network.parameters())
    losses, means = nn.BCEWithLogitsLoss(), []
    for epoch in range(50):
        met = []
        for inputs, targets in batches(made, epoch, size):
            optimizer.zero_grad(set_to_none=True)
            loss = losses(network(inputs), targets)
            loss.backward()
            optimizer.step()
            met.append((loss.item(), len(inputs)))
        means.append(sum(value * rows for value, rows in met) / sum(rows for _, rows in met))
    mine = [run.state.model[f"layers.{layer}.{kind}"] for layer in (0, 1) for kind in ("weight", "bias")]
    for array, parameter in zip(mine, network.parameters(), strict=True):
        np.testing.assert_array_equal(array, parameter.detach())
    np.testing.assert_allclose(table(run)["train_loss"], means, rtol=1e-15)


def test_lbfgs_with_its_closure_is_a_plain_loops(experiment: Make, course: Make) -> None:
    options = {"name": "lbfgs", "lr": 0.5, "max_iter": 5, "line_search_fn": "strong_wolfe"}
    made = experiment(optimizer=options, training={"epochs": 6, "dtype": "float64"})
    run = course(made).finish()
    network = plain_network(torch.float64)
    optimizer = torch.optim.LBFGS(network.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")
    ((inputs, targets),) = batches(made, 0, 45)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(network(inputs), targets)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(6)]
    np.testing.assert_array_equal(table(run)["train_loss"], losses)  # the first of an epoch's evaluations
    np.testing.assert_array_equal(run.state.model["layers.1.weight"], network[2].weight.detach())


def test_the_gradients_are_those_of_the_objective_with_penalties_and_clipping(
    experiment: Make, course: Make
) -> None:
    """One step of lr 1 moves every parameter by its clipped gradient."""
    training = {"epochs": 1, "dtype": "float64", "clip_norm": 0.2, "clip_value": 0.15}
    made = experiment(
        optimizer={"lr": 1.0},
        penalty={"l2": 0.3, "l1": 0.02},
        loss={"name": "bce", "reduction": "sum", "scale": 0.5},
        training=training,
    )
    run = course(made)
    before = run.state.model
    after = run.finish().state.model
    network = plain_network(torch.float64)
    ((inputs, targets),) = batches(made, 0, 45)
    loss = nn.functional.binary_cross_entropy_with_logits(network(inputs), targets, reduction="sum")
    weights = [network[0].weight, network[2].weight]
    objective = (
        0.5 * loss + sum(0.3 * (w**2).sum() for w in weights) + sum(0.02 * w.abs().sum() for w in weights)
    )
    objective.backward()
    norm = torch.sqrt(sum((p.grad**2).sum() for p in network.parameters()))
    assert norm > 0.2
    for name, parameter in zip(before, network.parameters(), strict=True):
        gradient = (parameter.grad * 0.2 / norm).clamp(-0.15, 0.15)
        np.testing.assert_allclose(before[name] - after[name], gradient, rtol=1e-5)  # torch adds 1e-6
    assert table(run)["train_objective"][0] == pytest.approx(objective.item(), rel=1e-14)
    assert table(run)["train_loss"][0] == pytest.approx(loss.item() / 45, rel=1e-14)


def test_the_objective_is_exactly_the_loss_where_nothing_is_added(experiment: Make, course: Make) -> None:
    for dtype in ("float32", "float64"):
        found = table(course(experiment(training={"dtype": dtype})).finish())
        np.testing.assert_array_equal(found["train_objective"], found["train_loss"])


@pytest.mark.parametrize("size", [45, 16, 1])
@pytest.mark.parametrize(
    ("loss", "data"),
    [
        ({"name": "bce"}, {}),
        ({"name": "mse"}, {}),
        ({"name": "cross_entropy", "class_weights": [1.0, 2.0, 7.0], "label_smoothing": 0.1}, CLASSES),
        ({"name": "kl_div"}, CLASSES),
        ({"name": "hinge"}, CLASSES),
    ],
)
def test_reduction_scale_and_batches_do_not_change_what_is_shown(
    loss: dict[str, Any], data: dict[str, Any], size: int, experiment: Make, course: Make
) -> None:
    """At a learning rate of nothing every batch meets the same weights, so the mean is that of all rows."""
    shown, objective = [], []
    for change in ({}, {"reduction": "sum"}, {"scale": 7.0}, {"reduction": "sum", "scale": 0.1}):
        run = course(
            experiment(
                dataset=data,
                loss=loss | change,
                optimizer={"lr": 1e-300},
                training={"epochs": 2, "batch_size": size, "dtype": "float64"},
            )
        ).finish()
        shown.append(table(run)["train_loss"])
        objective.append(table(run)["train_objective"][0])
        assert run.best.metrics["loss"] == pytest.approx(table(run)["dev_loss"][0], rel=1e-15)
    whole = run.cohort[0].meter.evaluate(run.cohort[0].network, run.cohort[0].train)["loss"]
    np.testing.assert_allclose(shown, whole, rtol=1e-12)
    weighted = "class_weights" in loss  # the objective weighs batches by rows
    assert objective[2] == pytest.approx(7 * objective[0], rel=1e-12)
    assert weighted or objective[0] == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("size", [45, 16])
def test_train_figures_are_of_the_outputs_that_each_batch_met(
    size: int, experiment: Make, course: Make
) -> None:
    made = experiment(
        metrics=["accuracy", "brier", {"name": "mse", "reduction": "mean"}],
        optimizer={"lr": 3.0},
        training={"epochs": 4, "batch_size": size, "dtype": "float64"},
    )
    found = table(course(made).finish())
    network = plain_network(torch.float64)
    optimizer = torch.optim.SGD(network.parameters(), lr=3.0)
    for epoch in range(4):
        right = squares = 0.0
        for inputs, targets in batches(made, epoch, size):
            values = network(inputs)
            outputs = torch.sigmoid(values.detach())
            right += ((outputs > 0.5) == targets).sum().item()
            squares += ((outputs - targets) ** 2).sum().item()
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(values, targets).backward()
            optimizer.step()
        assert found["train_accuracy"][epoch] == right / 45
        assert found["train_brier"][epoch] == pytest.approx(squares / 45, rel=1e-13)
        assert found["train_mse"][epoch] == pytest.approx(squares / 45, rel=1e-13)


def test_extra_losses_are_computed_as_they_would_be_if_trained(experiment: Make, course: Make) -> None:
    extra = [
        "accuracy",
        "log_loss",
        "hinge",
        "kl_div",
        "nll",
        *({"name": name, "reduction": "mean"} for name in ("mae", "huber")),
    ]
    made = experiment(
        dataset=CLASSES, loss="cross_entropy", metrics=extra, training={"epochs": 3, "dtype": "float64"}
    )
    run = course(made).finish()
    found, rows = table(run), made.fixed["dev"]
    values = run.cohort[0].network.preactivation(torch.from_numpy(rows.inputs)).detach()
    outputs = torch.softmax(values, 1)
    ids = torch.from_numpy(rows.truth)
    hot = nn.functional.one_hot(ids, 3).double()
    expected = {
        "loss": nn.functional.cross_entropy(values, ids),
        "nll": nn.functional.nll_loss(torch.log(outputs), ids),
        "log_loss": nn.functional.nll_loss(torch.log(outputs), ids),
        "mae": (outputs - hot).abs().mean(),
        "huber": nn.functional.huber_loss(outputs, hot),
        "kl_div": -torch.log(outputs[torch.arange(20), ids]).sum() / 60,
        "hinge": (1 - (2 * hot - 1) * outputs).clamp_min(0).mean(),
    }
    for name, value in expected.items():
        assert found[f"dev_{name}"][-1] == pytest.approx(value.item(), rel=1e-12), name


def test_rows_are_evaluated_and_logged_as_often_as_asked_and_at_the_end(
    experiment: Make, course: Make
) -> None:
    made = experiment(training={"epochs": 10, "evaluate_every": 4, "log_every": 3})
    run = course(made).finish()
    found = table(run)
    assert found["epoch"].tolist() == [3, 6, 9, 10]
    assert np.isnan(found["dev_loss"]).tolist() == [True, True, True, False]
    assert {item.epoch for item in run.improvements} <= {4, 8, 10}
    every = table(course(experiment(training={"epochs": 10})).finish())
    np.testing.assert_array_equal(found["train_loss"], every["train_loss"][[2, 5, 8, 9]])


def test_dev_is_evaluated_after_the_update(experiment: Make, course: Make) -> None:
    """Where dev is train, an epoch's dev figures are the next epoch's train figures."""
    found = table(course(experiment(dataset={"name": "moons", "samples": 40, "split": "same"})).finish())
    np.testing.assert_array_equal(found["dev_loss"][:-1], found["train_loss"][1:])
    np.testing.assert_array_equal(found["dev_accuracy"][:-1], found["train_accuracy"][1:])


def test_fresh_dev_rows_are_keyed_by_the_epoch_that_is_evaluated(experiment: Make, course: Make) -> None:
    data = {"name": "circles", "split": {"train": 30, "dev": {"fresh": 25}, "test": 5}}
    made = experiment(dataset=data, training={"dtype": "float64"})
    run = course(made).finish()
    again = course(made)
    for epoch in (1, 2, 12):
        again.advance(epoch)
        drawn = made.config.dataset.fresh(25, epoch=epoch, step=1)
        values = again.cohort[0].network.preactivation(torch.from_numpy(drawn.inputs)).detach()[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(
            values, torch.from_numpy(drawn.targets).double()
        )
        assert table(run)["dev_loss"][epoch - 1] == pytest.approx(loss.item(), rel=1e-14)


def test_rates_are_the_schedules_of_completed_epochs(experiment: Make, course: Make) -> None:
    run = course(experiment(schedule={"name": "step", "step_size": 5, "gamma": 0.1})).finish()
    np.testing.assert_allclose(table(run)["lr"], [0.5] * 5 + [0.05] * 5 + [0.005] * 2, rtol=1e-12)


def test_without_shuffling_batches_are_slices_in_the_datas_order(experiment: Make, course: Make) -> None:
    made = experiment(training={"epochs": 3, "batch_size": 16, "shuffle": False, "dtype": "float64"})
    run = course(made).finish()
    network = plain_network(torch.float64)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    rows = made.fixed["train"]
    for _ in range(3):
        for start in (0, 16, 32):
            inputs, targets = (torch.from_numpy(a[start : start + 16]) for a in (rows.inputs, rows.targets))
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(inputs), targets).backward()
            optimizer.step()
    np.testing.assert_array_equal(run.state.model["layers.0.weight"], network[0].weight.detach())


def test_dropout_drops_the_share_it_says_and_none_in_evaluation(experiment: Make, course: Make) -> None:
    made = experiment(
        architecture={"hidden": [400], "dropout": 0.25}, training={"epochs": 1, "batch_size": "full"}
    )
    run = course(made)
    layer = run.cohort[0].network.dropouts[0]
    masks = []
    layer.register_forward_hook(lambda module, inputs, outputs: masks.append(module.keep))
    run.finish()
    trained, evaluated = masks[0], masks[1:]
    assert abs(trained.mean().item() - 0.75) < 0.02
    assert evaluated
    assert all(mask is None for mask in evaluated)


def test_batch_norm_is_torchs_in_training_and_in_evaluation(experiment: Make, course: Make) -> None:
    made = experiment(
        architecture={"norm": "batch"}, training={"epochs": 5, "batch_size": 15, "dtype": "float64"}
    )
    run = course(made).finish()
    torch.manual_seed(0)
    layers = [nn.Linear(2, 4), nn.Linear(4, 1)]
    network = nn.Sequential(layers[0], nn.BatchNorm1d(4), nn.Tanh(), layers[1]).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for epoch in range(5):
        network.train()
        for inputs, targets in batches(made, epoch, 15):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(inputs), targets).backward()
            optimizer.step()
    network.eval()
    dev = made.fixed["dev"]
    loss = nn.functional.binary_cross_entropy_with_logits(
        network(torch.from_numpy(dev.inputs)), torch.from_numpy(dev.targets)
    )
    assert table(run)["dev_loss"][-1] == pytest.approx(loss.item(), rel=1e-14)
    np.testing.assert_allclose(run.state.model["norms.0.running_mean"], network[1].running_mean, rtol=1e-14)


def test_no_epochs_are_the_start(experiment: Make, engine: Any) -> None:
    made = experiment(training={"epochs": 0})
    start = engine.initial_state(made)
    torch.manual_seed(0)
    np.testing.assert_array_equal(start.model["layers.0.weight"], nn.Linear(2, 4).weight.detach())
    assert start.epoch == 0
    assert start.optimizer_state == {}


def test_sparse_adam_on_an_embedding_is_a_plain_loops(experiment: Make, course: Make) -> None:
    """SparseAdam takes the table, of which a batch names some rows, and Adam the rest."""
    symbols = [[1, 2], [2, 2], [4, 1], [1, 0], [4, 4], [2, 1]]
    made = experiment(
        dataset={"name": "inline", "inputs": symbols, "targets": [0, 1, 2, 0, 1, 2]},
        architecture={"hidden": [], "embedding": {"vocabulary": 6, "dim": 3}},
        loss="cross_entropy",
        optimizer={"name": "sparseadam", "lr": 0.05, "betas": [0.8, 0.9], "eps": 1e-6},
        training={"epochs": 30, "dtype": "float64", "batch_size": 2, "shuffle": False},
    )
    run = course(made)
    start = run.state.model
    run.finish()
    embedding = nn.Embedding(6, 3, sparse=True, dtype=torch.float64)
    layer = nn.Linear(6, 3, dtype=torch.float64)
    embedding.load_state_dict({"weight": torch.from_numpy(start["embedding.weight"])})
    layer.load_state_dict({name: torch.from_numpy(start[f"layers.0.{name}"]) for name in ("weight", "bias")})
    options = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-6}
    optimizers = [
        torch.optim.SparseAdam(embedding.parameters(), **options),
        torch.optim.Adam(layer.parameters(), **options),
    ]
    rows, ids, means = torch.tensor(symbols), torch.tensor([0, 1, 2, 0, 1, 2]), []
    for _ in range(30):
        met = []
        for places in (slice(0, 2), slice(2, 4), slice(4, 6)):
            loss = nn.functional.cross_entropy(layer(embedding(rows[places]).flatten(1)), ids[places])
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            met.append(loss.item())
        means.append(sum(met) / 3)
    np.testing.assert_array_equal(run.state.model["embedding.weight"], embedding.weight.detach())
    np.testing.assert_array_equal(run.state.model["layers.0.weight"], layer.weight.detach())
    np.testing.assert_allclose(table(run)["train_loss"], means, rtol=1e-15)
    for unnamed in (3, 5):
        np.testing.assert_array_equal(embedding.weight.detach()[unnamed], start["embedding.weight"][unnamed])
