"""Elementwise loops as Numba intrinsics: activations, losses and optimizers, chosen by their number.

Each intrinsic holds one loop for every entry of its table, so an entry there is all that a new one needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from mlprun.engines.fused import activations, encoding, losses, updates
from mlprun.engines.fused import functions as f
from mlprun.engines.fused.lanes import Kind, Lanes, splat, store, total
from mlprun.engines.fused.loops import INT, Place, intrinsic, number, places, register, times, zero

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STORED = encoding.BY_VALUE
"""the number of the derivative that the forward pass has kept"""


def _switch(builder: Any, code: Any, cases: Sequence[Callable[[], None]]) -> None:
    """Emit all cases and a jump to the one whose number `code` is; the last one where it is none."""
    blocks = [builder.append_basic_block("case") for _ in cases]
    end = builder.append_basic_block("end")
    switch = builder.switch(code, blocks[-1])
    for index, (block, case) in enumerate(zip(blocks, cases, strict=True)):
        if index < len(cases) - 1:
            switch.add_case(ir.Constant(code.type, index), block)
        builder.position_at_end(block)
        case()
        builder.branch(end)
    builder.position_at_end(end)


def _rounded(builder: Any, kind: Kind, double: Any) -> Any:
    """A float64 scalar in the kernel's own type."""
    return double if kind.bits == 64 else builder.fptrunc(double, kind.scalar)


def _options(builder: Any, kind: Kind, place: Place, count: int) -> list[Lanes]:
    """Numbers of a float64 array, each in every lane."""
    values = (builder.load(place.at(number(i))) for i in range(count))
    return [splat(builder, kind, _rounded(builder, kind, value)) for value in values]


def _shared(context: Any, builder: Any, kind: Kind, lanes: Any) -> Any:
    """The sum over lanes as float64."""
    sum_ = total(Lanes(builder, kind, builder.load(lanes)))
    return sum_ if kind.bits == 64 else builder.fpext(sum_, ir.DoubleType())


def _accumulator(builder: Any, kind: Kind) -> Any:
    place = register(builder, kind)
    builder.store(zero(kind), place)
    return place


def _accumulate(place: Any, lanes: Lanes) -> None:
    so_far = Lanes(lanes.builder, lanes.kind, lanes.builder.load(place))
    lanes.builder.store((so_far + lanes).value, place)


@intrinsic
def activate(typing: Any, code: Any, a: Any, a0: Any, vectors: Any, options: Any, o0: Any) -> Any:
    """Overwrite values with their activation, for those whose derivative follows from the value."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, given = places(context, builder, signature, arguments, (1, 4))
        slope, _ = _options(builder, values.kind, given, 2)

        def case(name: str) -> Callable[[], None]:
            def loop() -> None:
                if name == "identity":
                    return
                with cgutils.for_range(builder, arguments[3]) as each:
                    i = times(builder, each.index, values.kind.count)
                    store(activations.FUNCTIONS[name](values.lanes(i), slope, slope)[0], values.at(i))

            return loop

        _switch(builder, arguments[0], [case(name) for name in activations.BY_VALUE])
        return context.get_dummy_value()

    return types.void(code, a, INT, INT, options, INT), emit


@intrinsic
def activate_and_derive(
    typing: Any, code: Any, z: Any, z0: Any, a: Any, a0: Any, d: Any, d0: Any, first: Any, vectors: Any,
    options: Any, o0: Any,
) -> Any:  # fmt: skip
    """Write, or after the first add, the activation of z and its derivative."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before, values, slopes, given = places(context, builder, signature, arguments, (1, 3, 5, 9))
        p, q = _options(builder, before.kind, given, 2)
        fresh = builder.trunc(arguments[7], ir.IntType(1))

        def case(function: activations.Both) -> Callable[[], None]:
            def loop() -> None:
                with cgutils.for_range(builder, arguments[8]) as each:
                    i = times(builder, each.index, before.kind.count)
                    for result, place in zip(function(before.lanes(i), p, q), (values, slopes), strict=True):
                        so_far = builder.select(fresh, zero(place.kind), place.lanes(i).value)
                        store(Lanes(builder, place.kind, so_far) + result, place.at(i))

            return loop

        _switch(builder, arguments[0], [case(function) for function in activations.FUNCTIONS.values()])
        return context.get_dummy_value()

    return types.void(code, z, INT, a, INT, d, INT, INT, INT, options, INT), emit


@intrinsic
def differentiate(
    typing: Any, code: Any, a: Any, a0: Any, d: Any, d0: Any, g: Any, g0: Any, vectors: Any, options: Any,
    o0: Any,
) -> Any:  # fmt: skip
    """Multiply g by the derivative, found from the values `a` or stored in `d`; returns the sum of g."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, slopes, gradient, given = places(context, builder, signature, arguments, (1, 3, 5, 8))
        kind = values.kind
        (slope,) = _options(builder, kind, given, 1)
        sums = _accumulator(builder, kind)

        def case(name: str | None) -> Callable[[], None]:
            def loop() -> None:
                with cgutils.for_range(builder, arguments[7]) as each:
                    i = times(builder, each.index, kind.count)
                    g = gradient.lanes(i)
                    if name is None:
                        g = g * slopes.lanes(i)
                    elif name != "identity":
                        g = g * activations.BY_VALUE[name](values.lanes(i), slope)
                    if name != "identity":
                        store(g, gradient.at(i))
                    _accumulate(sums, g)

            return loop

        _switch(builder, arguments[0], [case(name) for name in (*activations.BY_VALUE, None)])
        return total(Lanes(builder, kind, builder.load(sums)))

    return a.dtype(code, a, INT, d, INT, g, INT, INT, options, INT), emit


@intrinsic
def lose(
    typing: Any, code: Any, y: Any, y0: Any, t: Any, t0: Any, mask: Any, m0: Any, g: Any, g0: Any,
    vectors: Any, factor: Any, options: Any, o0: Any,
) -> Any:  # fmt: skip
    """The sum of a loss over rows, and in g its derivative times `factor`; rows without mask give 0."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        outputs, targets, masks, gradient, given = places(
            context, builder, signature, arguments, (1, 3, 5, 7, 11)
        )
        kind = outputs.kind
        (option,) = _options(builder, kind, given, 1)
        scale = splat(builder, kind, _rounded(builder, kind, arguments[10]))
        sums = _accumulator(builder, kind)

        def case(function: losses.Elementwise) -> Callable[[], None]:
            def loop() -> None:
                with cgutils.for_range(builder, arguments[9]) as each:
                    i = times(builder, each.index, kind.count)
                    value, slope = function(outputs.lanes(i), targets.lanes(i), option)
                    counts = masks.lanes(i) > 0.0
                    store((slope * scale).where(counts, 0.0), gradient.at(i))
                    _accumulate(sums, value.where(counts, 0.0))

            return loop

        _switch(builder, arguments[0], [case(function) for function in losses.BY_OUTPUT.values()])
        return _shared(context, builder, kind, sums)

    return types.float64(code, y, INT, t, INT, mask, INT, g, INT, INT, types.float64, options, INT), emit


@intrinsic
def lose_distribution(
    typing: Any, z: Any, z0: Any, t: Any, t0: Any, stride: Any, outputs: Any, mask: Any, m0: Any, g: Any,
    g0: Any, vectors: Any, factor: Any,
) -> Any:  # fmt: skip
    """Cross entropy of softmax outputs against target columns; as `lose`, over all outputs of a row."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, targets, masks, gradient = places(context, builder, signature, arguments, (0, 2, 6, 8))
        stride, outputs, vectors = arguments[4], arguments[5], arguments[10]
        kind = values.kind
        scale = splat(builder, kind, _rounded(builder, kind, arguments[11]))
        sums, largest, weight, losses_ = (_accumulator(builder, kind) for _ in range(4))
        exponentials = _accumulator(builder, kind)

        def read(place: Any) -> Lanes:
            return Lanes(builder, kind, builder.load(place))

        with cgutils.for_range(builder, vectors) as each:
            i = times(builder, each.index, kind.count)
            builder.store(values.lanes(i).value, largest)
            for place in (weight, losses_, exponentials):
                builder.store(zero(kind), place)
            with cgutils.for_range(builder, outputs) as output:
                z = values.lanes(i, builder.mul(output.index, stride))
                builder.store(z.where(z > read(largest), read(largest)).value, largest)
            with cgutils.for_range(builder, outputs) as output:
                step = builder.mul(output.index, stride)
                e = f.bounded_exp(values.lanes(i, step) - read(largest))
                store(e, gradient.at(i, step))
                _accumulate(exponentials, e)
            log_sum = f.log1p(read(exponentials) - 1.0)
            with cgutils.for_range(builder, outputs) as output:
                step = builder.mul(output.index, stride)
                t, z = targets.lanes(i, step), values.lanes(i, step)
                _accumulate(weight, t)
                # a target of 0 asks nothing of an output, however small
                term = t * (read(largest) - z + log_sum)
                _accumulate(
                    losses_, term.where(t.builder.fcmp_unordered("!=", t.value, t.of(0.0).value), 0.0)
                )
            counts = masks.lanes(i) > 0.0
            share = read(weight) / read(exponentials)
            with cgutils.for_range(builder, outputs) as output:
                step = builder.mul(output.index, stride)
                slope = gradient.lanes(i, step) * share - targets.lanes(i, step)
                store((slope * scale).where(counts, 0.0), gradient.at(i, step))
            _accumulate(sums, read(losses_).where(counts, 0.0))
        return _shared(context, builder, kind, sums)

    signature = types.float64(z, INT, t, INT, INT, INT, mask, INT, g, INT, INT, types.float64)
    return signature, emit


@intrinsic
def update(typing: Any, code: Any, w: Any, g: Any, slots: Any, length: Any, numbers: Any) -> Any:
    """One optimizer step on all parameters; `slots` holds `length` numbers for each slot."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        begin = number(0)
        parameters, gradients, kept, given = (
            Place(context, builder, signature.args[i], arguments[i], begin) for i in (1, 2, 3, 5)
        )
        kind, length = parameters.kind, arguments[4]
        options = _options(builder, kind, given, updates.COUNT)

        def case(rule: updates.Step, names: tuple[str, ...]) -> Callable[[], None]:
            def loop() -> None:
                steps = [times(builder, length, slot) for slot in range(len(names))]
                with cgutils.for_range(builder, builder.sdiv(length, number(kind.count))) as each:
                    i = times(builder, each.index, kind.count)
                    slots = [kept.lanes(i, step) for step in steps]
                    after, slots = rule(parameters.lanes(i), gradients.lanes(i), slots, options.__getitem__)
                    store(after, parameters.at(i))
                    for lanes, step in zip(slots, steps, strict=True):
                        store(lanes, kept.at(i, step))

            return loop

        _switch(
            builder, arguments[0], [case(rule, encoding.RULES[name]) for name, rule in updates.RULES.items()]
        )
        return context.get_dummy_value()

    return types.void(code, w, g, slots, INT, numbers), emit
