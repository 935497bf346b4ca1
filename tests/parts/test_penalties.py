"""Penalties against their closed forms."""

from __future__ import annotations

import pytest
import torch

from mlprun.parts.penalties import penalties

CLOSED_FORMS = {
    "l2": (lambda w: (w**2).sum(), lambda w: 2 * w),
    "l1": (lambda w: w.abs().sum(), lambda w: w.sign()),
}


def weights():
    """Two matrices and an embedding, one of them with a zero."""
    generator = torch.Generator().manual_seed(2)
    tensors = [
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 2), (1, 3), (5, 4))
    ]
    tensors[0][1, 1] = 0.0
    return [tensor.requires_grad_() for tensor in tensors]


def test_every_penalty_has_a_closed_form():
    assert {part.names()[0] for part in penalties} == set(CLOSED_FORMS)


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("count", [1, 3])
def test_value_and_gradient_are_those_of_the_closed_form(name, count):
    value, gradient = CLOSED_FORMS[name]
    tensors = weights()[:count]
    penalty = penalties[name](coefficient=0.3).value(tensors)
    penalty.backward()
    with torch.no_grad():
        torch.testing.assert_close(
            penalty, 0.3 * sum(value(tensor) for tensor in tensors), rtol=1e-14, atol=0
        )
        for tensor in tensors:
            torch.testing.assert_close(tensor.grad, 0.3 * gradient(tensor), rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_the_value_keeps_the_weights_dtype(name):
    assert penalties[name](coefficient=0.3).value([torch.ones(2, 2)]).dtype == torch.float32


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_a_transposed_matrix_counts_as_any_other(name):
    matrix = weights()[0].detach()
    penalty = penalties[name](coefficient=1.0)
    torch.testing.assert_close(penalty.value([matrix.T]), penalty.value([matrix]))
