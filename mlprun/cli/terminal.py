"""Terminal output: results on standard output, messages and progress on standard error.

Everything that `mlprun` prints passes through this module, so that names from users can neither move the
cursor nor be interpreted as markup.
"""

import io
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Any, TextIO

import typer

from mlprun.errors import FileError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no progress and messages.")]
LINE_SECONDS = 10.0
"""between progress lines if standard error is not a terminal"""
GAP, NARROW_GAP = 3, 2
"""characters between the columns of a table on a terminal, and if it would not fit otherwise"""
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def printable(text: str) -> str:
    r"""Escape control, bidirectional and other invisible characters in a line: ESC becomes `\x1b`."""
    if text.isprintable():
        return text
    from mlprun.config import printable as escaped  # rarely needed, and not imported at start-up

    return escaped(text)


def printable_lines(text: str) -> str:
    """Escape each line of a text as `printable` does."""
    return "\n".join(printable(line) for line in text.split("\n"))


@dataclass(frozen=True)
class Table:
    """Rows under column names; numbers are right-aligned, floats have four significant digits."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    title: str = ""

    def cells(self) -> list[list[str]]:
        """Return the rows as printable text."""
        return [[_cell(value) for value in row] for row in self.rows]

    def is_numeric(self, column: int) -> bool:
        """Return True if every value of a column is a number or None."""
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and not any(isinstance(value, str) for value in values)

    def plain(self) -> str:
        """Return aligned columns without rules or colours, for pipes and files."""
        rows = [[printable(name) for name in self.columns], *self.cells()]
        widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            [printable(self.title)] * bool(self.title) + self.aligned(rows, widths, gap=NARROW_GAP)
        )

    def aligned(self, rows: Sequence[Sequence[str]], widths: Sequence[int], *, gap: int) -> list[str]:
        """Return lines of printable cells, padded to the widths of their columns."""
        right = [self.is_numeric(index) for index in range(len(widths))]
        return [
            (" " * gap)
            .join(
                " " * (width - _width(cell)) + cell if numeric else cell + " " * (width - _width(cell))
                for cell, width, numeric in zip(row, widths, right, strict=True)
            )
            .rstrip()
            for row in rows
        ]


class Output:
    """The output of a command. The arguments are the options that all commands have."""

    def __init__(self, *, quiet: Quiet = False, as_json: Json = False) -> None:
        self.quiet, self.as_json = quiet, as_json

    def result(self, *items: str | Table) -> None:
        """Print text and tables to standard output, unless `--json` is given."""
        if self.as_json:
            return
        for item in items:
            if isinstance(item, str):
                write(sys.stdout, printable_lines(item) + "\n")
            elif is_terminal(sys.stdout):
                write(sys.stdout, draw_table(item), styled=True)
            else:
                write(sys.stdout, item.plain() + "\n")

    def document(self, data: Mapping[str, Any] | Sequence[Any]) -> None:
        """Print the JSON document if `--json` is given; NaN and infinities become null."""
        if self.as_json:
            text = json.dumps(_jsonable(data), indent=2, allow_nan=False)
            write(sys.stdout, text.replace("\x7f", "\\u007f") + "\n")  # json leaves it raw

    def data(self, text: str) -> None:
        """Print text for other programs (CSV, YAML, JSON), unchanged in files and pipes."""
        write(sys.stdout, text)

    def message(self, text: str) -> None:
        """Print a message or progress line to standard error, unless `-q` is given."""
        if not self.quiet:
            write(sys.stderr, printable_lines(text) + "\n")


class ProgressReporter:
    """Base of the reporters of runs and sweeps. Close it when the training is over, however it ended."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bar: Any = None

    def say(self, message: str) -> None:
        """A message on standard error."""
        self._output.message(message)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _start_bar(self, unit: str, total: int, done: int) -> None:
        """Show a bar where somebody watches a terminal."""
        if not is_terminal(sys.stderr) or self._output.quiet or self._output.as_json:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(unit),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        # drawn when progress is reported, never by a thread of its own: the training loop is all that runs
        self._bar = Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True)
        self._bar.start()
        self._bar.add_task(unit, total=total, completed=done, figures="")


def is_terminal(stream: TextIO) -> bool:
    """Return True if lines may be drawn and redrawn on the stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def write(stream: TextIO, text: str, *, styled: bool = False) -> None:
    """Write and flush. A closed pipe is not an error; nothing is written to it again.

    On a terminal, control and bidirectional characters are escaped, except in `styled` text.
    """
    if not styled and stream.isatty():
        text = printable_lines(text)
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        detach(stream)
    except OSError as error:
        detach(stream)
        if stream is not sys.stderr:  # lost messages do not stop training
            what = error.strerror or str(error)
            raise FileError("standard output", what, "send the output elsewhere") from error


def flush_or_drop(stream: TextIO) -> None:
    """Flush a stream, or drop its buffer if it is broken."""
    try:
        stream.flush()
    except OSError:
        detach(stream)


def detach(stream: TextIO) -> None:
    """Redirect a broken stream to the null device, so that flushing it at exit does not fail."""
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        try:
            os.dup2(nothing.fileno(), stream.fileno())
        except io.UnsupportedOperation:  # an in-memory stream has no descriptor
            return


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    return str(value) if isinstance(value, int) else f"{value + 0.0:.4g}"  # adding 0 turns -0 into 0


def _width(text: str) -> int:
    """The number of terminal columns that a text occupies."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def draw_table(table: Table) -> str:
    """The table for this terminal: a rule below the headings, long cells wrapped."""
    room = shutil.get_terminal_size().columns
    gap, widths = _widths(table, room)
    if widths is None:
        return _as_list(table)
    head, *rows = (
        list(zip_longest(*map(_wrapped, row, widths), fillvalue=""))
        for row in [[printable(name) for name in table.columns], *table.cells()]
    )
    lines = table.aligned([*head, *(line for row in rows for line in row)], widths, gap=gap)
    bold = [*(_wrapped(printable(table.title), room) if table.title else []), *lines[: len(head)]]
    if "NO_COLOR" not in os.environ:
        bold = [f"\x1b[1m{line}\x1b[0m" for line in bold]
    rule = "─" * (sum(widths) + gap * (len(widths) - 1))
    return "\n".join([*bold, rule, *lines[len(head) :]]) + "\n"


def _wrapped(text: str, width: int) -> list[str]:
    """Wrap the text to `width` columns; a longer word has its own line."""
    if _width(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        lines[-1:] = [longer] if _width(longer) <= width or not lines[-1] else [lines[-1], word]
    return lines


def _widths(table: Table, room: int) -> tuple[int, list[int] | None]:
    """The gap between columns and the column widths without broken words; None if they do not fit."""
    columns = [(printable(name), *cells) for name, *cells in zip(table.columns, *table.cells(), strict=True)]
    widths = [max(map(_width, cells)) for cells in columns]
    least = [max((_width(word) for cell in cells for word in cell.split()), default=0) for cells in columns]
    least[0] = widths[0] if len(widths) > 1 and widths[0] <= room // 2 else least[0]
    gap = GAP if sum(widths) + GAP * (len(widths) - 1) <= room else NARROW_GAP
    over = sum(widths) + gap * (len(widths) - 1) - room
    if over > sum(widths) - sum(least):
        return gap, None
    for _ in range(over):
        widest = max(range(len(widths)), key=lambda index: widths[index] - least[index])
        widths[widest] -= 1
    return gap, widths


def _as_list(table: Table) -> str:
    """The table as a list, for terminals that are too narrow for its columns."""
    lines = [printable(table.title)] * bool(table.title)
    first, *names = map(printable, table.columns)
    for key, *cells in table.cells():
        lines.append(f"{first} {key}")
        lines += [f"  {name}: {cell}" for name, cell in zip(names, cells, strict=True) if cell]
    return "\n".join(lines) + "\n"


def _jsonable(value: Any) -> Any:
    """The value with NaN and infinities as None, and NumPy scalars as Python numbers."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(member) for member in value]
    if isinstance(value, str | int | None):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
