"""The dataset `table`: which columns are features and targets, and what a table must be to be learnt from."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from mlprun import files
from mlprun.errors import UsageError
from mlprun.parts import SPLITS
from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.datasets.dataset import Dataset, datasets, domain_of, outside_domain, shortened
from mlprun.parts.datasets.table import columns
from mlprun.parts.datasets.table.column_options import PREPARING, ReadOptions
from mlprun.parts.datasets.table.columns import CLASSES
from mlprun.parts.datasets.table.delimited import repeated
from mlprun.parts.datasets.table.formats import is_number
from mlprun.parts.datasets.table.reading import read_all
from mlprun.parts.datasets.table.source import FORMATS, IN_MEMORY, MemoryTable, Sheet, Source, shown
from mlprun.parts.part import ConfigPath, listed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import polars as pl
    from numpy.typing import NDArray

    from mlprun.parts.data import Floats, Ints, Names

    Option = tuple[str | int, ...]


ROLES = frozenset({"weight", "group", "time"})
"""options that name a column with a role of its own"""

DIVIDING = frozenset({"group", "time"})
"""those of them whose column may be a feature, too"""


class ColumnsError(UsageError):
    """Options that do not fit the columns of a table.

    `problems` holds where below `dataset` each is, and what is wrong there.
    """

    def __init__(self, where: str, what: str, remedy: str, problems: Sequence[tuple[Option, str]]) -> None:
        self.problems = problems
        super().__init__(where, what, remedy)


class UnknownColumnsError(ColumnsError):
    """Columns that the config names and the table lacks."""

    def __init__(self, path: str, named: Sequence[tuple[Option, str]], known: Sequence[str]) -> None:
        problems = [(option, f"has no column {shown(name)}", _meant(name, known)) for option, name in named]
        every = [(option, f"{path}: {what}; {remedy}") for option, what, remedy in problems]
        super().__init__(path, *problems[0][1:], every)


def _meant(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    # bare where that is one word of a line: a name with a line break in it would make a second one
    named = [one if one.isprintable() and len(one) <= 40 else shown(one) for one in [*near, *known[:10]]]
    some = ", ".join(named[len(near) :]) + (", ..." if len(known) > 10 else "")
    return f"did you mean {named[0]}?" if near else f"its columns are {some}"


@datasets.register
class Table(ReadOptions, Dataset):
    """Rows of a CSV, TSV, Parquet, JSON or Excel file, or of several with the same columns.

    Inputs are [N, D]: numbers, true/false as 1/0, and text as categories (at most 100), which become one-hot
    columns; where all are whole numbers from 0, an architecture with an embedding reads them as symbols. A
    cell is missing when it is empty, NA, N/A, NaN, nan, null or ?, exactly as written; spaces around cells do
    not count. Text that is mostly numbers or dates in another format (1,000.00, 5 kg, 12:30) is refused with
    the options that read it: decimal, thousands, and in `columns` as, strip and format.

    A loss of numbers (mse, mae, huber, ...) predicts a target of numbers as such; for a loss of classes (bce,
    cross_entropy, ...) whole numbers are class ids. Without a loss, one target is classes when it is text,
    true/false, or whole numbers of which there are at most 20 and each is in two rows on average; otherwise,
    and with several targets, targets are numbers. Several targets are labels, each a question of its own,
    when all are true/false, or 0/1 and the loss is of classes (bce). Class names are sorted. Text files
    have column names in the first line.
    """

    stored_if_set: ClassVar[frozenset[str]] = Dataset.stored_if_set | ReadOptions.stored_if_set | ROLES

    name: Literal["table"] = "table"
    path: ConfigPath | Annotated[tuple[ConfigPath, ...], Field(min_length=1)] = Field(
        description=f"{FORMATS}, of at most 2 GB, or a list of files with the same columns"
    )
    target: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="target column, or several of numbers or of labels"
    )
    features: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="feature columns (default: all others)"
    )
    task: Literal["auto", "classes", "labels", "numbers", "values"] = Field(
        "auto",
        description="type of the target; labels: several targets of 0/1 or true/false (multi-label); "
        "auto: inferred from the loss, or from the values if the loss accepts both; values: from the values "
        "only, as in mlprun 0.1",
    )
    classes: Annotated[int, Field(ge=2, le=CLASSES)] | None = Field(
        None,
        description="number of classes if the target holds class ids from 0 "
        "(default: architecture.outputs, or the ids in the rows)",
    )
    other_formats: Literal["refuse", "categories"] = Field(
        "refuse",
        description="numbers or dates in other formats, such as 1,000.00; categories: use them as "
        "categories or classes, as in mlprun 0.1",
    )

    weight: str | None = Field(
        None,
        description="column with the weight of each row in loss and metrics, which is no feature: 2 counts "
        "as two copies of the row, 0 as none (default: 1 each)",
    )

    group: str | None = Field(
        None, description="column whose rows with equal values stay together in every split and fold"
    )
    time: str | None = Field(
        None,
        description="column of numbers or dates: train is before dev before test, in folds too, and nothing "
        "is shuffled",
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """The files."""
        return listed(self.path)

    @property
    def memory(self) -> MemoryTable | None:
        """The rows in memory that are read instead of the files, if there are any."""
        return vars(self).get("_memory")

    def with_memory(self, memory: MemoryTable) -> Table:
        """The table with these rows instead of those of the files."""
        return self.model_copy(update={"_memory": memory})  # no field: neither stored nor compared

    @property
    def location(self) -> str:
        """The files as messages name them."""
        if self.memory is not None:
            return IN_MEMORY
        return self.paths[0] + (f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else "")

    @property
    def _role_columns(self) -> list[tuple[Option, str]]:
        """The columns that are neither target nor feature, each with the option that names it."""
        column = None if self.split is None else self.split.column
        roles: list[tuple[Option, str | None]] = [(("split", "column"), column)]
        roles += [((name,), getattr(self, name)) for name in sorted(ROLES)]
        return [(option, name) for option, name in roles if name is not None]

    @property
    def targets(self) -> Names:
        """The target columns."""
        return listed(self.target)

    @property
    def embedded(self) -> list[str]:
        return [name for name, own in self.columns.items() if own.encode == "embedding"]

    def info(self) -> DatasetInfo:
        key = self.key()
        data = _looked_at.pop(key, None) or self._read()
        if key:
            _looked_at.clear()  # tables can be large: only the latest one is kept
            _looked_at[key] = data
        return data.info

    def load(self) -> Data:
        # handed over, not shared: a table that outlived its preparation would take room beside the training
        return _looked_at.pop(self.key(), None) or self._read()

    def with_task(self, info: DatasetInfo) -> Table:
        """The table with the task that `info` shows, so that it stays the same with other rows."""
        if self.task != "auto":
            return self
        made = self.model_copy(update={"task": info.target_kind})
        if data := _looked_at.pop(self.key(), None):
            _looked_at[made.key()] = data
        return made

    @model_validator(mode="after")
    def _roles(self) -> Self:
        """Every column has one role."""
        roles = self._role_columns
        features = self.features or ()
        # what rows are divided by may be a feature, too
        alone = [name for (option, *_), name in roles if option not in DIVIDING or name not in features]
        named = [*self.targets, *features, *alone]
        options = ["target", "feature", *(".".join(map(str, option)) for option, _ in roles)]
        twice = repeated(named)
        if twice is not None:
            among = ", ".join(options[:-1]) + f" and {options[-1]}"
            raise ValueError(f"column {shown(twice)} is named twice among {among}; expected it once")
        skipped = next((name for name in named if self._is_skipped(name)), None)
        if skipped is not None:
            one = ", ".join(options[:-1]) + f" or {options[-1]}"
            raise ValueError(f"columns.{skipped} is skipped, but it is named as {one}")
        for name in (*self.targets, *(name for _, name in roles if name not in features)):
            for option in sorted(PREPARING & self.of(name).model_fields_set):
                remedy = "leave it out" if option != "scale" else "leave it out, or see target_transform"
                raise ValueError(f"columns.{name}.{option} is of features, and {name} is none; {remedy}")
        if self.group is not None and self.time is not None:
            raise ValueError("group and time cannot both divide the rows; keep one of them")
        if self.task == "classes" and len(self.targets) > 1:
            raise ValueError("classes need a single target; expected task: numbers or labels")
        if self.task == "labels" and len(self.targets) == 1:
            raise ValueError("labels are several targets; expected task: classes")
        if self.classes is not None and (self.task == "numbers" or len(self.targets) > 1):
            raise ValueError("classes counts the ids of a single target that is classes; leave it out")
        return self

    def key(self) -> str:
        """What a table that was read is known by until it is loaded; empty where it cannot be."""
        try:
            stats = list(map(files.system.stat, self.paths if self.memory is None else ()))
        except (OSError, ValueError):
            return ""  # reading says what is wrong, and nothing is kept
        options = self.model_dump_json(exclude={"split", "standardize", "seed", "positive", "fraction"})
        # the rest of a split is spelled out between the look at a table and its use
        column = None if self.split is None else self.split.column
        files_now = [(one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in stats]
        return f"{options} {column!r} {files_now if self.memory is None else self.memory.digest}"

    def _read(self) -> Data:
        sources = [Source.of(one, self) for one in (self.paths if self.memory is None else [self.memory])]
        sheet = read_all(sources, header=self._refuse_rows_without_header)
        features = self._features(sheet)
        sheet, left_out = columns.with_targets(sheet, self.targets)
        parts = self._parts(sheet)
        groups = None if self.group is None else columns.groups(self._role(sheet, self.group), sheet)
        times = None if self.time is None else columns.times(self._role(sheet, self.time), sheet)
        weights = None
        if self.weight is not None:
            weights = columns.weights(next(sheet.take([self.weight])), sheet)
        targets, classes, multilabel, has_many_categories = self._targets(sheet)
        inputs, categories, warnings = self._inputs(sheet, features)
        are_symbols = not any(categories) and all(map(_could_be_symbols, inputs.T))
        prepared = inputs.astype(np.int64, order="C") if are_symbols else inputs
        for array in (prepared, targets):
            array.setflags(write=False)
        return Data(
            inputs=prepared,
            targets=targets,
            input_names=features,
            target_names=self.targets,
            classes=classes,
            multilabel=multilabel,
            categories=categories if any(categories) else None,
            parts=parts,
            weights=weights,
            groups=groups,
            times=times,
            dates=tuple(name for name in features if self.of(name).reading == "date"),
            imputed=self.imputes,
            warnings=shortened(
                f"{self.location}: {warning}" for warning in (*left_out, *has_many_categories, *warnings)
            ),
        )

    def _refuse_rows_without_header(self, source: Source, names: Names) -> None:
        if not set(names) & set(self.targets) and 2 * sum(map(is_number, names)) > len(names):
            what = f"looks like data, not like column names: {', '.join(names[:4])}"[:100]
            raise source.error("1", what, "put the names of the columns into the first line")

    def _features(self, sheet: Sheet) -> Names:
        """The feature columns, once every named column is known to exist."""
        roles, single = self._role_columns, isinstance(self.target, str)
        named: list[tuple[Option, str]] = [
            *((("target",) if single else ("target", k), name) for k, name in enumerate(self.targets)),
            *((("features", k), name) for k, name in enumerate(self.features or ())),
            *roles,
            *((("columns", name), name) for name in self.columns),
        ]
        missing = [(option, name) for option, name in named if name not in sheet.columns]
        if missing:
            raise UnknownColumnsError(self.location, missing, list(sheet.columns))
        taken = {*self.targets, *(name for _, name in roles)}
        others = (name for name in sheet.columns if name not in taken)
        features = self.features or tuple(name for name in others if not self._is_skipped(name))
        if self.features is None and "" in features and sheet.is_empty(""):  # a separator ends each line
            features = tuple(filter(None, features))
        if not features:
            raise sheet.source.error("", "has no column beside the target", "expected at least one feature")
        if self.features is None and "" in features:
            what = f"column {list(sheet.columns).index('') + 1} has no name, as if it counted the rows"
            raise sheet.source.error("1", what, "name it, remove it, or list dataset.features")
        return features

    def _role(self, sheet: Sheet, name: str) -> pl.Series:
        """A column that may be a feature, too."""
        column: pl.Series = sheet.columns[name]
        if name not in (self.features or ()):
            del sheet.columns[name]
        return column

    def _is_skipped(self, name: str) -> bool:
        return self.of(name).reading == "skip"

    def _parts(self, sheet: Sheet) -> NDArray[np.str_] | None:
        if self.split is None or self.split.column is None:
            return None
        (series,) = sheet.take([self.split.column])
        named = columns.texts(columns.resolve_column_type(series, sheet))
        wrong = ~named.is_in(list(SPLITS)).fill_null(value=False)
        sheet.refuse(wrong, named, "expected train, dev or test")
        if "train" not in named:
            what = f"column {shown(named.name)} names no row train"
            raise sheet.source.error("", what, "expected rows to train on")
        return np.array(named.to_list(), dtype=np.str_)

    def _targets(self, sheet: Sheet) -> tuple[Ints | Floats, Names | None, bool, Names]:
        """The targets, the names of their classes, whether they are labels, and warnings."""
        import polars as pl

        resolved = [self._target(sheet, series) for series in sheet.take(self.targets)]
        if self.classes is not None:
            return *columns.ids(resolved[0], self.classes, sheet), False, ()
        if len(resolved) == 1 and self._are_classes(resolved[0], sheet):
            ids, names = columns.classes(resolved[0], sheet)
            return ids, names, False, columns.has_many_categories(resolved[0], "classes", len(names))
        are_flags = len(resolved) > 1 and all(series.dtype == pl.Boolean for series in resolved)
        multilabel = self.task == "labels" or (self.task == "auto" and are_flags)
        read = columns.labels if multilabel else self._numbers
        values = np.stack([read(series, sheet) for series in resolved], axis=1)
        return np.ascontiguousarray(values), None, multilabel, ()

    def _numbers(self, series: pl.Series, sheet: Sheet) -> Floats:
        """A target of numbers. Raises DataError for the first outside the domain of `target_transform`."""
        values, transform = columns.numbers(series, sheet), self.target_transform
        if transform not in (None, "quantile"):
            remedy = f"{transform} takes numbers {domain_of(transform)}; set target_transform to "
            remedy += "log1p or quantile" if transform == "log" else "quantile"
            sheet.refuse(outside_domain(transform, values), series, remedy)
        return values

    def _target(self, sheet: Sheet, series: pl.Series) -> pl.Series:
        series = columns.resolve_column_type(series, sheet)
        columns.refuse_constant(series, sheet, "expected a target that varies", noun="target")
        return series

    def _are_classes(self, series: pl.Series, sheet: Sheet) -> bool:
        import polars as pl

        if self.task not in ("auto", "values"):
            return self.task == "classes"
        columns.refuse_non_numbers(series, sheet, other_formats=self.other_formats == "categories")
        return series.dtype in (pl.String, pl.Boolean) or columns.is_few_integers(series)

    def _inputs(self, sheet: Sheet, features: Names) -> tuple[Floats, tuple[Names | None, ...], Names]:
        """The feature matrix, filled column by column so that no second one stands beside it."""
        inputs = np.empty((len(features), sheet.rows)).T  # whose columns are contiguous
        categories: list[Names | None] = []
        warnings: list[str] = []
        problems: list[tuple[Option, str]] = []
        for k, series in enumerate(sheet.take(features)):
            options = self.of(series.name)
            values, known = columns.feature(
                series,
                sheet,
                other_formats=self.other_formats == "categories",
                limit=options.most_categories or columns.CATEGORIES,
            )
            inputs[:, k] = values
            categories.append(known)
            cells = "date" if options.reading == "date" else "number" if known is None else "text"
            if problem := options.unsuitable(cells, imputed=self.imputes):
                problems.append((("columns", series.name, problem[0]), problem[1]))
            if known is not None:
                warnings += columns.has_many_categories(series, "categories", len(known))
            gaps = np.isnan(values)
            if (options.missing or ("impute" if self.imputes else "refuse")) == "refuse":
                sheet.refuse(gaps, series, "set dataset.missing to impute, or fill the cells")
            if options.scale == "log" and known is None:
                remedy = f"log1p takes numbers {domain_of('log1p')}; set scale to robust or quantile"
                sheet.refuse(outside_domain("log1p", values), series, remedy)
            present = values[~gaps] if gaps.any() else values
            if present.size and (present == present[0]).all():
                name = shown(series.name)
                warnings.append(f"column {name} is the same in every row; it carries no information")
        if problems:
            where = ".".join(map(str, ("dataset", *problems[0][0])))
            raise ColumnsError(where, problems[0][1], "", problems)
        return inputs, tuple(categories), tuple(warnings)


_looked_at: dict[str, Data] = {}
"""the table whose info was asked for last, until it is loaded"""


def _could_be_symbols(column: Floats) -> bool:
    """Whether these are whole numbers from 0, which an embedding reads as symbols."""
    return bool(((column >= 0) & (column < 2**53) & (column == np.floor(column))).all())
