"""Initial weights from a checkpoint go with the columns and classes that it was trained with."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import mlprun.api as mlprun
from mlprun import evaluation
from mlprun.errors import CheckpointError, UsageError
from mlprun.experiment import Experiment
from mlprun.parts import splits
from mlprun.storage import checkpoints

ROWS = [(k, -2 * k + k % 3, "malignant" if k < 20 else "benign") for k in range(40)]


def table(folder, name, header="a,b,y", *, order=(0, 1, 2), labels=None):
    lines = [",".join(str((labels or {}).get(row[k], row[k])) for k in order) for row in ROWS]
    (folder / name).write_text("\n".join([header, *lines]) + "\n")
    return {"name": "table", "path": str(folder / name), "target": "y"}


def train(folder, dataset, init=None, **others):
    architecture = {"hidden": [3]} | ({} if init is None else {"init": {"name": "file", "path": str(init)}})
    config = {"dataset": dataset, "architecture": architecture, "training": {"epochs": 1}, **others}
    return mlprun.train(config, out=str(folder / "runs"))


@pytest.fixture
def first(tmp_path):
    return train(tmp_path, table(tmp_path, "first.csv"))


OTHERS = [
    ({"labels": {"malignant": "bad", "benign": "ok"}}, {}, "classes benign, malignant, and .* bad, ok"),
    ({"header": "a,c,y"}, {}, "columns a, b, and this dataset has a, c"),
    ({"header": "b,a,y", "order": (1, 0, 2)}, {}, "columns a, b, and this dataset has b, a"),
    ({}, {"positive": "benign"}, "has malignant, benign; set dataset.positive to 'malignant'"),
]


@pytest.mark.parametrize(("changes", "options", "problem"), OTHERS)
def test_other_names_or_another_order_are_refused(first, tmp_path, changes, options, problem):
    dataset = table(tmp_path, "other.csv", **changes) | options
    with pytest.raises(UsageError, match=problem):
        train(tmp_path, dataset, first.folder.best)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(
        [first.folder.name, "latest"]
    )


def test_columns_are_brought_in_order_by_their_names(first, tmp_path):
    dataset = table(tmp_path, "turned.csv", "b,a,y", order=(1, 0, 2)) | {"features": ["a", "b"]}
    again = train(tmp_path, dataset, first.folder.best, training={"epochs": 0})
    assert again.metrics["last"]["splits"] == first.metrics["best"]["splits"]


def test_a_file_without_names_is_taken_as_it_is(first, tmp_path):
    model = checkpoints.read(first.folder.best).under("model.")
    save_file({name: np.array(array) for name, array in model.items()}, tmp_path / "plain.safetensors")
    dataset = table(tmp_path, "other.csv", labels={"malignant": "bad", "benign": "ok"})
    again = train(tmp_path, dataset, tmp_path / "plain.safetensors", training={"epochs": 0})
    assert again.last.network.state_dict().keys() == first.last.network.state_dict().keys()


def test_what_does_not_fit_is_left_out_and_named_if_init_is_not_strict(first, tmp_path):
    dataset = table(tmp_path, "other.csv", labels={"malignant": "bad", "benign": "ok"})

    def made(path, hidden, **options):
        init = {"name": "file", "path": str(path), **options}
        config = {"dataset": dataset, "architecture": {"hidden": hidden, "init": init}}
        experiment = evaluation.check_initial_weights(Experiment.of(mlprun.load_config(config)))
        return experiment, experiment.initial()

    experiment, taken = made(first.folder.path, [3, 2], strict=False)  # the best checkpoint of the run folder
    model = checkpoints.read(first.folder.best).under("model.")
    np.testing.assert_array_equal(taken["layers.0.weight"], model["layers.0.weight"])
    left_out, classes = experiment.warnings
    shapes = "layers.1.weight has shape [1, 3] where the network has [2, 3]"
    assert left_out.startswith(f"{first.folder.best}: left out layers.1.bias has shape")
    assert shapes in left_out
    assert "was trained with classes benign, malignant" in classes
    plain = tmp_path / "plain.safetensors"
    save_file({name: np.array(array) for name, array in model.items()}, plain)
    with pytest.raises(UsageError, match=r"\[2, 3\]; .*architecture.init.strict: false leaves tensors out"):
        made(plain, [3, 2])
    with pytest.raises(UsageError, match="none of its tensors has the name and shape"):
        made(plain, [], strict=False)
    with pytest.raises(CheckpointError, match="is a folder, not a file"):
        made(tmp_path, [3])


def test_test_rows_that_were_trained_on_are_counted(first, tmp_path):
    """Rows of a copy of the table, divided by another seed."""
    dataset = table(tmp_path, "copy.csv")

    def made(seed):
        architecture = {"hidden": [3], "init": {"name": "file", "path": first.folder.best}}
        config = {"dataset": dataset | {"seed": seed}, "architecture": architecture}
        return evaluation.check_initial_weights(Experiment.of(mlprun.load_config(config)))

    divided = [made(seed).config.dataset for seed in (0, 1)]
    then, now = (splits.divide(one.split, one.load(), seed=one.seed) for one in divided)
    count = len(set(now.test) & set(then.train))
    assert 0 < count < len(now.test)
    (line,) = made(1).warnings
    assert line.startswith(f"{count} of {len(now.test)} test rows were train rows of {first.folder.best}: ")
    assert made(0).warnings == ()
