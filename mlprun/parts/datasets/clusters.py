"""Clouds of normally distributed points: `blobs` around drawn centres, `gaussians` around given ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from mlprun.parts.datasets.dataset import datasets
from mlprun.parts.datasets.draws import Classes, SampledDataset, Sampler, digits
from mlprun.parts.part import NonNegativeFloat, PositiveFloat, PositiveInt
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point = Annotated[tuple[float, ...], Field(min_length=1)]


@datasets.register
class Blobs(SampledDataset):
    """Round clouds of points around centres that are drawn uniformly from a box, one class each.

    Inputs are [N, features] float64, in the box's unit: N(centre, cluster_std^2); rows go to the classes in
    turn and are shuffled. Fresh rows have the same centres.
    Good for: softmax with several classes; easy with few centres, overlapping with many or a large
    `cluster_std`.
    Source: scikit-learn's make_blobs, jmlr.org/papers/v12/pedregosa11a.html
    """

    name: Literal["blobs"] = "blobs"
    features: PositiveInt = Field(2, description="numbers per row")
    centers: Classes = Field(3, description="clouds, which are the classes")
    cluster_std: NonNegativeFloat = Field(1.0, description="standard deviation of each cloud")
    center_box: tuple[float, float] = Field(
        (-10.0, 10.0), description="lowest and highest coordinate of a centre"
    )

    @field_validator("center_box")
    @classmethod
    def _box_has_room(cls, box: tuple[float, float]) -> tuple[float, float]:
        if box[0] >= box[1]:
            raise ValueError(f"the lowest coordinate {box[0]:g} must be below the highest, {box[1]:g}")
        return box

    @property
    def columns(self) -> int:
        return self.features

    @property
    def class_names(self) -> tuple[str, ...]:
        return digits(self.centers)

    def draw(self, rows: int, sampler: Sampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        low, high = self.center_box
        # a stream of their own, so that every way of drawing rows meets the same centres
        places = Sampler(self.seed or 0, Purpose.DATASET, step=1).uniforms(self.centers, self.features)
        labels = sampler.order(rows) % self.centers
        noise = self.cluster_std * sampler.normals(rows, self.features)
        return (low + (high - low) * places)[labels] + noise, labels


@datasets.register
class Gaussians(SampledDataset):
    """One normal distribution per class, with the means, covariances and class shares that are given.

    Inputs are [N, D] float64 in the unit of the means; every class has its share of the rows, rounded,
    shuffled.
    Good for: comparing a network with the best possible classifier, which is known here.
    Source: Duda, Hart and Stork (2001), Pattern Classification, section 2.6, ISBN 978-0-471-05669-0
    """

    name: Literal["gaussians"] = "gaussians"
    means: tuple[Point, ...] = Field(
        ((-1.0, -1.0), (1.0, 1.0)), min_length=2, description="the mean of each class, D numbers"
    )
    std: PositiveFloat = Field(
        1.0, description="standard deviation in every direction, where covariances are not given"
    )
    covariances: tuple[tuple[Point, ...], ...] | None = Field(
        None, description="the covariance of each class, D rows of D numbers, instead of std"
    )
    weights: tuple[PositiveFloat, ...] | None = Field(
        None, description="the share of each class in any unit; by default equal"
    )

    @field_validator("means")
    @classmethod
    def _means_are_of_one_length(cls, means: tuple[Point, ...]) -> tuple[Point, ...]:
        for number, mean in enumerate(means, 1):
            if len(mean) != len(means[0]):
                raise ValueError(
                    f"mean {number} has length {len(mean)}, but mean 1 has length {len(means[0])}"
                )
        return means

    @model_validator(mode="after")
    def _every_class_is_described(self) -> Gaussians:
        classes = len(self.means)
        if self.weights is not None and len(self.weights) != classes:
            raise ValueError(
                f"weights has {len(self.weights)} numbers; give one for each of the {classes} means"
            )
        if self.covariances is None:
            return self
        if len(self.covariances) != classes:
            raise ValueError(
                f"covariances has {len(self.covariances)} matrices; give one for each of the {classes} means"
            )
        for number, matrix in enumerate(self.covariances, 1):
            self._check_covariance(number, matrix)
        return self

    def _check_covariance(self, number: int, matrix: tuple[Point, ...]) -> None:
        size = self.columns
        if len(matrix) != size or any(len(row) != size for row in matrix):
            raise ValueError(f"covariance {number} must have {size} rows of {size} numbers, like the means")
        values = np.array(matrix)
        if not np.array_equal(values, values.T):
            raise ValueError(
                f"covariance {number} is not symmetric; numbers mirrored at the diagonal must be equal"
            )
        try:
            np.linalg.cholesky(values)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"covariance {number} is not positive definite; use larger numbers on the diagonal"
            ) from None

    @property
    def columns(self) -> int:
        return len(self.means[0])

    @property
    def class_names(self) -> tuple[str, ...]:
        return digits(len(self.means))

    def draw(self, rows: int, sampler: Sampler) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        labels = self._labels(rows)[sampler.order(rows)]
        noise = sampler.normals(rows, self.columns)
        if self.covariances is None:
            spread = self.std * noise
        else:
            spread = np.einsum("nij,nj->ni", np.linalg.cholesky(np.array(self.covariances))[labels], noise)
        return np.array(self.means, np.float64)[labels] + spread, labels

    def _labels(self, rows: int) -> NDArray[np.int64]:
        """[rows] class ids in ascending order, each class with its rounded share."""
        shares = np.array(self.weights or (1.0,) * len(self.means))
        ends = np.rint(rows * np.cumsum(shares) / shares.sum()).astype(np.int64)
        return np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))
