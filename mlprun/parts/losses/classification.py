"""Losses whose targets are classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from mlprun.parts.losses.loss import (
    Loss,
    describe,
    losses,
    plural,
    require_equal_shapes,
    require_ids,
    scaled,
)
from mlprun.parts.part import PositiveFloat

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from mlprun.parts.datasets.dataset import DatasetInfo
    from mlprun.parts.losses.loss import LossFunction


@losses.register
class BCE(Loss):
    """Binary cross entropy: minus the log-likelihood of 0/1 targets under logistic outputs, in nats.

    Computed from the values before the logistic, [B, K], stably for values of any size. Targets are two
    classes (one output), or numbers between 0 and 1 in one or several columns, each a question of its own
    (multi-label).
    Source: Cox (1958), doi.org/10.1111/j.2517-6161.1958.tb00292.x
    """

    activation: ClassVar[str | None] = "logistic"
    target_kind: ClassVar[Literal["any", "classes", "numbers"]] = "classes"
    standardizable: ClassVar[bool] = False

    name: Literal["bce"] = "bce"

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is not None and len(info.classes) > 2:
            return f"bce takes two classes, not {len(info.classes)}; loss: cross_entropy takes any number"
        return super().unsupported_reason(info, outputs)

    def unsupported_targets(self, targets: NDArray[np.generic]) -> str | None:
        if targets.ndim == 1:
            return None
        numbers = np.asarray(targets, np.float64)
        outside = numbers[~((numbers >= 0) & (numbers <= 1))]
        if outside.size:
            return f"bce takes targets between 0 and 1, not {outside[0]:g}; loss: mse takes any numbers"
        return None

    def build(self) -> LossFunction:
        from torch.nn.functional import binary_cross_entropy_with_logits

        reduction = self.reduction

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return binary_cross_entropy_with_logits(values, targets, reduction=reduction)

        return scaled(function, self.scale)


class ClassLoss(Loss):
    """Base of the losses whose targets are class ids [B], one output for each class, two classes included.

    The mean is over rows; with class weights it is the weighted mean: divided by the sum of their weights.
    """

    target_kind: ClassVar[Literal["any", "classes", "numbers"]] = "classes"

    class_weights: tuple[PositiveFloat, ...] | None = Field(
        None, description="weight of the rows of each class, in the order of the class ids; by default all 1"
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _class_weights_are_a_list(cls, value: object) -> object:
        if value is None or isinstance(value, list | tuple):
            return value
        raise PydanticCustomError("class_weights", "expected a list of numbers, one per class")

    def outputs(self, info: DatasetInfo) -> int:
        return info.targets if info.classes is None else max(2, len(info.classes))

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is None:
            return f"{self.name} takes classes, not numbers; loss: mse takes numbers"
        expected = self.outputs(info)
        if self.class_weights is not None and len(self.class_weights) != expected:
            given = plural(len(self.class_weights), "class weight")
            return f"{given} for {describe(info)}; give {expected}, one for each class"
        return super().unsupported_reason(info, outputs)

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        return np.asarray(targets, np.int64)

    def weight(self, targets: torch.Tensor | NDArray[Any]) -> float:
        if self.class_weights is None:
            return float(len(targets))
        ids = targets if isinstance(targets, np.ndarray) else targets.cpu().numpy()
        return float(np.asarray(self.class_weights)[ids].sum())

    def _function(self, label_smoothing: float) -> LossFunction:
        """Cross entropy of class ids, from the values before softmax or log-softmax (the same for both)."""
        import torch
        from torch.nn.functional import cross_entropy

        reduction = self.reduction
        weights = given = (
            None if self.class_weights is None else torch.tensor(self.class_weights, dtype=torch.float64)
        )

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            nonlocal weights
            require_ids(values, targets)
            if weights is not None and (weights.dtype != values.dtype or weights.device != values.device):
                assert given is not None
                weights = given.to(values)
            return cross_entropy(
                values, targets, weights, reduction=reduction, label_smoothing=label_smoothing
            )

        return scaled(function, self.scale)


@losses.register
class CrossEntropy(ClassLoss):
    """Cross entropy of classes under softmax outputs, in nats per row.

    Computed from the values before the softmax, [B, K], and class ids [B]; the mean is over rows. Exactly two
    classes have two outputs. With `class_weights` the mean is divided by the sum of the rows' weights.
    `label_smoothing` mixes the target with the uniform distribution over the classes.
    Source: Bridle (1990), doi.org/10.1007/978-3-642-76153-9_28; label smoothing: Szegedy et al. (2016),
    doi.org/10.1109/CVPR.2016.308
    """

    activation: ClassVar[str | None] = "softmax"

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="share of the target that is spread evenly over all classes"
    )

    def build(self) -> LossFunction:
        return self._function(self.label_smoothing)


@losses.register
class NLL(ClassLoss):
    """Negative log-likelihood of classes under log-softmax outputs, in nats per row.

    The value of `cross_entropy`, for a network whose outputs are log-probabilities. Computed from the values
    before the log-softmax, [B, K], and class ids [B]; the mean is over rows.
    Source: Bridle (1990), doi.org/10.1007/978-3-642-76153-9_28
    """

    activation: ClassVar[str | None] = "log_softmax"

    name: Literal["nll"] = "nll"

    def build(self) -> LossFunction:
        return self._function(0.0)


@losses.register
class Hinge(Loss):
    """Mean of max(0, 1 - t y) for targets t of -1 and +1: zero once every row is right by a margin of 1.

    Two classes have one output [B, 1] and class 1 means output > 0; more have one output each, [B, K], +1 for
    the row's class against -1 for the rest (one-vs-rest), and the largest output wins. Outputs are meant to
    be plain numbers (identity).
    Source: Cortes & Vapnik (1995), doi.org/10.1007/BF00994018; one-vs-rest: Rifkin & Klautau (2004),
    jmlr.org/papers/v5/rifkin04a.html
    """

    threshold: ClassVar[float] = 0.0
    target_kind: ClassVar[Literal["any", "classes", "numbers"]] = "classes"

    name: Literal["hinge"] = "hinge"

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is None:
            return "hinge takes classes, not numbers; loss: mse takes numbers"
        return super().unsupported_reason(info, outputs)

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        return 2 * np.asarray(super().encode(targets, classes), np.float64) - 1

    def build(self) -> LossFunction:
        import torch

        reduce = torch.mean if self.reduction == "mean" else torch.sum

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return reduce((1 - targets * values).clamp_min(0))

        return scaled(function, self.scale)
