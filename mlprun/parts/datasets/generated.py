"""Generated datasets: points in the plane, clusters, bits, sequences and scikit-learn's generators."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from mlprun import randomness
from mlprun.parts import initial_parameters
from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.datasets.dataset import (
    Classes,
    Dataset,
    Generated,
    SampledDataset,
    Sampler,
    datasets,
    digits,
    numbered,
)
from mlprun.parts.part import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Probability
from mlprun.parts.splits import Split
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.parts.data import Floats, Ints
    from mlprun.parts.datasets.dataset import Layout, Rows


Point = Annotated[tuple[float, ...], Field(min_length=1)]


@datasets.register
class Blobs(SampledDataset):
    """Isotropic Gaussian clusters with centres drawn uniformly from a box, one class each.

    Inputs are [N, features] float64, in the box's unit: N(centre, cluster_std^2); rows go to the classes in
    turn and are shuffled. Fresh rows have the same centres.
    Good for: softmax with several classes; easy with few centres, overlapping with many or a large
    `cluster_std`.
    Source: scikit-learn's make_blobs, jmlr.org/papers/v12/pedregosa11a.html
    """

    name: Literal["blobs"] = "blobs"
    features: PositiveInt = Field(2, description="number of features")
    centers: Classes = Field(3, description="number of clusters, one per class")
    cluster_std: NonNegativeFloat = Field(1.0, description="standard deviation of each cluster")
    center_box: tuple[float, float] = Field(
        (-10.0, 10.0), description="lower and upper bound of the coordinates of centres"
    )

    @field_validator("center_box")
    @classmethod
    def _box_has_room(cls, box: tuple[float, float]) -> tuple[float, float]:
        if box[0] >= box[1]:
            raise ValueError(f"the lowest coordinate {box[0]:g} must be below the highest, {box[1]:g}")
        return box

    def layout(self) -> Layout:
        return self.features, digits(self.centers)

    def draw(self, rows: int, sampler: Sampler) -> Rows:
        low, high = self.center_box
        # a stream of their own, so that every way of drawing rows meets the same centres
        places = Sampler(self.seed or 0, Purpose.DATASET, step=1).uniforms(self.centers, self.features)
        labels = sampler.order(rows) % self.centers
        noise = self.cluster_std * sampler.normals(rows, self.features)
        return (low + (high - low) * places)[labels] + noise, labels


@datasets.register
class Gaussians(SampledDataset):
    """One normal distribution per class with given means, covariances and class weights.

    Inputs are [N, D] float64 in the unit of the means; every class has its share of the rows, rounded,
    shuffled.
    Good for: comparing a network with the best possible classifier, which is known here.
    Source: Duda, Hart and Stork (2001), Pattern Classification, section 2.6, ISBN 978-0-471-05669-0
    """

    name: Literal["gaussians"] = "gaussians"
    means: tuple[Point, ...] = Field(
        ((-1.0, -1.0), (1.0, 1.0)), min_length=2, description="mean of each class, D numbers"
    )
    std: PositiveFloat = Field(
        1.0, description="standard deviation in all directions, unless covariances are given"
    )
    covariances: tuple[tuple[Point, ...], ...] | None = Field(
        None, description="covariance matrix of each class, D rows of D numbers, instead of std"
    )
    weights: tuple[PositiveFloat, ...] | None = Field(
        None, description="relative class weights (default: equal)"
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
        classes, size = len(self.means), len(self.means[0])
        for name in ("weights", "covariances"):
            entries = getattr(self, name)
            if entries is not None and len(entries) != classes:
                raise ValueError(
                    f"{name} has {len(entries)} entries; give one for each of the {classes} means"
                )
        for number, matrix in enumerate(self.covariances or (), 1):
            if {len(matrix), *map(len, matrix)} != {size}:
                raise ValueError(f"covariance {number} must have {size} rows of {size} numbers")
            if not _is_covariance(np.array(matrix)):
                raise ValueError(f"covariance {number} is not symmetric and positive definite")
        return self

    def layout(self) -> Layout:
        return len(self.means[0]), digits(len(self.means))

    def draw(self, rows: int, sampler: Sampler) -> Rows:
        labels = self._labels(rows)[sampler.order(rows)]
        noise = sampler.normals(rows, len(self.means[0]))
        if self.covariances is None:
            spread = self.std * noise
        else:
            spread = np.einsum("nij,nj->ni", np.linalg.cholesky(np.array(self.covariances))[labels], noise)
        return np.array(self.means, np.float64)[labels] + spread, labels

    def _labels(self, rows: int) -> Ints:
        """[rows] class ids in ascending order, each class with its rounded share."""
        shares = np.array(self.weights or (1.0,) * len(self.means))
        ends = np.rint(rows * np.cumsum(shares) / shares.sum()).astype(np.int64)
        return np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))


def _is_covariance(matrix: Floats) -> bool:
    """Whether a square matrix is symmetric and positive definite."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return np.array_equal(matrix, matrix.T)


@datasets.register
class Moons(Generated):
    """Two interleaving half circles of radius 1, one class each.

    Inputs are [N, 2] float32 in units of the radius: the outer arc (class 0) has N // 2 rows, the inner one
    the others, evenly spaced, shuffled, then with N(0, noise^2) added. The permutation and then the noise
    are those of a torch generator with `seed` as it is; with `arcs: pytorch`, a script with
    `torch.manual_seed(seed)` draws the same rows.
    Good for: a first decision boundary that is not a line, with a difficulty that `noise` sets.
    Source: scikit-learn's make_moons, jmlr.org/papers/v12/pedregosa11a.html
    """

    name: Literal["moons"] = "moons"
    noise: NonNegativeFloat = Field(
        0.2, description="standard deviation of the noise, in units of the radius"
    )
    arcs: Literal["exact", "pytorch"] = Field(
        "exact",
        description="exact: points of the arcs computed in float64, equal on all platforms; pytorch: by "
        "torch in float32",
    )

    def layout(self) -> Layout:
        return 2, ("outer", "inner")

    def load(self) -> Data:
        return self._data(self.rows, self.seed or 0)

    def fresh(self, count: int, *, epoch: int, step: int) -> Data:
        word = int(randomness.words(self.seed or 0, Purpose.FRESH, 1, epoch=epoch, step=step)[0])
        return self._data(count, word >> 32)  # torch's CPU generator reads 32 bits of a seed

    def _data(self, rows: int, seed: int) -> Data:
        order, noise = _torch_draws(rows, self.noise, seed)
        inputs = _arcs(rows, self.arcs)[order]
        return self.labelled(inputs + noise if self.noise else inputs, (order >= rows // 2).astype(np.int64))


def _torch_draws(rows: int, noise: float, seed: int) -> tuple[Ints, NDArray[np.float32]]:
    """Return a permutation and [rows, 2] noise of a torch generator, without torch where that is known."""
    if 2 * rows <= initial_parameters.MOST_NUMBERS and initial_parameters.matches_torch():
        words = initial_parameters.generator(seed)
        with suppress(NotImplementedError):
            return words.permutation(rows), words.normal((rows, 2), std=noise)
    import torch

    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(rows, generator=generator, device="cpu")
    # dtype and device are named, because a program that uses mlprun may have changed torch's defaults
    drawn = torch.normal(0.0, noise, (rows, 2), generator=generator, dtype=torch.float32, device="cpu")
    return order.numpy(), drawn.numpy()


@lru_cache(maxsize=4)  # a sweep draws noise around the same arcs a thousand times
def _arcs(rows: int, kind: str) -> NDArray[np.float32]:
    """The points without noise, [rows, 2], the outer arc first; not to be changed."""
    half_circle = _half_circle if kind == "exact" else _torch_half_circle
    (x, y), (inner_x, inner_y) = half_circle(rows // 2), half_circle(rows - rows // 2)
    points = np.stack([np.append(x, 1 - inner_x), np.append(y, 0.5 - inner_y)], axis=1)
    return points.astype(np.float32)


def _half_circle(count: int) -> tuple[Floats, Floats]:
    """Return cosines and sines of `count` angles from 0 to pi.

    Taylor series, because libraries differ in the last bit, and sums and products do not.
    """
    x = np.linspace(np.pi / 2, -np.pi / 2, count)  # the cosine of pi/2 - x is the sine of x
    sine = cosine = np.ones(count)
    for n in range(24, 0, -2):
        sine = 1 - x * x / (n * (n + 1)) * sine
        cosine = 1 - x * x / (n * (n - 1)) * cosine
    return x * sine, cosine


def _torch_half_circle(count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import torch

    angles = torch.linspace(0, math.pi, count, dtype=torch.float32, device="cpu")
    return angles.cos().numpy(), angles.sin().numpy()


@datasets.register
class Sequences(Generated):
    """Cyclic counting: row b, time t is symbol (b + t) mod symbols; the target is the symbol at t = length.

    Inputs are [N, length] int64 symbols, the class is the next symbol; nothing is drawn, and by default there
    is one row per symbol.
    Good for: seeing a recurrent network learn, with an embedding in front.
    Source: Trask (2019), Grokking Deep Learning, chapter 13, ISBN 978-1-61729-370-2
    """

    default_split = Split.model_construct(same=True)

    name: Literal["sequences"] = "sequences"
    symbols: Classes = Field(5, description="number of symbols, which are the classes")
    length: Annotated[int, Field(ge=1, le=10_000)] = Field(5, description="symbols per row")

    @property
    def default_samples(self) -> int:
        return self.symbols

    def info(self) -> DatasetInfo:
        largest = min(self.symbols, self.rows + self.length - 1)
        return DatasetInfo(rows=self.rows, inputs=self.length, classes=digits(self.symbols), tokens=largest)

    def load(self) -> Data:
        first = np.arange(self.rows, dtype=np.int64)
        inputs = (first[:, None] + np.arange(self.length)) % self.symbols
        names = tuple(f"t{time}" for time in range(self.length))
        return Data(inputs, (first + self.length) % self.symbols, names, ("next",), digits(self.symbols))


@datasets.register
class Circles(SampledDataset):
    """Two concentric circles, one class each.

    Inputs are [N, 2] float64 in units of the outer radius: N // 2 rows evenly spaced on the outer circle
    (class 0), the others on the inner one, shuffled, then with N(0, noise^2) added.
    Good for: showing that a closed boundary takes at least three hidden units.
    Source: scikit-learn's make_circles, jmlr.org/papers/v12/pedregosa11a.html
    """

    name: Literal["circles"] = "circles"
    noise: NonNegativeFloat = Field(
        0.1, description="standard deviation of the noise, in units of the outer radius"
    )
    factor: Probability = Field(0.5, description="inner radius divided by the outer one")

    def layout(self) -> Layout:
        return 2, ("outer", "inner")

    def draw(self, rows: int, sampler: Sampler) -> Rows:
        outer, inner = rows // 2, rows - rows // 2
        turn = np.concatenate([np.arange(count) / max(count, 1) for count in (outer, inner)])
        labels = np.repeat([0, 1], [outer, inner])
        radius = np.where(labels == 0, 1.0, self.factor)
        order = sampler.order(rows)
        points = _polar(radius, turn)[order]
        return points + self.noise * sampler.normals(rows, 2), labels[order]


@datasets.register
class Spirals(SampledDataset):
    """Intertwined spiral arms around a common centre, one class each.

    Inputs are [N, 2] float64 in units of the outermost radius: rows go to the arms in turn, evenly spaced
    along the radius, shuffled, then with N(0, noise^2) added.
    Good for: what depth and width buy, since the boundary winds; more `turns` are harder.
    Source: Lang and Witbrock (1988), Learning to tell two spirals apart
    """

    name: Literal["spirals"] = "spirals"
    arms: Classes = Field(2, description="number of arms, one per class")
    turns: PositiveFloat = Field(1.0, description="turns of each arm from the centre to its end")
    noise: NonNegativeFloat = Field(
        0.03, description="standard deviation of the noise, in units of the outermost radius"
    )

    def layout(self) -> Layout:
        return 2, digits(self.arms)

    def draw(self, rows: int, sampler: Sampler) -> Rows:
        number = sampler.order(rows)
        labels, along = number % self.arms, number // self.arms
        # half a step off zero: at the very centre all arms would share a point
        radius = (along + 0.5) / np.ceil(rows / self.arms)
        points = _polar(radius, self.turns * radius + labels / self.arms)
        return points + self.noise * sampler.normals(rows, 2), labels


@datasets.register
class Checkerboard(SampledDataset):
    """Uniform points on a square divided into cells of two alternating classes.

    Inputs are [N, 2] float64 in units of half the side, uniform on [-1, 1); noise is added after a point has
    its class.
    Good for: many separate regions, hence for capacity, and for overfitting when there are few rows.
    Source: Ho and Kleinberg (1996), doi.org/10.1109/ICPR.1996.547429
    """

    name: Literal["checkerboard"] = "checkerboard"
    cells: Annotated[int, Field(ge=2)] = Field(4, description="cells along each side of the square")
    noise: NonNegativeFloat = Field(
        0.0, description="standard deviation of the noise, in units of half the side"
    )

    def draw(self, rows: int, sampler: Sampler) -> Rows:
        place = sampler.uniforms(rows, 2)
        labels = np.floor(self.cells * place).astype(np.int64).sum(axis=1) % 2
        return 2 * place - 1 + self.noise * sampler.normals(rows, 2), labels


def _polar(radius: Floats, turn: Floats) -> Floats:
    """[N, 2] points at `radius` and at `turn`, the angle in whole turns."""
    angle = 2 * np.pi * turn
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


Fraction = Annotated[float, Field(ge=0, le=1)]


@datasets.register
class Classification(Generated):
    """Clusters at the corners of a hypercube, with additional redundant, repeated and noise features.

    Inputs are [N, features] float64, no unit, in shuffled order; draws are scikit-learn's with random_state =
    `seed`.
    Good for: seeing what useless and redundant features do; `class_sep` and `flip_y` set the difficulty.
    Source: scikit-learn's make_classification, after Guyon (2003), Design of experiments for the NIPS 2003
    variable selection benchmark
    """

    name: Literal["classification"] = "classification"
    features: PositiveInt = Field(20, description="number of features")
    informative: PositiveInt = Field(2, description="number of informative features")
    redundant: NonNegativeInt = Field(2, description="number of linear combinations of informative features")
    repeated: NonNegativeInt = Field(0, description="number of copies of other features")
    classes: Classes = Field(2, description="number of classes")
    clusters_per_class: PositiveInt = Field(2, description="number of clusters per class")
    weights: tuple[Fraction, ...] | None = Field(
        None, description="class proportions; the last may be omitted (default: equal)"
    )
    flip_y: Fraction = Field(0.01, description="fraction of rows with a random class")
    class_sep: PositiveFloat = Field(1.0, description="half the side length of the hypercube")
    hypercube: bool = Field(
        default=True, description="place clusters at the corners of a hypercube instead of a random polytope"
    )
    shift: float | None = Field(0.0, description="shift of all features; null for a random shift per feature")
    scale: PositiveFloat | None = Field(
        1.0, description="factor of all features; null for a random factor per feature"
    )

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

    def layout(self) -> Layout:
        return self.features, digits(self.classes)

    def load(self) -> Data:
        from sklearn.datasets import make_classification

        inputs, labels = make_classification(**_of_scikit_learn(self))
        return self.labelled(inputs, labels.astype(np.int64))


_COUNTS = ("features", "informative", "redundant", "repeated", "classes", "clusters_per_class", "targets")


def _of_scikit_learn(part: Generated) -> dict[str, Any]:
    """The options of a generator as scikit-learn names them: `n_` in front of numbers of something."""
    own = part.model_dump(mode="json", exclude=set(Generated.model_fields))
    options = {f"n_{name}" if name in _COUNTS else name: value for name, value in own.items()}
    return {**options, "n_samples": part.rows, "random_state": part.seed or 0}


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
    features: PositiveInt = Field(100, description="number of features")
    informative: PositiveInt = Field(
        10, description="number of features that the targets depend on, at most all"
    )
    targets: PositiveInt = Field(1, description="number of targets")
    bias: float = Field(0.0, description="constant added to the targets, before scaling")
    noise: NonNegativeFloat = Field(
        0.0, description="standard deviation of the noise on the targets, before scaling"
    )
    effective_rank: PositiveInt | None = Field(
        None, description="approximate rank of the inputs (default: independent inputs)"
    )
    tail_strength: Fraction = Field(
        0.5, description="weight of the remaining directions if effective_rank is given"
    )
    scale: Literal["none", "max"] = Field(
        "none", description="max divides each feature and target by its largest absolute value"
    )

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=self.rows, inputs=self.features, classes=None, targets=self.targets)

    def load(self) -> Data:
        from sklearn.datasets import make_regression

        options = _of_scikit_learn(self)
        scale = options.pop("scale")
        inputs, targets = make_regression(**options)
        targets = targets.reshape(self.rows, self.targets)
        if scale == "max":
            inputs, targets = _by_maximum(inputs), _by_maximum(targets)
        names = ("y",) if self.targets == 1 else numbered("y", self.targets)
        return Data(inputs, targets, numbered("x", self.features), names)


def _by_maximum(columns: Floats) -> Floats:
    """[N, D] with every column in [-1, 1]; a column of zeros stays as it is."""
    largest = np.abs(columns).max(axis=0)
    return columns / np.where(largest > 0, largest, 1.0)


@datasets.register
class Xor(Dataset):
    """The four rows of exclusive or in the order 00, 01, 10, 11, optionally repeated and with noise.

    Inputs are [4 * repeat, 2] float64, the bits plus N(0, noise^2), no unit; the class is "1" where the bits
    differ.
    Good for: following every number of a training by hand.
    Source: Rumelhart, Hinton and Williams (1986), Parallel Distributed Processing 1, chapter 8
    """

    shuffles = False
    default_split = Split.model_construct(same=True)

    name: Literal["xor"] = "xor"
    repeat: PositiveInt = Field(1, description="number of repetitions of the four rows")
    noise: NonNegativeFloat = Field(0.0, description="standard deviation of the noise on the inputs")
    standardize: bool = Field(
        default=False, description="scale features to mean 0 and variance 1, fitted on train"
    )

    def info(self) -> DatasetInfo:
        return DatasetInfo(rows=4 * self.repeat, inputs=2, classes=digits(2))

    def load(self) -> Data:
        return self._data(4 * self.repeat, Sampler(self.seed or 0, Purpose.DATASET))

    def fresh(self, count: int, *, epoch: int, step: int) -> Data:
        return self._data(count, Sampler(self.seed or 0, Purpose.FRESH, epoch=epoch, step=step))

    def _data(self, rows: int, sampler: Sampler) -> Data:
        number = np.arange(rows) % 4
        first, second = number // 2, number % 2
        inputs = np.column_stack([first, second]) + self.noise * sampler.normals(rows, 2)
        return Data(inputs, first ^ second, numbered("x", 2), ("xor",), digits(2))


@datasets.register
class Parity(SampledDataset):
    """Random bits with noise; the class is 1 if the number of ones is odd.

    Inputs are [N, bits] float64, fair bits plus N(0, noise^2), no unit; class "1" is odd.
    Good for: long plateaus, what a width and a start do; dev and test may be fresh rows at every evaluation.
    Source: Minsky and Papert (1969), Perceptrons, ISBN 978-0-262-63022-1
    """

    name: Literal["parity"] = "parity"
    bits: PositiveInt = Field(2, description="bits per row")
    noise: NonNegativeFloat = Field(0.1, description="standard deviation of the noise on the bits")

    def layout(self) -> Layout:
        return self.bits, digits(2)

    def draw(self, rows: int, sampler: Sampler) -> Rows:
        bits = (sampler.uniforms(rows, self.bits) >= 0.5).astype(np.int64)
        return bits + self.noise * sampler.normals(rows, self.bits), bits.sum(axis=1) % 2
