"""Elementwise loops as Numba intrinsics: activations, losses and optimizers, chosen by their index.

Each intrinsic contains one loop for every entry of its table, so a new entry is all that is needed. Matrices
are feature-major: a row holds one unit for all rows of a block. A `shape` is (units, vectors).
"""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from mlprun.engines.fused.compat import intrinsic
from mlprun.engines.fused.compilation import device_function
from mlprun.engines.fused.functions import ACTIVATIONS, STORED, bounded_exp, log1p
from mlprun.engines.fused.lanes import (
    Pointer,
    Variable,
    broadcast,
    integer,
    pointers,
    switch,
    times,
)
from mlprun.engines.fused.losses import LOSSES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlprun.engines.fused.functions import KernelActivation
    from mlprun.engines.fused.losses import KernelLoss
    from mlprun.engines.fused.optimizers import KernelOptimizer


def _unpack(builder: Any, value: Any, count: int) -> Any:
    return cgutils.unpack_tuple(builder, value, count)  # type: ignore[no-untyped-call]


@contextmanager
def _vectors(builder: Any, shape: Any, row: Any, count: int) -> Iterator[Any]:
    """Loop over the vectors of all rows: yields the index of each vector's first number."""
    units, vectors = _unpack(builder, shape, 2)
    with cgutils.for_range(builder, units) as unit:
        begin = builder.mul(unit.index, row)
        with cgutils.for_range(builder, vectors) as vector:
            yield builder.add(begin, times(builder, vector.index, count))


@intrinsic
def activate(typing: Any, code: Any, values: Any, shape: Any, option: Any) -> Any:
    """Overwrite values with their activation, for activations whose derivative is not stored."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, values, shape, option = arguments
        ((values, row, _),) = pointers(context, builder, signature.args[1:2], [values])
        slope = broadcast(builder, values.type, option)

        def case(activation: KernelActivation) -> Callable[[], None]:
            def loop() -> None:
                if activation.name == "identity":
                    return
                with _vectors(builder, shape, row, values.type.count) as i:
                    values.store(activation.function(values.load(i), slope, slope)[0], i)

            return loop

        switch(builder, code, [case(activation) for activation in ACTIVATIONS[:STORED]])
        return context.get_dummy_value()

    return types.void(code, values, shape, option), emit


@intrinsic
def activate_and_derive(typing: Any, code: Any, views: Any, shape: Any, options: Any, fresh: Any) -> Any:
    """Write the activation of z and its derivative, or add them unless `fresh`.

    `views` are z, the values and the derivatives.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, views, shape, options, fresh = arguments
        (z, row, _), (values, _, _), (slopes, _, _) = pointers(
            context, builder, signature.args[1].types, _unpack(builder, views, 3)
        )
        p, q = (broadcast(builder, z.type, option) for option in _unpack(builder, options, 2))
        fresh = builder.trunc(fresh, ir.IntType(1))

        def case(activation: KernelActivation) -> Callable[[], None]:
            def loop() -> None:
                with _vectors(builder, shape, row, z.type.count) as i:
                    results = activation.function(z.load(i), p, q)
                    for result, target in zip(results, (values, slopes), strict=True):
                        former = target.load(i)
                        target.store(former.full(0.0).where(fresh, former) + result, i)

            return loop

        switch(builder, code, [case(activation) for activation in ACTIVATIONS])
        return context.get_dummy_value()

    return types.void(code, views, shape, options, fresh), emit


@intrinsic
def differentiate(typing: Any, code: Any, views: Any, shape: Any, option: Any, bias: Any) -> Any:
    """Multiply the gradient by the values by the derivative of the activation, and sum its rows.

    `views` are the values, the stored derivatives and the gradient. The derivative is computed from the
    values, or loaded where `code` is STORED. The sum of each row is added to `bias`, unless its start is
    negative.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, views, shape, option, bias = arguments
        (values, row, _), (slopes, _, _), (gradient, _, _), (sums, _, _) = pointers(
            context,
            builder,
            (*signature.args[1].types, signature.args[4]),
            (*_unpack(builder, views, 3), bias),
        )
        type_, (units, vectors) = values.type, _unpack(builder, shape, 2)
        slope, total = broadcast(builder, type_, option), Variable(builder, type_)
        has_bias = builder.icmp_signed(">=", _unpack(builder, bias, 4)[1], integer(0))

        def derived(activation: KernelActivation | None, i: Any) -> None:
            g = gradient.load(i)
            if activation is None:
                g = g * slopes.load(i)
            elif activation.name != "identity":
                assert activation.derivative is not None
                g = g * activation.derivative(values.load(i), slope)
            if activation is None or activation.name != "identity":
                gradient.store(g, i)
            total.add(g)

        def case(activation: KernelActivation | None) -> Callable[[], None]:
            def loop() -> None:
                with cgutils.for_range(builder, units) as unit:
                    total.clear()
                    begin = builder.mul(unit.index, row)
                    with cgutils.for_range(builder, vectors) as vector:
                        derived(activation, builder.add(begin, times(builder, vector.index, type_.count)))
                    with builder.if_then(has_bias):
                        sums.add(total.get().sum(), unit.index)

            return loop

        switch(builder, code, [case(activation) for activation in (*ACTIVATIONS[:STORED], None)])
        return context.get_dummy_value()

    return types.void(code, views, shape, option, bias), emit


@intrinsic
def sum_loss(typing: Any, code: Any, views: Any, vectors: Any, factor: Any, option: Any) -> Any:
    """Return the sum of a loss of one output over rows; write its derivative times `factor`.

    `views` are outputs, targets, the mask of the rows that count, and the derivatives.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, views, vectors, factor, option = arguments
        (outputs, _, _), (targets, _, _), (mask, _, _), (gradient, _, _) = pointers(
            context, builder, signature.args[1].types, _unpack(builder, views, 4)
        )
        type_ = outputs.type
        option, scale = broadcast(builder, type_, option), broadcast(builder, type_, factor)
        total = Variable(builder, type_)
        total.clear()

        def case(loss: KernelLoss) -> Callable[[], None]:
            def loop() -> None:
                assert loss.function is not None
                with cgutils.for_range(builder, vectors) as vector:
                    i = times(builder, vector.index, type_.count)
                    value, slope = loss.function(outputs.load(i), targets.load(i), option)
                    counts = mask.load(i) > 0.0
                    gradient.store((slope * scale).where(counts, 0.0), i)
                    total.add(value.where(counts, 0.0))

            return loop

        switch(builder, code, [case(loss) for loss in LOSSES if loss.function is not None])
        return total.get().sum_as_double()

    return types.float64(code, views, vectors, factor, option), emit


@intrinsic
def sum_cross_entropy(typing: Any, views: Any, shape: Any, factor: Any) -> Any:
    """Return the cross entropy of softmax outputs and target distributions; otherwise as `sum_loss`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        views, shape, factor = arguments
        (logits, row, _), (targets, _, _), (mask, _, _), (gradient, _, _) = pointers(
            context, builder, signature.args[0].types, _unpack(builder, views, 4)
        )
        type_, (outputs, vectors) = logits.type, _unpack(builder, shape, 2)
        scale = broadcast(builder, type_, factor)
        total, largest, weight, losses, exponentials = (Variable(builder, type_) for _ in range(5))
        total.clear()

        @contextmanager
        def each_output() -> Iterator[Any]:
            with cgutils.for_range(builder, outputs) as output:
                yield builder.mul(output.index, row)

        with cgutils.for_range(builder, vectors) as vector:
            i = times(builder, vector.index, type_.count)
            largest.set(logits.load(i))
            for variable in (weight, losses, exponentials):
                variable.clear()
            with each_output() as k:
                z = logits.load(i, k)
                largest.set(z.where(z > largest.get(), largest.get()))
            with each_output() as k:
                e = bounded_exp(logits.load(i, k) - largest.get())
                gradient.store(e, i, k)
                exponentials.add(e)
            log_sum = log1p(exponentials.get() - 1.0)
            with each_output() as k:
                t, z = targets.load(i, k), logits.load(i, k)
                weight.add(t)
                # a target of 0 takes nothing from an output, however small
                term = t * (largest.get() - z + log_sum)
                losses.add(term.where(t.differs(0.0), 0.0))
            counts = mask.load(i) > 0.0
            share = weight.get() / exponentials.get()
            with each_output() as k:
                slope = gradient.load(i, k) * share - targets.load(i, k)
                gradient.store((slope * scale).where(counts, 0.0), i, k)
            total.add(losses.get().where(counts, 0.0))
        return total.get().sum_as_double()

    return types.float64(views, shape, factor), emit


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

    It takes flat arrays of parameters, gradient and the optimizer's state, one array after the other.
    """

    def update(typing: Any, code: Any, arrays: Any, length: Any, scalars: Any) -> Any:
        return types.void(code, arrays, length, scalars), emit

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        code, arrays, length, scalars = arguments
        parameters, gradient, state = (
            Pointer(context, builder, type_, array)
            for type_, array in zip(signature.args[1].types, _unpack(builder, arrays, 3), strict=True)
        )
        type_, record = parameters.type, signature.args[3]

        def scalar(name: str) -> Any:
            member = cgutils.get_record_member(  # type: ignore[no-untyped-call]
                builder, scalars, record.offset(name), ir.DoubleType()
            )
            return broadcast(builder, type_, builder.load(member))

        def case(optimizer: KernelOptimizer) -> Callable[[], None]:
            def loop() -> None:
                numbers = SimpleNamespace(**{name: scalar(name) for name in record.fields})
                starts = [times(builder, length, index) for index in range(len(optimizer.state))]
                vectors = builder.sdiv(length, integer(type_.count))
                with cgutils.for_range(builder, vectors) as vector:
                    i = times(builder, vector.index, type_.count)
                    former = [state.load(i, start) for start in starts]
                    after, slots = optimizer.update(parameters.load(i), gradient.load(i), former, numbers)
                    parameters.store(after, i)
                    for lanes, start in zip(slots, starts, strict=True):
                        state.store(lanes, i, start)

            return loop

        switch(builder, code, [case(optimizer) for optimizer in optimizers])
        return context.get_dummy_value()

    return intrinsic(update)
