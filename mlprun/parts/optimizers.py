"""How parameters are updated: the optimizers, their base classes and their registry."""

from __future__ import annotations

import inspect
import math
import sys
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator

from mlprun.errors import UsageError
from mlprun.parts.part import (
    NonNegativeFloat,
    Options,
    Part,
    PositiveFloat,
    PositiveInt,
    Probability,
    Registry,
    listed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import torch
    from torch import nn


LearningRate = Annotated[float, Field(gt=0, description="learning rate")]
WeightDecay = Annotated[
    float, Field(ge=0, description="weight decay added to the gradients of all parameters, including biases")
]
DecoupledWeightDecay = Annotated[
    float,
    Field(
        ge=0, description="decoupled weight decay: each step multiplies parameters by 1 - lr * weight_decay"
    ),
]
Decoupled = Annotated[bool, Field(description="decouple weight decay from the gradients, as in AdamW")]
Eps = Annotated[float, Field(ge=0, description="added to the denominator for numerical stability")]
Momentum = Annotated[float, Field(ge=0, description="momentum factor; 0 for none")]
Nesterov = Annotated[bool, Field(description="use Nesterov momentum")]
Betas = Annotated[
    tuple[Probability, Probability],
    Field(description="decay rates of the running means of the gradient and its square"),
]


Patterns = tuple[str, ...]


class ParameterGroup(Options):
    """Parameters with options of their own; what is not given is the optimizer's."""

    parameters: str | Annotated[Patterns, Field(min_length=1)] = Field(
        description="patterns of parameter names, such as layers.0.*; the first group that matches counts"
    )
    lr: PositiveFloat | None = Field(
        None, description="learning rate, which a schedule multiplies as it does the optimizer's"
    )
    weight_decay: NonNegativeFloat | None = Field(
        None, description="weight decay, where the optimizer has one"
    )


class UpdateRule(NamedTuple):
    """How a parameter is updated: the factor on the learning rate, and a weight decay of its own or None."""

    lr_factor: float = 1.0
    weight_decay: float | None = None


class Optimizer(Part):
    """Base of all optimizers: torch's classes, named in lower case, with torch's options and defaults.

    A subclass is built as the class of its name in torch.optim, unless it has a `build` of its own.
    """

    needs_closure: ClassVar[bool] = False
    """L-BFGS evaluates the loss several times per step"""
    host_slots: ClassVar[frozenset[str]] = frozenset({"step"})
    """slots that torch keeps on the CPU whatever the device, since reading them there would synchronise it"""
    sparse: ClassVar[bool] = False
    """takes sparse gradients of embeddings"""
    stored_if_set: ClassVar[frozenset[str]] = frozenset({"groups"})

    lr: LearningRate = 0.001
    groups: tuple[ParameterGroup, ...] = Field((), description="parameters with options of their own")

    @field_validator("groups")
    @classmethod
    def _supports_groups(cls, groups: tuple[ParameterGroup, ...]) -> tuple[ParameterGroup, ...]:
        name = cls.names()[0]
        if groups and cls.needs_closure:
            raise ValueError(f"{name} updates all parameters as one vector; remove groups, or use adam")
        if "weight_decay" not in cls.model_fields and any(one.weight_decay is not None for one in groups):
            raise ValueError(f"{name} has no weight_decay; remove it from the groups, or use adamw")
        return groups

    def update_rules(self, freeze: Patterns, names: Iterable[str]) -> dict[str, UpdateRule]:
        """Return how each parameter is updated, by name; those that `freeze` matches are left out."""

        def rule(name: str) -> UpdateRule:
            for group in self.groups:
                if matches(listed(group.parameters), name):
                    return UpdateRule((group.lr or self.lr) / self.lr, group.weight_decay)
            return UpdateRule()

        return {name: rule(name) for name in names if not matches(freeze, name)}

    def state_size(self, parameters: int, numbers: int, steps: int) -> tuple[int, int]:
        """Tensors and numbers of the state after `steps` steps, at most, for so many parameter tensors."""
        return 4 * parameters, 4 * numbers

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        """The torch.optim objects that together update `parameters`; `embeddings` names the embedding tables.

        Each object's groups have `params`, and `lr`, which a schedule may set.
        """
        return [construct(type(self).__name__, parameters, **self.options())]

    def options(self) -> dict[str, Any]:
        """The options under the names torch gives them."""
        return {name: value for name, value in self if name not in ("name", "groups")}


def matches(patterns: Sequence[str], name: str) -> bool:
    """Return True if one of the patterns matches a parameter's name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def build_trained(
    optimizer: Optimizer,
    parameters: Mapping[str, nn.Parameter],
    rules: Mapping[str, UpdateRule],
    embeddings: frozenset[str],
) -> list[torch.optim.Optimizer]:
    """Return the torch.optim objects that update the parameters that have a rule, one group for each rule.

    A group's `lr_factor` is what its learning rate is multiplied by.
    """
    trained = {name: parameter for name, parameter in parameters.items() if name in rules}
    names = {id(parameter): name for name, parameter in trained.items()}
    built = optimizer.build(trained, embeddings=embeddings & trained.keys())
    for one in built:
        groups: list[dict[str, Any]] = []
        for group in one.param_groups:
            by_rule: dict[UpdateRule, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                by_rule.setdefault(rules[names[id(parameter)]], []).append(parameter)
            for rule, some in by_rule.items():
                decay = {} if rule.weight_decay is None else {"weight_decay": rule.weight_decay}
                groups.append({**group, **decay, "params": some, "lr_factor": rule.lr_factor})
                groups[-1]["lr"] *= rule.lr_factor
        one.param_groups = groups
    return built


def construct(
    torch_name: str, parameters: Mapping[str, nn.Parameter], **options: object
) -> torch.optim.Optimizer:
    """torch.optim's class of that name over named parameters."""
    import torch

    avoid_dynamo_import()
    optimizer: torch.optim.Optimizer = getattr(torch.optim, torch_name)(list(parameters.items()), **options)
    return optimizer


optimizers: Registry[Optimizer] = Registry("optimizer", "optimizers")


class AdamLike(Optimizer):
    """Base of Adam and its variants."""

    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0


EpsHat = Annotated[
    bool,
    Field(
        description="add eps before the bias correction, as scikit-learn and Keras do; the paper calls it "
        "epsilon hat"
    ),
]
AMSGrad = Annotated[bool, Field(description="divide by the largest running mean so far")]


@optimizers.register
class Adam(AdamLike):
    """Running mean of the gradient divided by the root of that of its square, with bias correction.

    Source: Kingma & Ba (2015), arxiv.org/abs/1412.6980; amsgrad: Reddi et al. (2018),
    openreview.net/forum?id=ryQu7f-RZ
    """

    stored_if_set = frozenset({"groups", "eps_hat"})

    name: Literal["adam"] = "adam"
    amsgrad: AMSGrad = False
    decoupled_weight_decay: Decoupled = False
    eps_hat: EpsHat = False

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        if not self.eps_hat:
            return super().build(parameters, embeddings=embeddings)
        avoid_dynamo_import()
        return [_adam_with_eps_hat()(list(parameters.items()), **self.options())]

    def options(self) -> dict[str, Any]:
        return {name: value for name, value in super().options().items() if name != "eps_hat"}


@cache
def _adam_with_eps_hat() -> type[torch.optim.Adam]:
    """Return torch's Adam with `eps` divided by the correction of the root, which torch leaves out."""
    import torch

    class EpsHatAdam(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                steps = [self.state[one]["step"].item() for one in group["params"] if one in self.state]
                correction = 1 - group["betas"][1] ** (max(steps, default=0) + 1)
                group["eps"] = self.defaults["eps"] / math.sqrt(correction)
            return super().step(closure)

    return EpsHatAdam


@optimizers.register
class AdamW(AdamLike):
    """Adam with decoupled weight decay.

    Source: Loshchilov & Hutter (2019), arxiv.org/abs/1711.05101
    """

    name: Literal["adamw"] = "adamw"
    weight_decay: DecoupledWeightDecay = 0.01
    amsgrad: AMSGrad = False


@optimizers.register
class Adamax(AdamLike):
    """Adam with the infinity norm instead of the root mean square.

    Source: Kingma & Ba (2015), section 7.1, arxiv.org/abs/1412.6980
    """

    name: Literal["adamax"] = "adamax"
    lr: LearningRate = 0.002


@optimizers.register
class NAdam(AdamLike):
    """Adam with Nesterov's momentum.

    Source: Dozat (2016), openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """

    host_slots = frozenset({"step", "mu_product"})

    name: Literal["nadam"] = "nadam"
    lr: LearningRate = 0.002
    momentum_decay: NonNegativeFloat = Field(0.004, description="decay of the momentum schedule")
    decoupled_weight_decay: Decoupled = False


@optimizers.register
class RAdam(AdamLike):
    """Adam that uses plain momentum until the variance of the adaptive learning rate is tractable.

    Source: Liu et al. (2020), arxiv.org/abs/1908.03265
    """

    name: Literal["radam"] = "radam"
    decoupled_weight_decay: Decoupled = False


@optimizers.register
class Adadelta(Optimizer):
    """Steps scaled by the ratio of the running root mean squares of past steps and past gradients.

    Source: Zeiler (2012), arxiv.org/abs/1212.5701
    """

    name: Literal["adadelta"] = "adadelta"
    lr: LearningRate = 1.0
    rho: float = Field(0.9, ge=0, le=1, description="decay of the running means of squares")
    eps: Eps = 1e-6
    weight_decay: WeightDecay = 0.0


@optimizers.register
class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all past squares.

    Source: Duchi, Hazan & Singer (2011), jmlr.org/papers/v12/duchi11a.html
    """

    name: Literal["adagrad"] = "adagrad"
    lr: LearningRate = 0.01
    lr_decay: NonNegativeFloat = Field(0.0, description="lr is divided by 1 + lr_decay * steps")
    weight_decay: WeightDecay = 0.0
    initial_accumulator_value: NonNegativeFloat = Field(
        0.0, description="initial value of the sums of squares"
    )
    eps: Eps = 1e-10


@optimizers.register
class RMSprop(Optimizer):
    """Gradients divided by the root of the running mean of their squares.

    Source: Tieleman & Hinton (2012), www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf;
    centered: Graves (2013), arxiv.org/abs/1308.0850
    """

    name: Literal["rmsprop"] = "rmsprop"
    lr: LearningRate = 0.01
    alpha: float = Field(0.99, ge=0, le=1, description="decay of the running mean of squares")
    eps: Eps = 1e-8
    weight_decay: WeightDecay = 0.0
    momentum: Momentum = 0.0
    centered: bool = Field(
        default=False, description="divide by the running standard deviation instead of the root mean square"
    )


@optimizers.register
class Adafactor(Optimizer):
    """Adaptive steps with factored second moments (one running mean per row and column), clipped.

    Source: Shazeer & Stern (2018), arxiv.org/abs/1804.04235
    """

    name: Literal["adafactor"] = "adafactor"
    lr: LearningRate = 0.01
    beta2_decay: float = Field(
        -0.8, le=0, description="the decay of the running means is 1 - step^beta2_decay"
    )
    eps: tuple[NonNegativeFloat | None, NonNegativeFloat] = Field(
        (None, 0.001),
        description="lower bounds of the mean square (default: machine epsilon) and of the parameter scale",
    )
    d: float = Field(1.0, ge=1, description="root mean square above which a step is clipped")
    weight_decay: DecoupledWeightDecay = 0.0


@optimizers.register
class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    Source: Robbins & Monro (1951), doi.org/10.1214/aoms/1177729586; momentum: Polyak (1964),
    doi.org/10.1016/0041-5553(64)90137-5; Nesterov's as in Sutskever et al. (2013),
    proceedings.mlr.press/v28/sutskever13.html
    """

    name: Literal["sgd"] = "sgd"
    momentum: Momentum = 0.0
    dampening: float = Field(0.0, description="dampening of the momentum")
    weight_decay: WeightDecay = 0.0
    nesterov: Nesterov = False

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 -- pydantic's form
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("needs momentum; add momentum: 0.9, or leave nesterov out")
        if nesterov and info.data.get("dampening", 0) != 0:
            raise ValueError("works without dampening only; set dampening: 0")
        return nesterov


@optimizers.register
class ASGD(Optimizer):
    """SGD with a decaying rate; the average of the parameters is only kept in the optimizer state.

    Source: Polyak & Juditsky (1992), doi.org/10.1137/0330046
    """

    host_slots = frozenset()

    name: Literal["asgd"] = "asgd"
    lr: LearningRate = 0.01
    lambd: NonNegativeFloat = Field(0.0001, description="decay of the learning rate")
    alpha: NonNegativeFloat = Field(0.75, description="exponent of the learning rate decay")
    t0: NonNegativeFloat = Field(1e6, description="step at which averaging starts")
    weight_decay: WeightDecay = 0.0


@optimizers.register
class Rprop(Optimizer):
    """Step sizes per parameter that grow while the gradient keeps its sign; for full batches.

    Source: Riedmiller & Braun (1993), doi.org/10.1109/ICNN.1993.298623
    """

    name: Literal["rprop"] = "rprop"
    lr: LearningRate = 0.01
    etas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1)]] = Field(
        (0.5, 1.2), description="factors that decrease and increase a step size"
    )
    step_sizes: tuple[PositiveFloat, PositiveFloat] = Field(
        (1e-6, 50.0), description="minimum and maximum step size"
    )

    @field_validator("step_sizes")
    @classmethod
    def _in_order(cls, sizes: tuple[float, float]) -> tuple[float, float]:
        if sizes[0] > sizes[1]:
            raise ValueError("the smallest step size comes first; swap the two")
        return sizes


@optimizers.register
class LBFGS(Optimizer):
    """Limited-memory quasi-Newton method; for full batches.

    One step is up to `max_iter` iterations. Source: Liu & Nocedal (1989), doi.org/10.1007/BF01589116
    """

    needs_closure = True

    name: Literal["lbfgs"] = "lbfgs"
    lr: LearningRate = 1.0
    max_iter: PositiveInt = Field(20, description="iterations per step")
    max_eval: PositiveInt | None = Field(
        None, description="loss evaluations per step (default: 1.25 * max_iter)"
    )
    tolerance_grad: NonNegativeFloat = Field(1e-7, description="termination tolerance on the gradient")
    tolerance_change: NonNegativeFloat = Field(
        1e-9, description="termination tolerance on changes of loss and parameters"
    )
    history_size: PositiveInt = Field(100, le=1_000_000, description="number of updates kept")
    line_search_fn: Literal["strong_wolfe"] | None = Field(
        None, description="line search (default: fixed step lr)"
    )

    def state_size(self, parameters: int, numbers: int, steps: int) -> tuple[int, int]:
        kept = min(self.history_size, steps * self.max_iter)
        return 4 * kept + 6, (2 * kept + 4) * numbers  # all parameters are one vector


class AdamHybrid(Optimizer):
    """Base of the optimizers of some of the parameters; the others use Adam."""

    takes: ClassVar[str]
    """what is chosen"""
    shared: ClassVar[tuple[str, ...]] = ("lr",)
    """options that Adam uses too"""

    def chooses(self, parameter: nn.Parameter, *, is_embedding: bool) -> bool:
        """Whether a parameter is not Adam's."""
        raise NotImplementedError

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        chosen = {n: p for n, p in parameters.items() if self.chooses(p, is_embedding=n in embeddings)}
        rest = {n: p for n, p in parameters.items() if n not in chosen}
        if not chosen:
            what = f"{self.name} takes {self.takes} and the model has none"
            raise UsageError("optimizer", what, "use adam instead")
        adam = {name: value for name, value in self if name in self.shared}
        return super().build(chosen) + ([construct("Adam", rest, **adam)] if rest else [])


@optimizers.register
class SparseAdam(AdamHybrid):
    """Adam that updates only the embedding rows used in a batch; other parameters use Adam.

    Source: Kingma & Ba (2015), arxiv.org/abs/1412.6980
    """

    sparse = True
    takes = "embeddings"
    shared = ("lr", "betas", "eps")

    name: Literal["sparseadam", "sparse_adam"] = "sparseadam"
    betas: Betas = (0.9, 0.999)
    eps: PositiveFloat = Field(1e-8, description="added to the denominator for numerical stability")

    def chooses(self, parameter: nn.Parameter, *, is_embedding: bool) -> bool:
        return is_embedding


@optimizers.register
class Muon(AdamHybrid):
    """Orthogonalised momentum for weight matrices; other parameters use Adam with the same lr.

    Biases, gains and embeddings are Adam's, without weight decay.
    Source: Jordan et al. (2024), kellerjordan.github.io/posts/muon; Liu et al. (2025),
    arxiv.org/abs/2502.16982
    """

    takes = "weight matrices"

    name: Literal["muon"] = "muon"
    weight_decay: DecoupledWeightDecay = 0.1
    momentum: NonNegativeFloat = Field(0.95, description="momentum factor")
    nesterov: Nesterov = True
    ns_coefficients: tuple[float, float, float] = Field(
        (3.4445, -4.775, 2.0315), description="coefficients of the Newton-Schulz polynomial"
    )
    eps: NonNegativeFloat = Field(1e-7, description="lower bound of the norm in the denominator")
    ns_steps: Annotated[int, Field(ge=1, lt=100)] = Field(5, description="Newton-Schulz iterations")
    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = Field(
        None, description="adjustment of lr to the matrix shape (default: original)"
    )

    def chooses(self, parameter: nn.Parameter, *, is_embedding: bool) -> bool:
        return parameter.ndim == 2 and not is_embedding


WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""The methods that torch.optim.Optimizer hides from the compiler; the first of them runs at construction."""


def avoid_dynamo_import() -> None:
    """Let optimizers be built and stepped without importing torch._dynamo; does nothing where it is loaded.

    torch wraps these methods so that their first call imports torch._dynamo to ask it for a version that is
    not compiled, and keeps that version as an attribute. Where nothing is compiled, the plain function is it.
    """
    if "torch._dynamo" in sys.modules:
        return
    from torch.optim import Optimizer

    for name in WRAPPED:
        plain = getattr(getattr(Optimizer, name, None), "__wrapped__", None)
        if inspect.isfunction(plain) and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)


def step_function(optimizer: torch.optim.Optimizer) -> Callable[..., Any]:
    """`optimizer.step` without profiling, hooks and graph breaks: the same arithmetic, a quarter less time.

    The function takes the closure, if any, as its only argument. An optimizer that torch.optim does not
    define, or whose step is not as expected, keeps its own `step`.
    """
    import torch

    plain = inspect.unwrap(type(optimizer).step)
    is_known = list(inspect.signature(plain).parameters) == ["self", "closure"]
    if not is_known or not type(optimizer).__module__.startswith("torch.optim"):
        return optimizer.step
    no_grad = torch.no_grad()

    def step(closure: Callable[[], Any] | None = None) -> Any:
        with no_grad:
            return plain(optimizer, closure)

    return step
