"""`mlprun compare`: runs side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.commands.saving import Force, save
from mlprun.commands.terminal import Output, Table
from mlprun.commands.trust import RunsCode
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from mlprun.api import Run


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
      "figures": {SPLIT_FIGURE: [NUMBER or null, ...]}}, values in the order of runs.

    Exit codes: 0 done, 2 usage or fewer than two runs, 4 run folder, 7 files.
    """
    from mlprun import api
    from mlprun.commands import figures
    from mlprun.commands.reference import inline

    paths = list(dict.fromkeys(names))
    if len(paths) < 2:
        raise UsageError("compare", "there is nothing to compare with", "name two or more run folders")
    runs = [api.load(path, allow_code=allow_code) for path in paths]
    for warning in filter(None, (run.edited for run in runs)):
        output.note(f"warning: {warning}")
    differences = _differences(runs)
    columns = {run.folder.name: figures.chosen(run.figures)[1] if run.figures else {} for run in runs}
    table = figures.table(columns, "figures of each run's best epoch")
    output.document({"runs": paths, "differences": differences, "figures": _by_figure(table)})
    rows = [(key, *(inline(value) for value in values)) for key, values in differences.items()]
    if rows:
        output.result(Table(("config", *columns), rows, "what differs"), "")
    else:
        output.result("the configs do not differ\n")
    output.result(table)
    if plot is not None:
        from mlprun import plots

        picture = plots.encode(plots.overlay([run.subject for run in runs]), plot)
        save(plot, picture, force=force)
        output.note(f"curves drawn in {plot}")


def _differences(runs: "Sequence[Run]") -> dict[str, list[Any]]:
    """The values of each config by dotted key, where they are not all the same."""
    flat = [_flat(run.config.model_dump(mode="json")) for run in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    return {
        key: [values.get(key) for values in flat]
        for key in keys
        if len({repr(values.get(key)) for values in flat}) > 1
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """The values of a nested mapping by their dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    items = (_flat(inner, f"{prefix}.{key}" if prefix else key) for key, inner in value.items())
    return {key: inner for mapping in items for key, inner in mapping.items()}


def _by_figure(table: Table) -> Mapping[str, Sequence[Any]]:
    return {f"{row[0]}_{row[1]}": list(row[2:]) for row in table.rows}
