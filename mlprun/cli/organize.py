"""`mlprun ls`, `tag`, `note` and `rm`: runs listed, described by their user, and put away."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from typer import Argument, Option

from mlprun.cli.options import RunPath
from mlprun.cli.terminal import Output, Table, duration
from mlprun.errors import UsageError, shell_path
from mlprun.storage.listing import FIELDS, Condition, Listed, as_text, describe, order, select
from mlprun.storage.runs import Folder, Notes, RunFolder, open_run, resolve_latest, trash
from mlprun.sweeps.folder import SweepFolder, is_sweep, open_sweep
from mlprun.sweeps.folder import find as find_sweeps

LONGEST_TAG, LONGEST_NOTE = 64, 4000


def ls_command(
    folder: Annotated[str, Argument(help="the folder of run folders")] = "runs",
    *,
    sort: Annotated[str | None, Option(metavar="KEY", help="Sort runs by this, smallest first.")] = None,
    reverse: Annotated[bool, Option("--reverse", "-r", help="Reverse the order.")] = False,
    where: Annotated[
        list[str] | None, Option(metavar="CONDITION", help="List only these runs; repeatable.")
    ] = None,
    output: Output,
) -> None:
    """List the runs and sweeps in a folder with status, date and test metrics.

    mlprun ls
    mlprun ls runs/sweep-of-monday
    mlprun ls --sort dev_loss --where dataset=moons
    mlprun ls --where "optimizer.lr>=0.1" --where tag=thesis --sort date --reverse

    KEY is run, date, status, epochs, seconds, tag, note, a metric such as
    test_accuracy (of the best epoch), or a value of the config such as optimizer.lr;
    the name of a part is dataset, loss, optimizer and so on. CONDITION is KEY, one
    of = != < <= > >=, and a number or text, in which * stands for any text. With
    --where, sweeps are left out.

    A run with status `crashed` was killed; `mlprun resume RUN` continues it, and
    `mlprun show RUN` shows how many of its epochs are saved. The date is when
    run.json was written, at the start.

    --json prints {"runs": [{"run", "name", "date": ISO 8601, "status", "epochs":
      number or null, "seconds", "tags": [TAG, ...], "note", "best": {"epoch",
      "metric", "value"} or null, "of", "splits"}], "sweeps": [{"sweep", "name",
      "date", "status", "trials", "total", "seconds"}]}; a damaged folder has
      "status": "damaged" and "problem".

    Exit codes: 0 success, 2 unknown key, 4 no such folder, 7 files.
    """
    conditions = [Condition.of(text) for text in where or ()]
    keys = list(dict.fromkeys([*(one.key for one in conditions), *([] if sort is None else [sort])]))
    runs = select(folder, conditions, keys)
    if sort is not None:
        runs.sort(key=lambda run: order(run.value(sort)))
        runs.sort(key=lambda run: run.value(sort) is None)
    if reverse:
        runs.reverse()
    found = [] if conditions else find_sweeps(folder)
    sweeps = [describe("sweep", one, _describe_sweep) for one in found]
    output.document({"runs": [run.document for run in runs], "sweeps": sweeps})
    if not runs and not sweeps:
        hint = "change --where" if conditions else "create one with mlprun train CONFIG"
        output.message(f"no {'such ' * bool(conditions)}runs in {folder}; {hint}")
    if runs:
        output.result(_runs_table(runs, [key for key in keys if key not in FIELDS]), *[""] * bool(sweeps))
    if sweeps:
        columns = ("sweep", "date", "status", "trials", "of", "time", "")
        output.result(Table(columns, [_sweep_row(sweep) for sweep in sweeps]))


def tag_command(
    run: RunPath,
    tags: Annotated[list[str], Argument(metavar="TAG", help="one or more tags")],
    *,
    remove: Annotated[bool, Option("--remove", help="Remove the tags instead of adding them.")] = False,
    output: Output,
) -> None:
    """Add tags to a run, or remove them.

    mlprun tag runs/moons-001 thesis figure-3
    mlprun tag runs/moons-001 figure-3 --remove
    mlprun ls --where tag=thesis

    Tags are kept in the run's notes.json, also while it is training. `ls` and
    `show` show them.

    --json prints {"run", "tags": [TAG, ...], "note"}.

    Exit codes: 0 success, 2 usage, 4 run folder, 7 files.
    """
    folder = open_run(run)
    for tag in tags:
        if not tag.isprintable() or tag != tag.strip() or "," in tag or not 0 < len(tag) <= LONGEST_TAG:
            remedy = f"expected 1 to {LONGEST_TAG} printable characters without a comma"
            raise UsageError("tag", f"{tag!r} is not allowed", remedy)

    def change(notes: Notes) -> Notes:
        if not remove:
            return replace(notes, tags=tuple(dict.fromkeys([*notes.tags, *tags])))
        if missing := [tag for tag in tags if tag not in notes.tags]:
            present = f"its tags: {', '.join(notes.tags)}" if notes.tags else "it has no tags"
            raise UsageError(folder.path, f"has no tag {missing[0]!r}", present)
        return replace(notes, tags=tuple(tag for tag in notes.tags if tag not in tags))

    _show(folder, folder.change_notes(change), output)


def note_command(
    run: RunPath,
    text: Annotated[str, Argument(help='the note; "" removes it')],
    *,
    output: Output,
) -> None:
    """Write a note about a run, in place of an earlier one.

    mlprun note runs/moons-001 "first model that follows the moons"
    mlprun ls --where "note=*moons*"

    It is kept in the run's notes.json, also while it is training. `ls` and `show`
    show it.

    --json prints {"run", "tags": [TAG, ...], "note"}.

    Exit codes: 0 success, 2 usage, 4 run folder, 7 files.
    """
    if len(text) > LONGEST_NOTE:
        raise UsageError("note", f"has {len(text)} characters", f"use at most {LONGEST_NOTE}")
    folder = open_run(run)
    _show(folder, folder.change_notes(lambda notes: replace(notes, note=text)), output)


def rm_command(
    names: Annotated[list[str], Argument(metavar="RUN", help="run folders or sweep folders")],
    *,
    output: Output,
) -> None:
    """Move runs or sweeps to the trash beside them.

    mlprun rm runs/moons-001 runs/moons-002
    mv runs/.trash/moons-001 runs/            restores one
    rm -r runs/.trash                         frees the space

    Nothing is deleted, and all or none of the folders are moved unless moving one
    fails. A run or sweep that is still training is refused. The numbers of runs in
    the trash are not used again.

    --json prints {"removed": [{"run", "trash"}, ...]}.

    Exit codes: 0 success, 2 usage, 4 not a run or sweep folder, 5 in use, 7 files.
    """
    paths = dict.fromkeys(_named(resolve_latest(name)) for name in names)
    folders: list[Folder[Any]] = [open_sweep(path) if is_sweep(path) else open_run(path) for path in paths]
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(folder.lock())
        moved = {folder.path: trash(folder) for folder in folders}
    output.document({"removed": [{"run": path, "trash": target} for path, target in moved.items()]})
    for path, target in moved.items():
        output.result(f"moved {path} to {target}")
    bin_ = os.path.dirname(target)
    output.message(
        f"to restore: mv {shell_path(target)} {shell_path(os.path.dirname(bin_) or os.curdir)}{os.sep}"
    )
    output.message(f"to free the space: rm -r {shell_path(bin_)}")


def _named(path: str) -> str:
    """The path of a folder with its name at the end, which . and .. lack."""
    path = os.path.normpath(path)
    return os.path.abspath(path) if os.path.basename(path) in (os.curdir, os.pardir) else path


def _show(folder: RunFolder, notes: Notes, output: Output) -> None:
    output.document({"run": folder.path, **asdict(notes)})
    output.result(f"{folder.path}: {', '.join(notes.tags) or 'no tags'}; {notes.note or 'no note'}")


def _describe_sweep(sweep: SweepFolder) -> dict[str, Any]:
    one = sweep.status()
    return {"status": one.state, "trials": one.done, "total": one.total, "seconds": one.seconds}


def _runs_table(runs: Sequence[Listed], keys: Sequence[str]) -> Table:
    """The table of runs; tags and notes have a column if any run has them, and so have `keys`."""
    texts = [(", ".join(run.document.get("tags", ())), run.document.get("note", "")) for run in runs]
    shown = [index for index in (0, 1) if any(text[index] for text in texts)]
    rows = [
        [
            *_head(run.document, "run"),
            *(_shown(run.value(key)) for key in keys),
            _test_text(run.document),
            *(text[index] for index in shown),
        ]
        for run, text in zip(runs, texts, strict=True)
    ]
    names = [("tags", "note")[index] for index in shown]
    return Table(("run", "date", "status", "time", *keys, "test", *names), rows)


def _shown(value: Any) -> str | float | None:
    return value if isinstance(value, int | float | None) and not isinstance(value, bool) else as_text(value)


def _head(document: Mapping[str, Any], kind: str) -> list[str]:
    seconds = document.get("seconds")
    time = "" if seconds is None else duration(seconds)
    date = datetime.fromisoformat(document["date"])
    this_year = date.year == datetime.now(tz=UTC).year
    return [
        document[kind],
        f"{date:%m-%d %H:%M}" if this_year else f"{date:%Y-%m-%d}",
        document["status"],
        time,
    ]


def _sweep_row(sweep: Mapping[str, Any]) -> list[Any]:
    *head, time = _head(sweep, "sweep")
    return [*head, sweep.get("trials"), sweep.get("total"), time, sweep.get("problem", "")]


def _test_text(run: Mapping[str, Any]) -> str:
    if "problem" in run:
        return str(run["problem"])
    test = run["splits"].get("test", {})
    numbers = {name: value for name, value in test.items() if isinstance(value, int | float)}
    names = sorted(numbers, key=lambda name: name != "loss")
    return ", ".join(f"{name} {numbers[name]:.4g}" for name in names)
