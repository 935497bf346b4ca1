"""`mlprun compare`: runs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from mlprun.cli.saving import Force, save
from mlprun.cli.terminal import Output, Table
from mlprun.cli.trust import RunsCode
from mlprun.errors import UsageError


def command(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="two or more run folders")],
    *,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Draw the runs' curves over one another.")
    ] = None,
    force: Force = False,
    allow_code: RunsCode = False,
    output: Output,
) -> None:
    """Line runs up: what differs in their configs, their figures, their curves.

    mlprun compare runs/moons-001 runs/moons-002
    mlprun compare runs/moons-* --plot curves.png

    --json prints {"runs": [RUN, ...], "differences": {KEY: [VALUE, ...]},
      "figures": {SPLIT_FIGURE: [NUMBER or null, ...]}}, values in the order of runs;
      of parts with different names only what is not at its default.

    Exit codes: 0 done, 2 usage or fewer than two runs, 4 run folder, 7 files.
    """
    from mlprun import api
    from mlprun.cli import figures
    from mlprun.cli.reference import inline, plain

    paths = list(dict.fromkeys(names))
    if len(paths) < 2:
        raise UsageError("compare", "there is nothing to compare with", "name two or more run folders")
    runs = [api.load(path, allow_code=allow_code) for path in paths]
    for warning in filter(None, (run.edited for run in runs)):
        output.note(f"warning: {warning}")
    differences = dict(_differences([run.config for run in runs]))
    columns = {run.folder.name: figures.chosen(run.figures)[1] if run.figures else {} for run in runs}
    table = figures.table(columns, "figures of each run's best epoch")
    output.document({"runs": paths, "differences": plain(differences), "figures": _by_figure(table)})
    rows = [(key, *(inline(value) for value in values)) for key, values in differences.items()]
    if rows:
        output.result(Table(("config", *columns), rows, "what differs"), "")
    else:
        output.result("the configs do not differ\n")
    output.result(table)
    if plot is not None:
        from mlprun import figures as drawing

        picture = drawing.encode(drawing.overlay([run.subject for run in runs]), plot)
        save(plot, picture, force=force)
        output.note(f"curves drawn in {plot}")


def _differences(values: Sequence[Any], key: str = "") -> Iterator[tuple[str, list[Any]]]:
    """The dotted keys that differ, with their values; parts of different types are a single row."""
    from pydantic import BaseModel

    from mlprun.cli.reference import inline

    if len({inline(value) for value in values}) < 2:
        return
    first = values[0]
    if not isinstance(first, BaseModel) or any(type(value) is not type(first) for value in values):
        yield key, list(values)
        return
    for name in type(first).model_fields:
        fields = [getattr(value, name) for value in values]
        yield from _differences(fields, f"{key}.{name}" if key else name)


def _by_figure(table: Table) -> Mapping[str, Sequence[Any]]:
    return {f"{row[0]}_{row[1]}": list(row[2:]) for row in table.rows}
