"""What a trained model computes, from raw cells to answers, as plain data: every export is generated from it.

A cell of a raw column passes the steps of each `Feature` that is made of it. The numbers of all features, in
their order and rounded to `dtype`, pass the layers and the output activation; `Answers` says what the outputs
then mean. Everything else is float64.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from mlprun.errors import UsageError
from mlprun.evaluation.model import output_columns
from mlprun.parts import operations
from mlprun.parts.activations import Identity, each
from mlprun.parts.architectures import Mlp, Rnn
from mlprun.parts.data import Cells
from mlprun.parts.metrics import EVEN
from mlprun.schema import dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.engines.contract import Arrays
    from mlprun.evaluation import TrainedModel
    from mlprun.experiment.preprocessing import Preprocessing
    from mlprun.parts import activations
    from mlprun.parts.data import Array, CellType, Floats, Names, Operation
    from mlprun.parts.part import CategoryTable

EPS = 1e-5
"""what norms add to a variance, as in PyTorch"""


# --- steps of a cell


class Fill(NamedTuple):
    """A missing number becomes `value`."""

    value: float


class IsMissing(NamedTuple):
    """A cell becomes 1 where it is missing, otherwise 0."""


class Code(NamedTuple):
    """A text becomes its code, or `other` if it has none, and a missing cell becomes `missing`.

    Codes count from 0; -1 stands for no category. A missing cell is refused where `missing` is None.
    """

    codes: Mapping[str, int]
    other: int
    missing: int | None


class OneHot(NamedTuple):
    """A code becomes `width` numbers: 1 at its position, 0 elsewhere; all 0 for -1."""

    width: int


class Lookup(NamedTuple):
    """A code becomes its row of `rows` [R, C]."""

    rows: Floats


class DatePart(NamedTuple):
    """A date, in days since 1970-01-01, becomes a number.

    `part` is year, days (since the date `first`), or sin or cos of month, weekday or day of year, such as
    `month sin`: of 2π times (month - 1) / 12, the weekday from Monday / 7, (day of the year - 1) / 365.25.
    The day is the number rounded down; `days` keeps its fraction.
    """

    part: str
    first: float


class Function(NamedTuple):
    """A number becomes `name` of it: log, log1p, sqrt, or for targets their inverses exp, expm1, square.

    The square of a number below 0 is 0.
    """

    name: str


class Quantile(NamedTuple):
    """A number becomes its quantile, see `operations.Quantile`; of targets, a quantile the number there.

    `quantiles` are those at evenly spaced levels from 0 to 1.
    """

    quantiles: tuple[float, ...]


class Scale(NamedTuple):
    """A number becomes (number - mean) / scale."""

    mean: float
    scale: float


CellStep: TypeAlias = Fill | IsMissing | Code | OneHot | Lookup | DatePart | Function | Quantile | Scale


class Column(NamedTuple):
    """A raw column. Cells of `text` are texts, others numbers; a `symbol` is a whole number from 0.

    Cells may be missing only if it is `imputed`.
    """

    name: str
    type: CellType
    imputed: bool


class Feature(NamedTuple):
    """One or several inputs of the network, by their `names`, made of the cell of a column.

    An input that is not finite in `dtype` is refused: the cell was missing, too large, or out of a domain.
    """

    names: Names
    column: int
    steps: tuple[CellStep, ...]


# --- layers


class Linear(NamedTuple):
    """x becomes weight x + bias: D numbers become K."""

    name: str
    weight: Array
    """[K, D]"""
    bias: Array | None
    """[K]"""


class Embedding(NamedTuple):
    """T symbols become T * dim numbers: the rows of `weight` [V, dim] one after the other."""

    weight: Array


class BatchNorm(NamedTuple):
    """x becomes (x - mean) / sqrt(variance + EPS) * weight + bias, all [H]."""

    mean: Array
    variance: Array
    weight: Array
    bias: Array


class LayerNorm(NamedTuple):
    """As `BatchNorm`, with the mean and the variance (divided by H) of the numbers themselves."""

    weight: Array
    bias: Array


class ActivationFunction(NamedTuple):
    """An activation by its first name in `mlprun list activations`, with all its options."""

    name: str
    options: Mapping[str, Any]


class Activation(NamedTuple):
    """The sum of some functions of the same numbers, usually of one."""

    functions: tuple[ActivationFunction, ...]


class Residual(NamedTuple):
    """Adds what the layer at the index `of` was given."""

    of: int


class Recurrent(NamedTuple):
    """T steps of D numbers become the last of T states of H: from 0, activation(input(x) + hidden(state))."""

    input: Linear
    hidden: Linear
    activation: Activation


Layer: TypeAlias = Linear | Embedding | BatchNorm | LayerNorm | Activation | Residual | Recurrent


# --- answers


class Target(NamedTuple):
    """A target that is a number: an output times `scale` plus `mean`, then the functions in their order."""

    name: str
    mean: float
    scale: float
    inverses: tuple[Function | Quantile, ...]


@dataclass(frozen=True)
class Answers:
    """What K outputs mean.

    classes: Probabilities of classes, or scores if not `probabilistic`. Class 1 of two is predicted where the
    last output exceeds `threshold`; with `threshold` None it is the class of the largest output.
    labels: The probabilities of the `targets`, each of which is predicted above `threshold`.
    numbers: Each of the `targets` made of an output; with `levels` quantiles of the only one, to be sorted.
    """

    kind: Literal["classes", "labels", "numbers"]
    columns: Names
    """of `mlprun predict`, behind the class or the labels; of a single probability p those of 1 - p and p"""
    classes: Names
    targets: tuple[Target, ...]
    threshold: float | None
    levels: tuple[float, ...]
    probabilistic: bool


@dataclass(frozen=True)
class Program:
    """A trained model as plain data. Make one with `program_of`."""

    name: str
    """of the run"""
    epoch: int
    dtype: Literal["float32", "float64"]
    """of the network; its inputs are rounded to it"""
    columns: tuple[Column, ...]
    features: tuple[Feature, ...]
    layers: tuple[Layer, ...]
    output_activation: ActivationFunction
    answers: Answers
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]

    @property
    def inputs(self) -> int:
        """The number of the network's inputs."""
        return sum(len(feature.names) for feature in self.features)

    @property
    def widths(self) -> list[int]:
        """How many numbers the first layer is given, and each layer returns."""
        found = [self.inputs]
        for layer in self.layers:
            match layer:
                case Linear():
                    found.append(len(layer.weight))
                case Embedding():
                    found.append(found[-1] * layer.weight.shape[1])
                case Recurrent():
                    found.append(len(layer.hidden.weight))
                case _:
                    found.append(found[-1])
        return found


def program_of(
    model: TrainedModel, *, name: str | None = None, metrics: Mapping[str, Any] | None = None
) -> Program:
    """Return what a trained model computes; the temperature is in the weights of its last layer.

    `name` is the run's (default: the config's), `metrics` are those that the export shall mention. Raises
    UsageError for user code, which cannot be written in another language.
    """
    config, preprocessing = model.config, model.preprocessing
    architecture = config.architecture
    if not architecture.is_built_in or not isinstance(architecture, Mlp | Rnn):
        what = "the network contains user code (architecture or activation)"
        raise UsageError(model.where, what, "only built-in parts can be exported")
    assert architecture.output_activation is not None
    activation = _function(architecture.output_activation)
    if activation.name == "log_softmax":  # predictions are of its exponential
        activation = activation._replace(name="softmax")
    layers = _mlp_layers if isinstance(architecture, Mlp) else _rnn_layers
    return Program(
        name=name or config.name or "model",
        epoch=model.epoch,
        dtype=config.training.dtype,
        columns=tuple(
            Column(one.name, one.type, one.name in preprocessing.imputed) for one in preprocessing.inputs
        ),
        features=_features(preprocessing),
        layers=tuple(
            layers(architecture, _without_tables(model.calibrated, preprocessing.tables))  # type: ignore[arg-type]
        ),
        output_activation=activation,
        answers=_answers(model),
        config=dump(config, os.path.dirname(model.where)),
        metrics=metrics or {},
    )


# --- what becomes of cells


@dataclass(frozen=True)
class _Chain:
    """The steps that a raw column has passed, and operations on texts that end in an encoder."""

    column: int
    steps: tuple[CellStep, ...] = ()
    texts: tuple[tuple[type[Operation], Sequence[Any]], ...] = ()

    def then(self, *steps: CellStep) -> _Chain:
        if self.texts or (self.steps and isinstance(self.steps[-1], OneHot | Lookup)):
            what = "the operations of its preprocessing are in an unknown order"
            raise UsageError("checkpoint", what, "only checkpoints of mlprun can be exported")
        return replace(self, steps=(*self.steps, *steps))

    def encoded(self, operation: Operation, fitted: Sequence[Any], *, imputed: bool) -> _Chain:
        """With the steps of an encoder, into which former operations on the texts are merged."""
        every = [fitted[0], *(own[0] for _, own in self.texts)]
        texts = tuple(
            dict.fromkeys(text for one in every for text in ((one,) if isinstance(one, str) else one))
        )
        unknown = "".join(texts) + "?"
        cells = Cells(np.array([*range(len(texts) + 1), np.nan]), (*texts, unknown))
        for kind, own in self.texts:
            cells = kind.cells(cells, *own)
        positions = cells.positions(fitted[0])
        rows: CellStep | None = None
        match operation:
            case operations.OneHot() | operations.Embed():
                rows = OneHot(len(fitted[0]))
            case operations.TargetEncode():
                positions = positions % (len(fitted[0]) + 1)  # other texts have the last row
                rows = Lookup(np.array([*fitted[1], fitted[2]]))
        *codes, other, missing = positions.tolist()
        known = sorted((code, text) for text, code in zip(texts, codes, strict=True) if code != other)
        code = Code({text: number for number, text in known}, other, missing if imputed else None)
        return replace(self, texts=()).then(code, *(() if rows is None else (rows,)))


def _features(preprocessing: Preprocessing) -> tuple[Feature, ...]:
    chains = {column.name: _Chain(k) for k, column in enumerate(preprocessing.inputs)}
    for operation in preprocessing.input_operations:
        entries = {name: fitted for name, *fitted in operation.per_column()}
        former, chains = chains, {}
        for name, chain in former.items():
            if name not in entries:
                chains[name] = chain
            elif isinstance(operation, operations.Encoder):
                imputed = preprocessing.inputs[chain.column].name in preprocessing.imputed
                chains[name] = chain.encoded(operation, entries[name], imputed=imputed)
            else:
                chains |= _followed(operation, name, chain, entries[name])
    names = {name: trace.names for name, trace in preprocessing.traces.items()}
    embedded = (one for one in preprocessing.input_operations if isinstance(one, operations.Embed))
    names |= {name: tuple(f"{name}={text}" for text in known)
              for one in embedded for name, known, _ in one.per_column()}  # fmt: skip
    return tuple(Feature(names[name], one.column, one.steps) for name, one in chains.items())


def _followed(operation: Operation, name: str, chain: _Chain, fitted: Sequence[Any]) -> dict[str, _Chain]:
    """What a chain becomes by an operation that is no encoder, by name."""
    match operation:
        case operations.Indicator():
            return {name: chain, f"{name} missing": chain.then(IsMissing())}
        case operations.DateParts():
            every = operation.replaced(name, Cells(np.zeros(0)), *fitted)
            return {one: chain.then(DatePart(one[len(name) + 1 :], *fitted)) for one in every}
        case operations.GroupRare():
            return {name: replace(chain, texts=(*chain.texts, (type(operation), fitted)))}
        case operations.Impute() if isinstance(fitted[0], str):
            return {name: replace(chain, texts=(*chain.texts, (type(operation), fitted)))}
        case operations.Impute():
            return {name: chain.then(Fill(*fitted))}
        case operations.Function():
            return {name: chain.then(Function(*fitted))}
        case operations.Quantile():
            return {name: chain.then(Quantile(*fitted))}
        case operations.Scale():
            return {name: chain.then(Scale(*fitted))}
    raise AssertionError(operation.operation)


# --- the network


def _function(activation: activations.Activation) -> ActivationFunction:
    return ActivationFunction(activation.names()[0], activation.model_dump(exclude={"name"}))


def _activation(
    activation: activations.Activation | tuple[activations.Activation, ...] | None,
) -> list[Activation]:
    """The layer of an activation; none for the identity."""
    parts = each(activation or ())
    if len(parts) == 1 and isinstance(parts[0], Identity):
        return []
    return [Activation(tuple(map(_function, parts)))]


def _linear(name: str, model: Arrays) -> Linear:
    return Linear(name, model[f"{name}.weight"], model.get(f"{name}.bias"))


def _without_tables(model: Arrays, tables: Sequence[CategoryTable]) -> Arrays:
    """The parameters of a network that reads codes as one-hot columns: tables are part of its first layer."""
    weight, parts, start, at = model["layers.0.weight"] if tables else None, [], 0, 0
    if weight is None:
        return model
    for number, (position, _, dim) in enumerate(tables):
        numbers = position - start
        table = model[f"embeddings.{number}.weight"]
        parts += [weight[:, at : at + numbers], weight[:, at + numbers : at + numbers + dim] @ table.T]
        start, at = position + 1, at + numbers + dim
    return {**model, "layers.0.weight": np.concatenate([*parts, weight[:, at:]], axis=1)}


def _front(architecture: Mlp | Rnn, model: Arrays) -> Iterator[Layer]:
    if architecture.embedding is not None:
        yield Embedding(model["embedding.weight"])
        yield from _activation(architecture.embedding.activation)


def _mlp_layers(architecture: Mlp, model: Arrays) -> list[Layer]:
    layers = list(_front(architecture, model))
    for k, (layer, skips) in enumerate(zip(architecture.hidden_layers, architecture.skips, strict=True)):
        start, norm = len(layers), f"norms.{k}."
        layers.append(_linear(f"layers.{k}", model))
        affine = [model[norm + name] for name in ("weight", "bias") if layer.norm != "none"]
        if layer.norm == "batch":
            layers.append(BatchNorm(model[norm + "running_mean"], model[norm + "running_var"], *affine))
        elif layer.norm == "layer":
            layers.append(LayerNorm(*affine))
        layers += _activation(layer.activation)
        layers += [Residual(start)] if skips else []
    return [*layers, _linear(architecture.output_layer_name, model)]


def _rnn_layers(architecture: Rnn, model: Arrays) -> list[Layer]:
    activation = Activation(tuple(map(_function, each(architecture.activation))))
    cell = Recurrent(_linear("cell.input", model), _linear("cell.hidden", model), activation)
    return [*_front(architecture, model), cell, _linear(architecture.output_layer_name, model)]


# --- answers


def _answers(model: TrainedModel) -> Answers:
    preprocessing, width = model.preprocessing, model.config.architecture.outputs
    assert width is not None
    none = np.zeros((0, width))
    predictions = model.alone.predictions(none, np.zeros(0, np.int64))
    if predictions.costs is not None:
        what = "predicts the class of the smallest expected cost (threshold.costs), which no format computes"
        raise UsageError(model.where, what, "train without threshold, and weigh the probabilities yourself")
    classes = predictions.classes or ()
    kind: Literal["classes", "labels", "numbers"] = "classes" if classes else "numbers"
    if predictions.multilabel and predictions.probabilistic:
        kind = "labels"
    is_largest = kind == "classes" and width > 1 and not (width == 2 and predictions.threshold != EVEN)
    return Answers(
        kind,
        output_columns(predictions, preprocessing.target_names)[0],
        classes,
        () if classes else _targets(preprocessing),
        None if is_largest or kind == "numbers" else predictions.threshold,
        predictions.levels,
        predictions.probabilistic,
    )


def _targets(preprocessing: Preprocessing) -> tuple[Target, ...]:
    """As `Preprocessing.restore` computes them."""
    inverses: dict[str, tuple[Function | Quantile, ...]] = dict.fromkeys(preprocessing.target_names, ())
    for operation in preprocessing.target_operations:
        for name, *fitted in operation.per_column():
            if isinstance(operation, operations.Function):
                inverses[name] += (Function(operations.INVERSES[fitted[0]]),)
            elif isinstance(operation, operations.Quantile):
                inverses[name] += (Quantile(*fitted),)
    means, scales = preprocessing.target_units
    units = zip(preprocessing.target_names, means.tolist(), scales.tolist(), strict=True)
    return tuple(Target(name, mean, scale, inverses[name]) for name, mean, scale in units)
