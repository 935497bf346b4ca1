"""`mlprun sweep compare`: settings of a sweep against one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.analysis import columns, comparisons, report_text
from mlprun.analysis.comparisons import compare as compared
from mlprun.analysis.summary import summarize
from mlprun.cli.options import Metric, Of, check_of
from mlprun.cli.reference import inline
from mlprun.cli.sweep.show import survivors
from mlprun.cli.terminal import Output, Table
from mlprun.sweeps.folder import open_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.analysis.comparisons import Correlation, Group, Pair

SENTENCES = 6
"""comparisons that are told in words, at most: of more those that are clearest"""


def compare_command(
    folder: Annotated[str, typer.Argument(help="the sweep's folder")],
    settings: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="[SETTING SETTING]...",
            help="settings by their numbers in `sweep show`; all pairs of them",
        ),
    ] = None,
    *,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="PARAMETER", help="Compare its values over all other settings."),
    ] = None,
    metric: Metric = None,
    of: Of = "best",
    output: Output,
) -> None:
    """Say whether settings differ: the effect, its 95% interval, and the evidence in words.

    mlprun sweep compare runs/xor_width-001 3 5
    mlprun sweep compare runs/xor_width-001 3 5 7 --metric test_loss
    mlprun sweep compare runs/xor_width-001        the best setting against each other
    mlprun sweep compare runs/xor_width-001 --by optimizer.lr

    The effect is the second setting's figure less the first's, seed by seed: the
    mean difference over the seeds that both settings have, with Student's t
    interval of it; without common seeds it is the difference of the means (Welch).
    A sweep whose objective is a median is compared by the median of differences
    (Hodges and Lehmann) and Wilcoxon's signed ranks, and so are means where one
    difference is the same on every seed. Success rates are compared by the seeds
    on which only one setting succeeds (McNemar's test, Tango's interval), with folds
    by each seed's share of successes, as means are. With --by the values of one
    parameter are compared: seed by seed the means over all settings that have a
    partner alike in everything else; a trial that diverged takes only its partner
    away. A number with more than eight values, as drawn ones have, is correlated
    with the figure instead, over settings and by ranks (Spearman). An interval
    inverts the test beside it: it excludes 0 if and only if p is at most 0.05. For
    several comparisons both are corrected (Bonferroni), so that all intervals cover
    the truth with a probability of 95%. Two seeds have no interval and no p, and
    what fewer than five say is called unreliable. The best setting was chosen by
    the same seeds, so that its lead is rather too large than too small.

    --json prints {"sweep", "metric", "of", "comparisons": [{"first", "second",
      "figure", "n", "paired", "sizes", "left_out", "effect", "interval": [LOW, HIGH],
      "test", "p", "adjusted_p", "evidence": true | false | null, "verdict"}],
      "correlations": [{"parameter", "figure", "n", "rho", "p", "verdict"}]}; "figure"
      is the metric or "success", "first" and "second" are settings' numbers (with
      --by values), "sizes" are those of two samples without common seeds, n their
      sum, "left_out" counts the figures of only one of them, "interval" is that of
      "adjusted_p", and null stands for what so few seeds cannot say.

    Exit codes: 0 done, 2 usage, 4 not a sweep, 7 files.
    """
    check_of(of)
    with open_sweep(folder).results() as results:
        summary = summarize(results, metric=metric, of=of)
    by_many = by is not None and not settings and comparisons.has_many_values(summary, by)
    correlations = comparisons.correlate(summary, by) if by is not None and by_many else []
    pairs = [] if by_many else compared(summary, settings or (), by)
    plain = summary.column.removeprefix(columns.LAST)
    output.document(
        {
            "sweep": folder,
            "metric": plain,
            "of": of,
            "comparisons": [_document(pair) for pair in pairs],
            "correlations": [_correlation(one) for one in correlations],
        }
    )
    for one in correlations:
        output.result(one.verdict)
    if any(one.spearman.rho is not None for one in correlations):
        output.result("what is best in the middle has no such direction: mlprun plot shows it")
    for figure in dict.fromkeys(pair.metric for pair in pairs):
        _show([pair for pair in pairs if pair.metric == figure], summary.description.success, output)
    numbers = [side.key for pair in pairs for side in (pair.first, pair.second)]
    for text in survivors([line for line in summary.lines if by or line.setting.id in numbers]):
        output.result(text)


def _show(pairs: Sequence[Pair], success: Mapping[str, Any] | None, output: Output) -> None:
    figure = pairs[0].metric
    title = f"success rate ({success['text']})" if figure == "success" and success else figure
    count = pairs[0].comparison.comparisons
    corrected = f", corrected for {count} comparisons (Bonferroni)" if count > 1 else ""
    output.result(_table(pairs, f"{title}, second less first{corrected}"), "")
    if len(pairs) > SENTENCES:
        clear = [pair for pair in pairs if pair.comparison.is_evidence]
        output.result(f"evidence of a difference in {len(clear)} of {len(pairs)} comparisons")
        pairs = sorted(clear, key=lambda pair: pair.comparison.p or 0.0)[:SENTENCES]
    for pair in pairs:
        output.result(f"{_told(pair.first)} and {_told(pair.second)}: {pair.verdict}")
    output.result("")


def _told(side: Group) -> str:
    return columns.format_value(side.key) if isinstance(side.key, float) else inline(side.key)


def _table(pairs: Sequence[Pair], title: str) -> Table:
    several = len(pairs) > 1
    left_out = any(pair.left_out for pair in pairs)
    headings = ["first", "second", "n", *["left out"] * left_out, "effect", "95% interval", "p"]
    rows = []
    for pair in pairs:
        one = pair.comparison
        rows.append(
            (
                pair.first.label,
                pair.second.label,
                report_text.sample_size(one),
                *[pair.left_out] * left_out,
                one.effect,
                report_text.interval_text(one.interval) or "–",
                one.adjusted,
                *([report_text.evidence(one)] if several else []),
            )
        )
    return Table([*headings, *(["evidence"] if several else [])], rows, title)


def _correlation(one: Correlation) -> Mapping[str, Any]:
    return {"parameter": one.path, "figure": one.metric, **one.spearman._asdict(), "verdict": one.verdict}


def _document(pair: Pair) -> Mapping[str, Any]:
    one = pair.comparison
    return {
        "first": pair.first.key,
        "second": pair.second.key,
        "figure": pair.metric,
        "n": one.n,
        "paired": one.paired,
        "sizes": one.sizes,
        "left_out": pair.left_out,
        "effect": one.effect,
        "interval": one.interval,
        "test": one.test,
        "p": one.p,
        "adjusted_p": one.adjusted,
        "evidence": None if one.p is None else one.is_evidence,
        "verdict": pair.verdict,
    }
