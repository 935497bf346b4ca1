"""Datasets: options, light info for the checks of a config, raw rows, and random draws."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from mlprun import randomness
from mlprun.parts.data import Data, DatasetInfo
from mlprun.parts.part import Part, PositiveInt, Registry, Seed
from mlprun.parts.splits import Split, SplitField, SplitIndices, divide
from mlprun.randomness import Purpose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from mlprun.parts.data import Array, Floats, Ints, Names

    Layout = tuple[int, Names]
    Rows = tuple[Floats, Ints]


def shortened(warnings: Iterable[str], most: int = 10) -> tuple[str, ...]:
    """The first warnings, and how many more there are: a wide table could have thousands."""
    some = tuple(warnings)
    rest = len(some) - most
    return some if rest <= 0 else (*some[:most], f"{rest} more such warnings are not shown")


def _class_name(value: object) -> object:
    """A label as classes are named: yes as it stands, true and 1 as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else repr(value)
    return value


def _read_as(label: str) -> object:
    """What a label reads as: 7 for 007, true for TRUE, itself for others."""
    try:
        return float(label)
    except ValueError:
        return label.lower() if label.lower() in ("true", "false") else label


STANDARDIZE = (
    "scale features and numeric targets to mean 0 and variance 1, fitted on train; targets stay as they are "
    "where the loss reads counts or probabilities"
)


TargetTransform = Literal["log", "log1p", "sqrt", "quantile"]
_DOMAINS = {"log": (0.0, "above 0"), "log1p": (-1.0, "above -1"), "sqrt": (0.0, "from 0")}


def domain_of(function: str) -> str:
    """The numbers that a function is defined for, such as `above 0`."""
    return _DOMAINS[function][1]


def outside_domain(function: str, values: Floats) -> NDArray[np.bool_]:
    """[N] whether a function, or the transform of a target, is not defined for these numbers."""
    low = _DOMAINS.get(function, (-np.inf,))[0]
    return values < low if function in ("sqrt", "quantile") else values <= low


class Dataset(Part):
    """Base of all datasets. `shuffles`: rows are shuffled (and classes stratified) before a split."""

    stored_if_set: ClassVar[frozenset[str]] = frozenset({"fraction", "target_transform"})
    shuffles: ClassVar[bool] = True
    default_split: ClassVar[Split] = Split.model_construct()  # validation would take time in every command

    split: SplitField | None = Field(None, description="split of the rows into train, dev and test")
    standardize: bool = Field(default=True, description=STANDARDIZE)
    seed: Seed | None = Field(
        None, description="seed for generating and splitting the data (default: training.seed)"
    )
    fraction: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="train on this share of the train rows; smaller shares are part of larger ones"
    )
    positive: Annotated[str, BeforeValidator(_class_name)] | None = Field(
        None,
        description="positive class (class 1) of precision, recall, f1 and similar metrics "
        "(default: the second class, in a table the second by name)",
    )
    target_transform: TargetTransform | None = Field(
        None,
        description="function of numeric targets that the network learns; quantile: the quantile in train, "
        "from 0 to 1. Predictions and metrics are in the user's units",
    )

    @property
    def embedded(self) -> list[str]:
        """The columns whose categories the network embeds."""
        return []

    def unsupported_positive(self, info: DatasetInfo) -> str | None:
        """Why `positive` is no class of these targets, ending in what would work, or None."""
        classes = info.classes or ()
        if self.positive is None or (len(classes) == 2 and self._positive_of(classes)):
            return None
        if len(classes) != 2:
            described = f"{len(classes)} classes" if classes else "numbers"
            return f"is of two classes and these targets are {described}; leave it out"
        return f"there is no class {self.positive[:40]!r}; expected {classes[0]!r} or {classes[1]!r}"

    def _positive_of(self, classes: Iterable[str]) -> str | None:
        """The class that `positive` names as it is written, or else as a number or as true or false."""
        for read in (str, _read_as):
            named = [name for name in classes if read(name) == read(self.positive or "")]
            if self.positive is not None and len(named) == 1:
                return named[0]
        return None

    def with_positive(self, data: Data) -> Data:
        """The rows with `positive` as class 1."""
        if data.classes is None or self._positive_of(data.classes) != data.classes[0]:
            return data
        return replace(data, classes=data.classes[::-1], targets=1 - data.targets)

    def divided(self) -> tuple[Data, SplitIndices]:
        """Load the rows, with `positive` as class 1, and divide them; train is the `fraction` of its rows."""
        assert self.split is not None, "the schema floor spells the split out"
        assert self.seed is not None
        data = self.with_positive(self.load())
        return data, divide(self.split, data, seed=self.seed, fraction=self.fraction)

    def info(self) -> DatasetInfo:
        """What the rows are like, without scikit-learn or torch (a table may be read for it)."""
        raise NotImplementedError

    def load(self) -> Data:
        """The raw rows. `seed` and `samples` are set by then."""
        raise NotImplementedError

    def fresh(self, count: int, *, epoch: int, step: int) -> Data:
        """`count` rows drawn anew, keyed by (seed, FRESH, epoch, step), so that they can be drawn again."""
        raise NotImplementedError

    @property
    def can_draw_fresh(self) -> bool:
        """Whether `fresh` is available."""
        return type(self).fresh is not Dataset.fresh


class Generated(Dataset):
    """Base of the datasets that draw their rows. They shuffle by themselves, so a split slices them."""

    shuffles = False

    samples: PositiveInt | None = Field(
        None, description="number of rows (default: sum of the split's counts)"
    )
    standardize: bool = Field(default=False, description=STANDARDIZE)

    @property
    def default_samples(self) -> int:
        """Rows where neither `samples` nor the split says how many."""
        return 1000

    @property
    def rows(self) -> int:
        """Rows that `load` draws."""
        return self.default_samples if self.samples is None else self.samples

    def layout(self) -> Layout:
        """D, the numbers per row, and the names of the classes in the order of their ids."""
        return 2, digits(2)

    def info(self) -> DatasetInfo:
        columns, classes = self.layout()
        return DatasetInfo(rows=self.rows, inputs=columns, classes=classes)

    def labelled(self, inputs: Array, labels: Ints) -> Data:
        """The rows [N, D] with their class ids [N]."""
        columns, classes = self.layout()
        return Data(inputs, labels, numbered("x", columns), ("class",), classes)


datasets: Registry[Dataset] = Registry("dataset", "datasets")


MOST_CLASSES = (
    10_000  # class names are made for every check of a config: a slip of the pen must not fill the memory
)
Classes = Annotated[int, Field(ge=2, le=MOST_CLASSES)]


class Sampler:
    """Successive draws from the stream (seed, purpose) at (epoch, step)."""

    def __init__(self, seed: int, purpose: Purpose, *, epoch: int = 0, step: int = 0) -> None:
        self._stream, self._at, self._used = (seed, purpose), {"epoch": epoch, "step": step}, 0

    def _draw(self, function: Callable[..., Array], count: int, *, words: int = 1) -> Array:
        """So many numbers, each from `words` words behind those that are used."""
        skip, self._used = self._used, self._used + words * count
        return function(*self._stream, count, skip=skip, **self._at)

    def uniforms(self, *shape: int) -> Floats:
        """Numbers in [0, 1)."""
        return self._draw(randomness.uniforms, math.prod(shape)).reshape(shape)

    def normals(self, *shape: int) -> Floats:
        """Numbers from N(0, 1)."""
        return self._draw(randomness.normals, math.prod(shape), words=2).reshape(shape)

    def order(self, rows: int) -> Ints:
        """A permutation of range(rows)."""
        return self._draw(randomness.order, rows)


def numbered(stem: str, count: int) -> Names:
    """`x1`, `x2`, ...: the names of columns that have no better ones."""
    return tuple(f"{stem}{number}" for number in range(1, count + 1))


def digits(count: int) -> Names:
    """`0`, `1`, ...: the names of classes that have no better ones."""
    return tuple(str(number) for number in range(count))


class SampledDataset(Generated):
    """Base of the datasets whose rows and fresh rows follow one recipe, `draw`."""

    def draw(self, rows: int, sampler: Sampler) -> Rows:
        """Inputs [rows, D] and class ids [rows], in the order of a shuffled dataset."""
        raise NotImplementedError

    def load(self) -> Data:
        return self.labelled(*self.draw(self.rows, Sampler(self.seed or 0, Purpose.DATASET)))

    def fresh(self, count: int, *, epoch: int, step: int) -> Data:
        sampler = Sampler(self.seed or 0, Purpose.FRESH, epoch=epoch, step=step)
        return self.labelled(*self.draw(count, sampler))
