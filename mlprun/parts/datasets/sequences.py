"""Sequences of symbols for the recurrent network."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.datasets.dataset import Data, DatasetInfo, Generated, datasets
from mlprun.parts.datasets.draws import Classes, digits
from mlprun.parts.datasets.split import Split


@datasets.register
class Sequences(Generated):
    """Counting in a circle: row b, time t is symbol (b + t) mod symbols; predict the one at t = length.

    Inputs are [N, length] int64 symbols, the class is the next symbol; nothing is drawn, and by default there
    is one row per symbol.
    Good for: seeing a recurrent network learn, with an embedding in front.
    Source: Trask (2019), Grokking Deep Learning, chapter 13, ISBN 978-1-61729-370-2
    """

    default_split: ClassVar[Split] = Split.model_construct(same=True)

    name: Literal["sequences"] = "sequences"
    symbols: Classes = Field(5, description="symbols in the circle, which are the classes")
    length: Annotated[int, Field(ge=1, le=10_000)] = Field(5, description="symbols per row")

    @property
    def default_samples(self) -> int:
        return self.symbols

    def info(self) -> DatasetInfo:
        largest = min(self.symbols, self.rows + self.length - 1)
        return DatasetInfo(rows=self.rows, inputs=self.length, classes=digits(self.symbols), tokens=largest)

    def load(self) -> Data:
        first = np.arange(self.rows, dtype=np.int64)
        inputs = (first[:, None] + np.arange(self.length)) % self.symbols
        names = tuple(f"t{time}" for time in range(self.length))
        return Data(inputs, (first + self.length) % self.symbols, names, ("next",), digits(self.symbols))
