"""Chapter 1: numbers that remember where they came from, and so can be differentiated.

Let L be the scalar at the end of a computation and g(x) = dL/dx, an array of x's shape: a small change dx
changes L by the sum of g(x) dx over all elements. If y = f(x), write dy in terms of dx in the sum of
g(y) dy, and what stands before dx is g(x). Each operation below says so: it has a `pull` from g(y) to g(x).
`backward` pulls from L to the beginning; a tensor that was used more than once gets the sum over its uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Pull = Callable[[Array], Array]
_numbers = count()


class Tensor:
    """A float64 array with what it was computed from, and how a gradient is pulled back to each of these."""

    def __init__(
        self, data: ArrayLike, parents: Sequence[tuple[Tensor, Pull]] = (), *, requires_grad: bool = False
    ) -> None:
        self.data: Array = np.asarray(data, np.float64)
        self.grad: Any = None
        self.parents = [pair for pair in parents if pair[0].requires_grad]
        self.requires_grad: bool = requires_grad or bool(self.parents)
        self.number = next(_numbers)  # larger than those of its parents

    def backward(self, gradient: ArrayLike = 1.0) -> None:
        """Add dL/dx to the `grad` of every x at the beginning; `gradient` is dL/d(this tensor)."""
        arrived = {self: np.broadcast_to(np.asarray(gradient, np.float64), self.data.shape)}
        waiting = [(-self.number, self)]
        while waiting:
            tensor = heappop(waiting)[1]  # the last that was made: all of its uses have been here
            total = arrived.pop(tensor)
            if not tensor.parents:
                tensor.grad = total.copy() if tensor.grad is None else tensor.grad + total
            for parent, pull in tensor.parents:
                if parent not in arrived:
                    heappush(waiting, (-parent.number, parent))
                arrived[parent] = arrived[parent] + pull(total) if parent in arrived else pull(total)

    def apply(self, value: Array, slope: Array) -> Tensor:
        """y = f(x), each number on its own, given as f(x) and f'(x). dy = f'(x) dx."""
        return Tensor(value, [(self, lambda g: g * slope)])

    def __add__(self, other: Tensor | float) -> Tensor:
        """y = a + b. dy = da + db, so g(a) = g(b) = g(y)."""
        b = self._like(other)
        return Tensor(self.data + b.data, [(self, lambda g: g), (b, lambda g: g)])

    def __neg__(self) -> Tensor:
        """y = -a. dy = -da."""
        return Tensor(-self.data, [(self, np.negative)])

    def __sub__(self, other: Tensor | float) -> Tensor:
        """y = a - b. dy = da - db."""
        b = self._like(other)
        return Tensor(self.data - b.data, [(self, lambda g: g), (b, np.negative)])

    def __mul__(self, other: Tensor | float) -> Tensor:
        """y = a b, element by element. dy = b da + a db."""
        b = self._like(other)
        return Tensor(self.data * b.data, [(self, lambda g: g * b.data), (b, lambda g: g * self.data)])

    def __truediv__(self, number: Any) -> Tensor:
        """y = a / c for a constant c, or one for each element. dy = da / c."""
        return Tensor(self.data / number, [(self, lambda g: g / number)])

    def __matmul__(self, b: Tensor) -> Tensor:
        """Y = A B. The sum of G * (dA B + A dB) is that of (G B^T) * dA + (A^T G) * dB."""
        return Tensor(self.data @ b.data, [(self, lambda g: g @ b.data.T), (b, lambda g: self.data.T @ g)])

    def transpose(self) -> Tensor:
        """Y = A^T. Each number only stands elsewhere, and so does its gradient."""
        return Tensor(self.data.T, [(self, np.transpose)])

    def reshape(self, *shape: int) -> Tensor:
        """The same numbers in another shape; their gradients go back into the old one."""
        return Tensor(self.data.reshape(shape), [(self, lambda g: g.reshape(self.data.shape))])

    def sum(self, axis: int | None = None) -> Tensor:
        """y = the sum of x along an axis, or of all: dy is the sum of the dx, so each gets its y's g."""
        kept = self.data.sum(axis=axis, keepdims=True).shape
        pulls = [(self, lambda g: np.broadcast_to(g.reshape(kept), self.data.shape))]
        return Tensor(self.data.sum(axis=axis), pulls)

    def expand(self, axis: int, copies: int) -> Tensor:
        """y = copies of x along a new axis, the reverse of a sum: g(x) is the sum of the copies' g."""
        copied = np.repeat(np.expand_dims(self.data, axis), copies, axis=axis)
        return Tensor(copied, [(self, lambda g: g.sum(axis=axis))])

    def index_select(self, indices: NDArray[Any]) -> Tensor:
        """Rows of a table. A row gets the sum over all places where it was taken, the others nothing."""

        def pull(g: Array) -> Array:
            gradient = np.zeros_like(self.data)
            np.add.at(gradient, indices, g)  # gradient[indices] += g would count a repeated row once
            return gradient

        return Tensor(self.data[indices], [(self, pull)])

    def _like(self, other: Tensor | float) -> Tensor:
        b = other if isinstance(other, Tensor) else Tensor(np.full_like(self.data, other))
        if b.data.shape != self.data.shape:  # NumPy would make [N, N] of [N, 1] and [N]
            raise ValueError(f"shapes {self.data.shape} and {b.data.shape} differ; expand one of them")
        return b
