"""A cohort in pieces that can travel: plain data to train trials by, wherever mlprun is installed.

A piece is trained by one process, trial after trial, a turn of some seconds long; what is left of it then is
a piece again, that goes on where this one stood. Since a trial's bytes depend neither on the trials beside it
nor on where it was left, it does not matter how a cohort is cut, which process gets which piece, and whether
one is trained twice.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import config as reading
from mlprun import engines, schema
from mlprun.engines import device as devices
from mlprun.storage import provenance
from mlprun.sweeps import train as training
from mlprun.sweeps.members import Member
from mlprun.sweeps.plan import seeded
from mlprun.sweeps.train import Course, Task
from mlprun.sweeps.workshop import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.sweeps.outcome import Known, Result, Standing, Until
    from mlprun.sweeps.plan import Cohort, Plan

SECONDS = 5.0
"""of training in one piece, by published constants"""
TURN = 5.0
"""seconds of training until a process says how far it is: what is lost where it dies or is stopped"""
PACE = 4e6
"""bytes of a trial in the middle for which a turn is a second longer"""
_ROOT = os.path.abspath(os.sep)
"""what the paths of a travelling config are relative to"""


class Piece(NamedTuple):
    """Some trials of a cohort."""

    members: tuple[tuple[int, int, int, int | None], ...]
    """number, setting, seed and fold of each trial"""
    configs: Mapping[int, tuple[dict[str, Any], bool]]
    """by setting: its complete config, and whether that names the dataset's seed itself"""
    chunks: tuple[int, ...]
    """epochs of each trial until the first look at it"""
    standings: Mapping[int, Standing]
    """of the trials that were begun before"""
    until: Mapping[int, Until]
    """of the trials that do not go to their end"""
    engine: str
    device: str
    threads: int
    allow_code: bool
    versions: Mapping[str, str | None]
    """of what computes, where the sweep was started"""


class Turn(NamedTuple):
    """What came of a piece: trials that ended, wait or lack memory, and where one stands in the middle."""

    came_out: list[Result]
    standing: Standing | None = None


def cut(plan: Plan, cohort: Cohort, known: Known) -> Iterator[Piece]:
    """The trials of a cohort that have not ended, in pieces."""
    members: list[Member] = []
    seconds = 0.0
    for member in known.to_train(cohort):
        cost = plan.cost_of(member).seconds
        if members and seconds + cost > SECONDS:
            yield _piece(plan, cohort, members, known)
            members, seconds = [], 0.0
        members.append(member)
        seconds += cost
    if members:
        yield _piece(plan, cohort, members, known)


def _piece(plan: Plan, cohort: Cohort, members: list[Member], known: Known) -> Piece:
    kind, configs = cohort.kind, dict[int, tuple[dict[str, Any], bool]]()
    for member in members:
        if member.setting not in configs:
            config, own_seed = plan.common(member)
            configs[member.setting] = (schema.dump(config, _ROOT), own_seed)
    return Piece(
        tuple((one.trial, one.setting, one.seed, one.fold) for one in members),
        configs,
        tuple(training.first_chunk(kind.epochs, plan.cost_of(member).seconds) for member in members),
        {one.trial: known.standings[one.trial] for one in members if one.trial in known.standings},
        {one.trial: known.until[one.trial] for one in members if one.trial in known.until},
        kind.engine,
        devices.resolve(kind.device),  # here: were it each machine's own choice, so were the bytes
        kind.threads,
        plan.allow_code,
        provenance.versions(),
    )


class _Clock:
    """Ends a turn: between two chunks of a trial, or between two trials."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.over = False
        self.standing: Standing | None = None

    def stands(self, standing: Standing) -> None:
        """Hear of a trial in the middle."""
        self.standing = standing
        self.over = self.is_late(_size(standing))

    def is_late(self, size: int = 0) -> bool:
        """Whether a turn has been long enough for what is to be told of a trial in the middle."""
        return time.monotonic() - self._began >= TURN + size / PACE


def carry_out(piece: Piece) -> Turn:
    """Train the trials of a piece for a turn, the first of them for a chunk at least.

    Raises DeviceError where its device is absent.
    """
    clock, turn = _Clock(), Turn([])
    course = Course(engines.named(piece.engine), devices.resolve(piece.device), lambda: clock.over)
    with devices.computing(piece.threads, course.device):
        for task in _tasks(piece, clock):
            outcome = training.train(task, course)
            if outcome is None:
                return turn._replace(standing=clock.standing)
            turn.came_out.append(outcome)
            if clock.is_late():
                break
    return turn


def _tasks(piece: Piece, clock: _Clock) -> Iterator[Task]:
    configs = {
        setting: (
            schema.parse(reading.from_mapping(config, _ROOT, "trial"), allow_code=piece.allow_code),
            own,
        )
        for setting, (config, own) in piece.configs.items()
    }
    rows = Rows()
    for given, chunk in zip(piece.members, piece.chunks, strict=True):
        member = Member(*given, piece.engine)
        config, own_seed = configs[member.setting]
        yield Task(
            member.trial,
            partial(rows.experiment, seeded(config, member, own_seed=own_seed)),
            clock.stands,
            chunk,
            piece.standings.get(member.trial),
            piece.until.get(member.trial),
        )


def rest(piece: Piece, turn: Turn) -> Piece | None:
    """What is left of a piece after a turn."""
    over = {one.trial for one in turn.came_out}
    left = [place for place, (trial, *_) in enumerate(piece.members) if trial not in over]
    if not left:
        return None
    members, chunks = piece.members, piece.chunks
    standings = piece.standings if turn.standing is None else {turn.standing.trial: turn.standing}
    return piece._replace(
        members=tuple(members[place] for place in left),
        chunks=tuple(chunks[place] for place in left),
        standings={**piece.standings, **standings},
    )


def _size(standing: Standing) -> int:
    state = standing.state
    arrays = (
        *state.model.values(),
        *state.optimizer_state.values(),
        *(standing.best or {}).values(),
        standing.history,
    )
    return sum(array.nbytes for array in arrays)


def differing(piece: Piece) -> str:
    """What this machine computes with other versions of than the one where the sweep was started."""
    here = provenance.versions()
    return ", ".join(
        f"{name} {here.get(name)} in place of {version}"
        for name, version in piece.versions.items()
        if here.get(name) != version
    )
