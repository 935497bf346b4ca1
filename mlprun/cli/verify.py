"""`mlprun verify`: do engines agree, are gradients right, and which mistake makes a curve differ."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from mlprun import api, figures
from mlprun.cli.options import AllowCode, Configs, Force, Plot, check_writable, save
from mlprun.cli.terminal import Output, Table
from mlprun.cli.validate import divide
from mlprun.errors import CheckFailedError, UsageError, plural

if TYPE_CHECKING:
    from mlprun.verification.agreement import Difference
    from mlprun.verification.gradcheck import GradientCheck
    from mlprun.verification.references import ReferenceComparison
    from mlprun.verification.verify import Verification


def verify_command(
    arguments: Configs,
    *,
    steps: Annotated[
        int | None, Option(min=1, help="Steps to compare (100, with ReLU-like activations 10).")
    ] = None,
    against: Annotated[
        str | None, Option(metavar="OTHER", help="Run, config or CSV of losses to compare with.")
    ] = None,
    coordinates: Annotated[int, Option(min=1, help="Gradient entries to check, at most.")] = 2000,
    plot: Plot = None,
    force: Force = False,
    markdown: Annotated[bool, Option("--markdown", help="Print one Markdown table.")] = False,
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
    limits: dict[str, Any] = {"steps": steps, "coordinates": coordinates, "against": against}
    for config in configs:
        results[config] = api.verify(config, *overrides, **limits, allow_code=allow_code, say=output.message)
        if not markdown:
            output.result(*_report(config, results[config]))
    documents = [_document(config, one) for config, one in results.items()]
    output.document({"agree": all(one.agrees for one in results.values()), "configs": documents})
    if markdown:
        output.result(*_markdown(results))
    if plot is not None:
        save(plot, figures.encode(figures.agreement(results[configs[0]]), form), force=force)
        output.message(f"curves drawn in {plot}")
    _raise_if_failed(results)


def _raise_if_failed(results: Mapping[str, "Verification"]) -> None:
    for config, one in results.items():
        if not one.agrees:
            remedy = "report it, and use engine: torch, which is the definition"
            if one.comparison is not None and not one.comparison.agrees:
                unexplained = "no mistake that was tried explains it: compare setups"
                remedy = "see above what may explain it" if one.comparison.explanations else unexplained
            raise CheckFailedError(config, "; ".join(one.problems), remedy)


def _report(config: str, result: "Verification") -> Iterator[str | Table]:
    """Lines and tables about one config."""
    yield f"{config}: {plural(result.steps, 'step')} ({plural(result.epochs, 'epoch')})"
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
        (f"{pair.one}, {pair.other}", name, _short(one.value), f"{one.roundings:.3g}", *_bound(one))
        for pair in result.pairs
        for name, one in pair.differences.items()
    ]
    columns: tuple[str, ...] = ("engines", "of", "difference", "roundings", "bound", "agree")
    yield ""
    yield Table(columns, pairs, "largest differences")
    checks = []
    for check in result.checks:
        checked = f"{check.checked} of {check.parameters}"
        difference, bound = (_short(size / check.unit) for size in (check.difference, check.bound))
        verdict = _verdict(check) + f", {check.wrong} wrong" * bool(check.wrong)
        checks.append((check.engine, checked, check.kinks, difference, bound, check.where, verdict))
    relative = ", relative to the largest" if all(one.unit == one.largest for one in result.checks) else ""
    columns = ("engine", "checked", "at kinks", "difference", "bound", "at", "agree")
    yield ""
    yield Table(columns, checks, f"gradients and central differences{relative}")
    yield ""
    if result.comparison is not None:
        yield from _report_comparison(result.comparison)


def _report_comparison(one: "ReferenceComparison") -> Iterator[str]:
    name, epochs = one.reference.name, f"{plural(one.rows, 'epoch')} in common"
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
            yield f"  with that, the largest difference is {_short(explanation.difference)}"
    yield from (f"  {note}" for note in one.notes)


def _bound(one: "Difference") -> tuple[str, str]:
    return ("reference", "") if one.bound is None else (_short(one.bound), _verdict(one))


def _verdict(one: "Difference | GradientCheck") -> str:
    return "yes" if one.agrees else "NO"


def _short(value: float) -> str:
    return f"{value:.2g}"


def _document(config: str, result: "Verification") -> Mapping[str, Any]:
    names = ("dtype", "epochs", "steps", "engines", "refused", "problems")
    pairs = []
    for pair in result.pairs:
        differences = {name: _difference(one) for name, one in pair.differences.items()}
        head = {"engines": [pair.one, pair.other], "agree": pair.agrees, "gradient": None}
        pairs.append({**head, **differences})
    return {
        "config": config,
        "agree": result.agrees,
        **{name: getattr(result, name) for name in names},
        "pairs": pairs,
        "gradients": [{"agree": one.agrees, **asdict(one)} for one in result.checks],
        "against": None if result.comparison is None else _comparison(result.comparison),
    }


def _difference(one: "Difference") -> Mapping[str, Any]:
    return {"difference": one.value, "roundings": one.roundings, "bound": one.bound, "agree": one.agrees}


def _comparison(one: "ReferenceComparison") -> Mapping[str, Any]:
    reference = one.reference
    explanations = [asdict(each) for each in one.explanations]
    names = ("rows", "difference", "bound", "first_epoch", "notes")
    return {
        "other": reference.name,
        "kind": reference.kind,
        "agree": one.agrees,
        "precision": reference.dtype,
        **{name: getattr(one, name) for name in names},
        "explanations": [{"traps": each.pop("mistakes"), **each} for each in explanations],
    }


def _markdown(results: Mapping[str, "Verification"]) -> Iterator[str]:
    """The lines of a Markdown table: the largest differences of any pair, a row for each config."""
    yield "| config | steps | engines | gradient | curve | weights | central differences | float32 |"
    yield "|---|---|---|---|---|---|---|---|"
    for config, result in results.items():
        cells = [config, f"{result.steps}", ", ".join(result.engines)]
        every = [(name, one) for pair in result.pairs for name, one in pair.differences.items()]
        for part in ("gradient", "curve", "weights"):
            double = [one for name, one in every if name == part and one.dtype == "float64"]
            cells.append(_short(max(one.value / (one.magnitude or 1) for one in double)) if double else "")
        cells.append(_short(max(one.difference / one.unit for one in result.checks)))
        single = [one.agrees for _, one in every if one.dtype == "float32" and one.bound is not None]
        cells.append(("within bounds" if all(single) else "NOT within bounds") * bool(single))
        yield f"| {' | '.join(cells)} |"
