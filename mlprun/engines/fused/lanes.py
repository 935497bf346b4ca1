"""Arithmetic on SIMD lanes, written as Python expressions and emitted as LLVM instructions.

An elementwise function is written once, on `Lanes`, and every loop emits it inline. Only multiplication and
addition may be contracted: nothing is reassociated, so range reductions stay exact, and NaN stays NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from mlprun.engines.fused.compat import intrinsic
from mlprun.engines.fused.compilation import vector_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")

VECTOR_BYTES = vector_bytes()


@dataclass(frozen=True)
class FloatType:
    """A floating-point type: how many numbers fill a vector, the layout of their bits, and the IR types."""

    name: str
    scalar: Any
    count: int
    bits: int
    mantissa: int

    @property
    def vector(self) -> Any:
        """The IR type of all lanes."""
        return ir.VectorType(self.scalar, self.count)

    @property
    def integers(self) -> Any:
        """The IR type of the lanes' bits."""
        return ir.VectorType(ir.IntType(self.bits), self.count)

    @property
    def exponent_bias(self) -> int:
        """The bias of the exponent's bits."""
        return int(2 ** (self.bits - self.mantissa - 2)) - 1


FLOAT_TYPES = {
    "float32": FloatType("float32", ir.FloatType(), VECTOR_BYTES // 4, 32, 23),
    "float64": FloatType("float64", ir.DoubleType(), VECTOR_BYTES // 8, 64, 52),
}


class Lanes:
    """The numbers of one vector at the current position of an IR builder."""

    __slots__ = ("builder", "type", "value")

    def __init__(self, builder: Any, type_: FloatType, value: Any) -> None:
        self.builder, self.type, self.value = builder, type_, value

    def full(self, number: float) -> Lanes:
        """Return the same number in every lane."""
        constant = ir.Constant(self.type.scalar, float(np.dtype(self.type.name).type(number)))
        return self._new(ir.Constant(self.type.vector, [constant] * self.type.count))

    def _operand(self, other: Lanes | float) -> Any:
        return other.value if isinstance(other, Lanes) else self.full(other).value

    def _new(self, value: Any) -> Lanes:
        return Lanes(self.builder, self.type, value)

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fadd(self.value, self._operand(other), flags=("contract",)))

    __radd__ = __add__

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fmul(self.value, self._operand(other), flags=("contract",)))

    __rmul__ = __mul__

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fsub(self.value, self._operand(other), flags=("contract",)))

    def __rsub__(self, other: float) -> Lanes:
        return self.full(other) - self

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fdiv(self.value, self._operand(other)))

    def __rtruediv__(self, other: float) -> Lanes:
        return self.full(other) / self

    def __neg__(self) -> Lanes:
        return self._new(self.builder.fneg(self.value))

    def _compare(self, sign: str, other: Lanes | float) -> Any:
        return self.builder.fcmp_ordered(sign, self.value, self._operand(other))

    def __gt__(self, other: Lanes | float) -> Any:
        return self._compare(">", other)

    def __ge__(self, other: Lanes | float) -> Any:
        return self._compare(">=", other)

    def __lt__(self, other: Lanes | float) -> Any:
        return self._compare("<", other)

    def __le__(self, other: Lanes | float) -> Any:
        return self._compare("<=", other)

    def equals(self, other: Lanes | float) -> Any:
        """Return the mask of the lanes that are equal."""
        return self._compare("==", other)

    def differs(self, other: Lanes | float) -> Any:
        """Return the mask of the lanes that are not equal; NaN differs from everything."""
        return self.builder.fcmp_unordered("!=", self.value, self._operand(other))

    def where(self, mask: Any, other: Lanes | float) -> Lanes:
        """Return these numbers where the mask is set and the others elsewhere."""
        return self._new(self.builder.select(mask, self.value, self._operand(other)))

    def maximum(self, bound: Lanes | float) -> Lanes:
        """Return the larger of each number and `bound`; NaN stays."""
        return self._new(self.builder.select(self < bound, self._operand(bound), self.value))

    def minimum(self, bound: Lanes | float) -> Lanes:
        """Return the smaller of each number and `bound`; NaN stays."""
        return self._new(self.builder.select(self > bound, self._operand(bound), self.value))

    def _call(self, name: str, *arguments: Any) -> Lanes:
        vector, module = self.type.vector, self.builder.module
        full_name = f"llvm.{name}.v{self.type.count}f{self.type.bits}"
        function = module.globals.get(full_name)
        if function is None:
            signature = ir.FunctionType(vector, [vector] * (1 + len(arguments)))
            function = ir.Function(module, signature, full_name)
        return self._new(self.builder.call(function, [self.value, *arguments]))

    def fma(self, factor: Lanes | float, term: Lanes | float) -> Lanes:
        """Return these numbers times `factor` plus `term`, rounded once."""
        return self._call("fma", self._operand(factor), self._operand(term))

    def sqrt(self) -> Lanes:
        """Return the square roots."""
        return self._call("sqrt")

    def __abs__(self) -> Lanes:
        return self._call("fabs")

    def copysign(self, other: Lanes) -> Lanes:
        """Return these magnitudes with the signs of `other`."""
        return self._call("copysign", other.value)

    def polynomial(self, coefficients: tuple[float, ...]) -> Lanes:
        """Evaluate the polynomial with these coefficients, the constant first."""
        total = self.full(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = total.fma(self, coefficient)
        return total

    def bits(self) -> Any:
        """Return the bits as IR integers."""
        return self.builder.bitcast(self.value, self.type.integers)

    def integers(self, number: int) -> Any:
        """Return the same IR integer in every lane, as wide as the lanes."""
        return ir.Constant(self.type.integers, [number] * self.type.count)

    def from_bits(self, integers: Any) -> Lanes:
        """Return the numbers that have these bits."""
        return self._new(self.builder.bitcast(integers, self.type.vector))

    def from_integers(self, integers: Any) -> Lanes:
        """Convert IR integers to numbers."""
        return self._new(self.builder.sitofp(integers, self.type.vector))

    def add_to_bits(self, integers: Any) -> Lanes:
        """Return the numbers whose bits are these lanes' bits plus `integers`."""
        return self.from_bits(self.builder.add(self.bits(), integers))

    def sum(self) -> Any:
        """Return the sum over the lanes as an IR scalar, in the same order on every machine."""
        builder, value, count = self.builder, self.value, self.type.count
        while count > 1:  # halves are added, so that partial sums stay near in size
            half = count // 2
            undefined = ir.Constant(value.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(value, undefined, lane_mask(range(start, start + half)))
                for start in (0, half)
            )
            value, count = builder.fadd(low, high), half
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    def sum_as_double(self) -> Any:
        """Return the sum over the lanes as an IR float64."""
        return self.sum() if self.type.bits == 64 else self.builder.fpext(self.sum(), ir.DoubleType())


def lane_mask(lanes: Sequence[int]) -> Any:
    """Return the IR constant that selects these lanes in a shuffle."""
    return ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))


def broadcast(builder: Any, type_: FloatType, scalar: Any) -> Lanes:
    """Return an IR scalar in every lane; a float64 is rounded to the type first."""
    if scalar.type == ir.DoubleType() and type_.bits != 64:
        scalar = builder.fptrunc(scalar, type_.scalar)
    undefined = ir.Constant(type_.vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return Lanes(builder, type_, builder.shuffle_vector(first, undefined, lane_mask([0] * type_.count)))


class Matrix(NamedTuple):
    """A view of a flat array in kernels: element [i, j] is at start + i * row + j * column."""

    array: Any
    start: Any
    row: Any
    column: Any


class View:
    """A flat array, or a `Matrix` with its strides, while code is emitted."""

    def __init__(
        self, builder: Any, type_: FloatType, pointer: Any, row: Any = None, column: Any = None
    ) -> None:
        self.builder, self.type, self.pointer, self.row, self.column = builder, type_, pointer, row, column

    def at(self, *steps: Any) -> Any:
        """Return a pointer to the number whose index is the sum of the steps."""
        pointer = self.pointer
        for step in steps:
            pointer = self.builder.gep(pointer, [step])
        return pointer

    def shift(self, *steps: Any) -> View:
        """Return the view that starts there."""
        return View(self.builder, self.type, self.at(*steps), self.row, self.column)

    def tile(self, first: Any, count: int) -> tuple[View, list[Any]]:
        """Return the view from a row on, and the offsets of `count` rows in it."""
        rows = [times(self.builder, self.row, k) for k in range(count)]
        return self.shift(self.builder.mul(first, self.row)), rows

    def _vector(self, steps: tuple[Any, ...]) -> Any:
        return self.builder.bitcast(self.at(*steps), self.type.vector.as_pointer())

    def load(self, *steps: Any) -> Lanes:
        """Load the lanes there."""
        value = self.builder.load(self._vector(steps), align=self.type.bits // 8)
        return Lanes(self.builder, self.type, value)

    def store(self, lanes: Lanes, *steps: Any) -> None:
        """Write lanes there."""
        self.builder.store(lanes.value, self._vector(steps), align=self.type.bits // 8)

    def broadcast(self, *steps: Any) -> Lanes:
        """Load the number there into every lane."""
        return broadcast(self.builder, self.type, self.builder.load(self.at(*steps)))

    def add(self, scalar: Any, *steps: Any) -> None:
        """Add an IR scalar to the number there."""
        target = self.at(*steps)
        self.builder.store(self.builder.fadd(self.builder.load(target), scalar), target)


class Variable:
    """Lanes that are assigned again and again; LLVM keeps them in a register."""

    def __init__(self, builder: Any, type_: FloatType) -> None:
        self.builder, self.type = builder, type_
        self._pointer = cgutils.alloca_once(builder, type_.vector)  # type: ignore[no-untyped-call]

    def get(self) -> Lanes:
        """Return the current lanes."""
        return Lanes(self.builder, self.type, self.builder.load(self._pointer))

    def set(self, lanes: Lanes) -> None:
        """Assign lanes."""
        self.builder.store(lanes.value, self._pointer)

    def clear(self) -> None:
        """Assign 0 to every lane."""
        self.set(self.get().full(0.0))

    def add(self, lanes: Lanes) -> None:
        """Add lanes."""
        self.set(self.get() + lanes)


def integer(value: int) -> Any:
    """Return an IR integer."""
    return ir.Constant(ir.IntType(64), value)


def times(builder: Any, value: Any, factor: int) -> Any:
    """Multiply an IR integer by a constant."""
    return builder.mul(value, integer(factor))


def loop(builder: Any, count: Any, step: Any = 1) -> Iterator[Any]:
    """Emit a loop; yield `step` times its index."""
    step = integer(step) if isinstance(step, int) else step
    with cgutils.for_range(builder, count) as each:
        yield builder.mul(each.index, step)


def tiles(builder: Any, count: Any, sizes: Sequence[int]) -> Iterator[tuple[Any, int]]:
    """Emit loops over `count` items: as many of the first size as there are, then of the next.

    Yields the index of a tile's first item and its size.
    """
    start = integer(0)
    for size in sizes:
        number = builder.udiv(builder.sub(count, start), integer(size))
        for offset in loop(builder, number, size):
            yield builder.add(start, offset), size
        start = builder.add(start, times(builder, number, size))


def switch(builder: Any, code: Any, entries: Sequence[T], emit: Callable[[T], None]) -> None:
    """Emit the code of all entries of a table and a jump to the entry with index `code`, or to the last."""
    blocks = [builder.append_basic_block("case") for _ in entries]
    end = builder.append_basic_block("end")
    jump = builder.switch(code, blocks[-1])
    for index, (block, entry) in enumerate(zip(blocks, entries, strict=True)):
        if index < len(entries) - 1:
            jump.add_case(ir.Constant(code.type, index), block)
        builder.position_at_end(block)
        emit(entry)
        builder.branch(end)
    builder.position_at_end(end)


def _operand(context: Any, builder: Any, type_: Any, value: Any) -> Any:
    """Return an argument as code that is emitted uses it: see `lane_function`."""
    if isinstance(type_, types.Array):
        data = context.make_array(type_)(context, builder, value=value).data
        # other numbers are read one by one, without the type
        return View(builder, FLOAT_TYPES.get(str(type_.dtype), FLOAT_TYPES["float64"]), data)
    if isinstance(type_, types.Record):
        return lambda name: builder.load(
            cgutils.get_record_member(builder, value, type_.offset(name), ir.DoubleType())  # type: ignore[no-untyped-call]
        )
    if not isinstance(type_, types.UniTuple | types.Tuple | types.NamedTuple | types.NamedUniTuple):
        return value
    values = cgutils.unpack_tuple(builder, value, len(type_.types))  # type: ignore[no-untyped-call]
    items = [_operand(context, builder, *pair) for pair in zip(type_.types, values, strict=True)]
    if isinstance(type_, types.NamedTuple) and type_.instance_class is Matrix:
        view, start, row, column = items
        return View(builder, view.type, view.at(start), row, column)
    return items


def lane_function(returns: Any = types.void) -> Callable[[Callable[..., Any]], Any]:
    """Make an intrinsic of a Python function that emits code: it takes an IR builder and the arguments.

    Arrays and matrices arrive as `View`, tuples as lists, records of float64 as functions from a field to an
    IR scalar, and other arguments as IR values. The function returns an IR value of the type `returns`.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pairs = zip(signature.args, arguments, strict=True)
            result = function(builder, *(_operand(context, builder, *pair) for pair in pairs))
            return context.get_dummy_value() if result is None else result

        @wraps(function)  # with its names of arguments, which Numba reads
        def typing(context: Any, *arguments: Any) -> Any:
            return returns(*arguments), emit

        return intrinsic(typing)

    return decorate
