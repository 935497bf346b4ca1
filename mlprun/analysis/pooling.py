"""The values of one parameter over many configurations, compared like with like whatever diverged."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from mlprun.sweeps.objective import mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlprun.analysis.summary import ConfigurationSummary

Values = Mapping[Hashable, float]
"""A metric by seed."""
_Key = tuple[Hashable, Hashable]
"""What a configuration has in all other parameters, and a seed."""


class Pooled(NamedTuple):
    """A metric by seed for several values of a parameter."""

    means: tuple[Values, ...]
    """For each value of the parameter, the mean over configurations by seed; all have the same seeds."""
    left_out: int
    """Numbers without a partner at another value, whose trial diverged, failed or is pending."""


def group_by_value(
    lines: Iterable[ConfigurationSummary], path: str
) -> dict[str, dict[str, ConfigurationSummary]]:
    """Configurations by their value of a parameter, and by what they have in all others; both are JSON."""
    groups: dict[str, dict[str, ConfigurationSummary]] = {}
    for line in sorted(lines, key=lambda line: line.setting.id):
        others = {key: value for key, value in line.setting.values.items() if key != path}
        value = json.dumps(line.setting.values.get(path))
        groups.setdefault(value, {})[json.dumps(others, sort_keys=True)] = line
    return groups


def pool_by_seed(values: Sequence[Mapping[Hashable, Values]]) -> Pooled:
    """Average over configurations by seed, for several values of a parameter.

    Each item has the metric by seed of its configurations, keyed by what these have in all other parameters.
    A trial without a metric takes away its partners, the trials of that seed whose configurations are alike
    in all else, and nothing more: the other configurations keep the seed. So the values of the parameter
    differ by themselves alone and not by which of their configurations diverged.
    """
    flat, shared = _flattened(values)
    by_seed: dict[Hashable, list[_Key]] = {}
    for others, seed in shared:
        by_seed.setdefault(seed, []).append((others, seed))
    means = tuple({seed: mean([one[key] for key in keys]) for seed, keys in by_seed.items()} for one in flat)
    return Pooled(means, sum(map(len, flat)) - len(flat) * len(shared))


def center_by_configuration(values: Sequence[Mapping[Hashable, Values]]) -> Pooled:
    """As `pool_by_seed`, for the spread over seeds: without the differences between configurations.

    The mean of a seed that lacks a configuration would be off by what that configuration differs from others,
    so each number is taken relative to the mean of its configuration. Where none is missing, the result is
    that of `pool_by_seed`.
    """
    flat, shared = _flattened(values)
    seeds: dict[Hashable, list[Hashable]] = {}
    for others, seed in shared:
        seeds.setdefault(others, []).append(seed)
    centered = []
    for one in flat:
        means = {others: mean([one[others, seed] for seed in some]) for others, some in seeds.items()}
        overall = mean(list(means.values())) if means else 0.0
        centered.append(
            {
                others: {seed: one[others, seed] - means[others] + overall for seed in some}
                for others, some in seeds.items()
            }
        )
    return Pooled(pool_by_seed(centered).means, sum(map(len, flat)) - len(flat) * len(shared))


def _flattened(values: Sequence[Mapping[Hashable, Values]]) -> tuple[list[dict[_Key, float]], list[_Key]]:
    """The numbers of each value by configuration and seed, and the keys that all values have."""
    flat = [
        {(others, seed): number for others, by_seed in one.items() for seed, number in by_seed.items()}
        for one in values
    ]
    return flat, [key for key in (flat[0] if flat else ()) if all(key in one for one in flat)]
