"""`mlprun show`: one run, its config, network, standing and figures."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.cli.terminal import Output, Table
from mlprun.cli.trust import RunCode
from mlprun.errors import command_line

if TYPE_CHECKING:
    from mlprun.api import Run


def command(
    run: Annotated[str, typer.Argument(help="the run folder")],
    *,
    allow_code: RunCode = False,
    output: Output,
) -> None:
    """Show a run: how it stands, what was run, its network and its figures.

    mlprun show runs/moons-001

    --json prints {"run", "status", "epochs", "seconds", "reason", "figures",
      "config", "edited": WARNING or null,
      "layers": [{"name", "kind", "shape", "parameters"}], "record"}.

    Exit codes: 0 done, 4 run folder, 7 files.
    """
    from mlprun import api
    from mlprun.cli import figures
    from mlprun.cli.plan import layers

    shown = api.load(run, allow_code=allow_code)
    for warning in filter(None, (shown.edited, *shown.best.warnings)):
        output.note(f"warning: {warning}")
    status = shown.status
    described, network = layers(shown.best.alone)
    output.document(_document(shown, described))
    output.result(_standing(shown))
    title = "config, but for what stands at its default"
    output.result(Table(("section", "value"), _sections(shown), title), "", network)
    if status.figures:
        output.result("", figures.closing(status.figures))
    if status.state in ("crashed", "interrupted"):
        output.result(f"\nnext: {command_line('resume', shown.path)}")


def _document(run: "Run", described: list[dict[str, Any]]) -> dict[str, Any]:
    status = run.status
    return {
        "run": run.path,
        "status": status.state,
        "epochs": status.epochs,
        "seconds": status.seconds,
        "reason": status.reason,
        "figures": status.figures,
        "config": run.config.model_dump(mode="json"),
        "edited": run.edited,
        "layers": described,
        "record": run.record,
    }


def _standing(run: "Run") -> str:
    status, record = run.status, run.record
    epochs = f"{status.state}, {status.epochs} of {run.config.training.epochs} epochs, {status.seconds:.2f} s"
    return f"{run.path}: {epochs}, engine {record['engine']} on {record['device']}\n"


def _sections(run: "Run") -> list[tuple[str, str]]:
    """The sections of the config, each in a line, without what stands at its default."""
    from mlprun.cli.reference import inline

    left_out = ("name", "extend")
    sections: list[tuple[str, Any]] = [(name, value) for name, value in run.config if name not in left_out]
    told = [(name, inline(value)) for name, value in sections if value not in (None, ())]
    return [(name, text) for name, text in told if text != "{}"]
