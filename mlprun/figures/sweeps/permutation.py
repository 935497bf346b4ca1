"""The permutation test of a parameter's effect in a grid.

If a parameter of a grid had no effect, metrics would be as likely with its values exchanged between the
trials of one seed whose configurations are alike in all else. That holds for any noise, shared by the trials
of a seed or not, and in grids with holes; a test that takes seeds or configurations for independent would not
hold.
Source: Anderson and ter Braak (2003), Journal of Statistical Computation and Simulation 73, 85-113
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.analysis.summary import ConfigurationSummary

QUANTILE = 0.95
PERMUTATIONS = 999
MIN_PERMUTATIONS = 199
MAX_WORK = 20_000_000
"""permutations times trials, more or less, beyond which there are fewer permutations"""


def sums_of_squares(
    path: str, groups: NDArray[np.int64], lines: Sequence[ConfigurationSummary]
) -> NDArray[np.float64]:
    """The sum of squares between the values of a parameter, and that after each of many permutations.

    `lines` are configurations of a grid with their metrics as `values`; `groups` has the index of each one's
    value of the parameter.
    """
    keys: dict[str, int] = {}
    rows = []
    for group, line in zip(groups, lines, strict=True):
        others = {key: value for key, value in line.setting.values.items() if key != path}
        for seed, value in line.values.items():
            key = json.dumps([others, seed], sort_keys=True)
            rows.append((group, keys.setdefault(key, len(keys)), value))
    values, strata, metrics = np.array(rows, np.float64).T
    _, member, counts = np.unique(values, return_inverse=True, return_counts=True)
    metrics = metrics - metrics.mean()  # sums of squares keep their digits around the mean
    size, places, draw = len(metrics), np.argsort(strata, kind="stable"), np.random.default_rng(0)
    order, sums = np.arange(size), []
    for _ in range(1 + int(np.clip(MAX_WORK // size, MIN_PERMUTATIONS, PERMUTATIONS))):
        sums.append(np.sum(np.bincount(member, metrics[order]) ** 2 / counts))
        order[places] = np.argsort(strata + draw.random(size), kind="stable")
    return np.array(sums)


def null_threshold(sums: NDArray[np.float64]) -> float:
    """The 95% quantile of sums of squares without an effect; nan where no permutation exceeds it."""
    every = np.sort(sums)
    mark = float(every[int(np.ceil(QUANTILE * len(every))) - 1])
    return mark if every[-1] > mark + 1e-9 * max(1e-300, every[-1]) else np.nan
