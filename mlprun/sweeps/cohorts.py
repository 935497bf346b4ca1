"""Trials, their expected cost, and their division into cohorts whose files stay small."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlprun.engines.fused import support
from mlprun.experiment import Experiment, history_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_MEMBERS = 1000
MAX_BYTES = 2**26
"""of histories and weights in one cohort's file"""
MAX_SECONDS = 60.0
"""of training in one cohort, as expected: trials are recorded by whole cohorts"""
MAX_TENSORS = 5000
ROW_BYTES = 8
"""of a number in a history"""

TRIAL_SECONDS = 1e-3
"""of a trial beside its epochs"""
EPOCH_SECONDS = 0.6e-6
"""of an epoch with an evaluation in the kernels, however few its rows"""
SMALL_RATE, LARGE_RATE = 10e9, 40e9
"""multiplications per second of the kernels in networks below and from `LARGE` weights on"""
LARGE = 10_000


class CohortKind(NamedTuple):
    """What the trials of a cohort have in common."""

    engine: str
    device: str
    dtype: str
    threads: int
    epochs: int
    columns: tuple[str, ...]


class TrialSpec(NamedTuple):
    """A trial of the plan: its id and its configuration's, both from 1, its seed and its fold."""

    trial: int
    setting: int
    seed: int
    fold: int | None


@dataclass(frozen=True)
class Cohort:
    """Trials whose histories and weights share a file."""

    number: int
    members: list[TrialSpec]
    kind: CohortKind


@dataclass(frozen=True)
class Cost:
    """The expected cost of one trial, or of several together."""

    seconds: float
    """of one core"""
    bytes: int
    tensors: int
    saved: float = 0.0
    """seconds that the fused engine takes less than the torch engine, not counting its start"""
    form: int = 0
    """equal for trials whose weights have equal shapes"""

    @classmethod
    def of(cls, experiment: Experiment, engine: str) -> Cost:
        """Return the cost of a trial with this engine."""
        config = experiment.config
        torch, fused = support.estimated_seconds(experiment)
        shapes = config.architecture.shapes(experiment.width) or {}
        weights = sum(map(math.prod, shapes.values()))
        rows = -(-config.training.epochs // config.training.log_every)
        return cls(
            seconds=TRIAL_SECONDS + (_kernel_seconds(experiment, weights) if engine == "fused" else torch),
            bytes=rows * len(history_columns(config)) * ROW_BYTES + 2 * weights * experiment.dtype.itemsize,
            tensors=2 * len(shapes),
            saved=torch - fused,
            form=hash(tuple(shapes.items())),
        )


def _kernel_seconds(experiment: Experiment, weights: int) -> float:
    """Return the seconds in the kernels, by the speed of one core of a common machine."""
    training, rows = experiment.config.training, len(experiment.fixed["train"])
    batch, steps = training.batch_rows(rows), training.epochs * experiment.steps_per_epoch
    dev = len(experiment.fixed["dev"]) if "dev" in experiment.fixed else 0
    trained = 3 * steps * (-(-batch // 16) * 16)
    evaluated = training.epochs / training.evaluate_every * (-(-dev // 16) * 16)
    rate = SMALL_RATE if weights < LARGE else LARGE_RATE
    return steps * EPOCH_SECONDS + (trained + evaluated) * weights / rate


def divide(trials: Iterable[tuple[TrialSpec, CohortKind, Cost]], first: int) -> list[Cohort]:
    """Put each trial into a cohort of its kind that has room; cohorts are numbered from `first`."""
    open_: dict[CohortKind, _Size] = {}
    cohorts: list[Cohort] = []
    for spec, kind, cost in trials:
        size = open_.get(kind)
        if size is None or not size.has_room(cost):
            cohorts.append(Cohort(first + len(cohorts), [], kind))
            size = open_[kind] = _Size(cohorts[-1].members)
        size.members.append(spec)
        size.seconds += cost.seconds
        size.bytes += cost.bytes
        size.tensors[cost.form] = cost.tensors
    return cohorts


@dataclass
class _Size:
    """The size of a cohort that is being filled."""

    members: list[TrialSpec]
    seconds: float = 0.0
    bytes: int = 0
    tensors: dict[int, int] = field(default_factory=dict)

    def has_room(self, cost: Cost) -> bool:
        return (
            len(self.members) < MAX_MEMBERS
            and self.bytes + cost.bytes <= MAX_BYTES
            and self.seconds + cost.seconds <= MAX_SECONDS
            and sum(self.tensors.values()) + cost.tensors <= MAX_TENSORS
        )
