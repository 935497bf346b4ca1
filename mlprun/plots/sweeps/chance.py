"""What a parameter without any effect explains by chance: its values are exchanged, again and again.

Were a parameter without effect, figures would be as likely with its values exchanged: in a grid between the
trials of one seed whose settings are alike in all else, where values were drawn at random between all draws.
That holds whatever the noise is, shared by the trials of a seed or not, in grids with holes too; a test that
takes seeds or settings for independent would not hold.
Source: Anderson and ter Braak (2003), Journal of Statistical Computation and Simulation 73, 85-113
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import randomness

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.plots.sweeps.dimensions import Dimension
    from mlprun.sweeps.entries import Description
    from mlprun.sweeps.summary import Line

LEVEL = 0.95
EXCHANGES = 999
FEWEST = 199
WORK = 20_000_000
"""exchanges times units, more or less, beyond which there are fewer exchanges"""
CHUNK = 2_000_000


@dataclass(frozen=True)
class Units:
    """What carries a value of a parameter [U] and may exchange it with others of its stratum."""

    groups: NDArray[np.int64]
    strata: NDArray[np.int64]
    counts: NDArray[np.float64]
    """of trials"""
    sums: NDArray[np.float64]
    """of their figures"""

    def explained(self, orders: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sum of squares between groups [P] where units take their places in these orders [P, U]."""
        member = (self.groups[:, None] == np.unique(self.groups)).astype(np.float64)
        counts, sums = self.counts[orders] @ member, self.sums[orders] @ member
        between = np.sum(np.square(sums) / np.maximum(counts, 1), axis=1)
        return np.asarray(between - self.sums.sum() ** 2 / self.counts.sum())

    def exchanged(self, count: int) -> NDArray[np.float64]:
        """What groups explain after each of so many exchanges, the same at each call."""
        size = len(self.groups)
        places = np.argsort(self.strata, kind="stable")
        found = []
        for first in range(0, count, step := max(1, CHUNK // size)):
            many = min(step, count - first)
            purpose = randomness.Purpose.EXCHANGE
            shares = randomness.uniforms(0, purpose, many * size, epoch=first).reshape(many, size)
            orders = np.empty((many, size), np.int64)
            orders[:, places] = np.argsort(self.strata + shares, axis=1, kind="stable")
            found.append(self.explained(orders))
        return np.concatenate(found)

    def reach(self) -> float:
        """What groups without effect explain at most in 95% of sweeps; nan where nothing could be more."""
        size = len(self.groups)
        count = int(np.clip(WORK // size, FEWEST, EXCHANGES))
        seen = self.explained(np.arange(size)[None])
        every = np.sort(np.concatenate([seen, self.exchanged(count)]))
        mark = float(every[int(np.ceil(LEVEL * len(every))) - 1])
        return mark if every[-1] > mark + 1e-9 * max(1e-300, every[-1]) else np.nan


def units(
    one: Dimension, groups: NDArray[np.int64], lines: Sequence[Line], description: Description
) -> Units | None:
    """What may exchange the values of a parameter; None where a search chose them by earlier figures.

    `lines` are settings with their figures as `values`, `groups` says where each stands.
    """
    trials = [(place, seed, value) for place, line in enumerate(lines) for seed, value in line.values.items()]
    of_setting = np.array([place for place, _, _ in trials])
    figures = np.array([value for _, _, value in trials], np.float64)
    figures = figures - figures.mean()  # sums of squares keep their digits
    random = drawn(description)
    if one.path not in random:
        others = [_key({k: v for k, v in line.setting.chosen.items() if k != one.path}) for line in lines]
        strata = _numbered([(others[place], seed) for place, seed, _ in trials])
        return Units(groups[of_setting], strata, np.ones(len(trials)), figures)
    if is_adaptive(description):
        return None
    of_random = [{k: v for k, v in line.setting.chosen.items() if k in random} for line in lines]
    draws = _numbered([_key(chosen) for chosen in of_random])
    first = np.unique(draws, return_index=True)[1]
    counts, sums = (
        np.bincount(draws[of_setting], weights=some).astype(np.float64)
        for some in (np.ones(len(trials)), figures)
    )
    rest = _numbered([_key({k: v for k, v in of_random[place].items() if k != one.path}) for place in first])
    # draws from few combinations never repeat one: they are more like a grid, and exchanged as in one
    is_dense = 2 * len(np.unique(rest)) <= len(rest)
    return Units(groups[first], rest if is_dense else np.zeros_like(rest), counts, sums)


def drawn(description: Description) -> Mapping[str, Any]:
    """The parameters that were drawn at random, or searched."""
    random: Mapping[str, Any] = description.definition.get("random") or {}
    return random


def is_adaptive(description: Description) -> bool:
    """Whether settings were chosen by how earlier ones came out."""
    search = description.definition.get("search")
    name = search if isinstance(search, str) else (search or {"name": "random"}).get("name", "tpe")
    return bool(name != "random")


def _key(chosen: Mapping[str, Any]) -> str:
    return json.dumps(chosen, sort_keys=True)


def _numbered(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """Equal keys by equal numbers from 0."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)
