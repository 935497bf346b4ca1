"""`mlprun resume`: go on where a run stopped."""

from functools import partial
from typing import Annotated

import typer

from mlprun.cli.terminal import Output
from mlprun.cli.trust import RunCode


def command(
    run: Annotated[str, typer.Argument(help="the run folder")],
    *,
    epochs: Annotated[
        int | None, typer.Option("--epochs", max=2**63 - 1, help="Extend a run to so many epochs in all.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Go on on another device than before.")
    ] = None,
    allow_code: RunCode = False,
    output: Output,
) -> None:
    """Go on exactly where a run stopped.

    mlprun resume runs/moons-001
    mlprun resume runs/moons-001 --epochs 2000

    The result equals that of an undisturbed run, to the byte. A finished run
    stays as it is unless --epochs extends it.

    --json prints the document of `mlprun train`.

    Exit codes: 0 done, 2 usage, 3 data, 4 checkpoint or run folder, 5 in use,
    6 device, 7 files, 8 diverged, 9 memory, 130 Ctrl-C, 143 SIGTERM.
    """
    from mlprun import api
    from mlprun.cli.train import follow

    follow(partial(api.resume, run, epochs=epochs, device=device, allow_code=allow_code), output)
