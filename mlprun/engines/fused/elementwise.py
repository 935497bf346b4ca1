"""Elementwise loops as Numba intrinsics: activations, losses and optimizers, chosen by their index.

Each intrinsic contains one loop for every entry of its table, so a new entry is all that is needed. Matrices
are feature-major: a row holds one unit for all rows of a block. A `shape` is (units, vectors).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types

from mlprun.engines.fused.compat import device_function
from mlprun.engines.fused.functions import ACTIVATIONS, STORED, bounded_exp, log1p
from mlprun.engines.fused.lanes import (
    Variable,
    broadcast,
    integer,
    lane_function,
    loop,
    switch,
    times,
)
from mlprun.engines.fused.losses import CROSS_ENTROPY, LOSSES
from mlprun.engines.fused.optimizers import SCALARS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlprun.engines.fused.functions import KernelActivation
    from mlprun.engines.fused.losses import KernelLoss
    from mlprun.engines.fused.optimizers import KernelOptimizer


def _vectors(builder: Any, shape: Any, view: Any) -> Iterator[Any]:
    """Loop over the vectors of all rows: yields the index of each vector's first number."""
    units, vectors = shape
    for begin in loop(builder, units, view.row):
        for offset in loop(builder, vectors, view.type.count):
            yield builder.add(begin, offset)


@lane_function()
def activate(builder: Any, code: Any, values: Any, shape: Any, option: Any) -> None:
    """Overwrite values with their activation, for activations whose derivative is not stored."""
    slope = broadcast(builder, values.type, option)

    def case(activation: KernelActivation) -> None:
        for i in _vectors(builder, shape, values) if activation.name != "identity" else ():
            values.store(activation.function(values.load(i), slope, slope), i)

    switch(builder, code, ACTIVATIONS[:STORED], case)


@lane_function()
def activate_and_derive(builder: Any, code: Any, views: Any, shape: Any, options: Any, fresh: Any) -> None:
    """Write the activation of z and its derivative, or add them unless `fresh`.

    `views` are z, the values and the derivatives.
    """
    z, *targets = views
    p, q = (broadcast(builder, z.type, option) for option in options)
    fresh = builder.trunc(fresh, ir.IntType(1))

    def case(activation: KernelActivation) -> None:
        for i in _vectors(builder, shape, z):
            results = activation.function(z.load(i), p, q)
            if activation.derivative is not None:
                results = results, activation.derivative(results, p)
            for result, target in zip(results, targets, strict=True):
                former = target.load(i)
                target.store(former.full(0.0).where(fresh, former) + result, i)

    switch(builder, code, ACTIVATIONS, case)


@lane_function()
def differentiate(builder: Any, code: Any, views: Any, shape: Any, option: Any, bias: Any) -> None:
    """Multiply the gradient by the values by the derivative of the activation, and sum its rows.

    `views` are the values, the stored derivatives and the gradient. The derivative is computed from the
    values, or loaded where `code` is STORED. The sum of each row is added to the view `bias[0]`, unless
    `bias[1]` is negative.
    """
    (values, slopes, gradient), (units, vectors), (sums, offset) = views, shape, bias
    slope, total = broadcast(builder, values.type, option), Variable(builder, values.type)
    has_bias = builder.icmp_signed(">=", offset, integer(0))

    def case(activation: KernelActivation | None) -> None:
        for unit in loop(builder, units):
            total.clear()
            begin = builder.mul(unit, values.row)
            for vector in loop(builder, vectors, values.type.count):
                i = builder.add(begin, vector)
                g = gradient.load(i)
                if activation is None:
                    g = g * slopes.load(i)
                elif activation.derivative is not None and activation.name != "identity":
                    g = g * activation.derivative(values.load(i), slope)
                gradient.store(g, i)
                total.add(g)
            with builder.if_then(has_bias):
                sums.add(total.get().sum(), unit)

    switch(builder, code, (*ACTIVATIONS[:STORED], None), case)


@lane_function()
def keep_units(builder: Any, views: Any, words: Any, shape: Any, limits: Any) -> None:
    """Multiply values and derivatives by a scale, or by 0 where the word of a unit is below a threshold.

    `words` is an array with all units of a row, then those of the next, and the offset of the first.
    `limits` is the threshold and the scale.
    """
    (array, start), (units, vectors), (threshold, scale) = words, shape, limits
    type_, drawn = views[0].type, array.shift(start)
    scale, vector = broadcast(builder, type_, scale), ir.VectorType(ir.IntType(64), type_.count)
    for unit in loop(builder, units):
        begin = builder.mul(unit, views[0].row)
        for i in loop(builder, vectors, type_.count):
            first, kept = drawn.shift(builder.mul(i, units), unit), ir.Constant(vector, ir.Undefined)
            bound = kept
            for lane in range(type_.count):
                place = ir.Constant(ir.IntType(32), lane)
                kept = builder.insert_element(
                    kept, builder.load(first.at(times(builder, units, lane))), place
                )
                bound = builder.insert_element(bound, threshold, place)
            factor = scale.where(builder.icmp_unsigned(">=", kept, bound), 0.0)
            for view in views:
                view.store(view.load(begin, i) * factor, begin, i)


@lane_function(types.float64)
def sum_loss(builder: Any, code: Any, views: Any, vectors: Any, factor: Any, option: Any) -> Any:
    """Return the sum of a loss of one output over rows; write its derivative times `factor`.

    `views` are outputs, targets, the weights of rows, which are 0 for those that do not count, and the
    derivatives.
    """
    outputs, targets, weights, gradient = views
    option, scale = (broadcast(builder, outputs.type, number) for number in (option, factor))
    total = Variable(builder, outputs.type)
    total.clear()

    def case(loss: KernelLoss) -> None:
        assert loss.function is not None
        for i in loop(builder, vectors, outputs.type.count):
            value, slope = loss.function(outputs.load(i), targets.load(i), option)
            weight = weights.load(i)
            counts = weight > 0.0
            gradient.store((slope * scale * weight).where(counts, 0.0), i)
            total.add((value * weight).where(counts, 0.0))

    switch(builder, code, LOSSES[:CROSS_ENTROPY], case)
    return total.get().sum_as_double()


@lane_function(types.float64)
def sum_cross_entropy(builder: Any, views: Any, shape: Any, factor: Any) -> Any:
    """Return the cross entropy of softmax outputs and target distributions; otherwise as `sum_loss`.

    The targets of a row are multiplied by its weight already, and the third view is the mask.
    """
    (logits, targets, mask, gradient), (outputs, vectors) = views, shape
    scale = broadcast(builder, logits.type, factor)
    total, largest, weight, losses, exponentials = (Variable(builder, logits.type) for _ in range(5))
    total.clear()

    def each_output() -> Iterator[Any]:
        return loop(builder, outputs, logits.row)

    for i in loop(builder, vectors, logits.type.count):
        largest.set(logits.load(i))
        for variable in (weight, losses, exponentials):
            variable.clear()
        for k in each_output():
            z = logits.load(i, k)
            largest.set(z.where(z > largest.get(), largest.get()))
        for k in each_output():
            e = bounded_exp(logits.load(i, k) - largest.get())
            gradient.store(e, i, k)
            exponentials.add(e)
        log_sum = log1p(exponentials.get() - 1.0)
        for k in each_output():
            t, z = targets.load(i, k), logits.load(i, k)
            weight.add(t)
            # a target of 0 takes nothing from an output, however small
            term = t * (largest.get() - z + log_sum)
            losses.add(term.where(t.differs(0.0), 0.0))
        counts = mask.load(i) > 0.0
        share = weight.get() / exponentials.get()
        for k in each_output():
            slope = gradient.load(i, k) * share - targets.load(i, k)
            gradient.store((slope * scale).where(counts, 0.0), i, k)
        total.add(losses.get().where(counts, 0.0))
    return total.get().sum_as_double()


def scalars_function(optimizers: Sequence[KernelOptimizer]) -> Any:
    """Return the device function that calls the `scalars` of the optimizer with an index."""

    def choose(index: int, function: Any, otherwise: Any) -> Any:
        @device_function
        def call(code: Any, options: Any, lr: Any, state: Any, scalars: Any) -> None:
            if code == index:
                function(options, lr, state.steps, state, scalars)
            else:
                otherwise(code, options, lr, state, scalars)

        return call

    @device_function
    def call(code: Any, options: Any, lr: Any, state: Any, scalars: Any) -> None:
        pass

    functions = {optimizer.scalars: device_function(optimizer.scalars) for optimizer in optimizers}
    for index, optimizer in reversed(list(enumerate(optimizers))):
        call = choose(index, functions[optimizer.scalars], call)
    return call


def update_function(optimizers: Sequence[KernelOptimizer]) -> Any:
    """Return the intrinsic for a step of the optimizer with an index.

    It takes flat arrays of parameters, gradient and the optimizer's state, one array after the other, and
    where to begin, how many numbers to update, and the length of an array of the state.
    """

    @lane_function()
    def update(builder: Any, code: Any, arrays: Any, extent: Any, scalars: Any) -> None:
        begin, length, stride = extent
        parameters, gradient, state = (array.shift(begin) for array in arrays)
        count = parameters.type.count

        def case(optimizer: KernelOptimizer) -> None:
            numbers = SimpleNamespace(
                **{name: broadcast(builder, parameters.type, scalars(name)) for name in SCALARS.names or ()}
            )
            starts = [times(builder, stride, index) for index in range(len(optimizer.state))]
            for i in loop(builder, builder.sdiv(length, integer(count)), count):
                former = [state.load(i, start) for start in starts]
                after, slots = optimizer.update(parameters.load(i), gradient.load(i), former, numbers)
                parameters.store(after, i)
                for lanes, start in zip(slots, starts, strict=True):
                    state.store(lanes, i, start)

        switch(builder, code, optimizers, case)

    return update
