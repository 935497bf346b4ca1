"""`mlprun show`: one run, its config, network, standing and figures."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.commands.terminal import Output, Table

if TYPE_CHECKING:
    from mlprun.api import Run


def command(
    run: Annotated[str, typer.Argument(help="the run folder")],
    *,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the user code that the run was made with.")
    ] = False,
    output: Output,
) -> None:
    """Show a run: how it stands, what was run, its network and its figures.

    mlprun show runs/moons-001

    --json prints {"run", "status", "epochs", "seconds", "reason", "figures",
      "config", "layers": [{"name", "kind", "shape", "parameters"}], "record"}.

    Exit codes: 0 done, 4 run folder, 7 files.
    """
    from mlprun import api
    from mlprun.commands import figures
    from mlprun.commands.plan import layers

    shown = api.load(run, allow_code=allow_code)
    status, record = shown.status, shown.record
    described, network = layers(shown.best.alone)
    output.document(
        {
            "run": shown.path,
            "status": status.state,
            "epochs": status.epochs,
            "seconds": status.seconds,
            "reason": status.reason,
            "figures": status.figures,
            "config": shown.config.model_dump(mode="json"),
            "layers": described,
            "record": record,
        }
    )
    standing = (
        f"{status.state}, {status.epochs} of {shown.config.training.epochs} epochs, {status.seconds:.2f} s"
    )
    output.result(f"{shown.path}: {standing}, engine {record['engine']} on {record['device']}\n")
    title = "config, but for what stands at its default"
    output.result(Table(("section", "value"), _sections(shown), title), "", network)
    if status.figures:
        output.result("", figures.closing(status.figures))
    if status.state in ("crashed", "interrupted"):
        output.result(f"\nnext: mlprun resume {shown.path}")


def _sections(run: "Run") -> list[tuple[str, str]]:
    """The sections of the config, each in a line, without what stands at its default."""
    from mlprun.commands.reference import inline

    left_out = ("name", "extend")
    sections: list[tuple[str, Any]] = [(name, value) for name, value in run.config if name not in left_out]
    told = [(name, inline(value)) for name, value in sections if value not in (None, ())]
    return [(name, text) for name, text in told if text != "{}"]
