import numpy as np
import pytest
from sklearn import datasets as sklearn_datasets

from mlprun.parts.datasets import datasets

NAMES = ["iris", "wine", "breast_cancer", "digits", "diabetes"]


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_names_are_those_of_scikit_learn(name):
    bunch = getattr(sklearn_datasets, f"load_{name}")()
    data = datasets[name]().load()
    assert np.array_equal(data.inputs, bunch.data)
    assert np.array_equal(data.targets.ravel(), bunch.target)
    assert data.input_names == tuple(bunch.feature_names)


@pytest.mark.parametrize("name", NAMES)
def test_the_constant_facts_are_those_of_scikit_learn(name):
    bunch = getattr(sklearn_datasets, f"load_{name}")()
    info = datasets[name]().info()
    assert (info.rows, info.inputs) == bunch.data.shape
    assert info.targets == 1
    assert info.classes == (None if name == "diabetes" else tuple(str(label) for label in bunch.target_names))


def test_diabetes_can_be_in_its_own_units():
    raw = datasets["diabetes"](scaled=False).load()
    assert np.array_equal(raw.inputs, sklearn_datasets.load_diabetes(scaled=False).data)
    assert raw.inputs[:, 0].max() == 79  # years
