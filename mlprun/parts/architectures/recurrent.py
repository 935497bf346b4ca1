"""The recurrent network as a module; imports torch, so it is imported inside `build` only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from mlprun.parts.activations import build_activation
from mlprun.parts.architectures.network import Network, initialize
from mlprun.parts.initializers import LayerInit

if TYPE_CHECKING:
    from mlprun.parts.architectures.architecture import Dtype
    from mlprun.parts.architectures.rnn import Rnn


class Cell(nn.Module):
    """One step, and the reading of the last state."""

    def __init__(self, architecture: Rnn, inputs: int) -> None:
        super().__init__()
        assert architecture.outputs is not None
        hidden, bias = architecture.hidden, architecture.bias
        self.input = nn.Linear(inputs, hidden, bias=bias)
        self.hidden = nn.Linear(hidden, hidden, bias=bias)
        self.output = nn.Linear(hidden, architecture.outputs, bias=bias)
        self.activation = build_activation(architecture.activation)

    def forward(self, values: Tensor, state: Tensor) -> Tensor:
        """[B, D] numbers of one step and the state [B, H] to the next state [B, H]."""
        following: Tensor = self.activation(self.input(values) + self.hidden(state))
        return following


class RnnNetwork(Network):
    """The cell unrolled over the columns of its rows."""

    def __init__(self, architecture: Rnn, *, sparse: bool) -> None:
        super().__init__()
        assert architecture.output_activation is not None
        table = architecture.embedding
        self.has_embedding = table is not None
        if table is not None:
            self.embedding = nn.Embedding(table.vocabulary, table.dim, sparse=sparse)
            self.embedding_activation = build_activation(table.activation)
        self.cell = Cell(architecture, 1 if table is None else table.dim)
        self.output_activation = architecture.output_activation.build()

    @property
    def stages(self) -> list[nn.Module]:
        """The embedding and the pieces of the cell."""
        front = [self.embedding, self.embedding_activation] if self.has_embedding else []
        cell = self.cell
        return [*front, cell.input, cell.hidden, cell.activation, cell.output]

    def _embedded(self, rows: Tensor) -> Tensor:
        numbers: Tensor = self.embedding_activation(self.embedding(rows))
        return numbers

    def preactivation(self, rows: Tensor) -> Tensor:
        """[B, T] symbols or numbers to [B, K]."""
        steps = self._embedded(rows) if self.has_embedding else rows.unsqueeze(-1)
        state = steps.new_zeros(len(rows), self.cell.hidden.in_features)
        for values in steps.unbind(1):
            state = self.cell(values, state)
        outputs: Tensor = self.cell.output(state)
        return outputs


def build(architecture: Rnn, *, dtype: Dtype, sparse: bool) -> RnnNetwork:
    """The network, initialised as the architecture says and cast to `dtype`."""
    network = RnnNetwork(architecture, sparse=sparse)
    init = architecture.init if isinstance(architecture.init, LayerInit) else LayerInit()
    named = None if isinstance(architecture.init, LayerInit) else architecture.init
    starts: list[tuple[nn.Module, LayerInit]] = []
    if architecture.embedding is not None:
        starts.append((network.embedding, LayerInit(weight=architecture.embedding.init)))
    starts += [(module, init) for module in (network.cell.input, network.cell.hidden, network.cell.output)]
    initialize(network, starts, dtype=dtype, named=named)
    return network
