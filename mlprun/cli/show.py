"""`mlprun show`, `ls` and `compare`: one run, all runs and sweeps of a folder, several runs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from mlprun import api, figures
from mlprun.cli import metrics
from mlprun.cli.notation import inline, plain
from mlprun.cli.options import AllowCode, Force, save
from mlprun.cli.terminal import Output, Table
from mlprun.errors import MlprunError, UsageError, command_line
from mlprun.storage.runs import find as find_runs
from mlprun.sweeps.folder import find as find_sweeps

if TYPE_CHECKING:
    from mlprun.api import Run
    from mlprun.storage.runs import RunFolder
    from mlprun.sweeps.folder import SweepFolder


def show_command(
    run: Annotated[str, typer.Argument(help="the run folder")],
    *,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Show a run: status, config, network and metrics.

    mlprun show runs/moons-001

    --json prints {"run", "status", "epochs", "seconds", "reason", "metrics",
      "config", "edited": WARNING or null,
      "layers": [{"name", "kind", "shape", "parameters"}], "record"}.

    Exit codes: 0 success, 4 run folder, 7 files.
    """
    shown = api.load(run, allow_code=allow_code)
    for warning in filter(None, (shown.edited, *shown.best.warnings)):
        output.message(f"warning: {warning}")
    status = shown.status
    described, network = metrics.layers_table(shown.best.alone.layers())
    output.document(_document(shown, described))
    output.result(_status_line(shown))
    title = "config (non-default values)"
    output.result(Table(("section", "value"), _sections(shown), title), "", network)
    if status.figures:
        output.result("", metrics.final_table(status.figures))
    if status.state in ("crashed", "interrupted"):
        output.result(f"\nnext: {command_line('resume', shown.path)}")


def ls_command(
    folder: Annotated[str, typer.Argument(metavar="[RUNS]", help="the folder of run folders")] = "runs",
    *,
    output: Output,
) -> None:
    """List the runs and sweeps in a folder with status and test metrics.

    mlprun ls
    mlprun ls runs/sweep-of-monday

    A run with status `crashed` was killed; `mlprun resume RUN` continues it, and
    `mlprun show RUN` shows how many of its epochs are saved.

    --json prints {"runs": [{"run", "name", "status", "epochs": number or null,
      "seconds", "best": {"epoch", "metric", "value"} or null, "of", "splits"}], "sweeps":
      [{"sweep", "name", "status", "trials", "total", "seconds"}]}; a damaged folder
      has "status": "damaged" and "problem".

    Exit codes: 0 success, 4 no such folder, 7 files.
    """
    described = [_describe(run) for run in find_runs(folder)]
    swept = [_describe_sweep(sweep) for sweep in find_sweeps(folder)]
    output.document({"runs": described, "sweeps": swept})
    if not described and not swept:
        output.message(f"no runs in {folder}; create one with mlprun train CONFIG")
    if described:
        columns = ("run", "status", "epochs", "seconds", "of", "test")
        output.result(Table(columns, [_run_row(run) for run in described]), *[""] * bool(swept))
    if swept:
        columns = ("sweep", "status", "trials", "of", "seconds", "")
        output.result(Table(columns, [_sweep_row(sweep) for sweep in swept]))


def compare_command(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="two or more run folders")],
    *,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Plot the curves of all runs in one figure.")
    ] = None,
    force: Force = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Compare runs side by side: config differences, metrics, curves.

    mlprun compare runs/moons-001 runs/moons-002
    mlprun compare runs/moons-* --plot curves.png

    --json prints {"runs": [RUN, ...], "differences": {KEY: [VALUE, ...]},
      "metrics": {SPLIT_METRIC: [NUMBER or null, ...]}}, values in the order of runs;
      parts with different names are given by their non-default options.

    Exit codes: 0 success, 2 usage or fewer than two runs, 4 run folder, 7 files.
    """
    paths = list(dict.fromkeys(names))
    if len(paths) < 2:
        raise UsageError("compare", "needs at least two runs", "name two or more run folders")
    runs = [api.load(path, allow_code=allow_code) for path in paths]
    for warning in filter(None, (run.edited for run in runs)):
        output.message(f"warning: {warning}")
    differences = dict(_differences([run.config for run in runs]))
    columns = {run.folder.name: metrics.selected(run.metrics)[1] if run.metrics else {} for run in runs}
    table = metrics.metrics_table(columns, "metrics of the best epoch of each run")
    output.document({"runs": paths, "differences": plain(differences), "metrics": _by_metric(table)})
    rows = [(key, *(inline(value) for value in values)) for key, values in differences.items()]
    if rows:
        output.result(Table(("config", *columns), rows, "config differences"), "")
    else:
        output.result("the configs are equal\n")
    output.result(table)
    if plot is not None:
        chart = figures.overlay([run.figure_data for run in runs])
        save(plot, figures.encode(chart, figures.format_of(plot)), force=force)
        output.message(f"curves saved to {plot}")


def _document(run: "Run", described: list[dict[str, Any]]) -> dict[str, Any]:
    status = run.status
    return {
        "run": run.path,
        "status": status.state,
        "epochs": status.epochs,
        "seconds": status.seconds,
        "reason": status.reason,
        "metrics": status.figures,
        "config": run.config.model_dump(mode="json"),
        "edited": run.edited,
        "layers": described,
        "record": run.record,
    }


def _status_line(run: "Run") -> str:
    status, record = run.status, run.record
    epochs = f"{status.state}, {status.epochs} of {run.config.training.epochs} epochs, {status.seconds:.2f} s"
    return f"{run.path}: {epochs}, engine {record['engine']} on {record['device']}\n"


def _sections(run: "Run") -> list[tuple[str, str]]:
    """The sections of the config, one line each, without default values."""
    shown = [(name, value) for name, value in run.config if name not in ("name", "extend")]
    lines = [(name, inline(value)) for name, value in shown if value not in (None, ())]
    return [(name, text) for name, text in lines if text != "{}"]


def _describe(run: "RunFolder") -> dict[str, Any]:
    try:
        status = run.status(read_checkpoints=False)
    except MlprunError as error:
        return {"run": run.path, "name": run.name, "status": "damaged", "problem": str(error)}
    of, splits = metrics.selected(status.figures) if status.figures else ("", {})
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


def _run_row(run: dict[str, Any]) -> tuple[str | float | None, ...]:
    if "problem" in run:
        return (run["run"], "damaged", None, None, "", run["problem"])
    of = f"best (epoch {run['best']['epoch']})" if run["best"] else run["of"]
    test = run["splits"].get("test", {})
    numbers = {name: value for name, value in test.items() if isinstance(value, int | float)}
    names = sorted(numbers, key=lambda name: name != "loss")
    values = ", ".join(f"{name} {numbers[name]:.4g}" for name in names)
    return (run["run"], run["status"], run["epochs"], run["seconds"], of, values)


def _differences(values: Sequence[Any], key: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The dotted keys that differ with their values; parts of different types are one row."""
    if len({inline(value) for value in values}) < 2:
        return
    first = values[0]
    if not isinstance(first, BaseModel) or any(type(value) is not type(first) for value in values):
        yield key, list(values)
        return
    for name in type(first).model_fields:
        fields = [getattr(value, name) for value in values]
        yield from _differences(fields, f"{key}.{name}" if key else name)


def _by_metric(table: Table) -> Mapping[str, Sequence[Any]]:
    return {f"{row[0]}_{row[1]}": list(row[2:]) for row in table.rows}
