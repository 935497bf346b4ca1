"""What a loss is: how targets are encoded for it, what it is computed from, and the module that computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.parts.part import Part, PositiveFloat, Registry

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from mlprun.parts.datasets.dataset import Facts


class Loss(Part):
    """Base of all losses.

    The defaults are those of the squared-error family: targets are numbers; two classes are 0/1 in one column, more are
    one-hot. `activation` names the output activation a loss implies: such a loss is computed stably from the values
    before it; a loss with None is computed from the network's outputs, whatever their activation.
    """

    activation: ClassVar[str | None] = None
    threshold: ClassVar[float] = 0.5
    """with one output, class 1 means output > threshold"""

    reduction: Literal["mean", "sum"] = Field(
        "mean", description="what is differentiated: the mean over rows and outputs, or the sum"
    )
    scale: PositiveFloat = Field(
        1.0, description="factor on what is differentiated; the history shows the mean without it"
    )

    def outputs(self, facts: Facts) -> int:
        """How many network outputs the targets call for."""
        if facts.classes is None:
            return facts.targets
        return 1 if len(facts.classes) <= 2 else len(facts.classes)

    def refuses(self, facts: Facts, outputs: int) -> str | None:
        """Why this loss cannot go with these targets and outputs, ending in what would work; None if it can."""
        expected = self.outputs(facts)
        return (
            None
            if outputs == expected
            else f"{self.name} on these targets needs outputs: {expected}, not {outputs}"
        )

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        """Raw targets ([N] class ids or [N, K] numbers) as this loss reads them: [N, K] float64, or [N] int64 ids."""
        if classes is None:
            return targets
        if classes <= 2:
            return np.asarray(targets, np.float64)[:, None]
        return np.eye(classes)[targets]

    def build(self) -> nn.Module:
        """A module (values [B, K], encoded targets) -> scalar: `scale` times the mean or the sum."""
        raise NotImplementedError

    def weight(self, targets: torch.Tensor) -> float:
        """What the mean over a batch of encoded targets divides by: rows times outputs, unless rows are weighted."""
        return float(targets.numel())


losses: Registry[Loss] = Registry("loss", "losses")
