"""What a parameter without any effect explains by chance: its values are exchanged, again and again.

Were a parameter of a grid without effect, figures would be as likely with its values exchanged between the
trials of one seed whose settings are alike in all else. That holds whatever the noise is, shared by the
trials of a seed or not, in grids with holes too; a test that takes seeds or settings for independent would
not hold.
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

    from mlprun.analysis.summary import ConfigurationSummary
    from mlprun.figures.sweeps.dimensions import Dimension
    from mlprun.sweeps.schema import Description

LEVEL = 0.95
EXCHANGES = 999
FEWEST = 199
WORK = 20_000_000
"""exchanges times units, more or less, beyond which there are fewer exchanges"""
CHUNK = 2_000_000


@dataclass(frozen=True)
class Units:
    """Trials [U], each with a value of a parameter that it may exchange with others of its stratum."""

    groups: NDArray[np.int64]
    strata: NDArray[np.int64]
    figures: NDArray[np.float64]

    def explained(self, orders: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sum of squares between groups [P] where units take their places in these orders [P, U]."""
        member = (self.groups[:, None] == np.unique(self.groups)).astype(np.float64)
        between = np.sum(np.square(self.figures[orders] @ member) / member.sum(axis=0), axis=1)
        return np.asarray(between - self.figures.sum() ** 2 / len(self.figures))

    def exchanged(self, count: int) -> NDArray[np.float64]:
        """What groups explain after each of so many exchanges, the same at each call."""
        size = len(self.groups)
        places = np.argsort(self.strata, kind="stable")
        found = []
        for first in range(0, count, step := max(1, CHUNK // size)):
            many = min(step, count - first)
            purpose = randomness.Purpose.PERMUTATION
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


def units(one: Dimension, groups: NDArray[np.int64], lines: Sequence[ConfigurationSummary]) -> Units:
    """The trials that may exchange the values of a parameter.

    `lines` are settings of a grid with their figures as `values`, `groups` says which value each has.
    """
    trials = [(place, seed, value) for place, line in enumerate(lines) for seed, value in line.values.items()]
    figures = np.array([value for _, _, value in trials], np.float64)
    others = [_key({k: v for k, v in line.setting.values.items() if k != one.path}) for line in lines]
    strata = _numbered([(others[place], seed) for place, seed, _ in trials])
    # sums of squares keep their digits around the mean
    return Units(groups[[place for place, _, _ in trials]], strata, figures - figures.mean())


def is_continuous(description: Description, path: str) -> bool:
    """Return True for a parameter that was drawn from a range and not from a list."""
    return path in drawn(description) and "choice" not in drawn(description)[path]


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
