"""A config held against a run, another config or a script's curve: whether they agree, and if not, why."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import schema
from mlprun.engines.torch import TorchEngine
from mlprun.errors import DataError
from mlprun.verification.agreement import EPS, GROWTH, SLACK, apart, largest
from mlprun.verification.courses import LOSSES, cast
from mlprun.verification.factors import Factors
from mlprun.verification.traps import ROWS, Explanation, Search, Trap
from mlprun.verification.variants import Variants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlprun.engines import State
    from mlprun.experiment import Experiment
    from mlprun.verification.courses import Course
    from mlprun.verification.rivals import Rival

MATTER = ("dataset", "architecture", "loss", "penalty", "optimizer", "schedule", "training")
"""the sections that make a curve"""
IGNORED = tuple(f"training.{name}" for name in ("epochs", "dtype", "threads", "log_every", "report_every"))
MOST_SETTINGS = 8
CONSTANT = 1e-9
"""of the largest gradient: how far gradients may be from a constant ratio to be said to have one"""


@dataclass(frozen=True, eq=False)
class Held:
    """What came of it: differences are of train_loss in the common epochs."""

    rival: Rival
    rows: int
    difference: float
    bound: float
    """of the row that comes nearest to its own"""
    first_epoch: int | None
    """the first beyond its bound"""
    explanations: tuple[Explanation, ...]
    """the simplest; empty where the curves agree or nothing explains them"""
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the curves are the same, up to rounding."""
        return self.first_epoch is None


def hold(rival: Rival, experiment: Experiment, state: State, courses: tuple[Course, Course]) -> Held:
    """Hold a rival against the config of an experiment in float64 and its start.

    `courses` are the definition's in float64 and float32: how far these are apart says what rounding does.
    Raises DataError where there is no common epoch.
    """
    exact, rounded = (course.history[LOSSES[0]] for course in courses)
    rival = _within(rival, len(exact))
    own = apart({"": exact}, {"": rounded})
    variants = Variants(experiment, state, rival.state, len(exact) + 1)
    notes = tuple(_notes(rival, experiment, state))
    # all digits of a mean may be there though its terms were float32; first it is taken at its word
    for dtype in dict.fromkeys((rival.dtype, "float32") if rival.kind == "curve" else (rival.dtype,)):
        bound = _bound(rival, dtype, own if math.isfinite(own) else 0.0)
        found = _held(replace(rival, dtype=dtype), exact[rival.epochs - 1], bound, variants, notes)
        if found.agrees or found.explanations:
            return found
    return replace(
        found, explanations=_suspicion(exact, rival, bound), notes=(*notes, *_others(rival, experiment))
    )


def _held(
    rival: Rival,
    mine: NDArray[np.float64],
    bound: NDArray[np.float64],
    variants: Variants,
    notes: tuple[str, ...],
) -> Held:
    distance = np.abs(mine - rival.losses)
    beyond = np.flatnonzero(~(distance <= bound))
    worst = int(np.argmax(np.where(np.isnan(distance), np.inf, distance / bound)))
    search = Search(variants, rival, bound, dtype=rival.dtype) if len(beyond) else None
    return Held(
        rival,
        len(mine),
        float(distance[worst]),
        float(bound[worst]),
        int(rival.epochs[beyond[0]]) if len(beyond) else None,
        () if search is None else search.explanations(),
        notes,
    )


def _within(rival: Rival, epochs: int) -> Rival:
    """The rival's epochs up to the last that is compared."""
    chosen = (rival.epochs >= 1) & (rival.epochs <= epochs)
    if not chosen.any():
        what = f"has no loss of an epoch from 1 to {epochs}"
        raise DataError(rival.name, what, "compare more epochs with --steps")
    return replace(
        rival,
        epochs=rival.epochs[chosen],
        losses=rival.losses[chosen],
        printed=rival.printed[chosen],
    )


def _bound(rival: Rival, dtype: str, own: float) -> NDArray[np.float64]:
    """What rounding, and the digits that were written, may make of each loss."""
    grown = own * EPS[dtype] / EPS["float32"]
    return GROWTH * grown + SLACK[dtype] * largest({"": rival.losses}) + rival.printed


def _suspicion(
    exact: NDArray[np.float64], rival: Rival, bound: NDArray[np.float64]
) -> tuple[Explanation, ...]:
    """What differing first losses may mean, where nothing that was tried explains the curve."""
    here, there = float(exact[0]), float(rival.losses[0])
    if rival.state is not None or rival.epochs[0] != 1 or abs(here - there) <= bound[0]:
        return ()
    text = (
        f"the first losses, before any update, are {here:.9g} here and {there:.9g} there: "
        "other initial weights would do that, and so would other rows, batches or layers"
    )
    return (Explanation((Trap("initialisation", text),), None, 0),)


def _others(rival: Rival, experiment: Experiment) -> list[str]:
    """The settings that differ, where the other's are known."""
    if rival.experiment is None:
        return []
    whole = [schema.dump(one.config, ".") for one in (experiment, rival.experiment)]
    configs = [{name: config[name] for name in MATTER} for config in whole]
    here, there = (dict(_flat(config, "")) for config in configs)
    keys = [key for key in {**here, **there} if key not in IGNORED and here.get(key) != there.get(key)]
    more = f" and {len(keys) - MOST_SETTINGS} more" if len(keys) > MOST_SETTINGS else ""
    return [f"the configs differ in {', '.join(keys[:MOST_SETTINGS])}{more}"] if keys else []


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The values of a nested mapping by their dotted keys."""
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{prefix}.{key}" if prefix else key)


def _notes(rival: Rival, experiment: Experiment, state: State) -> list[str]:
    """What is known beside the curves."""
    notes = [] if len(rival.losses) >= ROWS else [f"fewer than {ROWS} common epochs explain nothing"]
    if rival.experiment is None or rival.state is None:
        return notes
    return notes + _of_gradients(rival.experiment, rival.state, experiment, state)


def _of_gradients(other: Experiment, start: State, experiment: Experiment, state: State) -> list[str]:
    """How gradients at the same weights and learning rates compare."""
    if _shapes(start) != _shapes(state):
        return [f"the parameters differ: {_names(start, state)}"]
    rates = [one.config.optimizer.lr for one in (experiment, other)]
    notes = [f"the learning rate is {rates[0]:g} here and {rates[1]:g} there"] if rates[0] != rates[1] else []
    torch = TorchEngine()
    given = [torch.gradients(one, cast(state, "float64"), device="cpu") for one in (experiment, other)]
    here, there = (np.concatenate([array.ravel() for array in gradient.values()]) for gradient in given)
    square = float(here @ here)
    ratio = float(here @ there) / square if square else math.nan
    size = float(np.abs(there).max(initial=0.0))
    if not float(np.abs(there - ratio * here).max(initial=0.0)) <= CONSTANT * size:
        return [*notes, "the first gradients, at the same weights, have no constant ratio"]
    if math.isclose(ratio, 1.0, rel_tol=CONSTANT):
        return notes
    factors = Factors(experiment)
    known = factors.nearest(ratio)
    called = "none of the known factors" if known is None else factors.name(known)
    return [
        *notes,
        f"the first gradients, at the same weights, are {ratio:.6g} times as large there: {called}",
    ]


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in state.model.items()}


def _names(start: State, state: State) -> str:
    here, there = _shapes(state), _shapes(start)
    only = {"here": here.items() - there.items(), "there": there.items() - here.items()}
    return ", ".join(
        f"{name} {list(shape)} only {where}" for where, found in only.items() for name, shape in sorted(found)
    )
