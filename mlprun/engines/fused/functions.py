"""Elementary functions and activations on SIMD lanes.

exp, expm1, log1p, tanh and erfc are polynomials of our own, so that no loop calls a library. Coefficients
interpolate each function at Chebyshev nodes, computed with 60 digits. Results are within 4 units in the last
place over the whole range; exp rounds denormal results as others.

Nothing here imports Numba or LLVM: functions are written as expressions and emitted by elementwise.py. A new
activation is one `KernelActivation` in `ACTIVATIONS`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.engines.fused.lanes import Lanes

    Activation = Callable[[Lanes, Lanes, Lanes], Any]
    """from z and two options: f(z), or f(z) and f'(z)"""


class Constants(NamedTuple):
    """Coefficients and bounds for one floating-point type."""

    exp: tuple[float, ...]
    """(e^f - 1 - f) / f^2 for |f| <= log(2) / 2"""
    log: tuple[float, ...]
    """(log((1 + s) / (1 - s)) - 2 s) / s^3 in powers of s^2, for 1 + f = (1 + s) / (1 - s) near 1"""
    log1p: tuple[float, ...]
    """the same for s from 0 to 1/3"""
    erfc: tuple[float, ...]
    """erfc(x) e^(x^2) / t in powers of 2 t - 1, with t = 2 / (2 + x), x >= 0"""
    ln2: tuple[float, float]
    """log(2) in two parts; products of the first with small integers are exact"""
    normal: tuple[float, float]
    """e^x is a normal number between these"""
    overflow: float
    """e^x is infinite above"""
    zero: float
    """e^x is 0 below"""


# fmt: off
_CONSTANTS = {
    "float32": Constants(
        exp=(0.5, 0.16666576666119928, 0.04166655421298415, 0.008363232883682618, 0.0013926250831497611),
        log=(0.6666666655404201, 0.4000012221181065, 0.28550778633191964, 0.23331614471843498),
        log1p=(0.6666666732087151, 0.39999706206824964, 0.28592364795197617, 0.21706460997195692,
               0.23224921771214582),
        erfc=(0.5107914435569672, 0.3435803351392811, 0.13973148070688435, 0.018221477084328117,
              -0.01071801613830496, -0.0032428198504005088, 0.0014358613504942383, 0.00042988320728504063,
              -0.00019344791471162585, -3.6270028064612554e-05),
        ln2=(0.693359375, -2.12194440e-4),
        normal=(-87.3, 88.37),
        overflow=88.7228317,
        zero=-104.0,
    ),
    "float64": Constants(
        exp=(0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326084, 0.0013888888888883711,
             0.0001984126987500228, 2.480158732567746e-05, 2.755725517000089e-06, 2.755727347871858e-07,
             2.5105312729622103e-08, 2.09147553258932e-09),
        log=(0.666666666666667, 0.3999999999989889, 0.28571428626253836, 0.22222211089379496,
             0.1818289243253687, 0.15331611722055008, 0.14617807153417325),
        log1p=(0.6666666666666666, 0.40000000000000013, 0.28571428571421936, 0.2222222222333306,
               0.181818180859226, 0.15384620257534107, 0.13333176845154815, 0.11767999621908995,
               0.10480378055059916, 0.09942174626855363, 0.06333514257523104, 0.15232286637463646),
        erfc=(0.5107913526210115, 0.3435803422069066, 0.13973604627802544, 0.018221115753306545,
              -0.010755330944543402, -0.0032395925298231458, 0.0015453060235237155, 0.00041864797455347,
              -0.0003315366672107297, -1.7185277049606434e-05, 7.223470153006039e-05,
              -1.7076546276097942e-05, -1.0844830478580393e-05, 8.066868949358842e-06,
              -5.732747033044422e-07, -1.8346763716451883e-06, 1.023671759497573e-06,
              1.527560153078624e-08, -3.1904880762943956e-07, 1.5002373169874064e-07,
              3.1237899528464255e-08, -5.1579015426615876e-08, 8.331398302988539e-09,
              6.618547737616718e-09, -2.2124653785049848e-09),
        ln2=(0.6931471803691238, 1.9082149292705877e-10),
        normal=(-708.3, 709.0),
        overflow=709.782712893384,
        zero=-746.0,
    ),
}
# fmt: on


def _reduced(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """For x = n log(2) + f: n as a number, f, and a number whose last bits hold n."""
    high, low = _CONSTANTS[x.type.name].ln2
    magic = 1.5 * 2.0**x.type.mantissa
    shifted = x.fma(1 / math.log(2), magic)
    n = shifted - magic
    return n, n.fma(-low, n.fma(-high, x)), shifted


def _times_power(p: Lanes, shifted: Lanes) -> Lanes:
    """Numbers p times 2^n for results that are normal numbers: n is added to the exponent."""
    return p.add_to_bits(p.builder.shl(shifted.bits(), p.integers(p.type.mantissa)))


def bounded_exp(x: Lanes) -> Lanes:
    """e^x for results that are normal numbers; x beyond is taken as the bound. NaN stays."""
    low, high = _CONSTANTS[x.type.name].normal
    _, f, shifted = _reduced(x.minimum(high).maximum(low))
    p = (f * f).fma(f.polynomial(_CONSTANTS[x.type.name].exp), f) + 1.0
    return _times_power(p, shifted)


def exp(x: Lanes) -> Lanes:
    """e^x everywhere: infinite above, denormal and 0 below. NaN stays."""
    constants, type_ = _CONSTANTS[x.type.name], x.type
    _, f, shifted = _reduced(x.minimum(constants.overflow).maximum(constants.zero))
    p = (f * f).fma(f.polynomial(constants.exp), f) + 1.0
    # results below the normal numbers are computed 2^k times too large and then rounded once
    k = type_.mantissa + 4
    low = x < constants.normal[0]
    raised = p.builder.select(low, p.integers(k << type_.mantissa), p.integers(0))
    scaled = _times_power(p, shifted).add_to_bits(raised)
    result = scaled * x.full(2.0**-k).where(low, 1.0)
    return result.where(x <= constants.overflow, x * math.inf)


def bounded_expm1(x: Lanes) -> Lanes:
    """e^x - 1 for x from 0 to where 2^n is a normal number; beyond it is taken as the bound."""
    constants = _CONSTANTS[x.type.name]
    _, f, shifted = _reduced(x.minimum(constants.normal[1]))
    q = (f * f).fma(f.polynomial(constants.exp), f)
    power = _times_power(x.full(1.0), shifted)
    return q.fma(power, power - 1.0)


def logistic(x: Lanes) -> Lanes:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + bounded_exp(-x))


def tanh(x: Lanes) -> Lanes:
    """The hyperbolic tangent as (e^2|x| - 1) / (e^2|x| + 1) with x's sign."""
    e = bounded_expm1(abs(x) * 2.0)
    return (e / (e + 2.0)).copysign(x)


def log1p(x: Lanes) -> Lanes:
    """log(1 + x) for x above -1; infinite at -1 and at infinity, NaN below."""
    constants, type_, builder = _CONSTANTS[x.type.name], x.type, x.builder
    u = x + 1.0
    # u = 2^k m with m between sqrt(1/2) and sqrt(2): k comes from the exponent's bits
    lowest = x.full(math.sqrt(0.5)).bits()
    offset = builder.sub(x.full(1.0).bits(), lowest)
    raised = builder.add(u.bits(), offset)
    k_bits = builder.sub(builder.ashr(raised, x.integers(type_.mantissa)), x.integers(type_.exponent_bias))
    k = x.from_integers(k_bits)
    rest = builder.and_(raised, x.integers((1 << type_.mantissa) - 1))
    m = x.from_bits(builder.add(rest, lowest))
    # 1 + x was rounded: what was lost is added again
    lost = (1.0 - (u - x)).where(k > 1.0, x - (u - 1.0)) / u
    f = x.where(k.equals(0.0), m - 1.0)
    lost = x.full(0.0).where(k.equals(0.0), lost)
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    r = z * z.polynomial(constants.log)
    high, low = constants.ln2
    small = s.fma(half + r, k.fma(low, lost))
    result = k.fma(high, f - (half - small))
    result = result.where(x < math.inf, x)
    return (x.full(-math.inf)).where(x.equals(-1.0), result.where(x >= -1.0, x * math.nan))


def bounded_log1p(x: Lanes) -> Lanes:
    """log(1 + x) for x from 0 to 1 by one quotient: x = 2 s / (1 - s). NaN stays."""
    s = x / (x + 2.0)
    z = s * s
    return (s * z).fma(z.polynomial(_CONSTANTS[x.type.name].log1p), s * 2.0)


def sign(x: Lanes) -> Lanes:
    """Return -1, 0 or 1; NaN stays."""
    one = x.full(1.0)
    return one.where(x > 0.0, (-one).where(x < 0.0, x * 0.0))


def erfc_of_size(x: Lanes, gauss: Lanes) -> Lanes:
    """erfc(x) for x >= 0, given e^(-x^2)."""
    t = 2.0 / (x + 2.0)
    return gauss * t * (t * 2.0 - 1.0).polynomial(_CONSTANTS[x.type.name].erfc)


def _hard_logistic(z: Lanes, slope: Lanes, offset: Lanes) -> tuple[Lanes, Lanes]:
    line = z * slope + offset
    inside = z.builder.and_(line > 0.0, line < 1.0)
    return line.maximum(0.0).minimum(1.0), slope.where(inside, 0.0)


def _elu(z: Lanes, alpha: Lanes, scale: Lanes) -> tuple[Lanes, Lanes]:
    # e^z - 1 from e^|z| - 1 loses no digits near 0
    grown = bounded_expm1(abs(z))
    less = -(grown / (grown + 1.0)) * (alpha * scale)
    return (z * scale).where(z > 0.0, less), scale.where(z > 0.0, less + alpha * scale)


def _gelu(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    gauss = bounded_exp(z * z * -0.5)
    tail = erfc_of_size(abs(z) * math.sqrt(0.5), gauss) * 0.5
    below = (1.0 - tail).where(z > 0.0, tail)
    return z * below, below + z * gauss * (1 / math.sqrt(2 * math.pi))


def _gelu_tanh(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    c, cubic = math.sqrt(2 / math.pi), 0.044715
    t = tanh((z * z * z * cubic + z) * c)
    inner = (z * z * (3 * cubic) + 1.0) * c
    return z * 0.5 * (t + 1.0), (t + 1.0) * 0.5 + z * 0.5 * (1.0 - t * t) * inner


def _softplus(z: Lanes, beta: Lanes, threshold: Lanes) -> tuple[Lanes, Lanes]:
    y = z * beta
    e = bounded_exp(-abs(y))
    value = (y.maximum(0.0) + bounded_log1p(e)) / beta
    near = y <= threshold
    return value.where(near, z), logistic(y).where(near, 1.0)


def _swish(z: Lanes, beta: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    s = logistic(z * beta)
    return z * s, s * (z * beta * (1.0 - s) + 1.0)


def _mish(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    e = bounded_exp(z.minimum(30.0))
    n = e * (e + 2.0)
    w = n / (n + 2.0)
    return z * w, w + z * (e / (e + 1.0)) * (1.0 - w * w)


def _exp(z: Lanes, p: Lanes, q: Lanes) -> tuple[Lanes, Lanes]:
    a = exp(z)
    return a, a


class KernelActivation(NamedTuple):
    """An activation in kernels. The derivative of most is a function of the value, and is not stored then."""

    name: str
    function: Activation
    derivative: Callable[[Lanes, Lanes], Lanes] | None = None
    """f'(z) from f(z) and the first option; None if `function` returns it, to be stored"""
    options: tuple[str, ...] = ()
    """the options of the config's part that `function` takes, at most two"""
    parts: Mapping[str, Mapping[str, float]] = {}
    """the parts it computes, with the options that they fix; by default the one of its name"""
    when: Mapping[str, object] = {}
    """the options that a part must have for it"""


_BY_VALUE = (
    KernelActivation("identity", lambda z, p, q: z, lambda a, p: a.full(1.0)),
    KernelActivation("logistic", lambda z, p, q: logistic(z), lambda a, p: a * (1.0 - a)),
    KernelActivation("tanh", lambda z, p, q: tanh(z), lambda a, p: 1.0 - a * a),
    KernelActivation(
        "relu", lambda z, p, q: z.full(0.0).where(z <= 0.0, z), lambda a, p: a.full(1.0).where(a > 0.0, 0.0)
    ),
    KernelActivation(
        "leaky_relu",
        lambda z, p, q: z.where(z > 0.0, z * p),
        lambda a, p: a.full(1.0).where(a > 0.0, p),
        ("slope",),
    ),
    KernelActivation(
        "hard_tanh",
        lambda z, p, q: z.maximum(-1.0).minimum(1.0),
        lambda a, p: a.full(1.0).where(abs(a) < 1.0, 0.0),
    ),
)
_SELU = {"alpha": 1.6732632423543772, "scale": 1.0507009873554805}
# Kernels know an activation by its index; those with a derivative that is a function of the value come first.
ACTIVATIONS = (
    *_BY_VALUE,
    KernelActivation("hard_logistic", _hard_logistic, options=("slope", "offset")),
    KernelActivation("elu", _elu, options=("alpha", "scale"), parts={"elu": {"scale": 1.0}, "selu": _SELU}),
    KernelActivation("gelu", _gelu, when={"approximate": "none"}),
    KernelActivation("gelu_tanh", _gelu_tanh, parts={"gelu": {}}, when={"approximate": "tanh"}),
    KernelActivation("softplus", _softplus, options=("beta", "threshold")),
    KernelActivation("swish", _swish, options=("beta",)),
    KernelActivation("mish", _mish),
    KernelActivation("exp", _exp),
)
STORED = len(_BY_VALUE)
"""the index that stands for a derivative which the forward pass has stored"""
