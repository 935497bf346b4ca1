"""`mlprun reproduce`: train a run again and compare."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from mlprun.cli.terminal import Output, Table
from mlprun.cli.trust import RunCode
from mlprun.errors import CheckFailedError

if TYPE_CHECKING:
    from mlprun.training import Reproduction

SHOWN = 12
"""rows of the table of what differs most"""


def command(
    run: Annotated[str, typer.Argument(help="the run folder")],
    *,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=0.0, help="How far figures and weights may be apart; 0 means equal bytes."
        ),
    ] = 0.0,
    out: Annotated[
        str | None, typer.Option("--out", help="Keep the new run in this folder; by default it is removed.")
    ] = None,
    allow_code: RunCode = False,
    output: Output,
) -> None:
    """Train a run again elsewhere and compare history and weights.

    mlprun reproduce runs/moons-001
    mlprun reproduce runs/moons-001 --tolerance 1e-6 --out again

    Without a tolerance every row of the history and every tensor must be the
    same, to the byte. With one, figures and weights may be apart by
    |a - b| / max(1, |a|, |b|). When they differ, everything recorded that is
    not so now is named: versions, CPU, threads, data, user code.

    --json prints {"run", "again": folder or null, "equal", "tolerance", "largest",
      "first_epoch": epoch or null, "rows": [recorded, now], "history": {COLUMN: d},
      "weights": {"best" | "last": {TENSOR: d}}, "differences": [...]};
      a difference d that is infinite is null.

    Exit codes: 0 the same, 2 usage, 3 data, 4 run folder, 6 device, 7 files,
    9 memory, 10 different, 130 Ctrl-C, 143 SIGTERM.
    """
    from mlprun import api
    from mlprun.cli.progress import Follower

    with closing(Follower(output)) as follower:
        made = api.reproduce(run, out=out, allow_code=allow_code, reporter=follower)
    kept = made.path if out is not None else None
    names = ("largest", "first_epoch", "rows", "history", "weights", "differences")
    found = {name: getattr(made, name) for name in names}
    output.document({"run": run, "again": kept, "equal": made.equal, "tolerance": tolerance, **found})
    _tell(made, output)
    if not made.equal and not (tolerance > 0 and made.largest <= tolerance):
        raise CheckFailedError(run, _what(made), _remedy(made))


def _tell(made: "Reproduction", output: Output) -> None:
    if made.equal:
        output.result("history and weights are the recorded ones, byte for byte")
        return
    found = [("history", name, value) for name, value in made.history.items()]
    found += [
        (kind, name, value) for kind, tensors in made.weights.items() for name, value in tensors.items()
    ]
    most = sorted((row for row in found if row[2] > 0), key=lambda row: -row[2])[:SHOWN]
    if most:
        output.result(Table(("of", "name", "largest difference"), most, "what differs most"))
    for difference in made.differences:
        output.result(f"different now: {difference}")


def _what(made: "Reproduction") -> str:
    where = "" if made.first_epoch is None else f", first in the history at epoch {made.first_epoch}"
    return f"was not reproduced: the largest difference is {made.largest:.3g}{where}"


def _remedy(made: "Reproduction") -> str:
    if made.differences:
        return f"different now: {'; '.join(made.differences)}"
    return "nothing that is recorded is different now; a larger --tolerance forgives it"
