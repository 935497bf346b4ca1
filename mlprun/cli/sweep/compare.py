"""`mlprun sweep compare`: significance tests between settings of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlprun.analysis import comparisons, report_text
from mlprun.analysis.comparisons import Group, Pair, compare
from mlprun.analysis.summary import summarize
from mlprun.cli.options import Metric, Of, SweepPath  # noqa: TC001 -- Typer reads them
from mlprun.cli.terminal import Output, Table
from mlprun.parts.part import inline
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.objective import LAST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SENTENCES = 6
"""maximum number of comparisons with a sentence; of more, the most significant"""


def compare_command(
    folder: SweepPath,
    settings: Annotated[
        list[int] | None, Argument(metavar="SETTING", help="see `sweep show`; compares all pairs")
    ] = None,
    *,
    by: Annotated[str | None, Option(metavar="PARAMETER", help="Compare its values.")] = None,
    metric: Metric = None,
    of: Of = "best",
    output: Output,
) -> None:
    """Test whether settings differ: effect, 95% interval, p-value and verdict.

    mlprun sweep compare runs/xor_width-001 3 5
    mlprun sweep compare runs/xor_width-001 3 5 7 --metric test_loss
    mlprun sweep compare runs/xor_width-001        best setting against all others
    mlprun sweep compare runs/xor_width-001 --by optimizer.lr

    The effect is the metric of the second setting minus that of the first: the
    mean of the paired differences over common seeds with Student's t interval, or
    the difference of means (Welch) without common seeds. If the objective is a
    median, and for means if one difference is equal on all seeds, it is the
    Hodges-Lehmann estimate with Wilcoxon's signed-rank test. Success rates are
    compared by the seeds on which only one setting succeeds (McNemar's test,
    Tango's interval); with folds the success rates of seeds are compared as means.

    --by compares the values of one parameter: per seed, the means over all settings
    that have a counterpart equal in all other parameters; a diverged trial excludes
    only its counterpart. A number with more than eight values, as in random search,
    is tested for rank correlation with the metric over settings (Spearman).

    Intervals are inverted tests: they exclude 0 if and only if p <= 0.05. Multiple
    comparisons are corrected (Bonferroni), so that all intervals hold jointly with
    95% probability. Two seeds give no interval and no p; fewer than five are
    reported as unreliable. The best setting was selected with the same seeds, so
    that its advantage tends to be overestimated.

    --json prints {"sweep", "metric", "of", "comparisons": [{"first", "second",
      "metric", "n", "paired", "sizes", "left_out", "effect", "interval": [LOW, HIGH],
      "test", "p", "adjusted_p", "evidence": true | false | null, "verdict"}],
      "correlations": [{"parameter", "metric", "n", "rho", "p", "verdict"}]}; "metric"
      is a metric or "success", "first" and "second" are numbers of settings (values
      with --by), "sizes" are the sample sizes without common seeds with sum n,
      "left_out" counts values without a counterpart, "interval" belongs to
      "adjusted_p"; null if there are too few seeds.

    Exit codes: 0 success, 2 usage, 4 not a sweep, 7 files.
    """
    with open_sweep(folder).results() as results:
        summary = summarize(results, metric=metric, of=of)
    by_many = by is not None and not settings and comparisons.has_many_values(summary, by)
    correlations = comparisons.correlate(summary, by) if by is not None and by_many else []
    pairs = [] if by_many else compare(summary, settings or (), by)
    documents = {
        "comparisons": [_document(pair) for pair in pairs],
        "correlations": [
            {"parameter": one.path, "metric": one.metric, **one.spearman._asdict(), "verdict": one.verdict}
            for one in correlations
        ],
    }
    output.document({"sweep": folder, "metric": summary.column.removeprefix(LAST), "of": of, **documents})
    for one in correlations:
        output.result(one.verdict)
    if any(one.spearman.rho is not None for one in correlations):
        output.result("a rank correlation misses an optimum in the middle of the range; see mlprun plot")
    for name in dict.fromkeys(pair.metric for pair in pairs):
        _show([pair for pair in pairs if pair.metric == name], summary.description.success, output)
    compared = [side.key for pair in pairs for side in (pair.first, pair.second)]
    for text in report_text.unpruned([line for line in summary.lines if by or line.setting.id in compared]):
        output.result(text)


def _show(pairs: Sequence[Pair], success: Mapping[str, Any] | None, output: Output) -> None:
    metric = pairs[0].metric
    title = f"success rate ({success['text']})" if metric == "success" and success else metric
    count = pairs[0].comparison.comparisons
    corrected = f", corrected for {count} comparisons (Bonferroni)" if count > 1 else ""
    output.result(_table(pairs, f"{title}, difference (second − first){corrected}"), "")
    if len(pairs) > SENTENCES:
        clear = [pair for pair in pairs if pair.comparison.is_evidence]
        output.result(f"significant differences: {len(clear)} of {len(pairs)} comparisons")
        pairs = sorted(clear, key=lambda pair: pair.comparison.p or 0.0)[:SENTENCES]
    for pair in pairs:
        output.result(f"{_name(pair.first)} and {_name(pair.second)}: {pair.verdict}")
    output.result("")


def _name(group: Group) -> str:
    return report_text.format_value(group.key) if isinstance(group.key, float) else inline(group.key)


def _table(pairs: Sequence[Pair], title: str) -> Table:
    headings = ("first", "second", "n", "left out", "effect", "95% interval", "p", "evidence")
    rows = []
    for pair in pairs:
        one, sides = pair.comparison, (pair.first.label, pair.second.label)
        interval = report_text.interval_text(one.interval) or "–"
        size = report_text.sample_size(one)
        effect = (one.effect, interval, one.adjusted, report_text.evidence(one))
        rows.append((*sides, size, pair.left_out, *effect))
    return Table(headings, rows, title)


def _document(pair: Pair) -> Mapping[str, Any]:
    one = pair.comparison
    return {
        "first": pair.first.key,
        "second": pair.second.key,
        "metric": pair.metric,
        "left_out": pair.left_out,
        **{name: getattr(one, name) for name in ("n", "paired", "sizes", "effect", "interval", "test", "p")},
        "adjusted_p": one.adjusted,
        "evidence": None if one.p is None else one.is_evidence,
        "verdict": pair.verdict,
    }
