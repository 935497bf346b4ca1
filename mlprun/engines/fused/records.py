"""The records that kernels take, and the layout of a network in flat arrays.

A kernel is compiled once for all networks, so everything about a network, a run and its state is data. Single
numbers are fields of three structured dtypes, which kernels read and write in place: `RUN`, `STATE` and
`LAYER`. Arrays are grouped into named tuples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.engines.epoch_protocol import batch_size
from mlprun.engines.fused.compilation import vector_bytes
from mlprun.engines.fused.functions import ACTIVATIONS, STORED
from mlprun.engines.fused.optimizers import OPTIONS
from mlprun.engines.fused.support import cached, kernel_activation
from mlprun.parts.activations import Identity, each

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.experiment import Experiment
    from mlprun.parts.activations import Activation
    from mlprun.parts.architectures.mlp import Mlp

# What metric a kernel computes beside the loss.
NO_METRIC, BINARY_ACCURACY, ACCURACY, R2 = range(4)
# Why a kernel returned.
PAUSED, REACHED, FINISHED, OUT_OF_PATIENCE, DIVERGED = range(5)


def _dtype(integers: str, floats: str = "", *records: tuple[str, np.dtype[Any]]) -> np.dtype[Any]:
    fields = [(name, np.int64) for name in integers.split()] + [(name, np.float64) for name in floats.split()]
    return np.dtype([*fields, *records])


RUN = _dtype(
    # rows and their fields; offsets are in numbers of a row, 0 for what it lacks
    "train_rows dev_rows inputs outputs fields class_field weight_field constant_field "
    # training
    "batch_size block_rows shuffle seed epochs evaluate_every log_every patience python_metrics "
    # loss and metric, the latter one of the constants above
    "loss unread_loss sum_reduction weight_per_row metric best_is_metric maximize "
    "optimizer plateau plateau_patience plateau_cooldown plateau_absolute "
    # flat arrays: see Layout
    "parameters transposed",
    "lr scale loss_option l2 l1 clip_norm clip_value output_threshold target_threshold "
    "plateau_factor plateau_threshold plateau_min_lr plateau_eps",
    ("options", OPTIONS),
)
"""what does not change while a run is trained; kernels call it `run`"""

STATE = _dtype(
    "epoch batch_index steps best_epoch undefined plateau_bad_evaluations plateau_cooldown_left "
    # of the last call: rows written to the history, improvements, the epoch whose row order is in `order`
    "rows_written improvements drawn_epoch",
    "best_value best_loss best_metric plateau_factor plateau_best mu_product eta mu "
    "loss_sum weight_sum objective_sum hits epoch_loss epoch_objective epoch_lr",
)
"""the progress of a run; best values are nan at first"""

LAYER = _dtype(
    "inputs outputs weight bias gradient gradient_row z values slopes delta derivative "
    "first_activation activations transposes"
)
"""a linear layer and its activations: offsets into flat arrays, where bias is -1 for none"""


class Network(NamedTuple):
    """The layers, with the code and the two options of each activation."""

    layers: Any
    activations: Any
    options: Any


class Data(NamedTuple):
    """Rows of train and dev, and for each output what a sum of squared errors is multiplied by for R2."""

    train: Any
    dev: Any
    train_r2: Any
    dev_r2: Any


class Parameters(NamedTuple):
    """Flat arrays: the parameters, the optimizer's state, and the parameters of the best epoch."""

    current: Any
    optimizer: Any
    best: Any


class Workspace(NamedTuple):
    """What a thread works with while it trains a run: nothing in it outlives the call.

    A zero, intermediate values, outputs kept for metrics in Python, and what a step, an epoch and a call of
    the kernel need.
    """

    zero: Any
    values: Any
    outputs: Any
    gradient: Any
    scalars: Any
    squared_errors: Any
    words: Any
    counts: Any
    order: Any
    batch: Any
    history: Any
    improvements: Any


class Schedule(NamedTuple):
    """The epochs of one call: factors on the learning rate, from `first`, up to `until` or some batches."""

    lr_factors: Any
    first: Any
    until: Any
    batches: Any


def kernel_table(records: Any) -> list[int]:
    """Return the table that kernels read records from: of arrays the address and the shape, and numbers."""
    if isinstance(records, np.ndarray):
        return [records.__array_interface__["data"][0], *records.shape]
    if isinstance(records, tuple):
        return [number for record in records for number in kernel_table(record)]
    return [records]


BLOCK_VECTORS = 17
"""the largest number of vectors of rows in a block, so that a layer's values stay in the nearest cache"""
MIN_UNITS_TO_TRANSPOSE = 4
"""a layer with fewer units has the gradient of its weights summed over rows, whatever its inputs"""


@dataclass(frozen=True, eq=False)
class Layout:
    """A network in flat arrays, for all runs of one architecture, batch size and dtype."""

    dtype: np.dtype[Any]
    lanes: int
    block_rows: int
    shapes: dict[str, tuple[int, ...]]
    offsets: dict[str, int]
    parameters: int
    length: int
    """size of a flat array of parameters: a whole number of vectors"""
    network: Network
    transposed: int
    """offset of transposed inputs in the intermediate values"""
    values_size: int
    gradient_size: int

    @property
    def transposes_inputs(self) -> bool:
        """Whether the first layer reads its inputs transposed."""
        return bool(self.network.layers["transposes"][0])

    def flatten(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Copy arrays by parameter name into a flat array."""
        flat = np.zeros(self.length, self.dtype)
        for name, (begin, end, _) in self._slices.items():
            flat[begin:end] = np.asarray(arrays[name]).ravel()
        return flat

    def unflatten(self, flat: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Copy a flat array into arrays by parameter name."""
        return {
            name: flat[begin:end].reshape(shape).copy() for name, (begin, end, shape) in self._slices.items()
        }

    @cached_property
    def _slices(self) -> dict[str, tuple[int, int, tuple[int, ...]]]:
        return {
            name: (begin, begin + int(np.prod(self.shapes[name])), self.shapes[name])
            for name, begin in self.offsets.items()
        }

    @cached_property
    def products(self) -> int:
        """Multiplications for one row in a forward and a backward pass."""
        layers = self.network.layers
        return 3 * int((layers["inputs"] * layers["outputs"]).sum())


def layout_of(experiment: Experiment) -> Layout:
    """Return the layout of an experiment that the engine supports; equal layouts are one object."""
    config = experiment.config
    architecture: Mlp = config.architecture  # type: ignore[assignment]
    lanes = vector_bytes() // experiment.dtype.itemsize
    block_rows = _block_rows(batch_size(config, len(experiment.fixed["train"])), lanes)
    has_logits = config.loss.activation is not None
    return _layout(architecture, experiment.width, experiment.dtype, lanes, block_rows, has_logits=has_logits)


def _padded(size: int, lanes: int) -> int:
    return -(-size // lanes) * lanes


def _block_rows(rows: int, lanes: int) -> int:
    """Return the rows of a block: few blocks of equal size, an odd number of vectors where there are many.

    An odd stride spreads the features of a row over all sets of the cache.
    """
    vectors = -(-rows // lanes)
    blocks = -(-vectors // BLOCK_VECTORS)
    vectors = -(-vectors // blocks)
    return lanes * (vectors | 1 if vectors > 4 else vectors)


def _activations(architecture: Mlp, *, has_logits: bool) -> list[tuple[Activation, ...]]:
    """Return the activations after each linear layer; that of the outputs only where the loss reads it."""
    output = architecture.output_activation
    assert output is not None
    hidden = [each(layer.activation) for layer in architecture.hidden_layers if layer.activation is not None]
    return [*hidden, (Identity() if has_logits else output,)]


@cached
def _layout(
    architecture: Mlp, width: int, dtype: np.dtype[Any], lanes: int, block_rows: int, *, has_logits: bool
) -> Layout:
    shapes = architecture.shapes(width)
    assert shapes is not None
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])
    offsets = {name: int(begin) for name, begin in zip(shapes, ends, strict=False)}
    length = _padded(int(ends[-1]), lanes)
    activations = _activations(architecture, has_logits=has_logits)
    layers = np.zeros(len(activations), LAYER)
    codes: list[int] = []
    options: list[float] = []
    values, gradient, longest = 0, length, 0
    for index, parts in enumerate(activations):
        layer = layers[index]
        outputs, inputs = shapes[f"layers.{index}.weight"]
        layer["inputs"], layer["outputs"] = inputs, outputs
        layer["weight"] = layer["gradient"] = offsets[f"layers.{index}.weight"]
        layer["bias"] = offsets.get(f"layers.{index}.bias", -1)
        layer["gradient_row"] = inputs
        if inputs >= lanes and outputs >= MIN_UNITS_TO_TRANSPOSE:
            row = _padded(inputs, lanes)
            layer["transposes"], layer["gradient_row"] = 1, row
            longest = max(longest, row)
            if inputs % lanes:
                layer["gradient"], gradient = gradient, gradient + outputs * row
        layer["first_activation"], layer["activations"] = len(codes), len(parts)
        for part in parts:
            kernel = kernel_activation(part)
            assert kernel is not None, "activations without a kernel are not supported"
            codes.append(ACTIVATIONS.index(kernel[0]))
            options += (*kernel[1], 0.0, 0.0)[:2]
        stored = len(parts) > 1 or codes[-1] >= STORED
        layer["derivative"] = STORED if stored else codes[-1]
        layer["z"] = layer["values"] = values
        values += outputs * block_rows
        if stored:
            layer["values"], layer["slopes"] = values, values + outputs * block_rows
            values += 2 * outputs * block_rows
    widest = int(layers["outputs"].max()) * block_rows
    layers["delta"] = values + np.arange(len(layers)) % 2 * widest  # two buffers take turns
    transposed = values + 2 * widest
    return Layout(
        dtype=dtype,
        lanes=lanes,
        block_rows=block_rows,
        shapes=shapes,
        offsets=offsets,
        parameters=int(ends[-1]),
        length=length,
        network=Network(layers, np.array(codes), np.array(options)),
        transposed=transposed,
        values_size=transposed + longest * block_rows + lanes * block_rows,
        gradient_size=gradient + lanes,
    )
