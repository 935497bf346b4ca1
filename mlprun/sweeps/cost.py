"""The cost of a trial in seconds and bytes, and trials put into cohorts whose shared files stay small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlprun.engines.fused import support
from mlprun.experiment import history_columns
from mlprun.sweeps.members import Members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlprun.experiment import Experiment
    from mlprun.sweeps.checking import Kind
    from mlprun.sweeps.members import Member

STARTUP = support.STARTUP
FIGURE = 8
"""bytes of a number in a history"""


TRIAL = 1e-3
"""seconds of a trial beside its epochs"""
CALL = 0.6e-6
"""seconds of an epoch with an evaluation in the kernels, however few its rows"""
SMALL, WIDE = 10e9, 40e9
"""multiplications per second of the kernels in small networks, and in those of more than `MANY` weights"""
MANY = 10_000


@dataclass(frozen=True)
class Cost:
    """The cost of one trial, or of several together."""

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
        """The cost of a trial with this engine."""
        config = experiment.config
        torch, fused = support.estimated_seconds(experiment)
        shapes = config.architecture.shapes(experiment.width) or {}
        numbers = sum(_product(shape) for shape in shapes.values())
        rows = -(-config.training.epochs // config.training.log_every)
        weights = 2 * numbers * experiment.dtype.itemsize
        return cls(
            seconds=TRIAL + (_kernels(experiment, numbers) if engine == "fused" else torch),
            bytes=rows * len(history_columns(config)) * FIGURE + weights,
            tensors=2 * len(shapes),
            saved=torch - (fused - support.STARTUP),
            form=hash(tuple(shapes.items())),
        )


def _kernels(experiment: Experiment, numbers: int) -> float:
    """Seconds in the kernels, by what one core of a common machine does."""
    training, rows = experiment.config.training, len(experiment.fixed["train"])
    batch = rows if training.batch_size == "full" else min(training.batch_size, rows)
    steps = training.epochs * -(-rows // batch)
    seen = len(experiment.fixed["dev"]) if "dev" in experiment.fixed else 0
    trained = 3 * steps * (-(-batch // 16) * 16)
    evaluated = training.epochs / training.evaluate_every * (-(-seen // 16) * 16)
    return steps * CALL + (trained + evaluated) * numbers / (SMALL if numbers < MANY else WIDE)


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


MOST_MEMBERS = 1000
MOST_BYTES = 2**26
"""of curves and weights in one cohort's file"""
MOST_SECONDS = 60.0
"""of training in one cohort, by published constants: trials are recorded by whole cohorts"""
MOST_TENSORS = 5000


def gather(trials: Iterable[tuple[Member, Kind, Cost]]) -> list[tuple[Members, Kind]]:
    """Every trial in one cohort of its kind, those that were open first before those opened later."""
    gathering: dict[Kind, _Gathering] = {}
    every: list[_Gathering] = []
    for member, kind, cost in trials:
        room = gathering.get(kind)
        if room is None or not room.has_room(cost):
            room = gathering[kind] = _Gathering(kind)
            every.append(room)
        room.add(member, cost)
    return [(one.members, one.kind) for one in every]


class _Gathering:
    """A cohort that is being filled."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.members = Members(kind.engine)
        self.seconds, self.bytes, self.tensors = 0.0, 0, dict[Any, int]()

    def has_room(self, cost: Cost) -> bool:
        return (
            len(self.members) < MOST_MEMBERS
            and self.bytes + cost.bytes <= MOST_BYTES
            and self.seconds + cost.seconds <= MOST_SECONDS
            and sum(self.tensors.values()) + cost.tensors <= MOST_TENSORS
        )

    def add(self, member: Member, cost: Cost) -> None:
        self.members.add(member)
        self.seconds += cost.seconds
        self.bytes += cost.bytes
        self.tensors[cost.form] = cost.tensors
