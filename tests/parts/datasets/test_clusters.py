from math import erf

import numpy as np
import pytest
from pydantic import ValidationError

from mlprun.parts.datasets import datasets

Blobs, Gaussians = datasets["blobs"], datasets["gaussians"]


def centres(data):
    return {(label, *row) for label, row in zip(data.targets.tolist(), data.inputs.tolist(), strict=True)}


def test_blobs_without_spread_are_their_centres_in_the_box():
    data = Blobs(centers=5, features=3, cluster_std=0.0, center_box=(2.0, 4.0), samples=50).load()
    assert len(centres(data)) == 5
    assert data.inputs.min() >= 2
    assert data.inputs.max() < 4
    assert np.bincount(data.targets).tolist() == [10] * 5


def test_fresh_blobs_have_the_same_centres():
    blobs = Blobs(cluster_std=0.0, samples=30, seed=9)
    assert centres(blobs.fresh(30, epoch=4, step=0)) == centres(blobs.load())
    assert centres(Blobs(cluster_std=0.0, samples=30, seed=8).load()) != centres(blobs.load())


def test_the_number_of_rows_does_not_move_the_centres():
    assert centres(Blobs(cluster_std=0.0, samples=30).load()) == centres(
        Blobs(cluster_std=0.0, samples=99).load()
    )


def test_blobs_spread_as_asked_around_their_centres():
    data = Blobs(cluster_std=0.5, samples=9000).load()
    middle = Blobs(cluster_std=0.0, samples=9000).load()
    assert np.array_equal(data.targets, middle.targets)
    assert (data.inputs - middle.inputs).std() == pytest.approx(0.5, rel=0.03)


def test_gaussians_have_the_means_and_covariances_that_were_given():
    means = ((0.0, 5.0), (3.0, -1.0), (8.0, 8.0))
    covariances = (((1.0, 0.6), (0.6, 2.0)), ((0.5, 0.0), (0.0, 0.1)), ((2.0, -1.0), (-1.0, 1.0)))
    data = Gaussians(means=means, covariances=covariances, samples=60_000).load()
    for label in range(3):
        rows = data.inputs[data.targets == label]
        np.testing.assert_allclose(rows.mean(axis=0), means[label], atol=0.05)
        np.testing.assert_allclose(np.cov(rows.T), covariances[label], atol=0.06)


def test_the_best_possible_accuracy_on_gaussians_is_the_known_one():
    # unit variance and means 2 * sqrt(2) apart: the best line is right with probability Phi(sqrt(2))
    data = Gaussians(samples=40_000).load()
    accuracy = np.mean((data.inputs.sum(axis=1) > 0) == data.targets)
    assert accuracy == pytest.approx((1 + erf(1)) / 2, abs=0.006)


def test_classes_of_gaussians_have_their_shares():
    data = Gaussians(means=((0.0,), (1.0,), (2.0,)), weights=(1.0, 2.0, 5.0), samples=80).load()
    assert np.bincount(data.targets).tolist() == [10, 20, 50]
    assert len(Gaussians(weights=(1.0, 2.0), samples=7).load().targets) == 7


def test_rows_are_shuffled():
    assert len(set(Gaussians().load().targets[:40].tolist())) == 2


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (Blobs, {"centers": 1}, "greater than or equal to 2"),
        (Blobs, {"center_box": (1.0, 1.0)}, "must be below the highest"),
        (Gaussians, {"means": ((1.0, 2.0),)}, "at least 2 items"),
        (Gaussians, {"means": ((1.0, 2.0), (3.0,))}, "mean 2 has length 1, but mean 1 has length 2"),
        (Gaussians, {"weights": (1.0,)}, "give one for each of the 2 means"),
        (Gaussians, {"weights": (1.0, 0.0)}, "greater than 0"),
        (Gaussians, {"covariances": (((1.0,),),)}, "give one for each of the 2 means"),
        (Gaussians, {"covariances": (((1.0,),), ((1.0,),))}, "2 rows of 2 numbers"),
        (
            Gaussians,
            {"covariances": (((1.0, 0.2), (0.1, 1.0)), ((1.0, 0.0), (0.0, 1.0)))},
            "covariance 1 is not symmetric and positive",
        ),
        (
            Gaussians,
            {"covariances": (((1.0, 0.0), (0.0, 1.0)), ((1.0, 2.0), (2.0, 1.0)))},
            "covariance 2 is not symmetric and positive definite",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_would_work(part, options, message):
    with pytest.raises(ValidationError, match=message):
        part(**options)
