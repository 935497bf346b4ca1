"""The gradients that engines give: autograd's by a plain script, of the next batch, unclipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from mlprun import engines
from mlprun.engines import Engine
from mlprun.engines.contract import never
from mlprun.randomness import Purpose, order

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.experiment import Experiment

    Make = Callable[..., Experiment]

BOUND = {"float32": 1e-5, "float64": 1e-12}
EVERY = pytest.mark.parametrize("engine", engines.every(), ids=lambda engine: engine.name)


TORCH = engines.every()[0]


def stands(experiment: Experiment, epochs: int = 0) -> Any:
    """A state of the torch engine after some epochs."""
    cohort = TORCH.open([experiment], [TORCH.initial_state(experiment)], device="cpu")
    TORCH.advance(cohort, [epochs], never)
    return TORCH.states(cohort, [0])[0]


def by_script(experiment: Experiment, state: Any, rows: Any) -> dict[str, np.ndarray]:
    """Logistic loss of a tanh network and both penalties, as written by hand."""
    given = {name: torch.tensor(array, requires_grad=True) for name, array in state.model.items()}
    data = experiment.fixed["train"]
    values, targets = torch.from_numpy(data.inputs[rows]), torch.from_numpy(data.targets[rows])
    values = torch.tanh(values @ given["layers.0.weight"].T + given["layers.0.bias"])
    values = values @ given["layers.1.weight"].T + given["layers.1.bias"]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(values, targets)
    weights = [given["layers.0.weight"], given["layers.1.weight"]]
    loss = loss + sum(0.01 * (weight**2).sum() + 0.001 * weight.abs().sum() for weight in weights)
    loss.backward()
    return {name: tensor.grad.numpy() for name, tensor in given.items()}


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", ["full", 7])
@pytest.mark.parametrize("epochs", [0, 3])
def test_the_gradient_is_that_of_the_first_batch_with_penalties_and_unclipped(
    engine: Engine, dtype: str, batch: Any, epochs: int, experiment: Make
) -> None:
    made = experiment(
        penalty={"l2": 0.01, "l1": 0.001},
        optimizer={"name": "adam", "lr": 0.1},
        training={"dtype": dtype, "batch_size": batch, "clip_norm": 1e-3},
    )
    reason = engine.unsupported_reason(made)
    if reason is not None:
        pytest.skip(reason)
    state = stands(made, epochs)
    rows = np.arange(45)
    if batch == 7:
        rows = order(made.config.training.seed, Purpose.ORDER, 45, epoch=epochs)[:7]
    expected, found = by_script(made, state, rows), engine.gradients(made, state, device="cpu")
    largest = max(np.abs(array).max() for array in expected.values())
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        np.testing.assert_allclose(found[name], array, rtol=0, atol=BOUND[dtype] * largest)


@EVERY
def test_a_dropout_mask_is_that_of_the_first_step(engine: Engine, experiment: Make) -> None:
    """A plain step of length 1 moves the parameters by the gradient."""
    made = experiment(
        architecture={"dropout": 0.5},
        optimizer={"name": "sgd", "lr": 1.0},
        training={"dtype": "float64", "batch_size": "full"},
    )
    if engine.unsupported_reason(made) is not None:
        pytest.skip("no dropout")
    state, moved = stands(made), stands(made, 1).model
    for name, array in engine.gradients(made, state, device="cpu").items():
        np.testing.assert_allclose(state.model[name] - moved[name], array, rtol=0, atol=1e-15)


def test_sparse_gradients_are_given_whole(experiment: Make) -> None:
    made = experiment(
        dataset={"name": "inline", "inputs": [[1, 2], [0, 1]], "targets": [0, 1], "split": "same"},
        architecture={"embedding": {"vocabulary": 5, "dim": 2}},
        optimizer={"name": "sparse_adam", "lr": 0.1},
    )
    found = TORCH.gradients(made, stands(made), device="cpu")["embedding.weight"]
    assert found.shape == (5, 2)
    assert np.flatnonzero(np.abs(found).sum(axis=1)).tolist() == [0, 1, 2]
