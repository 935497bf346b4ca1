"""Activations against a printed table, closed forms and finite differences."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from mlprun.parts.activations import (
    Activation,
    ActivationField,
    HiddenActivation,
    activations,
    build_activation,
)

Z = [-10.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 10.0]
TABLE = [
    (
        "logistic",
        {},
        [
            4.5397868702434395e-05,
            0.04742587317756678,
            0.2689414213699951,
            0.3775406687981454,
            0.5,
            0.6224593312018546,
            0.7310585786300049,
            0.9525741268224334,
            0.9999546021312976,
        ],
    ),
    (
        "tanh",
        {},
        [
            -0.9999999958776927,
            -0.9950547536867305,
            -0.7615941559557649,
            -0.46211715726000974,
            0.0,
            0.46211715726000974,
            0.7615941559557649,
            0.9950547536867305,
            0.9999999958776927,
        ],
    ),
    ("relu", {}, [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 3.0, 10.0]),
    ("leaky_relu", {"slope": 0.1}, [-1.0, -0.30000000000000004, -0.1, -0.05, 0.0, 0.5, 1.0, 3.0, 10.0]),
    ("leaky_relu", {}, [-0.1, -0.03, -0.01, -0.005, 0.0, 0.5, 1.0, 3.0, 10.0]),
    ("hard_logistic", {"slope": 0.25}, [0.0, 0.0, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0, 1.0]),
    (
        "hard_logistic",
        {},
        [
            0.0,
            0.0,
            0.3333333333333333,
            0.4166666666666667,
            0.5,
            0.5833333333333334,
            0.6666666666666666,
            1.0,
            1.0,
        ],
    ),
    ("hard_tanh", {}, [-1.0, -1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0, 1.0]),
    (
        "elu",
        {},
        [
            -0.9999546000702375,
            -0.950212931632136,
            -0.6321205588285577,
            -0.3934693402873666,
            0.0,
            0.5,
            1.0,
            3.0,
            10.0,
        ],
    ),
    (
        "softplus",
        {},
        [
            4.539889921686465e-05,
            0.04858735157374206,
            0.31326168751822286,
            0.4740769841801067,
            0.6931471805599453,
            0.9740769841801067,
            1.3132616875182228,
            3.048587351573742,
            10.000045398899218,
        ],
    ),
    (
        "swish",
        {},
        [
            -0.0004539786870243439,
            -0.14227761953270035,
            -0.2689414213699951,
            -0.1887703343990727,
            0.0,
            0.3112296656009273,
            0.7310585786300049,
            2.8577223804672998,
            9.999546021312975,
        ],
    ),
    (
        "swish",
        {"beta": 0.5},
        [
            -0.06692850924284856,
            -0.547276571419069,
            -0.3775406687981454,
            -0.21891174955710097,
            0.0,
            0.28108825044289903,
            0.6224593312018546,
            2.452723428580931,
            9.933071490757152,
        ],
    ),
    (
        "swish",
        {"beta": 100.0},
        [
            -0.0,
            -1.5444600667236043e-130,
            -3.7200759760208356e-44,
            -9.64374923981959e-23,
            0.0,
            0.5,
            1.0,
            3.0,
            10.0,
        ],
    ),
]
FIELD: TypeAdapter[Activation | tuple[Activation, ...]] = TypeAdapter(ActivationField)
HIDDEN: TypeAdapter[Activation | tuple[Activation, ...]] = TypeAdapter(HiddenActivation)
ELEMENTWISE = [part for part in activations if part.elementwise]


def applied(name: str, values: torch.Tensor, **options: object) -> torch.Tensor:
    return build_activation(FIELD.validate_python({"name": name, **options}))(values)


@pytest.mark.parametrize(("name", "options", "expected"), TABLE)
def test_values_are_those_of_the_table(name, options, expected):
    values = applied(name, torch.tensor(Z, dtype=torch.float64), **options)
    assert values.tolist() == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "function"),
    [
        ("identity", {}, lambda z: z),
        ("elu", {"alpha": 2.0}, lambda z: z if z > 0 else 2 * math.expm1(z)),
        ("selu", {}, lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * math.expm1(z))),
        ("gelu", {}, lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2),
        (
            "gelu",
            {"approximate": "tanh"},
            lambda z: z / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
        ),
        ("softplus", {"beta": 0.5}, lambda z: 2 * math.log1p(math.exp(z / 2))),
        ("softplus", {"threshold": 0.7}, lambda z: z if z > 0.7 else math.log1p(math.exp(z))),
        ("mish", {}, lambda z: z * math.tanh(math.log1p(math.exp(z)))),
        ("exp", {}, math.exp),
        ("hard_logistic", {"slope": 0.2, "offset": 0.4}, lambda z: min(max(0.2 * z + 0.4, 0), 1)),
    ],
)
def test_values_are_those_of_the_closed_form(name, options, function):
    values = applied(name, torch.tensor(Z, dtype=torch.float64), **options)
    assert values.tolist() == pytest.approx([function(z) for z in Z], rel=1e-13, abs=1e-15)


def test_the_slope_of_hard_logistic_is_exact_in_float64():
    """PyTorch's own Hardsigmoid multiplies with 1/6 as float32 has it, in every precision."""
    values = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    build_activation(activations["hard_logistic"](name="hard_logistic"))(values).sum().backward()
    assert values.grad.tolist() == [1 / 6] * 3


@pytest.mark.parametrize("part", ELEMENTWISE, ids=lambda part: part.names()[0])
def test_an_elementwise_activation_looks_at_one_value_and_is_differentiated_rightly(part):
    module = part.model_validate({}).build()
    values = torch.tensor([[-2.3, -0.4], [0.3, 0.7]], dtype=torch.float64, requires_grad=True)
    one_by_one = [module(value.reshape(1, 1)).item() for value in values.detach().flatten()]
    assert module(values).flatten().tolist() == pytest.approx(one_by_one, rel=1e-15)
    assert torch.autograd.gradcheck(module, values)


@pytest.mark.parametrize("part", list(activations), ids=lambda part: part.names()[0])
def test_an_activation_leaves_its_input_and_its_dtype_alone(part):
    for dtype in (torch.float32, torch.float64):
        values = torch.linspace(-3, 3, 12, dtype=dtype).reshape(4, 3)
        before = values.clone()
        result = part.model_validate({}).build()(values)
        assert torch.equal(values, before)
        assert (result.dtype, result.shape) == (dtype, values.shape)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_distribution_over_classes_sums_to_one_and_keeps_the_order(name):
    values = torch.tensor([[1.0, 3.0, -2.0], [800.0, 0.0, -800.0]], dtype=torch.float64)
    result = applied(name, values)
    probabilities = result.exp() if name == "log_softmax" else result
    assert probabilities.sum(1).tolist() == pytest.approx([1, 1], rel=1e-15)
    assert probabilities[0, 1] / probabilities[0, 0] == pytest.approx(math.exp(2), rel=1e-12)


def test_several_activations_are_summed():
    both = build_activation(FIELD.validate_python(("relu", "tanh", {"name": "leaky_relu", "slope": 0.5})))
    values = torch.tensor(Z, dtype=torch.float64)
    expected = [max(z, 0) + math.tanh(z) + (z if z > 0 else z / 2) for z in Z]
    assert both(values).tolist() == pytest.approx(expected, rel=1e-15)


def test_one_activation_in_a_list_is_that_activation():
    assert type(build_activation(FIELD.validate_python(("tanh",)))) is torch.nn.Tanh


def test_softplus_stays_monotonic_where_it_becomes_the_identity():
    values = applied("softplus", torch.linspace(19.9, 20.1, 201, dtype=torch.float64)).tolist()
    assert all(low <= high for low, high in pairwise(values))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("form", [lambda name: name, lambda name: ("relu", name)])
def test_an_activation_of_whole_rows_is_refused_between_layers(name, form):
    with pytest.raises(ValidationError, match="output_activation"):
        HIDDEN.validate_python(form(name))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("rellu", "did you mean relu"),
        (("relu", "tanhh"), "did you mean tanh"),
        ((), "no activation"),
        (3, "expected an activation"),
        ({"name": "elu", "alpha": 0}, "greater than 0"),
        ({"name": "elu", "alpah": 1}, "Extra inputs"),
        ({"name": "gelu", "approximate": "yes"}, "'none' or 'tanh'"),
        ({"name": "swish", "beta": "1"}, "valid number"),
    ],
)
def test_a_mistake_is_reported_once(value, message):
    with pytest.raises(ValidationError, match=message) as caught:
        HIDDEN.validate_python(value)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("name", activations.names())
def test_every_name_survives_a_round_trip(name):
    part = FIELD.validate_python(name)
    assert FIELD.validate_python(FIELD.dump_python(part)) == part


@pytest.mark.parametrize("part", list(activations), ids=lambda part: part.names()[0])
def test_what_activations_give_is_what_they_say(part):
    values = 3 * torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outputs = part(name=part.names()[0]).build()(values)
    assert (outputs.shape, outputs.dtype) == (values.shape, values.dtype)
    if part.output_kind == "log_probabilities":
        outputs = outputs.exp()
    if part.output_kind != "numbers":
        assert bool(((outputs >= 0) & (outputs <= 1)).all())
    if part.link == "identity":
        assert torch.equal(outputs, values)
    elif part.link == "logit":
        assert torch.allclose(torch.logit(outputs), values)
    elif part.link == "multinomial":
        shifts = outputs.log() - values
        assert torch.allclose(shifts, shifts[:, :1])
