"""Our exp, log1p, tanh and their relatives against NumPy in extended precision, over their whole range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytest
from numba import types
from numba.core import cgutils
from scipy import special

from mlprun.engines.fused import activations as kernels
from mlprun.engines.fused import encoding, functions
from mlprun.engines.fused.lanes import VECTOR_BYTES, Lanes, store
from mlprun.engines.fused.loops import Place, intrinsic, number, times

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

DTYPES = (np.float32, np.float64)
ULPS = 4


def on_lanes(function: Callable[[Lanes], Lanes]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A function of arrays that computes on lanes."""

    @intrinsic
    def over(typing: Any, x: Any, y: Any, vectors: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            source, target = (
                Place(context, builder, signature.args[i], arguments[i], number(0)) for i in (0, 1)
            )
            with cgutils.for_range(builder, arguments[2]) as loop:
                i = times(builder, loop.index, source.kind.count)
                store(function(source.lanes(i)), target.at(i))
            return context.get_dummy_value()

        return types.void(x, y, types.int64), emit

    @numba.njit
    def compute(x: Any, y: Any) -> None:
        over(x, y, x.size * x.itemsize // VECTOR_BYTES)

    def whole(x: NDArray[Any]) -> NDArray[Any]:
        padded = np.resize(x, (len(x) + 15) // 16 * 16)
        result = np.full_like(padded, -123)  # shows where nothing was computed
        compute(padded, result)
        return result[: len(x)]

    return whole


def everywhere(dtype: Any) -> NDArray[Any]:
    """Numbers of every size and sign, borders and denormals among them, and everything around them."""
    rng = np.random.default_rng(0)
    kind = np.uint32 if dtype is np.float32 else np.uint64
    of_any_bits = rng.integers(0, np.iinfo(kind).max, 60_000, dtype=kind, endpoint=True).view(dtype)
    info = np.finfo(dtype)
    logs = [np.log(np.longdouble(x)) for x in (info.max, info.tiny, info.smallest_subnormal)]
    borders = np.array([0, 1, 0.5, 2, np.sqrt(0.5), np.sqrt(2), np.inf, np.nan, info.tiny, info.max,
                        info.smallest_subnormal, 9, 19, 22, 41, 88, 709, *logs], dtype)  # fmt: skip
    borders = np.concatenate([borders, -borders])
    around = [borders]
    for direction in (np.inf, -np.inf):
        step = borders
        for _ in range(3):
            with np.errstate(all="ignore"):
                step = np.nextafter(step, dtype(direction))
            around.append(step)
    spread = [rng.uniform(-bound, bound, 30_000) for bound in (0.01, 1, 20, 110, 760)]
    return np.concatenate([of_any_bits, *around, *(part.astype(dtype) for part in spread)])


def distance(found: NDArray[Any], expected: NDArray[Any]) -> NDArray[Any]:
    """How many units in the last place lie between; 0 for equal infinities and for NaN twice."""
    rounded = expected.astype(found.dtype)
    same = (found == rounded) | (np.isnan(found) & np.isnan(expected))
    unit = np.spacing(np.abs(rounded)).astype(np.longdouble)
    return np.where(same, 0, np.abs(found.astype(np.longdouble) - expected) / unit)


def logistic(x: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("ours", "reference", "low", "high"),
    [
        (functions.exp, np.exp, -np.inf, np.inf),
        (functions.log1p, np.log1p, -np.inf, np.inf),
        (functions.tanh, np.tanh, -np.inf, np.inf),
        (functions.bounded_log1p, np.log1p, 0, 1),
        (functions.bounded_exp, np.exp, -87, 88),
        (functions.bounded_expm1, np.expm1, 0, 88),
        (functions.logistic, logistic, -87, np.inf),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_function_is_within_four_units_in_the_last_place(
    ours: Any, reference: Any, low: float, high: float, dtype: Any
) -> None:
    x = everywhere(dtype)
    inside = x if low == -np.inf else x[(x >= low) & (x <= high)]
    x = np.append(inside, dtype(np.nan))  # of those with digits of their own only the full functions know
    with np.errstate(all="ignore"):
        found, expected = on_lanes(ours)(x), reference(x.astype(np.longdouble))
        far = distance(found, expected)
    assert not np.isnan(far).any(), x[np.isnan(far)]
    assert far.max() <= ULPS, (x[far.argmax()], found[far.argmax()])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_complement_of_the_error_function_is_accurate(dtype: Any) -> None:
    x = np.linspace(0, 5, 10_001).astype(dtype)
    found = on_lanes(lambda x: functions.erfc_of_size(x, functions.bounded_exp(-(x * x))))(x)
    np.testing.assert_allclose(found, special.erfc(x.astype(float)), rtol=50 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("name", encoding.ACTIVATIONS)
def test_a_derivative_is_that_of_its_value(name: str) -> None:
    x = np.linspace(-4, 4, 1024) + 0.001
    options = {
        "leaky_relu": (0.1, 0),
        "hard_logistic": (0.2, 0.5),
        "elu": (1.5, 1.2),
        "softplus": (2, 20),
        "swish": (1.5, 0),
    }
    p, q = options.get(name, (0.0, 0.0))

    def part(index: int) -> Any:
        return on_lanes(lambda z: kernels.FUNCTIONS[name](z, z.of(p), z.of(q))[index])

    value, derivative, step = part(0), part(1), 1e-6
    quotient = (value(x + step) - value(x - step)) / (2 * step)
    np.testing.assert_allclose(derivative(x), quotient, atol=1e-7)
