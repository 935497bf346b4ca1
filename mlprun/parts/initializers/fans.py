"""Initialisers whose spread follows from the shape of a matrix; the same draws as torch.nn.init."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from mlprun.parts.initializers.draws import fan_in
from mlprun.parts.initializers.initializer import Initializer, initializers
from mlprun.parts.part import NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    import torch


class _Fans(Initializer):
    @property
    def needs_matrix(self) -> bool:
        return True


@initializers.register
class Xavier(_Fans):
    """Variance gain^2 * 2 / (inputs + outputs), which keeps signals and gradients of tanh layers alike.

    Source: Glorot and Bengio (2010), proceedings.mlr.press/v9/glorot10a.html
    """

    name: Literal["xavier", "glorot"] = "xavier"
    distribution: Literal["uniform", "normal"] = Field("uniform", description="what is drawn")
    gain: PositiveFloat = Field(1.0, description="factor on the standard deviation")

    def fill(self, tensor: torch.Tensor) -> None:
        from torch.nn import init

        fan_in(tensor, self.name)
        fill = init.xavier_uniform_ if self.distribution == "uniform" else init.xavier_normal_
        fill(tensor, gain=self.gain)


@initializers.register
class Kaiming(_Fans):
    """Variance gain^2 / inputs, with the gain that suits the activation (2 / inputs for ReLU).

    He's normal weights N(0, 2 / inputs) are `{name: kaiming, distribution: normal}`.
    Source: He et al. (2015), arxiv.org/abs/1502.01852
    """

    name: Literal["kaiming", "he"] = "kaiming"
    distribution: Literal["uniform", "normal"] = Field("uniform", description="what is drawn")
    mode: Literal["fan_in", "fan_out"] = Field(
        "fan_in", description="divide by the number of inputs, or of outputs"
    )
    nonlinearity: Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"] = Field(
        "relu", description="the activation whose gain is used"
    )
    slope: NonNegativeFloat = Field(0.01, description="slope of leaky_relu for negative values")

    def fill(self, tensor: torch.Tensor) -> None:
        from torch.nn import init

        fan_in(tensor, self.name)
        fill = init.kaiming_uniform_ if self.distribution == "uniform" else init.kaiming_normal_
        fill(tensor, a=self.slope, mode=self.mode, nonlinearity=self.nonlinearity)


@initializers.register
class Orthogonal(_Fans):
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    Source: Saxe, McClelland and Ganguli (2014), arxiv.org/abs/1312.6120
    """

    name: Literal["orthogonal"] = "orthogonal"
    gain: PositiveFloat = Field(1.0, description="factor on the matrix")

    def fill(self, tensor: torch.Tensor) -> None:
        from torch.nn import init

        fan_in(tensor, self.name)
        init.orthogonal_(tensor, gain=self.gain)
