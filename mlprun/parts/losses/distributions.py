"""Losses whose targets are counts or whole distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.losses.loss import Loss, losses, require_equal_shapes, scaled

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from mlprun.parts.datasets.dataset import DatasetInfo
    from mlprun.parts.losses.loss import LossFunction

SUM_TOLERANCE = 1e-4
"""How far from 1 the probabilities of a row may sum: rows written with five digits pass."""


@losses.register
class KLDiv(Loss):
    """Kullback-Leibler divergence of target distributions from softmax outputs, in nats.

    Computed from the values before the softmax, [B, K]. Targets are rows of K probabilities, or classes
    (one-hot rows). The mean divides by rows times outputs, as torch's reduction "mean" does; the divergence
    per row ("batchmean") is K times that, and `scale: K` differentiates it.
    Source: Kullback & Leibler (1951), doi.org/10.1214/aoms/1177729694
    """

    activation: ClassVar[str | None] = "softmax"
    standardizable: ClassVar[bool] = False

    name: Literal["kl_div"] = "kl_div"

    def outputs(self, info: DatasetInfo) -> int:
        return info.targets if info.classes is None else max(2, len(info.classes))

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is None and info.targets < 2:
            return (
                "kl_div takes classes or rows of at least two probabilities, not 1 number per row; "
                "loss: bce takes one probability"
            )
        return super().unsupported_reason(info, outputs)

    def unsupported_targets(self, targets: NDArray[np.generic]) -> str | None:
        if targets.ndim == 1:
            return None
        rows = np.asarray(targets, np.float64)
        fits = (rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) <= SUM_TOLERANCE)
        if fits.all():
            return None
        row = int(np.argmin(fits))
        return (
            f"kl_div takes rows of probabilities that sum to 1; row {row + 1} has {rows[row].min():g} as its "
            f"smallest number and the sum {rows[row].sum():g}; loss: mse takes any numbers"
        )

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        return targets if classes is None else np.eye(max(2, classes))[targets]

    def build(self) -> LossFunction:
        from torch.nn.functional import kl_div, log_softmax

        reduction = "sum" if self.reduction == "sum" else "none"

        def total(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return kl_div(log_softmax(values, dim=-1), targets, reduction=reduction)

        if self.reduction == "sum":
            return scaled(total, self.scale)
        # torch's own "mean" warns at every new place of call that it is not the mathematical divergence
        return scaled(lambda values, targets: total(values, targets).mean(), self.scale)


@losses.register
class PoissonNLL(Loss):
    """Negative log-likelihood of counts under Poisson distributions with the outputs as means, in nats.

    Computed from the values z before the exponential, [B, K], as exp(z) - t z; targets t are numbers of 0 or
    more. The term log t!, which no parameter changes, is left out unless `full`.
    Source: Nelder & Wedderburn (1972), doi.org/10.2307/2344614
    """

    activation: ClassVar[str | None] = "exp"
    target_kind: ClassVar[Literal["any", "classes", "numbers"]] = "numbers"
    standardizable: ClassVar[bool] = False

    name: Literal["poisson_nll"] = "poisson_nll"
    full: bool = Field(
        default=False, description="add Stirling's approximation of log t! for targets above 1"
    )

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is not None:
            return "poisson_nll takes counts, not classes; loss: cross_entropy takes classes"
        return super().unsupported_reason(info, outputs)

    def unsupported_targets(self, targets: NDArray[np.generic]) -> str | None:
        numbers = np.asarray(targets, np.float64)
        negative = numbers[~(numbers >= 0)]
        if negative.size:
            return f"poisson_nll takes numbers of 0 or more, not {negative[0]:g}; loss: mse takes any numbers"
        return None

    def build(self) -> LossFunction:
        from torch.nn.functional import poisson_nll_loss

        reduction, full = self.reduction, self.full

        def function(values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            require_equal_shapes(values, targets)
            return poisson_nll_loss(values, targets, log_input=True, full=full, reduction=reduction)

        return scaled(function, self.scale)
