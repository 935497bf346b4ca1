"""Functions become part of kernels without code of their own, and count nothing."""

from __future__ import annotations

import numpy as np
import pytest

from mlprun.engines.fused import compiled


@compiled.inner
def grow(values: object, by: float) -> None:
    for i in range(values.shape[0]):  # type: ignore[attr-defined]
        values[i] += by  # type: ignore[index]


@compiled.merged
def grow_all(table: object, by: float) -> None:
    for row in range(table.shape[0]):  # type: ignore[attr-defined]
        grow(table[row], by)  # type: ignore[index]


@pytest.fixture(scope="module")
def grown() -> object:
    import numba

    @numba.njit(**compiled.OPTIONS)
    def grown(table: object, by: float) -> None:
        grow_all(table, by)

    grown(np.zeros((2, 3)), 1.0)
    return grown


def test_parts_of_parts_compute_in_a_kernel(grown: object) -> None:
    table = np.arange(12.0).reshape(3, 4)
    grown(table, 0.5)  # type: ignore[operator]
    np.testing.assert_array_equal(table, np.arange(12.0).reshape(3, 4) + 0.5)


@pytest.mark.parametrize("part", [grow, grow_all], ids=["inner", "merged"])
def test_a_part_has_no_machine_code(grown: object, part: object) -> None:
    (compiled_part,) = part.overloads.values()  # type: ignore[attr-defined]
    assert compiled_part.library.get_pointer_to_function(compiled_part.fndesc.llvm_func_name) == 0


def test_a_part_counts_no_references(grown: object) -> None:
    for part in (grow, grow_all):
        (compiled_part,) = part.overloads.values()
        assert "NRT_incref" not in compiled_part.library.get_llvm_str()
