"""`mlprun verify`: do engines agree, are gradients right, and which mistake makes a curve differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun import api, figures
from mlprun.cli.options import AllowCode, Force, check_writable, save
from mlprun.cli.terminal import Output, Table
from mlprun.cli.validate import divide
from mlprun.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from mlprun.verification.agreement import Difference
    from mlprun.verification.references import ReferenceComparison
    from mlprun.verification.verify import Verification


def verify_command(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG... [KEY=VALUE]...", help="Configs, and KEY=VALUE overrides."),
    ],
    *,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=1, help="Steps to compare; default 100, or 10 with ReLU-like activations."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="OTHER", help="A run, a config or a CSV of losses to compare with."
        ),
    ] = None,
    coordinates: Annotated[
        int, typer.Option("--coordinates", min=1, help="Maximum number of gradient entries to check.")
    ] = 2000,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Draw all loss curves to a file.")
    ] = None,
    force: Force = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print one Markdown table with a row per config.")
    ] = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Train with every engine from the same weights and compare.

    mlprun verify configs/moons.yaml
    mlprun verify configs/xor.yaml --against my_losses.csv --plot curves.png
    mlprun verify configs/moons*.yaml --markdown

    For each pair of engines: the largest difference in the first gradient, the
    loss curve and the weights afterwards, also in roundings of the precision, and
    its bound. First gradients may differ by 1e-5 (float32) or 1e-12 (float64) of
    the largest; afterwards an engine may be 4 times as far from torch in float64
    as torch's own float32 is. Where float32 strays from float64 within the steps,
    fewer are compared. Every gradient is compared with central differences in
    float64.

    OTHER is a run folder, another config, or a CSV that a script of your own wrote:
    a column loss or train_loss, a row for each epoch, recorded before the update.
    Where its curve differs, the classic mistakes are tried: a factor between sum
    and mean, a missing bias, another definition of the loss, or two of these.

    --json prints {"agree", "configs": [{"config", "agree", "dtype", "epochs", "steps",
      "engines": [NAME, ...], "refused": {NAME: REASON},
      "pairs": [{"engines": [A, B], "agree", "gradient": D or null, "curve": D,
        "weights": D}],
      "gradients": [{"engine", "agree", "parameters", "checked", "kinks", "wrong",
        "difference", "largest", "bound", "where"}],
      "against": {"other", "kind": "run" | "config" | "curve", "agree", "rows",
        "difference", "bound", "precision", "first_epoch": epoch or null, "notes": [...],
        "explanations": [{"traps": [{"kind", "text"}], "difference": d or null,
          "rows"}]} or null,
      "problems": [...]}]}
      where D is {"difference", "roundings", "bound": b or null, "agree"}; kinds of
      traps (mistakes) are factor, bias, initialisation, logged loss; an explanation
      that was not tried has the difference null.

    Exit codes: 0 all agree, 2 config or usage, 3 data, 4 run folder, 6 device,
    7 files, 10 they do not agree, 130 Ctrl-C.
    """
    configs, overrides = divide(arguments)
    if len(configs) > 1 and (against is not None or plot is not None):
        raise UsageError("verify", "--against and --plot are for one config", "name one")
    if plot is not None:
        form = figures.format_of(plot)
        check_writable(plot, force=force)
    results = {}
    for config in configs:
        results[config] = api.verify(
            config,
            *overrides,
            steps=steps,
            against=against,
            coordinates=coordinates,
            allow_code=allow_code,
            say=output.message,
        )
        if not markdown:
            output.result(*_report(config, results[config]))
    output.document(
        {
            "agree": all(one.agrees for one in results.values()),
            "configs": [_document(config, one) for config, one in results.items()],
        }
    )
    if markdown:
        output.result(*_markdown(results))
    if plot is not None:
        save(plot, figures.encode(figures.agreement(results[configs[0]]), form), force=force)
        output.message(f"curves drawn in {plot}")
    _raise_if_failed(results)


def _raise_if_failed(results: Mapping[str, "Verification"]) -> None:
    failed = {config: one for config, one in results.items() if not one.agrees}
    if not failed:
        return
    config, first = next(iter(failed.items()))
    what = "; ".join(first.problems[:3])
    if len(first.problems) > 3:
        what += f"; and {len(first.problems) - 3} more"
    more = f" ({len(failed)} of {len(results)} configs do not agree)" if len(results) > 1 else ""
    if first.comparison is not None and not first.comparison.agrees:
        unexplained = "no mistake that was tried explains it: compare setups"
        remedy = "see above what may explain it" if first.comparison.explanations else unexplained
    elif first.outlier is not None:
        remedy = f"only {first.outlier} differs from the others: report it, and use another engine"
    else:
        remedy = "report it, and use engine: torch, which is the definition"
    raise CheckFailedError(config, what + more, remedy)


def _report(config: str, result: "Verification") -> Iterator[str | Table]:
    """Lines and tables about one config."""
    yield f"{config}: {_plural(result.steps, 'step')} ({_plural(result.epochs, 'epoch')})"
    if result.epochs < result.requested_epochs:
        yield (
            f"not {result.requested_epochs} epochs: after these, rounding alone moves torch's float32 by a "
            "thousandth"
        )
    for name, reason in result.refused.items():
        yield f"without {name}: {reason}"
    if len(result.engines) == 1:
        yield f"only {result.engines[0]} runs this config: nothing but its gradients is checked"
    pairs = [
        (
            f"{pair.one}, {pair.other}",
            name,
            _short(one.value),
            f"{one.roundings:.3g}",
            "reference" if one.bound is None else _short(one.bound),
            "" if one.bound is None else _yes_or_no(agrees=one.agrees),
        )
        for pair in result.pairs
        for name, one in pair.differences.items()
    ]
    yield ""
    yield Table(("engines", "of", "difference", "roundings", "bound", "agree"), pairs, "largest differences")
    checks = [
        (
            one.engine,
            f"{one.checked} of {one.parameters}",
            one.kinks,
            _short(one.difference / one.unit),
            _short(one.bound / one.unit),
            one.where,
            _yes_or_no(agrees=one.agrees) + (f", {one.wrong} wrong" if one.wrong else ""),
        )
        for one in result.checks
    ]
    relative = ", relative to the largest" if all(one.unit == one.largest for one in result.checks) else ""
    columns = ("engine", "checked", "at kinks", "difference", "bound", "at", "agree")
    yield ""
    yield Table(columns, checks, f"gradients and central differences{relative}")
    yield ""
    if result.comparison is not None:
        yield from _report_comparison(result.comparison)


def _report_comparison(one: "ReferenceComparison") -> Iterator[str]:
    name, epochs = one.reference.name, f"{_plural(one.rows, 'epoch')} in common"
    sizes = f"largest difference {_short(one.difference)}, bound {_short(one.bound)}"
    if one.agrees:
        how = "to the digits written" if one.reference.margin.any() else f"in {one.reference.dtype}"
        yield f"{name}: the same curve {how}; {epochs}, {sizes}"
    else:
        yield f"{name}: another curve from epoch {one.first_epoch} on; {epochs}, {sizes}"
        if not one.explanations:
            yield "  no mistake that was tried explains it"
    for number, explanation in enumerate(one.explanations):
        for index, mistake in enumerate(explanation.mistakes):
            yield f"  {'and' if index else 'or' if number else 'because'}: {mistake.text}"
        if explanation.difference is not None:
            rows = explanation.rows
            where = "" if rows == one.rows else f" in the first {_plural(rows, 'row')}"
            yield f"  with that, the largest difference{where} is {_short(explanation.difference)}"
    yield from (f"  {note}" for note in one.notes)


def _yes_or_no(*, agrees: bool) -> str:
    return "yes" if agrees else "NO"


def _plural(count: int, noun: str) -> str:
    """`1 step`, `100 steps`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _short(value: float) -> str:
    return f"{value:.2g}"


def _document(config: str, result: "Verification") -> Mapping[str, Any]:
    return {
        "config": config,
        "agree": result.agrees,
        "dtype": result.dtype,
        "epochs": result.epochs,
        "steps": result.steps,
        "engines": list(result.engines),
        "refused": result.refused,
        "pairs": [
            {
                "engines": [pair.one, pair.other],
                "agree": pair.agrees,
                "gradient": _difference(pair.gradient),
                "curve": _difference(pair.curve),
                "weights": _difference(pair.weights),
            }
            for pair in result.pairs
        ],
        "gradients": [{"agree": one.agrees, **asdict(one)} for one in result.checks],
        "against": None if result.comparison is None else _comparison(result.comparison),
        "problems": list(result.problems),
    }


def _difference(one: "Difference | None") -> Mapping[str, Any] | None:
    if one is None:
        return None
    return {"difference": one.value, "roundings": one.roundings, "bound": one.bound, "agree": one.agrees}


def _comparison(one: "ReferenceComparison") -> Mapping[str, Any]:
    return {
        "other": one.reference.name,
        "kind": one.reference.kind,
        "agree": one.agrees,
        "rows": one.rows,
        "difference": one.difference,
        "bound": one.bound,
        "precision": one.reference.dtype,
        "first_epoch": one.first_epoch,
        "notes": list(one.notes),
        "explanations": [
            {
                "traps": [asdict(mistake) for mistake in explanation.mistakes],
                "difference": explanation.difference,
                "rows": explanation.rows,
            }
            for explanation in one.explanations
        ],
    }


def _markdown(results: Mapping[str, "Verification"]) -> Sequence[str]:
    """The lines of a Markdown table: the largest differences of any pair, a row for each config."""
    lines = [
        "| config | steps | engines | gradient | curve | weights | central differences | float32 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for config, result in results.items():
        double = [pair.differences for pair in result.pairs if "float32" not in f"{pair.one} {pair.other}"]
        largest = [
            _short(max(one[name].value / (one[name].magnitude or 1) for one in double)) if double else ""
            for name in ("gradient", "curve", "weights")
        ]
        single = [
            one.agrees
            for pair in result.pairs
            for one in pair.differences.values()
            if one.dtype == "float32" and one.bound is not None
        ]
        verdict = "" if not single else ("within bounds" if all(single) else "NOT within bounds")
        checks = _short(max(one.difference / one.unit for one in result.checks))
        cells = [config, f"{result.steps}", ", ".join(result.engines), *largest, checks, verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
