"""What a loss is: how targets are encoded for it, what it is computed from, and the function that does it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from mlprun.parts.part import Part, PositiveFloat, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    import torch
    from numpy.typing import NDArray

    from mlprun.parts.datasets.dataset import DatasetInfo

    LossFunction: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Loss(Part):
    """Base of all losses.

    The defaults are those of the squared-error family: targets are numbers; two classes are 0/1 in one
    column, more are one-hot. `activation` names the output activation a loss implies: such a loss is computed
    stably from the values before it; a loss with None is computed from the network's outputs, whatever their
    activation. On any rows the sum is the mean times `weight(targets)`, so that batches add up to the whole.
    """

    activation: ClassVar[str | None] = None
    threshold: ClassVar[float] = 0.5
    """with one output, class 1 means output > threshold"""
    target_kind: ClassVar[Literal["any", "classes", "numbers"]] = "any"
    """what a table's column is read as for this loss, where it could be either"""
    standardizable: ClassVar[bool] = True
    """whether numeric targets may be standardised; not where values have a meaning (counts, probabilities)"""

    reduction: Literal["mean", "sum"] = Field(
        "mean", description="what is differentiated: the mean over rows and outputs, or the sum"
    )
    scale: PositiveFloat = Field(
        1.0, description="factor on what is differentiated; the history shows the mean without it"
    )

    def outputs(self, info: DatasetInfo) -> int:
        """How many network outputs the targets call for."""
        if info.classes is None:
            return info.targets
        return 1 if len(info.classes) <= 2 else len(info.classes)

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        """Why this loss cannot go with these targets and outputs, ending in what would work, or None."""
        expected = self.outputs(info)
        if outputs == expected:
            return None
        return (
            f"{self.name} on {describe(info)} needs {plural(expected, 'output')}, not {outputs}; "
            f"set architecture.outputs to {expected} or leave it out"
        )

    def unsupported_targets(self, targets: NDArray[np.generic]) -> str | None:
        """Why the values of raw targets do not fit ([N] ids always do), ending in what would work."""
        return None

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        """Raw targets ([N] ids or [N, K] numbers) as this loss reads them: [N, K] numbers or [N] ids."""
        if classes is None:
            return targets
        if classes <= 2:
            return np.asarray(targets, np.float64)[:, None]
        return np.asarray(np.eye(classes)[targets])

    def resolved(self) -> Self:
        """The loss with the defaults that depend on other options."""
        return self

    def in_units(self, scales: Sequence[float]) -> Self:
        """The loss with options in the units of encoded targets, the user's divided by `scales`."""
        return self

    def build(self) -> LossFunction:
        """A function (values [B, K], encoded targets) -> scalar: `scale` times the mean or the sum.

        It holds nothing that must be moved to a device. Shapes that differ are an AssertionError.
        """
        raise NotImplementedError

    def weight(self, targets: torch.Tensor | NDArray[Any]) -> float:
        """What the mean over encoded targets divides by: rows times outputs, unless rows are weighted."""
        return float(math.prod(targets.shape))


losses: Registry[Loss] = Registry("loss", "losses")


def scaled(function: LossFunction, scale: float) -> LossFunction:
    """`scale` times the value of `function`; for 1 the function itself, so that it costs nothing."""
    if scale == 1.0:
        return function
    return lambda values, targets: scale * function(values, targets)


def require_equal_shapes(values: torch.Tensor, targets: torch.Tensor) -> None:
    """Values and targets are both [B, K]: [B, 1] against [B] would silently broadcast to [B, B]."""
    if values.shape != targets.shape:
        raise AssertionError(f"values {list(values.shape)} against targets {list(targets.shape)}")


def require_ids(values: torch.Tensor, targets: torch.Tensor) -> None:
    """Values are [B, K] and targets [B] class ids."""
    if values.shape[:-1] != targets.shape:
        raise AssertionError(f"values {list(values.shape)} against class ids {list(targets.shape)}")


def describe(info: DatasetInfo) -> str:
    """The targets in words: `3 classes`, `1 number per row`."""
    if info.classes is None:
        return f"{plural(info.targets, 'number')} per row"
    return plural(len(info.classes), "class")


def plural(count: int, noun: str) -> str:
    """`1 output`, `2 outputs`, `3 classes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"
