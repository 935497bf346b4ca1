"""Draws in NumPy have the bits of torch's, on each of the instruction sets that torch may choose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlprun.parts import torch_random
from mlprun.parts.torch_random import TorchGenerator, cpu_capability, cpu_features, fused_multiply_add

CAPABILITY = cpu_capability()
pytestmark = pytest.mark.skipif(CAPABILITY is None, reason="torch's draws are known for Linux on x86-64 only")
NAMES = [
    name for name in ("default", "avx2", "avx512") if name.upper() == "DEFAULT" or CAPABILITY != "DEFAULT"
]

# Draws millions of numbers with torch and with NumPy; the result is how many there were and how many differ.
COMPARISON = """
import json
import numpy as np, torch
from mlprun.parts.torch_random import TorchGenerator, cpu_capability

draws = {
    "uniform": lambda make, g: [make("uniform", n, *bounds, g) for bounds in (
        (0.0, 1.0), (-0.3, 0.77), (-1e-4, 1e-4), (-3.0, 5e5), (1e6, 1e6 + 0.125)) for n in (1, 15, 300_001)],
    "normal": lambda make, g: [make("normal", n, *options, g) for options in (
        (0.0, 1.0), (0.7, 1.3), (-20.0, 0.01), (0.0, 1e-6), (1e4, 0.0)) for n in (16, 17, 31, 200_001)],
    "few": lambda make, g: [make("normal", n, *options, g) for n in range(1, 16)
        for options in ((0.0, 1.0), (0.7, 1.3), (-20.0, 0.01)) for _ in range(20)],
    "mixed": lambda make, g: [
        make(kind, n, -0.7, 0.9, g) for n in range(1, 60) for kind in ("normal", "uniform")],
}

def with_torch(kind, count, first, second, generator):
    tensor = torch.empty(count)
    return getattr(tensor, kind + "_")(first, second, generator=generator).numpy()

def with_numpy(kind, count, first, second, generator):
    return getattr(generator, kind)((count,), first, second)

result = {"torch": torch.backends.cpu.get_cpu_capability(), "ours": cpu_capability()}
for name, draw in draws.items():
    for seed in (0, 7, 2**40 + 3):
        expected = np.concatenate(draw(with_torch, torch.Generator().manual_seed(seed)))
        found = np.concatenate(draw(with_numpy, TorchGenerator(cpu_capability()).manual_seed(seed)))
        assert found.dtype == expected.dtype
        count, different = result.get(name, (0, 0))
        different += int((found.view(np.uint32) != expected.view(np.uint32)).sum())
        result[name] = (count + len(expected), different)

# fewer than 16 numbers are scaled in float64; rounding to float32 hides nearly every difference there
g, expected = TorchGenerator(cpu_capability()).manual_seed(1), torch.Generator().manual_seed(1)
found = np.array([g._scaled(sample, 0.7, 1.3) for sample in g._samples(15)])
expected = torch.empty(15, dtype=torch.float64).normal_(0.7, 1.3, generator=expected).numpy()
result["scaled"] = (len(found), int((found != expected).sum()))
print(json.dumps(result))
"""


@pytest.mark.parametrize("capability", NAMES)
def test_millions_of_draws_have_the_bits_of_torch(capability):
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability}
    command = [sys.executable, "-c", COMPARISON]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result.pop("torch") == result.pop("ours") == capability.upper()
    assert result.keys() == {"uniform", "normal", "few", "mixed", "scaled"}
    assert all(different == 0 for _, different in result.values()), result
    assert result["uniform"][0] > 4_000_000
    assert result["normal"][0] > 3_000_000


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 5000])
def test_permutations_are_those_of_torch(count):
    for seed in range(3):
        expected = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        drawn = TorchGenerator(CAPABILITY).manual_seed(seed).permutation(count)
        assert drawn.tolist() == expected.tolist()
        assert drawn.dtype == np.int64


def test_noise_after_a_permutation_is_that_of_torch():
    expected = torch.Generator().manual_seed(9)
    generator = TorchGenerator(CAPABILITY).manual_seed(9)
    assert generator.permutation(333).tolist() == torch.randperm(333, generator=expected).tolist()
    noise = torch.normal(0.0, 0.2, (333, 2), generator=expected).numpy()
    assert generator.normal((333, 2), 0.0, 0.2).tobytes() == noise.tobytes()


def test_thousands_of_small_draws_have_the_bits_of_torch():
    # their sums are checked together, and about one draw in two hundred is computed again
    generator, expected = TorchGenerator(CAPABILITY), torch.Generator()
    for seed in range(2000):
        noise = torch.empty(200).normal_(0.0, 0.2, generator=expected.manual_seed(seed)).numpy()
        assert generator.manual_seed(seed).normal((200,), std=0.2).tobytes() == noise.tobytes()


def test_a_tensor_without_numbers_draws_nothing():
    generator = TorchGenerator(CAPABILITY).manual_seed(1)
    assert generator.normal((0, 3)).shape == (0, 3)
    assert generator.uniform((2, 0)).shape == (2, 0)
    assert generator.words(1) == TorchGenerator(CAPABILITY).manual_seed(1).words(1)


def test_a_seed_starts_the_kept_sample_of_a_pair_anew():
    generator = TorchGenerator(CAPABILITY).manual_seed(1)
    first = generator.normal((1,))
    assert generator.normal((1,)) != first
    generator.normal((1,))
    assert generator.manual_seed(1).normal((1,)) == first


@pytest.mark.parametrize("scale", [1e-30, 1e35])
def test_scales_that_may_underflow_or_overflow_are_refused(scale):
    generator = TorchGenerator(CAPABILITY).manual_seed(1)
    with pytest.raises(NotImplementedError, match="scales"):
        generator.normal((3,), 0.0, scale)
    with pytest.raises(NotImplementedError, match="scales"):
        generator.uniform((3,), -scale, scale)


def rounded_once(exact: Fraction) -> np.float32:
    """The nearest float32 number, of two the one whose last bit is 0."""
    near = np.float32(float(exact))
    candidates = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min(candidates, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.uint32)) & 1))


SIGNIFICANDS = st.integers(2**23, 2**24 - 1)


@given(SIGNIFICANDS, SIGNIFICANDS, SIGNIFICANDS, st.integers(-60, 30), st.sampled_from([1, -1]))
def test_a_fused_multiply_add_is_rounded_once(a, b, c, exponent, sign):
    a, b, c = (
        np.float32(a * 2.0**-24),
        np.float32(b * 2.0**-24),
        np.float32(sign * c * 2.0 ** (exponent - 24)),
    )
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    found = fused_multiply_add(np.array([a]), b, float(c))[0]
    assert exact == 0 or found.view(np.uint32) == rounded_once(exact).view(np.uint32)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("tiny", [0.0, 2.0**-70, -(2.0**-70)])
def test_a_sum_close_to_halfway_is_rounded_to_its_side(sign, tiny):
    halfway = (1 + 2.0**-12) * (1 + 2.0**-12)  # 1 + 2**-11 + 2**-24: halfway between two float32 numbers
    factor = np.float32(1 + 2.0**-12)
    found = fused_multiply_add(np.array([sign * factor]), factor, np.array([tiny], np.float32))[0]
    assert found == rounded_once(Fraction(sign * halfway) + Fraction(tiny))


@pytest.mark.parametrize(
    ("features", "variable", "capability"),
    [
        ("sse2", None, "DEFAULT"),
        ("avx2", None, "DEFAULT"),
        ("avx2 fma", None, "AVX2"),
        ("avx2 fma avx512f avx512vl avx512bw", None, "AVX2"),
        ("avx2 fma avx512vl avx512bw avx512dq", None, "AVX512"),
        ("avx2 fma avx512vl avx512bw avx512dq", "default", "DEFAULT"),
        ("avx2 fma avx512vl avx512bw avx512dq", "avx2", "AVX2"),
        ("sse2", "avx512", "AVX512"),
        ("avx2 fma", "AVX512", "AVX2"),  # torch warns of it, and ignores it
    ],
)
def test_the_instruction_set_is_chosen_as_torch_does(monkeypatch, features, variable, capability):
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(torch_random, "cpu_features", lambda: features)
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    if variable is not None:
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", variable)
    assert cpu_capability.__wrapped__() == capability


def test_the_variable_is_not_read_after_torch_has_read_it(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default" if CAPABILITY != "DEFAULT" else "avx2")
    assert cpu_capability.__wrapped__() == torch.backends.cpu.get_cpu_capability() == CAPABILITY


def test_features_are_those_of_linux():
    assert {"fpu", "sse2"} <= set(cpu_features().split())
