"""What an epoch is, for engines that work batch by batch: its learning rate, its batches, its row order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun import randomness
from mlprun.parts.schedules import EpochSchedule
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlprun.engines.progress import Progress
    from mlprun.schema import Config


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
