"""scikit-learn's generators of classification and regression problems, with its draws from `seed` as it is.

Neither can draw fresh rows: scikit-learn mixes the draws of the rows with those of the problem itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from mlprun.parts.datasets.dataset import Data, DatasetInfo, Generated, datasets
from mlprun.parts.datasets.draws import Classes, digits, numbered
from mlprun.parts.part import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from numpy.typing import NDArray

Fraction = Annotated[float, Field(ge=0, le=1)]


@datasets.register
class Classification(Generated):
    """Clusters at the corners of a hypercube, hidden among features that say nothing or repeat others.

    Inputs are [N, features] float64, no unit, in shuffled order; draws are scikit-learn's with random_state =
    `seed`.
    Good for: seeing what useless and redundant features do; `class_sep` and `flip_y` set the difficulty.
    Source: scikit-learn's make_classification, after Guyon (2003), Design of experiments for the NIPS 2003
    variable selection benchmark
    """

    name: Literal["classification"] = "classification"
    features: PositiveInt = Field(20, description="numbers per row")
    informative: PositiveInt = Field(2, description="features that carry the class")
    redundant: NonNegativeInt = Field(2, description="features that are sums of informative ones")
    repeated: NonNegativeInt = Field(0, description="features that are copies of others")
    classes: Classes = Field(2, description="number of classes")
    clusters_per_class: PositiveInt = Field(2, description="clusters that make up a class")
    weights: tuple[Fraction, ...] | None = Field(
        None, description="share of each class, the last may be left out; by default equal"
    )
    flip_y: Fraction = Field(0.01, description="fraction of rows whose class is drawn at random")
    class_sep: PositiveFloat = Field(1.0, description="half the side of the hypercube")
    hypercube: bool = Field(
        default=True, description="clusters at corners of a hypercube, else of a random polytope"
    )
    shift: float | None = Field(0.0, description="added to every feature; null draws one for each")
    scale: PositiveFloat | None = Field(1.0, description="factor on every feature; null draws one for each")

    @model_validator(mode="after")
    def _options_agree(self) -> Classification:
        named = self.informative + self.redundant + self.repeated
        if named > self.features:
            raise ValueError(
                f"informative + redundant + repeated is {named}, more than features: {self.features}; "
                f"set features to {named} or more, or lower the others"
            )
        clusters = self.classes * self.clusters_per_class
        needed = (clusters - 1).bit_length()
        if needed > self.informative:
            raise ValueError(
                f"classes times clusters_per_class is {clusters}, more than the {2**self.informative} "
                f"corners that informative: {self.informative} gives; set informative to {needed} or more"
            )
        if self.weights is not None:
            self._check_weights(self.weights)
        return self

    def _check_weights(self, weights: tuple[float, ...]) -> None:
        if len(weights) not in (self.classes - 1, self.classes):
            raise ValueError(
                f"weights has {len(weights)} numbers for {self.classes} classes; give one for each class, "
                "or leave out the last"
            )
        total = sum(weights)
        complete = len(weights) == self.classes
        if total > 1 + 1e-9 or (complete and total < 1 - 1e-9):
            raise ValueError(f"weights sum to {total:g}; they must sum to {'1' if complete else 'at most 1'}")

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=self.rows, inputs=self.features, classes=digits(self.classes))

    def load(self) -> Data:
        from sklearn.datasets import make_classification

        inputs, labels = make_classification(
            n_samples=self.rows,
            n_features=self.features,
            n_informative=self.informative,
            n_redundant=self.redundant,
            n_repeated=self.repeated,
            n_classes=self.classes,
            n_clusters_per_class=self.clusters_per_class,
            weights=None if self.weights is None else list(self.weights),
            flip_y=self.flip_y,
            class_sep=self.class_sep,
            hypercube=self.hypercube,
            shift=self.shift,
            scale=self.scale,
            random_state=self.seed or 0,
        )
        names = numbered("x", self.features)
        return Data(inputs, labels.astype(np.int64), names, ("class",), digits(self.classes))


@datasets.register
class Regression(Generated):
    """A random linear function of some of the features, plus noise.

    Inputs are [N, features] float64 from N(0, 1), targets [N, targets] float64, no units; draws are
    scikit-learn's with random_state = `seed`. With `scale: max` each column is divided by its largest
    absolute value, which makes the targets as small as a network's first outputs.
    Good for: losses on numbers, where a network without a hidden layer is the right answer.
    Source: scikit-learn's make_regression, jmlr.org/papers/v12/pedregosa11a.html
    """

    name: Literal["regression"] = "regression"
    features: PositiveInt = Field(100, description="numbers per row")
    informative: PositiveInt = Field(
        10, description="features that the targets depend on; all, where there are fewer"
    )
    targets: PositiveInt = Field(1, description="numbers to predict per row")
    bias: float = Field(0.0, description="added to every target, before scaling")
    noise: NonNegativeFloat = Field(
        0.0, description="standard deviation of the noise on the targets, before scaling"
    )
    effective_rank: PositiveInt | None = Field(
        None, description="directions that explain most of the inputs; by default inputs are independent"
    )
    tail_strength: Fraction = Field(
        0.5, description="weight of the other directions, where effective_rank is given"
    )
    scale: Literal["none", "max"] = Field(
        "none", description="max divides each feature and target by its largest absolute value"
    )

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=self.rows, inputs=self.features, classes=None, targets=self.targets)

    def load(self) -> Data:
        from sklearn.datasets import make_regression

        inputs, targets = make_regression(
            n_samples=self.rows,
            n_features=self.features,
            n_informative=self.informative,
            n_targets=self.targets,
            bias=self.bias,
            noise=self.noise,
            effective_rank=self.effective_rank,
            tail_strength=self.tail_strength,
            random_state=self.seed or 0,
        )
        targets = targets.reshape(self.rows, self.targets)
        if self.scale == "max":
            inputs, targets = _by_maximum(inputs), _by_maximum(targets)
        return Data(inputs, targets, numbered("x", self.features), self._target_names())

    def _target_names(self) -> tuple[str, ...]:
        return ("y",) if self.targets == 1 else numbered("y", self.targets)


def _by_maximum(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, D] with every column in [-1, 1]; a column of zeros stays as it is."""
    largest = np.abs(columns).max(axis=0)
    return columns / np.where(largest > 0, largest, 1.0)
