"""Every operation of a tensor against torch and central differences, and what a tensor remembers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from mlprun.engines.scratch.tensor import Tensor

RNG = np.random.default_rng(3)
A, B, C = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
PLACES = np.array([[2, 0], [2, 1], [1, 2]])
OPERATIONS: dict[str, tuple[Any, Any, tuple[np.ndarray, ...]]] = {
    "add": (lambda a, b: a + b, lambda a, b: a + b, (A, B)),
    "add a number": (lambda a: a + 2.5, lambda a: a + 2.5, (A,)),
    "sub": (lambda a, b: a - b, lambda a, b: a - b, (A, B)),
    "mul": (lambda a, b: a * b, lambda a, b: a * b, (A, B)),
    "mul by a number": (lambda a: a * -3.0, lambda a: a * -3.0, (A,)),
    "divide": (lambda a: a / 7, lambda a: a / 7, (A,)),
    "neg": (lambda a: -a, lambda a: -a, (A,)),
    "sum of all": (lambda a: a.sum(), lambda a: a.sum(), (A,)),
    "sum of columns": (lambda a: a.sum(0), lambda a: a.sum(0), (A,)),
    "sum of rows": (lambda a: a.sum(1), lambda a: a.sum(1), (A,)),
    "expand in front": (lambda a: a.expand(0, 5), lambda a: a[None].expand(5, 3, 4), (A,)),
    "expand inside": (lambda a: a.expand(1, 5), lambda a: a[:, None].expand(3, 5, 4), (A,)),
    "transpose": (lambda a: a.transpose(), lambda a: a.T, (A,)),
    "reshape": (lambda a: a.reshape(2, 6), lambda a: a.reshape(2, 6), (A,)),
    "matrix product": (lambda a, c: a @ c, lambda a, c: a @ c, (A, C)),
    "index_select": (lambda a: a.index_select(PLACES), lambda a: a[torch.from_numpy(PLACES)], (A,)),
    "a tensor with itself": (lambda a: a * a + a * a * a, lambda a: a * a + a * a * a, (A,)),
}
every = pytest.mark.parametrize("name", OPERATIONS)


def weighted(result: Any) -> Any:
    """A scalar in which every number of a result counts differently."""
    shape = tuple(result.data.shape)
    factors = np.arange(1.0, 1 + int(np.prod(shape))).reshape(shape) / 7
    return (result * (torch.as_tensor(factors) if torch.is_tensor(result) else Tensor(factors))).sum()


@every
def test_an_operation_and_its_gradients_are_torchs(name: str) -> None:
    mine, theirs, given = OPERATIONS[name]
    tensors = [Tensor(array, requires_grad=True) for array in given]
    others = [torch.tensor(array, requires_grad=True) for array in given]
    np.testing.assert_allclose(mine(*tensors).data, theirs(*others).detach().numpy(), rtol=1e-14)
    weighted(mine(*tensors)).backward()
    weighted(theirs(*others)).backward()
    for tensor, other in zip(tensors, others, strict=True):
        np.testing.assert_allclose(tensor.grad, other.grad.numpy(), rtol=1e-13)


@every
def test_a_gradient_is_the_central_difference(name: str, lab: Any) -> None:
    operation, _, given = OPERATIONS[name]
    tensors = [Tensor(array, requires_grad=True) for array in given]
    weighted(operation(*tensors)).backward()
    for place, tensor in enumerate(tensors):

        def value(array: np.ndarray, place: int = place) -> float:
            moved = [*given[:place], array, *given[place + 1 :]]
            return float(weighted(operation(*(Tensor(one) for one in moved))).data)

        np.testing.assert_allclose(tensor.grad, lab.slope(value, given[place]), rtol=1e-7, atol=1e-7)


def test_a_tensor_used_on_several_ways_gets_the_sum_of_all() -> None:
    """y = x (x + 1) + 3 x at x = 2 has the slope 2 x + 1 + 3 = 8."""
    x = Tensor(2.0, requires_grad=True)
    (x * (x + 1) + x * 3).backward()
    assert x.grad == 8.0


def test_gradients_add_up_until_they_are_zeroed() -> None:
    x = Tensor([1.0, -2.0], requires_grad=True)
    for expected in ([2.0, -4.0], [4.0, -8.0]):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, expected)
    x.grad = None
    assert x.grad is None
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, -4.0])


def test_a_gradient_given_to_backward_weighs_the_outputs() -> None:
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x * x).backward([1.0, 10.0, 0.0])
    np.testing.assert_array_equal(x.grad, [2.0, 40.0, 0.0])


def test_what_is_no_parameter_keeps_no_gradient_and_no_origin() -> None:
    x, c = Tensor([1.0], requires_grad=True), Tensor([5.0])
    y = x * c
    y.sum().backward()
    assert c.grad is None
    assert y.grad is None
    assert [parent for parent, _ in y.parents] == [x]
    assert (c * c).parents == []


@pytest.mark.parametrize("other", [(4, 3), (4,), (1, 4), (3, 1)])
def test_shapes_that_differ_are_never_broadcast(other: tuple[int, ...]) -> None:
    for operation in (Tensor.__add__, Tensor.__sub__, Tensor.__mul__):
        with pytest.raises(ValueError, match="differ; expand one of them"):
            operation(Tensor(A), Tensor(np.ones(other)))


def test_the_gradient_of_a_parameter_is_an_array_of_its_own() -> None:
    x, y = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
    (x + y).sum().backward()
    x.grad += 5
    assert y.grad == 1.0


def test_a_chain_longer_than_pythons_stack_is_gone_back_in_little_time() -> None:
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + x
    y.backward()
    assert x.grad == 20_001


def test_numbers_are_float64_whatever_they_are_given_as() -> None:
    assert Tensor([1, 2]).data.dtype == np.float64
    assert Tensor(np.float32(0.1)).data == np.float64(np.float32(0.1))


def test_no_chapter_needs_torch() -> None:
    chapters = ("tensor", "functions", "network")
    code = ";".join(f"import mlprun.engines.scratch.{name}" for name in chapters)
    subprocess.run([sys.executable, "-c", f"{code};import sys;assert 'torch' not in sys.modules"], check=True)
