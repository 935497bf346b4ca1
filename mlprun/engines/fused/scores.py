"""Losses as Numba intrinsics: sums over rows, and derivatives by the outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import types
from numba.core import cgutils

from mlprun.engines.fused import functions as f
from mlprun.engines.fused import losses
from mlprun.engines.fused.cases import accumulate, accumulator, options_of, rounded, summed, switch
from mlprun.engines.fused.lanes import Lanes, splat, store
from mlprun.engines.fused.loops import INT, intrinsic, places, times, zero

if TYPE_CHECKING:
    from collections.abc import Callable


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
        (option,) = options_of(builder, kind, given, 1)
        scale = splat(builder, kind, rounded(builder, kind, arguments[10]))
        sums = accumulator(builder, kind)

        def case(function: losses.Elementwise) -> Callable[[], None]:
            def loop() -> None:
                with cgutils.for_range(builder, arguments[9]) as each:
                    i = times(builder, each.index, kind.count)
                    value, slope = function(outputs.lanes(i), targets.lanes(i), option)
                    counts = masks.lanes(i) > 0.0
                    store((slope * scale).where(counts, 0.0), gradient.at(i))
                    accumulate(sums, value.where(counts, 0.0))

            return loop

        switch(builder, arguments[0], [case(function) for function in losses.BY_OUTPUT.values()])
        return summed(builder, kind, sums)

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
        scale = splat(builder, kind, rounded(builder, kind, arguments[11]))
        sums, largest, weight, losses_ = (accumulator(builder, kind) for _ in range(4))
        exponentials = accumulator(builder, kind)

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
                accumulate(exponentials, e)
            log_sum = f.log1p(read(exponentials) - 1.0)
            with cgutils.for_range(builder, outputs) as output:
                step = builder.mul(output.index, stride)
                t, z = targets.lanes(i, step), values.lanes(i, step)
                accumulate(weight, t)
                # a target of 0 asks nothing of an output, however small
                term = t * (read(largest) - z + log_sum)
                accumulate(losses_, term.where(t.builder.fcmp_unordered("!=", t.value, t.of(0.0).value), 0.0))
            counts = masks.lanes(i) > 0.0
            share = read(weight) / read(exponentials)
            with cgutils.for_range(builder, outputs) as output:
                step = builder.mul(output.index, stride)
                slope = gradient.lanes(i, step) * share - targets.lanes(i, step)
                store((slope * scale).where(counts, 0.0), gradient.at(i, step))
            accumulate(sums, read(losses_).where(counts, 0.0))
        return summed(builder, kind, sums)

    signature = types.float64(z, INT, t, INT, INT, INT, mask, INT, g, INT, INT, types.float64)
    return signature, emit
