"""Kernels are kept on disk where there is a place for them, and compiled all the same where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import types

from mlprun.engines.fused import compiled

if TYPE_CHECKING:
    import pytest


def twice(value: float) -> float:
    return 2 * value


def test_without_a_place_for_the_cache_a_kernel_is_compiled_by_each_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: object, function: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(compiled._PackageCache, "__init__", refuse)
    kernel, signature = compiled.kernel(twice), (types.float64,)
    assert not compiled.is_ready(kernel, signature)
    assert kernel(1.5) == 3.0
    assert compiled.is_ready(kernel, signature)
