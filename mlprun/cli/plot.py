"""`mlprun plot`: figures of runs and of sweeps."""

from __future__ import annotations

import contextlib
import csv
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun import api, figures, files
from mlprun.cli.options import AllowCode, check_of
from mlprun.cli.terminal import Output, Table
from mlprun.errors import CheckpointError, DataError, UsageError, command_line
from mlprun.sweeps.folder import is_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def plot_command(
    names: Annotated[list[str], typer.Argument(metavar="RUN...", help="run folders, or folders of sweeps")],
    *,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="A,B", help="Only these; may be repeated. See mlprun list plots."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Draw nothing; say what can be drawn, and why the rest cannot.")
    ] = False,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="png, svg or pdf.")] = "png",
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="FOLDER|FILE", help="Where to; by default RUN/plots. A file for one --kind."
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option("--features", metavar="A,B", help="Two inputs for the axes of regions and data."),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Whose rows: train, dev or test.")] = None,
    epoch: Annotated[str | None, typer.Option("--epoch", help="Which network: best or last.")] = None,
    epochs: Annotated[
        str | None, typer.Option("--epochs", metavar="A,B", help="Two kept epochs for weight_changes.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="The figure of a sweep; by default its objective's.")
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option("--parameters", metavar="A,B", help="Two parameters of a sweep, for its maps."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option("--of", help="Figures of each trial's best or last epoch, of a sweep; by default best."),
    ] = None,
    no_title: Annotated[
        bool, typer.Option("--no-title", help="Leave out title and subtitle, for a caption of your own.")
    ] = False,
    dpi: Annotated[int, typer.Option("--dpi", min=40, max=600, help="Dots per inch of a PNG.")] = 200,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Draw every picture that makes sense for a run, or for a sweep.

    mlprun plot runs/moons-001
    mlprun plot runs/moons-001 --kind loss,regions --format pdf
    mlprun plot runs/moons-001 --kind regions --out regions.svg
    mlprun plot runs/wine-001 --kind regions --features alcohol,hue
    mlprun plot runs/moons-00* --out pictures/    also draws their curves together
    mlprun plot runs/moons-001 --list
    mlprun plot runs/xor_width-001 --kind heat_map --metric test_accuracy    a sweep
    mlprun plot runs/xor_width-001 --format pdf --no-title    for a page with captions

    A run folder that cannot be written to is drawn with --out. An animation is
    a GIF whatever the format.

    --json prints {"run", "plots": [{"kind", "path"}], "skipped": [{"kind", "reason"}]}
      and for several runs {"runs": [{...}, ...], "together": [{"kind", "path"}]};
      with --list {"runs": [{"run", "kinds": [{"kind", "summary", "reason" or null}]}]};
      of sweeps the same with "sweep" and "sweeps" for "run" and "runs"

    Exit codes: 0 done, 2 usage or nothing to draw, 3 data, 4 run folder, 7 files.
    """
    if form not in figures.FORMATS:
        raise UsageError("--format", f"{form!r} is none", f"use {', '.join(figures.FORMATS)}")
    paths = list(dict.fromkeys(names))
    of_runs = {"features": features, "split": split, "epoch": epoch, "epochs": epochs}
    kinds = [word.strip() for word in ",".join(kind or ()).split(",") if word.strip()]
    if any(map(is_sweep, paths)):
        _refuse_for_sweeps(paths, of_runs)
        check_of(of or "best")
        drawn = Drawing(
            "sweep", _figures(figures.sweep_figures, kinds, _options(parameters=parameters)), form, out
        )
        sources = [Source(path, figures.SweepData.of(path, metric=metric, of=of or "best")) for path in paths]
    else:
        _refuse_for_runs({"metric": metric, "parameters": parameters, "of": of})
        runs = [api.load(path, allow_code=allow_code) for path in paths]
        sources = [Source(run.path, run.figure_data) for run in runs]
        drawn = Drawing("run", _figures(figures.run_figures, kinds, _options(**of_runs)), form, out)
    if list_:
        drawn.list(sources, output)
        return
    drawn.check_out(sources)
    with figures.without_titles() if no_title else contextlib.nullcontext():
        drawn.draw(sources, output, dpi=dpi, all_wanted=not kinds)


def _refuse_for_runs(options: Mapping[str, str | None]) -> None:
    """Raise UsageError for options that only sweeps have."""
    for name, text in options.items():
        if text is not None:
            raise UsageError(f"--{name}", "is of sweeps", "leave it out")


def _refuse_for_sweeps(paths: Sequence[str], options: Mapping[str, str | None]) -> None:
    """Raise UsageError for options that only runs have, and for runs among the sweeps."""
    for path in paths:
        if not is_sweep(path):
            raise UsageError(path, "is not a sweep as the others are", "draw runs and sweeps apart")
    for name, text in options.items():
        if text is not None:
            by_epoch = "say --of best or --of last for a sweep"
            raise UsageError(
                f"--{name}", "is of runs", by_epoch if name == "epoch" else "leave it out for a sweep"
            )


def _options(**texts: str | None) -> dict[str, Any]:
    """The options as figures take them: pairs from lists with a comma, in which names may be quoted."""
    options: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    for name in ("features", "epochs", "parameters"):
        if name in options:
            words = tuple(word.strip() for word in next(csv.reader([options[name]]), ()))
            if len(words) != 2:
                what = f"{options[name]!r} is no pair"
                raise UsageError(f"--{name}", what, "name two with a comma between them")
            options[name] = words
    if "epochs" in options:
        if not all(word.isdecimal() for word in options["epochs"]):
            raise UsageError("--epochs", f"{texts['epochs']!r} are no epochs", "name two such as 0,1")
        options["epochs"] = tuple(map(int, options["epochs"]))
    return options


def _figures(registry: Any, kinds: Sequence[str], options: Mapping[str, Any]) -> list[Any]:
    """The figures that are asked for, or all; each with those of the options that it has."""
    chosen = []
    for kind in dict.fromkeys(kinds or [part.names()[0] for part in registry]):
        known = type(figures.make(registry, kind, {})).model_fields  # refuses an unknown name
        given = {name: value for name, value in options.items() if name in known}
        chosen.append(figures.make(registry, kind, given))
    for name in options:
        if not any(name in type(figure).model_fields for figure in chosen):
            having = [part.names()[0] for part in registry if name in part.model_fields]
            do = "does" if len(having) == 1 else "do"
            raise UsageError(f"--{name}", f"{','.join(kinds)} does not take it", f"{_listed(having)} {do}")
    return chosen


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


@dataclass(frozen=True)
class Source:
    """A run or a sweep that is drawn."""

    path: str
    data: Any

    @property
    def name(self) -> str:
        """The folder's name."""
        return os.path.basename(os.path.abspath(self.path))

    def plots(self) -> str:
        """Its folder for figures, made when it is missing; a symbolic link there is refused."""
        folder = os.path.join(self.path, "plots")
        if files.kind(folder) not in (None, "folder"):
            raise CheckpointError(folder, f"is a {files.kind(folder)}", "expected a folder")
        files.make_folder(folder)
        return folder


class Drawing:
    """Figures of runs, or of sweeps, and where they are written."""

    def __init__(self, noun: str, chosen: Sequence[Any], form: str, out: str | None) -> None:
        self.noun, self.figures, self.form, self.out = noun, chosen, form, out
        self.file = out if out is not None and _is_file(out) else None

    def check_out(self, sources: Sequence[Source]) -> None:
        """Raise UsageError where `--out` is one file for several figures, or for one of another format."""
        if self.file is None:
            return
        if len(sources) > 1 or len(self.figures) > 1:
            remedy = f"name one {self.noun} and one --kind, or a folder"
            raise UsageError("--out", f"{self.out!r} is one file", remedy)
        figure, suffix = self.figures[0], _suffix(self.file)
        if suffix not in figure.formats:
            endings = ", ".join("." + known for known in figure.formats)
            raise UsageError("--out", f"{figure.name} cannot be a .{suffix}", f"end it in {endings}")

    def list(self, sources: Sequence[Source], output: Output) -> None:
        """Show which figures apply, and why the others do not."""
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
            columns = ("figure", f"what it shows, or why it does not apply to this {self.noun}")
            output.result(Table(columns, rows, source.path))
        output.document({f"{self.noun}s": documents})

    def draw(self, sources: Sequence[Source], output: Output, *, dpi: int, all_wanted: bool) -> None:
        """Draw each run or sweep, and the curves of several runs together."""
        documents = [
            self._draw(source, self._folder_name(source, sources), output, dpi=dpi, all_wanted=all_wanted)
            for source in sources
        ]
        if len(sources) == 1:
            output.document(documents[0])
        elif self.noun == "sweep":
            output.document({"sweeps": documents})
        else:
            output.document({"runs": documents, "together": self._draw_together(sources, output, dpi=dpi)})

    def _draw(
        self, source: Source, folder: str | None, output: Output, *, dpi: int, all_wanted: bool
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
                self._made(source, folder), f"{figure.name}.{self._form(figure)}"
            )
            files.write_atomic(path, figures.encode(chart, _suffix(path), dpi=dpi))
            drawn.append({"kind": figure.name, "path": path})
            output.result(path)
        command = f"{command_line('plot', source.path)} --list"
        if not drawn:
            reasons = "; ".join(f"{one['kind']}: {one['reason']}" for one in skipped)
            raise missing or UsageError(
                source.path, f"has nothing to draw: {reasons}", f"{command} shows what has"
            )
        for warning in (missing, *source.data.warnings):
            if warning is not None:
                output.message(f"warning: {warning}")
        if skipped and all_wanted:
            few = "1 figure does" if len(skipped) == 1 else f"{len(skipped)} figures do"
            output.message(f"{few} not apply to this {self.noun}; {command} says why")
        elif skipped:
            output.message("\n".join(f"{one['kind']} not drawn: {one['reason']}" for one in skipped))
        return {self.noun: source.path, "plots": drawn, "skipped": skipped}

    def _draw_together(
        self, sources: Sequence[Source], output: Output, *, dpi: int
    ) -> Sequence[Mapping[str, str]]:
        """The curves of all runs over one another, for the kinds that are curves."""
        drawn = []
        for figure in self.figures:
            if figure.name not in figures.OVERLAYS:
                continue
            try:
                chart = figures.overlay([source.data for source in sources], figure.name)
            except UsageError as error:
                output.message(f"{figure.name} not drawn together: {error}")
                continue
            path = os.path.join(self._made(sources[0], None), f"together_{figure.name}.{self.form}")
            figures.save(chart, path, dpi=dpi)
            output.result(path)
            drawn.append({"kind": figure.name, "path": path})
        return drawn

    def _form(self, figure: Any) -> str:
        return self.form if self.form in figure.formats else str(figure.formats[0])

    def _folder_name(self, source: Source, sources: Sequence[Source]) -> str | None:
        """The folder of one of several sources below `--out`; None for the only one."""
        if len(sources) == 1:
            return None
        names = [one.name for one in sources]
        # two of one name from different folders
        same = names.count(source.name) > 1
        return f"{source.name}-{sources.index(source) + 1}" if same else source.name

    def _made(self, source: Source, name: str | None) -> str:
        """The folder of a source's figures, made when it is missing."""
        if self.out is None:
            return source.plots()
        folder = self.out if name is None else os.path.join(self.out, name)
        files.make_folder(folder)
        return folder


def _reason(figure: Any, source: Source) -> tuple[str | None, DataError | None]:
    """Why a figure does not apply; also the error where its data is gone."""
    try:
        return figure.unsupported_reason(source.data), None
    except DataError as error:
        return str(error), error


def _is_file(out: str) -> bool:
    """Return True if `--out` is a figure, not a folder. Raises UsageError for another kind of file."""
    if not _suffix(out) or os.path.isdir(out) or out.endswith(os.sep):
        return False
    if _suffix(out) not in (*figures.FORMATS, "gif"):
        endings = ", ".join(f".{form}" for form in figures.FORMATS)
        remedy = f"end it in {endings} or .gif, or in {os.sep} for a folder"
        raise UsageError("--out", f"{out!r} is no figure's name", remedy)
    return True


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].removeprefix(".").lower()
