"""One training step inside kernels: forward and backward pass, loss, penalties, clipping and the update.

Blocks of rows are feature-major: a row of memory is one feature of up to `run.block_rows` rows of data, so
that SIMD lanes run over rows. The inputs of wide layers are transposed, so that lanes run over them in the
gradient of the weights.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import uint64

from mlprun.engines.fused.batches import draw_words
from mlprun.engines.fused.compat import device_function, inlined
from mlprun.engines.fused.elementwise import (
    activate,
    activate_and_derive,
    differentiate,
    keep_units,
    scalars_function,
    sum_cross_entropy,
    sum_loss,
    update_function,
)
from mlprun.engines.fused.functions import STORED
from mlprun.engines.fused.lanes import VECTOR_BYTES, Matrix
from mlprun.engines.fused.losses import CROSS_ENTROPY
from mlprun.engines.fused.matmul import add_dots, add_product, multiply, transpose_block
from mlprun.engines.fused.norms import differentiate_norm, normalize
from mlprun.engines.fused.optimizers import OPTIMIZERS
from mlprun.engines.fused.records import (
    BINARY_COUNTS,
    BINARY_HITS,
    COUNTS,
    EMA,
    ERRORS,
    HITS,
    NO_NORM,
    SQUARED_ERRORS,
)
from mlprun.randomness import Purpose

DROPOUT = int(Purpose.DROPOUT)
UNUSED_BITS = np.uint64(11)


class Block(NamedTuple):
    """Rows of a feature-major array: where they start, the stride of features, and how many there are."""

    array: Any
    start: Any
    stride: Any
    count: Any
    vectors: Any


@inlined
def block_at(run: Any, rows: Any, begin: Any, total: Any) -> Any:
    """Return the block of the rows from `begin` of `total`."""
    count = min(run.block_rows, total - begin)
    lanes = VECTOR_BYTES // rows.itemsize
    start = begin // run.block_rows * run.fields * run.block_rows
    return Block(rows, start, run.block_rows, count, (count + lanes - 1) // lanes)


@inlined
def shift(view: Any, offset: Any) -> Any:
    """Return the view that starts `offset` numbers later."""
    return Matrix(view.array, view.start + offset, view.row, view.column)


@inlined
def feature(block: Any, index: Any) -> Any:
    """Return the view of a block from a feature on."""
    return Matrix(block.array, block.start + index * block.stride, block.stride, 1)


class Pass(NamedTuple):
    """What a forward pass needs besides: where outputs are kept, the mask, and the position of dropout.

    With `outputs_start` >= 0 the logits are copied to that offset of `space.outputs`, row by row. In
    evaluation `mask`, the offset of the mask in the block, is -1. Dropout depends on the number of rows of
    the batch and the first of them in the block.
    """

    outputs_start: Any
    mask: Any
    seed: Any
    epoch: Any
    step: Any
    rows: Any
    begin: Any


@device_function
def drop(layer: Any, values: Any, block: Any, words: Any, mode: Any) -> None:
    """Multiply values and derivatives by 0, or by what keeps their expectation."""
    units, stride = layer.outputs, block.stride
    # words go row by row through the batch, after those of the dropout layers before this one
    first = layer.units_before * mode.rows + mode.begin * units
    skipped = first % 4
    position = mode.epoch, mode.step, first // 4
    draw_words(mode.seed, DROPOUT, position, (skipped + block.count * units + 3) // 4, words)
    values_view, slopes = Matrix(values, layer.values, stride, 1), Matrix(values, layer.slopes, stride, 1)
    limits = uint64(layer.dropout) << UNUSED_BITS, layer.dropout_scale
    keep_units((values_view, slopes), (words, skipped), (units, block.vectors), limits)


@device_function
def look_up(layer: Any, parameters: Any, values: Any, block: Any) -> None:
    """Write the embeddings of a block's symbols."""
    dim, stride = layer.dim, block.stride
    for t in range(layer.inputs):
        for i in range(block.vectors * (VECTOR_BYTES // values.itemsize)):
            row = layer.weight + int(block.array[block.start + t * stride + i]) * dim
            for d in range(dim):
                values[layer.linear + (t * dim + d) * stride + i] = parameters[row + d]


@device_function
def add_to_rows(layer: Any, gradient: Any, values: Any, block: Any) -> None:
    """Add the gradient of each symbol's embedding."""
    dim, stride = layer.dim, block.stride
    for t in range(layer.inputs):
        for i in range(block.count):
            row = layer.weight + int(block.array[block.start + t * stride + i]) * dim
            for d in range(dim):
                gradient[row + d] += values[layer.delta + (t * dim + d) * stride + i]


@inlined
def add_features(values: Any, block: Any, target: Any, source: Any, features: Any) -> None:
    """Add features of a block at one offset to those at another."""
    for i in range(features * block.stride):
        values[target + i] += values[source + i]


@device_function
def forward(network: Any, parameters: Any, space: Any, block: Any, mode: Any) -> None:
    """Compute the values of all layers for a block."""
    layers, values, stride = network.layers, space.values, block.stride
    depth = layers.shape[0]
    source, start = block.array, block.start
    for index in range(depth):
        layer = layers[index]
        shape = (layer.outputs, block.vectors)
        z = Matrix(values, layer.z, stride, 1)
        weight = Matrix(parameters, layer.weight, layer.inputs, 1)
        bias = Matrix(space.zero, 0, 0, 1)
        if layer.bias >= 0:
            bias = Matrix(parameters, layer.bias, 1, 1)
        if layer.dim > 0:
            look_up(layer, parameters, values, block)
        else:
            operands = Matrix(values, layer.linear, stride, 1), weight, Matrix(source, start, stride, 1)
            multiply(operands, (layer.outputs, layer.inputs, block.vectors), bias)
        if layer.norm != NO_NORM:
            normalize(layer, parameters, values, block, mode.mask)
        if index == depth - 1 and mode.outputs_start >= 0:
            for i in range(block.count):
                at = mode.outputs_start + i * layer.outputs
                for k in range(layer.outputs):
                    space.outputs[at + k] = values[layer.z + k * stride + i]
        first = layer.first_activation
        if layer.derivative != STORED:
            activate(network.activations[first], z, shape, network.options[2 * first])
        else:
            a, slopes = Matrix(values, layer.values, stride, 1), Matrix(values, layer.slopes, stride, 1)
            for number in range(first, first + layer.activations):
                activate_and_derive(
                    network.activations[number],
                    (z, a, slopes),
                    shape,
                    (network.options[2 * number], network.options[2 * number + 1]),
                    1 if number == first else 0,
                )
        if layer.dropout > 0 and mode.mask >= 0:
            drop(layer, values, block, space.words, mode)
        if layer.skip > 0:
            add_features(values, block, layer.values, layers[index - 1].values, layer.outputs)
        source, start = values, layer.values


@inlined
def backward(run: Any, network: Any, parameters: Any, space: Any, block: Any) -> None:
    """Add the gradient of a block, from the derivative of the loss by the outputs."""
    layers, values, stride = network.layers, space.values, block.stride
    lanes = VECTOR_BYTES // values.itemsize
    for index in range(layers.shape[0] - 1, -1, -1):
        layer = layers[index]
        units, inputs = layer.outputs, layer.inputs
        delta = Matrix(values, layer.delta, stride, 1)
        if layer.skip > 0:  # the derivative changes it in place
            for i in range(units * stride):
                values[layer.skip + i] = values[layer.delta + i]
        bias = layer.bias if layer.norm == NO_NORM else layer.shift
        differentiate(
            layer.derivative,
            (Matrix(values, layer.values, stride, 1), Matrix(values, layer.slopes, stride, 1), delta),
            (units, block.vectors),
            network.options[2 * layer.first_activation],
            (Matrix(space.gradient, bias, 1, 1), bias),
        )
        if layer.norm != NO_NORM:
            mask = feature(block, run.inputs + run.outputs).start
            differentiate_norm(layer, parameters, space, block, mask)
        source = Matrix(block.array, block.start, stride, 1)
        if index > 0:
            source = Matrix(values, layers[index - 1].values, stride, 1)
        gradient = Matrix(space.gradient, layer.gradient, layer.gradient_row, 1)
        if layer.dim > 0:
            add_to_rows(layer, space.gradient, values, block)
        elif layer.transposes == 1:
            length = layer.gradient_row
            # an odd number of vectors, since strides of a power of two meet in few sets of the cache
            row = (length // lanes | 1) * lanes
            transposed = Matrix(values, run.transposed, row, 1)
            for i in range(0, block.vectors * lanes, lanes):
                for k in range(0, length, lanes):
                    transpose_block(shift(source, k * stride + i), shift(transposed, i * row + k))
            add_product((gradient, delta, transposed), (units, block.count, length // lanes))
        else:
            add_dots((gradient, delta, source), (units, inputs, block.vectors))
        if index > 0:
            weight = Matrix(parameters, layer.weight, 1, inputs)
            operands = Matrix(values, layers[index - 1].delta, stride, 1), weight, delta
            multiply(operands, (inputs, units, block.vectors), Matrix(space.zero, 0, 0, 1))
        if layer.skip > 0:
            add_features(values, block, layers[index - 1].delta, layer.skip, units)


@device_function
def block_loss(run: Any, layer: Any, values: Any, block: Any, scaling: Any) -> Any:
    """Return the loss summed over a block; its derivative becomes the delta of the last layer.

    `scaling` is the code of the loss, its option for each output, and the factor on the derivative.
    """
    code, options, factor = scaling
    outputs = Matrix(values, layer.values, block.stride, 1)
    gradient = Matrix(values, layer.delta, block.stride, 1)
    targets, mask = feature(block, run.inputs), feature(block, run.inputs + run.outputs)
    weights = feature(block, run.weight_field) if run.weight_field > 0 else mask
    total = 0.0
    if code == CROSS_ENTROPY:  # its targets contain the weights
        views = (outputs, targets, mask, gradient)
        total += sum_cross_entropy(views, (run.outputs, block.vectors), factor)
    else:
        for k in range(run.outputs):
            at = k * block.stride
            views = (shift(outputs, at), shift(targets, at), weights, shift(gradient, at))
            total += sum_loss(code, views, block.vectors, factor, options[k])
    if run.constant_field > 0:
        constant = feature(block, run.constant_field)
        for i in range(block.vectors * (VECTOR_BYTES // values.itemsize)):
            total += constant.array[constant.start + i]
    return total


@inlined
def predicted_class(run: Any, values: Any, outputs: Any, stride: Any) -> Any:
    """Return the index of a row's largest output; `outputs` is where its first is."""
    predicted = 0
    for k in range(1, run.outputs):
        if values[outputs + k * stride] > values[outputs + predicted * stride]:
            predicted = k
    return predicted


@inlined
def sample_weights(run: Any, block: Any) -> Any:
    """Return where the weights of a block's rows in metrics start; those of the mask are 1."""
    field = run.sample_weight_field if run.sample_weight_field > 0 else run.inputs + run.outputs
    return feature(block, field).start


@device_function
def add_hits(run: Any, layer: Any, values: Any, block: Any, sums: Any) -> None:
    """Add the weights of a block's rows that are correct, and of all."""
    array, stride, hits, outputs = block.array, block.stride, 0.0, layer.values
    weights, total = sample_weights(run, block), 0.0
    if run.sums == BINARY_HITS:
        targets = feature(block, run.inputs).start
        output_threshold, target_threshold = run.output_threshold, run.target_threshold
        for i in range(block.count):
            hit = (values[outputs + i] > output_threshold) == (array[targets + i] > target_threshold)
            hits += array[weights + i] if hit else 0.0
            total += array[weights + i]
    else:
        classes = feature(block, run.class_field).start
        for i in range(block.count):
            hit = predicted_class(run, values, outputs + i, stride) == array[classes + i]
            hits += array[weights + i] if hit else 0.0
            total += array[weights + i]
    sums[0] += hits
    sums[1] += total


@device_function
def add_counts(run: Any, layer: Any, values: Any, block: Any, sums: Any) -> None:
    """Add the weights of rows by class: of those that are correct, of the class, and predicted as it."""
    array, outputs, classes, weights = block.array, layer.values, run.classes, sample_weights(run, block)
    targets, ids = feature(block, run.inputs).start, feature(block, run.class_field).start
    for i in range(block.count):
        if run.sums == BINARY_COUNTS:
            predicted = int(values[outputs + i] > run.output_threshold)
            actual = int(array[targets + i] > run.target_threshold)
        else:
            predicted = predicted_class(run, values, outputs + i, block.stride)
            actual = int(array[ids + i])
        weight = array[weights + i]
        sums[actual] += weight if predicted == actual else 0.0
        sums[classes + actual] += weight
        sums[2 * classes + predicted] += weight


@device_function
def add_weighted_errors(run: Any, layer: Any, values: Any, block: Any, sums: Any) -> None:
    """Do the same for rows with weights; a product with 1 could be contracted to another last digit."""
    array, stride, count, weights = block.array, block.stride, run.outputs, sample_weights(run, block)
    targets, outputs = feature(block, run.inputs).start, layer.values
    for k in range(count):
        for i in range(block.count):
            weight = float(array[weights + i])
            size = abs(float(values[outputs + k * stride + i]) - float(array[targets + k * stride + i]))
            sums[k] += weight * (size * size)
            sums[count + k] += weight * size
            sums[2 * count + k] = max(sums[2 * count + k], size if weight > 0 else 0.0)


@device_function
def add_errors(run: Any, layer: Any, values: Any, block: Any, sums: Any) -> None:
    """Add a block's squared errors of each output, and for ERRORS the absolute ones and the largest."""
    array, stride, count = block.array, block.stride, run.outputs
    targets, outputs = feature(block, run.inputs).start, layer.values
    if run.sample_weight_field > 0:
        add_weighted_errors(run, layer, values, block, sums)
        return
    for k in range(count):
        total, absolute, largest = 0.0, 0.0, sums[2 * count + k]
        for i in range(block.count):
            error = float(values[outputs + k * stride + i]) - float(array[targets + k * stride + i])
            total += error * error
        sums[k] += total
        if run.sums == ERRORS:
            for i in range(block.count):
                size = abs(float(values[outputs + k * stride + i]) - float(array[targets + k * stride + i]))
                absolute += size
                largest = max(largest, size)
            sums[count + k] += absolute
            sums[2 * count + k] = largest


@inlined
def add_sums(run: Any, layer: Any, values: Any, block: Any, sums: Any) -> None:
    """Add what metrics are computed from (see metrics.py) over the rows of a block."""
    if run.sums == BINARY_HITS or run.sums == HITS:
        add_hits(run, layer, values, block, sums)
    elif run.sums == BINARY_COUNTS or run.sums == COUNTS:
        add_counts(run, layer, values, block, sums)
    elif run.sums == SQUARED_ERRORS or run.sums == ERRORS:
        add_errors(run, layer, values, block, sums)


@device_function
def penalize(run: Any, layers: Any, parameters: Any, gradient: Any, weight: Any) -> Any:
    """Return the value of the penalties and add their gradient; the weights of rows sum to `weight`."""
    share = run.weight_per_row / weight if run.penalty_per_row == 1 and weight > 0 else 1.0
    l2, l1 = run.l2 * share, run.l1 * share
    squares, sizes = 0.0, 0.0
    twice, once = parameters.dtype.type(2 * l2), parameters.dtype.type(l1)
    for index in range(layers.shape[0]):
        layer = layers[index]
        begin = layer.weight
        for i in range(begin, begin + layer.weights):
            w = parameters[i]
            squares += w * w
            sizes += abs(w)
            sign = once if w > 0 else (-once if w < 0 else once * 0)
            gradient[i] += twice * w + sign
    return (l2 * squares if l2 > 0 else 0.0) + (l1 * sizes if l1 > 0 else 0.0)


@device_function
def clip(run: Any, groups: Any, gradient: Any) -> None:
    """Clip the norm of the gradient of all groups, then each number, as torch does."""
    length = run.parameters
    if run.clip_norm >= 0:
        squares = 0.0
        for index in range(groups.shape[0]):
            begin = groups[index].begin
            for i in range(begin, begin + groups[index].length):
                squares += gradient[i] * gradient[i]
        share = run.clip_norm / (math.sqrt(squares) + 1e-6)
        if not share > 1.0:
            factor = gradient.dtype.type(share)
            for i in range(length):
                gradient[i] *= factor
    if run.clip_value >= 0:
        bound = gradient.dtype.type(run.clip_value)
        for i in range(length):
            if gradient[i] > bound:
                gradient[i] = bound
            elif gradient[i] < -bound:
                gradient[i] = -bound


@device_function
def compact(layers: Any, gradient: Any) -> None:
    """Copy gradients whose rows are padded to vectors to the offsets of the parameters."""
    for index in range(layers.shape[0]):
        layer = layers[index]
        if layer.gradient != layer.weight:
            for j in range(layer.outputs):
                source, target = layer.gradient + j * layer.gradient_row, layer.weight + j * layer.inputs
                for k in range(layer.inputs):
                    gradient[target + k] = gradient[source + k]


@device_function
def batch_weight(run: Any, rows: Any, count: Any) -> Any:
    """Return what the mean over a batch divides by."""
    if run.weight_field == 0:
        return float(count * run.weight_per_row)
    total, stride, field = 0.0, run.block_rows, run.weight_field
    for i in range(count):
        total += rows[(i // stride * run.fields + field) * stride + i % stride]
    return total * run.weight_per_row


set_scalars = scalars_function(OPTIMIZERS)
update = update_function(OPTIMIZERS)


@inlined
def update_groups(run: Any, state: Any, parameters: Any, space: Any, lr: Any) -> None:
    """Update the parameters of each group with its own learning rate and options."""
    groups, scalars = parameters.groups, space.scalars[0]
    arrays = (parameters.current, space.gradient, parameters.optimizer)
    former = state.mu_product, state.eta, state.mu  # numbers that a step changes once, not for each group
    for index in range(groups.shape[0]):
        group = groups[index]
        state.mu_product, state.eta, state.mu = former
        set_scalars(run.optimizer, group.options, lr * group.lr_factor, state, scalars)
        update(run.optimizer, arrays, (group.begin, group.length, run.parameters), scalars)


@device_function
def take_average(run: Any, parameters: Any, keep: Any) -> None:
    """Let a share of the average of the parameters stay, and give the rest to the parameters."""
    current, averaged = parameters.current, parameters.evaluated
    share = current.dtype.type(keep)
    for i in range(run.parameters):
        averaged[i] = current[i] + share * (averaged[i] - current[i])


@inlined
def update_parameters(run: Any, network: Any, state: Any, parameters: Any, space: Any, step: Any) -> None:
    """Complete a step, of one batch or several; add its objective.

    `step` is its learning rate, and its sums of losses, weights and rows.
    """
    gradient, (lr, losses, weight, rows) = space.gradient, step
    compact(network.layers, gradient)
    factor = mean_factor(run, weight)
    if run.accumulate > 1:
        share = gradient.dtype.type(factor)
        for i in range(run.parameters):
            gradient[i] *= share
    objective = losses * factor
    if run.l2 > 0 or run.l1 > 0:
        objective += penalize(run, network.layers, parameters.current, gradient, weight)
    clip(run, parameters.groups, gradient)
    state.steps += 1
    update_groups(run, state, parameters, space, lr)
    if run.average == EMA:
        state.averaged_steps += 1
        power = run.average_decay ** float(state.averaged_steps)
        take_average(run, parameters, (run.average_decay - power) / (1.0 - power))
    state.objective_sum += objective * rows


@inlined
def mean_factor(run: Any, weight: Any) -> Any:
    """Return what a sum of losses is multiplied by, where the weights of its rows sum to `weight`."""
    return run.scale if run.sum_reduction == 1 or weight == 0.0 else run.scale / weight


@inlined
def train_step(run: Any, network: Any, state: Any, parameters: Any, space: Any, batch: Any) -> None:
    """Add a batch to its step, which updates the parameters if it is complete; add what is logged.

    `batch` is the rows in blocks, their number, the options of the loss, the learning rate, whether loss and
    metric are read, the offset where the outputs are kept, or -1, and whether it ends the epoch.
    """
    rows, count, options, lr, read, outputs_start, is_last = batch
    values, gradient = space.values, space.gradient
    weight = batch_weight(run, rows, count)
    # the weight of all batches of a step is known at its end only
    factor = mean_factor(run, weight) if run.accumulate == 1 else 1.0
    code = run.loss if read else run.unread_loss
    last = network.layers[network.layers.shape[0] - 1]
    if state.step_batches == 0:
        gradient[:] = 0
    total = 0.0
    for begin in range(0, count, run.block_rows):
        block = block_at(run, rows, begin, count)
        at = outputs_start + begin * run.outputs if outputs_start >= 0 else -1
        mask = feature(block, run.inputs + run.outputs).start
        mode = Pass(at, mask, run.seed, state.epoch, state.batch_index, count, begin)
        forward(network, parameters.current, space, block, mode)
        total += block_loss(run, last, values, block, (code, options, factor))
        if read:
            add_sums(run, last, values, block, space.sums)
        backward(run, network, parameters.current, space, block)
    state.loss_sum += total
    state.weight_sum += weight
    losses, weights, seen = total, weight, float(count)
    if run.accumulate > 1:
        losses, weights, seen = losses + state.step_loss, weights + state.step_weight, seen + state.step_rows
        state.step_batches += 1
        state.step_loss, state.step_weight, state.step_rows = losses, weights, seen
    if is_last or run.accumulate == 1 or state.step_batches == run.accumulate:
        update_parameters(run, network, state, parameters, space, (lr, losses, weights, seen))
        state.step_batches, state.step_loss, state.step_weight, state.step_rows = 0, 0.0, 0.0, 0.0
