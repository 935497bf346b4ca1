"""The kernels made ready before a run, with word to the user where that takes its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from mlprun.engines.fused import compiled, epochs

if TYPE_CHECKING:
    from collections.abc import Callable


def signatures(dtype: str) -> list[tuple[Any, tuple[Any, ...]]]:
    """Each kernel that Python calls and the types of its arguments."""
    real = types.Array(types.float32 if dtype == "float32" else types.float64, 1, "C")
    whole, double = types.Array(types.int64, 1, "C"), types.Array(types.float64, 1, "C")
    words, wholes = types.Array(types.uint64, 1, "C"), types.Array(types.int64, 2, "C")
    doubles = types.Array(types.float64, 2, "C")
    network = (whole, double, wholes, whole, double)
    state = (real, real, real, whole, double)
    space = (real, real, real, double, double, words, whole, whole, real, doubles, doubles, real)
    train = (
        *network,
        double,
        types.int64,
        real,
        real,
        double,
        *state,
        *space,
        types.int64,
        types.int64,
    )
    examine = (*network, real, real, real, real, double, double, real)
    return [(epochs.train, train), (epochs.examine, examine)]


def up(dtype: str, say: Callable[[str], None], *, outside: bool = False) -> None:
    """Load or compile the kernels for one floating-point type.

    Only runs with figures that are computed `outside` of the kernels need the second.
    """
    wanted = signatures(np.dtype(dtype).name)[: 2 if outside else 1]
    if missing := [
        dispatcher for dispatcher, signature in wanted if not compiled.is_ready(dispatcher, signature)
    ]:
        say(f"compiling the fused engine's {dtype} kernels{_reason(missing)}")
    for dispatcher, signature in wanted:
        dispatcher.compile(signature)


def _reason(missing: list[Any]) -> str:
    """Why kernels must be compiled, or how often."""
    if damaged := [path for path in map(compiled.damaged, missing) if path is not None]:
        return f" again: {damaged[0]} could not be loaded"
    if compiled.cache_folder() is None:
        return " for this process only: neither the cache folder nor the temporary folder can keep them"
    return ", once for this machine"
