"""Parameters of many values: the direction of a figure, against SciPy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.stats

from mlprun.analysis.comparisons import correlate, has_many_values
from mlprun.analysis.significance import spearman
from mlprun.analysis.summary import summarize
from mlprun.errors import UsageError
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.schema import Trial

from .conftest import describe, write

DRAW = np.random.default_rng(4)


@pytest.mark.parametrize("n", [4, 9, 40, 500])
@pytest.mark.parametrize("digits", [1, 8])  # with ties, and without
def test_a_rank_correlation_is_scipys(n: int, digits: int) -> None:
    pairs = DRAW.normal(size=(n, 2)).round(digits)
    pairs[:, 1] = (pairs[:, 1] - 0.3 * pairs[:, 0]).round(digits)
    found = spearman([(float(one), float(other)) for one, other in pairs])
    expected = scipy.stats.spearmanr(pairs)
    assert found == (n, pytest.approx(expected.statistic), pytest.approx(expected.pvalue))


def test_what_has_no_direction_has_no_correlation() -> None:
    assert spearman([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]) == (3, None, None)
    assert spearman([(float(k), 1.0) for k in range(9)]) == (9, None, None)
    assert spearman([(float(k), -(k**3.0)) for k in range(9)])[1:] == (pytest.approx(-1), pytest.approx(0))


def sweep(path, values):
    noise = DRAW.normal(0, 0.05, (len(values), 3))
    trials = [
        Trial(10 * k + seed, k + 1, seed, status="finished", figures={"dev_loss": k / 9 + noise[k, seed]})
        for k in range(len(values))
        for seed in range(3)
    ]
    settings = {k: {"optimizer.lr": value} for k, value in enumerate(values, start=1)}
    write(path, describe(parameters=("optimizer.lr",)), trials, settings)
    with open_sweep(str(path)).results() as results:
        return summarize(results)


def test_drawn_numbers_are_correlated_over_settings(tmp_path, call) -> None:
    values = np.sort(DRAW.random(20)).tolist()
    summary = sweep(tmp_path, values)
    assert has_many_values(summary, "lr")
    loss, success = correlate(summary, "lr")
    means = [line.stats.mean for line in sorted(summary.lines, key=lambda line: line.setting.id)]
    assert loss.spearman.rho == pytest.approx(scipy.stats.spearmanr(values, means).statistic)
    assert loss.verdict.startswith("evidence that dev_loss rises with lr: rank correlation ")
    assert loss.verdict.endswith(" over 20 settings, p < 0.001 (Spearman)")
    assert success.verdict.startswith(
        "too few settings, or all alike: nothing tells whether the success rate"
    )
    code, out, err = call("sweep", "compare", tmp_path, "--by", "lr")
    assert (code, err, out.splitlines()[:2]) == (0, "", [loss.verdict, success.verdict])
    told = json.loads(call("sweep", "compare", tmp_path, "--by", "lr", "--json")[1])
    assert told["comparisons"] == []
    assert [(one["parameter"], one["metric"]) for one in told["correlations"]] == [
        ("optimizer.lr", "dev_loss"),
        ("optimizer.lr", "success"),
    ]


def test_few_values_are_compared_and_many_words_refused(tmp_path) -> None:
    (tmp_path / "few").mkdir()
    assert not has_many_values(sweep(tmp_path / "few", [1, 2, 3]), "lr")
    with pytest.raises(UsageError, match=r"lr has 9 values, .* and they are not numbers"):
        has_many_values(sweep(tmp_path, list("abcdefghi")), "lr")
