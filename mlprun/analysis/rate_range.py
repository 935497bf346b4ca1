"""The learning-rate range test: how the train loss responds to a learning rate that rises exponentially.

Source: Smith (2017), doi.org/10.1109/WACV.2017.58
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlprun import engines, evaluation
from mlprun.engines import device as devices
from mlprun.experiment import Experiment
from mlprun.parts.schedules import Exponential
from mlprun.training.trainer import HistoryRecorder, Trainer, TrainingRun, translate_error

if TYPE_CHECKING:
    from mlprun.parts.data import Floats
    from mlprun.schema import Config

REACH = 2
"""epochs on each side that the running median takes in"""
MARGIN = 10
"""the suggestion is this many times smaller than the rate at the smallest loss"""
SMALLEST = 1e-12
"""loss that smaller ones count as, since their logarithms are averaged"""


class RangeTest(NamedTuple):
    """The train loss of E epochs, each at a higher learning rate, for S seeds."""

    rates: Floats
    """[E]"""
    losses: Floats
    """[S, E]; no finite numbers from the epoch at which a seed diverges"""

    @property
    def smoothed(self) -> Floats:
        """The running median of the mean log loss; it ends where the first seed diverges."""
        known = np.isfinite(self.losses).all(axis=0)
        mean = np.log(np.maximum(self.losses[:, known], SMALLEST)).mean(axis=0)
        near = np.arange(len(mean))[:, None] + np.arange(-REACH, REACH + 1)
        smoothed: Floats = np.median(mean[near.clip(0, len(mean) - 1)], axis=1)
        return smoothed

    @property
    def points(self) -> dict[str, float | None]:
        """The rates at which the log loss falls fastest and is smallest, and a tenth of the latter, rounded.

        They are None if the loss never fell.
        """
        lowest = int(self.smoothed.argmin()) if len(self.smoothed) else 0
        if not lowest:
            return dict.fromkeys(("steepest", "minimum", "suggestion"))
        steepest = float(self.rates[np.gradient(self.smoothed[: lowest + 1]).argmin()])
        minimum = float(self.rates[lowest])
        return {"steepest": steepest, "minimum": minimum, "suggestion": float(f"{minimum / MARGIN:.1e}")}


def run_range_test(config: Config, start: float, end: float, *, epochs: int, seeds: int) -> RangeTest:
    """Train each seed in memory with a rate from `start` to `end`, all as one cohort; the rows are the same.

    Raises as `Experiment.of` and the initializers do, and UsageError for what the engine cannot run.
    """
    update = {
        "optimizer": config.optimizer.model_copy(update={"lr": start, "groups": ()}),
        "schedule": Exponential(gamma=(end / start) ** (1 / (epochs - 1))),
        "training": config.training.model_copy(update={"epochs": epochs, "log_every": 1}),
        "early_stopping": None,
        "snapshots": (),
    }
    experiment = evaluation.check_initial_weights(Experiment.of(config.model_copy(update=update)))
    experiment.check_size()
    engine, _ = engines.choose(experiment, config.engine)
    runs, first = [], config.training.seed
    for seed in range(first, first + seeds):
        training = experiment.config.training.model_copy(update={"seed": seed})
        one = experiment.with_config(experiment.config.model_copy(update={"training": training}))
        runs.append(TrainingRun(one, engine.initial_state(one), callbacks=[HistoryRecorder()]))
    Trainer(engine, runs, device=devices.resolve(config.device)).fit()
    losses = np.full((seeds, epochs), np.nan)
    for row, run in zip(losses, runs, strict=True):
        if run.error is not None:
            raise translate_error(run.error)
        found = run.callbacks[0].columns["train_loss"]
        row[: len(found)] = found
    return RangeTest(np.geomspace(start, end, epochs), losses)
