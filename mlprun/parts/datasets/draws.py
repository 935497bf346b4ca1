"""Drawing rows: numbers read one after another from a stream, and the datasets that draw from one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from mlprun import randomness
from mlprun.parts.datasets.dataset import Data, DatasetInfo, Generated
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CLASSES = (
    10_000  # class names are made for every check of a config: a slip of the pen must not fill the memory
)
Classes = Annotated[int, Field(ge=2, le=MOST_CLASSES)]


class Sampler:
    """Successive draws from the stream (seed, purpose) at (epoch, step)."""

    def __init__(self, seed: int, purpose: Purpose, *, epoch: int = 0, step: int = 0) -> None:
        self.seed, self.purpose, self.epoch, self.step = seed, purpose, epoch, step
        self._used = 0

    def _skip(self, words: int) -> int:
        used, self._used = self._used, self._used + words
        return used

    def uniforms(self, *shape: int) -> NDArray[np.float64]:
        """Numbers in [0, 1)."""
        count = int(np.prod(shape))
        skip = self._skip(count)
        flat = randomness.uniforms(
            self.seed, self.purpose, count, epoch=self.epoch, step=self.step, skip=skip
        )
        return flat.reshape(shape)

    def normals(self, *shape: int) -> NDArray[np.float64]:
        """Numbers from N(0, 1)."""
        count = int(np.prod(shape))
        skip = self._skip(2 * count)
        flat = randomness.normals(self.seed, self.purpose, count, epoch=self.epoch, step=self.step, skip=skip)
        return flat.reshape(shape)

    def order(self, rows: int) -> NDArray[np.int64]:
        """A permutation of range(rows)."""
        skip = self._skip(rows)
        return randomness.order(self.seed, self.purpose, rows, epoch=self.epoch, step=self.step, skip=skip)


def numbered(stem: str, count: int) -> tuple[str, ...]:
    """`x1`, `x2`, ...: the names of columns that have no better ones."""
    return tuple(f"{stem}{number}" for number in range(1, count + 1))


def digits(count: int) -> tuple[str, ...]:
    """`0`, `1`, ...: the names of classes that have no better ones."""
    return tuple(str(number) for number in range(count))


class SampledDataset(Generated):
    """Base of the datasets whose rows and fresh rows follow one recipe, `draw`."""

    @property
    def columns(self) -> int:
        """D, the numbers per row."""
        return 2

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their ids."""
        raise NotImplementedError

    def draw(self, rows: int, sampler: Sampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Inputs [rows, D] and class ids [rows], in the order of a shuffled dataset."""
        raise NotImplementedError

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=self.rows, inputs=self.columns, classes=self.class_names)

    def load(self) -> Data:
        return self._data(self.rows, Sampler(self.seed or 0, Purpose.DATASET))

    def fresh(self, count: int, *, epoch: int, step: int) -> Data:
        return self._data(count, Sampler(self.seed or 0, Purpose.FRESH, epoch=epoch, step=step))

    def _data(self, rows: int, sampler: Sampler) -> Data:
        inputs, labels = self.draw(rows, sampler)
        return Data(inputs, labels, numbered("x", self.columns), ("class",), self.class_names)
