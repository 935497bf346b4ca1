"""What training minimises: the loss functions, their base class and their registry."""

from __future__ import annotations

import math
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator

from mlprun.errors import UsageError, plural
from mlprun.parts.part import NonNegativeFloat, Part, PositiveFloat, Registry, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from mlprun.parts.data import Array, DatasetInfo, Floats, Ints, Names

    LossFunction: TypeAlias = Callable[..., Tensor]
    """of values and targets, and in a loss that `takes_weights` of the weights of rows"""


ClassWeights = Literal["balanced"] | dict[str, PositiveFloat] | tuple[PositiveFloat, ...]


def balanced_weights(ids: Ints, classes: int, weights: Floats | None) -> tuple[float, ...]:
    """The weights n / (K n_k) of classes with n_k of n rows, or such sums of weights; 1 of those without.

    Equal to scikit-learn's `compute_class_weight("balanced", sample_weight=weights)`.
    """
    counts = np.bincount(ids, weights, minlength=classes)
    present = counts > 0
    own = counts.sum() / (present.sum() * np.where(present, counts, 1))
    return tuple(np.where(present, own, 1.0).tolist())


class Loss(Part):
    """Base of all losses.

    The defaults are those of the squared-error family: targets are numbers; two classes are 0/1 in one
    column, more are one-hot. `activation` names the output activation a loss implies: such a loss is computed
    stably from the values before it; a loss with None is computed from the network's outputs, whatever their
    activation. On any rows the sum is the mean times `weight(targets)`, so that batches add up to the whole.
    With weights w of rows the mean of their losses is sum(w loss) / sum(w), and 0 where all weights are 0;
    those of classes multiply those of rows.
    """

    stored_if_set: ClassVar[frozenset[str]] = frozenset({"class_weights"})

    activation: ClassVar[str | None] = None
    threshold: ClassVar[float] = 0.5
    """with one output, class 1 means output > threshold"""
    target_kind: ClassVar[Literal["any", "classes", "numbers"]] = "any"
    """what a table's column is read as for this loss, where it could be either"""
    classes_only: ClassVar[bool] = False
    takes_ids: ClassVar[bool] = False
    """whether encoded classes are ids [N], not numbers [N, K]"""
    output_per_class: ClassVar[bool] = False
    """whether two classes have two outputs"""
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    """of numeric targets"""
    standardizable: ClassVar[bool] = True
    """whether numeric targets may be standardised; not where values have a meaning (counts, probabilities)"""
    title: ClassVar[str] = ""
    """what figures call it; by default its name"""
    torch_name: ClassVar[str]
    """the function in torch.nn.functional, of values and targets [B, K] with a `reduction`"""

    reduction: Literal["mean", "sum"] = Field(
        "mean", description="reduction used for the gradient: mean or sum over rows and outputs"
    )
    scale: PositiveFloat = Field(
        1.0, description="factor used for the gradient; the reported loss does not include it"
    )
    class_weights: ClassWeights | None = Field(
        None,
        description="weight of each class, which multiplies those of rows: a list in the order of class ids, "
        "a mapping by name (others: 1), or balanced: n / (K n_k) for n_k of n train rows in K classes "
        "(default: 1)",
    )

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of the quantiles that outputs are, in rising order; none for other losses."""
        return ()

    def default_metrics(self, info: DatasetInfo) -> tuple[str, ...]:
        """The names of the metrics that are logged unless a config names others."""
        if info.multilabel:
            return "label_accuracy", "subset_accuracy", "f1"
        return ("r2",) if info.classes is None else ("accuracy",)

    def outputs(self, info: DatasetInfo) -> int:
        """How many network outputs the targets call for."""
        if info.classes is None:
            return info.targets
        classes = max(2, len(info.classes))
        return 1 if classes == 2 and not self.output_per_class else classes

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        """Why this loss cannot go with these targets and outputs, ending in what would work, or None."""
        if self.classes_only and info.classes is None:
            kind, other = info.target_kind, "bce" if info.multilabel else "mse"
            return f"{self.name} takes classes, not {kind}; loss: {other} takes {kind}"
        expected = self.outputs(info)
        if outputs == expected:
            return None
        return (
            f"{self.name} on {describe(info)} needs {plural(expected, 'output')}, not {outputs}; "
            f"set architecture.outputs to {expected} or leave it out"
        )

    def unsupported_targets(self, targets: NDArray[np.generic]) -> str | None:
        """Why the values of raw targets do not fit ([N] ids always do), ending in what would work."""
        low, high = self.bounds
        numbers = np.asarray(targets, np.float64)
        outside = numbers[~((numbers >= low) & (numbers <= high))]
        if targets.ndim == 1 or not outside.size:
            return None
        return f"{self.name} takes targets from {low:g} to {high:g}, not {outside[0]:g}; loss: mse takes any"

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        """Raw targets ([N] ids or [N, K] numbers) as this loss reads them: [N, K] numbers or [N] ids."""
        if classes is None:
            return targets
        if self.takes_ids:
            return np.asarray(targets, np.int64)
        if classes <= 2 and not self.output_per_class:
            return np.asarray(targets, np.float64)[:, None]
        return np.asarray(np.eye(max(2, classes))[targets])

    def resolved(self, info: DatasetInfo) -> Self:
        """The loss with the defaults that depend on other options and on the targets."""
        return self

    def in_units(self, scales: Sequence[float]) -> Self:
        """The loss with options in the units of encoded targets, the user's divided by `scales`."""
        return self

    def build(self) -> LossFunction:
        """A function (values [B, K], encoded targets, weights) -> scalar: `scale` times the mean or the sum.

        The weights of rows are [B], or None for 1 each. It holds nothing that must be moved to a device.
        Shapes that differ are an AssertionError.
        """
        function, scale, takes_ids = self.function(), self.scale, self.takes_ids
        per_row = self.model_copy(update={"reduction": "none"}).function()

        def build(values: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
            require_equal_shapes(values, targets, takes_ids=takes_ids)
            if weights is None:
                result = function(values, targets)
            else:
                result = self._weighted(per_row(values, targets), targets, weights)
            return result if scale == 1.0 else scale * result

        return build

    def _weighted(self, losses: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The sum or mean of `losses` [B] or [B, K] of rows with weights [B]."""
        if len(losses.shape) not in (1, 2) or len(losses) != len(weights):
            what = f"{self.name} is computed of all rows together, which have weights"
            raise UsageError("loss", what, "let its function return [B, K] where reduction is none")
        total = (losses.reshape(len(weights), -1) * weights.to(losses.dtype)[:, None]).sum()
        return total if self.reduction == "sum" else total / (self.weight(targets, weights) or 1.0)

    @property
    def takes_weights(self) -> bool:
        """Whether what `build` returns takes weights; that of user code need not."""
        return type(self).build is Loss.build

    def function(self) -> LossFunction:
        """The function that `build` returns, before `scale` and without a check of shapes."""
        return self._torch_function()

    def _torch_function(self, **options: object) -> LossFunction:
        from torch.nn import functional

        return partial(getattr(functional, self.torch_name), reduction=self.reduction, **options)

    def reduced(self, values: Tensor) -> Tensor:
        """The mean or the sum of values [B, K]; the values with reduction "none", of rows with weights."""
        if self.reduction not in ("mean", "sum"):
            return values
        return values.sum() if self.reduction == "sum" else values.mean()

    def row_weights(self, truth: Array, weights: Floats | None) -> Floats | None:
        """[N] what the losses of rows are multiplied by, of class ids [N] and the weights of rows or None."""
        if self.class_weights is None:
            return weights
        own = np.asarray(self.class_weights)[truth]
        return own if weights is None else own * weights

    def unsupported_class_weights(self, info: DatasetInfo) -> str | None:
        """Why `class_weights` do not fit these targets, ending in what would work, or None."""
        weights, classes = self.class_weights, info.classes
        if weights is None:
            return None
        if not self.takes_weights:
            return f"{self.name} takes no weights: its class defines build; define function instead"
        if classes is None:
            return f"class_weights are of classes, and these targets are {describe(info)}; leave them out"
        if isinstance(weights, dict):
            for name in weights:
                if name not in classes:
                    return f"there is no class {name[:40]!r}; {suggestion(name, classes[:10])}"
            return None
        expected = max(2, len(classes))
        if weights == "balanced" or len(weights) == expected:
            return None
        what = f"{plural(len(weights), 'class weight')} for {describe(info)}"
        return f"{what}; give {expected}, one for each class"

    def with_class_weights(self, classes: Names | None, balanced: tuple[float, ...] | None) -> Self:
        """The loss with `class_weights` as a list in the order of class ids; `balanced` are such weights."""
        weights = self.class_weights
        if weights is None or isinstance(weights, tuple):
            return self
        own = balanced if weights == "balanced" else tuple(weights.get(name, 1.0) for name in classes or ())
        return self.model_copy(update={"class_weights": own})

    def weight(self, targets: Tensor | Array, weights: Tensor | Array | None = None) -> float:
        """What the mean over encoded targets divides by: the sum of the rows' weights times outputs."""
        rows = len(targets) if weights is None else float(weights.sum())
        return float(rows * math.prod(targets.shape[1:]))


losses: Registry[Loss] = Registry("loss", "losses")


def require_equal_shapes(values: Tensor, targets: Tensor, *, takes_ids: bool = False) -> None:
    """Values and targets are both [B, K]: [B, 1] against [B] would silently broadcast to [B, B].

    With `takes_ids` targets are [B] class ids.
    """
    if (values.shape[:-1] if takes_ids else values.shape) != targets.shape:
        raise AssertionError(f"values {list(values.shape)} against targets {list(targets.shape)}")


def describe(info: DatasetInfo) -> str:
    """The targets in words: `3 classes`, `1 number per row`, `4 labels per row`."""
    if info.classes is None:
        return f"{plural(info.targets, info.target_kind[:-1])} per row"
    return plural(len(info.classes), "class")


@losses.register
class BCE(Loss):
    """Binary cross entropy: minus the log-likelihood of 0/1 targets under logistic outputs, in nats.

    Computed stably from logits, [B, K], of any size. Targets are two
    classes (one output), or numbers between 0 and 1 in one or several columns, each a question of its own
    (multi-label). `class_weights: {"1": p}` is torch's `pos_weight` p, but for the mean: torch divides by
    the number of rows, mlprun by the sum of their weights.
    Source: Cox (1958), doi.org/10.1111/j.2517-6161.1958.tb00292.x
    """

    activation = "logistic"
    torch_name = "binary_cross_entropy_with_logits"
    target_kind = "classes"
    standardizable = False
    bounds = (0, 1)
    title = "binary cross-entropy"

    name: Literal["bce"] = "bce"

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is not None and len(info.classes) > 2:
            return f"bce takes two classes, not {len(info.classes)}; loss: cross_entropy takes any number"
        return super().unsupported_reason(info, outputs)


class ClassLoss(Loss):
    """Base of the losses whose targets are class ids [B], one output for each class, two classes included.

    The mean is over rows; with class weights it is the weighted mean: divided by the sum of their weights.
    """

    classes_only = True
    takes_ids = True
    output_per_class = True
    target_kind = "classes"
    torch_name = "cross_entropy"  # from the values before softmax or log-softmax, which is the same

    stored_if_set = frozenset[str]()

    def row_weights(self, truth: Array, weights: Floats | None) -> Floats | None:
        return weights  # class weights are of outputs

    def weight(self, targets: Tensor | Array, weights: Tensor | Array | None = None) -> float:
        if self.class_weights is None:
            return super().weight(targets, weights)
        ids = targets if isinstance(targets, np.ndarray) else targets.cpu().numpy()
        own = np.asarray(self.class_weights)[ids]
        if weights is not None:
            own = own * (weights if isinstance(weights, np.ndarray) else weights.cpu().numpy())
        return float(own.sum())

    def _torch_function(self, **options: object) -> LossFunction:
        import torch

        function: Callable[..., Tensor] = super()._torch_function(**options)
        if self.class_weights is None:
            return function

        @cache
        def weights(dtype: torch.dtype, device: torch.device) -> Tensor:
            return torch.tensor(self.class_weights, dtype=dtype, device=device)

        return lambda values, targets: function(values, targets, weights(values.dtype, values.device))


@losses.register
class CrossEntropy(ClassLoss):
    """Cross entropy of classes under softmax outputs, in nats per row.

    Computed from the values before the softmax, [B, K], and class ids [B]; the mean is over rows. Exactly two
    classes have two outputs. With `class_weights` the mean is divided by the sum of the rows' weights.
    `label_smoothing` mixes the target with the uniform distribution over the classes.
    Source: Bridle (1990), doi.org/10.1007/978-3-642-76153-9_28; label smoothing: Szegedy et al. (2016),
    doi.org/10.1109/CVPR.2016.308
    """

    activation = "softmax"
    title = "cross-entropy"

    name: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: float = Field(
        0.0, ge=0, le=1, description="share of the target distributed uniformly over all classes"
    )

    def function(self) -> LossFunction:
        return self._torch_function(label_smoothing=self.label_smoothing)


@losses.register
class NLL(ClassLoss):
    """Negative log-likelihood of classes under log-softmax outputs, in nats per row.

    The value of `cross_entropy`, for a network whose outputs are log-probabilities. Computed from the values
    before the log-softmax, [B, K], and class ids [B]; the mean is over rows.
    Source: Bridle (1990), doi.org/10.1007/978-3-642-76153-9_28
    """

    activation = "log_softmax"
    title = "negative log-likelihood"

    name: Literal["nll"] = "nll"


@losses.register
class Hinge(Loss):
    """Mean of max(0, 1 - t y) for targets t of -1 and +1: zero if every row is correct with a margin of 1.

    Two classes have one output [B, 1] and class 1 means output > 0; more have one output each, [B, K], +1 for
    the row's class against -1 for the rest (one-vs-rest), and the largest output wins. Outputs are meant to
    be plain numbers (identity).
    Source: Cortes & Vapnik (1995), doi.org/10.1007/BF00994018; one-vs-rest: Rifkin & Klautau (2004),
    jmlr.org/papers/v5/rifkin04a.html
    """

    threshold = 0.0
    classes_only = True
    target_kind = "classes"

    name: Literal["hinge"] = "hinge"

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        return 2 * np.asarray(super().encode(targets, classes), np.float64) - 1

    def function(self) -> LossFunction:
        return lambda values, targets: self.reduced((1 - targets * values).clamp_min(0))


@losses.register
class Focal(Loss):
    """Focal loss: cross entropy of classes, in nats per row, times (1 - p)^gamma for the row's class's p.

    Rows that are predicted well count little, so that those of rare or difficult classes decide; gamma 0
    gives `bce` or `cross_entropy`. `class_weights` are the paper's alpha. Computed stably from logits: from
    the margin u of the class, with log p = log logistic(u) and log(1 - p) = log logistic(-u). With one output
    u is the logit or minus it; with several the class's less the log-sum-exp of the others. The mean is over
    rows.
    Source: Lin et al. (2017), doi.org/10.1109/ICCV.2017.324
    """

    classes_only = True
    target_kind = "classes"
    title = "focal loss"

    name: Literal["focal"] = "focal"
    gamma: NonNegativeFloat = Field(
        2.0, description="exponent by which rows that are predicted well count less"
    )
    output: Literal["auto", "logistic", "softmax"] = Field(
        "auto",
        description="logistic: one output for two classes; softmax: one for each class; auto: logistic for "
        "two classes, softmax for more",
    )

    @property
    def activation(self) -> str:  # type: ignore[override]
        return "logistic" if self.output == "logistic" else "softmax"

    @property
    def takes_ids(self) -> bool:  # type: ignore[override]
        return self.output != "logistic"

    @property
    def output_per_class(self) -> bool:  # type: ignore[override]
        return self.output != "logistic"

    def resolved(self, info: DatasetInfo) -> Self:
        if self.output != "auto":
            return self
        is_binary = info.classes is not None and len(info.classes) <= 2
        return self.model_copy(update={"output": "logistic" if is_binary else "softmax"})

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if self.output == "logistic" and info.classes is not None and len(info.classes) > 2:
            return f"focal with output: logistic takes two classes, not {len(info.classes)}; leave output out"
        return super().unsupported_reason(info, outputs)

    def function(self) -> LossFunction:
        from torch.nn.functional import logsigmoid

        def function(values: Tensor, targets: Tensor) -> Tensor:
            if self.takes_ids:
                ids = targets[:, None]
                others = values.scatter(1, ids, -math.inf).logsumexp(dim=1, keepdim=True)
                margins = values.gather(1, ids) - others
            else:
                margins = values * (2 * targets - 1)
            return self.reduced(-logsigmoid(margins) * (self.gamma * logsigmoid(-margins)).exp())

        return function


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

    activation = "softmax"
    standardizable = False
    output_per_class = True
    title = "Kullback-Leibler divergence"

    name: Literal["kl_div"] = "kl_div"

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

    def function(self) -> LossFunction:
        from torch.nn.functional import kl_div, log_softmax

        # torch's own "mean" warns at every new place of call that it is not the mathematical divergence
        return lambda values, targets: self.reduced(
            kl_div(log_softmax(values, dim=-1), targets, reduction="none")
        )


@losses.register
class PoissonNLL(Loss):
    """Negative log-likelihood of counts under Poisson distributions with the outputs as means, in nats.

    Computed from the values z before the exponential, [B, K], as exp(z) - t z; targets t are numbers of 0 or
    more. The term log t!, which no parameter changes, is left out unless `full`.
    Source: Nelder & Wedderburn (1972), doi.org/10.2307/2344614
    """

    activation = "exp"
    torch_name = "poisson_nll_loss"
    target_kind = "numbers"
    standardizable = False
    bounds = (0, math.inf)
    title = "Poisson negative log-likelihood"

    name: Literal["poisson_nll"] = "poisson_nll"
    full: bool = Field(
        default=False, description="add Stirling's approximation of log t! for targets above 1"
    )

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is not None:
            return "poisson_nll takes counts, not classes; loss: cross_entropy takes classes"
        return super().unsupported_reason(info, outputs)

    def function(self) -> LossFunction:
        return self._torch_function(log_input=True, full=self.full)


class Regression(Loss):
    """Base of the losses of numbers."""

    target_kind = "numbers"


@losses.register
class MSE(Regression):
    """Mean of squared differences.

    Outputs and targets are [B, K]; the value is in their squared units.
    """

    torch_name = "mse_loss"
    title = "mean squared error"

    name: Literal["mse"] = "mse"


@losses.register
class MAE(Regression):
    """Mean of absolute differences; minimised by the median.

    Outputs, targets ([B, K]) and the value are in the same units.
    """

    torch_name = "l1_loss"
    title = "mean absolute error"

    name: Literal["mae"] = "mae"


class HuberLike(Regression):
    """Base of the losses that are quadratic for errors up to a width, an option, and linear beyond."""

    width: ClassVar[str]

    units: Literal["target", "standardized"] = Field(
        "target",
        description="units of the threshold: those of the target, or standardized (default if no threshold "
        "is given)",
    )

    def resolved(self, info: DatasetInfo) -> Self:
        explicit = self.model_fields_set & {self.width, "units"}
        return self if explicit else self.model_copy(update={"units": "standardized"})

    def in_units(self, scales: Sequence[float]) -> Self:
        width = getattr(self, self.width)
        if self.units == "standardized" or all(scale == 1 for scale in scales):
            return self
        widths = tuple(width / scale for scale in scales)
        one = len(set(widths)) == 1
        return self.model_copy(update={self.width: widths[0] if one else widths, "units": "standardized"})

    def function(self) -> LossFunction:
        import torch

        width = getattr(self, self.width)
        if not isinstance(width, tuple):
            return self._torch_function(**{self.width: width})
        columns = [self._torch_function(**{self.width: each}) for each in width]

        def function(values: Tensor, targets: Tensor) -> Tensor:
            parts = [one(values[:, [k]], targets[:, [k]]) for k, one in enumerate(columns)]
            if self.reduction not in ("mean", "sum"):
                return torch.cat(parts, dim=1)
            total = sum(parts[1:], parts[0])
            return total if self.reduction == "sum" else total / len(parts)

        return function


@losses.register
class SmoothL1(HuberLike):
    """Quadratic for errors below `beta`, linear beyond with slope 1: the Huber loss divided by its delta.

    Outputs, targets ([B, K]) and the value are in the same units.
    Source: Girshick (2015), doi.org/10.1109/ICCV.2015.169
    """

    torch_name = "smooth_l1_loss"
    width = "beta"

    name: Literal["smooth_l1"] = "smooth_l1"
    beta: NonNegativeFloat = Field(
        1.0, description="error above which the loss is linear, in units of the target; 0 gives mae"
    )


@losses.register
class Huber(HuberLike):
    """Half the squared error below `delta`, linear beyond with slope delta.

    Outputs and targets are [B, K]; the value is in their squared units.
    Source: Huber (1964), doi.org/10.1214/aoms/1177703732
    """

    torch_name = "huber_loss"
    width = "delta"

    name: Literal["huber"] = "huber"
    delta: PositiveFloat = Field(
        1.0, description="error above which the loss is linear, in units of the target"
    )


@losses.register
class Quantile(Regression):
    """Pinball loss of several quantiles of one number, an output for each: the mean over rows and quantiles.

    For an error e = target - output it is level * e above 0 and (level - 1) * e below, so that the share of
    targets below an output tends to its level; of 0.5 it is half the absolute error. Outputs and target are
    in the same units, as is the value. Wherever outputs are read as predictions, those of a row are sorted:
    quantiles never cross, and sorting never increases the mean.
    Source: Koenker & Bassett (1978), doi.org/10.2307/1913643; sorting: Chernozhukov, Fernández-Val & Galichon
    (2010), doi.org/10.3982/ECTA7880
    """

    title = "pinball loss"

    name: Literal["quantile"] = "quantile"
    quantiles: tuple[float, ...] = Field(
        (0.1, 0.5, 0.9),
        min_length=1,
        max_length=99,
        description="levels between 0 and 1 of the predicted quantiles, in rising order",
    )

    @field_validator("quantiles")
    @classmethod
    def _levels_rise(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        for level in levels:
            if not 0 < level < 1:
                raise ValueError(f"{level:g} is no level of a quantile; expected numbers between 0 and 1")
        for level, following in pairwise(levels):
            if level >= following:
                what = f"{following:g} follows {level:g}"
                raise ValueError(f"{what}; expected each level once, rising: {sorted(set(levels))}")
        return levels

    @property
    def levels(self) -> tuple[float, ...]:
        return self.quantiles

    def default_metrics(self, info: DatasetInfo) -> tuple[str, ...]:
        return ("pinball", "coverage", "interval_width") if len(self.quantiles) > 1 else ("pinball",)

    def outputs(self, info: DatasetInfo) -> int:
        return len(self.quantiles)

    def unsupported_reason(self, info: DatasetInfo, outputs: int) -> str | None:
        if info.classes is not None:
            return "quantile takes numbers, not classes; loss: cross_entropy takes classes"
        if info.targets > 1:
            return f"quantile takes 1 number per row, not {info.targets}; name one target for each config"
        if outputs == len(self.quantiles):
            return None
        what = f"{plural(len(self.quantiles), 'quantile')} need as many outputs, not {outputs}"
        return f"{what}; leave architecture.outputs out"

    def encode(self, targets: NDArray[np.generic], classes: int | None) -> NDArray[np.generic]:
        """The number of each row, [N, 1], once for each quantile."""
        return np.repeat(targets, len(self.quantiles), axis=1)

    def function(self) -> LossFunction:
        import torch

        @cache
        def slopes(dtype: torch.dtype, device: torch.device) -> Tensor:
            return torch.tensor(self.quantiles, dtype=dtype, device=device) - 0.5

        def function(values: Tensor, targets: Tensor) -> Tensor:
            errors = targets - values
            return self.reduced(errors.abs() / 2 + slopes(values.dtype, values.device) * errors)

        return function
