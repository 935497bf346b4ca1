"""Initialisers with given numbers: constants, normal, uniform and truncated normal draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlprun.errors import UsageError
from mlprun.parts.initializers.initializer import Initializer, initializers
from mlprun.parts.part import NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    import torch

Bounds = Literal["absolute", "fan_in", "sqrt_fan_in"]
_BOUNDS = "low and high as they are, or divided by the layer's number of inputs, or by its square root"
_TAIL = (
    5.0  # beyond so many standard deviations a normal variable's distribution function has few digits left
)


def fan_in(tensor: torch.Tensor, name: str) -> int:
    """Inputs of a weight matrix [outputs, inputs] (an embedding's dim); a vector raises UsageError."""
    if tensor.ndim < 2:
        remedy = "use zeros, constant, normal or uniform with given bounds"
        raise UsageError("architecture.init", f"{name} needs a matrix, and a bias is a vector", remedy)
    return tensor.shape[1]


def _divisor(bounds: Bounds, tensor: torch.Tensor, name: str) -> float:
    if bounds == "absolute":
        return 1.0
    inputs = fan_in(tensor, name)
    return float(inputs) if bounds == "fan_in" else math.sqrt(inputs)


@initializers.register
class Constant(Initializer):
    """Every entry is `value`."""

    is_random: ClassVar[bool] = False

    name: Literal["constant"] = "constant"
    value: float = Field(description="value of every entry")

    def fill(self, tensor: torch.Tensor) -> None:
        tensor.fill_(self.value)


@initializers.register
class Zeros(Initializer):
    """Every entry is 0; weights that all start so never come apart."""

    is_random: ClassVar[bool] = False

    name: Literal["zeros"] = "zeros"

    def fill(self, tensor: torch.Tensor) -> None:
        tensor.zero_()


@initializers.register
class Normal(Initializer):
    """Normal distribution N(mean, std^2)."""

    name: Literal["normal"] = "normal"
    mean: float = Field(0.0, description="mean")
    std: NonNegativeFloat = Field(1.0, description="standard deviation")

    def fill(self, tensor: torch.Tensor) -> None:
        tensor.normal_(self.mean, self.std)


class _Bounded(Initializer):
    low: float = Field(0.0, description="lower bound")
    high: float = Field(1.0, description="upper bound")
    bounds: Bounds = Field("absolute", description=_BOUNDS)

    @property
    def needs_matrix(self) -> bool:
        return self.bounds != "absolute"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            what = {"low": self.low, "high": self.high}
            raise PydanticCustomError("init_bounds", "low ({low}) must lie below high ({high})", what)
        return self


@initializers.register
class Uniform(_Bounded):
    """Uniform distribution on [low, high).

    `{low: -0.5, high: 0.5, bounds: fan_in}` starts an embedding with (rand - 0.5) / dim; `{low: -1, high: 1,
    bounds: sqrt_fan_in}` is PyTorch's own start of linear layers.
    """

    name: Literal["uniform"] = "uniform"

    def fill(self, tensor: torch.Tensor) -> None:
        divisor = _divisor(self.bounds, tensor, self.name)
        tensor.uniform_(self.low / divisor, self.high / divisor)


@initializers.register
class TruncatedNormal(_Bounded):
    """Normal distribution N(mean, std^2) cut off at low and high.

    `{low: -1, high: 1, bounds: sqrt_fan_in}` cuts a standard normal variable off at 1/sqrt(inputs). Every
    entry is one uniform draw put through the inverse distribution function: no bounds need repeated draws.
    """

    name: Literal["truncated_normal"] = "truncated_normal"
    mean: float = Field(0.0, description="mean before it is cut off")
    std: PositiveFloat = Field(1.0, description="standard deviation before it is cut off")
    low: float = Field(-2.0, description="lower bound")
    high: float = Field(2.0, description="upper bound")

    @model_validator(mode="after")
    def _near_the_mean(self) -> Self:
        if self.bounds == "absolute" and self._too_far(1.0):
            message = "the mean lies more than 5 standard deviations outside low and high; move the bounds"
            raise PydanticCustomError("init_bounds", message)
        return self

    def _too_far(self, divisor: float) -> bool:
        margin = _TAIL * self.std
        return not self.low / divisor - margin <= self.mean <= self.high / divisor + margin

    def fill(self, tensor: torch.Tensor) -> None:
        import torch

        divisor = _divisor(self.bounds, tensor, self.name)
        if self._too_far(divisor):
            what = f"the mean of {self.name} lies more than 5 standard deviations outside its bounds"
            raise UsageError("architecture.init", what, "move the bounds or the mean")
        low, high = self.low / divisor, self.high / divisor
        # erf of the bounds: the distribution function up to the factor 2 and the shift that erfinv undoes
        edges = [math.erf((bound - self.mean) / (self.std * math.sqrt(2))) for bound in (low, high)]
        drawn = torch.empty(tensor.shape, dtype=torch.float64).uniform_(*edges)
        values = drawn.erfinv_().mul_(self.std * math.sqrt(2)).add_(self.mean)
        tensor.copy_(values.clamp_(low, high))
