"""The permutation test of a parameter's effect in a grid.

If a parameter of a grid had no effect, metrics would be as likely with its values exchanged between the
trials of one seed whose configurations are alike in all else. That holds for any noise, shared by the trials
of a seed or not, and in grids with holes; a test that takes seeds or configurations for independent would not
hold.
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

QUANTILE = 0.95
PERMUTATIONS = 999
MIN_PERMUTATIONS = 199
MAX_WORK = 20_000_000
"""permutations times units, more or less, beyond which there are fewer permutations"""
CHUNK_SIZE = 2_000_000


@dataclass(frozen=True)
class PermutationUnits:
    """Trials [U], each with a value of a parameter that it may exchange with others of its stratum."""

    groups: NDArray[np.int64]
    strata: NDArray[np.int64]
    metrics: NDArray[np.float64]

    def between_groups(self, orders: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sums of squares between groups [P] where units are in these orders [P, U]."""
        member = (self.groups[:, None] == np.unique(self.groups)).astype(np.float64)
        between = np.sum(np.square(self.metrics[orders] @ member) / member.sum(axis=0), axis=1)
        return np.asarray(between - self.metrics.sum() ** 2 / len(self.metrics))

    def observed(self) -> float:
        """The sum of squares between groups as they are."""
        return float(self.between_groups(np.arange(len(self.groups))[None])[0])

    def permuted(self, count: int) -> NDArray[np.float64]:
        """The sums of squares between groups after `count` permutations, the same at each call."""
        size = len(self.groups)
        places = np.argsort(self.strata, kind="stable")
        found = []
        for first in range(0, count, step := max(1, CHUNK_SIZE // size)):
            many = min(step, count - first)
            purpose = randomness.Purpose.PERMUTATION
            shares = randomness.uniforms(0, purpose, many * size, epoch=first).reshape(many, size)
            orders = np.empty((many, size), np.int64)
            orders[:, places] = np.argsort(self.strata + shares, axis=1, kind="stable")
            found.append(self.between_groups(orders))
        return np.concatenate(found)

    def null_threshold(self) -> float:
        """The 95% quantile of the sum of squares without an effect; nan where no permutation exceeds it."""
        size = len(self.groups)
        count = int(np.clip(MAX_WORK // size, MIN_PERMUTATIONS, PERMUTATIONS))
        every = np.sort(np.append(self.permuted(count), self.observed()))
        mark = float(every[int(np.ceil(QUANTILE * len(every))) - 1])
        return mark if every[-1] > mark + 1e-9 * max(1e-300, every[-1]) else np.nan


def units_of(
    one: Dimension, groups: NDArray[np.int64], lines: Sequence[ConfigurationSummary]
) -> PermutationUnits:
    """The trials whose values of a parameter may be exchanged.

    `lines` are configurations of a grid with their metrics as `values`; `groups` has the index of each one's
    value of the parameter.
    """
    trials = [(index, seed, value) for index, line in enumerate(lines) for seed, value in line.values.items()]
    metrics = np.array([value for _, _, value in trials], np.float64)
    others = [_key({k: v for k, v in line.setting.values.items() if k != one.path}) for line in lines]
    strata = _numbered([(others[index], seed) for index, seed, _ in trials])
    # sums of squares keep their digits around the mean
    return PermutationUnits(groups[[index for index, _, _ in trials]], strata, metrics - metrics.mean())


def _key(chosen: Mapping[str, Any]) -> str:
    return json.dumps(chosen, sort_keys=True)


def _numbered(keys: Sequence[Hashable]) -> NDArray[np.int64]:
    """Equal keys by equal numbers from 0."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)
