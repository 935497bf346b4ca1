"""What a config says about dividing rows into train, dev and test."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from mlprun.parts.part import NonNegativeInt, Options, PositiveInt


class Fresh(Options):
    """Rows drawn anew from the dataset's generator at every evaluation."""

    fresh: PositiveInt = Field(description="rows per evaluation")


Share = NonNegativeInt | Annotated[float, Field(ge=0, lt=1)]
"""A number of rows, or a fraction of them."""


class Split(Options):
    """Counts, fractions that sum to 1, a column that names the split of each row, or `same` for all three."""

    train: Share = Field(0.6, description="rows, or the fraction of them")
    dev: Share | Fresh = Field(0.2, description="rows, the fraction of them, or {fresh: rows}")
    test: Share | Fresh = Field(0.2, description="rows, the fraction of them, or {fresh: rows}")
    shuffle: bool | None = Field(
        None,
        description="shuffle before slicing; by default on for tables and bundled data, off for generators",
    )
    stratify: bool | None = Field(
        None,
        description="keep the class shares in every split; by default on where rows are shuffled and "
        "targets are classes",
    )
    column: str | None = Field(None, description="table column whose values are train, dev and test")
    folds: Annotated[int, Field(ge=2)] | None = Field(
        None, description="cross-validation: parts of the rows, equally many in each"
    )
    fold: PositiveInt | None = Field(
        None,
        description="the part, from 1, that is test; train and dev share the others as they share the rows",
    )
    same: bool = Field(
        default=False, description="train, dev and test are all the rows; short form `split: same`"
    )


def expand_split(value: Any) -> Any:
    """`same` stands for `{same: true}`."""
    if isinstance(value, str) and value != "same":
        message = "expected same or a mapping, got the string {value}"
        raise PydanticCustomError("split_word", message, {"value": repr(str(value))[:40]})
    return {"same": True} if value == "same" else value


SplitField = Annotated[Split, BeforeValidator(expand_split, json_schema_input_type=Literal["same"] | Split)]
