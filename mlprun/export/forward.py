"""What a program computes, once for all formats that record tensor operations: ONNX graphs and torch.export.

`answers` writes it with the operations of an `Ops`, whose values are named nodes of a graph or tensors; they
understand the signs + - * / < > with one another and with numbers.
"""

from __future__ import annotations

import math
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mlprun.export.program import (
    EPS,
    Activation,
    BatchNorm,
    Code,
    DatePart,
    Embedding,
    Fill,
    Function,
    IsMissing,
    LayerNorm,
    Linear,
    Lookup,
    OneHot,
    Quantile,
    Recurrent,
    Residual,
    Scale,
)
from mlprun.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlprun.export.program import ActivationFunction, CellStep, Feature, Layer, Program
    from mlprun.parts.data import Array, Floats

SELU = (1.0507009873554804934193349852946, 1.6732632423543772848170429916717)
"""scale and alpha of SELU, as in PyTorch"""


class Ops(Protocol):
    """Operations on values [N, K] of float64, float32 or int64."""

    def cells(self, columns: Sequence[int]) -> Any:
        """[N, K] the raw numbers of these columns side by side; [N, 1] those of a single text."""

    def code(self, column: int, step: Code) -> Any:
        """[N, 1] int64 the codes of the texts of a column."""

    def constant(self, values: Array | float, name: str = "") -> Any:
        """An array, or a number of float64, that does not change."""

    def call(self, function: str, *values: Any) -> Any:
        """A function of each number, or of each row: mean (which keeps its axis), softmax, sort and argmax.

        Those of numbers are exp, log, log1p, expm1, sqrt, tanh, logistic, relu, erf, floor, isnan, equal,
        maximum, minimum and where; `search` is the place of the last of some rising numbers [Q] that a number
        reaches, or 0. Plain numbers may follow the first value.
        """

    def cast(self, value: Any, dtype: str) -> Any:
        """The numbers in another type."""

    def concatenate(self, values: Sequence[Any]) -> Any:
        """[N, K] one or several values side by side."""

    def columns(self, value: Any, start: int, stop: int) -> Any:
        """[N, stop - start] some columns of a value."""

    def take(self, table: Any, index: Any, width: int) -> Any:
        """[N, width] for each index of [N, T] its row of a table [R, C], side by side."""

    def linear(self, value: Any, layer: Linear) -> Any:
        """[N, K] a linear layer."""


def answers(program: Program, ops: Ops) -> list[Any]:
    """What the program answers for the raw cells that `ops` has: values [N, K] as `Answers.columns` names.

    In front of them are the ids of classes [N, 1], or labels [N, K].
    """
    inputs = ops.concatenate(list(_Features(program, ops).values()))
    if program.columns[0].type != "symbol":
        inputs = ops.cast(inputs, program.dtype)
        inputs = inputs + (inputs - inputs)  # NaN where a number is infinite, which is refused elsewhere
    outputs = _activation(ops, program.output_activation, _network(program, ops, inputs))
    return _outcome(program, ops, outputs)


def raw_columns(program: Program, rows: Sequence[Sequence[Any]]) -> dict[str, Array]:
    """[N] the cells of each column by name: a missing number is NaN, a missing text is empty."""
    cells = zip(*rows, strict=True)
    dtypes = {"text": object, "symbol": np.int64}
    return {
        column.name: np.array(
            ["" if cell is None else cell for cell in own], dtypes.get(column.type, np.float64)
        )
        for column, own in zip(program.columns, cells, strict=True)
    }


def predicted_rows(answers: Sequence[Array]) -> list[list[Any]]:
    """Answers, arrays of N rows, as `mlprun predict` writes them."""
    parts = (one.reshape(len(one), -1).tolist() for one in answers)
    return [list(chain.from_iterable(row)) for row in zip(*parts, strict=True)]


def metadata(program: Program) -> dict[str, Any]:
    """What a file tells of the run and of its answers, as JSON values."""
    answers = {"answers": program.answers.columns, "classes": program.answers.classes}
    run = {name: getattr(program, name) for name in ("epoch", "config", "metrics")}
    return {"version": __version__, "run": program.name, **answers, **run}


# --- preprocessing

_TOGETHER = (Fill, IsMissing, Scale)
"""steps of numbers that columns can pass side by side"""


class _Features:
    """The network's inputs as float64 values of one or more columns; steps that they share are taken once."""

    def __init__(self, program: Program, ops: Ops) -> None:
        self.program, self.ops = program, ops
        self.known: dict[tuple[int, ...], Any] = {}
        self.calendars: dict[tuple[int, ...], dict[str, Any]] = {}

    def values(self) -> Iterator[Any]:
        """Values in the order of the network's inputs."""
        for key, group in groupby(self.program.features, self._steps_together):
            if key is None:
                yield from map(self._alone, group)
                continue
            features = list(group)
            value = self.ops.cells([feature.column for feature in features])
            for steps in zip(*(feature.steps for feature in features), strict=True):
                fields = (np.array(field) for field in zip(*steps, strict=True))
                value = _number(self.ops, value, type(steps[0])(*fields))
            yield value

    def _steps_together(self, feature: Feature) -> list[type] | None:
        """The steps that a column of numbers passes beside its neighbours; None if it passes them alone."""
        is_text = self.program.columns[feature.column].type == "text"
        if is_text or not all(isinstance(step, _TOGETHER) for step in feature.steps):
            return None
        return [type(step) for step in feature.steps]

    def _alone(self, feature: Feature) -> Any:
        value = None
        for k, step in enumerate(feature.steps):
            before = (feature.column, *map(id, feature.steps[:k]))  # features of a column share their steps
            here = (*before, id(step))
            if here not in self.known:
                self.known[here] = self._step(before, value, step)
            value = self.known[here]
            if not any(isinstance(one, OneHot | Lookup) for one in feature.steps[k + 1 : k + 2]):
                value = self.ops.cast(value, "float64")
        return value

    def _step(self, before: tuple[int, ...], value: Any, step: CellStep) -> Any:
        """What a step makes of the value after those `before`, or of the cells of a column."""
        column = before[0]
        if isinstance(step, Code):
            return self.ops.code(column, step)
        if self.program.columns[column].type == "text" and value is None:  # it is asked whether it is missing
            return self.ops.code(column, Code({}, other=0, missing=1))
        value = self.ops.cells([column]) if value is None else value
        if not isinstance(step, DatePart):
            return _number(self.ops, value, step)
        if before not in self.calendars:
            self.calendars[before] = _calendar(self.ops, value)
        return _date_part(self.ops, value, self.calendars[before], step)


def _number(ops: Ops, value: Any, step: CellStep) -> Any:
    match step:
        case Fill():
            return ops.call("where", ops.call("isnan", value), ops.constant(step.value), value)
        case IsMissing():
            return ops.cast(ops.call("isnan", value), "float64")
        case Scale():
            mean, scale = map(ops.constant, step)
            return (value - mean) / scale
        case OneHot():
            return ops.cast(ops.call("equal", value, ops.constant(np.arange(step.width))), "float64")
        case Lookup():
            return ops.take(ops.constant(step.rows), value, step.rows.shape[1])
        case Function():
            return _function(ops, value, step.name)
        case Quantile():
            return _quantile(ops, value, np.array(step.quantiles))
    raise AssertionError(step)


def _function(ops: Ops, value: Any, name: str) -> Any:
    if name == "square":
        root = ops.call("maximum", value, 0.0)
        return root * root
    return ops.call(name, value)


def _quantile(ops: Ops, value: Any, quantiles: Floats) -> Any:
    """As `operations.Quantile`."""
    levels = np.linspace(0, 1, len(quantiles))
    upper = _interpolate(ops, value, quantiles, levels)
    lower = _interpolate(ops, value * -1.0, -quantiles[::-1], -levels[::-1])
    found = (upper - lower) * 0.5
    for end, level in ((-1, 1.0), (0, 0.0)):
        at_end = ops.call("equal", value, float(quantiles[end]))
        found = ops.call("where", at_end, ops.constant(level), found)
    return found


def _interpolate(ops: Ops, value: Any, known: Floats, values: Floats) -> Any:
    """As np.interp, for a value [N, K] that is not missing."""
    value = _clip(ops, value, float(known[0]), float(known[-1]))
    steps = np.diff(known)
    slopes = np.append(np.divide(np.diff(values), steps, out=np.zeros_like(steps), where=steps > 0), 0.0)
    index = ops.call("search", value, ops.constant(known))
    start, slope, at = (_looked_up(ops, one, index) for one in (values, slopes, known))
    return slope * (value - at) + start


def _looked_up(ops: Ops, numbers: Floats, index: Any) -> Any:
    return ops.take(ops.constant(numbers[:, None]), index, 1)


def _calendar(ops: Ops, value: Any) -> dict[str, Any]:
    """Year, month and day of the year and of the week, the last three from 0, of days since 1970-01-01.

    Years begin in March, so that the leap day is the last: Hinnant (2014), days_from_civil,
    howardhinnant.github.io/date_algorithms.html
    """

    def floor(number: Any) -> Any:
        return ops.call("floor", number)

    def is_one(condition: Any) -> Any:
        return ops.cast(condition, "float64")

    days = floor(ops.call("where", ops.call("isnan", value), ops.constant(0.0), value))
    from_monday = days + 3.0
    since = days + 719468.0  # since 0000-03-01
    era = floor(since / 146097.0)
    day = since - era * 146097.0
    year = floor((day - floor(day / 1460.0) + floor(day / 36524.0) - floor(day / 146096.0)) / 365.0)
    day = day - year * 365.0 - floor(year / 4.0) + floor(year / 100.0)  # of the year from March
    month = floor((day * 5.0 + 2.0) / 153.0)
    month = month + 2.0 - is_one(month > 9.5) * 12.0
    year = year + era * 400.0 + is_one(month < 1.5)
    former = year - 1.0
    start = former * 365.0 + floor(former / 4.0) - floor(former / 100.0) + floor(former / 400.0) - 719162.0
    weekday = from_monday - floor(from_monday / 7.0) * 7.0
    return {"year": year, "month": month, "day of year": days - start, "weekday": weekday}


def _date_part(ops: Ops, value: Any, calendar: Mapping[str, Any], step: DatePart) -> Any:
    if step.part == "days":
        return value - step.first
    if step.part == "year":
        return calendar["year"]
    part, name = step.part.rsplit(" ", 1)
    period = {"month": 12, "weekday": 7, "day of year": 365.25}[part]
    angles = 2 * np.pi * (np.arange(math.ceil(period)) / period)
    table = (np.sin if name == "sin" else np.cos)(angles)
    return _looked_up(ops, table, ops.cast(calendar[part], "int64"))


# --- the network


def _network(program: Program, ops: Ops, value: Any) -> Any:
    """[N, K] the outputs before the output activation."""
    given: list[Any] = []
    for layer, width in zip(program.layers, program.widths, strict=False):
        given.append(value)
        match layer:
            case Residual():
                value = given[layer.of] + value
            case Recurrent():
                value = _unrolled(ops, value, layer, width)
            case Embedding():
                table = ops.constant(layer.weight, "embedding.weight")
                value = ops.take(table, value, width * layer.weight.shape[1])
            case _:
                value = _layer(ops, value, layer)
    return value


def _layer(ops: Ops, value: Any, layer: Layer) -> Any:
    match layer:
        case Linear():
            return ops.linear(value, layer)
        case BatchNorm():
            variance = layer.variance.astype(np.float64) + EPS
            scale = (layer.weight / np.sqrt(variance)).astype(layer.weight.dtype)
            mean, factor, bias = map(ops.constant, (layer.mean, scale, layer.bias))
            return (value - mean) * factor + bias
        case LayerNorm():
            centred = value - ops.call("mean", value)
            scaled = centred / ops.call("sqrt", ops.call("mean", centred * centred) + EPS)
            return scaled * ops.constant(layer.weight) + ops.constant(layer.bias)
        case Activation():
            return _sum(ops, layer, value)
    raise AssertionError(layer)


def _sum(ops: Ops, layer: Activation, value: Any) -> Any:
    first, *others = (_activation(ops, one, value) for one in layer.functions)
    for other in others:
        first = first + other
    return first


def _unrolled(ops: Ops, value: Any, layer: Recurrent, total: int) -> Any:
    """The last state; the first one is 0, of which `hidden` leaves its bias."""
    width = layer.input.weight.shape[1]
    state: Any = None
    for start in range(0, total, width):
        step = ops.linear(ops.columns(value, start, start + width), layer.input)
        if state is not None:
            step = step + ops.linear(state, layer.hidden)
        elif layer.hidden.bias is not None:
            step = step + ops.constant(layer.hidden.bias, f"{layer.hidden.name}.bias")
        state = _sum(ops, layer.activation, step)
    return state


def _activation(ops: Ops, function: ActivationFunction, value: Any) -> Any:
    return ACTIVATIONS[function.name](ops, value, **function.options)


def _clip(ops: Ops, x: Any, low: float, high: float) -> Any:
    return ops.call("minimum", ops.call("maximum", x, low), high)


def _elu(ops: Ops, x: Any, alpha: float) -> Any:
    return ops.call("maximum", x, 0.0) + ops.call("expm1", ops.call("minimum", x, 0.0)) * alpha


def _gelu(ops: Ops, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
        return x * 0.5 * (ops.call("tanh", inner) + 1.0)
    return x * 0.5 * (ops.call("erf", x * math.sqrt(0.5)) + 1.0)


def _softplus(ops: Ops, x: Any, beta: float, threshold: float) -> Any:
    scaled = x * beta
    small = ops.call("minimum", scaled, threshold)
    found = ops.call("log1p", ops.call("exp", small)) / beta
    return ops.call("where", scaled > threshold, x, found)


ACTIVATIONS: Mapping[str, Callable[..., Any]] = {
    "softmax": lambda ops, x: ops.call("softmax", x),
    "exp": lambda ops, x: ops.call("exp", x),
    "relu": lambda ops, x: ops.call("relu", x),
    "leaky_relu": lambda ops, x, slope: ops.call("maximum", x, 0.0) + ops.call("minimum", x, 0.0) * slope,
    "elu": _elu,
    "selu": lambda ops, x: _elu(ops, x, SELU[1]) * SELU[0],
    "gelu": _gelu,
    "softplus": _softplus,
    "swish": lambda ops, x, beta: x * ops.call("logistic", x * beta),
    "mish": lambda ops, x: x * ops.call("tanh", _softplus(ops, x, 1.0, 20.0)),
    "identity": lambda ops, x: x,
    "logistic": lambda ops, x: ops.call("logistic", x),
    "tanh": lambda ops, x: ops.call("tanh", x),
    "hard_logistic": lambda ops, x, slope, offset: _clip(ops, x * slope + offset, 0.0, 1.0),
    "hard_tanh": lambda ops, x: _clip(ops, x, -1.0, 1.0),
}


# --- answers


def _outcome(program: Program, ops: Ops, outputs: Any) -> list[Any]:
    found, width = program.answers, program.widths[-1]
    if found.kind == "numbers":
        return [_numbers(program, ops, ops.cast(outputs, "float64"))]
    if found.threshold is None:
        ids = ops.call("argmax", outputs)
    else:
        first = 0 if found.kind == "labels" else width - 1
        scores = ops.columns(outputs, first, width)
        ids = ops.cast(scores > found.threshold, "int64")
    if found.kind == "classes" and found.probabilistic and width == 1:
        outputs = ops.concatenate([outputs * -1.0 + 1.0, outputs])
    return [ids, outputs]


def _numbers(program: Program, ops: Ops, outputs: Any) -> Any:
    """[N, K] targets in the user's units; of quantiles sorted ones, which do not cross."""
    values, found = [], program.answers
    for k, target in enumerate(found.targets * (len(found.levels) or 1)):
        own = ops.columns(outputs, k, k + 1) * target.scale + target.mean
        for step in target.inverses:
            own = _inverse(ops, own, step)
        values.append(own)
    every = ops.concatenate(values)
    return ops.call("sort", every) if found.levels else every


def _inverse(ops: Ops, value: Any, step: Function | Quantile) -> Any:
    if isinstance(step, Function):
        return _function(ops, value, step.name)
    quantiles = np.array(step.quantiles)
    return _interpolate(ops, value, np.linspace(0, 1, len(quantiles)), quantiles)
