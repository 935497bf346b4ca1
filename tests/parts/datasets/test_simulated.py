import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import make_classification, make_regression
from sklearn.preprocessing import MaxAbsScaler

from mlprun.parts.datasets import datasets

Classification, Regression = datasets["classification"], datasets["regression"]


def test_the_classes_of_the_how_to_have_its_checksum():
    data = Classification(samples=100, features=5, informative=3, seed=101).load()
    assert data.inputs.astype(np.float32).astype(np.float64).sum() == pytest.approx(
        -8.39733899012208, abs=1e-9
    )
    assert data.inputs[0].astype(np.float32).tolist() == pytest.approx(
        [
            1.2427337169647217,
            -0.09387048333883286,
            1.6350990533828735,
            -1.4630030393600464,
            0.8278462290763855,
        ]
    )
    assert data.targets.sum() == 49


def test_every_option_of_make_classification_arrives():
    data = Classification(
        samples=90,
        features=9,
        informative=4,
        redundant=3,
        repeated=1,
        classes=3,
        clusters_per_class=1,
        weights=(0.5, 0.3),
        flip_y=0.1,
        class_sep=0.7,
        hypercube=False,
        shift=None,
        scale=2.0,
        seed=8,
    ).load()
    inputs, labels = make_classification(
        n_samples=90,
        n_features=9,
        n_informative=4,
        n_redundant=3,
        n_repeated=1,
        n_classes=3,
        n_clusters_per_class=1,
        weights=[0.5, 0.3],
        flip_y=0.1,
        class_sep=0.7,
        hypercube=False,
        shift=None,
        scale=2.0,
        random_state=8,
    )
    assert np.array_equal(data.inputs, inputs)
    assert np.array_equal(data.targets, labels)


def test_every_option_of_make_regression_arrives():
    data = Regression(
        samples=60,
        features=7,
        informative=4,
        targets=2,
        bias=3.0,
        noise=0.5,
        effective_rank=3,
        tail_strength=0.2,
        seed=5,
    ).load()
    inputs, targets = make_regression(
        60,
        7,
        n_informative=4,
        n_targets=2,
        bias=3.0,
        noise=0.5,
        effective_rank=3,
        tail_strength=0.2,
        random_state=5,
    )
    assert np.array_equal(data.inputs, inputs)
    assert np.array_equal(data.targets, targets)
    assert data.target_names == ("y1", "y2")


def test_the_defaults_are_those_of_scikit_learn():
    inputs, labels = make_classification(1000, random_state=0)
    data = Classification().load()
    assert np.array_equal(data.inputs, inputs)
    assert np.array_equal(data.targets, labels)
    inputs, targets = make_regression(1000, random_state=0)
    data = Regression().load()
    assert np.array_equal(data.inputs, inputs)
    assert np.array_equal(data.targets[:, 0], targets)


def test_scaling_by_the_maximum_is_that_of_scikit_learn():
    plain = Regression(samples=200, features=20, noise=0.01, seed=1).load()
    scaled = Regression(samples=200, features=20, noise=0.01, seed=1, scale="max").load()
    np.testing.assert_allclose(scaled.inputs, MaxAbsScaler().fit_transform(plain.inputs), rtol=1e-14)
    np.testing.assert_allclose(scaled.targets, MaxAbsScaler().fit_transform(plain.targets), rtol=1e-14)
    assert np.abs(scaled.targets).max() == 1


def test_scaling_leaves_targets_of_zero_alone():
    flat = Regression(samples=1, features=1, scale="max", bias=0.0, seed=1).load()
    assert np.isfinite(flat.targets).all()


def test_more_informative_features_than_features_means_all_of_them():
    assert Regression(features=3).load().inputs.shape == (1000, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 3}, "is 4, more than features: 3; set features to 4 or more"),
        ({"informative": 1}, "set informative to 2 or more"),
        ({"classes": 5, "informative": 3}, "set informative to 4 or more"),
        ({"classes": 1}, "greater than or equal to 2"),
        ({"weights": (0.2, 0.3, 0.5)}, "give one for each class, or leave out the last"),
        ({"weights": (0.7, 0.7)}, "they must sum to 1"),
        ({"weights": (0.2, 0.2)}, "they must sum to 1"),
        ({"weights": (1.2,)}, "less than or equal to 1"),
        ({"classes": 3, "informative": 4, "weights": (0.7, 0.7)}, "they must sum to at most 1"),
        ({"flip_y": 1.1}, "less than or equal to 1"),
        ({"class_sep": 0.0}, "greater than 0"),
        ({"scale": 0.0}, "greater than 0"),
    ],
)
def test_a_classification_that_cannot_be_is_refused_with_what_would_work(options, message):
    with pytest.raises(ValidationError, match=message):
        Classification(**options)


@pytest.mark.parametrize("corners", [(2, 1, 1), (2, 2, 2), (3, 1, 2), (4, 2, 3), (5, 3, 4)])
def test_as_many_clusters_as_corners_are_accepted(corners):
    classes, clusters, informative = corners
    data = Classification(
        classes=classes, clusters_per_class=clusters, informative=informative, samples=60
    ).load()
    assert len(data.inputs) == 60


@pytest.mark.parametrize(
    "options",
    [{"noise": -1.0}, {"tail_strength": 1.5}, {"effective_rank": 0}, {"scale": "min"}, {"targets": 0}],
)
def test_a_regression_out_of_bounds_is_refused(options):
    with pytest.raises(ValidationError, match="should be"):
        Regression(**options)
