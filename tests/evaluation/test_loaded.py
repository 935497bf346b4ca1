"""A checkpoint made into something that answers: alone, moved, for its own rows and for new ones."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import mlprun.api as mlprun
from mlprun import cli
from mlprun.errors import CheckpointError, DataError, UsageError
from mlprun.storage import checkpoints
from mlprun.storage.checkpoints import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

MOONS = {"name": "moons", "split": {"train": 45, "dev": 20, "test": 15}}


def train(folder: Path, **sections: Any) -> mlprun.Run:
    config = {"name": "run", "dataset": MOONS, "training": {"epochs": 6}} | sections
    return mlprun.train(config, out=str(folder / "runs"))


FLATS = [
    (round(20 + 1.7 * k % 60, 2), ("north", "south", "west")[k % 3], 1900 + 3 * k, 300.5 + 7 * (k % 13))
    for k in range(60)
]


def flats(path: Path, rows: list[Any] = FLATS, *, target: bool = True) -> Path:
    lines = ["area,district,built" + (",rent" if target else "")]
    lines += [",".join(map(str, row if target else row[:3])) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def rented(tmp_path: Path) -> mlprun.Run:
    """A network of rents, trained on a table with a category."""
    flats(tmp_path / "flats.csv")
    dataset = {"name": "table", "path": str(tmp_path / "flats.csv"), "target": "rent"}
    config = {"dataset": dataset, "optimizer": {"name": "adam", "lr": 0.02}, "metrics": ["r2", "mae"]}
    return train(tmp_path, **config, training={"epochs": 30})


@pytest.mark.parametrize("kind", ["best", "last"])
def test_a_checkpoint_that_was_moved_says_what_training_said(kind: str, tmp_path: Path) -> None:
    run = train(tmp_path)
    path = getattr(run.folder, kind)
    said = run.metrics[kind]["splits"]
    moved = tmp_path / "elsewhere" / "kept.safetensors"
    moved.parent.mkdir()
    shutil.copy(path, moved)
    shutil.rmtree(run.path)
    loaded = mlprun.load_checkpoint(moved)
    assert loaded.evaluate() == said
    assert loaded.evaluate(["test"]) == {"test": said["test"]}
    assert not loaded.network.training


def test_a_run_folder_means_its_best(tmp_path: Path) -> None:
    run = train(tmp_path, best={"metric": "dev_accuracy"}, training={"epochs": 40})
    assert run.metrics["best"]["epoch"] < 40
    loaded = mlprun.load_checkpoint(run.path)
    assert loaded.epoch == run.metrics["best"]["epoch"]
    assert loaded.evaluate() == run.metrics["best"]["splits"]


def test_fresh_rows_are_drawn_again_as_training_drew_them(tmp_path: Path) -> None:
    fresh = {"name": "circles", "split": {"train": 30, "dev": {"fresh": 25}, "test": {"fresh": 35}}}
    run = train(tmp_path, dataset=fresh)
    assert run.best.evaluate() == run.metrics["best"]["splits"]
    assert run.best.evaluate()["dev"]["loss"] == run.history["dev_loss"][run.best.epoch - 1]
    assert len(run.rows("test")) == 35


def test_the_figures_are_those_of_a_plain_computation(tmp_path: Path) -> None:
    run = train(tmp_path, metrics=["accuracy", "confusion_matrix"])
    rows = run.rows("test")
    values = run.best.network.preactivation(torch.from_numpy(rows.inputs)).detach()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(values, torch.from_numpy(rows.targets))
    said = run.best.evaluate()["test"]
    labels = (values[:, 0] > 0).numpy().astype(int)
    assert said["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert said["accuracy"] == np.mean(labels == rows.truth)
    matrix = [[int(np.sum((rows.truth == a) & (labels == b))) for b in (0, 1)] for a in (0, 1)]
    assert said["confusion_matrix"] == matrix
    assert "train_confusion_matrix" not in run.history


def test_a_table_that_is_gone_is_an_error_that_names_data(
    rented: mlprun.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flats.csv").unlink()
    with pytest.raises(DataError, match="--data"):
        mlprun.load_checkpoint(rented.path).evaluate()
    assert cli.main(["eval", rented.path]) == 3
    assert "--data" in capsys.readouterr().err


def test_a_table_that_changed_is_no_longer_divided_as_it_was(rented: mlprun.Run, tmp_path: Path) -> None:
    flats(tmp_path / "flats.csv", FLATS[1:])  # every row would move to another place, and perhaps split
    with pytest.raises(DataError, match=r"no longer those .* trained with; evaluate .* --data"):
        mlprun.load_checkpoint(rented.path).evaluate()


def test_another_table_is_evaluated_where_the_first_is_gone(rented: mlprun.Run, tmp_path: Path) -> None:
    said = rented.metrics["best"]["splits"]
    (tmp_path / "flats.csv").unlink()
    loaded = mlprun.load_checkpoint(rented.path)
    again = loaded.evaluate_data(loaded.table(str(flats(tmp_path / "same.csv"))))
    shares = {"train": 36, "dev": 12, "test": 12}
    for figure in ("loss", "mae"):  # means over rows: that of all is that of the splits together
        whole = sum(shares[split] * said[split][figure] for split in shares) / 60
        assert again[figure] == pytest.approx(whole, rel=1e-5)


def test_predictions_are_in_the_users_units_and_in_the_order_of_the_rows(
    rented: mlprun.Run, tmp_path: Path
) -> None:
    known = flats(tmp_path / "new.csv", target=False)
    table = rented.best.predict_table(str(known))
    assert table.columns == ("rent",)
    found = np.array(table.rows)[:, 0]
    mae = np.mean(np.abs(found - [row[3] for row in FLATS]))
    whole = rented.best.evaluate_data(rented.best.table(str(tmp_path / "flats.csv")))
    assert mae == pytest.approx(whole["mae"], rel=1e-6)
    assert 250 < found.min() < found.max() < 450
    backwards = rented.best.predict_table(str(flats(tmp_path / "back.csv", FLATS[::-1], target=False)))
    np.testing.assert_allclose(np.array(backwards.rows)[::-1, 0], found, rtol=1e-6)


def test_columns_may_stand_in_any_order_and_others_are_ignored(rented: mlprun.Run, tmp_path: Path) -> None:
    plain = rented.best.predict_table(str(flats(tmp_path / "new.csv", target=False)))
    lines = ["note,built,area,district"] + [
        f"hello,{built},{area},{where}" for area, where, built, _ in FLATS
    ]
    (tmp_path / "mixed.csv").write_text("\n".join(lines) + "\n")
    assert rented.best.predict_table(str(tmp_path / "mixed.csv")).rows == plain.rows
    (tmp_path / "short.csv").write_text("area,built\n3,1950\n")
    with pytest.raises(DataError, match="district"):
        rented.best.predict_table(str(tmp_path / "short.csv"))


def test_predictions_survive_their_csv(
    rented: mlprun.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(flats(tmp_path / "new.csv", target=False))
    assert cli.main(["predict", rented.path, path]) == 0
    lines = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert lines[0] == ["rent"]
    assert [[float(cell) for cell in line] for line in lines[1:]] == rented.best.predict_table(path).rows


def test_standard_input_is_a_table_too(
    rented: mlprun.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = flats(tmp_path / "new.csv", target=False)
    expected = rented.best.predict_table(str(path)).rows
    stream = io.TextIOWrapper(io.BytesIO(path.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    assert rented.best.predict_table("-").rows == expected


@pytest.mark.parametrize(
    ("dataset", "loss", "columns"),
    [
        (MOONS, "bce", ("class", "p(outer)", "p(inner)")),
        ({"name": "iris"}, "cross_entropy", ("class", "p(setosa)", "p(versicolor)", "p(virginica)")),
        ({"name": "iris"}, "nll", ("class", "p(setosa)", "p(versicolor)", "p(virginica)")),
        ({"name": "iris"}, "hinge", ("class", "output0", "output1", "output2")),
    ],
)
def test_classes_are_named_and_probabilities_sum_to_one(
    dataset: dict[str, Any], loss: str, columns: tuple[str, ...], tmp_path: Path
) -> None:
    run = train(tmp_path, dataset=dataset, loss=loss)
    data = run.config.dataset.load()
    path = tmp_path / "rows.csv"
    lines = [",".join(data.input_names)] + [",".join(map(repr, row)) for row in data.inputs.tolist()]
    path.write_text("\n".join(lines) + "\n")
    table = run.best.predict_table(str(path))
    assert table.columns == columns
    names, numbers = [row[0] for row in table.rows], np.array([row[1:] for row in table.rows])
    if loss != "hinge":
        np.testing.assert_allclose(numbers.sum(axis=1), 1, rtol=1e-6)
    assert names == [data.classes[place] for place in numbers.argmax(axis=1)]
    truth = [data.classes[label] for label in data.targets]
    right = np.mean([name == true for name, true in zip(names, truth, strict=True)])
    splits = run.best.evaluate()
    shares = {split: len(run.rows(split)) for split in splits}
    total = sum(shares[split] * figures["accuracy"] for split, figures in splits.items())
    assert right == pytest.approx(total / len(truth))


def test_a_network_from_a_file_that_is_gone_is_loaded(tmp_path: Path) -> None:
    first = train(tmp_path)
    start = tmp_path / "start.safetensors"
    shutil.copy(first.folder.last, start)
    run = train(tmp_path, architecture={"init": {"name": "file", "path": str(start)}})
    start.unlink()
    assert mlprun.load_checkpoint(run.path).evaluate() == run.metrics["best"]["splits"]
    assert mlprun.load(run.path).model(torch.zeros(1, 2)).shape == (1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.layers.0.bias"), "layers.0.bias is missing"),
        (lambda t: t.update({"model.layers.0.bias": np.zeros(3, np.float32)}), r"float32\[3\].*float32\[8\]"),
        (lambda t: t.update({"model.layers.0.bias": np.zeros(8)}), "float64"),
        (
            lambda t: t.update({"model.layers.7.bias": np.zeros(3, np.float32)}),
            "unknown tensor layers.7.bias",
        ),
    ],
)
def test_tensors_that_are_not_the_configs_are_refused(
    change: Callable[[Any], Any], message: str, tmp_path: Path
) -> None:
    run = train(tmp_path)
    checkpoint = checkpoints.read(run.folder.best)
    tensors = dict(checkpoint.tensors)
    change(tensors)
    path = tmp_path / "changed.safetensors"
    path.write_bytes(checkpoints.encode(Checkpoint(tensors, checkpoint.meta)))
    with pytest.raises(CheckpointError, match=message) as caught:
        mlprun.load_checkpoint(path)
    assert caught.value.exit_code == 4


def test_a_checkpoint_with_code_needs_leave_to_run_it(tmp_path: Path) -> None:
    part = tmp_path / "cube.py"
    part.write_text(
        "from typing import Literal\n"
        "from mlprun.parts.activations import Activation, activations\n"
        "@activations.register\n"
        "class CubeForEvaluation(Activation):\n"
        '    """Its cube."""\n'
        '    name: Literal["cube_for_evaluation"] = "cube_for_evaluation"\n'
        "    def build(self):\n"
        "        from torch import nn\n"
        "        return nn.Softsign()\n"
    )
    config = {
        "dataset": MOONS,
        "extend": [str(part)],
        "architecture": {"activation": "cube_for_evaluation"},
        "training": {"epochs": 2},
    }
    run = mlprun.train(config, out=str(tmp_path / "runs"), allow_code=True)
    part.unlink()
    with pytest.raises(UsageError, match="--allow-code"):
        mlprun.load_checkpoint(run.path)
    loaded = mlprun.load_checkpoint(run.path, allow_code=True)
    assert loaded.evaluate() == run.metrics["best"]["splits"]


def test_dev_that_nobody_named_leaves_a_run_without_a_best(tmp_path: Path) -> None:
    rows = "".join(f"{k},{k % 7},{'test' if k % 4 == 0 else 'train'}\n" for k in range(40))
    (tmp_path / "rows.csv").write_text("a,y,part\n" + rows)
    dataset = {
        "name": "table",
        "path": str(tmp_path / "rows.csv"),
        "target": "y",
        "split": {"column": "part"},
    }
    config = {"dataset": dataset, "optimizer": {"name": "sgd", "lr": 0.01}}
    run = train(tmp_path, **config)
    assert run.metrics["best"] is None
    assert not Path(run.folder.best).exists()
    assert set(run.best.evaluate()) == {"train", "test"}
    assert run.best.epoch == 6
    assert np.isnan(run.history["dev_loss"]).all()
    for watching in ({"early_stopping": {"patience": 2}}, {"schedule": "reduce_on_plateau"}):
        with pytest.raises(UsageError, match="dev has no rows"):
            train(tmp_path, **config, **watching)
