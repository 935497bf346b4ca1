"""`mlprun plot`: pictures of runs."""

from __future__ import annotations

import contextlib
import csv
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.cli.options import AllowCode, check_of
from mlprun.cli.sweep import pictures
from mlprun.cli.terminal import Output, Table
from mlprun.errors import DataError, UsageError, command_line
from mlprun.sweeps.folder import is_sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.api import Run
    from mlprun.figures import Plot, Subject

FORMATS = ("png", "svg", "pdf")


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
    if form not in FORMATS:
        raise UsageError("--format", f"{form!r} is none", f"use {', '.join(FORMATS)}")
    paths = list(dict.fromkeys(names))
    from mlprun.figures import style

    with style.without_titles() if no_title else contextlib.nullcontext():
        if any(map(is_sweep, paths)):
            _refuse_for_sweeps(paths, features=features, split=split, epoch=epoch, epochs=epochs)
            check_of(of or "best")
            file = out if out is not None and _names_file(out) else None
            pair = None if parameters is None else _options(parameters=parameters)["parameters"]
            kinds = [word.strip() for word in ",".join(kind or ()).split(",") if word.strip()]
            request = pictures.Request(kinds, form, out, file, dpi, metric, of or "best", pair)
            (pictures.list_kinds if list_ else pictures.draw)(paths, request, output)
            return
        _refuse_for_runs(metric=metric, parameters=parameters, of=of)
        options = _options(features=features, split=split, epoch=epoch, epochs=epochs)
        plots_ = _chosen(",".join(kind) if kind else None, options)
        from mlprun import api

        runs = [api.load(path, allow_code=allow_code) for path in paths]
        if list_:
            _list(runs, plots_, output)
            return
        place = _Place(runs, plots_, form, out)
        told = [_draw(run, plots_, place, dpi, output, all_wanted=not kind) for run in runs]
        together = list(_draw_together(runs, plots_, place, dpi, output)) if len(runs) > 1 else []
        output.document(told[0] if len(runs) == 1 else {"runs": told, "together": together})


def _refuse_for_runs(**texts: str | None) -> None:
    """Raise UsageError for what can be asked of sweeps alone."""
    for name, text in texts.items():
        if text is not None:
            raise UsageError(f"--{name}", "is of sweeps", "leave it out")


def _refuse_for_sweeps(paths: Sequence[str], **texts: str | None) -> None:
    """Raise UsageError for what cannot be asked of sweeps, or of runs together with them."""
    for path in paths:
        if not is_sweep(path):
            raise UsageError(path, "is not a sweep as the others are", "draw runs and sweeps apart")
    for name, text in texts.items():
        if text is not None:
            remedy = (
                "say --of best or --of last for a sweep" if name == "epoch" else "leave it out for a sweep"
            )
            raise UsageError(f"--{name}", "is of runs", remedy)


class _Place:
    """Where pictures go, and in which format."""

    def __init__(self, runs: Sequence[Run], plots_: Sequence[Plot], form: str, out: str | None) -> None:
        self.form, self.out = form, out
        self.file = out if out is not None and _names_file(out) else None
        names = [run.folder.name for run in runs]
        # two runs of one name from different folders
        self.folders = {
            run.path: name if names.count(name) == 1 else f"{name}-{place + 1}"
            for place, (run, name) in enumerate(zip(runs, names, strict=True))
        }
        if self.file is not None:
            if len(runs) > 1 or len(plots_) > 1:
                raise UsageError("--out", f"{out!r} is one file", "name one run and one --kind, or a folder")
            ending = _ending(self.file)
            if ending not in plots_[0].formats:
                what = f"{plots_[0].name} cannot be a .{ending}"
                raise UsageError(
                    "--out", what, f"end it in {', '.join('.' + known for known in plots_[0].formats)}"
                )
            self.form = ending

    def of(self, run: Run, plot: Plot) -> tuple[str, str]:
        """The path and format of a run's picture; its folder is made."""
        form = self.form if self.form in plot.formats else plot.formats[0]
        return (self.file or os.path.join(self._folder(run), f"{plot.name}.{form}")), form

    def together(self, run: Run, name: str) -> str:
        """The path of a picture of all runs, of which `run` is the first."""
        folder = run.folder.plots() if self.out is None else self._made(self.out)
        return os.path.join(folder, f"together_{name}.{self.form}")

    def _folder(self, run: Run) -> str:
        if self.out is None:
            return run.folder.plots()
        return self._made(
            self.out if len(self.folders) == 1 else os.path.join(self.out, self.folders[run.path])
        )

    @staticmethod
    def _made(folder: str) -> str:
        from mlprun import files

        files.make_folder(folder)
        return folder


def _names_file(out: str) -> bool:
    """Whether `--out` is a picture and not a folder. Raises UsageError for what looks like another file."""
    if not _ending(out) or os.path.isdir(out) or out.endswith(os.sep):
        return False
    if _ending(out) not in (*FORMATS, "gif"):
        endings = ", ".join(f".{form}" for form in FORMATS)
        remedy = f"end it in {endings} or .gif, or in {os.sep} for a folder"
        raise UsageError("--out", f"{out!r} is no picture's name", remedy)
    return True


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].removeprefix(".").lower()


def _options(**texts: str | None) -> dict[str, Any]:
    """The options as pictures take them: pairs from lists with a comma, in which names may be quoted."""
    options: dict[str, Any] = {name: text for name, text in texts.items() if text is not None}
    for name in ("features", "epochs", "parameters"):
        if name in options:
            words = tuple(word.strip() for word in next(csv.reader([options[name]]), ()))
            if len(words) != 2:
                raise UsageError(
                    f"--{name}", f"{options[name]!r} is no pair", "name two with a comma between them"
                )
            options[name] = words
    if "epochs" in options:
        if not all(word.isdecimal() for word in options["epochs"]):
            raise UsageError("--epochs", f"{texts['epochs']!r} are no epochs", "name two such as 0,1")
        options["epochs"] = tuple(map(int, options["epochs"]))
    return options


def _chosen(text: str | None, options: Mapping[str, Any]) -> list[Plot]:
    """The pictures that are asked for, or all; each with those of the options that it has."""
    from mlprun import figures

    words = [word.strip() for word in text.split(",")] if text is not None else figures.names()
    chosen = []
    for word in dict.fromkeys(words):
        figures.make(word)  # refuses an unknown name
        known = figures.kinds[word].model_fields
        chosen.append(figures.make(word, **{name: value for name, value in options.items() if name in known}))
    for name in options:
        takers = [plot.name for plot in chosen if name in type(plot).model_fields]
        if not takers:
            having = [part.names()[0] for part in figures.kinds if name in part.model_fields]
            raise UsageError(f"--{name}", f"{text} does not take it", f"{', '.join(having)} does")
    return chosen


def _draw(
    run: Run, plots_: Sequence[Plot], place: _Place, dpi: int, output: Output, *, all_wanted: bool
) -> dict[str, Any]:
    """Draw one run, and say what was drawn and what was not."""
    from mlprun import figures, files

    drawn, skipped = [], []
    subject, gone = run.subject, None
    for plot in plots_:
        try:
            reason = figures.refusal(plot, subject)
        except DataError as error:
            gone, reason = error, str(error)
        if reason is not None:
            skipped.append({"kind": plot.name, "reason": reason})
            continue
        path, form = place.of(run, plot)
        files.write_atomic(path, plot.encode(plot.compute(subject), form, dpi=dpi))
        drawn.append({"kind": plot.name, "path": path})
        output.result(path)
    if not drawn:
        raise gone or _nothing(run, skipped)
    _explain(run, skipped, output, all_wanted=all_wanted, gone=gone)
    return {"run": run.path, "plots": drawn, "skipped": skipped}


def _nothing(run: Run, skipped: Sequence[Mapping[str, str]]) -> UsageError:
    reasons = "; ".join(f"{one['kind']}: {one['reason']}" for one in skipped)
    remedy = f"{command_line('plot', run.path)} --list shows what has"
    return UsageError(run.path, f"has nothing to draw: {reasons}", remedy)


def _explain(
    run: Run,
    skipped: Sequence[Mapping[str, str]],
    output: Output,
    *,
    all_wanted: bool,
    gone: DataError | None,
) -> None:
    if gone is not None:
        output.message(f"warning: {gone}")
    if skipped and all_wanted:
        few = "1 kind is" if len(skipped) == 1 else f"{len(skipped)} kinds are"
        output.message(f"{few} not for this run; {command_line('plot', run.path)} --list says why")
    elif skipped:
        output.message("\n".join(f"{one['kind']} not drawn: {one['reason']}" for one in skipped))


def _draw_together(
    runs: Sequence[Run], plots_: Sequence[Plot], place: _Place, dpi: int, output: Output
) -> Iterator[dict[str, str]]:
    """The curves of all runs over one another, for the kinds that are curves."""
    from mlprun import figures

    subjects = [run.subject for run in runs]
    for plot in plots_:
        if plot.name not in figures.OVERLAYS:
            continue
        try:
            drawn = figures.overlay(subjects, plot.name)
        except UsageError as error:
            output.message(f"{plot.name} not drawn together: {error}")
            continue
        path = place.together(runs[0], plot.name)
        figures.save(drawn, path, dpi=dpi)
        output.result(path)
        yield {"kind": plot.name, "path": path}


def _list(runs: Sequence[Run], plots_: Sequence[Plot], output: Output) -> None:
    told = []
    for run in runs:
        kinds = [
            {"kind": plot.name, "summary": type(plot).summary(), "reason": _reason(plot, run.subject)}
            for plot in plots_
        ]
        told.append({"run": run.path, "kinds": kinds})
        rows = [(one["kind"], f"no: {one['reason']}" if one["reason"] else one["summary"]) for one in kinds]
        output.result(Table(("plot", "what it shows, or why it is not for this run"), rows, run.path))
    output.document({"runs": told})


def _reason(plot: Plot, subject: Subject) -> str | None:
    from mlprun import figures

    try:
        return figures.refusal(plot, subject)
    except DataError as error:
        return str(error)
