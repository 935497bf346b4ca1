"""A two-hidden-layer classifier whose digits were printed: one step, ten epochs, a thousand more.

classifier.json holds what a plain script with torch.manual_seed(997552708) prints in float32: BCE on the
logistic's outputs, SGD at lr 0.1, losses before each update.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import mlprun.api as mlprun
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.api import Run

    Train = Callable[..., Run]
    Mapping = dict[str, Any]


def test_the_untrained_network_gives_the_printed_probabilities(figures: Mapping, train: Train) -> None:
    run = train("classifier", "training.epochs=0", "snapshots=[]")
    probabilities = run.last.outputs(run.rows("train").inputs[:10])[:, 0]
    np.testing.assert_allclose(probabilities, figures["first10"], rtol=0, atol=5.1e-5)
    assert run.metrics["last"]["splits"]["train"]["loss"] == pytest.approx(figures["loss0"], abs=1e-7)


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        ("torch", "float32"),
        ("fused", "float32"),
        ("torch", "float64"),
        ("fused", "float64"),
        ("scratch", "float64"),
    ],
)
def test_one_step_then_ten_epochs_then_a_thousand_by_resuming(
    engine: str, dtype: str, figures: Mapping, train: Train
) -> None:
    """The figures are float32's; rounding moves none of them by what they are compared with."""
    given = f"engine={engine}", f"training.dtype={dtype}", "training.epochs=1", "snapshots=[]"
    run = train("classifier", *given)
    assert run.history["train_loss"][0] == pytest.approx(figures["loss0"], abs=1e-7)
    hidden = run.last.network.state_dict()["layers.1.weight"]
    np.testing.assert_allclose(hidden, figures["hidden2_after_step"], rtol=0, atol=5.1e-5)

    run = mlprun.resume(run.path, epochs=11)
    ten = run.history["train_loss"][1:]
    np.testing.assert_allclose(ten, figures["loss_10_epochs"], rtol=0, atol=5.1e-4)
    np.testing.assert_allclose(ten, figures["loss_10_epochs_full"], rtol=0, atol=2e-6)

    run = mlprun.resume(run.path, epochs=1011)
    thousand = run.history["train_loss"][11:]
    assert len(thousand) == 1000
    for epoch, loss in figures["loss_1000"].items():
        assert thousand[int(epoch)] == pytest.approx(loss, abs=2e-6)
    assert run.history["train_accuracy"][-1] == pytest.approx(figures["accuracy_end"], abs=1e-6)


def test_a_run_that_was_extended_twice_is_the_run_that_went_on(train: Train) -> None:
    short = train("classifier", "training.epochs=1", "snapshots=[]")
    for epochs in (11, 60):
        short = mlprun.resume(short.path, epochs=epochs)
    straight = train("classifier", "training.epochs=60", "snapshots=[]")
    for name in ("config.yaml", "history.csv", "best.safetensors", "last.safetensors"):
        assert Path(short.path, name).read_bytes() == Path(straight.path, name).read_bytes(), name


def test_the_outputs_of_every_snapshot_can_be_drawn(train: Train) -> None:
    """At epoch 0 the printed probabilities; later the classes part."""
    from mlprun.storage import checkpoints

    run = train("classifier")
    models = checkpoints.read(run.folder.last).snapshots()
    assert sorted(models) == list(range(0, 201, 20))
    rows = run.rows("train")
    network = run.last.experiment.blank_network()
    gaps = []
    for _, model in sorted(models.items()):
        network.load_state_dict({name: torch.tensor(array) for name, array in model.items()})
        outputs = network(torch.from_numpy(rows.inputs))[:, 0].detach().numpy()
        gaps.append(outputs[rows.truth == 1].mean() - outputs[rows.truth == 0].mean())
    assert (np.diff(gaps) > 0).all()
    assert gaps[-1] > 0.2


def test_parallel_activations_are_summed(train: Train) -> None:
    run = train("classifier_parallel", "training.epochs=30", "snapshots=[]")
    torch.manual_seed(997552708)
    layers = [torch.nn.Linear(a, b) for a, b in ((5, 8), (8, 4), (4, 1))]
    optimizer = torch.optim.SGD([p for layer in layers for p in layer.parameters()], lr=0.1)
    rows = run.rows("train")
    inputs, targets = torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)
    losses = []
    for _ in range(30):
        values = inputs
        for layer in layers[:-1]:
            before = layer(values)
            values = torch.relu(before) + torch.tanh(before)
        loss = torch.nn.functional.binary_cross_entropy(torch.sigmoid(layers[-1](values)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(run.history["train_loss"], losses, rtol=0, atol=2e-6)


def test_a_loss_of_ones_own_is_trained_when_code_is_allowed(train: Train) -> None:
    with pytest.raises(UsageError, match="--allow-code"):
        train("regression_fourth_power")
    run = train("regression_fourth_power", "training.epochs=60", allow_code=True)
    rows = run.rows("train")
    errors = run.last.outputs(rows.inputs) - rows.targets
    assert run.metrics["last"]["splits"]["train"]["loss"] == pytest.approx(np.mean(errors**4), rel=1e-4)
    assert run.history["train_loss"][-1] < 0.6 * run.history["train_loss"][0]
    with pytest.raises(UsageError, match="--allow-code"):
        mlprun.resume(run.path, epochs=70)
    assert mlprun.resume(run.path, epochs=70, allow_code=True).status.epochs == 70


def test_outputs_in_a_column_never_meet_targets_in_a_row(train: Train) -> None:
    """[N, 1] against [N] would broadcast to [N, N]."""
    from mlprun.parts.losses import losses

    values, targets = torch.zeros(6, 1), torch.zeros(6)
    for loss in losses:
        one = loss(name=loss.names()[0])
        if one.takes_ids:
            continue
        with pytest.raises(AssertionError):
            one.build()(values, targets)
