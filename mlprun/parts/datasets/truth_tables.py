"""Boolean functions of bits: the smallest problems that a network without a hidden layer cannot solve."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.datasets.dataset import Data, Dataset, DatasetInfo, datasets
from mlprun.parts.datasets.draws import SampledDataset, Sampler, digits, numbered
from mlprun.parts.datasets.split import Split
from mlprun.parts.part import NonNegativeFloat, PositiveInt
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from numpy.typing import NDArray


@datasets.register
class Xor(Dataset):
    """The four rows of exclusive or, in the order 00, 01, 10, 11, as often as asked and with noise if asked.

    Inputs are [4 * repeat, 2] float64, the bits plus N(0, noise^2), no unit; the class is "1" where the bits
    differ.
    Good for: following every number of a training by hand.
    Source: Rumelhart, Hinton and Williams (1986), Parallel Distributed Processing 1, chapter 8
    """

    shuffles: ClassVar[bool] = False
    default_split: ClassVar[Split] = Split.model_construct(same=True)

    name: Literal["xor"] = "xor"
    repeat: PositiveInt = Field(1, description="how many times the four rows are in the data")
    noise: NonNegativeFloat = Field(0.0, description="standard deviation of the noise on the inputs")
    standardize: bool = Field(
        default=False, description="scale features to mean 0 and variance 1, fitted on train"
    )

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=4 * self.repeat, inputs=2, classes=digits(2))

    def load(self) -> Data:
        return self._data(4 * self.repeat, Sampler(self.seed or 0, Purpose.DATASET))

    def fresh(self, count: int, *, epoch: int, step: int) -> Data:
        return self._data(count, Sampler(self.seed or 0, Purpose.FRESH, epoch=epoch, step=step))

    def _data(self, rows: int, sampler: Sampler) -> Data:
        number = np.arange(rows) % 4
        first, second = number // 2, number % 2
        inputs = np.column_stack([first, second]) + self.noise * sampler.normals(rows, 2)
        return Data(inputs, first ^ second, numbered("x", 2), ("xor",), digits(2))


@datasets.register
class Parity(SampledDataset):
    """Random bits with noise on them; the class says whether the number of ones is odd.

    Inputs are [N, bits] float64, fair bits plus N(0, noise^2), no unit; class "1" is odd.
    Good for: long plateaus, what a width and a start do; dev and test may be fresh rows at every evaluation.
    Source: Minsky and Papert (1969), Perceptrons, ISBN 978-0-262-63022-1
    """

    name: Literal["parity"] = "parity"
    bits: PositiveInt = Field(2, description="bits per row")
    noise: NonNegativeFloat = Field(0.1, description="standard deviation of the noise on the bits")

    @property
    def columns(self) -> int:
        return self.bits

    @property
    def class_names(self) -> tuple[str, ...]:
        return digits(2)

    def draw(self, rows: int, sampler: Sampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        bits = (sampler.uniforms(rows, self.bits) >= 0.5).astype(np.int64)
        return bits + self.noise * sampler.normals(rows, self.bits), bits.sum(axis=1) % 2
