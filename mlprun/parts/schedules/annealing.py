"""Schedules that move the learning rate along a cosine: once, with restarts, or up and down."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from mlprun.parts.part import PositiveFloat, PositiveInt
from mlprun.parts.schedules.schedule import EpochSchedule, schedules

EtaMin = Annotated[
    float, Field(ge=0, le=1, description="lowest learning rate, as a fraction of optimizer.lr")
]


def along_cosine(start: float, end: float, share: float) -> float:
    """From `start` at share 0 to `end` at share 1, flat at both ends."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@schedules.register
class Cosine(EpochSchedule):
    """The learning rate falls along half a cosine to `eta_min`; past `t_max` it rises again.

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
        return along_cosine(1.0, self.eta_min, epoch / (self.t_max or epochs))


@schedules.register
class CosineRestarts(EpochSchedule):
    """The learning rate falls along half a cosine again and again, each time `t_mult` times as long.

    Source: Loshchilov & Hutter (2017), arxiv.org/abs/1608.03983
    """

    name: Literal["cosine_restarts"] = "cosine_restarts"
    t_0: PositiveInt = Field(description="epochs of the first fall")
    t_mult: PositiveInt = Field(1, description="length of each fall, as a multiple of the one before")
    eta_min: EtaMin = 0.0

    def factor(self, epoch: int, epochs: int) -> float:
        length = self.t_0
        if self.t_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.t_mult
        return along_cosine(1.0, self.eta_min, epoch / length)


@schedules.register
class OneCycle(EpochSchedule):
    """The learning rate rises from a fraction of its peak to the peak, then falls to almost nothing.

    The peak is `max_factor` times optimizer.lr. Epochs take the place of torch's steps; momentum stays.
    Source: Smith & Topin (2018), arxiv.org/abs/1708.07120
    """

    name: Literal["one_cycle"] = "one_cycle"
    max_factor: PositiveFloat = Field(1.0, description="the peak, as a multiple of optimizer.lr")
    pct_start: float = Field(0.3, ge=0, le=1, description="share of the epochs that the rise takes")
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
            return along_cosine(start, end, share)
        return start + (end - start) * share
