"""The records that kernels take, and the layout of a network in flat arrays.

A kernel is compiled once for all networks, so everything about a network, a run and its state is data. Single
numbers are fields of three structured dtypes, which kernels read and write in place: `RUN`, `STATE` and
`LAYER`. Arrays are grouped into named tuples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun.engines.fused.compilation import vector_bytes
from mlprun.engines.fused.functions import ACTIVATIONS, STORED
from mlprun.engines.fused.optimizers import OPTIONS
from mlprun.engines.fused.support import cached, kernel_activation
from mlprun.parts.activations import Identity, each
from mlprun.parts.optimizers import matches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.experiment import Experiment
    from mlprun.parts.activations import Activation
    from mlprun.parts.architectures.mlp import Mlp
    from mlprun.parts.optimizers import UpdateRule

# What a kernel sums up over rows for metrics; the binary ones are of one output.
NO_SUMS, BINARY_HITS, HITS, BINARY_COUNTS, COUNTS, SQUARED_ERRORS, ERRORS = range(7)
# How a layer is normalised.
NO_NORM, BATCH_NORM, LAYER_NORM = range(3)
# Which average of the parameters is evaluated.
NO_AVERAGE, EMA, SWA = range(3)
# Why a kernel returned.
PAUSED, REACHED, FINISHED, OUT_OF_PATIENCE, DIVERGED = range(5)


def _dtype(integers: str, floats: str = "", *records: tuple[str, np.dtype[Any]]) -> np.dtype[Any]:
    fields = [(name, np.int64) for name in integers.split()] + [(name, np.float64) for name in floats.split()]
    return np.dtype([*fields, *records])


RUN = _dtype(
    # rows and their fields; offsets are in numbers of a row, 0 for what it lacks
    "train_rows dev_rows inputs outputs fields class_field weight_field sample_weight_field constant_field "
    # training
    "batch_size accumulate block_rows shuffle seed epochs evaluate_every log_every patience python_metrics "
    # loss and metrics: one of the constants above, the classes that are counted (1 for hits), and the index
    # of the metric that decides on the best epoch, -1 for the loss
    "loss unread_loss sum_reduction penalty_per_row weight_per_row sums classes best_metric maximize "
    "optimizer plateau plateau_patience plateau_cooldown plateau_absolute "
    # flat arrays: see Layout
    "parameters transposed average average_start",
    # the sums of the weights of rows, for metrics
    "train_weight dev_weight "
    "lr scale l2 l1 clip_norm clip_value min_delta average_decay output_threshold target_threshold "
    "plateau_factor plateau_threshold plateau_min_lr plateau_eps",
)
"""what does not change while a run is trained; kernels call it `run`"""

STATE = _dtype(
    "epoch batch_index step_batches steps averaged_steps best_epoch reference_epoch undefined "
    "plateau_bad_evaluations plateau_cooldown_left "
    # of the last call: rows written to the history, improvements, the epoch whose row order is in `order`
    "rows_written improvements drawn_epoch",
    "best_value reference_value plateau_factor plateau_best mu_product eta mu "
    "loss_sum weight_sum objective_sum step_loss step_weight step_rows epoch_loss epoch_objective epoch_lr",
)
"""the progress of a run, with the evaluation that patience counts from; best values are nan at first

`step_batches`, `step_loss`, `step_weight` and `step_rows` are sums over the batches of a step so far.
`averaged_steps` counts all steps of the training, where `steps` may begin anew with a state.
"""

GROUP = _dtype("begin length", "lr_factor", ("options", OPTIONS))
"""parameters that are updated alike: whole vectors of the flat arrays, and the optimizer's options"""

LAYER = _dtype(
    "inputs outputs weight weights bias gradient gradient_row linear z values slopes delta derivative "
    "first_activation activations transposes "
    # the norm, with the offsets of its parameters, of the mean or the factor of deviations in the
    # intermediate values, of the running statistics behind the parameters, and whether it keeps these
    "norm gain shift statistics running frozen "
    # the 53 random bits from which a unit is kept, 0 without dropout, and the units of dropout layers before
    "dropout units_before "
    # the dimension of an embedding, 0 for a linear layer
    "dim "
    # where the gradient of what is added to the layer's input is kept, 0 for a layer that adds nothing
    "skip",
    "dropout_scale",
)
"""a linear layer or an embedding, its norm, activations and dropout: offsets into flat arrays

The bias is -1 for none. The linear layer's outputs are at `linear`, what activations read at `z`.
"""


class Network(NamedTuple):
    """The layers, with the code and the two options of each activation."""

    layers: Any
    activations: Any
    options: Any


class Data(NamedTuple):
    """Rows of train and dev, and what metrics are computed with.

    For each output what a sum of squared errors is multiplied by for R2, its scale in the user's units, and
    the option of the loss; kind and average of each metric.
    """

    train: Any
    dev: Any
    train_r2: Any
    dev_r2: Any
    units: Any
    loss_options: Any
    metrics: Any


class Parameters(NamedTuple):
    """Flat arrays: the parameters, the optimizer's state, and the parameters of the best epoch.

    `evaluated` are the averaged parameters, or `current` itself where no average is taken. `groups` says
    how the parameters are updated; those of no group are frozen.
    """

    current: Any
    optimizer: Any
    best: Any
    evaluated: Any
    groups: Any


class Workspace(NamedTuple):
    """What a thread works with while it trains a run: nothing in it outlives the call.

    A zero, intermediate values, outputs kept for metrics in Python, and what a step, an epoch and a call of
    the kernel need. `metrics` has those of train, then those of dev.
    """

    zero: Any
    values: Any
    outputs: Any
    gradient: Any
    scalars: Any
    sums: Any
    metrics: Any
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
        return [records.ctypes.data, *records.shape]  # the array interface describes every field of a record
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
    """of parameters and running statistics"""
    offsets: dict[str, int]
    """of the parameters; each begins a vector if they are updated in groups, or follows the one before"""
    running: dict[str, int]
    """offsets of the running statistics behind the parameters"""
    parameters: int
    length: int
    """size of a flat array of parameters: a whole number of vectors"""
    size: int
    """size of a flat array of parameters and running statistics"""
    network: Network
    transposed: int
    """offset of transposed inputs in the intermediate values"""
    values_size: int
    gradient_size: int
    frozen: tuple[str, ...]
    """batch norms that keep their running statistics"""
    dropout_words: int
    """random words for the dropout of a block"""

    @property
    def transposes_inputs(self) -> bool:
        """Whether the first layer reads its inputs transposed."""
        return bool(self.network.layers["transposes"][0])

    def flatten(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Copy parameters and running statistics by name into a flat array."""
        flat = np.zeros(self.size, self.dtype)
        for name, (begin, end, _) in self._slices.items():
            flat[begin:end] = np.asarray(arrays[name]).ravel()
        return flat

    def unflatten(self, flat: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Copy a flat array into arrays by parameter name."""
        return {name: self._array(flat, name) for name in self.offsets}

    def statistics(self, flat: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Copy the running statistics out of a flat array."""
        return {name: self._array(flat, name) for name in self.running}

    def _array(self, flat: NDArray[Any], name: str) -> NDArray[Any]:
        begin, end, shape = self._slices[name]
        return flat[begin:end].reshape(shape).copy()

    @cached_property
    def _slices(self) -> dict[str, tuple[int, int, tuple[int, ...]]]:
        return {
            name: (begin, begin + int(np.prod(self.shapes[name])), self.shapes[name])
            for name, begin in (self.offsets | self.running).items()
        }

    @cached_property
    def used(self) -> Any:
        """What selects the numbers of the parameters in a flat array, without the padding between them."""
        offsets = np.concatenate([np.arange(*self._slices[name][:2]) for name in self.offsets])
        return offsets if len(offsets) < self.parameters else slice(self.parameters)

    def groups(self, rules: Mapping[str, UpdateRule]) -> list[tuple[int, int, UpdateRule]]:
        """Return where neighbouring parameters with one rule begin, for how many numbers, and the rule."""
        found: list[tuple[int, int, UpdateRule]] = []
        ends = [*list(self.offsets.values())[1:], self.length]
        for (name, begin), end in zip(self.offsets.items(), ends, strict=True):
            if name in rules:
                first, length, rule = found[-1] if found else (0, 0, rules[name])
                if (first + length, rule) == (begin, rules[name]):
                    found[-1:] = [(first, end - first, rule)]
                else:
                    found.append((begin, end - begin, rules[name]))
        return found

    @cached_property
    def table(self) -> list[int]:
        """The table that kernels read the network from."""
        return kernel_table(self.network)

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
    rows = config.training.batch_rows(len(experiment.fixed["train"]))
    norms = {f"norms.{k}": layer.norm for k, layer in enumerate(architecture.hidden_layers)}
    frozen = [k for k in norms if all(matches(config.freeze, f"{k}.{kind}") for kind in ("weight", "bias"))]
    aligned = bool(config.freeze or config.optimizer.groups)
    whole = "batch" in norms.values()
    block_rows = _block_rows(rows, lanes, most=rows if whole else BLOCK_VECTORS)
    has_logits = config.loss.activation is not None
    return _layout(
        architecture,
        experiment.width,
        experiment.dtype,
        lanes,
        block_rows,
        has_logits=has_logits,
        frozen=tuple(frozen),
        aligned=aligned,
    )


def _padded(size: int, lanes: int) -> int:
    return -(-size // lanes) * lanes


def _block_rows(rows: int, lanes: int, *, most: int) -> int:
    """Return the rows of a block of at most so many vectors.

    Blocks are few and of equal size, an odd number of vectors where there are many: an odd stride spreads the
    features of a row over all sets of the cache.
    """
    vectors = -(-rows // lanes)
    blocks = -(-vectors // most)
    vectors = -(-vectors // blocks)
    return lanes * (vectors | 1 if vectors > 4 else vectors)


class _Stage(NamedTuple):
    """A layer as `Layout` lists them: the names of its parameters and what follows it."""

    name: str
    activations: tuple[Activation, ...]
    norm: str = ""
    norm_kind: int = NO_NORM
    dropout: float = 0.0
    skips: bool = False


def _stages(architecture: Mlp, *, has_logits: bool) -> list[_Stage]:
    """Return the embedding and the linear layers; the last has an activation only where the loss reads it."""
    output, embedding = architecture.output_activation, architecture.embedding
    assert output is not None
    stages = [] if embedding is None else [_Stage("embedding", each(embedding.activation))]
    for k, layer in enumerate(architecture.hidden_layers):
        kind = {"batch": BATCH_NORM, "layer": LAYER_NORM}.get(layer.norm or "", NO_NORM)
        activations = each(layer.activation or Identity())
        dropout, skips = layer.dropout or 0.0, architecture.skips[k]
        stages.append(_Stage(f"layers.{k}", activations, f"norms.{k}", kind, dropout, skips))
    name = f"layers.{len(architecture.hidden_layers)}"
    return [*stages, _Stage(name, (Identity() if has_logits else output,))]


@cached
def _layout(
    architecture: Mlp,
    width: int,
    dtype: np.dtype[Any],
    lanes: int,
    block_rows: int,
    *,
    has_logits: bool,
    frozen: tuple[str, ...],
    aligned: bool,
) -> Layout:
    shapes = architecture.shapes(width)
    assert shapes is not None
    unit = lanes if aligned else 1
    ends = np.cumsum([0, *(_padded(int(np.prod(shape)), unit) for shape in shapes.values())])
    offsets = {name: int(begin) for name, begin in zip(shapes, ends, strict=False)}
    length = _padded(int(ends[-1]), lanes)
    stages = _stages(architecture, has_logits=has_logits)
    layers = np.zeros(len(stages), LAYER)
    codes: list[int] = []
    options: list[float] = []
    values, gradient, longest, dropped, running = 0, length, 0, 0, {}
    size = length
    for layer, stage in zip(layers, stages, strict=True):
        outputs, inputs = shapes[f"{stage.name}.weight"]
        layer["weights"] = outputs * inputs
        if stage.name == "embedding":
            layer["dim"], inputs, outputs = inputs, width, width * inputs
        layer["inputs"], layer["outputs"] = inputs, outputs
        layer["weight"] = layer["gradient"] = offsets[f"{stage.name}.weight"]
        layer["bias"] = offsets.get(f"{stage.name}.bias", -1)
        layer["gradient_row"] = inputs
        if inputs >= lanes and outputs >= MIN_UNITS_TO_TRANSPOSE and not layer["dim"]:
            row = _padded(inputs, lanes)
            layer["transposes"], layer["gradient_row"] = 1, row
            longest = max(longest, (row // lanes | 1) * lanes)  # see `backward`
            if inputs % lanes:
                layer["gradient"], gradient = gradient, gradient + outputs * row
        layer["first_activation"], layer["activations"] = len(codes), len(stage.activations)
        for part in stage.activations:
            kernel = kernel_activation(part)
            assert kernel is not None, "activations without a kernel are not supported"
            codes.append(ACTIVATIONS.index(kernel[0]))
            options += (*kernel[1], 0.0, 0.0)[:2]
        if stage.dropout:
            # units are kept where a number in [0, 1) with 53 random bits is not below the probability
            layer["dropout"], layer["dropout_scale"] = (
                math.ceil(stage.dropout * 2**53),
                1 / (1 - stage.dropout),
            )
            layer["units_before"], dropped = dropped, dropped + outputs
        # the derivative cannot be computed from values that dropout or a residual connection has changed
        stored = len(stage.activations) > 1 or codes[-1] >= STORED or stage.dropout > 0 or stage.skips
        layer["derivative"] = STORED if stored else codes[-1]
        layer["linear"] = layer["z"] = layer["values"] = values
        values += outputs * block_rows
        if stage.norm_kind:
            layer["norm"] = stage.norm_kind
            layer["gain"], layer["shift"] = (offsets[f"{stage.norm}.{kind}"] for kind in ("weight", "bias"))
            layer["statistics"] = values
            values += _padded(max(2 * outputs, block_rows), lanes)
            layer["z"] = layer["values"] = values
            values += outputs * block_rows
        if stage.norm_kind == BATCH_NORM:
            layer["running"], layer["frozen"] = size, stage.norm in frozen
            for kind in ("mean", "var"):
                name = f"{stage.norm}.running_{kind}"
                running[name], shapes[name], size = size, (outputs,), size + outputs
        if stored:
            layer["values"], layer["slopes"] = values, values + outputs * block_rows
            values += 2 * outputs * block_rows
    widest = int(layers["outputs"].max()) * block_rows
    layers["delta"] = values + np.arange(len(layers)) % 2 * widest  # two buffers take turns
    skips = np.array([stage.skips for stage in stages])
    layers["skip"][skips] = values + 2 * widest
    transposed = values + (2 + int(skips.any())) * widest
    return Layout(
        dtype=dtype,
        lanes=lanes,
        block_rows=block_rows,
        shapes=shapes,
        offsets=offsets,
        running=running,
        parameters=int(ends[-1]),
        length=length,
        size=size,
        network=Network(layers, np.array(codes), np.array(options)),
        transposed=transposed,
        values_size=transposed + longest * block_rows + lanes * block_rows,
        gradient_size=gradient + lanes,
        frozen=frozen,
        # of a block and a layer, from a whole block of four words to another
        dropout_words=_padded(int(layers["outputs"][layers["dropout"] > 0].max(initial=0)) * block_rows, 4)
        + 4,
    )
