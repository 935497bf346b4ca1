"""A network as tables: where parameters, values and gradients stand in flat arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.fused import encoding
from mlprun.engines.fused import tables as t
from mlprun.parts.activations import Identity, each

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from numpy.typing import NDArray

    from mlprun.experiment import Experiment
    from mlprun.parts.activations import Activation
    from mlprun.parts.architectures.mlp import Mlp

BLOCK_VECTORS = 17
"""the most registers of rows in a block: what a layer computes stays in the nearest cache until it is read"""
WIDE_ENOUGH_TO_TURN = 4
"""a layer with fewer units has its weights' gradient summed over rows, whatever its inputs"""


@dataclass(frozen=True, eq=False)
class Layout:
    """What all runs of one architecture, batch size and dtype share."""

    dtype: np.dtype[Any]
    lanes: int
    stride: int
    """rows of a block"""
    shapes: dict[str, tuple[int, ...]]
    offsets: dict[str, int]
    parameters: int
    length: int
    """numbers in a flat array of parameters: a whole number of registers"""
    layers: NDArray[np.int64]
    codes: NDArray[np.int64]
    options: NDArray[np.float64]
    turned: int
    work_size: int
    gradient_size: int

    @property
    def compacts(self) -> bool:
        """Whether gradients are computed with padded rows."""
        return bool((self.layers[:, t.GRADIENT] != self.layers[:, t.WEIGHT]).any())

    def flat(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Arrays by parameter name as one flat array."""
        theta = np.zeros(self.length, self.dtype)
        for name, (begin, end, _) in self._places.items():
            theta[begin:end] = np.asarray(arrays[name]).ravel()
        return theta

    def named(self, theta: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Copies out of a flat array by parameter name."""
        return {
            name: theta[begin:end].reshape(shape).copy() for name, (begin, end, shape) in self._places.items()
        }

    @cached_property
    def _places(self) -> dict[str, tuple[int, int, tuple[int, ...]]]:
        return {
            name: (begin, begin + int(np.prod(self.shapes[name])), self.shapes[name])
            for name, begin in self.offsets.items()
        }

    @cached_property
    def products(self) -> int:
        """Multiplications for one row, there and back."""
        return 3 * int((self.layers[:, t.DIN] * self.layers[:, t.DOUT]).sum())


_KNOWN: dict[Hashable, Layout] = {}
_EQUAL: dict[bytes, Layout] = {}
MOST_KNOWN = 10_000


def layout_of(experiment: Experiment, lanes: int) -> Layout:
    """The layout of an experiment that the engine does not refuse; equal ones are one."""
    architecture: Mlp = experiment.config.architecture  # type: ignore[assignment]
    rows, batch = len(experiment.fixed["train"]), experiment.config.training.batch_size
    stride = _stride(rows if batch == "full" else min(batch, rows), lanes)
    # all that stands in the architecture but how it starts; what layers say of that is in the way at most
    said = tuple(getattr(architecture, name) for name in type(architecture).model_fields if name != "init")
    key = (said, experiment.config.loss.activation is None, experiment.width, experiment.dtype, stride, lanes)
    try:
        known = _KNOWN.get(key)
    except TypeError:  # parameters by name stand in lists
        return _shared(_made(experiment, stride, lanes))
    if known is None:
        if len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.clear()
            _EQUAL.clear()
        known = _KNOWN[key] = _shared(_made(experiment, stride, lanes))
    return known


def _shared(made: Layout) -> Layout:
    parts = b"".join(part.tobytes() for part in (made.layers, made.codes, made.options))
    return _EQUAL.setdefault(parts + f"{made.dtype} {made.stride}".encode(), made)


def _made(experiment: Experiment, stride: int, lanes: int) -> Layout:
    architecture = experiment.config.architecture
    shapes = architecture.shapes(experiment.width)
    assert shapes is not None
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    ends = np.cumsum([0, *sizes.values()])
    offsets = {name: int(begin) for name, begin in zip(shapes, ends, strict=False)}
    length = _padded(int(ends[-1]), lanes)
    layers, codes, options, work, gradient = _layers(experiment, shapes, offsets, stride, lanes, length)
    return Layout(
        experiment.dtype, lanes, stride, shapes, offsets, int(ends[-1]), length, layers, codes, options,
        work[0], work[1], gradient,
    )  # fmt: skip


def _padded(size: int, lanes: int) -> int:
    return -(-size // lanes) * lanes


def _stride(rows: int, lanes: int) -> int:
    """Rows of a block: as few blocks as fit, of equal size, an odd number of registers where there are many.

    An odd stride spreads the features of a row over all sets of the cache.
    """
    vectors = -(-rows // lanes)
    blocks = -(-vectors // BLOCK_VECTORS)
    vectors = -(-vectors // blocks)
    return lanes * (vectors | 1 if vectors > 4 else vectors)


def activation_lists(experiment: Experiment) -> list[tuple[Activation, ...]]:
    """The activations after each linear layer; the output's only where the loss reads it."""
    architecture: Mlp = experiment.config.architecture  # type: ignore[assignment]
    output = architecture.output_activation
    assert output is not None
    hidden = [each(layer.activation) for layer in architecture.hidden_layers if layer.activation is not None]
    return [*hidden, (Identity() if experiment.config.loss.activation else output,)]


def _layers(
    experiment: Experiment, shapes: dict[str, Any], offsets: dict[str, int], stride: int, lanes: int,
    length: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], tuple[int, int], int]:  # fmt: skip
    lists = activation_lists(experiment)
    layers = np.zeros((len(lists), t.LAYER), np.int64)
    codes: list[int] = []
    options: list[float] = []
    work, gradient, longest = 0, length, 0
    widest = max(shapes[f"layers.{number}.weight"][0] for number in range(len(lists)))
    for number, parts in enumerate(lists):
        row = layers[number]
        dout, din = shapes[f"layers.{number}.weight"]
        row[t.DIN], row[t.DOUT], row[t.WEIGHT] = din, dout, offsets[f"layers.{number}.weight"]
        row[t.BIAS] = offsets.get(f"layers.{number}.bias", -1)
        row[t.GRADIENT], row[t.GRADIENT_STRIDE] = row[t.WEIGHT], din
        if din >= lanes and dout >= WIDE_ENOUGH_TO_TURN:
            row[t.TURNS], row[t.GRADIENT_STRIDE] = 1, _padded(din, lanes)
            longest = max(longest, _padded(din, lanes))
            if din % lanes:
                row[t.GRADIENT], gradient = gradient, gradient + dout * _padded(din, lanes)
        encoded = [encoding.activation(part) for part in parts]
        row[t.FIRST_ACTIVATION], row[t.ACTIVATIONS] = len(codes), len(parts)
        for entry in encoded:
            assert entry is not None, "an activation that kernels lack is refused"
            codes.append(encoding.code(encoding.ACTIVATIONS, entry[0]))
            options += entry[1:]
        simple = len(encoded) == 1 and codes[-1] < encoding.BY_VALUE
        row[t.DERIVATIVE] = codes[-1] if simple else encoding.BY_VALUE
        row[t.BEFORE] = row[t.VALUES] = work
        work += dout * stride
        if not simple:
            row[t.VALUES], row[t.SLOPES] = work, work + dout * stride
            work += 2 * dout * stride
    for number in range(len(lists)):
        layers[number, t.DELTA] = work + number % 2 * widest * stride
    turned = work + 2 * widest * stride
    size = turned + longest * stride + lanes * stride
    return layers, np.array(codes), np.array(options), (turned, size), gradient + lanes
