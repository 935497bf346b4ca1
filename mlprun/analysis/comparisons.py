"""Configurations of a sweep, or values of one parameter, compared seed by seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun.analysis import report_text, significance
from mlprun.errors import UsageError
from mlprun.parts.part import suggestion
from mlprun.sweeps.objective import mean

if TYPE_CHECKING:
    from mlprun.analysis.significance import Comparison, Spearman
    from mlprun.analysis.summary import ConfigurationSummary, Summary

    Test = Callable[..., Comparison]

Values = Mapping[Hashable, float]
"""A metric by seed."""
_Key = tuple[Hashable, Hashable]
"""What a configuration has in all other parameters, and a seed."""
SUCCESS = "success"
"""The metric of pairs that are compared by success rates."""
MAX_COMPARED = 8
"""Values of a parameter that are compared pair by pair; a number with more is correlated with the metric."""


@dataclass(frozen=True)
class Group:
    """One side of a comparison: a configuration, or a value of a parameter, with its metric by seed."""

    key: Any
    """The configuration's id, or the value."""
    name: str
    label: str
    """The name in tables, with the configuration's id."""
    values: Values


@dataclass(frozen=True)
class Pair:
    """Two groups compared by a metric (such as test_loss) or by the success rate (`success`)."""

    first: Group
    second: Group
    metric: str
    comparison: Comparison
    left_out: int
    """Values without a partner: the other side's trial of that seed diverged, failed or is pending."""

    @property
    def verdict(self) -> str:
        """Whether there is evidence of a difference, as a sentence."""
        return report_text.verdict(self.comparison, self.first.name, self.second.name, _in_words(self.metric))


@dataclass(frozen=True)
class Correlation:
    """A parameter and a metric (or the success rate) over configurations."""

    path: str
    name: str
    metric: str
    spearman: Spearman

    @property
    def verdict(self) -> str:
        """Whether there is evidence of a direction, as a sentence."""
        return report_text.correlation_verdict(self.spearman, self.name, _in_words(self.metric))


def _in_words(metric: str) -> str:
    return "the success rate" if metric == SUCCESS else metric


def compare(summary: Summary, configurations: Sequence[int] = (), by: str | None = None) -> list[Pair]:
    """Compare configurations or, with `by`, the values of a parameter. Raises UsageError as these do."""
    if by is None:
        return compare_configurations(summary, configurations)
    if configurations:
        raise UsageError("--by", "compares values of a parameter, not settings", "name one or the other")
    return compare_values(summary, by)


def compare_configurations(summary: Summary, ids: Sequence[int] = ()) -> list[Pair]:
    """Compare all pairs of these configurations or, without any, the best one with each other one.

    They are compared by the metric and, where the sweep defines it, by success; p is corrected within each.
    The best is compared with those that were not pruned. Raises UsageError for an unknown id and where there
    is nothing to compare.
    """
    lines = {line.setting.id: line for line in summary.lines}
    for number in ids:
        if number not in lines:
            remedy = f"expected 1 to {max(lines, default=0)}"
            raise UsageError(f"setting {number}", "is not in this sweep", remedy)
    if len(lines) < 2:
        raise UsageError("compare", "the sweep has one setting", "vary something under grid: or random:")
    selected = [lines[number] for number in dict.fromkeys(ids)]
    if len(selected) == 1:
        raise UsageError("compare", "there is nothing to compare with", "name two settings or none")
    pairs = list(combinations(selected, 2)) or _with_best(summary)

    def groups(metric: str) -> list[tuple[Group, Group, int]]:
        by_id = {line.setting.id: _group(summary, line, metric) for pair in pairs for line in pair}
        sides = [(by_id[one.setting.id], by_id[two.setting.id]) for one, two in pairs]
        return [(one, two, len(one.values.keys() ^ two.values.keys())) for one, two in sides]

    shares = summary.has_folds_by_seed
    of_success = significance.paired_t_test_of_shares if shares else significance.mcnemar_test
    return _compared(summary, groups, significance.compare_means, of_success)


def _with_best(summary: Summary) -> list[tuple[ConfigurationSummary, ConfigurationSummary]]:
    """The best configuration with every other one that was trained to its end."""
    lines = [line for line in summary.lines if line.pruned_at is None]
    if len(lines) < 2:
        what = f"all settings but {lines[0].setting.id} were pruned" if lines else "all settings were pruned"
        raise UsageError("compare", what, "mlprun sweep show says where")
    return [(lines[0], other) for other in lines[1:]]


def _group(summary: Summary, line: ConfigurationSummary, metric: str) -> Group:
    number = line.setting.id
    name = report_text.configuration_label(summary.description.parameters, line.setting.values)
    return Group(number, name, f"{number}: {name}", _values(line, metric))


def _values(line: ConfigurationSummary, metric: str) -> Values:
    return line.successes if metric == SUCCESS else line.values


def compare_values(summary: Summary, parameter: str) -> list[Pair]:
    """Compare all pairs of a parameter's values: by seed the mean over configurations alike in all else.

    Raises UsageError for a parameter that does not vary and where no two configurations differ in it alone.
    """
    path = path_of(summary, parameter)
    name = report_text.short_names(summary.description.parameters)[path]
    by_value = group_by_value(summary.lines, path)
    selected = [
        (first, second)
        for first, second in combinations(by_value, 2)
        if by_value[first].keys() & by_value[second].keys()
    ]
    if not selected:
        remedy = "compare settings by their numbers, or vary it under grid:"
        raise UsageError("--by", f"no two settings differ in {parameter} alone", remedy)

    def groups(metric: str) -> list[tuple[Group, Group, int]]:
        results = []
        for values in selected:
            sides = [by_value[value] for value in values]
            shared = [others for others in sides[0] if others in sides[1]]
            by_seed: list[Mapping[Hashable, Values]] = [
                {others: _values(side[others], metric) for others in shared} for side in sides
            ]
            pooled = pool_by_seed(by_seed)
            labels = [f"{name}={report_text.format_value(json.loads(value))}" for value in values]
            one, two = (
                Group(json.loads(value), label, label, means)
                for value, label, means in zip(values, labels, pooled.means, strict=True)
            )
            results.append((one, two, pooled.left_out))
        return results

    tests = significance.paired_t_test, significance.paired_t_test_of_shares
    return _compared(summary, groups, *tests)


def _compared(
    summary: Summary,
    groups: Callable[[str], Sequence[tuple[Group, Group, int]]],
    of_metric: Test,
    of_success: Test,
) -> list[Pair]:
    """The pairs by the metric and, where the sweep defines it, by success.

    A sweep whose objective is a median is compared by ranks instead of means.
    """
    test = significance.wilcoxon_test if summary.aggregate == "median" else of_metric
    results = _tested(summary.column, groups(summary.column), test)
    if summary.description.success is not None:
        results += _tested(SUCCESS, groups(SUCCESS), of_success)
    return results


def _tested(metric: str, groups: Sequence[tuple[Group, Group, int]], test: Test) -> list[Pair]:
    """The pairs with their comparisons, all by one test and corrected for their number.

    Where the differences of one pair are constant, its t is undefined, and all pairs are compared by signed
    ranks: by t a smaller effect beside it would be the stronger evidence.
    """
    results = [test(first.values, second.values) for first, second, _ in groups]
    level = significance.simultaneous_level(significance.count_tests(results))
    by_ranks = any(one.constant and one.p != 1 for one in results)
    tests = [significance.wilcoxon_test if by_ranks and one.paired else test for one in results]
    pairs = zip(tests, groups, strict=True)
    results = [test(first.values, second.values, level) for test, (first, second, _) in pairs]
    return [
        Pair(first, second, metric, one, left_out)
        for (first, second, left_out), one in zip(groups, significance.bonferroni(results), strict=True)
    ]


def path_of(summary: Summary, parameter: str) -> str:
    """The dotted path of a parameter given by it or by an ending that no other path has."""
    paths = summary.description.parameters
    matches = [path for path in paths if path == parameter or path.endswith(f".{parameter}")]
    if parameter in matches or len(matches) == 1:
        return parameter if parameter in matches else matches[0]
    if matches:
        raise UsageError("--by", f"{parameter} may be {' or '.join(matches)}", "name one of them")
    names = [*report_text.short_names(paths).values(), *paths]
    raise UsageError("--by", f"{parameter} is no parameter of this sweep", suggestion(parameter, names))


def has_many_values(summary: Summary, parameter: str) -> bool:
    """Return True if a parameter has too many values to compare. UsageError where they are not numbers."""
    path = path_of(summary, parameter)
    values = [line.setting.values.get(path) for line in summary.lines]
    count = len({json.dumps(value) for value in values})
    if count <= MAX_COMPARED:
        return False
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        what = f"{parameter} has {count} values, too many to compare each with each, and they are not numbers"
        raise UsageError("--by", what, "compare settings by their numbers")
    return True


def correlate(summary: Summary, parameter: str) -> list[Correlation]:
    """Correlate a parameter with the metric and, where the sweep defines it, with the success rate."""
    path = path_of(summary, parameter)
    name = report_text.short_names(summary.description.parameters)[path]
    metrics = [summary.column, *([SUCCESS] if summary.description.success is not None else [])]
    results = []
    for metric in metrics:
        values = [
            (line.setting.values[path], _reached(line, metric, summary.aggregate)) for line in summary.lines
        ]
        pairs = [(float(value), reached) for value, reached in values if reached is not None]
        results.append(Correlation(path, name, metric, significance.spearman(pairs)))
    return results


def _reached(line: ConfigurationSummary, metric: str, aggregate: str) -> float | None:
    if metric == SUCCESS:
        return line.success.rate if line.success is not None else None
    return line.center(aggregate)[0]


# --- the values of one parameter over many configurations, like with like whatever diverged


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
