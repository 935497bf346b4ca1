"""The private interfaces of Numba that kernels use: what fails here broke with a new version."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import types

from mlprun.engines.fused import compat, compilation
from mlprun.engines.fused.compilation import Kernel
from mlprun.engines.fused.records import kernel_table


@compat.device_function
def grow(values: object, by: float) -> None:
    for i in range(values.shape[0]):  # type: ignore[attr-defined]
        values[i] += by  # type: ignore[index]


@compat.inlined
def grow_all(table: object, by: float) -> None:
    for row in range(table.shape[0]):  # type: ignore[attr-defined]
        grow(table[row], by)  # type: ignore[index]


@pytest.fixture(scope="module")
def grown() -> object:
    import numba

    @numba.njit(**compat.OPTIONS)
    def grown(table: object, by: float) -> None:
        grow_all(table, by)

    grown(np.zeros((2, 3)), 1.0)
    return grown


def test_device_functions_are_linked_into_a_kernel(grown: object) -> None:
    table = np.arange(12.0).reshape(3, 4)
    grown(table, 0.5)  # type: ignore[operator]
    np.testing.assert_array_equal(table, np.arange(12.0).reshape(3, 4) + 0.5)


@pytest.mark.parametrize("function", [grow, grow_all], ids=["device_function", "inlined"])
def test_a_device_function_has_no_machine_code(grown: object, function: object) -> None:
    (overload,) = function.overloads.values()  # type: ignore[attr-defined]
    assert overload.library.get_pointer_to_function(overload.fndesc.llvm_func_name) == 0


def test_a_device_function_counts_no_references(grown: object) -> None:
    for function in (grow, grow_all):
        (overload,) = function.overloads.values()
        assert "NRT_incref" not in overload.library.get_llvm_str()


def test_the_features_of_the_cpu_are_those_that_numba_compiles_for() -> None:
    features = compilation.host_cpu_features()
    assert all(feature[:1] in "+-" for feature in features.split(",") if feature)
    # in a process of its own, where no other test has changed Numba's config
    script = (
        "import mlprun.engines.fused.compilation\n"
        "from numba.core import codegen, config\n"
        "known = config.CPU_FEATURES\n"
        "print(codegen.get_host_cpu_features() if known is None else known)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert features == done.stdout.strip()


def test_object_code_reads_records_and_named_tuples_from_a_table() -> None:
    record = np.dtype([("count", np.int64), ("value", np.float64), ("inner", [("value", np.float64)])])

    class Pair(NamedTuple):
        first: Any
        second: Any

    table_type, numbers = types.Array(types.float64, 2, "C"), types.Array(types.float64, 1, "C")
    pair_type = compat.named_tuple(Pair, numbers, types.int64)
    records_at = compat.records_reader((compat.record_array(record), pair_type, table_type))

    def fill(address: Any) -> Any:
        records, pair, table = records_at(address)
        one = records[0]
        one.count += table.shape[0]
        one.value = pair.first[0] + pair.second + table[1, 2]
        one.inner.value = 2.0
        return one.count

    kernel = Kernel("fill", ctypes.c_int64, lambda dtype: compat.compile_function(fill))
    records, values = np.zeros(1, record), np.arange(6.0).reshape(2, 3)
    table = kernel_table((records, Pair(np.array([0.5]), 3), values))
    assert kernel.compiled("float64")(table) == 2
    assert records[0].item() == (2, 8.5, (2.0,))


def test_the_symbols_that_an_object_file_needs_are_read_from_it() -> None:
    def fill(address: Any) -> Any:
        return int(float(address) ** (0.1 * float(address)))

    _, code, _ = compat.compile_function(fill)
    if sys.platform == "linux":
        assert compilation.undefined_symbols(code) == ("pow",)
    assert "memset" in compilation.undefined_symbols(b"another format")
