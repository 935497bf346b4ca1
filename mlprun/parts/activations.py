"""Activation functions and their registry, and parallel activations whose results are summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from mlprun.parts.part import Named, NonNegativeFloat, Part, PositiveFloat, Registry

if TYPE_CHECKING:
    from torch import Tensor, nn


class Activation(Part):
    """Base of all activations: elementwise unless the docstring says otherwise."""

    elementwise: ClassVar[bool] = True
    """False where an output depends on the whole row: such an activation stands on the output layer only"""
    output_kind: ClassVar[Literal["numbers", "probabilities", "log_probabilities"]] = "numbers"
    """what metrics may take the outputs for"""
    link: ClassVar[Literal["identity", "logit", "multinomial"] | None] = None
    """which regression a single layer with these outputs is: linear, logistic, softmax; None for any other"""

    torch_name: ClassVar[str]
    """the class in torch.nn"""
    arguments: ClassVar[tuple[int, ...]] = ()
    """what that class takes, before the options in their order"""

    def build(self) -> nn.Module:
        """The activation as a module, [B, H] to [B, H]."""
        from torch import nn

        options = (value for name, value in self if name != "name")
        module: nn.Module = getattr(nn, self.torch_name)(*self.arguments, *options)
        return module


activations: Registry[Activation] = Registry("activation", "activations")
OneActivation = Annotated[Activation, Named(activations)]


def _how_many(value: Any) -> str:
    # a plain union would report every mistake twice, once per alternative
    return "several" if isinstance(value, tuple | list) else "one"


ActivationField = Annotated[
    Annotated[OneActivation, Tag("one")] | Annotated[tuple[OneActivation, ...], Tag("several")],
    Discriminator(_how_many),
]
"""One activation, or several applied to the same values and summed."""


def each(activation: Activation | tuple[Activation, ...]) -> tuple[Activation, ...]:
    """The activations whose results are summed; one for a single activation."""
    return activation if isinstance(activation, tuple) else (activation,)


def _elementwise(activation: Activation | tuple[Activation, ...]) -> Activation | tuple[Activation, ...]:
    if not each(activation):
        raise ValueError("no activation is named; name one, or identity for none")
    for one in each(activation):
        if not one.elementwise:
            raise ValueError(
                f"{one.name} looks at a whole row, so it can only be architecture.output_activation"
            )
    return activation


HiddenActivation = Annotated[ActivationField, AfterValidator(_elementwise)]
"""What may stand between layers: one elementwise activation, or several summed."""


def build_activation(activation: Activation | tuple[Activation, ...]) -> nn.Module:
    """The activation as a module whose `label` is its name; several become one that sums their results."""
    modules = [one.build() for one in each(activation)]
    for one, module in zip(each(activation), modules, strict=True):
        module.label = one.names()[0]  # type: ignore[assignment]
    if len(modules) == 1:
        return modules[0]
    parallel: nn.Module = _network().Parallel(modules)
    return parallel


def _network() -> Any:
    """Import the modules, which bring torch."""
    from mlprun.parts import network

    return network


class ElementwiseActivation(Activation):
    """Base of the activations that torch has no class of."""

    def function(self, values: Tensor) -> Tensor:
        """The activation of each value."""
        raise NotImplementedError

    def build(self) -> nn.Module:
        module: nn.Module = _network().Elementwise(self.function)
        return module


class RowwiseActivation(Activation):
    """Base of the activations of a whole row."""

    elementwise = False
    link = "multinomial"
    arguments = (-1,)


@activations.register
class Softmax(RowwiseActivation):
    """exp(z) divided by its sum over the row: probabilities of the classes. For outputs only."""

    output_kind = "probabilities"
    torch_name = "Softmax"

    name: Literal["softmax"] = "softmax"


@activations.register
class LogSoftmax(RowwiseActivation):
    """Logarithm of the softmax of a row: log-probabilities of the classes. For outputs only."""

    output_kind = "log_probabilities"
    torch_name = "LogSoftmax"

    name: Literal["log_softmax"] = "log_softmax"


@activations.register
class Exp(ElementwiseActivation):
    """f(z) = exp(z), a positive rate such as the mean of a Poisson variable."""

    name: Literal["exp"] = "exp"

    def function(self, values: Tensor) -> Tensor:
        return values.exp()


@activations.register
class Relu(Activation):
    """f(z) = max(z, 0).

    Source: Nair and Hinton (2010), icml.cc/Conferences/2010/papers/432.pdf
    """

    torch_name = "ReLU"

    name: Literal["relu"] = "relu"


@activations.register
class LeakyRelu(Activation):
    """f(z) = z above 0, slope z below.

    Source: Maas, Hannun and Ng (2013), ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf
    """

    torch_name = "LeakyReLU"

    name: Literal["leaky_relu"] = "leaky_relu"
    slope: NonNegativeFloat = Field(0.01, description="slope for negative values")


@activations.register
class Elu(Activation):
    """f(z) = z above 0, alpha (exp(z) - 1) below.

    Source: Clevert, Unterthiner and Hochreiter (2016), arxiv.org/abs/1511.07289
    """

    torch_name = "ELU"

    name: Literal["elu"] = "elu"
    alpha: PositiveFloat = Field(1.0, description="minus the limit for very negative values")


@activations.register
class Selu(Activation):
    """ELU scaled so that normalised values stay normalised from layer to layer.

    Source: Klambauer et al. (2017), arxiv.org/abs/1706.02515
    """

    torch_name = "SELU"

    name: Literal["selu"] = "selu"


@activations.register
class Gelu(Activation):
    """f(z) = z times the probability that a standard normal variable lies below z.

    Source: Hendrycks and Gimpel (2016), arxiv.org/abs/1606.08415
    """

    torch_name = "GELU"

    name: Literal["gelu"] = "gelu"
    approximate: Literal["none", "tanh"] = Field(
        "none", description="none: the exact function; tanh: its approximation by a hyperbolic tangent"
    )


@activations.register
class Softplus(Activation):
    """f(z) = log(1 + exp(beta z)) / beta, a smooth ReLU.

    Source: Dugas et al. (2001), papers.nips.cc/paper/1920
    """

    torch_name = "Softplus"

    name: Literal["softplus"] = "softplus"
    beta: PositiveFloat = Field(1.0, description="sharpness")
    threshold: PositiveFloat = Field(20.0, description="the function is z for beta z above this value")


@activations.register
class Swish(ElementwiseActivation):
    """f(z) = z logistic(beta z); with beta 1 also known as SiLU.

    Source: Ramachandran, Zoph and Le (2017), arxiv.org/abs/1710.05941
    """

    name: Literal["swish", "silu"] = "swish"
    beta: float = Field(1.0, description="0 gives z/2, large values approach ReLU")

    def function(self, values: Tensor) -> Tensor:
        from torch.nn.functional import silu

        return silu(values) if self.beta == 1 else values * (self.beta * values).sigmoid()


@activations.register
class Mish(Activation):
    """f(z) = z tanh(log(1 + exp(z))).

    Source: Misra (2020), arxiv.org/abs/1908.08681
    """

    torch_name = "Mish"

    name: Literal["mish"] = "mish"


@activations.register
class Identity(Activation):
    """f(z) = z."""

    link = "identity"
    torch_name = "Identity"

    name: Literal["identity"] = "identity"


@activations.register
class Logistic(Activation):
    """f(z) = 1 / (1 + exp(-z)), between 0 and 1."""

    output_kind = "probabilities"
    link = "logit"
    torch_name = "Sigmoid"

    name: Literal["logistic", "sigmoid"] = "logistic"


@activations.register
class Tanh(Activation):
    """f(z) = tanh(z), between -1 and 1."""

    torch_name = "Tanh"

    name: Literal["tanh"] = "tanh"


@activations.register
class HardLogistic(ElementwiseActivation):
    """f(z) = slope z + offset, clipped to [0, 1]: a piecewise linear logistic function.

    The defaults are PyTorch's z/6 + 1/2; `slope: 0.25` gives z/4 + 1/2, the logistic function's tangent at 0.
    Source: Courbariaux et al. (2015), arxiv.org/abs/1511.00363
    """

    name: Literal["hard_logistic", "hard_sigmoid"] = "hard_logistic"
    slope: PositiveFloat = Field(1 / 6, description="slope of the linear part")
    offset: float = Field(0.5, description="value at 0, before clipping")

    def function(self, values: Tensor) -> Tensor:
        from torch.nn.functional import hardtanh

        # not nn.Hardsigmoid, whose derivative in float64 is 1/6 as float32 has it, and not clamp, whose slope
        # at 0 and 1 themselves is that of the line: hard_tanh has 0 there
        return hardtanh(self.slope * values + self.offset, 0.0, 1.0)


@activations.register
class HardTanh(Activation):
    """f(z) = z, clipped to [-1, 1].

    Source: Collobert (2004), infoscience.epfl.ch/record/82802
    """

    torch_name = "Hardtanh"

    name: Literal["hard_tanh"] = "hard_tanh"
