"""What `mlprun verify` says of a verification: tables, the document of `--json`, lines in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.cli.terminal import Output, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.verification import Difference, Held, Verification


def tell(config: str, found: Verification, output: Output) -> None:
    """The tables of one config."""
    output.result(f"{config}: {plural(found.steps, 'step')} ({plural(found.epochs, 'epoch')})")
    if found.epochs < found.asked:
        output.result(
            f"not {found.asked} epochs: after these rounding alone moves torch's float32 by a thousandth"
        )
    for name, reason in found.refused.items():
        output.result(f"{name} does not take part: {reason}")
    if len(found.engines) == 1:
        output.result(f"{found.engines[0]} stands alone: only its gradients are held against anything")
    output.result("", _of_pairs(found), "", _of_gradients(found), "")
    if found.held is not None:
        _tell_held(found.held, output)


def _of_pairs(found: Verification) -> Table:
    rows = [
        (
            f"{pair.one}, {pair.other}",
            name,
            _short(one.value),
            f"{one.units:.3g}",
            "yardstick" if one.bound is None else _short(one.bound),
            "" if one.bound is None else _agrees(agrees=one.agrees),
        )
        for pair in found.pairs
        for name, one in pair.differences.items()
    ]
    columns = ("engines", "of", "difference", "roundings", "bound", "agree")
    return Table(columns, rows, "largest differences")


def _of_gradients(found: Verification) -> Table:
    rows = [
        (
            one.engine,
            f"{one.checked} of {one.parameters}",
            one.kinks,
            _short(one.difference / one.unit),
            _short(one.bound / one.unit),
            one.where,
            _agrees(agrees=one.agrees) + (f", {one.wrong} wrong" if one.wrong else ""),
        )
        for one in found.checks
    ]
    columns = ("engine", "checked", "at kinks", "difference", "bound", "at", "agree")
    shares = ", in shares of the largest" if all(one.unit == one.magnitude for one in found.checks) else ""
    return Table(columns, rows, f"gradients against central differences{shares}")


def _agrees(*, agrees: bool) -> str:
    return "yes" if agrees else "NO"


def _tell_held(held: Held, output: Output) -> None:
    epochs = f"{plural(held.rows, 'epoch')} in common"
    sizes = f"largest difference {_short(held.difference)}, bound {_short(held.bound)}"
    if held.agrees:
        how = "to the digits written" if held.rival.printed.any() else f"in {held.rival.dtype}"
        output.result(f"{held.rival.name}: the same curve {how}; {epochs}, {sizes}")
    else:
        output.result(f"{held.rival.name}: another curve from epoch {held.first_epoch} on; {epochs}, {sizes}")
        if not held.explanations:
            output.result("  none of the traps that were tried explains it")
    for number, explanation in enumerate(held.explanations):
        word = "or" if number else "because"
        for trap in explanation.traps:
            output.result(f"  {word}: {trap.text}")
            word = "and"
        if explanation.difference is not None:
            where = (
                "" if explanation.rows == held.rows else f" in the first {plural(explanation.rows, 'row')}"
            )
            output.result(f"  with that, the largest difference{where} is {_short(explanation.difference)}")
    for note in held.notes:
        output.result(f"  {note}")


def plural(count: int, noun: str) -> str:
    """`1 step`, `100 steps`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _short(value: float) -> str:
    return f"{value:.2g}"


def document(found: Mapping[str, Verification]) -> Mapping[str, Any]:
    """What `--json` says."""
    return {
        "agree": all(one.agrees for one in found.values()),
        "configs": [_config(config, one) for config, one in found.items()],
    }


def _config(config: str, found: Verification) -> Mapping[str, Any]:
    return {
        "config": config,
        "agree": found.agrees,
        "dtype": found.dtype,
        "epochs": found.epochs,
        "steps": found.steps,
        "engines": list(found.engines),
        "refused": found.refused,
        "pairs": [
            {
                "engines": [pair.one, pair.other],
                "agree": pair.agrees,
                "gradient": _difference(pair.gradient),
                "curve": _difference(pair.curve),
                "weights": _difference(pair.weights),
            }
            for pair in found.pairs
        ],
        "gradients": [
            {
                "engine": one.engine,
                "agree": one.agrees,
                "parameters": one.parameters,
                "checked": one.checked,
                "kinks": one.kinks,
                "wrong": one.wrong,
                "difference": one.difference,
                "largest": one.magnitude,
                "bound": one.bound,
                "where": one.where,
            }
            for one in found.checks
        ],
        "against": None if found.held is None else _held(found.held),
        "problems": list(found.problems),
    }


def _difference(one: Difference | None) -> Mapping[str, Any] | None:
    if one is None:
        return None
    return {"difference": one.value, "roundings": one.units, "bound": one.bound, "agree": one.agrees}


def _held(held: Held) -> Mapping[str, Any]:
    return {
        "other": held.rival.name,
        "kind": held.rival.kind,
        "agree": held.agrees,
        "rows": held.rows,
        "difference": held.difference,
        "bound": held.bound,
        "precision": held.rival.dtype,
        "first_epoch": held.first_epoch,
        "notes": list(held.notes),
        "explanations": [
            {
                "traps": [{"kind": trap.kind, "text": trap.text} for trap in one.traps],
                "difference": one.difference,
                "rows": one.rows,
            }
            for one in held.explanations
        ],
    }


def table(found: Mapping[str, Verification]) -> Sequence[str]:
    """The lines of a table in Markdown: of every config the largest differences of any pair."""
    lines = [
        "| config | steps | engines | gradient | curve | weights | central differences | float32 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*lines, *(_line(config, one) for config, one in found.items())]


def _line(config: str, found: Verification) -> str:
    double = [pair for pair in found.pairs if "float32" not in f"{pair.one} {pair.other}"]
    parts = {
        name: _short(
            max(pair.differences[name].value / (pair.differences[name].magnitude or 1) for pair in double)
        )
        if double
        else ""
        for name in ("gradient", "curve", "weights")
    }
    checks = max(one.difference / one.unit for one in found.checks)
    single = [one for pair in found.pairs for one in pair.differences.values() if one.dtype == "float32"]
    agree = [one.agrees for one in single if one.bound is not None]
    verdict = "" if not agree else ("within bounds" if all(agree) else "NOT within bounds")
    cells = [config, f"{found.steps}", ", ".join(found.engines), *parts.values(), _short(checks), verdict]
    return f"| {' | '.join(cells)} |"
