"""Batch norm and layer norm in kernels, as torch.nn.BatchNorm1d and torch.nn.LayerNorm compute them.

The outputs z of a linear layer become x = (z - mean) / sqrt(variance + EPS) in place, which the backward pass
needs, and the activation reads gain * x + shift. Batch norm takes the mean over rows, so that a block is a
whole batch; in evaluation it takes the running statistics, which are behind the parameters. Layer norm takes
it over the units of each row.
"""

from __future__ import annotations

import math
from typing import Any

from mlprun.engines.fused.compat import device_function
from mlprun.engines.fused.lanes import Matrix, Variable, broadcast, integer, lane_function, loop
from mlprun.engines.fused.records import BATCH_NORM, LAYER_NORM

EPS = 1e-5
MOMENTUM = 0.1
"""weight of a batch in the running statistics"""


@lane_function()
def _sum_units(builder: Any, views: Any, shape: Any, count: Any) -> None:
    """Write the sum of each unit's rows, and of their squared deviations from the mean."""
    (z, mask, sums, squares), (units, vectors) = views, shape
    total, count = Variable(builder, z.type), broadcast(builder, z.type, count)
    for unit in loop(builder, units):
        begin = builder.mul(unit, z.row)
        total.clear()
        for i in loop(builder, vectors, z.type.count):
            total.add(z.load(begin, i) * mask.load(i))
        mean = total.get().sum()
        builder.store(mean, sums.at(unit))
        mean = broadcast(builder, z.type, mean) / count
        total.clear()
        for i in loop(builder, vectors, z.type.count):
            deviation = (z.load(begin, i) - mean) * mask.load(i)
            total.add(deviation * deviation)
        builder.store(total.get().sum(), squares.at(unit))


@lane_function()
def _normalize_units(builder: Any, views: Any, shape: Any) -> None:
    """Write x and gain * x + shift, from the mean of each unit and what deviations are multiplied by."""
    (x, y, gain, shift, mean, factor), (units, vectors) = views, shape
    for unit in loop(builder, units):
        begin = builder.mul(unit, x.row)
        for i in loop(builder, vectors, x.type.count):
            value = (x.load(begin, i) - mean.broadcast(unit)) * factor.broadcast(unit)
            x.store(value, begin, i)
            y.store(value * gain.broadcast(unit) + shift.broadcast(unit), begin, i)


@lane_function()
def _normalize_rows(builder: Any, views: Any, shape: Any, count: Any) -> None:
    """Write x, gain * x + shift, and what the deviations of each row are multiplied by."""
    (x, y, gain, shift, factors), (units, vectors) = views, shape
    total, count = Variable(builder, x.type), broadcast(builder, x.type, count)
    for i in loop(builder, vectors, x.type.count):
        total.clear()
        for k in loop(builder, units, x.row):
            total.add(x.load(i, k))
        mean = total.get() / count
        total.clear()
        for k in loop(builder, units, x.row):
            deviation = x.load(i, k) - mean
            total.add(deviation * deviation)
        factor = 1.0 / (total.get() / count + EPS).sqrt()
        factors.store(factor, i)
        for unit in loop(builder, units):
            k = builder.mul(unit, x.row)
            value = (x.load(i, k) - mean) * factor
            x.store(value, i, k)
            y.store(value * gain.broadcast(unit) + shift.broadcast(unit), i, k)


@lane_function()
def _differentiate_units(builder: Any, views: Any, shape: Any, count: Any) -> None:
    """Turn the gradient by the activation's inputs into that by z, and add the gradient of the gain."""
    (x, gradient, mask, gain, factor, gain_gradient), (units, vectors) = views, shape
    total, product = (Variable(builder, x.type) for _ in range(2))
    count = broadcast(builder, x.type, count)
    for unit in loop(builder, units):
        begin = builder.mul(unit, x.row)
        total.clear()
        product.clear()
        for i in loop(builder, vectors, x.type.count):
            g = gradient.load(begin, i)
            total.add(g)
            product.add(g * x.load(begin, i))
        both = total.get().sum(), product.get().sum()
        gain_gradient.add(both[1], unit)
        mean, slope = (broadcast(builder, x.type, number) / count for number in both)
        scale = gain.broadcast(unit) * factor.broadcast(unit)
        for i in loop(builder, vectors, x.type.count):
            g = gradient.load(begin, i) - mean - x.load(begin, i) * slope
            gradient.store(g * scale * mask.load(i), begin, i)


@lane_function()
def _differentiate_rows(builder: Any, views: Any, shape: Any, count: Any, has_bias: Any) -> None:
    """Do the same for layer norm, and add the gradient of the linear layer's bias."""
    (x, gradient, gain, factors, gain_gradient, bias_gradient), (units, vectors) = views, shape
    total, product = (Variable(builder, x.type) for _ in range(2))
    count = broadcast(builder, x.type, count)
    for unit in loop(builder, units):
        begin = builder.mul(unit, x.row)
        product.clear()
        for i in loop(builder, vectors, x.type.count):
            product.add(gradient.load(begin, i) * x.load(begin, i))
        gain_gradient.add(product.get().sum(), unit)
    for i in loop(builder, vectors, x.type.count):
        total.clear()
        product.clear()
        for unit in loop(builder, units):
            k = builder.mul(unit, x.row)
            g = gradient.load(i, k) * gain.broadcast(unit)
            total.add(g)
            product.add(g * x.load(i, k))
        mean, slope, factor = total.get() / count, product.get() / count, factors.load(i)
        for unit in loop(builder, units):
            k = builder.mul(unit, x.row)
            g = gradient.load(i, k) * gain.broadcast(unit) - mean - x.load(i, k) * slope
            gradient.store(g * factor, i, k)
    with builder.if_then(builder.icmp_signed(">=", has_bias, integer(0))):
        for unit in loop(builder, units):
            begin = builder.mul(unit, x.row)
            total.clear()
            for i in loop(builder, vectors, x.type.count):
                total.add(gradient.load(begin, i))
            bias_gradient.add(total.get().sum(), unit)


@device_function
def _batch_statistics(layer: Any, parameters: Any, values: Any, block: Any, mask: Any) -> None:
    """Write each unit's mean and factor: of a batch, which updates the running ones, or without a mask these.

    `mask` is the offset of the mask in the block, or -1.
    """
    units, count, means = layer.outputs, block.count, layer.statistics
    factors, running = means + units, layer.running
    if mask >= 0:
        views = (
            Matrix(values, layer.linear, block.stride, 1),
            Matrix(block.array, mask, 0, 1),
            Matrix(values, means, 0, 1),
            Matrix(values, factors, 0, 1),
        )
        _sum_units(views, (units, block.vectors), float(count))
    for k in range(units):
        if mask >= 0:
            mean, squares = values[means + k] / count, values[factors + k] / 1.0
            parameters[running + k] += MOMENTUM * (mean - parameters[running + k])
            unbiased, former = squares / (count - 1), parameters[running + units + k]
            parameters[running + units + k] = former + MOMENTUM * (unbiased - former)
            variance = squares / count
        else:
            mean, variance = parameters[running + k] / 1.0, parameters[running + units + k] / 1.0
        values[means + k], values[factors + k] = mean, 1.0 / math.sqrt(variance + EPS)


@device_function
def normalize(layer: Any, parameters: Any, values: Any, block: Any, mask: Any) -> None:
    """Normalise the outputs of a linear layer; see `_batch_statistics`."""
    stride, shape = block.stride, (layer.outputs, block.vectors)
    x, y = Matrix(values, layer.linear, stride, 1), Matrix(values, layer.z, stride, 1)
    gain, shift = Matrix(parameters, layer.gain, 0, 1), Matrix(parameters, layer.shift, 0, 1)
    if layer.norm == BATCH_NORM:
        _batch_statistics(layer, parameters, values, block, mask if layer.frozen == 0 else -1)
        mean = Matrix(values, layer.statistics, 0, 1)
        factor = Matrix(values, layer.statistics + layer.outputs, 0, 1)
        _normalize_units((x, y, gain, shift, mean, factor), shape)
    elif layer.norm == LAYER_NORM:
        factors = Matrix(values, layer.statistics, 0, 1)
        _normalize_rows((x, y, gain, shift, factors), shape, float(layer.outputs))


@device_function
def differentiate_norm(layer: Any, parameters: Any, space: Any, block: Any, mask: Any) -> None:
    """Turn the gradient by what a norm returns into that by the outputs of the linear layer.

    The gradient of a bias before batch norm is 0, unless the norm is frozen: then the mean and the factor do
    not depend on the rows, as if these were infinitely many.
    """
    values, gradient, stride = space.values, space.gradient, block.stride
    shape = layer.outputs, block.vectors
    x, delta = Matrix(values, layer.linear, stride, 1), Matrix(values, layer.delta, stride, 1)
    gain, gain_gradient = Matrix(parameters, layer.gain, 0, 1), Matrix(gradient, layer.gain, 0, 1)
    if layer.norm == BATCH_NORM:
        factor = Matrix(values, layer.statistics + layer.outputs, 0, 1)
        views = (x, delta, Matrix(block.array, mask, 0, 1), gain, factor, gain_gradient)
        _differentiate_units(views, shape, math.inf if layer.frozen == 1 else float(block.count))
        if layer.frozen == 1 and layer.bias >= 0:
            for unit in range(layer.outputs):
                for i in range(block.count):
                    gradient[layer.bias + unit] += values[layer.delta + unit * stride + i]
    elif layer.norm == LAYER_NORM:
        factors, bias = Matrix(values, layer.statistics, 0, 1), Matrix(gradient, layer.bias, 0, 1)
        views = (x, delta, gain, factors, gain_gradient, bias)
        _differentiate_rows(views, shape, float(layer.outputs), layer.bias)
