"""Adding an optimizer to the kernels."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from mlprun.engines.fused.elementwise import scalars_function, update_function
from mlprun.engines.fused.optimizers import OPTIMIZERS, OPTIONS, SCALARS, KernelOptimizer
from mlprun.engines.fused.records import STATE


def _scalars(o: Any, lr: Any, step: Any, state: Any, s: Any) -> None:
    s.lr, s.momentum = lr / step, o.momentum


def _update(w: Any, g: Any, state: Any, s: Any) -> Any:
    velocity = state[0] * s.momentum + g
    return w - s.lr * velocity, [velocity]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_optimizer_is_one_record(dtype: Any) -> None:
    optimizers = (OPTIMIZERS[0], KernelOptimizer("harmonic", ("velocity",), _scalars, _update))
    set_scalars, update = scalars_function(optimizers), update_function(optimizers)

    @numba.njit
    def step(options: Any, states: Any, scalars: Any, arrays: Any) -> None:
        states[0].steps += 1
        set_scalars(1, options[0], 0.5, states[0], scalars[0])
        update(1, arrays, (0, arrays[0].shape[0], arrays[0].shape[0]), scalars[0])

    options, states, scalars = (np.zeros(1, fields) for fields in (OPTIONS, STATE, SCALARS))
    options["momentum"] = 0.25
    rng = np.random.default_rng(0)
    w, g, velocity = rng.normal(size=16).astype(dtype), rng.normal(size=16).astype(dtype), np.zeros(16, dtype)
    expected, momentum = w.copy(), velocity.copy()
    for number in (1, 2, 3):
        step(options, states, scalars, (w, g, velocity))
        momentum = 0.25 * momentum + g
        expected = expected - 0.5 / number * momentum
        np.testing.assert_allclose(w, expected, rtol=1e-5)
