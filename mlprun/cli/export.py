"""`mlprun export`: a trained network as a file that runs elsewhere."""

from typing import Annotated

from typer import Argument, Option

from mlprun import api, export, files
from mlprun.cli.options import AllowCode
from mlprun.cli.terminal import Output
from mlprun.errors import UsageError
from mlprun.parts.trackers import trackers
from mlprun.storage import runs


def export_command(
    run: Annotated[
        str,
        Argument(
            metavar="RUN|CHECKPOINT",
            help="a run folder (its best epoch) or a checkpoint; for trackers a run or a sweep",
        ),
    ],
    *,
    to: Annotated[
        str,
        Option("--to", metavar="FORMAT", help=f"{', '.join((*export.formats.names(), *trackers.names()))}."),
    ],
    out: Annotated[
        str | None, Option("--out", "-o", metavar="FILE", help="Default: RUN/model.py and so on.")
    ] = None,
    force: Annotated[bool, Option("--force", help="Replace a model card that was edited.")] = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Export a trained network: raw rows in, answers out, without mlprun.

    mlprun export runs/wine-001 --to numpy        RUN/model.py, which needs NumPy only
    mlprun export runs/wine-001 --to c            RUN/model.c, C99 without allocations
    mlprun export runs/wine-001 --to js -o wine.js
    mlprun export runs/wine-001 --to onnx         RUN/model.onnx (extra onnx)
    mlprun export runs/wine-001 --to torch        RUN/model.pt2, by torch.export
    mlprun export runs/wine-001 --to card         RUN/README.md, the model card
    mlprun list exports                           all formats
    mlprun export runs/wine-001 --to mlflow       sends it to a tracker, a sweep too
    mlprun list trackers                          all trackers

    The file includes preprocessing, output activation, threshold, class names and
    units: it takes the cells of a row as they are in the table, numbers, texts, and
    dates in days since 1970-01-01, some missing, and gives what mlprun predict
    gives. How to call it is in the first lines of source code, and in the metadata of
    ONNX and torch files, with config and metrics. There a missing cell is NaN or an
    empty text. Of what mlprun predict refuses, a number is answered with NaN, and a
    missing text as one that is unknown.

    Before it is written, it answers up to 1,000 dev rows and some with missing cells
    and new categories, and is compared with mlprun predict: differences may be up to
    1e-5 (float64: 1e-12) of the largest probability or value of an output. Where that
    cannot be done (no compiler, no Node.js, the data is gone), "not checked" and the
    reason are printed. A file that exists is replaced; of a model card the author's
    sections are kept.

    A tracker receives what it does while training, see `trackers` in mlprun list
    config, with the options that the config names for it. What it has already is not
    sent again.

    --json prints {"export": FILE (of a tracker: the folder), "format", "checked":
      {"rows", "difference", "bound"} or null, "not_checked": REASON or null}.

    Exit codes: 0 success, 2 usage, 3 data, 4 run folder or checkpoint, 7 files,
    10 the file does not answer as mlprun predict does, and is not written.
    """
    path = runs.resolve_latest(run)
    if to in trackers or (allow_code and to not in export.formats):
        if out is not None:
            raise UsageError("--out", "is the name of a file, and a tracker has none", "leave it out")
        export.send(path, to, allow_code=allow_code)
        output.result(f"sent {path} to {to}")
        return output.document({"export": path, "format": to, "checked": None, "not_checked": None})
    found = export.find(to, out)
    is_run = files.is_folder(path)
    if found.of_run:
        if not is_run:
            raise UsageError(run, "is a checkpoint, and a model card is of a run", "give the run folder")
        written = export.write_card(runs.open_run(path), out, force=force, allow_code=allow_code)
    else:
        model = api.load_checkpoint(path, allow_code=allow_code)
        metrics = runs.open_run(path).status().figures if is_run else {}
        output.warn(*model.warnings)
        written = export.write(model, to, out, metrics=metrics)
    output.result(written.path)
    checked = written.check
    if checked is not None:
        what = f"differs from mlprun predict by {checked.difference:.2g} at most"
        output.message(f"checked on {checked.rows} rows: {what} (allowed: {checked.bound:g})")
    elif written.reason:
        output.message(f"not checked: {written.reason}")
    return output.document(
        {
            "export": written.path,
            "format": to,
            "checked": None if checked is None else checked._asdict(),
            "not_checked": written.reason or None,
        }
    )
