"""Elementwise loops as Numba intrinsics: activations and optimizers, chosen by their number.

Each intrinsic holds one loop for every entry of its table, so an entry there is all that a new one needs.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from mlprun.engines.fused import activations, encoding, updates
from mlprun.engines.fused.cases import accumulate, options_of, switch
from mlprun.engines.fused.lanes import Lanes, store, total
from mlprun.engines.fused.loops import INT, Place, intrinsic, number, places, register, times, zero

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STORED = encoding.BY_VALUE
"""the number of the derivative that the forward pass has kept"""


@contextmanager
def _rows(builder: Any, extent: Sequence[Any], count: int) -> Iterator[Any]:
    """Over the lanes of so many rows, so far apart, of so many vectors each: gives the place of each."""
    units, stride, vectors = extent
    with cgutils.for_range(builder, units) as unit:
        row = builder.mul(unit.index, stride)
        with cgutils.for_range(builder, vectors) as each:
            yield builder.add(row, times(builder, each.index, count))


@intrinsic
def activate(
    typing: Any, code: Any, a: Any, a0: Any, units: Any, stride: Any, vectors: Any, options: Any, o0: Any
) -> Any:
    """Overwrite rows of values with their activation, for those whose derivative follows from the value."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, given = places(context, builder, signature, arguments, (1, 6))
        kind = values.kind
        slope, _ = options_of(builder, kind, given, 2)

        def case(name: str) -> Callable[[], None]:
            def loop() -> None:
                if name == "identity":
                    return
                with _rows(builder, arguments[3:6], kind.count) as i:
                    store(activations.FUNCTIONS[name](values.lanes(i), slope, slope)[0], values.at(i))

            return loop

        switch(builder, arguments[0], [case(name) for name in activations.BY_VALUE])
        return context.get_dummy_value()

    return types.void(code, a, INT, INT, INT, INT, options, INT), emit


@intrinsic
def activate_and_derive(
    typing: Any, code: Any, z: Any, z0: Any, a: Any, a0: Any, d: Any, d0: Any, first: Any, units: Any,
    stride: Any, vectors: Any, options: Any, o0: Any,
) -> Any:  # fmt: skip
    """Write, or after the first add, the activation of rows of z and its derivative."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before, values, slopes, given = places(context, builder, signature, arguments, (1, 3, 5, 11))
        p, q = options_of(builder, before.kind, given, 2)
        fresh = builder.trunc(arguments[7], ir.IntType(1))

        def case(function: activations.Both) -> Callable[[], None]:
            def loop() -> None:
                with _rows(builder, arguments[8:11], before.kind.count) as i:
                    for result, place in zip(function(before.lanes(i), p, q), (values, slopes), strict=True):
                        so_far = builder.select(fresh, zero(place.kind), place.lanes(i).value)
                        store(Lanes(builder, place.kind, so_far) + result, place.at(i))

            return loop

        switch(builder, arguments[0], [case(function) for function in activations.FUNCTIONS.values()])
        return context.get_dummy_value()

    return types.void(code, z, INT, a, INT, d, INT, INT, INT, INT, INT, options, INT), emit


@intrinsic
def differentiate(
    typing: Any, code: Any, a: Any, a0: Any, d: Any, d0: Any, g: Any, g0: Any, units: Any, stride: Any,
    vectors: Any, options: Any, o0: Any, sums: Any, sums0: Any,
) -> Any:  # fmt: skip
    """Multiply rows of g by the derivative, found from the values `a` or stored in `d`.

    The sum of each row is added to `sums`, unless sums0 is negative.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, slopes, gradient, given, totals = places(
            context, builder, signature, arguments, (1, 3, 5, 10, 12)
        )
        units, stride, vectors = arguments[7:10]
        kind = values.kind
        (slope,) = options_of(builder, kind, given, 1)
        wanted = builder.icmp_signed(">=", arguments[13], number(0))
        sum_ = register(builder, kind)

        def derived(name: str | None, i: Any) -> None:
            g = gradient.lanes(i)
            if name is None:
                g = g * slopes.lanes(i)
            elif name != "identity":
                g = g * activations.BY_VALUE[name](values.lanes(i), slope)
            if name != "identity":
                store(g, gradient.at(i))
            accumulate(sum_, g)

        def case(name: str | None) -> Callable[[], None]:
            def loop() -> None:
                with cgutils.for_range(builder, units) as unit:
                    builder.store(zero(kind), sum_)
                    row = builder.mul(unit.index, stride)
                    with cgutils.for_range(builder, vectors) as each:
                        derived(name, builder.add(row, times(builder, each.index, kind.count)))
                    with builder.if_then(wanted):
                        whole = total(Lanes(builder, kind, builder.load(sum_)))
                        place = totals.at(unit.index)
                        builder.store(builder.fadd(builder.load(place), whole), place)

            return loop

        switch(builder, arguments[0], [case(name) for name in (*activations.BY_VALUE, None)])
        return context.get_dummy_value()

    signature = types.void(code, a, INT, d, INT, g, INT, INT, INT, INT, options, INT, sums, INT)
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
        options = options_of(builder, kind, given, updates.COUNT)

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

        switch(
            builder, arguments[0], [case(rule, encoding.RULES[name]) for name, rule in updates.RULES.items()]
        )
        return context.get_dummy_value()

    return types.void(code, w, g, slots, INT, numbers), emit
