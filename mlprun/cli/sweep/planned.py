"""What a sweep would run, without running it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mlprun.cli.sweep.remarks import of_search

if TYPE_CHECKING:
    from mlprun.sweeps.plan import Plan


def described(plan: Plan, folder: str | None, done: int) -> dict[str, Any]:
    """The document of `--dry-run`; `folder` is that of a sweep that goes on, with so many trials done."""
    from mlprun.sweeps.workshop import cores

    cost, description = plan.cost, plan.description
    engines = Counter[str]()
    for cohort in plan.cohorts:
        engines[cohort.kind.engine] += len(cohort.members)
    search = plan.sweep.search
    # a search knows its first rounds: the others are taken to be like them
    rounds = 1 if search is None else -(-search.trials // search.batch)
    begun = 1 if search is None else -(-len(plan.settings) // search.batch)
    known, left = sum(engines.values()), 1 - done / plan.total
    return {
        "name": description.name,
        "sweep": folder,
        "done": done,
        "trials": plan.total,
        "settings": plan.total // (len(plan.seeds) * (plan.folds or 1)),
        "seeds": len(plan.seeds),
        "folds": plan.folds,
        "parameters": list(description.parameters),
        "figures": list(description.figures),
        "objective": dict(description.objective),
        "success": description.success and description.success["text"],
        "search": search and {"name": search.name, "rounds": rounds, "batch": search.batch},
        "rungs": list(plan.rungs),
        "cohorts": len(plan.cohorts) * rounds // begun,
        "engines": {name: round(plan.total * count / known) for name, count in engines.items()},
        "cores": cores(),
        "estimate": {
            "core_seconds": left * cost.seconds,
            "seconds": left * cost.seconds / cores(),
            "bytes_of_a_cohort": cost.bytes,
        },
    }


def told(plan: Plan, folder: str | None, done: int) -> str:
    """The same in a few lines."""
    said = described(plan, folder, done)
    folds = f" × {said['folds']} folds" if said["folds"] else ""
    engines = ", ".join(f"{count} on {engine}" for engine, count in said["engines"].items())
    cohorts = "1 cohort" if said["cohorts"] == 1 else f"{said['cohorts']} cohorts"
    search = said["search"]
    rounds = f", asked for in {_count(search['rounds'], 'round')}" if search else ""
    going = "" if folder is None else f"\n{going_on(folder, done, plan.total)}"
    epochs = ", ".join(map(str, said["rungs"]))
    pruned = f"the better ones go on from epochs {epochs}\n" if epochs else ""
    remarks = "".join(f"{text}\n" for text in of_search(plan))
    return (
        f"{_count(said['trials'], 'trial')}: {_count(said['settings'], 'setting')} × "
        f"{_count(said['seeds'], 'seed')}{folds}{rounds}\n{pruned}{remarks}"
        f"{cohorts}, {engines}, {_count(said['cores'], 'core')}\n"
        f"about {duration(said['estimate']['seconds'])} and "
        f"{said['estimate']['bytes_of_a_cohort'] / 1e6:.3g} MB of curves and weights at a time{going}"
    )


def going_on(folder: str, done: int, total: int) -> str:
    """Where a sweep goes on, and how far it is."""
    if done == total:
        return f"all {done:,} trials of {folder} have ended before; nothing is left to do"
    return f"goes on with {folder}: {done:,} of its {total:,} trials are there"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time that is only roughly known."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, round(seconds))} s"
