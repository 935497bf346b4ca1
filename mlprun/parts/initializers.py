"""Initial parameters: per tensor (normal, xavier, ...) or for a whole module by name (values, file)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mlprun import files
from mlprun.errors import CheckpointError, UsageError
from mlprun.parts.part import (
    ConfigPath,
    Named,
    NonNegativeFloat,
    Options,
    Part,
    PositiveFloat,
    Registry,
    suggestion,
)

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from mlprun.parts.torch_random import TorchGenerator

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


class Initializer(Part):
    """Base of the initialisers of one tensor.

    `fill` draws from torch's default generator, which the caller has seeded, and `draw` the same numbers from
    a TorchGenerator.
    """

    is_random: ClassVar[bool] = True
    """False where nothing is drawn: such values are set in the run's dtype, not rounded to float32 first"""

    @property
    def needs_matrix(self) -> bool:
        """Whether it depends on the numbers of inputs or outputs, which a bias does not know."""
        return False

    def fill(self, tensor: torch.Tensor) -> None:
        """Overwrite `tensor` ([outputs, inputs], or [outputs] for a bias) in place, under no_grad.

        Raises UsageError for a bias when a matrix is needed.
        """
        raise NotImplementedError

    def draw(self, shape: Shape, generator: TorchGenerator) -> NDArray[Any]:
        """What `fill` sets with the same seed, without torch.

        Raises NotImplementedError if torch is needed, UsageError for a bias when a matrix is needed.
        """
        raise NotImplementedError


class ModuleInitializer(Part):
    """Base of the initialisers that set a whole module's parameters by their names."""

    def assign(self, module: nn.Module) -> None:
        """Overwrite the named parameters in place; those that are not named stay as they are.

        Raises UsageError for unknown names and wrong shapes (all of them at once), CheckpointError for an
        unusable file.
        """
        raise NotImplementedError

    def arrays(self, shapes: Shapes) -> dict[str, NDArray[Any]]:
        """What `assign` sets in a network with parameters of these shapes, without torch.

        Raises NotImplementedError if torch is needed, and what `assign` does.
        """
        raise NotImplementedError


initializers: Registry[Initializer] = Registry("initializer", "initializers")
module_initializers: Registry[ModuleInitializer] = Registry("initializer", "initializers")


@initializers.register
class Default(Initializer):
    """PyTorch's default initialisation of the layer."""

    is_random = False

    name: Literal["default"] = "default"

    def fill(self, tensor: torch.Tensor) -> None:
        pass


InitializerField = Annotated[Initializer, Named(initializers)]


class LayerInit(Options):
    """How a layer's weight and bias start."""

    weight: InitializerField = Field(default_factory=Default, description="initialiser of the weight matrix")
    bias: InitializerField = Field(default_factory=Default, description="initialiser of the bias")

    @field_validator("bias")
    @classmethod
    def _needs_no_matrix(cls, bias: Initializer) -> Initializer:
        if bias.needs_matrix:
            message = "{name} depends on the shape of a matrix and a bias is a vector; {hint}"
            hint = "use zeros, constant, normal or uniform with given bounds"
            raise PydanticCustomError("init_bias", message, {"name": bias.name, "hint": hint})
        return bias


def _name(value: Any) -> str | None:
    """The name in the short forms `xavier` and `{name: xavier, ...}`; None for `{weight: ..., bias: ...}`."""
    if isinstance(value, Initializer | ModuleInitializer):
        return value.name
    name = value.get("name") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


def _expand(value: Any) -> Any:
    """`init: xavier` and `init: {name: normal, std: 1}` speak of the weights."""
    name = _name(value)
    if name is None:
        return value
    if name in module_initializers:
        return {"name": name} if isinstance(value, str) else value
    if name not in initializers:
        hint = suggestion(name, (*initializers.names(), *module_initializers.names()))
        what = {"name": repr(str(name)), "hint": hint}
        raise PydanticCustomError("part_name", "unknown initializer {name}; {hint}", what)
    return {"weight": value}


def _expand_layer(value: Any) -> Any:
    name = _name(value)
    if name in module_initializers:
        message = "{name} sets parameters of the whole network by name; give it as architecture.init"
        raise PydanticCustomError("init_layer", message, {"name": name})
    return _expand(value)


def _scope(value: Any) -> str:
    return "whole" if _name(value) in module_initializers else "per_layer"


_Short = LayerInit | InitializerField
LayerInitField = Annotated[LayerInit, BeforeValidator(_expand_layer, json_schema_input_type=_Short)]
"""How a layer starts: `xavier` or `{name: normal, std: 1}` for its weight, or `{weight: ..., bias: ...}`."""

InitField = Annotated[
    Annotated[LayerInit, Tag("per_layer")]
    | Annotated[ModuleInitializer, Named(module_initializers), Tag("whole")],
    Discriminator(_scope),
    BeforeValidator(
        _expand, json_schema_input_type=_Short | Annotated[ModuleInitializer, Named(module_initializers)]
    ),
]
"""How every layer starts, or the whole network by parameter name (`{name: values, ...}`, `{name: file}`)."""


Bounds = Literal["absolute", "fan_in", "sqrt_fan_in"]
_BOUNDS = "use low and high as they are, or divided by the number of inputs or its square root"
_TAIL = (
    5.0  # beyond so many standard deviations a normal variable's distribution function has few digits left
)


def fan_in(shape: Shape, name: str) -> int:
    """Inputs of a weight matrix [outputs, inputs] (an embedding's dim); a vector raises UsageError."""
    if len(shape) < 2:
        remedy = "use zeros, constant, normal or uniform with given bounds"
        raise UsageError("architecture.init", f"{name} needs a matrix, and a bias is a vector", remedy)
    return shape[1]


def _divisor(bounds: Bounds, shape: Shape, name: str) -> float:
    if bounds == "absolute":
        return 1.0
    inputs = fan_in(shape, name)
    return float(inputs) if bounds == "fan_in" else math.sqrt(inputs)


class Distribution(NamedTuple):
    """Uniform on [low, high) or normal with `mean` and `std`, the two numbers in this order."""

    name: Literal["uniform", "normal"]
    first: float
    second: float

    @classmethod
    def of(cls, name: Literal["uniform", "normal"], std: float) -> Distribution:
        """The distribution with mean 0 and a standard deviation."""
        bound = math.sqrt(3.0) * std  # in the order of torch.nn.init, for the same bits
        return cls(name, -bound, bound) if name == "uniform" else cls(name, 0.0, std)


class _Independent(Initializer):
    """Base of the initialisers that draw every entry from one distribution."""

    def distribution_of(self, shape: Shape) -> Distribution:
        """The distribution of the entries of a tensor."""
        raise NotImplementedError

    def fill(self, tensor: torch.Tensor) -> None:
        name, first, second = self.distribution_of(tuple(tensor.shape))
        (tensor.uniform_ if name == "uniform" else tensor.normal_)(first, second)

    def draw(self, shape: Shape, generator: TorchGenerator) -> NDArray[Any]:
        name, first, second = self.distribution_of(shape)
        return (generator.uniform if name == "uniform" else generator.normal)(shape, first, second)


@initializers.register
class Constant(Initializer):
    """Every entry is `value`."""

    is_random = False

    name: Literal["constant"] = "constant"
    value: float = Field(description="value of every entry")

    def fill(self, tensor: torch.Tensor) -> None:
        tensor.fill_(self.value)

    def draw(self, shape: Shape, generator: TorchGenerator) -> NDArray[Any]:
        return np.full(shape, self.value)


@initializers.register
class Zeros(Initializer):
    """Every entry is 0. Hidden units with all-zero weights remain identical."""

    is_random = False

    name: Literal["zeros"] = "zeros"

    def fill(self, tensor: torch.Tensor) -> None:
        tensor.zero_()

    def draw(self, shape: Shape, generator: TorchGenerator) -> NDArray[Any]:
        return np.zeros(shape)


@initializers.register
class Normal(_Independent):
    """Normal distribution N(mean, std^2)."""

    name: Literal["normal"] = "normal"
    mean: float = Field(0.0, description="mean")
    std: NonNegativeFloat = Field(1.0, description="standard deviation")

    def distribution_of(self, shape: Shape) -> Distribution:
        return Distribution("normal", self.mean, self.std)


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
class Uniform(_Independent, _Bounded):
    """Uniform distribution on [low, high).

    `{low: -0.5, high: 0.5, bounds: fan_in}` starts an embedding with (rand - 0.5) / dim; `{low: -1, high: 1,
    bounds: sqrt_fan_in}` is PyTorch's own start of linear layers.
    """

    name: Literal["uniform"] = "uniform"

    def distribution_of(self, shape: Shape) -> Distribution:
        divisor = _divisor(self.bounds, shape, self.name)
        return Distribution("uniform", self.low / divisor, self.high / divisor)


@initializers.register
class TruncatedNormal(_Bounded):
    """Normal distribution N(mean, std^2) truncated to [low, high].

    `{low: -1, high: 1, bounds: sqrt_fan_in}` cuts a standard normal variable off at 1/sqrt(inputs). Every
    entry is one uniform draw put through the inverse distribution function: no bounds need repeated draws.
    """

    name: Literal["truncated_normal"] = "truncated_normal"
    mean: float = Field(0.0, description="mean before truncation")
    std: PositiveFloat = Field(1.0, description="standard deviation before truncation")
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

        divisor = _divisor(self.bounds, tuple(tensor.shape), self.name)
        if self._too_far(divisor):
            what = f"the mean of {self.name} lies more than 5 standard deviations outside its bounds"
            raise UsageError("architecture.init", what, "move the bounds or the mean")
        low, high = self.low / divisor, self.high / divisor
        # erf of the bounds: the distribution function up to the factor 2 and the shift that erfinv undoes
        edges = [math.erf((bound - self.mean) / (self.std * math.sqrt(2))) for bound in (low, high)]
        drawn = torch.empty(tensor.shape, dtype=torch.float64).uniform_(*edges)
        values = drawn.erfinv_().mul_(self.std * math.sqrt(2)).add_(self.mean)
        tensor.copy_(values.clamp_(low, high))


class _Fans(Initializer):
    @property
    def needs_matrix(self) -> bool:
        return True


@initializers.register
class Xavier(_Fans, _Independent):
    """Variance gain^2 * 2 / (inputs + outputs), which keeps signals and gradients of tanh layers alike.

    Source: Glorot and Bengio (2010), proceedings.mlr.press/v9/glorot10a.html
    """

    name: Literal["xavier", "glorot"] = "xavier"
    distribution: Literal["uniform", "normal"] = Field("uniform", description="distribution")
    gain: PositiveFloat = Field(1.0, description="factor on the standard deviation")

    def distribution_of(self, shape: Shape) -> Distribution:
        fans = float(fan_in(shape, self.name) + shape[0])
        return Distribution.of(self.distribution, self.gain * math.sqrt(2.0 / fans))


@initializers.register
class Kaiming(_Fans, _Independent):
    """Variance gain^2 / inputs, with the gain that suits the activation (2 / inputs for ReLU).

    He's normal weights N(0, 2 / inputs) are `{name: kaiming, distribution: normal}`.
    Source: He et al. (2015), arxiv.org/abs/1502.01852
    """

    name: Literal["kaiming", "he"] = "kaiming"
    distribution: Literal["uniform", "normal"] = Field("uniform", description="distribution")
    mode: Literal["fan_in", "fan_out"] = Field(
        "fan_in", description="divide by the number of inputs, or of outputs"
    )
    nonlinearity: Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"] = Field(
        "relu", description="the activation whose gain is used"
    )
    slope: NonNegativeFloat = Field(0.01, description="slope of leaky_relu for negative values")

    def distribution_of(self, shape: Shape) -> Distribution:
        inputs, outputs = fan_in(shape, self.name), shape[0]
        gains = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
        gains["leaky_relu"] = math.sqrt(2.0 / (1 + self.slope**2))
        fan = inputs if self.mode == "fan_in" else outputs
        return Distribution.of(self.distribution, gains.get(self.nonlinearity, 1.0) / math.sqrt(fan))


@initializers.register
class Orthogonal(_Fans):
    """A random matrix with orthonormal rows or columns, whichever are fewer, times `gain`.

    Source: Saxe, McClelland and Ganguli (2014), arxiv.org/abs/1312.6120
    """

    name: Literal["orthogonal"] = "orthogonal"
    gain: PositiveFloat = Field(1.0, description="factor on the matrix")

    def fill(self, tensor: torch.Tensor) -> None:
        from torch.nn import init

        fan_in(tuple(tensor.shape), self.name)
        init.orthogonal_(tensor, gain=self.gain)


_LARGEST_FILE = 2**30
_LARGEST_HEADER = 8 * 10**6
_MOST_TENSORS = 10_000
_REMEDY = "expected a safetensors file with tensors named as in the network"


def _shape(value: Any) -> Shape:
    """The shape of nested sequences of numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise PydanticCustomError("init_values", "must hold finite numbers only")
        return ()
    if not isinstance(value, tuple | list):
        what = {"value": repr(value)}
        raise PydanticCustomError("init_values", "must be numbers in nested sequences; {value} is not", what)
    shapes = {_shape(entry) for entry in value}
    if len(shapes) > 1:
        raise PydanticCustomError("init_values", "rows differ in length")
    return (len(value), *(shapes.pop() if shapes else ()))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(entry) for entry in value) if isinstance(value, tuple | list) else float(value)


def _numbers(value: Any) -> Any:
    _shape(value)
    return _frozen(value)


Values = Annotated[
    Any, AfterValidator(_numbers), WithJsonSchema({"type": ["number", "array"], "format": "nested numbers"})
]


def _problems(shapes: Shapes, known: Shapes) -> list[str]:
    """What is wrong with these names and shapes of parameters, all of it."""
    problems = []
    for name, shape in shapes.items():
        if name not in known:
            problems.append(f"{name} is not a parameter of this network ({suggestion(name, tuple(known))})")
        elif shape != known[name]:
            problems.append(f"{name} has shape {list(shape)} where the network has {list(known[name])}")
    return problems


_FORMS = "weights are [outputs, inputs], biases [outputs], embeddings [vocabulary, dim]"


def _check(shapes: Shapes, known: Shapes, where: str, remedy: str = _FORMS) -> None:
    if problems := _problems(shapes, known):
        raise UsageError(where, "; ".join(problems), remedy)


def _copy(
    tensors: Mapping[str, torch.Tensor], known: Mapping[str, torch.Tensor], where: str, remedy: str = _FORMS
) -> None:
    import torch

    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _check(shapes, {name: tuple(tensor.shape) for name, tensor in known.items()}, where, remedy)
    with torch.no_grad():
        for name, tensor in tensors.items():
            known[name].copy_(tensor)


@module_initializers.register
class GivenValues(ModuleInitializer):
    """Values given in the config by parameter name; other parameters use the default initialisation.

    Shapes are the network's own: weights [outputs, inputs], biases [outputs], embeddings [vocabulary, dim].
    """

    name: Literal["values"] = "values"
    parameters: dict[str, Values] = Field(
        description="nested lists by parameter name, such as {layers.0.weight: [[0.1, -0.2]]}"
    )

    @property
    def shapes(self) -> Shapes:
        """The shapes of what is given, by parameter name."""
        return {name: _shape(value) for name, value in self.parameters.items()}

    def problems(self, shapes: Shapes) -> list[str]:
        """What does not fit a network with parameters of these shapes: unknown names, wrong shapes."""
        return _problems(self.shapes, shapes)

    def assign(self, module: nn.Module) -> None:
        import torch

        tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in self.parameters.items()}
        _copy(tensors, dict(module.named_parameters()), "architecture.init.parameters")

    def arrays(self, shapes: Shapes) -> dict[str, NDArray[Any]]:
        _check(self.shapes, shapes, "architecture.init.parameters")
        return {name: np.array(value, np.float64) for name, value in self.parameters.items()}


@module_initializers.register
class File(ModuleInitializer):
    """A safetensors file with tensors by parameter name; a checkpoint of mlprun is one.

    Names are the network's own, or all with `model.` in front (then others are ignored). Parameters that the
    file lacks start by default. Nothing in the file is executed.
    """

    stored_if_set = frozenset({"strict"})

    name: Literal["file"] = "file"
    path: ConfigPath = Field(
        description="the file, relative to the config; of a run folder its best checkpoint, or the last"
    )
    strict: bool = Field(
        default=True,
        description="refuse tensors that the network lacks or has in another shape; false leaves them out, "
        "with a warning",
    )

    @property
    def file(self) -> str:
        """The path of the file itself."""
        inside = [os.path.join(self.path, f"{name}.safetensors") for name in ("best", "last")]
        return next((path for path in inside if os.path.isfile(path)), self.path)

    def assign(self, module: nn.Module) -> None:
        # state_dict: with the running statistics of batch norm; it shares the module's memory
        tensors, known = self._tensors(), module.state_dict()
        if not self.strict:
            fitting = {
                name: t for name, t in tensors.items() if name in known and t.shape == known[name].shape
            }
            if not fitting:
                what = "none of its tensors has the name and shape of a parameter of this network"
                raise UsageError(self.file, what, "name the file of a similar network")
            tensors = fitting
        _copy(tensors, known, self.file, f"{_FORMS}; architecture.init.strict: false leaves tensors out")

    def left_out(self, known: Shapes) -> list[str]:
        """Return why tensors of the file do not fit a network with these parameters and buffers."""
        return _problems({name: tuple(tensor.shape) for name, tensor in self._tensors().items()}, known)

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors, prefix = _load(self.file), "model."
        if any(name.startswith(prefix) for name in tensors):
            return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
        return tensors


def _bytes(path: str) -> bytes:
    try:
        return files.read_bytes(path, cap=_LARGEST_FILE)
    except FileNotFoundError as error:
        raise CheckpointError(path, "there is no such file", "architecture.init.path names it") from error
    except files.WrongKindError as error:
        raise CheckpointError(path, f"is {error.kind}, not a file", _REMEDY) from error


def _load(path: str) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file, read once and checked; never a memory map, never a pickle."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = _bytes(path)
    if int.from_bytes(content[:8], "little") > _LARGEST_HEADER:
        raise CheckpointError(path, "is not a safetensors file", _REMEDY)
    try:
        tensors = dict(sorted(load(content).items()))  # which come in any order
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(path, "is damaged, or not a safetensors file", _REMEDY) from error
    if not 0 < len(tensors) <= _MOST_TENSORS:
        raise CheckpointError(path, f"holds {len(tensors)} tensors", _REMEDY)
    for name, tensor in tensors.items():
        if tensor.is_complex() or not bool(tensor.isfinite().all()):
            raise CheckpointError(path, f"{name} holds what is not a finite real number", _REMEDY)
    return tensors
