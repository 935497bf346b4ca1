"""`mlprun ls`: the runs in a folder."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.commands.figures import chosen
from mlprun.commands.terminal import Output, Table
from mlprun.errors import MlprunError

if TYPE_CHECKING:
    from mlprun.storage.runs import RunFolder


def command(
    folder: Annotated[str, typer.Argument(metavar="[RUNS]", help="the folder of run folders")] = "runs",
    *,
    output: Output,
) -> None:
    """List the runs in a folder: how each stands, and its figures on test rows.

    mlprun ls
    mlprun ls runs/sweep-of-monday

    A run that says `crashed` was killed; `mlprun resume RUN` goes on with it.

    --json prints {"runs": [{"run", "name", "status", "epochs", "seconds",
      "best": {"epoch", "metric", "value"} or null, "of", "splits"}]}; a run folder
      that is damaged has "status": "damaged" and "problem".

    Exit codes: 0 done, 4 no such folder, 7 files.
    """
    from mlprun.storage import runs

    described = [_describe(run) for run in runs.find(folder)]
    output.document({"runs": described})
    if not described:
        output.note(f"no runs in {folder}; mlprun train CONFIG makes one")
        return
    output.result(
        Table(("run", "status", "epochs", "seconds", "of", "test"), [_row(run) for run in described])
    )


def _describe(run: "RunFolder") -> dict[str, Any]:
    try:
        status = run.status()
    except MlprunError as error:
        return {"run": run.path, "name": run.name, "status": "damaged", "problem": str(error)}
    of, splits = chosen(status.figures) if status.figures else ("", {})
    best = status.figures.get("best")
    return {
        "run": run.path,
        "name": run.name,
        "status": status.state,
        "epochs": status.epochs,
        "seconds": status.seconds,
        "best": {key: best[key] for key in ("epoch", "metric", "value")} if best else None,
        "of": of,
        "splits": splits,
    }


def _row(run: dict[str, Any]) -> tuple[str | float | None, ...]:
    if "problem" in run:
        return (run["run"], "damaged", None, None, "", run["problem"])
    of = f"best (epoch {run['best']['epoch']})" if run["best"] else run["of"]
    test = run["splits"].get("test", {})
    names = sorted(
        (name for name in test if not isinstance(test[name], list)), key=lambda name: name != "loss"
    )
    figures = ", ".join(f"{name} {test[name]:.4g}" for name in names if test[name] is not None)
    return (run["run"], run["status"], run["epochs"], run["seconds"], of, figures)
