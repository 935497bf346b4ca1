"""Search: configurations asked for round by round, and pruned before their end by successive halving.

A round is a function of the sweep file and of the results of earlier rounds in the database, so that a sweep
that is resumed asks for the same. Sources: Bergstra et al. (2011), Algorithms for hyper-parameter
optimization; Akiba et al. (2019), doi.org/10.1145/3292500.3330701

Successive halving: the rungs are at `min_epochs` and at each `reduction_factor` times as many epochs. A
configuration is promoted at a rung if it is among the best share of one in `reduction_factor` of all that
reached the rung, in this round and in earlier ones; the best always is. All configurations of a round are
compared together, so the order in which they are trained does not matter. A configuration whose trials have
all ended before, by early stopping say, is compared by its end. Sources: Jamieson and Talwalkar (2016),
Non-stochastic best arm identification and hyperparameter optimization; Li et al. (2020), A system for
massively parallel hyperparameter tuning, whose rule for the last to arrive at a rung is used.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import extras, randomness
from mlprun.errors import UsageError, first_line
from mlprun.storage import canonical
from mlprun.sweeps import space
from mlprun.sweeps.objective import objective, score
from mlprun.sweeps.schema import Description, Rung, Trial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlprun.sweeps.database import Results
    from mlprun.sweeps.definition import Definition, Draw, Pruner, Search, Sweep
    from mlprun.sweeps.space import Candidate

_ROUNDS = zlib.crc32(b"rounds")
"""the key of the seeds of rounds among the draws of a space"""
MAX_ASKS = 4
"""times as many configurations are asked of Optuna as there is room for, at most, while it repeats itself"""
RUNGS_FROM = 100
"""the first rung is by default at one in so many epochs"""


class Observation(NamedTuple):
    """A configuration whose trials have ended; the lower the score the better, infinity is the worst."""

    values: Mapping[str, Any]
    score: float
    pruned_at: int | None = None
    """the epoch at which it was pruned, whose score it has"""


def first_round(definition: Definition) -> list[Candidate]:
    """Return the configurations of the first round. Raises UsageError if Optuna is not installed."""
    return _ask(definition, ())


def next_round(definition: Definition, results: Results) -> list[Candidate]:
    """Return the configurations of the next round, given all that have ended; none after the last round."""
    with results.snapshot():
        description = results.description
        rungs = {one.setting: one for one in results.rungs() if not one.promoted}
        trials = itertools.groupby(results.each(by_setting=True), key=operator.attrgetter("setting"))
        scores = {setting: score(description, objective(description, list(own))) for setting, own in trials}
        settings = results.settings()
    before, now = description.paths, space.path_lists(definition.sweep)
    scores |= {setting: score(description, rung.objective) for setting, rung in rungs.items()}
    known = [
        Observation(
            space.with_paths(one, before, now).values,
            scores.get(one.id, math.inf),
            rungs[one.id].epoch if one.id in rungs else None,
        )
        for one in settings
    ]
    return _ask(definition, known)


def _ask(definition: Definition, known: Sequence[Observation]) -> list[Candidate]:
    """Return the next round, given the configurations of earlier ones by number."""
    search = definition.sweep.search
    assert search is not None
    if search.name == "tpe":
        extras.need("optuna", where="search")
    count = min(search.batch, search.trials - len(known))
    if count < 1:
        return []
    if search.name == "random":
        asked = space.sample(definition.sweep, search.seed, count, len(known))
    else:
        asked = _ask_optuna(definition, search, count, known)
    numbered = enumerate(asked, start=len(known) + 1)
    return [space.candidate(definition, number, one) for number, one in numbered]


def _ask_optuna(
    definition: Definition, search: Search, count: int, known: Sequence[Observation]
) -> list[dict[str, Any]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    (share,) = randomness.uniforms(
        search.seed, randomness.Purpose.SPACE, 1, epoch=_ROUNDS, step=len(known)
    ).tolist()
    # the configurations of one round do not see each other's results: a liar keeps them apart
    sampler = optuna.samplers.TPESampler(seed=int(share * 2**32), constant_liar=True)
    study = optuna.create_study(sampler=sampler, direction="minimize")
    distributions = {key: _distribution(draw) for key, draw in definition.sweep.random.items()}
    for one in known:
        result: dict[str, Any] = {"value": one.score}
        if one.pruned_at is not None:
            pruned = optuna.trial.TrialState.PRUNED
            result = {"state": pruned, "intermediate_values": {one.pruned_at: one.score}}
        drawn = space.drawn_values(definition.sweep, one.values)
        study.add_trial(optuna.trial.create_trial(params=drawn, distributions=distributions, **result))
    asked = (study.ask(distributions).params for _ in range(MAX_ASKS * count))
    return _distinct(definition.sweep, known, asked, count)


def _distinct(
    sweep: Sweep, known: Sequence[Observation], asked: Iterable[dict[str, Any]], count: int
) -> list[dict[str, Any]]:
    """Return `count` of the asked configurations that are not known, and draws if there are too few."""
    assert sweep.search is not None
    seen = {tuple(space.drawn_values(sweep, one.values).values()) for one in known}
    drawn = space.sample(sweep, sweep.search.seed, len(known) + count)
    distinct: list[dict[str, Any]] = []
    for one in itertools.chain(asked, drawn):
        key = tuple(one[name] for name in sweep.random)
        if key not in seen:
            seen.add(key)
            distinct.append(one)
        if len(distinct) == count:
            break
    return distinct


def _distribution(draw: Draw) -> Any:
    """Return Optuna's distribution of a draw; a choice is over its indices."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if draw.choice is not None:
        return CategoricalDistribution(sorted(set(space.first_indices(draw.choice))))
    if draw.integers is not None:
        return IntDistribution(*draw.bounds)
    return FloatDistribution(*draw.bounds, log=draw.log_uniform is not None)


# ---- the study that shows a search


class Study:
    """An Optuna study in a database that shows a search; the search itself reads nothing of it.

    It has a trial for each configuration that has ended. Raises UsageError for a sweep without a search and a
    database that cannot be used.
    """

    def __init__(self, storage: str, sweep: Sweep) -> None:
        if sweep.search is None:
            what = "is for a search, and this sweep has none"
            raise UsageError("--storage", what, "add `search:` to the sweep, or leave it out")
        extras.need("optuna", where="--storage")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._sweep = optuna, sweep
        try:
            self._storage = optuna.storages.get_storage(storage)
        except Exception as error:
            remedy = "expected the URL of a database, such as sqlite:///optuna.db"
            raise UsageError("--storage", f"cannot be used: {first_line(error)}", remedy) from error

    def update(self, results: Results, path: str) -> str | None:
        """Add the configurations that the study of the sweep at `path` lacks; return an error, or None.

        All configurations have ended.
        """
        try:
            self._add(results, self._open(results.description, os.path.abspath(path)))
        except Exception as error:  # noqa: BLE001 -- of the database's driver
            return f"warning: --storage: {first_line(error)}; the same command adds what is missing"
        return None

    def _open(self, description: Description, folder: str) -> Any:
        maximize = score(description, 1.0) < 0
        study = self._optuna.create_study(
            storage=self._storage,
            study_name=os.path.basename(folder),
            direction="maximize" if maximize else "minimize",
            load_if_exists=True,
        )
        known = study.user_attrs.get("run_folder", folder)
        if known != folder:
            raise ValueError(f"the database has a study {study.study_name} already, that of {known}")
        study.set_user_attr("run_folder", folder)
        return study

    def _add(self, results: Results, study: Any) -> None:
        distributions = {key: self._distribution(draw) for key, draw in self._sweep.random.items()}
        states, description = self._optuna.trial.TrialState, results.description
        rungs: dict[int, list[Rung]] = defaultdict(list)
        for rung in results.rungs():
            rungs[rung.setting].append(rung)
        for setting in results.settings()[len(study.get_trials(deepcopy=False)) :]:
            own = rungs[setting.id]
            value = objective(description, list(results.each("trials.setting = ?", setting.id)))
            state = states.FAIL if value is None else states.COMPLETE
            if own and not own[-1].promoted:
                value, state = None, states.PRUNED
            trial = self._optuna.trial.create_trial(
                params={key: _label(setting.values[key]) for key in distributions},
                distributions=distributions,
                user_attrs={"setting": setting.id},
                intermediate_values={one.epoch: one.objective for one in own if one.objective is not None},
                state=state,
                value=value,
            )
            study.add_trial(trial)

    @staticmethod
    def _distribution(draw: Draw) -> Any:
        """Return Optuna's distribution of a draw; a choice is over its values, lists as text."""
        if draw.choice is None:
            return _distribution(draw)
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(
            [_label(draw.choice[index]) for index in sorted(set(space.first_indices(draw.choice)))]
        )


def _label(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else canonical.encode(value)


# ---- successive halving


def rung_epochs(pruner: Pruner | None, epochs: int) -> tuple[int, ...]:
    """Return the epochs of the rungs before the end."""
    if pruner is None:
        return ()
    epoch = pruner.min_epochs or max(1, epochs // RUNGS_FROM)
    rungs: list[int] = []
    while epoch < epochs:
        rungs.append(epoch)
        epoch *= pruner.reduction_factor
    return tuple(rungs)


def decide_rung(
    pruner: Pruner, epoch: int, trials: Iterable[Trial], before: Iterable[Rung], description: Description
) -> list[Rung]:
    """Return which configurations of a round are promoted at an epoch.

    `trials` are those of the round with the metrics of this epoch, `before` the rungs of earlier rounds.
    """
    by_setting: dict[int, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_setting[trial.setting].append(trial)
    objectives = {setting: objective(description, own) for setting, own in by_setting.items()}
    earlier = [one.objective for one in before if one.epoch == epoch]
    scores = sorted(score(description, value) for value in (*earlier, *objectives.values()))
    # the worst score that is promoted
    bar = scores[max(1, len(scores) // pruner.reduction_factor) - 1] if scores else -math.inf
    return [
        Rung(setting, epoch, value, promoted=value is not None and score(description, value) <= bar)
        for setting, value in sorted(objectives.items())
    ]


def trained_fraction(pruner: Pruner | None, epochs: int) -> float:
    """Return the share of all epochs that is trained if one in `reduction_factor` is always promoted."""
    ends = (0, *rung_epochs(pruner, epochs), epochs)
    lengths = (end - begin for begin, end in itertools.pairwise(ends))
    factor = 1.0 if pruner is None else float(pruner.reduction_factor)
    return sum(length / factor**number for number, length in enumerate(lengths)) / epochs
