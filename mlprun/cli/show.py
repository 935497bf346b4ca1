"""`mlprun show` and `compare`: one run, and several runs side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel
from typer import Argument

from mlprun import api, evaluation, figures
from mlprun.cli import metrics
from mlprun.cli.options import AllowCode, Force, Plot, RunPath, save
from mlprun.cli.terminal import Output, Table, duration, sparkline
from mlprun.errors import CheckpointError, UsageError, command_line
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.parts.part import inline, plain
from mlprun.storage import history
from mlprun.storage.runs import RunFolder, open_run, resolve_latest, selected
from mlprun.training import metadata

COLUMNS, NAMED = 20, 3
"""columns whose preprocessing is shown, and inputs that are named for each, at most"""


def show_command(
    run: RunPath,
    *,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Show a run: status, curves, config, preprocessing, network, metrics, tags and note.

    mlprun show runs/moons-001

    --json prints {"run", "date": ISO 8601, "status", "epochs", "seconds", "reason",
      "tags": [TAG, ...], "note", "metrics", "config", "edited": WARNING or null,
      "preprocessing": the operations as in checkpoints,
      "layers": [{"name", "kind", "shape", "parameters"}], "record"}.

    Exit codes: 0 success, 4 run folder, 7 files.
    """
    shown = open_run(run)
    config, edited = metadata.trained_config(shown, allow_code=allow_code)
    best = evaluation.best(shown, allow_code=allow_code)
    output.warn(edited, *best.warnings)
    status, record = shown.status(), metadata.record_of(shown)
    described, network = metrics.layers_table(best.alone.layers())
    notes, started = shown.notes(), shown.date()
    output.document(
        {
            "run": shown.path,
            "date": started.isoformat(timespec="seconds"),
            "status": status.state,
            "epochs": status.epochs,
            "seconds": status.seconds,
            "reason": status.reason,
            **asdict(notes),
            "metrics": status.figures,
            "config": config.model_dump(mode="json"),
            "edited": edited,
            "preprocessing": best.preprocessing.to_json(),
            "layers": described,
            "record": record,
        }
    )
    epochs = f"{status.state}, {status.epochs} of {config.training.epochs} epochs, {duration(status.seconds)}"
    output.result(f"{shown.path}: {epochs}, engine {record['engine']} on {record['device']}")
    output.result(*metrics.early_end(status), f"started: {started:%Y-%m-%d %H:%M}")
    output.result(
        *[f"tags: {', '.join(notes.tags)}"] * bool(notes.tags), *[f"note: {notes.note}"] * bool(notes.note)
    )
    output.result("", *_curves(shown, output))
    values = {name: value for name, value in config if name not in ("name", "extend")}
    sections = [(name, inline(value)) for name, value in values.items() if value not in (None, ())]
    rows = [(name, text) for name, text in sections if text != "{}"]
    output.result(Table(("section", "value"), rows, "config (non-default values)"), "")
    output.result(*_preprocessing(best.preprocessing), network)
    if best.preprocessing.class_weights is not None:
        pairs = zip(best.preprocessing.classes or (), best.preprocessing.class_weights, strict=True)
        named = ", ".join(f"{name}: {weight:.4g}" for name, weight in pairs)
        output.result("", f"balanced class weights: {named}")
    if status.figures:
        output.result("", metrics.final_table(status.figures))
    if status.state in ("crashed", "interrupted"):
        output.result(f"\nnext: {command_line('resume', shown.path)}")


def _preprocessing(preprocessing: Preprocessing) -> list[str | Table]:
    """Return what is made of each column, as a table, if any column is changed."""
    rows = [
        (name, kind, "; ".join(steps), ", ".join(inputs[:NAMED]) + (", ..." if len(inputs) > NAMED else ""))
        for name, kind, steps, inputs in preprocessing.summaries()
    ]
    if not any(steps for _, _, steps, _ in rows):
        return []
    more = f"\n{len(rows) - COLUMNS} more columns: --json" if len(rows) > COLUMNS else ""
    title = f"preprocessing, fitted on train rows: {preprocessing.width} inputs"
    return [Table(("column", "type", "operations", "inputs"), rows[:COLUMNS], title), more]


def _curves(run: RunFolder, output: Output) -> list[str | Table]:
    """Return the losses of the history as a table with a curve in block characters, if there are any."""
    rows = []
    try:
        cells = history.read_cells(run.history)
        for name in ("train_loss", "dev_loss"):
            values = [float(cell) for cell in cells.get(name, ()) if cell not in ("", "nan")]
            if len(values) > 1:
                rows.append((name, values[0], min(values), values[-1], sparkline(values)))
    except CheckpointError as error:
        output.warn(error)
    return [Table(("history", "first", "lowest", "last", "curve"), rows), ""] if rows else []


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
    output.warn(*(run.edited for run in runs))
    differences = dict(_differences([run.config for run in runs]))
    columns = {run.folder.name: selected(run.metrics)["splits"] for run in runs}
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
    for name, field in type(first).model_fields.items():
        fields, shown = [getattr(value, name) for value in values], field.alias or name
        yield from _differences(fields, f"{key}.{shown}" if key else shown)
