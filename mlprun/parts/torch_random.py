"""PyTorch's random numbers on x86-64 CPUs in NumPy, bit for bit: initial weights without importing torch.

PyTorch draws 32-bit words from MT19937 and computes with the instructions that it has chosen for the CPU:
with AVX2, a product and a sum are one fused multiply-add, and normal variables come from the logarithm, sine
and cosine of `avx_mathfun.h`; otherwise everything is rounded twice and libm is called. Operations are
therefore kept in PyTorch's order here, and are float32 throughout. Source: PyTorch 2.13,
aten/src/ATen/native/cpu/DistributionTemplates.h and avx_mathfun.h; the tests compare with torch.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import sys
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import files
from mlprun.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Singles = NDArray[np.float32]
    MultiplyAdd = Callable[[Any, Any, Any], Singles]
    Shape = tuple[int, ...]

F = np.float32
BLOCK = 16
"""normal variables that are drawn together; fewer are drawn one by one, in float64"""
FEW = 4096
"""numbers whose sums are checked together"""
SMALLEST, LARGEST = 1e-12, 1e30
"""scales of draws that neither underflow nor overflow on the way"""
_FEATURES = {"AVX512": {"avx512vl", "avx512bw", "avx512dq", "fma"}, "AVX2": {"avx2", "fma"}}


_DRAWING = threading.Lock()
"""torch's default generator, from which initial weights are drawn, is one for all threads"""


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """The CPU's default generator as a script has it behind `torch.manual_seed(seed)`, and then as before.

    `manual_seed` itself asks every kind of device, which takes longer than drawing.
    """
    import torch

    generator = torch.default_generator
    with _DRAWING:
        former = generator.get_state()
        generator.manual_seed(seed)
        try:
            yield
        finally:
            generator.set_state(former)


@cache
def cpu_capability() -> str | None:
    """Return what torch.backends.cpu.get_cpu_capability() does, or None on an unknown platform.

    PyTorch chooses its CPU code from the processor's features, or by the environment variable
    ATEN_CPU_CAPABILITY, once in a process.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    if "torch" in sys.modules:
        import torch  # the variable may have changed since torch read it

        return torch.backends.cpu.get_cpu_capability()
    named = os.environ.get("ATEN_CPU_CAPABILITY", "").upper()
    if named in (*_FEATURES, "DEFAULT") and named.lower() == os.environ["ATEN_CPU_CAPABILITY"]:
        return named
    features = set(cpu_features().split())
    return next((name for name, needed in _FEATURES.items() if needed <= features), "DEFAULT")


@cache
def cpu_features() -> str:
    """Return the features of the first processor as Linux lists them; empty if it cannot be asked."""
    try:
        first = next(files.read_pieces("/proc/cpuinfo", cap=10_000_000, size=4095), b"")
    except (OSError, FileError):
        return ""
    found = re.search(rb"^flags\s*:(.+)$", first, re.MULTILINE)
    return found[1].decode("ascii", "replace") if found else ""


class TorchGenerator:
    """torch.Generator on the CPU. Draws of float32 tensors from the same seed have the same bits.

    Methods raise NotImplementedError for scales at which they might not.
    """

    def __init__(self, capability: str) -> None:
        self._bits = np.random.MT19937()
        self._seeded = np.random.RandomState(self._bits)
        self._has_avx2 = capability != "DEFAULT"
        self._multiply_add = fused_multiply_add if self._has_avx2 else _multiply_add
        self._next_sample: float | None = None

    def manual_seed(self, seed: int) -> TorchGenerator:
        """Start again from a seed, of which PyTorch reads 32 bits."""
        self._seeded.seed(seed & 0xFFFFFFFF)
        self._next_sample = None
        return self

    def words(self, count: int) -> NDArray[np.uint32]:
        """Return the next 32-bit words of MT19937."""
        return self._bits.random_raw(count).astype(np.uint32)

    def uniform(self, shape: Shape, low: float = 0.0, high: float = 1.0) -> Singles:
        """Draw as Tensor.uniform_ does."""
        _check_scales(low, high, high - low)
        first, last = F(low), F(high)
        values = self._multiply_add(self._unit(math.prod(shape)), last - first, first)
        values[values == last] = first
        return values.reshape(shape)

    def normal(self, shape: Shape, mean: float = 0.0, std: float = 1.0) -> Singles:
        """Draw as Tensor.normal_ does."""
        _check_scales(mean, std)
        size = math.prod(shape)
        if size < BLOCK:
            values = [self._scaled(sample, mean, std) for sample in self._samples(size)]
            return np.array(values, F).reshape(shape)
        rest = size % BLOCK
        drawn = self._unit(size + BLOCK if rest else size)
        if rest:  # the last block is drawn again, and overlaps the one before
            drawn = np.concatenate([drawn[: size - rest], drawn[size:]])
        drawn = self._box_muller(drawn, mean, std)
        if rest:
            drawn = np.concatenate([drawn[: size - BLOCK], drawn[size - rest :]])
        return drawn.reshape(shape)

    def permutation(self, count: int) -> NDArray[np.int64]:
        """Draw as torch.randperm does for fewer than 2**32 / 20 numbers."""
        order, first = list(range(count)), np.arange(max(0, count - 1))
        others = first + self.words(len(first)) % (count - first)
        for i, other in enumerate(others.tolist()):
            order[i], order[other] = order[other], order[i]
        return np.array(order, np.int64)

    def _unit(self, count: int) -> Singles:
        """Return numbers in [0, 1) of 24 random bits each."""
        return (self.words(count) & 0xFFFFFF).astype(F) * F(2.0**-24)

    def _samples(self, count: int) -> list[float]:
        """Return standard normal variables in float64; the second one of a pair is kept for later."""
        samples = [] if self._next_sample is None else [self._next_sample]
        words = self.words(4 * -(-(count - len(samples)) // 2)).tolist()
        for i in range(0, len(words), 4):
            u1, u2 = (((words[k] << 32 | words[k + 1]) & (2**53 - 1)) * 2.0**-53 for k in (i, i + 2))
            radius, angle = math.sqrt(-2.0 * math.log1p(-u2)), 2.0 * math.pi * u1
            samples += radius * math.cos(angle), radius * math.sin(angle)
        self._next_sample = samples.pop() if len(samples) > count else None
        return samples

    def _scaled(self, sample: float, mean: float, std: float) -> float:
        if mean and self._has_avx2:
            from fractions import Fraction

            return float(Fraction(sample) * Fraction(std) + Fraction(mean))  # rounded once
        return sample * std + mean

    def _box_muller(self, uniform: Singles, mean: float, std: float) -> Singles:
        """Turn numbers in [0, 1) into normal variables; a block of 16 has eight radii, then eight angles."""
        blocks = uniform.reshape(-1, 2, BLOCK // 2)
        u1, u2 = F(1) - blocks[:, 0], blocks[:, 1]
        if self._has_avx2:
            radius, sine, cosine = _polar(u1, u2)
        else:
            radius = np.sqrt(F(-2) * _libm("logf", u1))
            angle = (2 * math.pi * u2.astype(np.float64)).astype(F)
            sine, cosine = _libm("sinf", angle), _libm("cosf", angle)
        pairs = np.stack([radius * cosine, radius * sine], axis=1)
        return fused_multiply_add(pairs, F(std), F(mean)).ravel()


def _check_scales(*scales: float) -> None:
    if not all(SMALLEST <= abs(scale) <= LARGEST for scale in scales if scale):
        raise NotImplementedError(f"draws of scales between {SMALLEST} and {LARGEST}, not {scales}")


def _multiply_add(a: Any, b: Any, c: Any) -> Singles:
    result: Singles = a * b + c
    return result


def fused_multiply_add(a: Any, b: Any, c: Any) -> Singles:
    """Return a * b + c of float32 numbers, rounded once; no result may be subnormal.

    The product is exact in float64. The sum is rounded to float64 and then to float32, which is wrong only
    if the first step ends halfway between two float32 numbers, where the second one rounds to even.
    """
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    total = product + c
    bits = total.view(np.int64)
    halfway = (bits & 0x1FFFFFFF) == 0x10000000
    if np.count_nonzero(halfway):
        added = total - product
        error = (product - (total - added)) + (c - added)  # exact: Knuth's TwoSum
        away = np.where((error > 0) == (total > 0), 1, -1)
        total = np.where(halfway & (error != 0), bits + away, bits).view(np.float64)
    return np.asarray(total, F)


class _UncheckedSums:
    """`fused_multiply_add` of few numbers, where the calls of NumPy cost most, with one check of all sums."""

    def __init__(self) -> None:
        self._totals: list[NDArray[np.float64]] = []

    def __call__(self, a: Any, b: Any, c: Any) -> Singles:
        total = np.multiply(a, b, dtype=np.float64) + c
        self._totals.append(total)
        return np.asarray(total, F)

    def are_exact(self) -> bool:
        """Return False if a sum was halfway, so that it may have been rounded to the wrong side."""
        bits = np.concatenate(self._totals).view(np.int64)
        return not np.count_nonzero((bits & 0x1FFFFFFF) == 0x10000000)


def _singles(*numbers: float) -> tuple[float, ...]:
    return tuple(np.array(numbers, F).tolist())


_LOG = _singles(
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_SINE = _singles(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COSINE = _singles(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_QUARTER_PI = _singles(-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8)  # its negative


def _polynomial(fma: MultiplyAdd, coefficients: tuple[float, ...], x: Singles) -> Singles:
    value: Any = coefficients[0]
    wide = x.astype(np.float64)
    for coefficient in coefficients[1:]:
        value = fma(value, wide, coefficient)
    result: Singles = value
    return result


def _polar(u1: Singles, u2: Singles) -> tuple[Singles, Singles, Singles]:
    """Return the radius, and the sine and cosine of the angle, of pairs of normal variables."""
    if u1.size < FEW:
        unchecked = _UncheckedSums()
        found = _log(unchecked, u1), *_sine_and_cosine(unchecked, F(2 * math.pi) * u2)
        if unchecked.are_exact():
            return np.sqrt(F(-2) * found[0]), *found[1:]
    logarithm = _log(fused_multiply_add, u1)
    return np.sqrt(F(-2) * logarithm), *_sine_and_cosine(fused_multiply_add, F(2 * math.pi) * u2)


def _log(fma: MultiplyAdd, x: Singles) -> Singles:
    """Return `log256_ps` of numbers in (0, 1]."""
    bits = x.view(np.int32)
    exponent = ((bits >> 23) - 126).astype(F)
    mantissa = ((bits & 0x7FFFFF) | 0x3F000000).view(F)  # in [0.5, 1)
    small = mantissa < F(0.707106781186547524)
    exponent -= small
    x = (mantissa - F(1)) + np.where(small, mantissa, F(0))
    square = x * x
    y = fma(_polynomial(fma, _LOG, x) * x, square, exponent * F(-2.12194440e-4))
    # the products are exact in float32 here, so that only the sums are rounded
    y = square * F(-0.5) + y
    return exponent * F(0.693359375) + (x + y)


def _sine_and_cosine(fma: MultiplyAdd, x: Singles) -> tuple[Singles, Singles]:
    """Return `sincos256_ps` of angles in [0, 2 pi)."""
    octant = ((x * F(1.27323954473516)).astype(np.int32) + 1) & ~1
    y = octant.astype(F)
    for part in _QUARTER_PI:
        x = fma(y, part, x)
    square = x * x
    cosine = _polynomial(fma, _COSINE, square) * square
    cosine = fma(cosine, square, -(square * F(0.5))) + F(1)
    sine = fma(_polynomial(fma, _SINE, square) * square, x, x)
    swapped = (octant & 2) != 0
    sine, cosine = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    for values, turned in ((sine, octant), (cosine, octant + 2)):
        signs = values.view(np.int32)
        signs ^= (turned & 4) << 29
    return sine, cosine


def _libm(name: str, x: Singles) -> Singles:
    """Return a function of libm of each number: PyTorch without AVX2 calls it too."""
    function = getattr(ctypes.CDLL("libm.so.6"), name)
    function.argtypes, function.restype = [ctypes.c_float], ctypes.c_float
    return np.array([function(value) for value in x.ravel().tolist()], F).reshape(x.shape)
