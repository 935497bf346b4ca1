"""`mlprun sweep export` and `trial`: a sweep's trials as a table, and one of them as an ordinary run."""

import os
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from mlprun.analysis import export
from mlprun.analysis.summary import describe_counts
from mlprun.cli.options import AllowCode, Force, Out, SweepPath, save
from mlprun.cli.progress import RunProgress
from mlprun.cli.terminal import Output
from mlprun.errors import CheckFailedError, UsageError, command_line
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.objective import SOUND, UNSOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.sweeps.schema import TrialStatus

FORMATS = ("csv", "parquet")


def export_command(
    folder: SweepPath,
    *,
    to: Annotated[str | None, Option(help="csv or parquet (default: as FILE ends).")] = None,
    out: Annotated[
        str, Option("--out", "-o", metavar="FILE", help="Output file; - for standard output.")
    ] = "-",
    force: Force = False,
    output: Output,
) -> None:
    """Export the trials of a sweep as a table, one row per trial.

    mlprun sweep export runs/xor_width-001 --to csv -o trials.csv
    mlprun sweep export runs/xor_width-001 -o trials.parquet
    mlprun sweep export runs/xor_width-001 | head

    Columns: trial, setting, the parameters by dotted path (lists as JSON), seed,
    fold, status, engine, epochs, best_epoch, seconds, error, then the metrics:
    test_loss is of the best epoch, last_test_loss of the last one. An empty cell
    is a metric that is NaN or was not computed. Diverged trials have metrics up to
    their last finite epoch, pruned ones up to the epoch of pruning. For means as in
    `sweep show`, select the statuses finished and early_stopping.

    --json prints {"sweep", "to", "out", "trials": N, "columns": [NAME, ...]} and,
      without --out, "rows": [[...], ...].

    Exit codes: 0 success, 2 usage or the file exists, 4 not a sweep, 7 files.
    """
    to = to or os.path.splitext(out)[1].lower().removeprefix(".") or "csv"
    if to not in FORMATS:
        raise UsageError("--to", f"unknown format {to!r}", f"use --to {' or --to '.join(FORMATS)}")
    if to == "parquet" and out == "-":
        raise UsageError("--to parquet", "cannot be written to standard output", "add -o FILE")
    with open_sweep(folder).results() as results:
        names, counts = export.column_names(results.description), results.counts()
        count = sum(counts.values())
        document = {"sweep": folder, "to": to, "out": out, "trials": count, "columns": names}
        if out == "-":
            if output.as_json:
                output.document({**document, "rows": list(export.rows(results))})
            else:
                output.data(export.to_csv(results))
                _note_excluded(counts, output)
            return
        data = export.to_parquet(results) if to == "parquet" else export.to_csv(results).encode()
    save(out, data, force=force)
    output.document(document)
    output.message(f"{count:,} trials written to {out}")
    _note_excluded(counts, output)


def trial_command(
    folder: SweepPath,
    number: Annotated[int, Argument(metavar="TRIAL", max=10**9, help="see `sweep export`")],
    *,
    out: Out = "runs",
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Extract one trial as a run folder: train it again and compare.

    mlprun sweep trial runs/xor_width-001 587
    mlprun sweep trial runs/xor_width-001 587 --out best-of-xor

    Trains the trial on its own with its config and seed, and compares weights of
    the best and last epoch, history and metrics bit by bit with those stored in
    the sweep. The run can be used with `eval`, `predict`, `plot`, `show` and
    `resume`. A trial that diverged diverges again.

    --json prints {"sweep", "trial", "run", "status", "equal": true | false,
      "differences": [TEXT, ...]}, also if they differ.

    Exit codes: 0 identical, 2 no such trial, 4 not a sweep, 6 device, 7 files,
    9 memory, 10 the run differs from the trial, 130 Ctrl-C, 143 SIGTERM.
    """
    from mlprun.sweeps.extract import extract

    callbacks = [] if output.quiet else [RunProgress(output)]
    made = extract(open_sweep(folder), number, out=out, callbacks=callbacks, allow_code=allow_code)
    path = made.folder.path
    head = {"sweep": folder, "trial": number, "run": path, "status": made.trial.status}
    output.document({**head, "equal": not made.differences, "differences": made.differences})
    if made.differences:
        what = f"differs from trial {number} of {folder}: {', '.join(made.differences)}"
        raise CheckFailedError(path, what, "compare versions and machine in the run.json of both")
    status = made.trial.status.replace("_", " ")
    output.result(f"trial {number} ({status}): weights, history and metrics are identical to the sweep")
    output.result(f"run folder: {path}\nnext: {command_line('plot', path)}")


def _note_excluded(counts: "Mapping[TrialStatus, int]", output: Output) -> None:
    """Note which trials have metrics that do not belong in a mean."""
    trials = " and ".join(describe_counts(counts, [one for one in UNSOUND if one != "failed"]))
    if trials:
        statuses = " and ".join(SOUND)
        output.message(f"{trials}: metrics are of their last epoch; for means, select {statuses}")
