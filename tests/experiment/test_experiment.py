"""What an experiment finds only when it has the rows."""

from __future__ import annotations

import pytest

from mlprun import schema
from mlprun.config import document as reading
from mlprun.errors import DataError, UsageError
from mlprun.experiment import Experiment


def experiment(path, rows: str, **sections) -> Experiment:
    path.write_text(rows)
    dataset = {"name": "table", "path": str(path), "target": "y", **sections.pop("dataset", {})}
    return Experiment.of(schema.parse(reading.from_mapping({"dataset": dataset, **sections}, "", "c")))


@pytest.mark.parametrize(("size", "fits"), [(8, False), (16, False), (9, True), (17, True), (100, True)])
def test_batches_of_rows_that_a_column_names_are_large_enough_for_batch_norm(tmp_path, size, fits):
    rows = "x,part,y\n" + "".join(f"{k},{'train' if k < 17 else 'dev'},{k * k}\n" for k in range(20))
    sections = {
        "dataset": {"split": {"column": "part"}},
        "architecture": {"hidden": [4], "norm": "batch"},
        "training": {"batch_size": size},
    }
    if fits:
        assert len(experiment(tmp_path / "t.csv", rows, **sections).fixed["train"]) == 17
        return
    with pytest.raises(UsageError, match=r"training.batch_size: 17 train rows leave a batch of 1 row"):
        experiment(tmp_path / "t.csv", rows, **sections)


def test_targets_stay_as_they_are_for_a_loss_of_counts_while_features_are_scaled(tmp_path):
    rows = "x,y\n" + "".join(f"{k},{k * k}\n" for k in range(40))
    of_counts = experiment(tmp_path / "t.csv", rows, loss="poisson_nll")
    train = of_counts.fixed["train"]
    assert train.targets.tolist() == train.truth.tolist()
    assert train.inputs.mean() == pytest.approx(0, abs=1e-6)
    of_numbers = experiment(tmp_path / "t.csv", rows, loss="mse")
    assert of_numbers.fixed["train"].targets.mean() == pytest.approx(0, abs=1e-6)


def test_targets_beyond_the_run_s_precision_are_refused_with_what_would_work(tmp_path):
    rows = "x,y\n" + "".join(f"{k},{k}e39\n" for k in range(20))
    sections = {"dataset": {"standardize": False, "split": "same"}}
    with pytest.raises(DataError, match=r"'y' is 1e\+39, which float32 cannot hold.*float64"):
        experiment(tmp_path / "t.csv", rows, **sections)
    made = experiment(tmp_path / "t.csv", rows, **sections, training={"dtype": "float64"})
    assert made.fixed["train"].targets[1] == 1e39
    assert len(experiment(tmp_path / "t.csv", rows).fixed["train"]) == 12  # standardised numbers are small


def test_categories_of_dev_and_test_that_train_lacks_are_warnings(tmp_path):
    cities = ["a"] * 6 + ["b", "c", "a"] + ["a", "d", "a"]
    parts = ["train"] * 6 + ["dev"] * 3 + ["test"] * 3
    rows = "".join(f"{c},{k},{p},{k}\n" for k, (c, p) in enumerate(zip(cities, parts, strict=True)))
    made = experiment(tmp_path / "t.csv", "city,x,part,y\n" + rows, dataset={"split": {"column": "part"}})
    what = "not seen during training"
    assert made.warnings == (
        f"column 'city': 2 of 3 dev rows hold categories {what} ('b', 'c'), encoded as all zeros",
        f"column 'city': 1 of 3 test rows holds categories {what} ('d'), encoded as all zeros",
    )


def test_warnings_of_a_wide_table_are_counted_after_the_first(tmp_path):
    names = [f"c{k}" for k in range(30)]
    rows = "".join(",".join(["1"] * 30) + f",{k}\n" for k in range(20))
    warnings = experiment(tmp_path / "t.csv", ",".join(names) + ",y\n" + rows).warnings
    assert len(warnings) == 11
    assert warnings[0].endswith("column 'c0' is the same in every row; it carries no information")
    assert warnings[-1] == "20 more such warnings are not shown"


@pytest.mark.parametrize("few", [0, 39, 40, 10_000])
def test_splits_are_the_same_prepared_together_and_apart(tmp_path, monkeypatch, few):
    rows = "x,colour,y\n" + "".join(f"{k * k},{'rgb'[k % 3]},{'abcd'[k % 4]}\n" for k in range(40))
    sections = {"dataset": {"split": {"train": 22, "dev": 7, "test": 11}}, "loss": "cross_entropy"}
    usual = experiment(tmp_path / "t.csv", rows, **sections, metrics=["accuracy", "cross_entropy"])
    monkeypatch.setattr("mlprun.experiment.experiment.FEW", few)
    made = experiment(tmp_path / "t.csv", rows, **sections, metrics=["accuracy", "cross_entropy"])
    assert {name: len(split) for name, split in made.fixed.items()} == {"train": 22, "dev": 7, "test": 11}
    for name, split in made.fixed.items():
        other = usual.fixed[name]
        pairs = [(split.inputs, other.inputs), (split.targets, other.targets), (split.truth, other.truth)]
        for array, expected in [*pairs, *zip(split.extra, other.extra, strict=True)]:
            assert array.tobytes() == expected.tobytes()
            assert array.base is None  # memory of its own, aligned as any other


def test_a_class_of_dev_or_test_that_train_lacks_is_a_warning(tmp_path):
    labels = ["a", "b"] * 5 + ["c", "a", "c"] + ["c", "d", "b"]
    parts = ["train"] * 10 + ["dev"] * 3 + ["test"] * 3
    rows = "".join(f"{k},{p},{c}\n" for k, (c, p) in enumerate(zip(labels, parts, strict=True)))
    made = experiment(tmp_path / "t.csv", "x,part,y\n" + rows, dataset={"split": {"column": "part"}})
    assert made.warnings == (
        "class 'c' has no train rows, but 2 dev rows and 1 test rows: it cannot be learnt",
        "class 'd' has no train rows, but 1 test rows: it cannot be learnt",
    )


def test_a_fraction_leaves_dev_test_and_what_is_fitted_to_the_train_rows(tmp_path):
    rows = "x,y\n" + "".join(f"{k},{k * k}\n" for k in range(100))
    whole = experiment(tmp_path / "t.csv", rows)
    part = experiment(tmp_path / "t.csv", rows, dataset={"fraction": 0.5})
    assert [len(one) for one in part.fixed.values()] == [30, 20, 20]
    assert part.fixed["train"].inputs.mean() == pytest.approx(0, abs=1e-6)
    for split in ("dev", "test"):
        assert part.fixed[split].truth.tolist() == whole.fixed[split].truth.tolist()
