"""ONNX: raw rows in, answers out, as a graph of standard operations that is built with onnx.helper.

Every raw column is an input [N, 1] and every answer an output, with N left open. Version 17 of the operators
and 3 of those of ai.onnx.ml are used, which IR version 8 holds: what onnxruntime reads since 1.12 (2022).
Numbers are float64 up to the network, which computes in its own type. onnxruntime lacks some operations in
float64 (Erf, Elu, Softplus); they are composed of others in both types.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

from mlprun.errors import UsageError
from mlprun.export import forward
from mlprun.export.check import NotCheckedError
from mlprun.export.program import Code
from mlprun.extras import remedy
from mlprun.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.export.program import Linear, Program
    from mlprun.parts.data import Array

OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 8
MEANINGS = {
    "number": "a number; NaN if missing",
    "date": "days since 1970-01-01, rounded down or with a fraction; NaN if missing",
    "text": "a text; empty if missing",
    "symbol": "a whole number from 0",
}
_NAMES = {
    "isnan": "IsNaN", "maximum": "Max", "minimum": "Min", "argmax": "ArgMax",
    "mean": "ReduceMean",
}  # fmt: skip
"""operators that are not called as in NumPy, in another case"""


def _operator(kind: str, dtype: Any = None) -> Callable[[_Value, Any], _Value]:
    return lambda one, other: one.op(kind, other, dtype=dtype)


@dataclass(frozen=True, eq=False)
class _Value:
    """A named value of the graph."""

    graph: _Graph
    name: str
    dtype: Any

    def op(self, kind: str, *values: Any, **attributes: Any) -> _Value:
        """An operator applied to this and other values, or numbers in its type."""
        return self.graph.op(kind, self, *values, **attributes)

    __add__, __sub__, __mul__, __truediv__ = map(_operator, ("Add", "Sub", "Mul", "Div"))
    __gt__, __lt__ = _operator("Greater", bool), _operator("Less", bool)


@dataclass
class _Graph:
    """Nodes and constants in the making: `forward.Ops`; equal ones are made once."""

    program: Program
    inputs: list[str]
    taken: set[str]
    """names of inputs and outputs"""
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    known: dict[Any, _Value] = field(default_factory=dict)

    def name(self, stem: str) -> str:
        """A name that no value has."""
        name = f"{stem}_{len(self.known)}"
        while name in self.taken:
            name += "_"
        return name

    def op(self, kind: str, *values: Any, dtype: Any = None, domain: str = "", **attributes: Any) -> _Value:
        """The result of a node, of the type of its first value unless `dtype` names another."""
        first = next(value for value in values if isinstance(value, _Value))
        given = [
            value if isinstance(value, _Value) else self.constant(np.asarray(value, first.dtype))
            for value in values
        ]
        key = (kind, *(value.name for value in given), repr(attributes))
        if key not in self.known:
            value = _Value(self, self.name(kind), first.dtype if dtype is None else dtype)
            names = [one.name for one in given]
            outputs = [value.name, *[f"{value.name}_positions"] * (kind == "TopK")]
            self.nodes.append(
                helper.make_node(kind, names, outputs, name=value.name, domain=domain, **attributes)
            )
            self.known[key] = value
        return self.known[key]

    def cells(self, columns: Sequence[int]) -> _Value:
        kind = self.program.columns[columns[0]].type
        dtype = {"symbol": np.int64, "text": str}.get(kind, np.float64)
        return self.concatenate([_Value(self, self.inputs[column], dtype) for column in columns])

    def code(self, column: int, step: Code) -> _Value:
        codes = dict(step.codes)
        codes.setdefault("", step.other if step.missing is None else step.missing)
        table = {"keys_strings": [*codes], "values_int64s": [*codes.values()], "default_int64": step.other}
        return self.op("LabelEncoder", self.cells([column]), dtype=np.int64, domain="ai.onnx.ml", **table)

    def constant(self, values: Array | float, name: str = "") -> _Value:
        values = np.asarray(values)
        key = (values.dtype, values.shape, values.tobytes(), name)
        if key not in self.known:
            unique = name if name and name not in self.taken else self.name("constant")
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), unique))
            self.known[key] = _Value(self, unique, values.dtype)
        return self.known[key]

    def call(self, function: str, *values: Any) -> _Value:
        composed = getattr(self, f"_{function}", None)
        if composed is not None:
            found: _Value = composed(*values)
            return found
        kind = _NAMES.get(function, function.capitalize())
        dtype = bool if function in ("isnan", "equal") else np.int64 if function == "argmax" else None
        axes: dict[str, Any] = {"mean": {"axes": [-1]}, "softmax": {"axis": -1}, "argmax": {"axis": -1}}
        return self.op(kind, *values, dtype=dtype, **axes.get(function, {}))

    def _where(self, condition: _Value, one: _Value, other: _Value) -> _Value:
        return self.op("Where", condition, one, other, dtype=one.dtype)

    def _logistic(self, x: _Value) -> _Value:
        """1 / (1 + exp(-x)): the Sigmoid of onnxruntime has no correct digit far below 0."""
        power = (x * -1.0).op("Exp")
        return self.op("Div", self.constant(np.ones((), x.dtype)), power + 1.0)

    def _log1p(self, x: _Value) -> _Value:
        """The logarithm of 1 + x, times what rounding 1 + x did to x.

        Source: Higham (2002), Accuracy and Stability of Numerical Algorithms, section 1.14.1
        """
        above = x + 1.0
        logarithm = above.op("Log")
        near = self._where(above.op("Equal", 1.0, dtype=bool), x, logarithm * x / (above - 1.0))
        return self._where(x.op("Abs") < 0.5, near, logarithm)

    def _expm1(self, x: _Value) -> _Value:
        """exp(x) - 1, near 0 divided by what rounding exp(x) did to x."""
        power = x.op("Exp")
        near = self._where(power.op("Equal", 1.0, dtype=bool), x, (power - 1.0) * x / power.op("Log"))
        return self._where(x.op("Abs") < 0.5, near, power - 1.0)

    def _erf(self, x: _Value) -> _Value:
        """2x / sqrt(π) times the integral of exp(-(xs)²) over s from 0 to 1, by Gauss-Legendre quadrature.

        With 40 points the error is below 1e-15 for |x| up to 6, where erf is 1.
        """
        points, weights = np.polynomial.legendre.leggauss(40)
        squares = -(((points + 1) / 2) ** 2).astype(x.dtype)
        x = self.call("maximum", self.call("minimum", x, 6.0), -6.0)
        each = self.op("Unsqueeze", x * x, self.constant(np.array([2]))) * self.constant(squares)
        weighted = self.op("Exp", each).op("MatMul", (weights / np.sqrt(np.pi)).reshape(-1, 1))
        return x * self.op("Squeeze", weighted, self.constant(np.array([2])))

    def _sort(self, value: _Value) -> _Value:
        count = self.constant(np.array([self.program.widths[-1]]))
        return self.op("TopK", value, count, axis=-1, largest=0)

    def _search(self, value: _Value, known: _Value) -> _Value:
        """The position of the last of `known` [Q] that is not above a value [N, 1]; 0 where all are."""
        reached = self.cast(self.op("LessOrEqual", known, value, dtype=bool), "int64")
        count = self.op("ReduceSum", reached, self.constant(np.array([-1])))
        return self.call("maximum", count - 1, 0)

    def cast(self, value: _Value, dtype: str) -> _Value:
        kind = np.dtype(dtype)
        if value.dtype == kind:
            return value
        return self.op("Cast", value, dtype=kind, to=helper.np_dtype_to_tensor_dtype(kind))

    def concatenate(self, values: Sequence[_Value]) -> _Value:
        return self.op("Concat", *values, axis=1) if len(values) > 1 else values[0]

    def columns(self, value: _Value, start: int, stop: int) -> _Value:
        return self.op("Slice", value, *(self.constant(np.array([one])) for one in (start, stop, 1)))

    def take(self, table: _Value, index: _Value, width: int) -> _Value:
        return self.op("Reshape", self.op("Gather", table, index), self.constant(np.array([-1, width])))

    def linear(self, value: _Value, layer: Linear) -> _Value:
        weight = self.constant(layer.weight, f"{layer.name}.weight")
        bias = [] if layer.bias is None else [self.constant(layer.bias, f"{layer.name}.bias")]
        return self.op("Gemm", value, weight, *bias, transB=1)

    def texts(self, texts: Sequence[str], index: _Value) -> _Value:
        """[N] the text at each index of [N, 1]."""
        name = self.name("texts")
        self.constants.append(helper.make_tensor(name, TensorProto.STRING, [len(texts)], [*texts]))
        found = self.op("Gather", _Value(self, name, str), index)
        return self.op("Squeeze", found, self.constant(np.array([1])))


def names(program: Program) -> tuple[list[str], list[str]]:
    """The names of inputs, the raw columns, and of outputs: those of ONNX are not empty and differ.

    Outputs are label and probabilities (or scores), labels and probabilities, or the targets.
    """
    answers = program.answers
    scores = "probabilities" if answers.probabilistic else "scores"
    kinds = {"classes": ("label", scores), "labels": ("labels", scores), "numbers": answers.columns}
    found: list[str] = []
    for name in (*(column.name or "column" for column in program.columns), *kinds[answers.kind]):
        own = name
        while own in found:
            own += "_"
        found.append(own)
    return found[: len(program.columns)], found[len(program.columns) :]


def _check_texts(program: Program) -> None:
    """Refuse, with UsageError, a category or class that no text of onnxruntime can be."""
    steps = (step for feature in program.features for step in feature.steps if isinstance(step, Code))
    categories = (text for step in steps for text in step.codes)
    ended = next((text for text in (*program.answers.classes, *categories) if "\0" in text), None)
    if ended is not None:
        what = f"the category or class {ended!r} contains NUL, where a text of onnxruntime ends"
        raise UsageError("--to onnx", what, "choose another format")


def generate(program: Program) -> bytes:
    """The program as an ONNX model, checked with onnx.checker and shape inference."""
    _check_texts(program)
    inputs, outputs = names(program)
    graph = _Graph(program, inputs, {*inputs, *outputs})
    types = {"text": TensorProto.STRING, "symbol": TensorProto.INT64}
    infos, results = [], []
    for name, column in zip(inputs, program.columns, strict=True):
        kind, meaning = types.get(column.type, TensorProto.DOUBLE), MEANINGS[column.type]
        infos.append(helper.make_tensor_value_info(name, kind, ["N", 1], meaning))
    for name, value in zip(outputs, _answers(program, graph), strict=True):
        graph.nodes.append(helper.make_node("Identity", [value.name], [name], name=name))
        dtype = np.dtype(object if value.dtype is str else value.dtype)
        results.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), None))
    made = helper.make_graph(graph.nodes, "mlprun", infos, results, graph.constants)
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS.items()],
        ir_version=IR_VERSION,
        producer_name="mlprun",
        producer_version=__version__,
    )
    helper.set_model_props(
        model, {f"mlprun.{key}": json.dumps(value) for key, value in forward.metadata(program).items()}
    )
    model = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _answers(program: Program, graph: _Graph) -> list[_Value]:
    """The values of the outputs."""
    *ids, scores = forward.answers(program, graph)
    if program.answers.kind == "classes":
        return [graph.texts(program.answers.classes, *ids), scores]
    return (
        [*ids, scores]
        if ids
        else [graph.columns(scores, k, k + 1) for k in range(len(program.answers.columns))]
    )


def run(content: bytes, program: Program, rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The rows of `mlprun predict` for raw cells, by onnxruntime. Raises NotCheckedError without it."""
    if find_spec("onnxruntime") is None:
        raise NotCheckedError(f"onnxruntime is not installed; {remedy(['onnxruntime'])}")
    columns = forward.raw_columns(program, rows).values()
    return forward.predicted_rows(outputs_of(content, dict(zip(names(program)[0], columns, strict=True))))


def outputs_of(content: bytes, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs that onnxruntime computes of the inputs, [N] each."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found: list[Array] = session.run(None, {name: column.reshape(-1, 1) for name, column in inputs.items()})
    return found
