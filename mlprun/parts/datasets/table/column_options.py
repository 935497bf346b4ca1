"""How the cells of a table are read: options of the whole file and of single columns."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from mlprun.parts.datasets.table import formats
from mlprun.parts.part import Options, PositiveInt, listed

if TYPE_CHECKING:
    from typing import Self

    import polars as pl

Scaling = Literal["standard", "robust", "quantile", "minmax", "log", "none"]

STATISTICS = ("refuse", "mean", "median", "most_frequent")
"""of a column, that missing cells become"""
MOST_CATEGORIES = 10_000
"""categories of a feature that is not one-hot, or of which rare ones are grouped"""

PREPARING = frozenset({"encode", "dim", "max_categories", "scale", "missing", "indicator"})
"""options of what becomes of a feature"""

Reading = Literal["number", "percent", "date", "category", "skip"]

Text = Annotated[str, Field(min_length=1)]


class ColumnOptions(Options):
    """How the cells of a column are read, and what is made of them.

    A column without options is read as its values suggest, and prepared as `standardize` and `missing` say.
    What is fitted is fitted on train rows only.
    """

    stored_if_set: ClassVar[frozenset[str]] = frozenset({"strip", "format"}) | PREPARING

    reading: Reading | None = Field(
        None,
        alias="as",
        description="type of the cells (default: inferred); percent: 12.5 % is 0.125; date: becomes "
        "year, month, weekday, day of the year and days since the first; category: text, even if the cells "
        "are numbers; skip: the column is not used",
    )
    strip: Text | tuple[Text, ...] = Field(
        (), description="text before or after numbers, such as a currency or unit, that is removed"
    )
    format: Text | tuple[Text, ...] = Field(
        (), description='format of dates, such as "%d.%m.%Y" (default: ISO 8601, such as 2024-03-31 12:30)'
    )
    encode: Literal["onehot", "ordinal", "target", "embedding"] | None = Field(
        None,
        description="what a category becomes (default: onehot); ordinal: its position when sorted; target: "
        "the smoothed mean of the target in train rows of the category, of those in other folds for "
        "train rows themselves; embedding: numbers that the network learns (mlp, engine torch)",
    )
    dim: PositiveInt | None = Field(
        None, description="numbers of an embedding (default: 1.6 K^0.56 for K categories, at most 600)"
    )
    max_categories: Annotated[int, Field(ge=2, le=MOST_CATEGORIES)] | None = Field(
        None,
        description="categories at most; of as many or more, rare ones become one, called other, which is "
        "one of them and also what categories not seen in train become",
    )
    scale: Scaling | None = Field(
        None,
        description="how numbers are scaled (default: standard if dataset.standardize, otherwise none); "
        "robust: by median and quartiles; minmax: to 0 to 1; log: log(1 + x), quantile: the quantile in "
        "train, both standardized if dataset.standardize",
    )
    missing: float | str | None = Field(
        None,
        description="what a missing cell becomes: median, mean, most_frequent or a constant; refuse: none "
        "may be missing (default: dataset.missing)",
    )
    indicator: bool = Field(
        default=False, description="add an input that is 1 where the cell is missing and 0 elsewhere"
    )

    def unsuitable(self, cells: str, *, imputed: bool) -> tuple[str, str] | None:
        """The option that does not fit a column of numbers, texts or dates, and why.

        The reason ends in what would work. `imputed` says whether missing cells are filled in where `missing`
        says nothing. None if all fit.
        """
        of_text, how = cells == "text", self.missing
        kinds = "categories" if of_text else f"{cells}s"
        if self.indicator and (how == "refuse" or (how is None and not imputed)):
            return "indicator", "marks missing cells, which are refused; set missing, such as median"
        if of_text and how in ("mean", "median"):
            return "missing", f"is {how}, and the column has categories; use most_frequent or a text"
        if not of_text and isinstance(how, str) and how not in STATISTICS:
            return "missing", f"is {how[:40]!r}, and the column has {kinds}; give a number"
        if of_text and self.scale is not None and self.encode != "ordinal":
            what = "is for numbers, and the column has categories"
            return "scale", f"{what}; leave it out, or set encode: ordinal"
        if cells == "date" and self.scale not in (None, "standard", "none"):
            return "scale", f"is {self.scale}, and the column has dates; use standard or none"
        if self.dim is not None and self.encode != "embedding":
            return "dim", "is of an embedding; set encode: embedding, or leave it out"
        for option in () if of_text else ("encode", "max_categories"):
            if getattr(self, option) is not None:
                what = f"is for categories, and the column has {kinds}"
                return option, f"{what}; set as: category, or leave it out"
        return None

    @property
    def most_categories(self) -> int | None:
        """The categories that a feature may have; None for the usual number."""
        is_narrow = self.max_categories is not None or self.encode in ("ordinal", "target", "embedding")
        return MOST_CATEGORIES if is_narrow else None

    @model_validator(mode="after")
    def _options_fit_the_type(self) -> Self:
        if self.format and self.reading != "date":
            raise ValueError("format is for dates; set as: date, or leave it out")
        if self.strip and self.reading not in (None, "number", "percent"):
            raise ValueError("strip is for numbers; set as: number or as: percent, or leave it out")
        return self

    @property
    def is_number(self) -> bool:
        """Whether these options say that the cells are numbers."""
        return self.reading in ("number", "percent") or bool(self.strip)


def _known_codec(name: str) -> str:
    try:
        codec = codecs.lookup(name)
    except LookupError:
        raise ValueError(
            f"there is no encoding {name[:40]!r}; expected a name such as utf-8 or cp1252"
        ) from None
    if not getattr(codec, "_is_text_encoding", True):
        raise ValueError(f"{name!r} is no encoding of text; expected a name such as utf-8 or cp1252")
    return name


def _one_character(value: str) -> str:
    if value != "auto" and (len(value) != 1 or value in '"\r\n' or not value.isascii()):
        raise ValueError(f"expected auto or one ASCII character such as ';' or '|', got {value[:40]!r}")
    return value


def _thousands_mark(value: str | None) -> str | None:
    """A mark as it is known: every kind of space is one, and so is every apostrophe."""
    if value is None or value in (",", ".", "'"):
        return value
    if len(value) == 1 and value in formats.SPACES:
        return " "
    if value == "’":
        return "'"
    raise ValueError(f"expected ',', '.', ' ' or \"'\", got {value[:40]!r}")


class MissingCells(Options):
    """Cells that hold nothing beside the usual ones, and what is done about missing cells."""

    values: tuple[str | int | float, ...] = Field(
        (), description="cells that are missing, added to empty, NA, N/A, NaN, nan, null and ?"
    )
    fill: Literal["refuse", "impute"] = Field(
        "refuse", description="impute: replace missing values by the train mean or the most frequent category"
    )


class ReadOptions(Options):
    """How a table file is read: what its text means. New rows for a trained model are read likewise."""

    stored_if_set: ClassVar[frozenset[str]] = frozenset(
        {"sheet", "encoding", "separator", "decimal", "thousands", "columns", "missing_target"}
    )

    sheet: Annotated[int, Field(ge=1)] | str | None = Field(
        None, description="sheet of Excel files, by name or number from 1 (default: the first)"
    )
    encoding: Annotated[str, AfterValidator(_known_codec)] | None = Field(
        None,
        description="encoding of text, such as cp1252 (default: UTF-8, or UTF-16 with a byte order mark)",
    )
    separator: Annotated[str, AfterValidator(_one_character)] = Field(
        "auto", description="character between cells (auto: comma, tab, semicolon or |, as in the first line)"
    )
    decimal: Literal[".", ","] = Field(".", description="decimal separator of numbers")
    thousands: Annotated[str | None, AfterValidator(_thousands_mark)] = Field(
        None, description='separator of thousands: ",", ".", " " (any space) or "\'"'
    )
    missing_target: Literal["refuse", "drop"] = Field(
        "refuse", description="rows without a target: an error that names them, or leave them out"
    )
    missing: Literal["refuse", "impute"] | MissingCells = Field(
        "refuse",
        description="impute: replace missing values by the train mean or the most frequent category; "
        "{values: [...], fill: impute}: other cells are missing, too",
    )
    columns: dict[str, ColumnOptions] = Field(
        {}, description="options of single columns, by name; null for none"
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _without_null(cls, columns: Any) -> Any:
        """An override takes the options of a column away by `dataset.columns.city=null`."""
        if not isinstance(columns, dict):
            return columns
        return {name: options for name, options in columns.items() if options is not None}

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(
                f"decimal and thousands are both {self.decimal!r}; expected different characters"
            )
        return self

    @property
    def missing_texts(self) -> tuple[str, ...]:
        """The cells that hold nothing, exactly as written."""
        return (*formats.MISSING, *map(str, self.more_missing))

    @property
    def missing_numbers(self) -> tuple[float, ...]:
        """The numbers that stand for a missing cell."""
        return tuple(float(value) for value in self.more_missing if formats.is_number(str(value)))

    @property
    def imputes(self) -> bool:
        """Whether missing features are filled in."""
        return (self.missing.fill if isinstance(self.missing, MissingCells) else self.missing) == "impute"

    @property
    def more_missing(self) -> tuple[str | float, ...]:
        """Cells that are missing beside the known ones."""
        return self.missing.values if isinstance(self.missing, MissingCells) else ()

    def of(self, name: str) -> ColumnOptions:
        """The options of a column."""
        return self.columns.get(name) or ColumnOptions.model_construct()

    @property
    def has_plain_numbers(self) -> bool:
        """Whether numbers have a decimal point and no thousands separator."""
        return self.decimal == "." and self.thousands is None

    @property
    def is_plain(self) -> bool:
        """Whether a text file of nothing but numbers means what it does without options."""
        is_usual = self.encoding is None and self.separator == "auto" and self.has_plain_numbers
        return is_usual and not self.more_missing and not any(map(self.reads_text, self.columns))

    def reads_text(self, name: str) -> bool:
        """Whether a column's own options need the text of its cells."""
        own = self.of(name)
        return own.is_number or own.reading in ("date", "category")

    def numbers(self, series: pl.Series) -> pl.Series:
        """Text as float64, null where it is no number by these options."""
        own = self.of(series.name)
        is_percent, strip = own.reading == "percent", listed(own.strip)
        marks = formats.PERCENT if is_percent else ()
        values = formats.parse_numbers(series, self.decimal, self.thousands, (*strip, *marks))
        return values / 100 if is_percent else values
