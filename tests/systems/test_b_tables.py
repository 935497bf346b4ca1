"""A deep-learning framework from scratch: its printed tables of ten losses, recorded before each update.

tables.json holds the figures, from the framework's own weights. The rest of its layers (embedding, recurrent
cell, softmax cross entropy whose gradient is that of the sum) against plain PyTorch scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.api import Run

    Train = Callable[..., Run]
    Mapping = dict[str, Any]


EVERY = pytest.mark.parametrize("engine", ["torch", "fused", "scratch"])
OF_SYMBOLS = pytest.mark.parametrize("engine", ["torch", "scratch"])
"""the fused engine has no kernel for cells"""


@EVERY
@pytest.mark.parametrize(
    ("config", "table", "shown", "tolerance"),
    [
        # half the sum is differentiated, the sum is printed: four times the mean over four rows
        ("second_bit_linear", "second_bit_linear_no_bias", lambda h: 4 * h["train_loss"], 1e-14),
        ("second_bit_two_layers", "second_bit_two_linear", lambda h: h["train_objective"], 5.1e-9),
        ("second_bit_tanh", "second_bit_tanh_sigmoid", lambda h: h["train_objective"], 5.1e-9),
    ],
)
def test_a_shipped_config_prints_the_table(
    config: str, table: str, shown: Any, tolerance: float, engine: str, figures: Mapping, train: Train
) -> None:
    history = train(config, f"engine={engine}").history
    np.testing.assert_allclose(shown(history), figures[table], rtol=0, atol=tolerance)


@EVERY
@pytest.mark.parametrize("config", ["second_bit_two_layers", "second_bit_tanh"])
def test_the_mean_is_shown_beside_the_sum_that_is_differentiated(
    config: str, engine: str, train: Train
) -> None:
    history = train(config, f"engine={engine}").history
    np.testing.assert_allclose(history["train_objective"], 4 * history["train_loss"], rtol=1e-14)


def fitted(network: nn.Module, inputs: torch.Tensor, loss: Any, lr: float, epochs: int) -> list[float]:
    """Losses before each of some steps of gradient descent, in plain PyTorch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        value = loss(network(inputs))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def start_of(run: Run) -> dict[str, torch.Tensor]:
    """The weights that a run started from."""
    return run.last.experiment.network().state_dict()


@pytest.mark.parametrize("engine", ["torch", "scratch", "fused"])
@pytest.mark.parametrize("config", ["embedding_classes", "embedding_numbers"])
def test_an_embedding_learns_as_in_a_plain_script(config: str, engine: str, train: Train) -> None:
    run = train(config, f"engine={engine}")
    lr = run.config.optimizer.lr
    start = start_of(run)
    table, layer = nn.Embedding(*start["embedding.weight"].shape), nn.Linear(3, 2, dtype=torch.float64)
    layer.weight = nn.Parameter(start["layers.0.weight"].clone())
    layer.bias = nn.Parameter(start["layers.0.bias"].clone())
    table.weight = nn.Parameter(start["embedding.weight"].clone())
    symbols, labels = torch.tensor([1, 2, 1, 2]), torch.tensor([0, 1, 0, 1])
    plain = nn.Sequential(table, nn.Tanh(), layer)
    if config == "embedding_classes":
        losses = fitted(plain, symbols, lambda z: nn.CrossEntropyLoss(reduction="sum")(z, labels), lr, 10)
    else:
        plain.append(nn.Sigmoid())
        losses = fitted(plain, symbols, lambda p: ((p[:, 0] - labels) ** 2).sum(), lr, 10)
    np.testing.assert_allclose(run.history["train_objective"], losses, rtol=1e-12)
    np.testing.assert_allclose(run.history["train_loss"], np.array(losses) / 4, rtol=1e-12)
    unused = {0, *range(3, run.config.architecture.vocabulary)}
    left = run.last.network.embedding.weight.detach()[sorted(unused)]
    assert torch.equal(left, start["embedding.weight"][sorted(unused)])  # symbols that no row has


@OF_SYMBOLS
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_a_recurrent_cell_learns_as_in_a_plain_script(activation: str, engine: str, train: Train) -> None:
    run = train(
        "recurrent",
        f"engine={engine}",
        "training.epochs=20",
        "training.dtype=float64",
        f"architecture.activation={activation}",
        "architecture.hidden=6",
    )
    start = start_of(run)

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.values = nn.ParameterDict(
                {name.replace(".", "_"): nn.Parameter(value.clone()) for name, value in start.items()}
            )

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            squash = torch.tanh if activation == "tanh" else torch.sigmoid
            v, state = self.values, torch.zeros(len(rows), 6, dtype=torch.float64)
            for column in rows.T:
                read = v["embedding_weight"][column] @ v["cell_input_weight"].T + v["cell_input_bias"]
                state = squash(read + state @ v["cell_hidden_weight"].T + v["cell_hidden_bias"])
            return state @ v["cell_output_weight"].T + v["cell_output_bias"]

    rows = (torch.arange(5)[:, None] + torch.arange(5)) % 5
    following = torch.arange(5) % 5  # row b, time 5: (b + 5) mod 5
    losses = fitted(
        Plain(),
        rows,
        lambda z: nn.CrossEntropyLoss(reduction="sum")(z, following),
        run.config.optimizer.lr,
        20,
    )
    np.testing.assert_allclose(run.history["train_objective"], losses, rtol=1e-12)


def test_a_recurrent_cell_with_tanh_is_torchs(train: Train) -> None:
    run = train("recurrent", "training.epochs=0", "architecture.activation=tanh")
    start, network = start_of(run), run.last.network
    cell = nn.RNNCell(16, 16, nonlinearity="tanh")
    cell.load_state_dict(
        {
            "weight_ih": start["cell.input.weight"],
            "weight_hh": start["cell.hidden.weight"],
            "bias_ih": start["cell.input.bias"],
            "bias_hh": start["cell.hidden.bias"],
        }
    )
    rows = torch.tensor([[3, 1, 4, 1, 0]])
    state = torch.zeros(1, 16)
    for symbol in rows[0]:
        state = cell(start["embedding.weight"][symbol][None], state)
    expected = state @ start["cell.output.weight"].T + start["cell.output.bias"]
    torch.testing.assert_close(network.preactivation(rows), expected)
