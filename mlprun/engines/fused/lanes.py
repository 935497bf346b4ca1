"""Arithmetic on SIMD lanes, written as Python expressions and emitted as LLVM instructions.

An elementwise function is written once, on `Lanes`; every loop that needs it emits it where it stands. Only
multiplication and addition may be contracted: nothing is reassociated, so reductions of the argument stay
exact, and NaN stays NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import codegen, config


def _vector_bytes() -> int:
    """Return the width of the vectors of the kernels: that of AVX-512, or 32 bytes.

    `NUMBA_CPU_FEATURES` and `NUMBA_CPU_NAME=generic` restrict the CPU that Numba compiles for. The compiler
    splits 32 bytes over narrower registers.
    """
    features: str | None = vars(config)["CPU_FEATURES"]
    if features is None:
        features = codegen.get_host_cpu_features()  # type: ignore[no-untyped-call]
    return 64 if "+avx512f" in features.split(",") else 32


VECTOR_BYTES = _vector_bytes()


@dataclass(frozen=True)
class Kind:
    """A floating-point type as lanes: `count` numbers, the layout of their bits, and IR types."""

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
        """What the exponent's bits exceed the exponent by."""
        return int(2 ** (self.bits - self.mantissa - 2)) - 1


FLOAT32 = Kind("float32", ir.FloatType(), VECTOR_BYTES // 4, 32, 23)
FLOAT64 = Kind("float64", ir.DoubleType(), VECTOR_BYTES // 8, 64, 52)


def kind_of(name: str) -> Kind:
    """The kind of a dtype's name."""
    return FLOAT32 if name == "float32" else FLOAT64


def width_of(dtype: np.dtype[Any]) -> int:
    """How many lanes numbers of this type have."""
    return kind_of(dtype.name).count


class Lanes:
    """`count` floating-point numbers at a place in the code that is being emitted."""

    __slots__ = ("builder", "kind", "value")

    def __init__(self, builder: Any, kind: Kind, value: Any) -> None:
        self.builder, self.kind, self.value = builder, kind, value

    def of(self, number: float) -> Lanes:
        """The same number in every lane."""
        constant = ir.Constant(self.kind.scalar, float(np.dtype(self.kind.name).type(number)))
        return Lanes(self.builder, self.kind, ir.Constant(self.kind.vector, [constant] * self.kind.count))

    def _other(self, other: Lanes | float) -> Any:
        return other.value if isinstance(other, Lanes) else self.of(other).value

    def _new(self, value: Any) -> Lanes:
        return Lanes(self.builder, self.kind, value)

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fadd(self.value, self._other(other), flags=("contract",)))

    __radd__ = __add__

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fmul(self.value, self._other(other), flags=("contract",)))

    __rmul__ = __mul__

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fsub(self.value, self._other(other), flags=("contract",)))

    def __rsub__(self, other: float) -> Lanes:
        return self.of(other) - self

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._new(self.builder.fdiv(self.value, self._other(other)))

    def __rtruediv__(self, other: float) -> Lanes:
        return self.of(other) / self

    def __neg__(self) -> Lanes:
        return self._new(self.builder.fneg(self.value))

    def _compared(self, sign: str, other: Lanes | float) -> Any:
        return self.builder.fcmp_ordered(sign, self.value, self._other(other))

    def __gt__(self, other: Lanes | float) -> Any:
        return self._compared(">", other)

    def __ge__(self, other: Lanes | float) -> Any:
        return self._compared(">=", other)

    def __lt__(self, other: Lanes | float) -> Any:
        return self._compared("<", other)

    def __le__(self, other: Lanes | float) -> Any:
        return self._compared("<=", other)

    def equals(self, other: Lanes | float) -> Any:
        """Which lanes are equal."""
        return self._compared("==", other)

    def where(self, mask: Any, other: Lanes | float) -> Lanes:
        """These numbers where the mask holds, the others elsewhere."""
        return self._new(self.builder.select(mask, self.value, self._other(other)))

    def at_least(self, bound: Lanes | float) -> Lanes:
        """No lane below `bound`; NaN stays."""
        return self._new(self.builder.select(self < bound, self._other(bound), self.value))

    def at_most(self, bound: Lanes | float) -> Lanes:
        """No lane above `bound`; NaN stays."""
        return self._new(self.builder.select(self > bound, self._other(bound), self.value))

    def _called(self, name: str, *arguments: Any) -> Lanes:
        kind = self.kind
        full = f"llvm.{name}.v{kind.count}f{kind.bits}"
        module = self.builder.module
        function = module.globals.get(full)
        if function is None:
            signature = ir.FunctionType(kind.vector, [kind.vector] * (1 + len(arguments)))
            function = ir.Function(module, signature, full)
        return self._new(self.builder.call(function, [self.value, *arguments]))

    def fma(self, factor: Lanes | float, term: Lanes | float) -> Lanes:
        """Times `factor` plus `term`, rounded once."""
        return self._called("fma", self._other(factor), self._other(term))

    def sqrt(self) -> Lanes:
        """The square root."""
        return self._called("sqrt")

    def __abs__(self) -> Lanes:
        return self._called("fabs")

    def with_sign_of(self, other: Lanes) -> Lanes:
        """This size with the other's sign."""
        return self._called("copysign", other.value)

    def polynomial(self, coefficients: tuple[float, ...]) -> Lanes:
        """The polynomial with these coefficients, the constant first."""
        total = self.of(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = total.fma(self, coefficient)
        return total

    def add_to_bits(self, integers: Any) -> Lanes:
        """The numbers whose bits are these lanes' bits plus `integers`."""
        return floats(self.builder, self.kind, self.builder.add(self.bits(), integers))

    def bits(self) -> Any:
        """The bits as IR integers."""
        return self.builder.bitcast(self.value, self.kind.integers)

    def integers(self, number: int) -> Any:
        """The same integer in every lane, of the width of the lanes."""
        return ir.Constant(self.kind.integers, [number] * self.kind.count)


def floats(builder: Any, kind: Kind, integers: Any) -> Lanes:
    """The numbers that have these bits."""
    return Lanes(builder, kind, builder.bitcast(integers, kind.vector))


def splat(builder: Any, kind: Kind, scalar: Any) -> Lanes:
    """A scalar in every lane."""
    undefined = ir.Constant(kind.vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return Lanes(builder, kind, builder.shuffle_vector(first, undefined, zeros))


def load(builder: Any, kind: Kind, pointer: Any) -> Lanes:
    """The lanes that begin at a pointer to numbers."""
    place = builder.bitcast(pointer, kind.vector.as_pointer())
    return Lanes(builder, kind, builder.load(place, align=kind.bits // 8))


def store(lanes: Lanes, pointer: Any) -> None:
    """Write lanes to where a pointer to numbers says."""
    place = lanes.builder.bitcast(pointer, lanes.kind.vector.as_pointer())
    lanes.builder.store(lanes.value, place, align=lanes.kind.bits // 8)


def total(lanes: Lanes) -> Any:
    """The sum over the lanes as an IR scalar, in one order on every machine."""
    builder, kind = lanes.builder, lanes.kind
    value, count = lanes.value, kind.count
    while count > 1:  # halves are added, so that partial sums stay near in size
        half = count // 2
        masks = [[*range(start, start + half)] for start in (0, half)]
        low, high = (
            builder.shuffle_vector(
                value,
                ir.Constant(value.type, ir.Undefined),
                ir.Constant(ir.VectorType(ir.IntType(32), half), m),
            )
            for m in masks
        )
        value, count = builder.fadd(low, high), half
    return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))
