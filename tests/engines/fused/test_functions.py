"""exp, log1p, tanh and other functions of kernels against NumPy in extended precision, everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytest
from scipy import special

from mlprun.engines.fused import functions
from mlprun.engines.fused.elementwise import activate_and_derive
from mlprun.engines.fused.functions import ACTIVATIONS
from mlprun.engines.fused.lanes import VECTOR_BYTES, Matrix, lane_function, loop, switch

if TYPE_CHECKING:
    from numpy.typing import NDArray

DTYPES = (np.float32, np.float64)
ULPS = 4
# our function, NumPy's, and the range in which it is to be accurate
FUNCTIONS = [
    (functions.exp, np.exp, -np.inf, np.inf),
    (functions.log1p, np.log1p, -np.inf, np.inf),
    (functions.tanh, np.tanh, -np.inf, np.inf),
    (functions.bounded_log1p, np.log1p, 0, 1),
    (functions.bounded_exp, np.exp, -87, 88),
    (functions.bounded_expm1, np.expm1, 0, 88),
    (functions.logistic, lambda x: 1 / (1 + np.exp(-x)), -87, np.inf),
    (lambda x: functions.erfc_of_size(x, functions.bounded_exp(-(x * x))), None, 0, 5),
]
ERFC = len(FUNCTIONS) - 1


@lane_function()
def evaluate(builder: Any, code: Any, x: Any, y: Any, vectors: Any) -> None:
    """Write to y the function of `FUNCTIONS` with index `code` of x."""

    def case(entry: Any) -> None:
        for i in loop(builder, vectors, x.type.count):
            y.store(entry[0](x.load(i)), i)

    switch(builder, code, FUNCTIONS, case)


@numba.njit
def compute(code: Any, x: Any, y: Any) -> None:
    evaluate(code, x, y, x.size * x.itemsize // VECTOR_BYTES)


@numba.njit
def activation(code: Any, x: Any, a: Any, d: Any, options: Any) -> None:
    vectors = x.size * x.itemsize // VECTOR_BYTES
    views = (Matrix(x, 0, 0, 1), Matrix(a, 0, 0, 1), Matrix(d, 0, 0, 1))
    activate_and_derive(code, views, (1, vectors), options, 1)


def on_lanes(code: int, x: NDArray[Any]) -> NDArray[Any]:
    """A function of `FUNCTIONS` as kernels compute it."""
    padded = np.resize(x, (len(x) + 15) // 16 * 16)
    result = np.full_like(padded, -123)  # shows where nothing was computed
    compute(code, padded, result)
    return result[: len(x)]


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


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_are_within_four_units_in_the_last_place(dtype: Any) -> None:
    every = everywhere(dtype)
    for code, (ours, reference, low, high) in enumerate(FUNCTIONS[:ERFC]):
        inside = every if low == -np.inf else every[(every >= low) & (every <= high)]
        x = np.append(inside, dtype(np.nan))  # only the full functions keep NaNs of any bits
        with np.errstate(all="ignore"):
            found, expected = on_lanes(code, x), reference(x.astype(np.longdouble))
            far = distance(found, expected)
        assert not np.isnan(far).any(), (ours, x[np.isnan(far)])
        assert far.max() <= ULPS, (ours, x[far.argmax()], found[far.argmax()])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_complement_of_the_error_function_is_accurate(dtype: Any) -> None:
    x = np.linspace(0, 5, 10_001).astype(dtype)
    rtol = 50 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(on_lanes(ERFC, x), special.erfc(x.astype(float)), rtol=rtol)


@pytest.mark.parametrize("code", range(len(ACTIVATIONS)), ids=[kernel.name for kernel in ACTIVATIONS])
def test_a_derivative_is_that_of_its_value(code: int) -> None:
    x = np.linspace(-4, 4, 1024) + 0.001
    options = {
        "leaky_relu": (0.1, 0.0),
        "hard_logistic": (0.2, 0.5),
        "elu": (1.5, 1.2),
        "softplus": (2.0, 20.0),
        "swish": (1.5, 0.0),
    }

    def both(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        value, derivative = np.empty_like(x), np.empty_like(x)
        activation(code, x, value, derivative, options.get(ACTIVATIONS[code].name, (0.0, 0.0)))
        return value, derivative

    step = 1e-6
    quotient = (both(x + step)[0] - both(x - step)[0]) / (2 * step)
    np.testing.assert_allclose(both(x)[1], quotient, atol=1e-7)
