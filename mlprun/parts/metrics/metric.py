"""What a metric is: a figure computed in NumPy from predictions, in the user's units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mlprun.parts.part import Part, Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.parts.datasets.dataset import DatasetInfo


@dataclass(frozen=True)
class Predictions:
    """What a network said of N rows, and what was true.

    `outputs` is [N, K] after the output activation (log-probabilities already exponentiated, numbers already
    in the user's units); `targets` is [N] int64 class ids or [N, K] numbers; `probabilistic` says whether
    outputs are probabilities; with one output class 1 means output > `threshold`.
    """

    outputs: NDArray[np.floating]
    targets: NDArray[np.generic]
    classes: tuple[str, ...] | None
    probabilistic: bool
    threshold: float = 0.5

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """[N] predicted class ids."""
        if self.outputs.shape[1] == 1:
            return (self.outputs[:, 0] > self.threshold).astype(np.int64)
        return np.asarray(np.argmax(self.outputs, axis=1), np.int64)

    @cached_property
    def probabilities(self) -> NDArray[np.floating]:
        """[N, C] probabilities of the classes, both columns for two classes."""
        if self.outputs.shape[1] == 1:
            return np.concatenate([1 - self.outputs, self.outputs], axis=1)
        return self.outputs


class Metric(Part):
    """Base of all metrics."""

    target: ClassVar[Literal["classes", "numbers"]] = "classes"
    mode: ClassVar[Literal["min", "max"]] = "max"
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """no value is below the first or above the second"""
    scalar: ClassVar[bool] = True
    """False for figures that are a table (a confusion matrix): shown by eval, not logged in the history"""
    needs_probabilities: ClassVar[bool] = False
    two_classes_only: ClassVar[bool] = False

    def unsupported_reason(self, info: DatasetInfo) -> str | None:
        """Why it cannot be computed of such targets, ending in what would work; None if it can."""
        if self.two_classes_only and info.classes is not None and len(info.classes) > 2:
            return f"{self.name} is of two classes and these targets have {len(info.classes)}; use accuracy"
        return None

    def compute(self, predictions: Predictions) -> float | list[list[int]]:
        """The figure; nan where it is not defined for these rows."""
        raise NotImplementedError


metrics: Registry[Metric] = Registry("metric", "metrics")
