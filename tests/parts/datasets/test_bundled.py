import subprocess
import sys
from importlib.machinery import ModuleSpec, PathFinder

import numpy as np
import pytest
from sklearn import datasets as sklearn_datasets

from mlprun.parts.datasets import datasets

NAMES = ["iris", "wine", "breast_cancer", "digits", "diabetes"]


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_names_are_those_of_scikit_learn(name):
    bunch = getattr(sklearn_datasets, f"load_{name}")()
    data = datasets[name]().load()
    assert data.inputs.dtype == bunch.data.dtype
    assert data.inputs.tobytes() == bunch.data.tobytes()
    assert data.targets.ravel().tobytes() == bunch.target.astype(data.targets.dtype).tobytes()
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
    assert raw.inputs.tobytes() == sklearn_datasets.load_diabetes(scaled=False).data.tobytes()
    assert raw.inputs[:, 0].max() == 79  # years


def test_scikit_learn_is_not_imported():
    program = f"""
import sys
from mlprun.parts.datasets import datasets
for name in {NAMES}:
    datasets[name]().load()
sys.exit("sklearn" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("content", [None, "150,4\n1,2,3,4,0\n", "150,4\n1,2,x,4,0\n"])
def test_files_that_are_missing_or_others_are_left_to_scikit_learn(tmp_path, monkeypatch, content):
    expected = datasets["iris"]().load()
    folder = tmp_path / "datasets/data"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "iris.csv").write_text(content)
    spec = ModuleSpec("sklearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(PathFinder, "find_spec", lambda name: spec)
    found = datasets["iris"]().load()
    assert np.array_equal(found.inputs, expected.inputs)
    assert np.array_equal(found.targets, expected.targets)
