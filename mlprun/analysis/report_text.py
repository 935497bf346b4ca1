"""Statistics as sentences, which claim no more than the data supports, and short names of parameters."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, get_args

from mlprun.analysis.statistics import LEVEL, MIN_SAMPLE, Interval, SuccessRate
from mlprun.sweeps.objective import SOUND, test_data_warning
from mlprun.sweeps.schema import TrialStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.analysis.significance import Comparison, Spearman
    from mlprun.analysis.summary import ConfigurationSummary, Summary

FEW = 5
"""Seeds; a result from fewer is introduced as unreliable."""
FEWEST_OF_MEDIAN = 6
"""seeds of an interval of a median, at least"""
_COLUMNS = ("setting", "n", "mean", "std", "median", "success", "pruned at", "best", "trial", "epoch", "rows")
_TAKEN = frozenset(("name", "seed", "fold", "status", *_COLUMNS, *get_args(TrialStatus)))
"""Endings of paths that say nothing by themselves, or are the names of columns beside them."""


def interval_text(interval: Interval | None) -> str:
    """`0.7962 to 0.8044`, to two digits of half its width; an end that is not 0 is not shown as 0."""
    if interval is None:
        return ""
    half = (interval.high - interval.low) / 2
    return f"{_end(interval.low, half)} to {_end(interval.high, half)}"


def fraction(value: SuccessRate) -> str:
    """`39/40`."""
    return f"{value.successes}/{value.n}"


def percent_interval(interval: Interval | None) -> str:
    """`87% to 100%`, with a digit more where the ends would look equal."""
    if interval is None:
        return ""
    digits = 0 if interval.high - interval.low >= 0.02 else 1
    return f"{100 * interval.low:.{digits}f}% to {100 * interval.high:.{digits}f}%"


def sample_size(one: Comparison) -> str | int:
    """The number of seeds compared: `20`, or `4+5` where the two sides have different seeds."""
    return one.n if one.sizes is None else "+".join(map(str, one.sizes))


def evidence(one: Comparison) -> str:
    """`yes`, `no`, or a dash where nothing could be tested."""
    if one.p is None:
        return "–"
    return "yes" if one.is_evidence else "no"


def verdict(one: Comparison, first: str, second: str, metric: str) -> str:
    """Whether there is evidence that a metric differs between `first` and `second`, as a sentence."""
    if one.effect is None:
        return "nothing to compare: a setting has no such metric"
    if one.p is None:
        least = MIN_SAMPLE
        return f"too few seeds to tell: it takes {least} that both settings have, or {least} of each"
    few = min(one.sizes or (one.n,)) < FEW
    doubt = f"{sample_size(one)} seeds are too few for a reliable answer: " if few else ""
    return doubt + _answer(one, first, second, metric)


def _answer(one: Comparison, first: str, second: str, metric: str) -> str:
    if one.constant and one.p == 1:
        return f"no difference: {metric} is equal on all {one.n} seeds"
    if one.is_evidence:
        return f"evidence of a difference: {_effect(one, first, second, metric)}, {_corrected_p(one)}"
    none = "no evidence of a difference"
    if one.interval is None:
        return f"{none}: {_corrected_p(one)}; too few seeds for an interval, or most of them differ alike"
    interval = interval_text(one.interval)
    return f"{none}: the interval of the difference, {interval}, contains 0, {_corrected_p(one)}"


def _effect(one: Comparison, first: str, second: str, metric: str) -> str:
    assert one.effect is not None
    direction = "higher" if one.effect > 0 else "lower"
    amount = four_digits(abs(one.effect))
    if one.interval is not None:
        half = (one.interval.high - one.interval.low) / 2
        low, high = sorted(abs(end) for end in one.interval)
        amount = f"{_rounded(abs(one.effect), half)} ({_end(low, half)} to {_end(high, half)})"
    return f"{metric} is {direction} by {amount} with {second} than with {first}"


def correlation_verdict(one: Spearman, parameter: str, metric: str) -> str:
    """Whether there is evidence that a metric rises or falls with a parameter, as a sentence."""
    if one.rho is None or one.p is None:
        return f"too few settings, or all alike: nothing tells whether {metric} goes with {parameter}"
    rho = four_digits(round(one.rho, 3))
    result = f"rank correlation {rho} over {one.n} settings, {_p(one.p)} (Spearman)"
    if one.p > 1 - LEVEL:
        return f"no evidence that {metric} rises or falls with {parameter}: {result}"
    return f"evidence that {metric} {'rises' if one.rho > 0 else 'falls'} with {parameter}: {result}"


def _corrected_p(one: Comparison) -> str:
    assert one.adjusted is not None
    count = one.comparisons
    correction = f", Bonferroni's correction for {count} comparisons" if count > 1 else ""
    return f"{_p(one.adjusted)} ({one.test}{correction})"


def _p(p: float) -> str:
    digits = 4 if 0.045 < p < 0.055 else 2  # so that it shows on which side of 0.05 it is
    return "p < 0.001" if p < 0.001 else f"p = {p:.{digits}g}"


def four_digits(value: float) -> str:
    """Four significant digits."""
    return f"{value + 0.0:.4g}"  # adding 0 makes a minus zero 0


def _end(value: float, half: float) -> str:
    """An end of an interval, which shows whether it reaches 0."""
    text = _rounded(value, half)
    return f"{value:.1g}" if value and not float(text) else text


def _rounded(value: float, half: float) -> str:
    """A value to the second digit of `half`, the margin that makes further digits meaningless."""
    if not half or not math.isfinite(half) or abs(value) >= 1e6 or half < 1e-6:
        return four_digits(value)
    digits = max(0, 1 - math.floor(math.log10(half)))
    text = f"{value:.{digits}f}"
    return text if float(text) else text.removeprefix("-")


# --- how not to interpret a table of settings


def notes(summary: Summary, shown: Sequence[ConfigurationSummary]) -> Iterator[str]:
    """Yield notes on how settings are sorted and how not to interpret their statistics."""
    best = "larger" if summary.direction == "max" else "smaller"
    how = {"success": "success rate", "median": f"median, {best} first"}
    success = summary.description.success
    criterion = f"; success: {success['text']}" if success is not None else ""
    yield f"sorted by {how.get(summary.aggregate, f'mean, {best} first')}{criterion}"
    undefined = [line for line in shown if not line.stats.n and any(line.counts.get(one) for one in SOUND)]
    if undefined:
        yield f"{summary.column} is not a number in the trials of {_named(undefined)}"
    yield from (f"{text}; they are listed last" for text in unpruned(shown))
    if len(summary.lines) > 1:  # sorting by a test metric selects on test data
        by = success["figure"] if summary.aggregate == "success" and success else summary.column
        yield from test_data_warning(by, summary.description.figures)
    yield from _interval_notes(summary, shown)


def unpruned(lines: Sequence[ConfigurationSummary]) -> Iterator[str]:
    """Yield a warning if metrics are means over few surviving trials."""
    few = [line for line in lines if line.has_mostly_diverged and line.stats.n]
    if few:
        yield f"most trials of {_named(few)} diverged: metrics are of the remaining trials only"


def _named(lines: Sequence[ConfigurationSummary]) -> str:
    numbers = ", ".join(str(line.setting.id) for line in lines)
    return f"setting{'' if len(lines) == 1 else 's'} {numbers}"


def _interval_notes(summary: Summary, shown: Sequence[ConfigurationSummary]) -> Iterator[str]:
    """Yield notes on the limits of the intervals."""
    if summary.description.folds is not None:
        if summary.has_folds_by_seed:
            yield "intervals reflect seeds and folds of these rows, not the sampling of new rows"
        else:
            yield "folds of one seed share rows: intervals over them are too narrow; use more seeds"
    least = FEWEST_OF_MEDIAN if summary.aggregate == "median" else MIN_SAMPLE
    if any(0 < line.stats.n < least for line in shown):
        what = "median" if summary.aggregate == "median" else "mean"
        yield f"an interval of the {what} requires at least {least} seeds"


# --- names of parameters


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The shortest unambiguous ending of each dotted path: `lr` for optimizer.lr.

    No other path ends so, nor is a column of a table called so; `optimizer.name` is not called `name`.
    """

    def is_fitting(path: str, ending: str) -> bool:
        others = (f".{other}" for other in paths if other != path)
        return ending not in _TAKEN and not any(other.endswith(f".{ending}") for other in others)

    names = {}
    for path in paths:
        keys = path.split(".")
        endings = (".".join(keys[start:]) for start in range(len(keys) - 1, 0, -1))
        names[path] = next((one for one in endings if is_fitting(path, one)), path)
    return names


def configuration_label(parameters: Sequence[str], values: Mapping[str, Any]) -> str:
    """A configuration in one line, such as `hidden=[4] lr=0.1`."""
    names = short_names(parameters)
    return " ".join(f"{names.get(path, path)}={format_value(value)}" for path, value in values.items())


def format_value(value: Any) -> str:
    """A parameter's value as JSON, a number with the four digits that tables show."""
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
