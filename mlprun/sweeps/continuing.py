"""The folder that a sweep goes on in: found, held, and brought up to what the sweep asks for."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from mlprun import files
from mlprun.config import Node
from mlprun.errors import CheckpointError, FileError
from mlprun.storage import checkpoints
from mlprun.sweeps import database, folder, recorded
from mlprun.sweeps.session import pending
from mlprun.sweeps.stored import beside, contains, digest_of, stored
from mlprun.training.metadata import as_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.sweeps.checking import Configs
    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.folder import SweepFolder
    from mlprun.sweeps.plan import Plan

    Say = Callable[[str], None]

_SAID = ("objective", "success", "definition", "total", "scales", "history", "rows")
"""what a continued sweep may say differently than before"""


def _silent(_: str) -> None:
    pass


def as_started(definition: Definition, out: str) -> Definition:
    """The definition as the folder understands it that it goes on in: an old one with a base of format 1."""
    base = definition.base
    if "format" in base.data:
        return definition
    old = definition._replace(base=base.with_values({"format": Node(1, base.node(()).position)}))
    try:
        words = stored(old, beside(old, out))
        first = int(base.data["training"].get("seed", 0)) if "training" in base.data else 0
    except (ValidationError, TypeError, ValueError, AttributeError):
        return definition  # which is refused with every problem
    known = [_known(place, words, _silent) for place in folder.named(out, definition.name)]
    is_old = any(
        digest_of(one[0]) == digest_of(words) or contains(words, one[0], first)
        for one in known
        if one is not None
    )
    return old if is_old else definition


def held(configs: Configs, out: str, stack: ExitStack, say: Say = _silent) -> SweepFolder | None:
    """The folder that a sweep goes on in, its lock held by `stack`; None where it needs a new one."""
    while (place := find(configs, out, say)) is not None:
        with ExitStack() as undo:
            lock = undo.enter_context(place.lock())
            if find(configs, out) == place:  # and was not made another sweep meanwhile
                undo.pop_all()
                stack.enter_context(lock)
                return place
    return None


def find(configs: Configs, out: str, say: Say = _silent) -> SweepFolder | None:
    """The newest folder of the same sweep or, where there is none, the fullest of one that it contains.

    That is where most trials have ended, the newest of several such. One that cannot be read is told of and
    passed over, unless it is the very one that is wanted.
    """
    definition, first = configs.definition, configs.base.training.seed
    words = stored(definition, beside(definition, out))
    digest, contained, most = digest_of(words), None, -1
    for place in folder.named(out, definition.name):
        known = _known(place, words, say)
        if known is None:
            continue
        then, ended = known
        if digest_of(then) == digest:
            return place
        if contains(words, then, first):
            if contains(then, words, first):
                return place
            if ended > most:
                contained, most = place, ended
    return contained


def _known(place: SweepFolder, wanted: Mapping[str, Any], say: Say) -> tuple[Mapping[str, Any], int] | None:
    """What a folder says its sweep is, and how many trials have ended; None where that cannot be read."""
    try:
        with place.results() as results:
            counts = results.counts()
            return results.description.definition, sum(counts.values()) - counts["pending"]
    except (CheckpointError, FileError) as error:
        was = None
        with suppress(CheckpointError):
            was = place.record().get("sweep_digest")  # before it was extended, if it was
        if was == digest_of(wanted) or place.keeps(as_yaml(wanted)):
            raise
        say(f"warning: {error.where}: {error.what}; it is passed over")
        return None


class Again(NamedTuple):
    """Trials that are trained once more, and why, in lines for the user."""

    trials: frozenset[int] = frozenset()
    said: tuple[str, ...] = ()


def again(place: SweepFolder, *, retry_failed: bool) -> Again:
    """The trials whose cohort's file is gone or cut off and, if asked for, those that failed."""
    with place.results() as results:
        lost = [one for one in results.ended_cohorts() if not checkpoints.is_complete(place.cohort(one))]
        if not lost and not retry_failed:
            return Again()
        trials = [one for one in results.planned() if one.status != "pending"]
    cohorts: dict[int | None, list[int]] = {}
    for one in trials:
        cohorts.setdefault(one.cohort, []).append(one.id)
    said, found = [], set[int]()
    for number in lost:
        gone, path = cohorts[number], place.cohort(number)
        what = "is missing" if files.kind(path) is None else "is damaged: it is not as long as it says"
        said.append(f"{path} {what}; trials to be trained again: {len(gone):,}")
        found.update(gone)
    failed = [one.id for one in trials if one.status == "failed" and one.id not in found]
    if retry_failed and failed:
        said.append(f"failed trials to be trained again: {len(failed):,}")
        found.update(failed)
    return Again(frozenset(found), tuple(said))


def is_over(place: SweepFolder, plan: Plan) -> bool:
    """Whether nothing is left to do."""
    return place.status().state == "finished" and plan.done == plan.total


def differences(plan: Plan, place: SweepFolder) -> list[str]:
    """What is not as it was when a sweep was started.

    Raises DataError for other rows, CheckpointError where values lead to other figures.
    """
    found = recorded.differences(place.record(), plan)
    with place.results() as results:
        if results.description.figures != plan.description.figures:
            what = "is of this sweep, and its database holds other figures"
            raise CheckpointError(place.path, what, "run the sweep with another --out")
        recorded.refuse_other_rows(results.description.rows, plan, place.path, found)
    return found


def bring_up(plan: Plan, place: SweepFolder, found: Sequence[str] = ()) -> None:
    """Let a folder hold what a continued sweep has more, and what it says differently.

    The database changes as a whole, and is what counts: sweep.yaml follows it, and where a process dies
    between the two, the next one that continues lets it follow.
    """
    words = stored(plan.definition, place.path)
    with place.results() as results:
        known, now = asdict(results.description), asdict(replace(plan.description, definition=words))
    if known["rows"]:  # a folder that says nothing of them may have trials with others
        now["rows"] = {**recorded.rows(plan, place.path), **known["rows"]}
    changed = {key: now[key] for key in _SAID if known[key] != now[key]}
    status = place.status()
    differences = tuple(dict.fromkeys((*status.differences, *found)))
    if known["total"] != now["total"] or plan.again or differences != status.differences:
        place.write_status(replace(status, state="running", total=plan.total, differences=differences))
    if changed or plan.added or plan.again:
        with place.writer() as writer:
            writer.reopen(plan.again)
            writer.extend(plan.each_setting(new=True), pending(plan.added), changed)
            writer.close(final=plan.done == plan.total)
    place.write_definition(as_yaml(words))
    place.make_cohorts()


def recover(place: SweepFolder) -> None:
    """Remove what stood of cohorts that have ended, and end a sweep all of whose trials have.

    A sweep ends in this order: the file of its last cohort, that cohort's trials in the database, the
    database as one ordinary file, the status. A process may die between any two of these, and nothing is left
    to be trained that would lead to the rest; the same goes for what stood of a cohort that has ended since.

    The caller holds the folder's lock. Raises CheckpointError and FileError.
    """
    with place.results() as results:
        unended, total = results.pending_cohorts(), results.description.total
        over = not unended and sum(results.counts().values()) == total
    for cohort in place.partials():
        if cohort not in unended:
            place.remove_partial(cohort)
    if over and not database.has_checksum(place.database):
        with place.writer() as writer:
            writer.close(final=True)
    status = place.status()
    if over and (status.state != "finished" or status.done != total or status.kept):
        place.write_status(replace(status, state="finished", done=total, total=total, reason="", kept=0))
