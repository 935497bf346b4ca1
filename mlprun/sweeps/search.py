"""Settings that are asked for round by round: of Optuna, which knows how earlier rounds came out, or drawn.

A round is a function of the sweep file and of what the database says of earlier rounds, so that a sweep that
is continued asks the same. Sources: Bergstra et al. (2011), Algorithms for hyper-parameter optimization;
Akiba et al. (2019), doi.org/10.1145/3292500.3330701
"""

from __future__ import annotations

import itertools
import operator
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import extras, randomness
from mlprun.sweeps import paths, space
from mlprun.sweeps.objective import objective, score

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlprun.sweeps.database import Results
    from mlprun.sweeps.definition import Definition, Draw, Search, Sweep
    from mlprun.sweeps.space import Point

_ROUNDS = zlib.crc32(b"rounds")
"""where the seeds of rounds stand among the draws of a space"""
ASKED = 4
"""times as many settings are asked of Optuna as there is room for, at most, while it repeats itself"""


class Ended(NamedTuple):
    """A setting whose trials have ended; of a score small is good and infinity worst."""

    values: Mapping[str, Any]
    score: float
    pruned_at: int | None = None
    """the epoch where it was pruned, which `score` then is of"""


def first(definition: Definition) -> list[Point]:
    """The settings of the first round. Raises UsageError where Optuna is not installed."""
    return _ask(definition, ())


def following(definition: Definition, results: Results) -> list[Point]:
    """The settings of the round after those that have ended; none after the last."""
    description, settings = results.description, sorted(results.settings(), key=operator.attrgetter("id"))
    grouped = itertools.groupby(results.each(by_setting=True), key=operator.attrgetter("setting"))
    reached = {number: objective(description, list(trials)) for number, trials in grouped}
    pruned = {one.setting: one for one in results.rungs() if not one.promoted}
    before, after = description.paths, paths.lists(definition.sweep)
    ended = []
    for setting in settings:
        rung = pruned.get(setting.id)
        value = reached.get(setting.id) if rung is None else rung.objective
        chosen = paths.reworded(setting, before, after).values
        ended.append(Ended(chosen, score(description, value), None if rung is None else rung.epoch))
    return _ask(definition, ended)


def _ask(definition: Definition, known: Sequence[Ended]) -> list[Point]:
    """The next round, given the settings of earlier ones by number."""
    search = definition.sweep.search
    assert search is not None
    if search.name == "tpe":
        extras.need("optuna", where="search")
    count = min(search.batch, search.trials - len(known))
    if count < 1:
        return []
    if search.name == "random":
        asked = space.sampled(definition.sweep, search.seed, count, len(known))
    else:
        asked = _ask_optuna(definition, search, count, known)
    return [space.point(definition, number, one) for number, one in enumerate(asked, start=len(known) + 1)]


def _ask_optuna(
    definition: Definition, search: Search, count: int, known: Sequence[Ended]
) -> list[dict[str, Any]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    (share,) = randomness.uniforms(
        search.seed, randomness.Purpose.SPACE, 1, epoch=_ROUNDS, step=len(known)
    ).tolist()
    # settings of one round do not see each other's results: a liar keeps them apart
    sampler = optuna.samplers.TPESampler(seed=int(share * 2**32), constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    ranges = {key: _range(draw) for key, draw in definition.sweep.random.items()}
    for one in known:
        came: dict[str, Any] = {"value": one.score}
        if one.pruned_at is not None:
            pruned = optuna.trial.TrialState.PRUNED
            came = {"state": pruned, "intermediate_values": {one.pruned_at: one.score}}
        drawn = space.drawn(definition.sweep, one.values)
        study.add_trial(optuna.trial.create_trial(params=drawn, distributions=ranges, **came))
    return _new(definition.sweep, known, (study.ask(ranges).params for _ in range(ASKED * count)), count)


def _new(
    sweep: Sweep, known: Sequence[Ended], asked: Iterable[dict[str, Any]], count: int
) -> list[dict[str, Any]]:
    """So many of the settings asked for that are not known; draws where these keep coming back."""
    assert sweep.search is not None
    seen = {tuple(space.drawn(sweep, one.values).values()) for one in known}
    drawn = space.sampled(sweep, sweep.search.seed, len(known) + count)
    found: list[dict[str, Any]] = []
    for one in itertools.chain(asked, drawn):
        key = tuple(one[name] for name in sweep.random)
        if key not in seen:
            seen.add(key)
            found.append(one)
        if len(found) == count:
            break
    return found


def _range(draw: Draw) -> Any:
    """What is drawn from, in Optuna's words; of a choice its places."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if draw.choice is not None:
        return CategoricalDistribution(sorted(set(space.firsts(draw.choice))))
    if draw.integers is not None:
        return IntDistribution(*draw.integers)
    if draw.log_uniform is not None:
        return FloatDistribution(*draw.log_uniform, log=True)
    assert draw.uniform is not None
    return FloatDistribution(*draw.uniform)
