"""A sweep from its first trial to its last: in a folder that is made, or found and brought up to it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.errors import RunInUseError
from mlprun.interrupts import StopFlag
from mlprun.parts.datasets.dataset import shortened
from mlprun.storage import runs
from mlprun.sweeps import continuing, folder, recorded, search
from mlprun.sweeps.checking import Configs
from mlprun.sweeps.continuing import recover
from mlprun.sweeps.outcome import Bad
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.session import Ended, Session, pending
from mlprun.sweeps.stored import beside, digest_of, stored
from mlprun.training.metadata import as_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.folder import SweepFolder
    from mlprun.sweeps.launchers import Launcher
    from mlprun.sweeps.session import Reporter


def run(
    definition: Definition,
    *,
    out: str,
    reporter: Reporter,
    allow_code: bool = False,
    fail_fast: bool = False,
    retry_failed: bool = False,
    processes: bool = False,
    elsewhere: Callable[[Plan], Launcher] | None = None,
) -> Ended:
    """Run a sweep in a new folder below `out`, or go on with the one that is there.

    With `retry_failed` trials that failed are trained again, others of their cohorts kept as they are.
    With `processes`, trials of engines that run in Python are trained in processes of their own, where there
    is enough to do for them; these import the main module, which must not run a sweep when it is imported.
    `elsewhere` makes the launcher that trains all trials instead, see `launchers`.

    Raises ConfigError with the problems of all trials, UsageError, DataError and DeviceError before a folder
    exists; DataError for rows that changed under a sweep; CheckpointError; RunInUseError; FileError; with
    `fail_fast` DivergedError or CheckFailedError after saving.
    """
    configs = Configs(continuing.as_started(definition, out), allow_code=allow_code)
    with ExitStack() as stack:
        place = continuing.held(configs, out, stack, reporter.say)
        if place is not None:
            recover(place)
        plan, _, found, said, is_over = _outlook(configs, place, retry_failed=retry_failed)
        if place is not None and is_over:
            continuing.bring_up(plan, place)
            status = place.status()
            reporter.begin(place.path, plan, status.done)
            if fail_fast:
                _fail_at_bad(place)
            return Ended(place, status, plan)
        for line in said:
            reporter.say(line)
        _prepare(plan, reporter)
        with StopFlag() as stop:
            launcher = stack.enter_context(elsewhere(plan)) if elsewhere is not None else None
            if place is None:
                place = _created(configs, plan, out, stack)
            else:
                continuing.bring_up(plan, place, found)
            with place.writer() as writer:
                session = Session(plan, place, writer, reporter, stop)
                session.fail_fast, session.retry_failed = fail_fast, retry_failed
                session.places.processes, session.places.elsewhere = processes, launcher
                return session.carry_out()


def _fail_at_bad(place: SweepFolder) -> None:
    """End with the first trial that diverged or failed, if there is one."""
    with place.results() as results:
        bad = Bad.recorded(results)
    if bad is not None:
        raise bad.error_in(place.path)


class Outlook(NamedTuple):
    """What a sweep is to do: its plan and, where it goes on with one, the folder of that."""

    plan: Plan
    place: SweepFolder | None
    differences: Sequence[str] = ()
    """what is not as it was when the folder's sweep was started"""
    said: Sequence[str] = ()
    """lines that a user should see"""
    is_over: bool = False
    """whether nothing is left to do"""


def look(
    definition: Definition, *, out: str, allow_code: bool = False, retry_failed: bool = False
) -> Outlook:
    """What `run` would do. Raises as it does before there is a folder."""
    configs = Configs(continuing.as_started(definition, out), allow_code=allow_code)
    return _outlook(configs, continuing.find(configs, out), retry_failed=retry_failed)


def _outlook(configs: Configs, place: SweepFolder | None, *, retry_failed: bool) -> Outlook:
    if place is None:
        return Outlook(_plan(configs, None), None)
    again = continuing.again(place, retry_failed=retry_failed)
    plan = _plan(configs, place, again.trials)
    found = continuing.differences(plan, place)
    if continuing.is_over(place, plan):
        return Outlook(plan, place, is_over=True)
    warned = f"this may not end with the bytes of an undisturbed sweep: {'; '.join(found)}"
    return Outlook(plan, place, found, [*([warned] if found else []), *again.said])


def _plan(configs: Configs, place: SweepFolder | None, again: frozenset[int] = frozenset()) -> Plan:
    """The plan of a sweep, with the first round of a search where nothing was asked for yet."""
    definition = configs.definition
    if place is None:
        plan = Plan(definition, configs=configs)
    else:
        with place.results() as results:
            plan = Plan(definition, configs=configs, known=results, again=again)
    if plan.sweep.search is not None and not plan.settings:
        plan.extend(search.first(definition))
    return plan


def _prepare(plan: Plan, reporter: Reporter) -> None:
    """Do what is done once before the first trial: warn of data, refuse an absent device, load kernels."""
    warnings = dict.fromkeys(one for made in plan.configs.prototypes for one in made.warnings)
    for warning in shortened(warnings):
        reporter.say(f"warning: {warning}")
    for kind in dict.fromkeys(cohort.kind for cohort in plan.cohorts):
        devices.resolve(kind.device)
    for engine, experiment in plan.examples(plan.cohorts):
        engines.named(engine).warm_up(experiment, reporter.say)


def _created(configs: Configs, plan: Plan, out: str, stack: ExitStack) -> SweepFolder:
    """A new folder for a sweep, its lock held by `stack`; RunInUseError where another process was faster."""
    definition = plan.definition
    words = stored(definition, beside(definition, out))
    record = {
        "name": definition.name,
        "sweep_digest": digest_of(words),
        "trials": plan.total,
        **recorded.surroundings(plan),
    }
    rows = recorded.rows(plan, beside(definition, out))
    description = replace(plan.description, definition=words, rows=rows)
    while True:
        # chosen before the last look: who makes such a folder after it takes this name first
        final = runs.next_free(out, definition.name)
        if (faster := continuing.held(configs, out, stack)) is not None:
            what = "was made by another process meanwhile"
            raise RunInUseError(faster.path, what, "the same command goes on with it")
        contents = folder.Contents(
            as_yaml(words), record, description, plan.each_setting(), pending(plan.cohorts)
        )
        with suppress(FileExistsError):
            place, lock = folder.create(final, definition.name, contents)
            stack.enter_context(lock)
            return place
