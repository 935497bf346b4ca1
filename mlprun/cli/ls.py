"""`mlprun ls`: the runs and sweeps in a folder."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.cli.figures import chosen
from mlprun.cli.terminal import Output, Table
from mlprun.errors import MlprunError

if TYPE_CHECKING:
    from mlprun.storage.runs import RunFolder
    from mlprun.sweeps.folder import SweepFolder


def command(
    folder: Annotated[str, typer.Argument(metavar="[RUNS]", help="the folder of run folders")] = "runs",
    *,
    output: Output,
) -> None:
    """List the runs and sweeps in a folder: how each stands, and figures on test rows.

    mlprun ls
    mlprun ls runs/sweep-of-monday

    A run that says `crashed` was killed; `mlprun resume RUN` goes on with it, and
    `mlprun show RUN` says how many of its epochs are saved.

    --json prints {"runs": [{"run", "name", "status", "epochs": number or null,
      "seconds", "best": {"epoch", "metric", "value"} or null, "of", "splits"}], "sweeps":
      [{"sweep", "name", "status", "trials", "total", "seconds"}]}; a folder that is
      damaged has "status": "damaged" and "problem".

    Exit codes: 0 done, 4 no such folder, 7 files.
    """
    from mlprun.storage import runs
    from mlprun.sweeps import folder as sweeps

    described = [_describe(run) for run in runs.find(folder)]
    swept = [_describe_sweep(sweep) for sweep in sweeps.find(folder)]
    output.document({"runs": described, "sweeps": swept})
    if not described and not swept:
        output.note(f"no runs in {folder}; mlprun train CONFIG makes one")
    if described:
        columns = ("run", "status", "epochs", "seconds", "of", "test")
        output.result(Table(columns, [_row(run) for run in described]), *[""] * bool(swept))
    if swept:
        columns = ("sweep", "status", "trials", "of", "seconds", "")
        output.result(Table(columns, [_sweep_row(sweep) for sweep in swept]))


def _describe(run: "RunFolder") -> dict[str, Any]:
    try:
        status = run.status(read_checkpoints=False)
    except MlprunError as error:
        return {"run": run.path, "name": run.name, "status": "damaged", "problem": str(error)}
    of, splits = chosen(status.figures) if status.figures else ("", {})
    best = status.figures.get("best")
    return {
        "run": run.path,
        "name": run.name,
        "status": status.state,
        "epochs": None if status.state in ("crashed", "failed") else status.epochs,
        "seconds": status.seconds,
        "best": {key: best[key] for key in ("epoch", "metric", "value")} if best else None,
        "of": of,
        "splits": splits,
    }


def _describe_sweep(sweep: "SweepFolder") -> dict[str, Any]:
    try:
        status = sweep.status()
    except MlprunError as error:
        return {"sweep": sweep.path, "name": sweep.name, "status": "damaged", "problem": str(error)}
    return {
        "sweep": sweep.path,
        "name": sweep.name,
        "status": status.state,
        "trials": status.done,
        "total": status.total,
        "seconds": status.seconds,
    }


def _sweep_row(sweep: dict[str, Any]) -> tuple[str | float | None, ...]:
    if "problem" in sweep:
        return (sweep["sweep"], "damaged", None, None, None, sweep["problem"])
    return (*(sweep[name] for name in ("sweep", "status", "trials", "total", "seconds")), "")


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
