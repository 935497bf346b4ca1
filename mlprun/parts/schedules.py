"""How the learning rate changes during training: the schedules, their base classes and their registry."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from mlprun.parts.part import (
    Named,
    NonNegativeFloat,
    NonNegativeInt,
    Part,
    PositiveFloat,
    PositiveInt,
    Registry,
)


class Schedule(Part):
    """Base of all schedules."""

    plateau: ClassVar[bool] = False
    """whether the factor follows dev metrics, so that it needs a state and dev rows"""

    @property
    def depends_on_total(self) -> bool:
        """Whether the factor depends on training.epochs, so that a finished run cannot be extended."""
        return False


class EpochSchedule(Schedule):
    """Base of the schedules that are a function of completed epochs alone."""

    def factor(self, epoch: int, epochs: int) -> float:
        """The factor on the learning rate after `epoch` completed epochs of `epochs`; 0 is the first."""
        raise NotImplementedError


schedules: Registry[Schedule] = Registry("schedule", "schedules")


EtaMin = Annotated[
    float, Field(ge=0, le=1, description="lowest learning rate, as a fraction of optimizer.lr")
]


def cosine_interpolation(start: float, end: float, share: float) -> float:
    """From `start` at share 0 to `end` at share 1, flat at both ends."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@schedules.register
class Cosine(EpochSchedule):
    """Cosine annealing to `eta_min` at epoch `t_max`; rises again afterwards.

    Source: Loshchilov & Hutter (2017), arxiv.org/abs/1608.03983
    """

    name: Literal["cosine"] = "cosine"
    t_max: PositiveInt | None = Field(
        None, description="epochs until the lowest learning rate; by default training.epochs"
    )
    eta_min: EtaMin = 0.0

    @property
    def depends_on_total(self) -> bool:
        return self.t_max is None

    def factor(self, epoch: int, epochs: int) -> float:
        return cosine_interpolation(1.0, self.eta_min, epoch / (self.t_max or epochs))


@schedules.register
class CosineRestarts(EpochSchedule):
    """Cosine annealing with warm restarts; each period is `t_mult` times as long as the last.

    Source: Loshchilov & Hutter (2017), arxiv.org/abs/1608.03983
    """

    name: Literal["cosine_restarts"] = "cosine_restarts"
    t_0: PositiveInt = Field(description="epochs of the first period")
    t_mult: PositiveInt = Field(1, description="growth factor of the period")
    eta_min: EtaMin = 0.0

    def factor(self, epoch: int, epochs: int) -> float:
        length = self.t_0
        if self.t_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.t_mult
        return cosine_interpolation(1.0, self.eta_min, epoch / length)


@schedules.register
class OneCycle(EpochSchedule):
    """One-cycle policy: the learning rate rises to a peak, then falls to almost 0.

    The peak is `max_factor` times optimizer.lr. Epochs take the place of torch's steps; momentum stays.
    Source: Smith & Topin (2018), arxiv.org/abs/1708.07120
    """

    name: Literal["one_cycle"] = "one_cycle"
    max_factor: PositiveFloat = Field(1.0, description="the peak, as a multiple of optimizer.lr")
    pct_start: float = Field(
        0.3, ge=0, le=1, description="fraction of the epochs in which the learning rate rises"
    )
    anneal_strategy: Literal["cos", "linear"] = Field("cos", description="shape of rise and fall")
    div_factor: PositiveFloat = Field(25.0, description="the peak is this many times the first learning rate")
    final_div_factor: PositiveFloat = Field(
        1e4, description="the first learning rate is this many times the last"
    )

    @property
    def depends_on_total(self) -> bool:
        return True

    def factor(self, epoch: int, epochs: int) -> float:
        peak, last = self.pct_start * epochs - 1, epochs - 1
        first_factor = self.max_factor / self.div_factor
        if epoch <= peak:
            return self._between(first_factor, self.max_factor, epoch / peak if peak else 1.0)
        share = min(1.0, (epoch - peak) / (last - peak)) if last > peak else 1.0
        return self._between(self.max_factor, first_factor / self.final_div_factor, share)

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return cosine_interpolation(start, end, share)
        return start + (end - start) * share


Gamma = Annotated[float, Field(gt=0, description="factor of each change")]


def power(gamma: float, times: int) -> float:
    """`gamma` to the power of `times`; infinite where that overflows, so that training diverges properly."""
    try:
        return math.pow(gamma, times)
    except OverflowError:
        return math.inf


@schedules.register
class Constant(EpochSchedule):
    """A constant learning rate."""

    name: Literal["constant"] = "constant"

    def factor(self, epoch: int, epochs: int) -> float:
        return 1.0


@schedules.register
class Step(EpochSchedule):
    """The learning rate is multiplied by `gamma` every `step_size` epochs."""

    name: Literal["step"] = "step"
    step_size: PositiveInt = Field(description="epochs between changes")
    gamma: Gamma = 0.1

    def factor(self, epoch: int, epochs: int) -> float:
        return power(self.gamma, epoch // self.step_size)


@schedules.register
class MultiStep(EpochSchedule):
    """The learning rate is multiplied by `gamma` after each of the epochs in `milestones`."""

    name: Literal["multi_step"] = "multi_step"
    milestones: tuple[PositiveInt, ...] = Field(
        min_length=1, description="numbers of completed epochs at which the learning rate changes"
    )
    gamma: Gamma = 0.1

    def factor(self, epoch: int, epochs: int) -> float:
        return power(self.gamma, sum(milestone <= epoch for milestone in self.milestones))


@schedules.register
class Exponential(EpochSchedule):
    """The learning rate is multiplied by `gamma` after every epoch."""

    name: Literal["exponential"] = "exponential"
    gamma: PositiveFloat = Field(description="factor of each change")

    def factor(self, epoch: int, epochs: int) -> float:
        return power(self.gamma, epoch)


@schedules.register
class Inverse(EpochSchedule):
    """The learning rate is divided by (1 + rate * epoch) to a power.

    Power 1 is inverse time decay; scikit-learn's `invscaling` has the train rows as rate, and power 0.5.
    """

    name: Literal["inverse"] = "inverse"
    rate: PositiveFloat = Field(1.0, description="growth of the divisor per epoch")
    power: NonNegativeFloat = Field(1.0, description="exponent")

    def factor(self, epoch: int, epochs: int) -> float:
        return math.pow(1 + self.rate * epoch, -self.power)


@schedules.register
class Polynomial(EpochSchedule):
    """The learning rate falls to 0 as (1 - epoch / total) to a power: a straight line for power 1."""

    name: Literal["polynomial"] = "polynomial"
    power: NonNegativeFloat = Field(1.0, description="exponent; 1 for linear decay")
    total_iters: PositiveInt | None = Field(
        None, description="epochs until the learning rate is 0 (default: training.epochs)"
    )

    @property
    def depends_on_total(self) -> bool:
        return self.total_iters is None

    def factor(self, epoch: int, epochs: int) -> float:
        total = self.total_iters or epochs
        return math.pow(1 - min(epoch, total) / total, self.power)


@schedules.register
class Warmup(EpochSchedule):
    """Linear warm-up, followed by the schedule `then`, which starts after it.

    Source: Goyal et al. (2017), arxiv.org/abs/1706.02677
    """

    name: Literal["warmup"] = "warmup"
    epochs: PositiveInt = Field(5, description="epochs until the full learning rate")
    start_factor: float = Field(
        1 / 3, gt=0, le=1, description="factor of the learning rate in the first epoch"
    )
    then: Annotated[Schedule, Named(schedules)] = Field(
        default_factory=Constant, description="schedule after the warm-up"
    )

    @field_validator("then")
    @classmethod
    def _is_a_function_of_epochs(cls, then: Schedule) -> Schedule:
        if not isinstance(then, EpochSchedule):
            what = f"{then.name} cannot follow a warm-up; step, cosine and other functions of the epoch can"
            raise ValueError(what)  # noqa: TRY004 -- pydantic reports no TypeError
        return then

    @property
    def depends_on_total(self) -> bool:
        return self.then.depends_on_total

    def factor(self, epoch: int, epochs: int) -> float:
        if epoch < self.epochs:
            return self.start_factor + (1 - self.start_factor) * epoch / self.epochs
        assert isinstance(self.then, EpochSchedule)
        return self.then.factor(epoch - self.epochs, max(1, epochs - self.epochs))


@schedules.register
class ReduceOnPlateau(Schedule):
    """Multiplies the learning rate by `factor` after more than `patience` evaluations without improvement.

    After a cut nothing is counted for `cooldown` evaluations. Needs dev rows.
    """

    plateau = True

    name: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    factor: float = Field(0.1, gt=0, lt=1, description="factor of each reduction")
    patience: NonNegativeInt = Field(10, description="evaluations without improvement before a reduction")
    threshold: NonNegativeFloat = Field(1e-4, description="smallest change that counts as an improvement")
    threshold_mode: Literal["rel", "abs"] = Field(
        "rel", description="whether threshold is a fraction of the best value or a difference from it"
    )
    cooldown: NonNegativeInt = Field(0, description="evaluations to wait after a reduction")
    min_lr: NonNegativeFloat = Field(0.0, description="lowest learning rate")
    eps: NonNegativeFloat = Field(
        1e-8, description="smallest change of the learning rate; smaller reductions are skipped"
    )

    def improves(self, value: float, best: float | None, mode: str) -> bool:
        """Whether `value` beats `best` by more than the threshold; any number beats none, nan nothing."""
        if best is None:
            return not math.isnan(value)
        sign = 1 if mode == "max" else -1
        if self.threshold_mode == "abs":
            return sign * value > sign * best + self.threshold
        # a negative best times (1 + threshold) would be worse, as it is in torch
        return sign * value > sign * best * (1 + math.copysign(self.threshold, sign * best))

    def cut(self, factor: float, lr: float) -> float:
        """The factor on the config's `lr` that follows `factor` when it is cut."""
        reduced = max(factor * self.factor, self.min_lr / lr)
        return reduced if (factor - reduced) * lr > self.eps else factor
