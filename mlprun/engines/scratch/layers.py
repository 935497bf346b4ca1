"""Chapter 4: layers, which hold what is learnt, and ways to join them.

Rows of a batch stand below each other, [B, D]; a matrix is [outputs, inputs], as torch keeps it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlprun.engines.scratch.tensor import Tensor

Layer = Callable[[Any], Tensor]


@dataclass
class Linear:
    """Y = X W^T + b, with b added to every row."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        products = rows @ self.weight.transpose()
        return products if self.bias is None else products + self.bias.expand(0, len(rows.data))


@dataclass
class Embedding:
    """A row of numbers for each symbol: a matrix times one-hot rows, without their zeros."""

    weight: Tensor

    def __call__(self, symbols: NDArray[np.int64]) -> Tensor:
        return self.weight.index_select(symbols)


class Sequential:
    """Layers one after another. It is a layer itself, so it can stand in another one."""

    def __init__(self, *layers: Layer) -> None:
        self.layers = list(layers)

    def add(self, *layers: Layer) -> None:
        self.layers.extend(layers)

    def __call__(self, values: Any) -> Any:
        for layer in self.layers:
            values = layer(values)
        return values


@dataclass
class RNNCell:
    """One step of a recurrent network: h' = f(input(x) + hidden(h)). `output` reads the last state.

    Every step uses the same tensors, so each gets the sum of its gradients over the steps.
    """

    input: Linear
    hidden: Linear
    output: Linear
    activation: Layer

    def __call__(self, values: Tensor, state: Tensor) -> Tensor:
        return self.activation(self.input(values) + self.hidden(state))

    def unroll(self, steps: list[Tensor]) -> Tensor:
        """What the output reads after all steps, [B, D] each, from a state of zeros."""
        state = Tensor(np.zeros((len(steps[0].data), len(self.hidden.weight.data))))
        for values in steps:
            state = self(values, state)
        return self.output(state)
