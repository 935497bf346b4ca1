"""Table files as named polars columns: Parquet, JSON and Excel here, CSV and TSV in `delimited`."""

from __future__ import annotations

import io
import json
import zipfile
from bisect import bisect_right
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from mlprun.extras import need
from mlprun.parts.datasets.table import delimited
from mlprun.parts.datasets.table.columns import stripped
from mlprun.parts.datasets.table.source import CAP, Sheet, Source, check_size, line_of, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

    from mlprun.errors import DataError

    Columns = tuple[pl.DataFrame, Callable[[int], str]]


NAMED_CELLS = 2**20
"""cells of JSON lines that are searched for the names of columns before polars reads the file"""


def read_parquet(source: Source) -> Columns:
    """The columns of a Parquet file; what it would unpack to is known before it is unpacked."""
    import polars as pl

    content = _content(source)
    damaged = source.error("", "is damaged or not a Parquet file", "write it again")
    try:
        lazy = pl.scan_parquet(io.BytesIO(content))
        rows = int(lazy.select(pl.len()).collect().item())
        check_size(source, len(lazy.collect_schema()), rows)
        frame = lazy.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise damaged from error
    if frame.height != rows:
        raise damaged
    return frame, _row


def _content(source: Source) -> bytes:
    content = source.read()
    if not content or content.isspace():
        raise source.empty()
    return content


def read_excel(source: Source) -> Columns:
    """The columns of a sheet of an Excel file, apart from empty rows and columns."""
    need("fastexcel", where=source.name)
    import fastexcel
    import polars as pl

    content = _content(source)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > CAP:
            raise source.error("", f"unpacks to more than {CAP / 1e9:g} GB", "give fewer rows or columns")
        names, sheet = fastexcel.read_excel(content).sheet_names, source.options.sheet
        if sheet not in (None, *names, *range(1, len(names) + 1)):
            known = ", ".join(map(shown, names))
            raise source.error("", f"has no sheet {sheet!r}", f"set dataset.sheet to one of {known}")
        name = names[sheet - 1] if isinstance(sheet, int) else sheet or names[0]
        frame = pl.read_excel(
            io.BytesIO(content), sheet_name=name, infer_schema_length=None, drop_empty_rows=False
        )
    except pl.exceptions.NoDataError:
        raise source.empty() from None
    except (pl.exceptions.PolarsError, fastexcel.FastExcelError, zipfile.BadZipFile, ValueError) as error:
        raise source.error("", "is damaged or not an .xlsx file", "save it again") from error
    filled = frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
    rows = filled.arg_true()
    return frame.filter(filled), lambda row: f"row {rows[row] + 2}"


def read_json(source: Source) -> Columns:
    """The columns of JSON lines, or of an array of objects, in the order of the first object."""
    import polars as pl

    content = _content(source).removeprefix(b"\xef\xbb\xbf")
    find: Callable[[int], str] = partial(line_of, lambda: _lines(source.read()))
    items = _array(content)
    if items is not None:
        content, find = b"\n".join(items), _row
    records = _Records(source, content, "" if items is None else "row ")
    names = records.names()
    try:
        frame = pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        records.refuse_mixed()
        why = str(error).partition("\n")[0][:80]
        what = f"cannot be read as JSON: {why}"
        raise source.error("", what, "give each column values of one type") from error
    # polars gives keys in no particular order
    ordered = sorted(frame.columns, key=lambda name: (names.get(name, len(names)), name))
    return frame[ordered], find


def _row(row: int) -> str:
    return f"row {row + 1}"


def _array(content: bytes) -> list[bytes] | None:
    """The items of a JSON array, each in a line; None for anything else."""
    if not content.lstrip().startswith(b"["):
        return None
    try:
        return [json.dumps(item).encode() for item in json.loads(content)]
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True)
class _Records:
    """The objects of JSON lines. Errors name their lines, after `unit`."""

    source: Source
    content: bytes
    unit: str

    def names(self) -> dict[str, int]:
        """The columns of the first lines and their positions, in the order in which they are named.

        Raises DataError where these are too many: polars takes time that grows with their square.
        """
        names: dict[str, int] = {}
        cells = 0
        for _, item in self._objects():
            for name in item:
                names.setdefault(name, len(names))
            check_size(self.source, len(names))
            cells += len(item)
            if cells > NAMED_CELLS:
                break
        return names

    def refuse_mixed(self) -> None:
        """Raise DataError for the first line that is no flat object or mixes booleans with numbers."""
        first: dict[str, tuple[bool, int]] = {}
        for line, item in self._objects():
            for name, value in item.items():
                if not isinstance(value, bool | int | float):
                    continue
                flag, at = first.setdefault(name, (isinstance(value, bool), line))
                if flag is not isinstance(value, bool):
                    what = f"column {shown(name)} is {json.dumps(value)}"
                    expected = "true or false" if flag else "a number"
                    raise self._error(line, what, f"expected {expected}, as in {self.unit or 'line '}{at}")

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The object of each line. Raises DataError for a line that is not a flat object."""
        for line, text in _lines(self.content):
            try:
                item = json.loads(text, parse_constant=_refuse)
            except (ValueError, RecursionError) as error:
                why = str(error).partition(":")[0] if isinstance(error, ValueError) else "too deeply nested"
                remedy = "expected one object per line, or an array of objects"
                raise self._error(line, f"is not JSON ({why})", remedy) from None
            if not isinstance(item, dict):
                raise self._error(line, "is not a JSON object", 'expected {"column": value, ...}')
            for name, value in item.items():
                if isinstance(value, dict | list):
                    what = f"column {shown(name)} is {shown(json.dumps(value))}"
                    raise self._error(line, what, "expected a number, a string or null")
            yield line, item

    def _error(self, line: int, what: str, remedy: str) -> DataError:
        return self.source.error(f"{self.unit}{line}", what, remedy)


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    for line, text in enumerate(io.BytesIO(content), start=1):
        if text.strip():
            yield line, text


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not allowed; write null")


_READERS = {"parquet": read_parquet, "json": read_json, "excel": read_excel}


def read(
    source: Source,
    *,
    header: delimited.HeaderCheck | None = None,
    text: bool = False,
    numbers: bool = False,
) -> Sheet:
    """The table of a source; `header` may refuse or replace the names of a text file's first line.

    With `text` the cells of a text file are not converted. With `numbers` columns may be arrays. Raises
    DataError for anything that is not a table.
    """
    may_be_arrays = numbers and source.format == "text" and source.options.is_plain
    arrays = delimited.read_numbers(source, header=header) if may_be_arrays else None
    if arrays is not None:
        rows = len(next(iter(arrays.values())))
        return Sheet(source, rows, arrays, lambda row: f"{source.name}:{row + 2}")
    if source.format == "text":
        frame, find = delimited.read(source, header=header, text=text)
    else:
        frame, find = _READERS[source.format](source)
        frame = stripped(frame.lazy(), source.options).collect()
    if not frame.height:
        raise source.error("", "has a header but no rows", "expected at least one row")
    check_size(source, frame.width, frame.height)
    columns = {one.name: one for one in frame}
    return Sheet(source, frame.height, columns, lambda row: f"{source.name}:{find(row)}")


def read_all(sources: Sequence[Source], *, header: delimited.HeaderCheck | None = None) -> Sheet:
    """The rows of several files with the same columns, in the order of the first; raises as `read` does."""
    sheets = [read(source, header=header) for source in sources]
    first = sheets[0]
    if len(sheets) == 1:
        return first
    for sheet in sheets[1:]:
        for one, other in ((first, sheet), (sheet, first)):
            lacking = next((name for name in one.columns if name not in other.columns), None)
            if lacking is not None:
                what = f"has no column {shown(lacking)}, unlike {one.source.name}"
                raise other.source.error("", what, "expected the same columns in every file")
    kinds = {name: {sheet.columns[name].dtype.is_numeric() for sheet in sheets} for name in first.columns}
    if any(len(found) > 1 for found in kinds.values()):  # numbers in one file and text in another
        sheets = [read(source, header=header, text=True) for source in sources]
    ends = list(accumulate(sheet.rows for sheet in sheets))
    check_size(first.source, len(first.columns), ends[-1])

    def find(row: int) -> str:
        at = bisect_right(ends, row)
        return sheets[at].find(row - (ends[at - 1] if at else 0))

    names = list(first.columns)
    columns = {name: _joined([sheet.columns.pop(name) for sheet in sheets], sources) for name in names}
    joint = replace(first.source, name=f"{sources[0].name} and {len(sources) - 1} more")
    return Sheet(joint, ends[-1], columns, find)


def _joined(parts: Sequence[pl.Series], sources: Sequence[Source]) -> pl.Series:
    import polars as pl

    frames = [part.to_frame() for part in parts]
    try:
        return pl.concat(frames, how="vertical_relaxed", rechunk=False).to_series()
    except pl.exceptions.PolarsError:
        differing = next(k for k, part in enumerate(parts) if part.dtype != parts[0].dtype)
        types = [str(part.dtype).lower() for part in (parts[differing], parts[0])]
        what = f"column {shown(parts[0].name)} is {types[0]}, but {types[1]} in {sources[0].name}"
        raise sources[differing].error("", what, "expected values of one type in every file") from None
