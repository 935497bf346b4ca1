"""A sweep from its first trial to its last: in a folder that is made, or found and brought up to it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError
from mlprun.storage import canonical, provenance
from mlprun.sweeps import folder, search
from mlprun.sweeps.checking import Configs
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.session import Ended, Session, pending
from mlprun.sweeps.stored import beside, contains, digest_of, stored
from mlprun.training.recorded import as_yaml, code_of
from mlprun.training.signals import StopFlag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.sweeps.definition import Definition
    from mlprun.sweeps.folder import SweepFolder
    from mlprun.sweeps.launchers import Launcher
    from mlprun.sweeps.session import Reporter


_SAID = ("objective", "success", "definition", "total", "scales", "history")
"""what a continued sweep may say differently than before"""


def run(
    definition: Definition,
    *,
    out: str,
    reporter: Reporter,
    allow_code: bool = False,
    fail_fast: bool = False,
    processes: bool = False,
    elsewhere: Callable[[Plan], Launcher] | None = None,
) -> Ended:
    """Run a sweep in a new folder below `out`, or go on with the one that is there.

    With `processes`, trials of engines that run in Python are trained in processes of their own, where there
    is enough to do for them; these import the main module, which must not run a sweep when it is imported.
    `elsewhere` makes the launcher that trains all trials instead, see `launchers`.

    Raises ConfigError with the problems of all trials, UsageError, DataError and DeviceError before a folder
    exists; RunInUseError; FileError; with `fail_fast` DivergedError or CheckFailedError after saving.
    """
    configs = Configs(definition, allow_code=allow_code)
    with ExitStack() as stack:
        place = _held(configs, out, stack)
        plan = _plan(configs, place)
        is_over = place is not None and _is_over(place, plan)
        if not is_over:
            _prepare(plan, reporter)
        with StopFlag() as stop:
            if place is None:
                launcher = stack.enter_context(elsewhere(plan)) if elsewhere is not None else None
                place = _created(plan, out, stack)
            else:
                _bring_up(plan, place)
                if is_over:
                    status = place.status()
                    reporter.begin(place.path, plan, status.done)
                    return Ended(place, status, plan)
                launcher = stack.enter_context(elsewhere(plan)) if elsewhere is not None else None
            with place.writer() as writer:
                session = Session(plan, place, writer, reporter, stop)
                session.fail_fast, session.processes, session.elsewhere = fail_fast, processes, launcher
                return session.carry_out()


def look(definition: Definition, *, out: str, allow_code: bool = False) -> tuple[Plan, SweepFolder | None]:
    """What `run` would do, and the folder that it would go on with. Raises as it does before one exists."""
    configs = Configs(definition, allow_code=allow_code)
    place = _find(configs, out)
    return _plan(configs, place), place


def _held(configs: Configs, out: str, stack: ExitStack) -> SweepFolder | None:
    """The folder that a sweep goes on in, its lock held by `stack`; None where it needs a new one."""
    while (place := _find(configs, out)) is not None:
        lock = place.lock()
        if _find(configs, out) == place:  # and was not made another sweep meanwhile
            stack.enter_context(lock)
            return place
        lock.release()
    return None


def _find(configs: Configs, out: str) -> SweepFolder | None:
    """The newest folder of the same sweep or, where there is none, of one that it contains."""
    definition, first = configs.definition, configs.base.training.seed
    words = stored(definition, beside(definition, out))
    digest, contained = digest_of(words), None
    for place in folder.named(out, definition.name):
        then = _words(place, digest)
        if then is not None and digest_of(then) == digest:
            return place
        if then is not None and contains(words, then, first):
            if contains(then, words, first):
                return place
            contained = contained or place
    return contained


def _words(place: SweepFolder, digest: str) -> Mapping[str, Any] | None:
    """What a folder says its sweep is; None where it cannot be read. That of `digest` must be readable."""
    try:
        with place.results() as results:
            return results.description.definition
    except CheckpointError:
        if place.record().get("sweep_digest") == digest:
            raise
        return None


def _plan(configs: Configs, place: SweepFolder | None) -> Plan:
    """The plan of a sweep, with the first round of a search where nothing was asked for yet."""
    definition = configs.definition
    if place is None:
        plan = Plan(definition, configs=configs)
    else:
        with place.results() as results:
            plan = Plan(definition, configs=configs, known=results)
    if plan.sweep.search is not None and not plan.settings:
        plan.extend(search.first(definition))
    return plan


def _is_over(place: SweepFolder, plan: Plan) -> bool:
    """Whether nothing is left to do."""
    status = place.status()
    return status.state == "finished" and status.done == plan.total


def _prepare(plan: Plan, reporter: Reporter) -> None:
    """Do what is done once before the first trial: refuse a device that is absent, load kernels."""
    for kind in dict.fromkeys(cohort.kind for cohort in plan.cohorts):
        devices.resolve(kind.device)
    for engine, experiment in plan.examples(plan.cohorts):
        engines.named(engine).prepare(experiment, reporter.say)


def _created(plan: Plan, out: str, stack: ExitStack) -> SweepFolder:
    """A new folder for a sweep, its lock held by `stack`."""
    definition, code = plan.definition, code_of(plan.base)
    words = stored(definition, beside(definition, out))
    record = {
        "name": definition.name,
        "sweep_digest": digest_of(words),
        "trials": plan.total,
        "code": {name: canonical.digest(data.hex()) for name, data in code.items()},
        **provenance.environment(),
    }
    description = replace(plan.description, definition=words)
    contents = folder.Contents(as_yaml(words), record, description, plan.settings, pending(plan.cohorts))
    place, lock = folder.create(out, definition.name, contents)
    stack.enter_context(lock)
    return place


def _bring_up(plan: Plan, place: SweepFolder) -> None:
    """Let a folder hold what a continued sweep has more, and what it says differently.

    The database changes as a whole, and is what counts: sweep.yaml follows it, and where a process dies
    between the two, the next one that continues lets it follow. Raises CheckpointError.
    """
    words = stored(plan.definition, place.path)
    with place.results() as results:
        known, now = asdict(results.description), asdict(replace(plan.description, definition=words))
    if known["figures"] != now["figures"]:
        what = "is of this sweep, and its database holds other figures"
        raise CheckpointError(place.path, what, "run the sweep with another --out")
    changed = {key: now[key] for key in _SAID if known[key] != now[key]}
    if known["total"] != now["total"]:
        place.write_status(replace(place.status(), state="running", total=plan.total))
    if changed or plan.added:
        with place.writer() as writer:
            writer.extend(plan.new_settings, pending(plan.added), changed)
            writer.close(final=plan.done == plan.total)
    place.write_definition(as_yaml(words))
