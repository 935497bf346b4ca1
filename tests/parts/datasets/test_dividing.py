"""Options of a table by which rows are left out or divided: missing_target, group and time."""

import datetime as dt

import numpy as np
import pytest

from mlprun import schema
from mlprun.config import document as reading
from mlprun.errors import ConfigError, DataError, UsageError
from mlprun.experiment import Experiment

DAY = dt.date(2024, 1, 1)


def experiment(path, text, **options):
    path.write_text(text)
    sections = {key: options.pop(key) for key in ("loss",) if key in options}
    dataset = {"name": "table", "path": str(path), "target": "y", **options}
    return Experiment.of(schema.parse(reading.from_mapping({"dataset": dataset, **sections}, "", "c")))


def lines(header, rows):
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


# ---- missing targets


@pytest.mark.parametrize("cell", ["", "NA"])
def test_rows_without_a_target_are_refused_by_name(tmp_path, cell):
    path = tmp_path / "t.csv"
    text = lines("x,y", [(k, cell if k in (3, 5, 8, 9, 11, 14) else k * k) for k in range(20)])
    expected = (
        f"{path}:5: column 'y' is missing, and in {path}:7, {path}:10, {path}:11, 2 more rows; "
        "fill the cells, or set dataset.missing_target to drop"
    )
    with pytest.raises(DataError) as caught:
        experiment(path, text)
    assert str(caught.value) == expected


def test_rows_without_a_target_are_dropped_and_counted(tmp_path):
    path = tmp_path / "t.csv"
    text = lines("x,y", [(k, "" if k % 5 == 0 else k % 2) for k in range(40)])
    made = experiment(path, text, missing_target="drop", split={"train": 20, "dev": 6, "test": 6})
    assert made.warnings == (f"{path}: 8 rows without a target were left out",)
    left = [k for k in range(40) if k % 5]
    inputs = np.concatenate([rows.inputs[:, 0] for rows in made.fixed.values()])
    means, scales = made.preprocessing.input_units
    assert sorted(np.round(inputs * scales[0] + means[0])) == left
    assert made.classes == ("0", "1")


def test_a_row_that_lacks_one_of_several_targets_is_dropped(tmp_path):
    path = tmp_path / "t.csv"
    cells = [(k, "" if k == 2 else k / 3, "" if k in (2, 4) else k / 7) for k in range(20)]
    made = experiment(path, lines("x,y,z", cells), target=["y", "z"], missing_target="drop")
    assert sum(map(len, made.fixed.values())) == 18
    assert made.warnings == (f"{path}: 2 rows without a target were left out",)
    path.write_text(lines("x,y,z", [(k, "" if k % 2 else k, k if k % 2 else "") for k in range(10)]))
    with pytest.raises(DataError, match="has no row with every target"):
        experiment(path, path.read_text(), target=["y", "z"], missing_target="drop")


def test_errors_after_dropping_name_the_lines_of_the_file(tmp_path):
    path = tmp_path / "t.csv"
    text = lines("x,y", [("oops" if k == 7 else k, "" if k < 3 else k * k) for k in range(20)])
    with pytest.raises(DataError, match=rf"{path}:9: column 'x' is 'oops'"):
        experiment(path, text, missing_target="drop")


def test_eval_data_follows_the_option_of_the_training(tmp_path, call):
    path, new = tmp_path / "t.csv", tmp_path / "new.csv"
    new.write_text("x,y\n1,yes\n2,\n3,no\n")
    for option, code in (("drop", 0), ("refuse", 3)):
        path.write_text(lines("x,y", [(k, "yes" if k % 2 else "no") for k in range(30)]))
        config = tmp_path / f"{option}.yaml"
        dataset = f"{{name: table, path: t.csv, target: y, missing_target: {option}}}"
        config.write_text(f"dataset: {dataset}\ntraining: {{epochs: 1}}")
        assert call("train", config, "--out", tmp_path, "-q")[0] == 0
        found, _, err = call("eval", tmp_path / f"{option}-001", "--data", new)
        assert found == code
        if code:
            what = "column 'y' is missing; fill the cells, or set dataset.missing_target to drop"
            assert err == f"error: {new}:3: {what}\n"
        else:
            assert err == f"warning: {new}: 1 row without a target was left out\n"


# ---- groups


def test_a_group_is_in_one_split_and_is_no_feature(tmp_path):
    rows = [(k, f"p{k // 5}", "sick" if k % 3 else "well") for k in range(100)]
    made = experiment(tmp_path / "t.csv", lines("x,patient,y", rows), group="patient", positive="well")
    assert made.preprocessing.input_names == ("x",)
    means, scales = made.preprocessing.input_units
    groups = [set(np.round(one.inputs[:, 0] * scales[0] + means[0]) // 5) for one in made.fixed.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20
    assert list(map(len, groups)) == [12, 4, 4]
    assert made.classes == ("sick", "well")
    assert all(0.2 < (one.truth == 1).mean() < 0.5 for one in made.fixed.values())


def test_a_group_may_be_a_feature_too(tmp_path):
    rows = [(k, k // 5, k * k) for k in range(100)]
    options = {"group": "g", "features": ["x", "g"], "standardize": False}
    made = experiment(tmp_path / "t.csv", lines("x,g,y", rows), **options)
    assert made.preprocessing.input_names == ("x", "g")
    groups = [set(one.inputs[:, 1]) for one in made.fixed.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 20


# ---- time


def dated(count, form=str):
    """Rows in mixed order, with dates of `count` days."""
    order = np.random.default_rng(0).permutation(count)
    return [(k, form(DAY + dt.timedelta(days=int(k))), k % 2) for k in order]


@pytest.mark.parametrize(
    ("form", "options"),
    [
        (str, {}),
        (lambda date: f"{date}T12:30:00", {}),
        (lambda date: date.toordinal(), {}),
        (lambda date: f"{date:%d.%m.%Y}", {"columns": {"when": {"as": "date", "format": "%d.%m.%Y"}}}),
    ],
)
def test_splits_and_folds_go_forward_in_time(tmp_path, form, options):
    path, common = tmp_path / "t.csv", {"time": "when", "standardize": False, **options}
    made = experiment(path, lines("x,when,y", dated(50, form)), **common)
    assert made.preprocessing.input_names == ("x",)
    assert [list(one.inputs[:, 0]) for one in made.fixed.values()] == [
        list(range(30)),
        list(range(30, 40)),
        list(range(40, 50)),
    ]
    split = {"train": 0.75, "dev": 0.25, "folds": 4, "fold": 2}
    made = experiment(path, path.read_text(), split=split, **common)
    assert [(one.inputs[0, 0], one.inputs[-1, 0]) for one in made.fixed.values()] == [
        (0, 14),
        (15, 19),
        (20, 29),
    ]


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        (
            lines("x,t,y", [(k, "" if k == 4 else k, k * k) for k in range(20)]),
            {"time": "t"},
            "{path}:6: column 't' is missing; a row without a time has no place; fill the cell",
        ),
        (
            lines("x,t,y", [(k, "2024-01-01", k * k) for k in range(20)]),
            {"time": "t"},
            "{path}: column 't' is '2024-01-01' in every row; expected times that differ",
        ),
        (
            lines("x,g,y", [(k, "" if k == 4 else k % 5, k * k) for k in range(20)]),
            {"group": "g"},
            "{path}:6: column 'g' is missing; a row without a group has no place; fill the cell",
        ),
        (
            lines("x,g,y", [(k, "a", k * k) for k in range(20)]),
            {"group": "g"},
            "{path}: column 'g' is 'a' in every row; expected several groups",
        ),
    ],
)
def test_columns_that_cannot_divide_rows_are_one_line(tmp_path, text, options, problem):
    path = tmp_path / "t.csv"
    with pytest.raises(DataError) as caught:
        experiment(path, text, **options)
    assert str(caught.value) == problem.format(path=path)


ROWS = lines("x,g,t,y", [(k, k % 2, k, k * k) for k in range(30)])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"group": "g", "time": "t"},
            "c: dataset: group and time cannot both divide the rows; keep one of them",
        ),
        (
            {"time": "t", "split": {"shuffle": True}},
            "c: dataset.split.shuffle: splits go forward in time with dataset.time; expected false",
        ),
        (
            {"group": "g"},
            "c: dataset.split: 2 groups cannot be divided into train, dev, test; leave some of these out",
        ),
        (
            {"group": "g", "split": {"folds": 3, "fold": 1}},
            "c: dataset.split.folds: 2 groups cannot be divided into 3 folds; expected at most 2",
        ),
        (
            {"group": "y"},
            "c: dataset: column 'y' is named twice among target, feature and group; expected it once",
        ),
        ({"time": "when"}, "c: dataset.time: {path}: has no column 'when'; its columns are x, g, t, y"),
        (
            {"group": "g", "split": "same"},
            "c: dataset.split.same: divides the rows already, and dataset.group does too; remove one of them",
        ),
    ],
)
def test_options_that_contradict_each_other_are_one_line(tmp_path, options, problem):
    path = tmp_path / "t.csv"
    with pytest.raises((ConfigError, UsageError)) as caught:
        experiment(path, ROWS, **options)
    assert str(caught.value) == problem.format(path=path)


def test_folds_by_group_and_time_from_the_command_line(tmp_path, call):
    path = tmp_path / "t.csv"
    path.write_text(lines("x,g,t,y", [(k, k // 4, k, k % 2) for k in range(60)]))
    for option in ("group: g", "time: t"):
        config = tmp_path / "a.yaml"
        dataset = f"{{name: table, path: t.csv, target: y, {option}}}"
        config.write_text(f"dataset: {dataset}\ntraining: {{epochs: 2}}")
        code, out, _ = call("train", config, "--folds", "3", "--out", tmp_path / option[0], "-q")
        assert code == 0
        assert "mean over 3 folds with 95% interval" in out
