"""Successive halving: settings are trained a few epochs at first, and only the better ones any further.

The rungs stand at `min_epochs` and at each `reduction_factor` times as many epochs. A setting goes on from a
rung when it is among the best share of one in `reduction_factor` of all that have come to that rung, in this
round of the search and in earlier ones; the best always does. All settings of a round are looked at together,
so that it does not matter in which order they were trained. A setting whose trials have all ended, by early
stopping say, stands where it ended. Sources: Jamieson and Talwalkar (2016), Non-stochastic best arm
identification and hyperparameter optimization; Li et al. (2020), A system for massively parallel
hyperparameter tuning, whose rule it is for the last to arrive at a rung.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from mlprun.sweeps.objective import objective, score
from mlprun.sweeps.schema import Rung

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlprun.sweeps.definition import Pruner
    from mlprun.sweeps.schema import Description, Trial

FIRST = 100
"""the first rung stands at a part of all epochs, of which there are so many"""


def epochs_of(pruner: Pruner, epochs: int) -> tuple[int, ...]:
    """The epochs of the rungs before the end."""
    at = pruner.min_epochs or max(1, epochs // FIRST)
    found: list[int] = []
    while at < epochs:
        found.append(at)
        at *= pruner.reduction_factor
    return tuple(found)


def rung(
    pruner: Pruner,
    epoch: int,
    trials: Iterable[Trial],
    before: Iterable[Rung],
    description: Description,
) -> list[Rung]:
    """How the settings of a round stand at an epoch, by `trials`, and which go on.

    `before` are the rungs of earlier rounds.
    """
    of_setting: dict[int, list[Trial]] = {}
    for trial in trials:
        of_setting.setdefault(trial.setting, []).append(trial)
    stand = {setting: objective(description, here) for setting, here in of_setting.items()}
    known = [one.objective for one in before if one.epoch == epoch]
    bar = _bar([score(description, value) for value in (*known, *stand.values())], pruner)
    return [
        Rung(setting, epoch, value, promoted=value is not None and score(description, value) <= bar)
        for setting, value in sorted(stand.items())
    ]


def _bar(scores: Sequence[float], pruner: Pruner) -> float:
    """The worst score that goes on."""
    most = max(1, len(scores) // pruner.reduction_factor)
    return sorted(scores)[most - 1] if scores else -math.inf


def share(pruner: Pruner, epochs: int) -> float:
    """The part of all epochs that is trained where one in `reduction_factor` goes on from each rung."""
    ends = (0, *epochs_of(pruner, epochs), epochs)
    lengths = (end - begin for begin, end in itertools.pairwise(ends))
    factor = float(pruner.reduction_factor)
    return sum(length / factor**number for number, length in enumerate(lengths)) / epochs
