"""What a sweep would run, without running it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.sweeps.plan import Plan


def described(plan: Plan) -> dict[str, Any]:
    """The document of `--dry-run`."""
    from mlprun.sweeps.workshop import cores

    cost, description = plan.cost, plan.description
    engines = Counter[str]()
    for cohort in plan.cohorts:
        engines[cohort.kind.engine] += len(cohort.members)
    search = plan.sweep.search
    # a search knows its first round: the others are taken to be like it
    rounds = 1 if search is None else -(-search.trials // search.batch)
    known = sum(engines.values())
    return {
        "name": description.name,
        "trials": plan.total,
        "settings": plan.total // (len(plan.seeds) * (plan.folds or 1)),
        "seeds": len(plan.seeds),
        "folds": plan.folds,
        "parameters": list(description.parameters),
        "figures": list(description.figures),
        "objective": dict(description.objective),
        "success": description.success and description.success["text"],
        "search": search and {"name": search.name, "rounds": rounds, "batch": search.batch},
        "cohorts": len(plan.cohorts) * rounds,
        "engines": {name: round(plan.total * count / known) for name, count in engines.items()},
        "cores": cores(),
        "estimate": {
            "core_seconds": cost.seconds,
            "seconds": cost.seconds / cores(),
            "bytes_of_a_cohort": cost.bytes,
        },
    }


def told(plan: Plan) -> str:
    """The same in a few lines."""
    said = described(plan)
    folds = f" × {said['folds']} folds" if said["folds"] else ""
    engines = ", ".join(f"{count} on {engine}" for engine, count in said["engines"].items())
    cohorts = "1 cohort" if said["cohorts"] == 1 else f"{said['cohorts']} cohorts"
    search = said["search"]
    rounds = f", asked for in {_count(search['rounds'], 'round')}" if search else ""
    return (
        f"{_count(said['trials'], 'trial')}: {_count(said['settings'], 'setting')} × "
        f"{_count(said['seeds'], 'seed')}{folds}{rounds}\n"
        f"{cohorts}, {engines}, {_count(said['cores'], 'core')}\n"
        f"about {duration(said['estimate']['seconds'])} and "
        f"{said['estimate']['bytes_of_a_cohort'] / 1e6:.3g} MB of curves and weights at a time"
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time that is only roughly known."""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, round(seconds))} s"
