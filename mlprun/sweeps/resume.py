"""The folder that a sweep resumes in: found, locked, compared with the sweep, and extended."""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlprun import files, schema
from mlprun.config.tree import ConfigStr, Node
from mlprun.engines import device as devices
from mlprun.errors import CheckpointError, DataError, FileError
from mlprun.storage import canonical, checkpoints, provenance
from mlprun.sweeps import database, folder, space
from mlprun.sweeps.definition import Definition, Sweep
from mlprun.sweeps.plan import Plan, pending_trials
from mlprun.training.metadata import as_yaml, code_of, device_kind, differing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mlprun.experiment import Experiment
    from mlprun.sweeps.configs import Configs
    from mlprun.sweeps.folder import SweepFolder

    OnMessage = Callable[[str], None]

_MUTABLE = ("objective", "success", "definition", "total", "scales", "history", "rows")
"""fields of the description that may change when a sweep is resumed"""


def _ignore(_: str) -> None:
    pass


# ---- the sweep file as the folder keeps it


def sibling(definition: Definition, out: str) -> str:
    """Return a path beside the sweep's folder, whose number is not known yet: relative paths are the same."""
    return os.path.join(out, definition.name)


def serialize(definition: Definition, path: str) -> dict[str, Any]:
    """Return the content of sweep.yaml for a folder: the base written out, paths relative to the folder."""
    data = definition.document.data
    content = {key: _portable(value, key, path) for key, value in data.items() if key not in ("base", "name")}
    for key, draw in data.get("random", {}).items():
        content["random"][key] = {kind: _portable(value, key, path) for kind, value in draw.items()}
    return {"name": definition.name, "base": schema.explicit_values(definition.base, path), **content}


def _portable(value: Any, key: str, path: str) -> Any:
    if isinstance(value, dict):
        return {inner: _portable(item, inner, path) for inner, item in value.items()}
    if isinstance(value, tuple):
        return [_portable(item, key, path) for item in value]
    if isinstance(value, ConfigStr):
        return os.path.relpath(os.path.join(value.folder, value), path) if space.is_path(key) else str(value)
    return value


def sweep_digest(content: Mapping[str, Any]) -> str:
    """Return a digest that sweeps with the same trials share."""
    free = _irrelevant_keys(content.get("search"), content.get("objective") or {})
    return canonical.digest({key: value for key, value in content.items() if key not in free})


def _irrelevant_keys(search: Mapping[str, Any] | None, objective: Mapping[str, Any]) -> set[str]:
    """Return the keys that do not affect which trials there are: a search that learns uses the objective."""
    if search is None or (search.get("name") == "random" and search.get("pruner") is None):
        return {"name", "objective", "success"}
    return {"name"} if objective.get("aggregate") == "success" else {"name", "success"}


def contains(now: Mapping[str, Any], then: Mapping[str, Any], first_seed: int) -> bool:
    """Return True if a sweep has every trial of another; counted seeds begin with `first_seed`."""
    try:
        one, other = (Sweep.model_validate_json(json.dumps({**part, "base": None})) for part in (now, then))
    except ValidationError:  # of another version of mlprun
        return False
    seeds = [
        set(range(first_seed, first_seed + sweep.seeds) if isinstance(sweep.seeds, int) else sweep.seeds)
        for sweep in (one, other)
    ]
    return (
        canonical.digest(now.get("base")) == canonical.digest(then.get("base"))
        and _fixed_part(one) == _fixed_part(other)
        and seeds[0] >= seeds[1]
        and _contains_settings(one, other)
    )


def _fixed_part(sweep: Sweep) -> str:
    search = None if sweep.search is None else sweep.search.model_dump()
    free = _irrelevant_keys(search, sweep.objective.model_dump())
    excluded = dict.fromkeys((*free, "base", "seeds", "grid", "paired", "trials"), True)
    return canonical.encode(sweep.model_dump(exclude={**excluded, "search": {"trials"}}))


def _contains_settings(now: Sweep, then: Sweep) -> bool:
    if now.grid.keys() != then.grid.keys() or now.paired.keys() != then.paired.keys():
        return False
    if space.path_lists(now) or space.path_lists(then):  # which are told apart by position alone
        whole = {"grid", "paired", "trials", "search"}
        one, other = (canonical.encode(sweep.model_dump(include=whole)) for sweep in (now, then))
        return one == other
    pairs = [zip(*(sweep.paired[key] for key in now.paired), strict=True) for sweep in (now, then)]
    return (
        all(_encoded(values) >= _encoded(then.grid[key]) for key, values in now.grid.items())
        and _encoded(pairs[0]) >= _encoded(pairs[1])
        and space.draws(now) >= space.draws(then)
    )


def _encoded(values: Iterable[Any]) -> Counter[str]:
    return Counter(map(canonical.encode, values))


# ---- finding the folder


def with_original_format(definition: Definition, out: str) -> Definition:
    """Return the definition with a base of the format of the folder that it resumes in, if that is older."""
    base = definition.base
    if "format" in base.data:
        return definition
    for version in range(schema.FORMAT - 1, 0, -1):
        old = definition._replace(base=base.with_values({"format": Node(version, base.node(()).position)}))
        try:
            content = serialize(old, sibling(old, out))
            first = int(base.data["training"].get("seed", 0)) if "training" in base.data else 0
        except (ValidationError, TypeError, ValueError, AttributeError):
            return definition  # which is refused with every problem
        found = [_stored(path, content, _ignore) for path in folder.named(out, definition.name)]
        if any(
            sweep_digest(then) == sweep_digest(content) or contains(content, then, first)
            for then, _ in filter(None, found)
        ):
            return old
    return definition


def find_and_lock(
    configs: Configs, out: str, stack: ExitStack, on_message: OnMessage = _ignore
) -> SweepFolder | None:
    """Return the folder that a sweep resumes in, its lock held by `stack`; None if it needs a new one."""
    while (found := find(configs, out, on_message)) is not None:
        with ExitStack() as undo:
            lock = undo.enter_context(found.lock())
            if (
                again := find(configs, out)
            ) is not None and again.path == found.path:  # and did not become another sweep meanwhile
                undo.pop_all()
                stack.enter_context(lock)
                return found
    return None


def find(configs: Configs, out: str, on_message: OnMessage = _ignore) -> SweepFolder | None:
    """Return the newest folder of the same sweep, or the fullest of one that it contains.

    The fullest has the most trials that have ended; of several, the newest. A folder that cannot be read is
    reported and skipped, unless it is the very one that is wanted.
    """
    definition, first = configs.definition, configs.base.training.seed
    content = serialize(definition, sibling(definition, out))
    digest, contained, most = sweep_digest(content), None, -1
    for candidate in folder.named(out, definition.name):
        stored = _stored(candidate, content, on_message)
        if stored is None:
            continue
        then, ended = stored
        if sweep_digest(then) == digest:
            return candidate
        if contains(content, then, first):
            if contains(then, content, first):
                return candidate
            if ended > most:
                contained, most = candidate, ended
    return contained


def _stored(
    found: SweepFolder, wanted: Mapping[str, Any], on_message: OnMessage
) -> tuple[Mapping[str, Any], int] | None:
    """Return the definition in a folder and the number of ended trials; None if it cannot be read."""
    try:
        with found.results() as results:
            counts = results.counts()
            return results.description.definition, sum(counts.values()) - counts["pending"]
    except (CheckpointError, FileError) as error:
        was = None
        with suppress(CheckpointError):
            was = found.record().get("sweep_digest")  # before it was extended, if it was
        if was == sweep_digest(wanted) or found.has_definition(as_yaml(wanted).encode()):
            raise
        on_message(f"warning: {error.where}: {error.what}; it is passed over")
        return None


# ---- comparing it with the sweep


def trials_to_retrain(found: SweepFolder, *, retry_failed: bool) -> tuple[frozenset[int], list[str]]:
    """Return the trials whose cohort's file is missing or truncated and, if wanted, those that failed.

    The second value says why, in lines for the user.
    """
    with found.results() as results:
        ended = results.cohorts(pending=False)
        lost = dict.fromkeys(one for one in ended if not checkpoints.is_complete(found.cohort(one)))
        if not lost and not retry_failed:
            return frozenset(), []
        trials = [one for one in results.planned() if one.status != "pending"]
    messages, counts = [], Counter(one.cohort for one in trials)
    for number in lost:
        path = found.cohort(number)
        what = "is missing" if files.kind(path) is None else "is damaged: it is not as long as it says"
        messages.append(f"{path} {what}; trials to be trained again: {counts[number]:,}")
    failed = [one.id for one in trials if retry_failed and one.status == "failed" and one.cohort not in lost]
    if failed:
        messages.append(f"failed trials to be trained again: {len(failed):,}")
    return frozenset([*failed, *(one.id for one in trials if one.cohort in lost)]), messages


def environment(plan: Plan) -> dict[str, Any]:
    """Return what may affect a sweep's bits and is not in its config, for run.json."""
    requested = dict.fromkeys(cohort.kind.device for cohort in plan.cohorts)
    code = code_of(plan.base)
    return {
        "code": {name: canonical.digest(data.hex()) for name, data in code.items()},
        "devices": {name: device_kind(devices.resolve(name)) for name in requested},
        **provenance.environment(),
    }


def differences(plan: Plan, found: SweepFolder) -> list[str]:
    """Return what differs from when the sweep was started.

    Raises DataError for other rows, CheckpointError if values lead to other metrics.
    """
    record, now = found.record(), environment(plan)
    # what is swept later may need devices that the record could not know
    then = record.get("devices", {})
    known = {name: kind for name, kind in now["devices"].items() if name in then}
    different = differing(record, {**now, "devices": {**then, **known}})
    with found.results() as results:
        if results.description.figures != plan.description.figures:
            what = "is of this sweep, and its database holds other figures"
            raise CheckpointError(found.path, what, "run the sweep with another --out")
        digests = results.description.rows
    for key, experiment in _experiments_by_data(plan, found.path):
        if key in digests and experiment.digest() != digests[key]:
            path = getattr(experiment.config.dataset, "path", None)
            if path is None and different:
                different.append("the generated rows were others")  # as what generates them differs
                break
            what = "its rows are no longer those that the sweep was started with"
            remedy = "put the former data back, or run the sweep on this one with another --out"
            raise DataError(path or "dataset", what, remedy)
    return different


def row_digests(plan: Plan, path: str) -> dict[str, str]:
    """Return digests of the rows of a sweep's data by digests of their config, for a folder at `path`."""
    return {key: experiment.digest() for key, experiment in _experiments_by_data(plan, path)}


def _experiments_by_data(plan: Plan, path: str) -> Iterator[tuple[str, Experiment]]:
    for experiment in plan.configs.prototypes:
        config = experiment.config
        dataset = schema.dump(config, path)["dataset"]
        loss, architecture = config.loss.name, config.architecture
        yield canonical.digest([dataset, loss, config.training.dtype, architecture.vocabulary]), experiment


# ---- changing it


def is_finished(found: SweepFolder, plan: Plan) -> bool:
    """Return True if nothing is left to do."""
    return found.status().state == "finished" and plan.done == plan.total


def extend(
    plan: Plan, found: SweepFolder, different: Sequence[str] = (), on_message: OnMessage = _ignore
) -> None:
    """Add what a resumed sweep has more to its folder, and update what it describes differently.

    The database changes in one transaction, and is what counts: sweep.yaml follows it, and if a process dies
    between the two, the next one that resumes the sweep writes it. A sweep.yaml that was edited is kept as
    sweep.edited.yaml.
    """
    content = serialize(plan.definition, found.path)
    with found.results() as results:
        known, now = asdict(results.description), asdict(replace(plan.description, definition=content))
    edited = found.edit_warning(known["definition"])
    if edited is not None:
        on_message(f"warning: {edited}")
    if known["rows"]:  # a folder without row digests may have trials with others
        now["rows"] = {**row_digests(plan, found.path), **known["rows"]}
    changed = {key: now[key] for key in _MUTABLE if known[key] != now[key]}
    status = found.status()
    reasons = tuple(dict.fromkeys((*status.differences, *different)))
    if known["total"] != now["total"] or plan.again or reasons != status.differences:
        found.write_status(replace(status, state="running", total=plan.total, differences=reasons))
    if "definition" in changed and edited is None:
        found.keep_definition()
    if changed or plan.added or plan.again:
        with found.writer() as writer:
            writer.reopen(plan.again)
            writer.extend(plan.settings[plan.n_known :], pending_trials(plan.added), changed)
            writer.close(final=plan.done == plan.total)
    found.write_definition(as_yaml(content), keep_edited=edited is not None)
    found.make_cohorts()


def recover_interrupted(found: SweepFolder) -> None:
    """Remove partial files of cohorts that have ended, and finish a sweep all of whose trials have.

    A sweep ends in this order: the file of its last cohort, that cohort's trials in the database, the
    database as one ordinary file, the status. A process may die between any two of these, and nothing is left
    to train that would lead to the rest; the same goes for partial files of cohorts that have ended since.

    The caller holds the folder's lock. Raises CheckpointError and FileError.
    """
    with found.results() as results:
        pending, total = results.cohorts(pending=True), results.description.total
        counts = results.counts()
        is_over = not counts["pending"] and sum(counts.values()) == total
    for cohort in found.partials():
        if cohort not in pending:
            found.remove_partial(cohort)
    if is_over and not database.has_checksum(found.database):
        with found.writer() as writer:
            writer.close(final=True)
    status = found.status()
    if is_over and (status.state != "finished" or status.done != total or status.kept):
        found.write_status(replace(status, state="finished", done=total, total=total, reason="", kept=0))
