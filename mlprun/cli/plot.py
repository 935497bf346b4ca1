"""`mlprun plot`: figures of runs and of sweeps."""

from __future__ import annotations

import contextlib
import csv
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from typer import Argument, Option

from mlprun import api, figures, files
from mlprun.cli.options import AllowCode, Metric, Open, open_result
from mlprun.cli.terminal import Output, Table
from mlprun.errors import DataError, UsageError, command_line
from mlprun.storage.runs import RunFolder, resolve_latest
from mlprun.sweeps.folder import is_sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def plot_command(
    names: Annotated[list[str], Argument(metavar="RUN", help="run folders, or sweep folders")],
    *,
    kind: Annotated[
        list[str] | None, Option(metavar="A,B", help="Figures to draw; see mlprun list plots.")
    ] = None,
    every: Annotated[
        bool, Option("--all", help="Draw all figures that apply, not only the default ones.")
    ] = False,
    list_: Annotated[bool, Option("--list", help="List the figures that apply.")] = False,
    form: Annotated[
        Literal["png", "svg", "pdf", "apng"], Option("--format", help="Format of the files.")
    ] = "png",
    out: Annotated[
        str | None, Option(metavar="FOLDER|FILE", help="Default: RUN/plots; a file for one --kind.")
    ] = None,
    features: Annotated[
        str | None, Option(metavar="A,B", help="Features for the axes of regions and data.")
    ] = None,
    feature: Annotated[str | None, Option(help="Feature that rows are sorted by in quantiles.")] = None,
    split: Annotated[str | None, Option(help="Split to plot: train, dev or test.")] = None,
    epoch: Annotated[str | None, Option(help="Epoch to plot: best or last.")] = None,
    epochs: Annotated[str | None, Option(metavar="A,B", help="Two snapshots for weight_changes.")] = None,
    metric: Metric = None,
    parameters: Annotated[str | None, Option(metavar="A,B", help="Parameters for heat maps.")] = None,
    of: Annotated[Literal["best", "last"] | None, Option(help="Epoch of a sweep's trials.")] = None,
    no_title: Annotated[bool, Option("--no-title", help="Omit title and subtitle.")] = False,
    dpi: Annotated[int, Option(min=40, max=600, help="Resolution of PNG files.")] = 200,
    open_: Open = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Draw the figures of a run or sweep that teach most, or all that apply.

    mlprun plot runs/moons-001 --open
    mlprun plot runs/moons-001 --all
    mlprun plot runs/moons-001 --kind loss,regions --format pdf
    mlprun plot runs/moons-001 --kind regions --out regions.svg
    mlprun plot runs/wine-001 --kind regions --features alcohol,hue
    mlprun plot runs/moons-00* --out figures/     a folder for each run
    mlprun plot runs/moons-001 --list
    mlprun plot runs/xor_width-001 --kind heat_map --metric test_accuracy    a sweep
    mlprun plot runs/xor_width-001 --format pdf --no-title    for use with a caption

    Use --out for run folders that are not writable. Animations are GIFs,
    or APNGs with --format apng.

    --json prints {"run", "plots": [{"kind", "path"}], "skipped": [{"kind", "reason"}]}
      and for several runs {"runs": [{...}, ...]};
      with --list {"runs": [{"run", "kinds": [...]}]}, where a kind is
      {"kind", "default", "summary", "reason" or null};
      for sweeps the same with "sweep" and "sweeps" instead of "run" and "runs"

    Exit codes: 0 success, 2 usage or nothing to draw, 3 data, 4 run folder, 7 files.
    """
    paths = list(dict.fromkeys(map(resolve_latest, names)))
    kinds = [word.strip() for word in ",".join(kind or ()).split(",") if word.strip()]
    if every and kinds:
        raise UsageError("--all", "does not go with --kind", "use one of them")
    pairs = {"features": features, "epochs": epochs, "parameters": parameters}
    options = _options(**pairs, feature=feature, split=split, epoch=epoch)
    if are_sweeps := _are_sweeps(paths):
        selected = _figures(figures.sweep_figures, kinds, options, every=every or list_)
        data = [figures.SweepData.of(path, metric=metric, of=of or "best") for path in paths]
        sources = [Source(RunFolder(path), one) for path, one in zip(paths, data, strict=True)]
    else:
        for name, text in {"metric": metric, "of": of}.items():
            if text is not None:
                raise UsageError(f"--{name}", "does not apply to a run", "omit it")
        selected = _figures(figures.run_figures, kinds, options, every=every or list_)
        runs = [api.load(path, allow_code=allow_code) for path in paths]
        sources = [Source(run.folder, run.figure_data) for run in runs]
    drawing = Drawing("sweep" if are_sweeps else "run", selected, form, dpi, output, not (every or kinds))
    if list_:
        return drawing.list(sources)
    is_file = out is not None and drawing.is_file(out, sources)
    with figures.without_titles() if no_title else contextlib.nullcontext():
        drawn = drawing.draw(sources, out, is_file=is_file)
    if open_:
        open_result(os.path.commonpath([*map(os.path.abspath, drawn)]), output)
    return None


def _are_sweeps(paths: Sequence[str]) -> bool:
    """Return True for sweep folders, False for run folders. Raises UsageError for both together."""
    sweeps = [path for path in paths if is_sweep(path)]
    if sweeps and len(sweeps) < len(paths):
        raise UsageError(sweeps[0], "is a sweep, unlike others", "plot runs and sweeps separately")
    return bool(sweeps)


def _options(**texts: str | None) -> dict[str, Any]:
    """The options of figures: pairs are comma-separated lists, in which names may be quoted."""
    options: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    for name in {"features", "epochs", "parameters"} & set(options):
        pair = tuple(word.strip() for word in next(csv.reader([options[name]]), ()))
        if len(pair) != 2 or (name == "epochs" and not all(word.isdecimal() for word in pair)):
            raise UsageError(f"--{name}", f"{options[name]!r} is not a pair", "separate two by a comma")
        options[name] = tuple(map(int, pair)) if name == "epochs" else pair
    return options


def _figures(registry: Any, kinds: Sequence[str], options: Mapping[str, Any], *, every: bool) -> list[Any]:
    """The requested figures, the default ones or all, each with the options that it has."""
    selected, used = [], set[str]()
    for kind in dict.fromkeys(kinds or [part.names()[0] for part in registry if part.is_default or every]):
        fields = registry[kind].model_fields if kind in registry else {}
        own = {name: value for name, value in options.items() if name in fields}
        selected.append(figures.make(registry, kind, own))
        used.update(own)
    for name in options.keys() - used:
        having = [part.names()[0] for part in registry if name in part.model_fields]
        remedy = f"use it with --kind {','.join(having)}" if having else "omit it"
        raise UsageError(f"--{name}", f"does not apply to {','.join(kinds) or 'these figures'}", remedy)
    return selected


class Source(NamedTuple):
    """A run or a sweep that is drawn, with its folder."""

    folder: RunFolder
    data: Any


class Drawing(NamedTuple):
    """Figures to be drawn of runs or sweeps, and how."""

    noun: str
    figures: Sequence[Any]
    form: str
    dpi: int
    output: Output
    is_default: bool
    """whether these are the default figures, of which some never apply"""

    def is_file(self, out: str, sources: Sequence[Source]) -> bool:
        """Return True if `--out` is an image file and not a folder. Raises UsageError for other files."""
        suffix = _suffix(out)
        if not suffix or os.path.isdir(out) or out.endswith(os.sep):
            return False
        if len(sources) > 1 or len(self.figures) > 1:
            remedy = f"select one {self.noun} and one --kind, or add {os.sep} for a folder"
            raise UsageError("--out", f"{out!r} is a single file", remedy)
        figure = self.figures[0]
        if suffix not in figure.formats:
            remedy = f"use {', '.join('.' + form for form in figure.formats)}, or add {os.sep} for a folder"
            raise UsageError("--out", f"{figure.name} cannot be saved as .{suffix}", remedy)
        return True

    def list(self, sources: Sequence[Source]) -> None:
        """List which figures apply and why the others do not."""
        documents = []
        for source in sources:
            path, (reasons, _) = source.folder.path, self._reasons(source)
            summaries = {figure.name: type(figure).summary() for figure in self.figures}
            default = {figure.name: figure.is_default for figure in self.figures}
            rows = [
                (name, "yes" if default[name] else "", f"no: {reasons[name]}" if reasons[name] else text)
                for name, text in summaries.items()
            ]
            columns = "figure", "default", "description, or why it does not apply"
            self.output.result(Table(columns, rows, path))
            kinds = [
                {"kind": name, "default": default[name], "summary": text, "reason": reasons[name]}
                for name, text in summaries.items()
            ]
            documents.append({self.noun: path, "kinds": kinds})
        self.output.document({f"{self.noun}s": documents})

    def draw(self, sources: Sequence[Source], out: str | None, *, is_file: bool) -> Sequence[str]:
        """Plot each run or sweep; return the paths."""
        documents, names = [], [source.folder.name for source in sources]
        for index, source in enumerate(sources):
            target = out
            if out is not None and len(sources) > 1:
                ambiguous = names.count(names[index]) > 1  # equal names in different folders
                target = os.path.join(out, f"{names[index]}-{index + 1}" if ambiguous else names[index])
            documents.append(self._draw(source, target, is_file=is_file))
        if len(sources) == 1:
            self.output.document(documents[0])
        else:
            self.output.document({f"{self.noun}s": documents})
        return [plot["path"] for document in documents for plot in document["plots"]]

    def _draw(self, source: Source, out: str | None, *, is_file: bool) -> dict[str, Any]:
        drawn, path = [], source.folder.path
        reasons, missing = self._reasons(source)
        skipped = [{"kind": name, "reason": reason} for name, reason in reasons.items() if reason]
        command = f"{command_line('plot', path)} --list"
        if len(skipped) == len(reasons):
            why = "; ".join(f"{one['kind']}: {one['reason']}" for one in skipped)
            raise missing or UsageError(path, f"has nothing to draw: {why}", f"see {command}")
        for figure in self.figures:
            if reasons[figure.name] is None:
                form = self.form if self.form in figure.formats else figure.formats[0]
                target = (is_file and out) or os.path.join(_folder(source, out), f"{figure.name}.{form}")
                data = figures.encode(figure.compute(source.data), _suffix(target), dpi=self.dpi)
                files.write_atomic(target, data)
                drawn.append({"kind": figure.name, "path": target})
                self.output.result(target)
        self.output.warn(missing, *source.data.warnings)
        if self.is_default:
            self.output.message(f"all figures: {command_line('plot', path)} --all")
        elif skipped:
            names = ", ".join(str(one["kind"]) for one in skipped)
            self.output.message(f"not drawn: {names}; for reasons: {command}")
        return {self.noun: path, "plots": drawn, "skipped": skipped}

    def _reasons(self, source: Source) -> tuple[dict[str, str | None], DataError | None]:
        """Why each figure does not apply, None if it does, and the error if data is missing."""
        reasons: dict[str, str | None] = {}
        missing = None
        for figure in self.figures:
            try:
                reasons[figure.name] = figure.unsupported_reason(source.data)
            except DataError as error:
                reasons[figure.name], missing = str(error), error
        return reasons, missing


def _folder(source: Source, out: str | None) -> str:
    """The folder for the figures of a source, created if missing."""
    if out is None:
        return source.folder.plots()
    files.make_folder(out)
    return out


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].removeprefix(".").lower()
