"""`mlprun plot`: figures of runs and of sweeps."""

from __future__ import annotations

import contextlib
import csv
import os
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mlprun import api, figures, files
from mlprun.cli.options import AllowCode, check_of
from mlprun.cli.terminal import Output, Table
from mlprun.errors import DataError, UsageError, command_line
from mlprun.storage.runs import RunFolder
from mlprun.sweeps.folder import is_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def plot_command(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="run folders, or sweep folders")],
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="A,B", help="Only these figures; repeatable. See mlprun list plots."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List applicable figures, and why others do not apply.")
    ] = False,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="png, svg or pdf.")] = "png",
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="FOLDER|FILE", help="Output folder (default: RUN/plots), or file for one --kind."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", metavar="A,B", help="Two features for the axes of regions and data."),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Split to plot: train, dev or test.")] = None,
    epoch: Annotated[str | None, typer.Option("--epoch", help="Epoch to plot: best or last.")] = None,
    epochs: Annotated[
        str | None, typer.Option("--epochs", metavar="A,B", help="Two snapshots for weight_changes.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Metric of a sweep (default: that of its objective).")
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option("--parameters", metavar="A,B", help="Two parameters of a sweep for heat maps."),
    ] = None,
    of: Annotated[
        str | None, typer.Option("--of", help="Best or last epoch of the trials of a sweep (default: best).")
    ] = None,
    no_title: Annotated[bool, typer.Option("--no-title", help="Omit title and subtitle.")] = False,
    dpi: Annotated[int, typer.Option("--dpi", min=40, max=600, help="Resolution of PNG files.")] = 200,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Draw all applicable figures of a run or sweep.

    mlprun plot runs/moons-001
    mlprun plot runs/moons-001 --kind loss,regions --format pdf
    mlprun plot runs/moons-001 --kind regions --out regions.svg
    mlprun plot runs/wine-001 --kind regions --features alcohol,hue
    mlprun plot runs/moons-00* --out figures/     also plots their curves together
    mlprun plot runs/moons-001 --list
    mlprun plot runs/xor_width-001 --kind heat_map --metric test_accuracy    a sweep
    mlprun plot runs/xor_width-001 --format pdf --no-title    for use with a caption

    Use --out for run folders that are not writable. Animations are always GIFs.

    --json prints {"run", "plots": [{"kind", "path"}], "skipped": [{"kind", "reason"}]}
      and for several runs {"runs": [{...}, ...], "together": [{"kind", "path"}]};
      with --list {"runs": [{"run", "kinds": [{"kind", "summary", "reason" or null}]}]};
      for sweeps the same with "sweep" and "sweeps" instead of "run" and "runs"

    Exit codes: 0 success, 2 usage or nothing to draw, 3 data, 4 run folder, 7 files.
    """
    if form not in figures.FORMATS:
        raise UsageError("--format", f"unknown format {form!r}", f"use {', '.join(figures.FORMATS)}")
    paths = list(dict.fromkeys(names))
    of_runs = {"features": features, "split": split, "epoch": epoch, "epochs": epochs}
    of_sweeps = {"metric": metric, "parameters": parameters, "of": of}
    kinds = [word.strip() for word in ",".join(kind or ()).split(",") if word.strip()]
    if any(map(is_sweep, paths)):
        for path in paths:
            if not is_sweep(path):
                raise UsageError(path, "is not a sweep, unlike others", "plot runs and sweeps separately")
        _refuse("sweep", of_runs)
        check_of(of or "best")
        drawn = Drawing(
            "sweep", _figures(figures.sweep_figures, kinds, _options(parameters=parameters)), form, out
        )
        sources = [
            Source(RunFolder(path), figures.SweepData.of(path, metric=metric, of=of or "best"))
            for path in paths
        ]
    else:
        _refuse("run", of_sweeps)
        runs = [api.load(path, allow_code=allow_code) for path in paths]
        sources = [Source(run.folder, run.figure_data) for run in runs]
        drawn = Drawing("run", _figures(figures.run_figures, kinds, _options(**of_runs)), form, out)
    if list_:
        drawn.list(sources, output)
        return
    drawn.check_out(sources)
    with figures.without_titles() if no_title else contextlib.nullcontext():
        drawn.draw(sources, output, dpi=dpi, all_kinds=not kinds)


def _refuse(noun: str, options: Mapping[str, str | None]) -> None:
    """Raise UsageError for options that do not apply to runs, or to sweeps."""
    for name, text in options.items():
        if text is not None:
            remedy = "use --of best or --of last" if name == "epoch" else "omit it"
            raise UsageError(f"--{name}", f"does not apply to a {noun}", remedy)


def _options(**texts: str | None) -> dict[str, Any]:
    """The options of figures: pairs are comma-separated lists, in which names may be quoted."""
    options: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    for name in {"features", "epochs", "parameters"} & set(options):
        pair = tuple(word.strip() for word in next(csv.reader([options[name]]), ()))
        if len(pair) != 2 or (name == "epochs" and not all(word.isdecimal() for word in pair)):
            example = "two epochs such as 0,1" if name == "epochs" else "two names separated by a comma"
            raise UsageError(f"--{name}", f"{options[name]!r} is not a pair", f"use {example}")
        options[name] = tuple(map(int, pair)) if name == "epochs" else pair
    return options


def _figures(registry: Any, kinds: Sequence[str], options: Mapping[str, Any]) -> list[Any]:
    """The requested figures, or all, each with the options that it has."""
    selected = []
    for kind in dict.fromkeys(kinds or [part.names()[0] for part in registry]):
        fields = type(figures.make(registry, kind, {})).model_fields  # raises for an unknown name
        own = {name: value for name, value in options.items() if name in fields}
        selected.append(figures.make(registry, kind, own))
    for name in options:
        if not any(name in type(figure).model_fields for figure in selected):
            having = ", ".join(part.names()[0] for part in registry if name in part.model_fields)
            raise UsageError(f"--{name}", f"does not apply to {','.join(kinds)}", f"use it with {having}")
    return selected


class Source(NamedTuple):
    """A run or a sweep that is drawn, with its folder."""

    folder: RunFolder
    data: Any

    @property
    def path(self) -> str:
        """The folder's path."""
        return self.folder.path


class Drawing:
    """Figures of runs or sweeps and their output files."""

    def __init__(self, noun: str, selected: Sequence[Any], form: str, out: str | None) -> None:
        self.noun, self.figures, self.form, self.out = noun, selected, form, out
        self.file = out if out is not None and _is_file(out) else None

    def check_out(self, sources: Sequence[Source]) -> None:
        """Raise UsageError if `--out` is a file for several figures or of an unsupported format."""
        if self.file is None:
            return
        if len(sources) > 1 or len(self.figures) > 1:
            remedy = f"select one {self.noun} and one --kind, or use a folder"
            raise UsageError("--out", f"{self.out!r} is a single file", remedy)
        figure, suffix = self.figures[0], _suffix(self.file)
        if suffix not in figure.formats:
            endings = ", ".join("." + known for known in figure.formats)
            raise UsageError("--out", f"{figure.name} cannot be saved as .{suffix}", f"use {endings}")

    def list(self, sources: Sequence[Source], output: Output) -> None:
        """List which figures apply and why the others do not."""
        documents = []
        for source in sources:
            kinds = [
                {"kind": figure.name, "summary": type(figure).summary(), "reason": _reason(figure, source)[0]}
                for figure in self.figures
            ]
            documents.append({self.noun: source.path, "kinds": kinds})
            rows = [
                (one["kind"], f"no: {one['reason']}" if one["reason"] else one["summary"]) for one in kinds
            ]
            columns = ("figure", "description, or why it does not apply")
            output.result(Table(columns, rows, source.path))
        output.document({f"{self.noun}s": documents})

    def draw(self, sources: Sequence[Source], output: Output, *, dpi: int, all_kinds: bool) -> None:
        """Plot each run or sweep, and the curves of several runs together."""
        documents = [
            self._draw(source, self._folder_name(source, sources), output, dpi=dpi, all_kinds=all_kinds)
            for source in sources
        ]
        if len(sources) == 1:
            output.document(documents[0])
        elif self.noun == "sweep":
            output.document({"sweeps": documents})
        else:
            output.document({"runs": documents, "together": self._draw_together(sources, output, dpi=dpi)})

    def _draw(
        self, source: Source, folder: str | None, output: Output, *, dpi: int, all_kinds: bool
    ) -> dict[str, Any]:
        drawn, skipped, missing = [], [], None
        for figure in self.figures:
            reason, error = _reason(figure, source)
            missing = error or missing
            if reason is not None:
                skipped.append({"kind": figure.name, "reason": reason})
                continue
            chart = figure.compute(source.data)
            path = self.file or os.path.join(
                self._folder(source, folder), f"{figure.name}.{self._form(figure)}"
            )
            files.write_atomic(path, figures.encode(chart, _suffix(path), dpi=dpi))
            drawn.append({"kind": figure.name, "path": path})
            output.result(path)
        command = f"{command_line('plot', source.path)} --list"
        if not drawn:
            reasons = "; ".join(f"{one['kind']}: {one['reason']}" for one in skipped)
            raise missing or UsageError(source.path, f"has nothing to draw: {reasons}", f"see {command}")
        for warning in (missing, *source.data.warnings):
            if warning is not None:
                output.message(f"warning: {warning}")
        if skipped and all_kinds:
            few = "1 figure does" if len(skipped) == 1 else f"{len(skipped)} figures do"
            output.message(f"{few} not apply to this {self.noun}; for reasons: {command}")
        elif skipped:
            output.message("\n".join(f"{one['kind']} not drawn: {one['reason']}" for one in skipped))
        return {self.noun: source.path, "plots": drawn, "skipped": skipped}

    def _draw_together(
        self, sources: Sequence[Source], output: Output, *, dpi: int
    ) -> Sequence[Mapping[str, str]]:
        """Plot the curves of all runs in one figure, for kinds that support it."""
        drawn = []
        for figure in self.figures:
            if figure.name not in figures.OVERLAYS:
                continue
            try:
                chart = figures.overlay([source.data for source in sources], figure.name)
            except UsageError as error:
                output.message(f"{figure.name} not drawn together: {error}")
                continue
            path = os.path.join(self._folder(sources[0], None), f"together_{figure.name}.{self.form}")
            figures.save(chart, path, dpi=dpi)
            output.result(path)
            drawn.append({"kind": figure.name, "path": path})
        return drawn

    def _form(self, figure: Any) -> str:
        return self.form if self.form in figure.formats else str(figure.formats[0])

    def _folder_name(self, source: Source, sources: Sequence[Source]) -> str | None:
        """The subfolder of `--out` for one of several sources; None for a single source."""
        if len(sources) == 1:
            return None
        names = [one.folder.name for one in sources]
        ambiguous = names.count(source.folder.name) > 1  # equal names in different folders
        return f"{source.folder.name}-{sources.index(source) + 1}" if ambiguous else source.folder.name

    def _folder(self, source: Source, name: str | None) -> str:
        """The folder for the figures of a source, created if missing."""
        if self.out is None:
            return source.folder.plots()
        folder = self.out if name is None else os.path.join(self.out, name)
        files.make_folder(folder)
        return folder


def _reason(figure: Any, source: Source) -> tuple[str | None, DataError | None]:
    """Why a figure does not apply, and the error if its data is missing."""
    try:
        return figure.unsupported_reason(source.data), None
    except DataError as error:
        return str(error), error


def _is_file(out: str) -> bool:
    """Return True if `--out` is an image file and not a folder. Raises UsageError for other files."""
    if not _suffix(out) or os.path.isdir(out) or out.endswith(os.sep):
        return False
    if _suffix(out) not in (*figures.FORMATS, "gif"):
        endings = ", ".join(f".{form}" for form in figures.FORMATS)
        remedy = f"use {endings} or .gif, or add {os.sep} for a folder"
        raise UsageError("--out", f"{out!r} is not an image file", remedy)
    return True


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].removeprefix(".").lower()
