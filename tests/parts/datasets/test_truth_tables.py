import functools
import operator

import numpy as np
import pytest

from mlprun.parts.datasets import datasets

Xor, Parity = datasets["xor"], datasets["parity"]


def test_xor_is_its_truth_table():
    data = Xor().load()
    assert data.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert data.targets.tolist() == [0, 1, 1, 0]


def test_xor_repeats_its_rows_in_order():
    data = Xor(repeat=3).load()
    assert data.inputs.tolist() == Xor().load().inputs.tolist() * 3
    assert data.targets.tolist() == [0, 1, 1, 0] * 3


def test_noise_on_xor_has_the_given_standard_deviation_and_leaves_the_classes():
    noisy, clean = Xor(repeat=2500, noise=0.3).load(), Xor(repeat=2500).load()
    assert np.array_equal(noisy.targets, clean.targets)
    assert (noisy.inputs - clean.inputs).std() == pytest.approx(0.3, rel=0.03)


def test_fresh_rows_of_xor_go_round_its_table():
    data = Xor(noise=0.05).fresh(6, epoch=0, step=0)
    assert np.rint(data.inputs).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [0, 0], [0, 1]]
    assert data.targets.tolist() == [0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 9])
def test_parity_is_the_exclusive_or_of_the_bits(bits):
    data = Parity(bits=bits, noise=0.02).load()
    for row, target in zip(data.inputs, data.targets, strict=True):
        assert functools.reduce(operator.xor, (int(bit > 0.5) for bit in row)) == target


def test_bits_are_fair_and_independent():
    bits = Parity(bits=3, noise=0.0, samples=8000).load().inputs
    counts = np.bincount(bits.astype(int) @ [4, 2, 1], minlength=8)
    assert counts.sum() == 8000
    assert np.abs(counts - 1000).max() < 4.5 * np.sqrt(1000 * 7 / 8)


def test_noise_on_the_bits_is_normal_with_the_given_standard_deviation():
    rows = Parity(bits=2, samples=20_000).load().inputs
    noise = rows - np.rint(rows)  # N(0, 0.1^2) stays within half a bit
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.002)
    assert np.mean(np.abs(noise) < 0.1) == pytest.approx(0.6827, abs=0.01)
