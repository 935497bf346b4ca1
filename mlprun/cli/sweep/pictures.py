"""What `mlprun plot` does with the folder of a sweep."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlprun import files
from mlprun.cli.terminal import Output, Table
from mlprun.errors import CheckpointError, UsageError, command_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.figures.sweeps import Sweep, SweepPlot


@dataclass(frozen=True)
class Request:
    """What is asked of `mlprun plot`, as far as sweeps have it."""

    kinds: Sequence[str]
    """none is all"""
    form: str
    out: str | None
    file: str | None
    """the picture that `out` names, where it names one"""
    dpi: int
    metric: str | None
    of: str
    parameters: tuple[str, str] | None


def draw(paths: Sequence[str], request: Request, output: Output) -> None:
    """Draw every picture that makes sense for the sweeps, or those that are asked for."""
    plots = chosen(request)
    if request.file is not None and (len(paths) > 1 or len(plots) > 1):
        raise UsageError(
            "--out", f"{request.out!r} is one file", "name one sweep and one --kind, or a folder"
        )
    told = [_draw(path, plots, request, output, several=len(paths) > 1) for path in paths]
    output.document(told[0] if len(told) == 1 else {"sweeps": told})


def list_kinds(paths: Sequence[str], request: Request, output: Output) -> None:
    """Say what can be drawn of the sweeps, and why the rest cannot."""
    told = []
    for path in paths:
        sweep = _sweep(path, request)
        every = [
            {"kind": plot.name, "summary": type(plot).summary(), "reason": plot.refuses(sweep)}
            for plot in chosen(request)
        ]
        told.append({"sweep": path, "kinds": every})
        rows = [(one["kind"], f"no: {one['reason']}" if one["reason"] else one["summary"]) for one in every]
        output.result(Table(("plot", "what it shows, or why it is not for this sweep"), rows, path))
    output.document({"sweeps": told})


def chosen(request: Request) -> list[SweepPlot]:
    """The pictures that are asked for, each with those of the options that it has."""
    from mlprun.figures import sweeps

    options: dict[str, Any] = {} if request.parameters is None else {"parameters": request.parameters}
    plots = []
    for kind in dict.fromkeys(request.kinds or sweeps.names()):
        known = type(sweeps.make(kind)).model_fields  # refuses an unknown name
        plots.append(sweeps.make(kind, **{name: value for name, value in options.items() if name in known}))
    if options and not any("parameters" in type(plot).model_fields for plot in plots):
        raise UsageError(
            "--parameters", f"{', '.join(request.kinds)} does not take it", "heat_map and success do"
        )
    return plots


def _sweep(path: str, request: Request) -> Sweep:
    from mlprun.figures import sweeps

    return sweeps.Sweep.of(path, metric=request.metric, of=request.of)


def _draw(
    path: str, plots: Sequence[SweepPlot], request: Request, output: Output, *, several: bool
) -> Mapping[str, Any]:
    sweep = _sweep(path, request)
    drawn, skipped = [], []
    for plot in plots:
        reason = plot.refuses(sweep)
        if reason is not None:
            skipped.append({"kind": plot.name, "reason": reason})
            continue
        place = request.file or os.path.join(
            _folder(path, request, several=several), f"{plot.name}.{request.form}"
        )
        form = place.rpartition(".")[2].lower()
        files.write_atomic(place, plot.encode(plot.compute(sweep), form, dpi=request.dpi))
        drawn.append({"kind": plot.name, "path": place})
        output.result(place)
    if not drawn:
        reasons = "; ".join(f"{one['kind']}: {one['reason']}" for one in skipped)
        remedy = f"{command_line('plot', path)} --list shows what has"
        raise UsageError(path, f"has nothing to draw: {reasons}", remedy)
    if skipped and not request.kinds:
        few = "1 kind is" if len(skipped) == 1 else f"{len(skipped)} kinds are"
        output.message(f"{few} not for this sweep; {command_line('plot', path)} --list says why")
    elif skipped:
        output.message("\n".join(f"{one['kind']} not drawn: {one['reason']}" for one in skipped))
    return {"sweep": path, "plots": drawn, "skipped": skipped}


def _folder(path: str, request: Request, *, several: bool) -> str:
    """The folder of a sweep's pictures, made when it is missing; a symbolic link in its own is refused."""
    name = os.path.basename(os.path.abspath(path))
    if request.out is not None:
        folder = os.path.join(request.out, name) if several else request.out
    else:
        folder = os.path.join(path, "plots")
        if files.kind(folder) not in (None, "folder"):
            raise CheckpointError(folder, f"is a {files.kind(folder)}", "expected a folder")
    files.make_folder(folder)
    return folder
