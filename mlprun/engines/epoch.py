"""What an epoch is, for engines that work batch by batch: its learning rate, its row order, its means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from mlprun import randomness
from mlprun.parts.schedules import EpochSchedule
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlprun.engines.progress import Progress
    from mlprun.parts.losses import Loss
    from mlprun.schema import Config

R = TypeVar("R")
V = TypeVar("V")


def rate(config: Config, epoch: int, progress: Progress) -> float:
    """The learning rate of the epoch that follows `epoch` completed ones."""
    if isinstance(config.schedule, EpochSchedule):
        return config.optimizer.lr * config.schedule.factor(epoch, config.training.epochs)
    return config.optimizer.lr * progress.plateau.factor


def batch_size(config: Config, rows: int) -> int:
    """How many of `rows` train rows a batch has; the last one may have fewer."""
    size = config.training.batch_size
    return rows if size == "full" else min(size, rows)


def row_order(config: Config, rows: int, epoch: int) -> NDArray[np.int64] | None:
    """The order in which an epoch meets its rows; None for the data's own.

    A full batch is one slice in any order, so it stays as it is.
    """
    training = config.training
    if not training.shuffle or batch_size(config, rows) == rows:
        return None
    return randomness.order(training.seed, Purpose.ORDER, rows, epoch=epoch)


class EpochTotals(Generic[R, V]):
    """What an epoch's batches gave as each was met, before its update.

    The loss and the objective are means over the batches, weighted by what was averaged; of a single batch
    they are its own numbers, not multiplied and divided.
    """

    def __init__(self, rows: R) -> None:
        self.rows = rows
        """in the order of the batches"""
        self.before: list[V] = []
        """per batch [B, K], values before the output activation"""
        self.loss = self.objective = 0.0
        self._sums, self._weight, self._rows = (0.0, 0.0), 0.0, 0

    def add(self, before: V, loss: float, objective: float, *, weight: float, rows: int) -> None:
        """Take in a batch: its values, its loss as the mean that divides by `weight`, its objective."""
        self.before.append(before)
        self._sums = self._sums[0] + loss * weight, self._sums[1] + objective * rows
        self._weight, self._rows = self._weight + weight, self._rows + rows
        first = len(self.before) == 1
        self.loss = loss if first else self._sums[0] / self._weight
        self.objective = objective if first else self._sums[1] / self._rows


def mean_loss(loss: Loss, differentiated: float, weight: float) -> float:
    """The mean that the history shows of what `loss` gave with its own reduction and scale."""
    unscaled = differentiated / loss.scale
    return unscaled / weight if loss.reduction == "sum" else unscaled
