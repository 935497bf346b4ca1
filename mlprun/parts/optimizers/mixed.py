"""Optimizers for some of the parameters only; Adam takes the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from mlprun.errors import UsageError
from mlprun.parts.optimizers.optimizer import (
    Betas,
    DecoupledWeightDecay,
    Optimizer,
    construct,
    optimizers,
)
from mlprun.parts.part import NonNegativeFloat, PositiveFloat

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn


@optimizers.register
class SparseAdam(Optimizer):
    """Adam on the rows of an embedding that a batch uses; Adam with the same options takes the rest.

    Source: Kingma & Ba (2015), arxiv.org/abs/1412.6980
    """

    sparse: ClassVar[bool] = True

    name: Literal["sparseadam", "sparse_adam"] = "sparseadam"
    betas: Betas = (0.9, 0.999)
    eps: PositiveFloat = Field(1e-8, description="added to the denominator for numerical stability")

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        tables = {name: value for name, value in parameters.items() if name in embeddings}
        if not tables:
            raise UsageError(
                "optimizer", "sparseadam takes embeddings and the model has none", "use adam instead"
            )
        rest = {name: value for name, value in parameters.items() if name not in embeddings}
        options = {"lr": self.lr, "betas": self.betas, "eps": self.eps}
        built = [construct("SparseAdam", tables, **options)]
        return [*built, construct("Adam", rest, **options)] if rest else built


@optimizers.register
class Muon(Optimizer):
    """Momentum made orthogonal, for weight matrices; Adam with the same lr takes all other parameters.

    Biases, gains and embeddings are Adam's, without weight decay.
    Source: Jordan et al. (2024), kellerjordan.github.io/posts/muon; Liu et al. (2025),
    arxiv.org/abs/2502.16982
    """

    name: Literal["muon"] = "muon"
    weight_decay: DecoupledWeightDecay = 0.1
    momentum: NonNegativeFloat = Field(0.95, description="share of the last step that is kept")
    nesterov: bool = Field(default=True, description="look ahead along the momentum")
    ns_coefficients: tuple[float, float, float] = Field(
        (3.4445, -4.775, 2.0315), description="coefficients of the Newton-Schulz polynomial"
    )
    eps: NonNegativeFloat = Field(1e-7, description="smallest norm that is divided by")
    ns_steps: Annotated[int, Field(ge=1, lt=100)] = Field(5, description="Newton-Schulz iterations")
    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = Field(
        None, description="how lr follows a matrix's shape; by default original"
    )

    def build(
        self, parameters: Mapping[str, nn.Parameter], *, embeddings: frozenset[str] = frozenset()
    ) -> list[torch.optim.Optimizer]:
        matrices = {
            name: value for name, value in parameters.items() if value.ndim == 2 and name not in embeddings
        }
        if not matrices:
            raise UsageError(
                "optimizer", "muon takes weight matrices and the model has none", "use adam instead"
            )
        rest = {name: value for name, value in parameters.items() if name not in matrices}
        options = {name: value for name, value in self if name != "name"}
        built = [construct("Muon", matrices, **options)]
        return [*built, construct("Adam", rest, lr=self.lr)] if rest else built
