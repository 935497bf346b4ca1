"""Training on tables in memory: data frames, arrays and lists mean what the same values do in a file."""

import datetime as dt
import hashlib
import json
import shutil
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mlprun
from mlprun.errors import ConfigError, DataError, MlprunError, UsageError
from mlprun.parts.datasets.table.frames import table_of

ROWS = 60
CONFIG = {"architecture": {"hidden": [3]}, "training": {"epochs": 12}}
COMPARED = ("history.csv", "best.safetensors", "last.safetensors")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config(**dataset):
    return {**CONFIG, "dataset": dataset}


def mixed():
    """Columns of several types with missing cells, as lists."""
    rng = np.random.default_rng(0)
    cities = [str(city) for city in rng.choice(["Bern", "Rome", " Oslo "], ROWS)]
    days = [dt.date(2024, 1, 1) + dt.timedelta(int(day)) for day in rng.integers(0, 300, ROWS)]
    columns = {
        "size": rng.normal(size=ROWS).tolist(),
        "rooms": rng.integers(1, 6, ROWS).tolist(),
        "city": cities,
        "garden": (rng.random(ROWS) > 0.5).tolist(),
        "built": days,
    }
    for number, name in enumerate(columns):
        if name != "garden":
            columns[name][number] = None
    columns["sold"] = [["no", "yes"][garden] for garden in columns["garden"]]
    return columns


MIXED = config(target="sold", missing="impute", columns={"built": {"as": "date"}})


def contents(run):
    return {name: (Path(run.path) / name).read_bytes() for name in COMPARED}


def from_csv(frame, given):
    frame.write_csv("rows.csv")
    given = {**given, "dataset": {"name": "table", "path": "rows.csv", **given["dataset"]}}
    return mlprun.train(given, out="files")


def test_a_frame_of_polars_trains_as_its_csv_does():
    frame = pl.DataFrame(mixed())
    run = mlprun.train(MIXED, data=frame)
    file = from_csv(frame, MIXED)
    assert run.record["data_digest"] == file.record["data_digest"]
    assert (run.folder.path, file.folder.path) == ("runs/config-001", "files/config-001")
    assert Path(run.folder.history).read_bytes() == Path(file.folder.history).read_bytes()


@pytest.mark.parametrize("dtypes", ["objects", "nullable", "categorical", "inferred"])
def test_a_frame_of_pandas_trains_as_its_csv_does(dtypes):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(mixed(), dtype=object if dtypes == "objects" else None)
    if dtypes == "nullable":
        frame = frame.convert_dtypes()
    if dtypes == "categorical":
        frame = frame.astype({"city": "category", "rooms": "category", "sold": "category"})
    if dtypes == "inferred":
        frame["built"] = pandas.to_datetime(frame["built"])
        assert str(frame["rooms"].dtype) == "float64"
    run, file = mlprun.train(MIXED, data=frame), from_csv(pl.DataFrame(mixed()), MIXED)
    assert run.record["data_digest"] == file.record["data_digest"]


def test_times_with_a_zone_are_in_utc_as_in_a_file():
    pandas = pytest.importorskip("pandas")
    times = pandas.Series(pandas.to_datetime(["2024-01-02 12:00", None])).dt.tz_localize("Europe/Berlin")
    content = table_of(pandas.DataFrame({"time": times}))[0].content
    assert pl.read_parquet(content)["time"].to_list() == [dt.datetime(2024, 1, 2, 11), None]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, 2.5, None], [1.0, 2.5, None]),
        ([1, "a", True, None], ["1", "a", "True", None]),
        ([np.float64(1.5), float("nan")], [1.5, None]),
        ([Decimal("1.5"), None], [Decimal("1.5"), None]),
        ([2**200, None], [str(2**200), None]),
        ([None, None], [None, None]),
        (
            [dt.date(2024, 1, 2), dt.datetime(2024, 1, 2, 3)],
            ["2024-01-02", "2024-01-02 03:00:00"],
        ),
    ],
)
def test_a_column_of_several_types_is_text_as_in_a_csv_file(cells, expected):
    content = table_of([{"x": cell} for cell in cells])[0].content
    assert pl.read_parquet(content)["x"].to_list() == expected


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble", "uint8", "int64", "bool"])
def test_arrays_keep_their_values(dtype):
    values = np.array([[0, 1], [1, 1], [1, 0]]).astype(dtype)
    content = table_of(values, values[:, 0])[0].content
    frame = pl.read_parquet(content)
    assert frame.columns == ["x1", "x2", "y"]
    assert np.array_equal(frame[["x1", "x2"]].to_numpy().astype(float), values.astype(float))


def test_targets_beside_an_array_need_no_dataset():
    rng = np.random.default_rng(0)
    inputs, classes = rng.normal(size=(ROWS, 2)), rng.integers(0, 2, ROWS)
    run = mlprun.train(CONFIG, data=(inputs, classes))
    assert run.config.dataset.target == "y"
    assert run.best.preprocessing.input_names == ("x1", "x2")
    assert run.best.experiment.classes == ("0", "1")
    assert (
        mlprun.train("dataset: {standardize: false}", data=(inputs, classes)).config.dataset.standardize
        is False
    )
    several = mlprun.train(CONFIG, data=(inputs, rng.normal(size=(ROWS, 2))))
    assert several.config.dataset.target == ("y1", "y2")
    named = mlprun.train(config(target="flag"), data=(inputs, classes))
    assert named.config.dataset.target == "flag"


def test_a_series_gives_the_target_its_name():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    inputs = pandas.DataFrame(rng.normal(size=(ROWS, 2)))
    run = mlprun.train(CONFIG, data=(inputs, pandas.Series(rng.normal(size=ROWS), name="price")))
    assert run.config.dataset.target == "price"
    assert run.best.preprocessing.input_names == ("0", "1")


def test_the_run_folder_alone_is_enough_wherever_it_is():
    run = mlprun.train(MIXED, data=pl.DataFrame(mixed()), name="houses")
    saved = (Path(run.path) / "data.parquet").read_bytes()
    assert run.record["data"] == {"file": "data.parquet", "sha256": hashlib.sha256(saved).hexdigest()}
    assert "path: data.parquet\n" in (Path(run.path) / "config.yaml").read_text()
    former, evaluated = contents(run), run.best.evaluate()
    Path("elsewhere").mkdir()
    shutil.move(run.path, "elsewhere/moved")
    moved = mlprun.load("elsewhere/moved")
    assert moved.best.evaluate() == evaluated
    again = mlprun.api.reproduce("elsewhere/moved", out="again")
    assert again.equal
    shutil.rmtree("elsewhere/moved")
    copy = mlprun.load(again.path)
    assert contents(copy)["history.csv"] == former["history.csv"]
    assert (Path(copy.path) / "data.parquet").read_bytes() == saved
    assert mlprun.resume(copy.path, epochs=15).status.epochs == 15


def test_a_killed_run_resumes_from_its_folder_alone():
    class Copy:
        """Keeps what a process that is killed now would leave."""

        def on_checkpoint(self, run, epoch):
            if epoch == 6:
                shutil.copytree(run.path, "killed")

    given = {**MIXED, "checkpoint": {"epochs": 6}}
    run = mlprun.train(given, data=pl.DataFrame(mixed()), callbacks=[Copy()])
    assert mlprun.load("killed").status.state == "crashed"
    assert contents(mlprun.resume("killed")) == contents(run)


def test_another_table_or_a_link_in_the_folder_is_refused():
    run = mlprun.train(MIXED, data=pl.DataFrame(mixed()))
    path = Path(run.path) / "data.parquet"
    content = path.read_bytes()
    pl.DataFrame(mixed())[::-1].write_parquet(path)
    with pytest.raises(DataError, match="no longer those"):
        mlprun.resume(run.path, epochs=20)
    path.unlink()
    Path("outside.parquet").write_bytes(content)
    path.symlink_to(Path("outside.parquet").resolve())
    with pytest.raises(MlprunError, match="symbolic link"):
        mlprun.load(run.path)


def refused(error, data, given=CONFIG, *overrides):
    with pytest.raises(error) as caught:
        mlprun.train(given, *overrides, data=data)
    assert not Path("runs").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


ARRAY = np.ones((3, 2))
EXPECTED = "expected a data frame of pandas or polars, an array [N, D] or a list of mappings"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({1, 2}, f"data: is of type set; {EXPECTED}"),
        ("rows.csv", f"data: is of type str; {EXPECTED}"),
        (pl.LazyFrame({"a": [1]}), f"data: is of type LazyFrame; {EXPECTED}"),
        (pl.Series("a", [1]), f"data: is of type Series; {EXPECTED}"),
        (np.ones(3), f"data: is an array [3]; {EXPECTED}"),
        ([[1], [2, 3]], "data: is no array: its rows differ in length; give rows of equal length"),
        (pl.DataFrame({"a": []}), "data: has no rows; give at least one"),
        (pl.DataFrame(), "data: has no columns; give at least one"),
        ([{"a": [1, 2]}], "data: column 'a' holds list values; expected numbers, text, booleans or dates"),
        ((ARRAY, [1, 2]), "data: has 3 rows, and there are 2 targets; give one target for each row"),
        ((ARRAY, 1), "targets: is of type int; expected a series, or an array [N] or [N, K]"),
        ((ARRAY, pl.Series("x2", [1, 2, 3])), "data: two columns have the name 'x2'; rename one of them"),
    ],
)
def test_data_of_a_wrong_kind_is_refused_in_one_line(data, message):
    assert refused(DataError, data) == message


def test_columns_of_pandas_with_one_name_are_refused():
    pandas = pytest.importorskip("pandas")
    message = "data: two columns have the name '1'; rename one of them"
    for names in (["1", 1], ["1", "1"]):
        assert refused(DataError, pandas.DataFrame([[1, 2]], columns=names)) == message


def test_what_the_config_lacks_or_has_beside_data_is_refused():
    frame = pl.DataFrame(mixed())
    message = "dataset.target: is missing; name the column of the target, or give data=(X, y)"
    assert refused(ConfigError, frame) == f"config: {message}"
    for target in (5, [], [5]):
        assert "dataset.target" in refused(ConfigError, (ARRAY, [1, 2, 3]), config(target=target))
    assert mlprun.train(config(target=None), data=(np.eye(30), range(30))).config.dataset.target == "y"
    shutil.rmtree("runs")
    assert "data has no column 'price'" in refused(ConfigError, frame, config(target="price")).replace(
        ":", ""
    )
    message = refused(ConfigError, frame, {**CONFIG, "dataset": "moons"})
    assert message == (
        "config: dataset: is the string 'moons', and data is given; "
        "leave dataset out, or override it with dataset.name=table"
    )
    mlprun.train({**MIXED, "dataset": "moons"}, "dataset.name=table", "dataset.target=garden",
                 "dataset.missing=impute", "dataset.columns={built: {as: skip}}", data=frame)  # fmt: skip


def test_a_wrong_cell_is_named_with_its_row():
    rows = [{"x": 1.0, "y": 0}, {"x": None, "y": 1}] * 10
    message = "data:row 2: column 'x' is missing; set dataset.missing to impute, or fill the cells"
    assert refused(DataError, rows, config(target="y")) == message


def test_a_config_is_a_path_a_mapping_or_yaml_text():
    text = "dataset: {name: xor}\ntraining: {epochs: 3}\n"
    Path("small.yaml").write_text(text)
    runs = [mlprun.train(given, name="small") for given in ("small.yaml", Path("small.yaml"), text)]
    runs.append(mlprun.train("dataset: xor", "training.epochs=3", name="small"))
    assert len({json.dumps(run.record["settings_digest"]) for run in runs}) == 1
    with pytest.raises(ConfigError, match=r"^config:2:12: training.epoch: unknown key"):
        mlprun.train("dataset: xor\ntraining: {epoch: 3}\n")
    with pytest.raises(MlprunError, match=r"no-such\.yaml: there is no such config"):
        mlprun.train("no-such.yaml")
    assert mlprun.train(mlprun.load_config(text), "training.epochs=2").status.epochs == 2
    for config, *overrides, message in (
        (None, "config: is of type NoneType; expected a path, a mapping or YAML text"),
        (text, {"seed": 1}, "overrides: {'seed': 1} is no text; expected \"KEY=VALUE\" for each"),
    ):
        with pytest.raises(UsageError) as caught:
            mlprun.train(config, *overrides)
        assert str(caught.value) == message
    Path("base.yaml").write_text(text)
    assert mlprun.train("base: base.yaml\nname: over").config.training.epochs == 3
    Path("a: b.yaml").write_text(text)
    assert mlprun.train("a: b.yaml").config.training.epochs == 3
