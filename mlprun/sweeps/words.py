"""Statistics as sentences and short texts, which say no more than the figures do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlprun.sweeps.statistics import FEWEST

if TYPE_CHECKING:
    from mlprun.sweeps.statistics import Comparison, Interval, Rate, Sample

FEW = 5
"""seeds; what is found with fewer is said to be unreliable first"""


def plus_minus(value: Sample) -> str:
    """`0.8003 ± 0.0041`: the mean and half its interval, to two digits of the latter."""
    if value.mean is None:
        return "none"
    if value.interval is None:
        return shown(value.mean)
    half = (value.interval.high - value.interval.low) / 2
    return f"{_to(value.mean, half)} ± {_to(half, half)}"


def ends(interval: Interval | None) -> str:
    """`0.7962 to 0.8044`, to two digits of half its width; an end that is not 0 is not shown as 0."""
    if interval is None:
        return ""
    half = (interval.high - interval.low) / 2
    return f"{_end(interval.low, half)} to {_end(interval.high, half)}"


def share(value: Rate) -> str:
    """`39/40`."""
    return f"{value.successes}/{value.n}"


def percent(interval: Interval | None) -> str:
    """`87% to 100%`, with a digit more where the ends would look equal."""
    if interval is None:
        return ""
    digits = 0 if interval.high - interval.low >= 0.02 else 1
    return f"{100 * interval.low:.{digits}f}% to {100 * interval.high:.{digits}f}%"


def size(one: Comparison) -> str | int:
    """How many seeds were compared: `20`, or `4+5` where the two sides have other ones."""
    return one.n if one.sizes is None else "+".join(map(str, one.sizes))


def evidence(one: Comparison) -> str:
    """`yes`, `no`, or a dash where nothing could be tested."""
    if one.p is None:
        return "–"
    return "yes" if one.is_evidence else "no"


def verdict(one: Comparison, first: str, second: str, figure: str) -> str:
    """Whether there is evidence that a figure of `second` differs from that of `first`, and what of."""
    if one.effect is None:
        return "nothing to compare: a setting has no such figure"
    if one.p is None:
        return f"too few seeds to tell: it takes {FEWEST} that both settings have, or {FEWEST} of each"
    if min(one.sizes or (one.n,)) < FEW:
        return f"{size(one)} seeds are too few for a reliable answer: {_answer(one, first, second, figure)}"
    return _answer(one, first, second, figure)


def _answer(one: Comparison, first: str, second: str, figure: str) -> str:
    if one.same and one.p == 1:
        return f"no difference: {figure} is equal on all {one.n} seeds"
    if one.is_evidence:
        return f"evidence of a difference: {_lies(one, first, second, figure)}, {_p(one)}"
    none = "no evidence of a difference"
    if one.same:
        return (
            f"{none}, though {_lies(one, first, second, figure)}: {one.n} seeds give {_p(one)} at the least"
        )
    if one.interval is None:
        return f"{none}: {_p(one)}; too few seeds for an interval, or most of them differ alike"
    return f"{none}: the interval of the difference, {ends(one.interval)}, contains 0, {_p(one)}"


def shown(value: float) -> str:
    """Four significant digits."""
    return f"{value + 0.0:.4g}"  # 0 is added since it makes 0 of a minus zero


def _lies(one: Comparison, first: str, second: str, figure: str) -> str:
    assert one.effect is not None
    word = "higher" if one.effect > 0 else "lower"
    if one.interval is None:
        amount = shown(abs(one.effect)) + (f" on each of {one.n} seeds" if one.same else "")
    else:
        low, high = (
            sorted(map(abs, one.interval)) if one.interval.low * one.interval.high > 0 else one.interval
        )
        half = (high - low) / 2
        amount = f"{_to(abs(one.effect), half)} ({_end(low, half)} to {_end(high, half)})"
    return f"{figure} is {word} by {amount} with {second} than with {first}"


def _p(one: Comparison) -> str:
    assert one.adjusted is not None
    digits = 4 if 0.045 < one.adjusted < 0.055 else 2  # so that it shows on which side of 0.05 it is
    value = "p < 0.001" if one.adjusted < 0.001 else f"p = {one.adjusted:.{digits}g}"
    how = one.test + (
        f", Bonferroni's correction for {one.comparisons} comparisons" if one.comparisons > 1 else ""
    )
    return f"{value} ({how})"


def _end(value: float, half: float) -> str:
    """An end of an interval: whether it reaches 0 shows."""
    text = _to(value, half)
    return f"{value:.1g}" if value and not float(text) else text


def _to(value: float, half: float) -> str:
    """A value to the second digit of `half`, the width that makes further ones meaningless."""
    if not half or not math.isfinite(half) or abs(value) >= 1e6 or half < 1e-6:
        return shown(value)
    digits = max(0, 1 - math.floor(math.log10(half)))
    text = f"{value:.{digits}f}"
    return text if float(text) else text.removeprefix("-")
