"""`mlprun sweep trial`: a trial of a sweep as an ordinary run."""

from contextlib import closing
from typing import Annotated

import typer

from mlprun.cli.terminal import Output
from mlprun.errors import CheckFailedError, command_line


def command(
    folder: Annotated[str, typer.Argument(help="the sweep's folder")],
    number: Annotated[
        int,
        typer.Argument(metavar="TRIAL", max=2**63 - 1, help="the trial's number, as `export` has it"),
    ],
    *,
    out: Annotated[str, typer.Option("--out", help="The folder that the run folder is made in.")] = "runs",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the user code that the sweep was made with.")
    ] = False,
    output: Output,
) -> None:
    """Make an ordinary run folder of one trial: train it again and compare.

    mlprun sweep trial runs/xor_width-001 587
    mlprun sweep trial runs/xor_width-001 587 --out best-of-xor

    The trial is trained alone from its own config and seed. Weights of the best and
    of the last epoch, history and figures are then compared with those that the
    sweep kept, bit by bit. The run works with `eval`, `predict`, `plot`, `show` and
    `resume`. A trial that diverged diverges again.

    --json prints {"sweep", "trial", "run", "status", "equal": true | false,
      "differences": [TEXT, ...]}, also where they differ.

    Exit codes: 0 done and equal, 2 no such trial, 4 not a sweep, 6 device, 7 files,
    9 memory, 10 the run differs from the trial, 130 Ctrl-C, 143 SIGTERM.
    """
    from mlprun.cli.progress import Follower
    from mlprun.sweeps.extract import extract
    from mlprun.sweeps.folder import open_sweep

    with closing(Follower(output)) as follower:
        made = extract(open_sweep(folder), number, out=out, reporter=follower, allow_code=allow_code)
    path = made.folder.path
    output.document(
        {
            "sweep": folder,
            "trial": number,
            "run": path,
            "status": made.trial.status,
            "equal": not made.differences,
            "differences": made.differences,
        }
    )
    if made.differences:
        what = f"is not trial {number} of {folder} to the last bit: {', '.join(made.differences)} differ"
        raise CheckFailedError(path, what, "the run.json of both names versions and machine")
    status = made.trial.status.replace("_", " ")
    output.result(f"trial {number} ({status}): weights, history and figures equal the sweep's")
    output.result(f"run folder: {path}\nnext: {command_line('plot', path)}")
