"""Two interleaving arcs, drawn with PyTorch's generator."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from mlprun import randomness
from mlprun.parts.datasets.dataset import Data, DatasetInfo, Generated, datasets
from mlprun.parts.datasets.draws import numbered
from mlprun.parts.part import NonNegativeFloat
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    import torch


@datasets.register
class Moons(Generated):
    """Two interleaving half circles of radius 1, one class each.

    Inputs are [N, 2] float32 in units of the radius: the outer arc (class 0) has N // 2 rows, the inner one
    the others, evenly spaced, shuffled, then with N(0, noise^2) added. The permutation and then the noise
    come from a torch generator with `seed` as it is, so that a script with `torch.manual_seed(seed)` draws
    the same rows.
    Good for: a first decision boundary that is not a line, with a difficulty that `noise` sets.
    Source: scikit-learn's make_moons, jmlr.org/papers/v12/pedregosa11a.html
    """

    name: Literal["moons"] = "moons"
    noise: NonNegativeFloat = Field(
        0.2, description="standard deviation of the noise, in units of the radius"
    )

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=self.rows, inputs=2, classes=("outer", "inner"))

    def load(self) -> Data:
        return self._data(self.rows, self.seed or 0)

    def fresh(self, count: int, *, epoch: int, step: int) -> Data:
        word = int(randomness.words(self.seed or 0, Purpose.FRESH, 1, epoch=epoch, step=step)[0])
        return self._data(count, word >> 32)  # torch's CPU generator reads 32 bits of a seed

    def _data(self, rows: int, seed: int) -> Data:
        import torch

        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(rows, generator=generator, device="cpu")
        inputs = _arcs(rows)[order]
        if self.noise:
            noise = torch.normal(
                0.0, self.noise, (rows, 2), generator=generator, dtype=torch.float32, device="cpu"
            )
            inputs = inputs + noise
        labels = (order >= rows // 2).numpy().astype(np.int64)
        return Data(inputs.numpy(), labels, numbered("x", 2), ("class",), ("outer", "inner"))


@lru_cache(maxsize=4)  # a sweep draws noise around the same arcs a thousand times
def _arcs(rows: int) -> torch.Tensor:
    """The points without noise, [rows, 2], the outer arc first; not to be changed."""
    import torch

    outer, inner = _half_turn(rows // 2), _half_turn(rows - rows // 2)
    across = torch.cat([outer.cos(), 1 - inner.cos()])
    up = torch.cat([outer.sin(), 0.5 - inner.sin()])
    return torch.stack([across, up], dim=1)


def _half_turn(count: int) -> torch.Tensor:
    """`count` angles from 0 to pi, in radians."""
    import torch

    # dtype and device are named, because a program that uses mlprun may have changed torch's defaults
    return torch.linspace(0, math.pi, count, dtype=torch.float32, device="cpu")
