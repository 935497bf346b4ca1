"""A sweep from its first trial to its last: found or made in a folder of its own, and carried out there."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from mlprun import engines, schema
from mlprun.config import Text
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError
from mlprun.storage import canonical, provenance
from mlprun.sweeps import folder, search, space
from mlprun.sweeps.checking import Configs
from mlprun.sweeps.plan import Plan
from mlprun.sweeps.session import Ended, Session, pending
from mlprun.training.recorded import as_yaml, code_of
from mlprun.training.signals import StopFlag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        place = _held(definition, out, stack)
        plan = _plan(configs, place)
        _prepare(plan, reporter)
        with StopFlag() as stop:
            launcher = stack.enter_context(elsewhere(plan)) if elsewhere is not None else None
            if place is None:
                place = _created(plan, out, stack)
            else:
                _refresh(plan, place)
            status = place.status()
            if status.state == "finished":
                reporter.begin(place.path, plan, status.done)
                return Ended(place, status, plan)
            with place.writer() as writer:
                session = Session(plan, place, writer, reporter, stop)
                session.fail_fast, session.processes, session.elsewhere = fail_fast, processes, launcher
                return session.carry_out()


def _held(definition: Definition, out: str, stack: ExitStack) -> SweepFolder | None:
    """The folder of this very sweep, its lock held by `stack`; None where there is none."""
    words = stored(definition, _beside(definition, out))
    place = folder.find_same(out, definition.name, digest_of(words))
    if place is not None:
        stack.enter_context(place.lock())
    return place


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


def _prepare(plan: Plan, reporter: Reporter) -> None:
    """Do what is done once before the first trial: refuse a device that is absent, load kernels."""
    for kind in dict.fromkeys(cohort.kind for cohort in plan.cohorts):
        devices.resolve(kind.device)
    for engine, experiment in plan.examples(plan.cohorts):
        engines.named(engine).prepare(experiment, reporter.say)


def _beside(definition: Definition, out: str) -> str:
    """A folder beside the sweep's: as deep, so that paths relative to it hold whatever its number will be."""
    return os.path.join(out, definition.name)


def stored(definition: Definition, place: str) -> dict[str, Any]:
    """The sweep as its folder keeps it: the base written out, paths relative to the folder."""
    data = definition.document.data
    words = {key: _portable(value, key, place) for key, value in data.items() if key not in ("base", "name")}
    return {"name": definition.name, "base": schema.given(definition.base, place), **words}


def _portable(value: Any, key: str, place: str) -> Any:
    """A value of a sweep file as JSON; the values of parameters that are paths are relative to `place`."""
    if isinstance(value, dict):
        return {inner: _portable(item, inner, place) for inner, item in value.items()}
    if isinstance(value, tuple):
        return [_portable(item, key, place) for item in value]
    if isinstance(value, Text):
        path = os.path.join(value.folder, value)
        return os.path.relpath(path, place) if space.is_path(key) else str(value)
    return value


def digest_of(words: Mapping[str, Any]) -> str:
    """What two sweeps with the same trials have in common; objective and success may differ."""
    return canonical.digest({k: v for k, v in words.items() if k not in ("name", "objective", "success")})


def _created(plan: Plan, out: str, stack: ExitStack) -> SweepFolder:
    """A new folder for a sweep, its lock held by `stack`."""
    definition, code = plan.definition, code_of(plan.base)
    words = stored(definition, _beside(definition, out))
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


def _refresh(plan: Plan, place: SweepFolder) -> None:
    """Keep what a continued sweep may say differently: what is good, and when a trial is a success."""
    words = stored(plan.definition, place.path)
    with place.results() as results:
        known, now = asdict(results.description), asdict(replace(plan.description, definition=words))
    if known["figures"] != now["figures"] or known["total"] != now["total"]:
        what = "is of this sweep, and its database holds other trials"
        raise CheckpointError(place.path, what, "run the sweep with another --out")
    changed = [key for key in ("objective", "success", "definition") if known[key] != now[key]]
    if changed:
        place.write_definition(as_yaml(words))
        with place.writer() as writer:
            for key in changed:
                writer.describe(key, now[key])
