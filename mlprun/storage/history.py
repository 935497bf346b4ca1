"""history.csv: one row per logged epoch, in the shortest digits that read back exactly, without clock times.

Rows are appended as whole lines in one write and synced before a checkpoint refers to their end, so that a
checkpoint's offset is always within the file; resuming cuts off what follows it. An empty cell is a value
that was not computed at that epoch.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlprun import files
from mlprun.errors import CheckpointError, FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

MAX_BYTES = 2**30

# at most 18 digits, so that an integer fits 64 bits
_CELL = r"(?:-?[0-9]{1,18}(?:\.[0-9]+)?(?:e[+-][0-9]+)?|nan|-?inf|)"
_INTEGER = re.compile(r"-?[0-9]+")
_REMEDY = "restore it from a copy or train again"


class History(files.AppendFile):
    """An open history.csv that rows are appended to; `offset` is the byte after the last whole row.

    A checkpoint may refer to `offset` only after `sync`.
    """

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        super().__init__(path)
        self.columns, self.offset = tuple(columns), 0

    @classmethod
    def open(cls, path: str, columns: Sequence[str], *, anew: bool = False) -> Self:
        """Open or create the file; raises CheckpointError when it is there with other columns.

        `anew` is for a run without a checkpoint: any contents, such as the zeros that a power loss leaves of
        bytes that were not synced, are replaced by the header.
        """
        header = _header(columns)
        history = cls(path, columns)
        try:
            if anew:
                history._truncate(0)
            history._begin(header)
        except BaseException:
            history.close()
            raise
        return history

    def _begin(self, header: bytes) -> None:
        data = _bytes(self.path)
        if not data.startswith(header) and not header.startswith(data):
            raise CheckpointError(self.path, "has other columns than its run", _REMEDY)
        self.offset = data.rfind(b"\n") + 1  # the process may have died while it wrote a line
        self._truncate(self.offset)
        if not self.offset:
            files.append(self._descriptor, header, self.path)
            self.sync()
            files.sync_folder(os.path.dirname(self.path))
            self.offset = len(header)

    def append(self, rows: Iterable[Sequence[float | None]]) -> None:
        """Append rows of values in the order of the columns; None where nothing was computed."""
        lines = [",".join(map(_digits, row)) for row in rows]
        assert all(line.count(",") == len(self.columns) - 1 for line in lines), (
            "a row does not fit the columns"
        )
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            self._append(data)
        except BaseException:
            with contextlib.suppress(FileError):  # half a line would hide the rows that a later append adds
                self._truncate(self.offset)
            raise
        self.offset += len(data)

    def truncate(self, offset: int) -> None:
        """Cut off the rows after a checkpoint; raises CheckpointError for what is not the end of a line."""
        check(self.path, self.columns, offset)
        self._truncate(offset)
        self.offset = offset
        self.sync()


def check(path: str, columns: Sequence[str], offset: int) -> None:
    """Raise CheckpointError for a file of other columns or without a row that ends at `offset`."""
    header, data = _header(columns), _bytes(path)
    if not data.startswith(header):
        raise CheckpointError(path, "has other columns than its run", _REMEDY)
    if not len(header) <= offset <= len(data) or data[offset - 1 : offset] != b"\n":
        raise CheckpointError(path, "does not fit the checkpoint beside it", _REMEDY)


def read(path: str) -> dict[str, NDArray[Any]]:
    """Return the columns by name: int64 if every value is an integer, else float64; empty cells are nan."""
    return {column: _array(values) for column, values in read_cells(path).items()}


def read_cells(path: str) -> dict[str, tuple[str, ...]]:
    """Return the columns by name, their numbers as text.

    Only an unterminated last line is forgiven; other damage is a CheckpointError with the line's number.
    """
    lines = _lines(path)
    if not lines:
        return {}
    columns = lines[0].split(",")
    if not all(columns) or len(set(columns)) != len(columns) or not lines[0].isprintable():
        raise CheckpointError(f"{path}:1", "is not a line of column names", _REMEDY)
    row = re.compile(",".join([_CELL] * len(columns)))
    for number, line in enumerate(lines[1:], start=2):
        if row.fullmatch(line) is None:
            raise CheckpointError(f"{path}:{number}", f"is not a row of {len(columns)} numbers", _REMEDY)
    cells = zip(*(line.split(",") for line in lines[1:]), strict=True) if lines[1:] else [()] * len(columns)
    return dict(zip(columns, cells, strict=True))


def _lines(path: str) -> list[str]:
    """Return the whole lines of the file."""
    data = _bytes(path)
    try:
        text = data[: data.rfind(b"\n") + 1].decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise CheckpointError(f"{path}:{number}", "is not a row of numbers", _REMEDY) from error
    return text.split("\n")[:-1]


def _bytes(path: str) -> bytes:
    try:
        return files.read_bytes(path, cap=MAX_BYTES, follow=False)
    except (FileNotFoundError, files.WrongKindError) as error:
        raise CheckpointError(path, str(error.strerror), "expected a run folder's history.csv") from error


def _header(columns: Sequence[str]) -> bytes:
    for column in columns:
        if not column.isprintable() or set(column) & set(',"') or not column:
            raise UsageError(
                f"column {column!r}", "is not possible in history.csv", "choose a name without , and quotes"
            )
    return f"{','.join(columns)}\n".encode()


def _digits(value: float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, int | np.integer):
        return str(int(value))
    return repr(float(value))


def _array(cells: Sequence[str]) -> NDArray[Any]:
    if cells and all(map(_INTEGER.fullmatch, cells)):
        return np.array([int(cell) for cell in cells], np.int64)
    return np.array([float(cell or "nan") for cell in cells], np.float64)
