"""Settings that are asked for round by round, each round knowing how those before it came out: TPE of Optuna.

A round is a function of the sweep file and of what the database says of earlier rounds, so that a sweep that
is continued asks the same. Sources: Bergstra et al. (2011), Algorithms for hyper-parameter optimization;
Akiba et al. (2019), doi.org/10.1145/3292500.3330701
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from mlprun import extras, randomness
from mlprun.sweeps import space
from mlprun.sweeps.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.sweeps.database import Results
    from mlprun.sweeps.definition import Definition, Draw
    from mlprun.sweeps.space import Point

_ROUNDS = zlib.crc32(b"rounds")
"""where the seeds of rounds stand among the draws of a space"""


def first(definition: Definition) -> list[Point]:
    """The settings of the first round. Raises UsageError where Optuna is not installed."""
    return _ask(definition, ())


def following(definition: Definition, results: Results) -> list[Point]:
    """The settings of the round after those that have ended; none after the last."""
    lines = summarize(results).lines
    scored = [(line.setting.chosen, line.score[0]) for line in sorted(lines, key=lambda one: one.setting.id)]
    return _ask(definition, scored)


def _ask(definition: Definition, known: Sequence[tuple[Mapping[str, Any], float]]) -> list[Point]:
    """The next round, given settings with their scores by number; small is good, infinity worst."""
    extras.need("optuna", where="search")
    search = definition.sweep.search
    assert search is not None
    count = min(search.batch, search.trials - len(known))
    if count < 1:
        return []
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    (share,) = randomness.uniforms(
        search.seed, randomness.Purpose.SPACE, 1, epoch=_ROUNDS, step=len(known)
    ).tolist()
    # settings of one round do not see each other's results: a liar keeps them apart
    sampler = optuna.samplers.TPESampler(seed=int(share * 2**32), constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    ranges = {key: _range(draw) for key, draw in definition.sweep.random.items()}
    for chosen, score in known:
        drawn = space.drawn(definition.sweep, chosen)
        study.add_trial(optuna.trial.create_trial(params=drawn, distributions=ranges, value=score))
    asked = [study.ask(ranges).params for _ in range(count)]
    return [space.point(definition, number, one) for number, one in enumerate(asked, start=len(known) + 1)]


def _range(draw: Draw) -> Any:
    """What is drawn from, in Optuna's words; of a choice its places."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if draw.choice is not None:
        return CategoricalDistribution(range(len(draw.choice)))
    if draw.integers is not None:
        return IntDistribution(*draw.integers)
    if draw.log_uniform is not None:
        return FloatDistribution(*draw.log_uniform, log=True)
    assert draw.uniform is not None
    return FloatDistribution(*draw.uniform)
