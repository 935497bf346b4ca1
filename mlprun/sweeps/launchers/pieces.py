"""A cohort in pieces that can travel: plain data to train trials by, wherever mlprun is installed.

A piece is trained by one process, trial after trial. Since a trial's bytes do not depend on the trials beside
it, it does not matter how a cohort is cut, which process gets which piece, and whether one is trained twice.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import config as reading
from mlprun import engines, schema
from mlprun.engines import device as devices
from mlprun.storage import provenance
from mlprun.sweeps import train as training
from mlprun.sweeps.plan import Member, seeded
from mlprun.sweeps.train import Course, Task
from mlprun.sweeps.workshop import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.sweeps.outcome import Known, Outcome, Standing, Until
    from mlprun.sweeps.plan import Cohort, Plan

SECONDS = 5.0
"""of training in one piece, by published constants: what is lost where a process dies"""
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


def cut(plan: Plan, cohort: Cohort, known: Known) -> Iterator[Piece]:
    """The trials of a cohort that have not ended, in pieces."""
    members: list[Member] = []
    seconds = 0.0
    for member in cohort.members:
        if member.trial in known.ended:
            continue
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
        kind.device,
        kind.threads,
        plan.allow_code,
        provenance.versions(),
    )


def carry_out(piece: Piece) -> list[Outcome | Standing]:
    """Train the trials of a piece: how each came out, or where it waits to go on.

    Raises DeviceError where its device is absent.
    """
    device = devices.resolve(piece.device)
    course = Course(engines.named(piece.engine), device, lambda: False)
    configs = {
        setting: (
            schema.parse(reading.from_mapping(config, _ROOT, "trial"), allow_code=piece.allow_code),
            own,
        )
        for setting, (config, own) in piece.configs.items()
    }
    rows = Rows()
    outcomes: list[Outcome | Standing] = []
    with devices.computing(piece.threads, device):
        for given, chunk in zip(piece.members, piece.chunks, strict=True):
            member = Member(*given, piece.engine)
            config, own_seed = configs[member.setting]
            task = Task(
                member.trial,
                partial(rows.experiment, seeded(config, member, own_seed=own_seed)),
                lambda _: None,
                chunk,
                piece.standings.get(member.trial),
                piece.until.get(member.trial),
            )
            outcome = training.train(task, course)
            assert outcome is not None, "nothing stops it"
            outcomes.append(outcome)
    return outcomes


def differing(piece: Piece) -> str:
    """What this machine computes with other versions of than the one where the sweep was started."""
    here = provenance.versions()
    return ", ".join(
        f"{name} {here.get(name)} in place of {version}"
        for name, version in piece.versions.items()
        if here.get(name) != version
    )
