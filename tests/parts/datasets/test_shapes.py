import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import make_circles

from mlprun.parts.datasets import datasets

Circles, Spirals, Checkerboard = datasets["circles"], datasets["spirals"], datasets["checkerboard"]


def sorted_rows(rows, labels):
    return np.array(sorted(np.column_stack([labels, rows]).round(9).tolist()))


@pytest.mark.parametrize("samples", [2, 9, 100])
def test_circles_without_noise_are_those_of_scikit_learn(samples):
    data = Circles(samples=samples, noise=0.0, factor=0.7).load()
    expected = make_circles(samples, shuffle=False, noise=None, factor=0.7)
    np.testing.assert_allclose(sorted_rows(data.inputs, data.targets), sorted_rows(*expected), atol=1e-8)


def test_circles_have_the_given_noise():
    clean, noisy = Circles(noise=0.0, samples=5000).load(), Circles(noise=0.2, samples=5000).load()
    assert np.array_equal(clean.targets, noisy.targets)
    assert (noisy.inputs - clean.inputs).std() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("arms", [2, 3, 7])
def test_every_row_lies_on_the_arm_of_its_class(arms):
    data = Spirals(arms=arms, turns=1.75, noise=0.0, samples=100).load()
    radius, angle = np.hypot(*data.inputs.T), np.arctan2(data.inputs[:, 1], data.inputs[:, 0])
    turn = angle / (2 * np.pi) - 1.75 * radius - data.targets / arms
    np.testing.assert_allclose(turn, np.rint(turn), atol=1e-9)
    assert 0 < radius.min() < radius.max() < 1


def test_arms_have_equally_many_rows():
    counts = np.bincount(Spirals(arms=3, samples=100).load().targets)
    assert sorted(counts) == [33, 33, 34]


def test_spirals_have_the_given_noise():
    clean, noisy = Spirals(noise=0.0, samples=5000).load(), Spirals(noise=0.05, samples=5000).load()
    assert (noisy.inputs - clean.inputs).std() == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize("cells", [2, 3, 8])
def test_neighbouring_cells_of_a_checkerboard_alternate(cells):
    data = Checkerboard(cells=cells).load()
    across, up = np.sin(np.pi * cells * (data.inputs + 1) / 2).T
    assert np.array_equal(across * up < 0, data.targets == 1)


def test_a_checkerboard_is_covered_evenly():
    rows = Checkerboard(samples=9000).load().inputs
    counts, _, _ = np.histogram2d(*rows.T, bins=3, range=[[-1, 1], [-1, 1]])
    assert np.abs(counts - 1000).max() < 4.5 * np.sqrt(1000 * 8 / 9)


def test_noise_moves_the_points_of_a_checkerboard_after_they_have_their_class():
    clean, noisy = Checkerboard().load(), Checkerboard(noise=0.1).load()
    assert np.array_equal(clean.targets, noisy.targets)
    assert (noisy.inputs - clean.inputs).std() == pytest.approx(0.1, rel=0.06)


@pytest.mark.parametrize(
    ("part", "options"),
    [
        (Circles, {"factor": 1.0}),
        (Circles, {"noise": -0.1}),
        (Spirals, {"arms": 1}),
        (Spirals, {"arms": 1_000_000_000}),
        (Spirals, {"turns": 0.0}),
        (Checkerboard, {"cells": 1}),
        (Checkerboard, {"samples": 0}),
    ],
)
def test_options_out_of_bounds_are_refused(part, options):
    with pytest.raises(ValidationError, match="should be"):
        part(**options)
