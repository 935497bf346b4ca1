"""Terminal output: results on standard output, messages and progress on standard error.

Everything that `mlprun` prints passes through this module, so that names from users can neither move the
cursor nor be interpreted as markup.
"""

import contextlib
import io
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TextIO

import typer

from mlprun.config.tree import printable
from mlprun.errors import FileError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no progress and messages.")]
_SHORT, _NARROWEST = 18, 8
"""characters of a column that is kept whole where the terminal allows it, and of one that is wrapped"""
_BLOCKS = "▁▂▃▄▅▆▇█"
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback when something fails.")]


def printable_lines(text: str) -> str:
    """Escape each line of a text as `printable` does."""
    return "\n".join(printable(line) for line in text.split("\n"))


@dataclass(frozen=True)
class Table:
    """Rows under column names; numbers are right-aligned, floats have four significant digits.

    A rule separates the row at index `rule` from those above it. With `is_fixed`, floats below 10 have four
    decimals and others two, so that metrics of one size are aligned.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    title: str = ""
    rule: int | None = None
    is_fixed: bool = False

    def cells(self) -> list[list[str]]:
        """Return the rows as printable text."""
        return [[_cell(value, is_fixed=self.is_fixed) for value in row] for row in self.rows]

    def is_numeric(self, column: int) -> bool:
        """Return True if every value of a column is a number or None."""
        values = [row[column] for row in self.rows if row[column] is not None]
        return bool(values) and not any(isinstance(value, str) for value in values)

    def plain(self) -> str:
        """Return aligned columns without a rule below the headings, for pipes and files."""
        rows = [[printable(name) for name in self.columns], *self.cells()]
        columns = []
        for index, cells in enumerate(zip(*rows, strict=True)):
            width = max(map(_width, cells))
            padding = [" " * (width - _width(cell)) for cell in cells]
            numeric = self.is_numeric(index)
            columns.append(
                [pad + cell if numeric else cell + pad for pad, cell in zip(padding, cells, strict=True)]
            )
        lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
        if self.rule is not None:
            lines.insert(self.rule + 1, "-" * max(map(_width, lines)))
        return "\n".join([printable(self.title)] * bool(self.title) + lines)

    def drawn(self) -> str:
        """Return the table for this terminal: a rule below the headings, long cells wrapped."""
        from rich import box
        from rich.console import Console
        from rich.table import Table as Grid
        from rich.text import Text  # cells are no markup

        rules = box.Box(
            "    \n    \n ── \n    \n ── \n    \n    \n    \n"
        )  # below headings, between sections
        grid = Grid(box=rules, padding=(0, 1, 0, 0), pad_edge=False, header_style="", show_edge=False)
        width = shutil.get_terminal_size().columns
        short = self._short_columns(width)
        for index, name in enumerate(self.columns):
            justify: Any = "right" if self.is_numeric(index) else "left"
            grid.add_column(Text(printable(name)), justify=justify, overflow="fold", no_wrap=index in short)
        for index, cells in enumerate(self.cells(), 1):
            grid.add_row(*map(Text, cells), end_section=index == self.rule)
        console = Console(file=io.StringIO(), width=width, color_system=None)
        with console.capture() as capture:
            console.print(*[Text(printable(self.title))] * bool(self.title), grid, sep="\n")
        return capture.get()

    def _short_columns(self, width: int) -> list[int]:
        """The columns that are kept whole, as many from the left as leave some room for the others."""
        rows = zip([printable(name) for name in self.columns], *self.cells(), strict=True)
        widths = [max(map(_width, cells)) for cells in rows]
        room, kept = width - len(widths) * (_NARROWEST + 2), []
        for index, own in enumerate(widths):
            if own <= _SHORT and own - _NARROWEST <= room:
                room -= own - _NARROWEST
                kept.append(index)
        return kept if room >= 0 else []


class Output:
    """The output of a command. The arguments are the options that all commands have."""

    def __init__(self, *, quiet: Quiet = False, as_json: Json = False, debug: Debug = False) -> None:
        self.quiet, self.as_json, self.debug = quiet, as_json, debug

    def result(self, *items: str | Table) -> None:
        """Print text and tables to standard output, unless `--json` is given."""
        if self.as_json:
            return
        for item in items:
            if isinstance(item, str):
                write(sys.stdout, printable_lines(item) + "\n")
            elif is_terminal(sys.stdout):
                write(sys.stdout, item.drawn())
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

    @property
    def is_interactive(self) -> bool:
        """Whether somebody watches a terminal, where lines may be drawn and redrawn."""
        return is_terminal(sys.stderr) and not self.quiet and not self.as_json

    def note(self, text: str) -> None:
        """Show a line on a terminal until something else is printed."""
        if self.is_interactive:
            block.draw([printable(text)[: terminal_size().columns - 1]])

    def message(self, text: str) -> None:
        """Print a message or progress line to standard error, unless `-q` is given."""
        if not self.quiet:
            write(sys.stderr, printable_lines(text) + "\n")

    def warn(self, *warnings: object) -> None:
        """Print warnings as messages; None is none."""
        for warning in warnings:
            if warning is not None:
                self.message(f"warning: {warning}")


class Block:
    """Lines at the bottom of a terminal, on standard error, that are drawn again in place.

    Nothing of the terminal's state is changed, so there is nothing to restore. Lines that were drawn before
    the terminal was made narrower count as the rows that it breaks them into.
    """

    def __init__(self) -> None:
        self._widths: list[int] = []

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines; each fits the terminal and holds no control characters but colours."""
        lines = lines[-max(1, terminal_size().lines - 1) :]
        text = self._to_top() + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J"
        self._widths = [_width(_COLORS.sub("", line)) for line in lines]
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        if not encoding.lower().startswith("utf"):
            text = text.translate(_PLAIN)
        _send(sys.stderr, text)

    def clear(self) -> None:
        """Remove the lines."""
        if self._widths:
            _send(sys.stderr, self._to_top() + "\x1b[J")
            self._widths = []

    def leave(self) -> None:
        """Keep the lines as they are; what is written next follows below them."""
        if self._widths:
            _send(sys.stderr, "\n")
            self._widths = []

    def _to_top(self) -> str:
        columns = terminal_size().columns
        rows = sum(max(1, -(-width // columns)) for width in self._widths)
        return "\r" + (f"\x1b[{rows - 1}A" if rows > 1 else "")


BLUE, ORANGE = (86, 180, 233), (230, 159, 0)
block = Block()
"""the lines of this process"""
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_PLAIN = {ord(sign): plain for sign, plain in zip("━─·▀▁▂▃▄▅▆▇█", '=-|"._-=+*##', strict=True)}


def terminal_size() -> os.terminal_size:
    """Return columns and lines of the terminal on standard error."""
    with contextlib.suppress(OSError, ValueError):
        size = os.get_terminal_size(sys.stderr.fileno())
        if size.columns and size.lines:
            return size
    return shutil.get_terminal_size()


def has_color() -> bool:
    """Return False if the user wants no colours (no-color.org)."""
    return not os.environ.get("NO_COLOR")


def paint(text: str, *codes: str) -> str:
    """Return a text in colours, given as `foreground` and `background` return them."""
    return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if text and has_color() else text


def foreground(color: Sequence[int]) -> str:
    """Return the code of a colour: red, green and blue from 0 to 255."""
    return f"38;{_code(color)}"


def background(color: Sequence[int]) -> str:
    """Return the code of a colour behind the text."""
    return f"48;{_code(color)}"


def _code(color: Sequence[int]) -> str:
    """Return the colour itself or, for a terminal that has 256, the nearest of its cube of 6 x 6 x 6."""
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return f"2;{';'.join(map(str, color))}"
    red, green, blue = (0 if part < 48 else 1 if part < 115 else (part - 35) // 40 for part in color)
    return f"5;{16 + 36 * red + 6 * green + blue}"


class LoadingNotice:
    """An importer that imports nothing, and says which large package is being loaded; a context."""

    PACKAGES: ClassVar = {
        "torch": "PyTorch",
        "numba": "Numba",
        "sklearn": "scikit-learn",
        "matplotlib": "matplotlib",
        "polars": "Polars",
        "optuna": "Optuna",
        "ray": "Ray",
    }

    def __init__(self, output: "Output") -> None:
        self._output = output

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)
        block.clear()

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Say what is loaded, and leave finding it to the importers behind."""
        if name in self.PACKAGES:
            self._output.note(f"loading {self.PACKAGES[name]} ...")


def duration(seconds: float) -> str:
    """Return a time in suitable units, such as 0.07 s, 45 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Return a curve as block characters; on a logarithmic scale if it spans more than a decade."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return ""
    low, high = min(known), max(known)
    scale = math.log if low > 0 and high > 10 * low else float
    bottom, span = scale(low), scale(high) - scale(low)
    signs = []
    for index in range(width):
        start = index * len(values) // width
        part = [
            v for v in values[start : max(start + 1, (index + 1) * len(values) // width)] if math.isfinite(v)
        ]
        level = (scale(sum(part) / len(part)) - bottom) / span if part and span else 0.0
        signs.append(_BLOCKS[round(level * (len(_BLOCKS) - 1))] if part else " ")
    return "".join(signs).rstrip()


def is_terminal(stream: TextIO) -> bool:
    """Return True if lines may be drawn and redrawn on the stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def write(stream: TextIO, text: str) -> None:
    """Write and flush. A closed pipe is not an error; nothing is written to it again.

    On a terminal, control and bidirectional characters are escaped.
    """
    if stream.isatty():
        text = printable_lines(text)
        block.clear()
    _send(stream, text)


def _send(stream: TextIO, text: str) -> None:
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


def _cell(value: str | float | None, *, is_fixed: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, int):
        return str(value)
    if is_fixed and (value == 0 or 0.001 <= abs(value) < 100_000):
        return f"{value + 0.0:.{4 if abs(value) < 10 else 2}f}"
    return f"{value + 0.0:.4g}"  # adding 0 turns -0 into 0


def _width(text: str) -> int:
    """The number of terminal columns that a text occupies."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


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
