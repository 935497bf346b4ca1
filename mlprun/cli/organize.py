"""`mlprun tag`, `note` and `rm`: runs described by their user, and put away."""

import os
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Annotated, Any

from typer import Argument, Option

from mlprun.cli.options import RunPath
from mlprun.cli.terminal import Output
from mlprun.errors import UsageError, shell_path
from mlprun.storage.runs import Folder, Notes, RunFolder, open_run, resolve_latest, trash
from mlprun.sweeps.folder import is_sweep, open_sweep

LONGEST_TAG, LONGEST_NOTE = 64, 4000


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
