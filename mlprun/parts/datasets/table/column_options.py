"""Options of single columns of a table: how their cells are read, and (fitted on train rows) prepared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlprun.parts.part import Options

Reading = Literal["skip"]


class ColumnOptions(Options):
    """How the cells of a column are read. A column without options is read as its values suggest."""

    reading: Reading | None = Field(
        None, alias="as", description="type of the cells (default: inferred); skip: the column is not used"
    )
