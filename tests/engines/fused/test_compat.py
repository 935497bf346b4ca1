"""The private interfaces of Numba that kernels use: what fails here broke with a new version."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import types

from mlprun.engines.fused import compat, compilation


@compilation.device_function
def grow(values: object, by: float) -> None:
    for i in range(values.shape[0]):  # type: ignore[attr-defined]
        values[i] += by  # type: ignore[index]


@compilation.inlined
def grow_all(table: object, by: float) -> None:
    for row in range(table.shape[0]):  # type: ignore[attr-defined]
        grow(table[row], by)  # type: ignore[index]


@pytest.fixture(scope="module")
def grown() -> object:
    import numba

    @numba.njit(**compilation.OPTIONS)
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


def test_the_features_of_the_cpu_are_those_of_llvm() -> None:
    features = compat.host_cpu_features().split(",")
    assert all(feature[:1] in "+-" for feature in features if feature)


def test_an_entry_point_takes_records_and_named_tuples() -> None:
    record = np.dtype([("count", np.int64), ("value", np.float64), ("inner", [("value", np.float64)])])

    class Pair(NamedTuple):
        first: Any
        second: Any

    def fill(records: Any, pair: Any) -> Any:
        one = records[0]
        one.count += 1
        one.value = pair.first[0] + pair.second
        one.inner.value = 2.0
        return one.count

    numbers = types.Array(types.float64, 1, "C")
    signature = (compat.record_array(record), compat.named_tuple(Pair, numbers, types.int64))
    dispatcher = compat.njit(fill)
    compat.set_cache(dispatcher, Nothing())
    assert not compat.load_overload(dispatcher, signature)
    records = np.zeros(1, record)
    assert compat.entry_point(dispatcher, signature)(records, Pair(np.array([0.5]), 3)) == 1
    assert compat.load_overload(dispatcher, signature)
    assert records[0].item() == (1, 3.5, (2.0,))


class Nothing(compat.OverloadCache):
    """A cache that keeps nothing."""

    def load(self, signature: Any, target: tuple[Any, ...]) -> None:
        assert all(isinstance(part, str) for part in target)

    def save(self, signature: Any, target: tuple[Any, ...], content: bytes) -> None:
        assert content
