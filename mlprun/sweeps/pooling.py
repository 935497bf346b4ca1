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
        others = {key: value for key, value in line.setting.values.items() if key != path}
        value = json.dumps(line.setting.values.get(path))
        found.setdefault(value, {})[json.dumps(others, sort_keys=True)] = line
    return found


def pooled(values: Sequence[Mapping[Hashable, Figures]]) -> Pooled:
    """The mean over settings by seed, of several values of a parameter.

    Each value gives the figures by seed of its settings, under what these have in all other parameters. A
    trial without a figure takes away its partners, the trials of that seed whose settings are alike in all
    else, and nothing more: the other settings keep the seed. So the values differ by themselves alone and
    not by which of their settings diverged.
    """
    places = [_places(value) for value in values]
    shared = _shared(places)
    by_seed: dict[Hashable, list[_Place]] = {}
    for others, seed in shared:
        by_seed.setdefault(seed, []).append((others, seed))
    means = tuple(
        {seed: statistics.mean_of([one[place] for place in some]) for seed, some in by_seed.items()}
        for one in places
    )
    return Pooled(means, sum(map(len, places)) - len(places) * len(shared))


def levelled(values: Sequence[Mapping[Hashable, Figures]]) -> Pooled:
    """As `pooled`, for the spread of each value over seeds: without what settings differ by among themselves.

    The mean of a seed that lacks a setting would be off by what that setting differs from others, so figures
    are taken by what they are off the mean of their setting. Where none lacks, all is as in `pooled`.
    """
    places = [_places(value) for value in values]
    of_setting: dict[Hashable, list[Hashable]] = {}
    for others, seed in _shared(places):
        of_setting.setdefault(others, []).append(seed)
    even = []
    for one in places:
        middles = {
            others: statistics.mean_of([one[others, seed] for seed in seeds])
            for others, seeds in of_setting.items()
        }
        whole = statistics.mean_of(list(middles.values())) if middles else 0.0
        even.append(
            {
                others: {seed: one[others, seed] - middles[others] + whole for seed in seeds}
                for others, seeds in of_setting.items()
            }
        )
    return Pooled(pooled(even).means, pooled(values).left_out)


_Place = tuple[Hashable, Hashable]
"""of a figure: what its setting has in all other parameters, and its seed"""


def _places(value: Mapping[Hashable, Figures]) -> dict[_Place, float]:
    return {(others, seed): figure for others, figures in value.items() for seed, figure in figures.items()}


def _shared(places: Sequence[Mapping[_Place, float]]) -> list[_Place]:
    """The places that all values have a figure at."""
    return [place for place in (places[0] if places else ()) if all(place in one for one in places)]
