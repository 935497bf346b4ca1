"""`mlprun show`, `ls` and `compare`: one run, all runs and sweeps of a folder, several runs side by side."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel
from typer import Argument

from mlprun import api, figures
from mlprun.cli import metrics
from mlprun.cli.options import AllowCode, Force, Plot, RunPath, save
from mlprun.cli.terminal import Output, Table
from mlprun.errors import MlprunError, UsageError, command_line
from mlprun.parts.notation import inline, plain
from mlprun.storage.runs import find as find_runs
from mlprun.storage.runs import resolve_latest
from mlprun.sweeps.folder import find as find_sweeps

if TYPE_CHECKING:
    from mlprun.storage.runs import RunFolder
    from mlprun.sweeps.folder import SweepFolder


def show_command(
    run: RunPath,
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
    status, record, config = shown.status, shown.record, shown.config
    described, network = metrics.layers_table(shown.best.alone.layers())
    output.document(
        {
            "run": shown.path,
            "status": status.state,
            "epochs": status.epochs,
            "seconds": status.seconds,
            "reason": status.reason,
            "metrics": status.figures,
            "config": config.model_dump(mode="json"),
            "edited": shown.edited,
            "layers": described,
            "record": record,
        }
    )
    epochs = f"{status.state}, {status.epochs} of {config.training.epochs} epochs, {status.seconds:.2f} s"
    output.result(f"{shown.path}: {epochs}, engine {record['engine']} on {record['device']}")
    output.result(*metrics.early_end(status), "")
    values = {name: value for name, value in config if name not in ("name", "extend")}
    sections = [(name, inline(value)) for name, value in values.items() if value not in (None, ())]
    rows = [(name, text) for name, text in sections if text != "{}"]
    output.result(Table(("section", "value"), rows, "config (non-default values)"), "", network)
    if status.figures:
        output.result("", metrics.final_table(status.figures))
    if status.state in ("crashed", "interrupted"):
        output.result(f"\nnext: {command_line('resume', shown.path)}")


def ls_command(
    folder: Annotated[str, Argument(help="the folder of run folders")] = "runs",
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
    runs = [*_described("run", find_runs(folder), _describe_run)]
    sweeps = [*_described("sweep", find_sweeps(folder), _describe_sweep)]
    output.document({"runs": runs, "sweeps": sweeps})
    if not runs and not sweeps:
        output.message(f"no runs in {folder}; create one with mlprun train CONFIG")
    if runs:
        columns = ("run", "status", "epochs", "seconds", "of", "test")
        output.result(Table(columns, [_run_row(run) for run in runs]), *[""] * bool(sweeps))
    if sweeps:
        names = ("sweep", "status", "trials", "total", "seconds", "problem")
        columns = ("sweep", "status", "trials", "of", "seconds", "")
        output.result(Table(columns, [[sweep.get(name) for name in names] for sweep in sweeps]))


def compare_command(
    names: Annotated[list[str], Argument(metavar="RUN", help="two or more run folders")],
    *,
    plot: Plot = None,
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
    paths = list(dict.fromkeys(map(resolve_latest, names)))
    if len(paths) < 2:
        raise UsageError("compare", "needs at least two runs", "name two or more run folders")
    runs = [api.load(path, allow_code=allow_code) for path in paths]
    for warning in filter(None, (run.edited for run in runs)):
        output.message(f"warning: {warning}")
    differences = dict(_differences([run.config for run in runs]))
    columns = {run.folder.name: metrics.selected(run.metrics)["splits"] for run in runs}
    table = metrics.comparison_table(columns, "metrics of the best epoch of each run")
    by_metric = {f"{split}_{name}": values for split, name, *values in table.rows}
    output.document({"runs": paths, "differences": plain(differences), "metrics": by_metric})
    rows = [(key, *map(_shown, values)) for key, values in differences.items()]
    if rows:
        output.result(Table(("config", *columns), rows, "config differences"), "")
    else:
        output.result("the configs are equal\n")
    output.result(table)
    if plot is not None:
        chart = figures.overlay([run.figure_data for run in runs])
        save(plot, figures.encode(chart, figures.format_of(plot)), force=force)
        output.message(f"curves saved to {plot}")


def _described(
    kind: str, folders: Iterable[Any], describe: Callable[[Any], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for folder in folders:
        head = {kind: folder.path, "name": folder.name}
        try:
            yield {**head, **describe(folder)}
        except MlprunError as error:
            yield {**head, "status": "damaged", "problem": str(error)}


def _describe_run(run: "RunFolder") -> dict[str, Any]:
    status = run.status(read_checkpoints=False)
    epochs = None if status.state in ("crashed", "failed") else status.epochs
    head = {"status": status.state, "epochs": epochs, "seconds": status.seconds}
    return {**head, **metrics.selected(status.figures)}


def _describe_sweep(sweep: "SweepFolder") -> dict[str, Any]:
    one = sweep.status()
    return {"status": one.state, "trials": one.done, "total": one.total, "seconds": one.seconds}


def _run_row(run: dict[str, Any]) -> Sequence[str | float | None]:
    if "problem" in run:
        return (run["run"], run["status"], None, None, "", run["problem"])
    of = f"best (epoch {run['best']['epoch']})" if run["best"] else run["of"]
    test = run["splits"].get("test", {})
    numbers = {name: value for name, value in test.items() if isinstance(value, int | float)}
    names = sorted(numbers, key=lambda name: name != "loss")
    values = ", ".join(f"{name} {numbers[name]:.4g}" for name in names)
    return (run["run"], run["status"], run["epochs"], run["seconds"], of, values)


def _shown(value: Any) -> str:
    text = inline(value)
    return "defaults" if text == "{}" else text


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
