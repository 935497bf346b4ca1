"""The activations that grow without bound for large values: ReLU and its smooth relatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.activations.activation import Activation, activations
from mlprun.parts.part import NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    from torch import nn


@activations.register
class Relu(Activation):
    """f(z) = max(z, 0).

    Source: Nair and Hinton (2010), icml.cc/Conferences/2010/papers/432.pdf
    """

    name: Literal["relu"] = "relu"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.ReLU()


@activations.register
class LeakyRelu(Activation):
    """f(z) = z above 0, slope z below.

    Source: Maas, Hannun and Ng (2013), ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf
    """

    name: Literal["leaky_relu"] = "leaky_relu"
    slope: NonNegativeFloat = Field(0.01, description="slope for negative values")

    def build(self) -> nn.Module:
        from torch import nn

        return nn.LeakyReLU(self.slope)


@activations.register
class Elu(Activation):
    """f(z) = z above 0, alpha (exp(z) - 1) below.

    Source: Clevert, Unterthiner and Hochreiter (2016), arxiv.org/abs/1511.07289
    """

    name: Literal["elu"] = "elu"
    alpha: PositiveFloat = Field(1.0, description="minus the limit for very negative values")

    def build(self) -> nn.Module:
        from torch import nn

        return nn.ELU(self.alpha)


@activations.register
class Selu(Activation):
    """ELU scaled so that normalised values stay normalised from layer to layer.

    Source: Klambauer et al. (2017), arxiv.org/abs/1706.02515
    """

    name: Literal["selu"] = "selu"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.SELU()


@activations.register
class Gelu(Activation):
    """f(z) = z times the probability that a standard normal variable lies below z.

    Source: Hendrycks and Gimpel (2016), arxiv.org/abs/1606.08415
    """

    name: Literal["gelu"] = "gelu"
    approximate: Literal["none", "tanh"] = Field(
        "none", description="none: the exact function; tanh: its approximation by a hyperbolic tangent"
    )

    def build(self) -> nn.Module:
        from torch import nn

        return nn.GELU(self.approximate)


@activations.register
class Softplus(Activation):
    """f(z) = log(1 + exp(beta z)) / beta, a smooth ReLU.

    Source: Dugas et al. (2001), papers.nips.cc/paper/1920
    """

    name: Literal["softplus"] = "softplus"
    beta: PositiveFloat = Field(1.0, description="sharpness of the bend")
    threshold: PositiveFloat = Field(20.0, description="above this value of beta z the function is z itself")

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Softplus(self.beta, self.threshold)


@activations.register
class Swish(Activation):
    """f(z) = z logistic(beta z); with beta 1 also known as SiLU.

    Source: Ramachandran, Zoph and Le (2017), arxiv.org/abs/1710.05941
    """

    name: Literal["swish", "silu"] = "swish"
    beta: float = Field(1.0, description="0 gives z/2, large values approach ReLU")

    def build(self) -> nn.Module:
        from torch import nn

        if self.beta == 1:
            return nn.SiLU()
        from mlprun.parts.activations import modules

        return modules.Swish(self.beta)


@activations.register
class Mish(Activation):
    """f(z) = z tanh(log(1 + exp(z))).

    Source: Misra (2020), arxiv.org/abs/1908.08681
    """

    name: Literal["mish"] = "mish"

    def build(self) -> nn.Module:
        from torch import nn

        return nn.Mish()
