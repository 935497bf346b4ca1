"""The values of one parameter over many settings: like is taken with like, whatever diverged on the way."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from mlprun.sweeps import statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlprun.sweeps.summary import Line

Figures = Mapping[Hashable, float]


class Pooled(NamedTuple):
    """The figures of several values of a parameter by seed, and what has no place in them."""

    means: tuple[Figures, ...]
    """for each value and seed the mean over the settings; all values have the same seeds"""
    left_out: int
    """figures for which another value has no partner: its trial diverged, failed or is pending"""


def alike(lines: Iterable[Line], path: str) -> dict[str, dict[str, Line]]:
    """Settings by their value of a parameter, and by what they have in all others; both are JSON."""
    found: dict[str, dict[str, Line]] = {}
    for line in sorted(lines, key=lambda line: line.setting.id):
        others = {key: value for key, value in line.setting.chosen.items() if key != path}
        value = json.dumps(line.setting.chosen.get(path))
        found.setdefault(value, {})[json.dumps(others, sort_keys=True)] = line
    return found


def pooled(values: Sequence[Mapping[Hashable, Figures]]) -> Pooled:
    """The mean over settings by seed, of several values of a parameter.

    Each value gives the figures by seed of its settings, under what these have in all other parameters. A
    trial without a figure takes away its partners, the trials of that seed whose settings are alike in all
    else, and nothing more: the other settings keep the seed. So the values differ by themselves alone and
    not by which of their settings diverged.
    """
    places = [
        {(others, seed): figure for others, figures in value.items() for seed, figure in figures.items()}
        for value in values
    ]
    shared = [place for place in (places[0] if places else ()) if all(place in one for one in places)]
    by_seed: dict[Hashable, list[tuple[Hashable, Hashable]]] = {}
    for others, seed in shared:
        by_seed.setdefault(seed, []).append((others, seed))
    means = tuple(
        {seed: statistics.mean_of([one[place] for place in some]) for seed, some in by_seed.items()}
        for one in places
    )
    return Pooled(means, sum(map(len, places)) - len(places) * len(shared))
