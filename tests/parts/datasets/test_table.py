import io
import json
import os

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from mlprun import schema
from mlprun.config.document import from_mapping
from mlprun.errors import ConfigError, DataError
from mlprun.parts.datasets.table import Table, source
from mlprun.parts.datasets.table import table as table_module
from mlprun.parts.datasets.table.formats import MISSING
from mlprun.parts.part import ConfigStr


@pytest.fixture
def write(tmp_path):
    def written(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return written


def flowers() -> str:
    rows = [(k / 2, 10 - k, ("rose", "iris", "tulip")[k % 3]) for k in range(9)]
    return "long,wide,kind\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows)


def test_a_clean_table_becomes_features_and_sorted_classes(write):
    data = Table(path=write(flowers()), target="kind").load()
    assert data.inputs.tolist() == [[k / 2, 10 - k] for k in range(9)]
    assert data.classes == ("iris", "rose", "tulip")
    assert data.targets.tolist() == [1, 0, 2] * 3
    assert (data.input_names, data.target_names) == (("long", "wide"), ("kind",))
    assert data.categories is None
    assert data.warnings == ()


def test_facts_are_those_of_the_rows(write):
    info = Table(path=write(flowers()), target="kind").info()
    assert (info.rows, info.inputs, info.classes) == (9, 2, ("iris", "rose", "tulip"))


def test_features_are_taken_in_the_order_given(write):
    data = Table(path=write(flowers()), target="long", features=("kind", "wide")).load()
    assert data.input_names == ("kind", "wide")
    assert data.categories == (("iris", "rose", "tulip"), None)
    assert data.inputs[:3].tolist() == [[1, 10], [0, 9], [2, 8]]


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["1", "10", "2", "1", "10", "2"], ("1", "2", "10")),  # whole numbers sort as numbers
        (["0", "1", "1", "0"], ("0", "1")),
        (["-1", "1", "1", "-1"], ("-1", "1")),
        (["1.0", "2.0", "1.0", "2.0"], ("1", "2")),
        (["True", "false", "TRUE", "False"], ("false", "true")),
        (["b", " a", "b ", "a"], ("a", "b")),
        (["10a", "9a", "10a", "9a"], ("10a", "9a")),
        (["1", "2", "x", "1", "1", "2"], ("1", "2", "x")),
        (["1", "2", "3", "4", "5", "1"], None),  # three distinct of six at most
        (["1.5", "2.5", "1.5", "2.5"], None),
        ([str(k) for k in range(21)] * 3, None),  # more than 20
        ([str(k) for k in range(20)] * 3, tuple(str(k) for k in range(20))),
    ],
)
def test_the_target_decides_whether_there_are_classes(write, cells, classes):
    content = "x,y\n" + "".join(f"{k},{cell}\n" for k, cell in enumerate(cells))
    data = Table(path=write(content), target="y").load()
    assert data.classes == classes
    assert data.targets.shape == ((len(cells),) if classes else (len(cells), 1))


def test_ids_beyond_the_number_of_classes_are_named_with_their_row(write):
    path = write("x,y\n1,0\n2,2\n3,0\n")
    data = Table(path=path, target="y", classes=4).load()
    assert (data.classes, data.targets.tolist()) == (("0", "1", "2", "3"), [0, 2, 0])
    with pytest.raises(DataError, match=r"t\.csv:3: column 'y' is '2'; expected a class id from 0 to 1"):
        Table(path=path, target="y", classes=2).load()
    with pytest.raises(DataError, match=r"t\.csv:2: column 'y' is 'a'; expected a class id from 0 to 2"):
        Table(path=write("x,y\n1,a\n2,b\n3,a\n"), target="y", classes=3).load()
    for others in ({"task": "numbers"}, {"target": ("y", "x")}):
        with pytest.raises(ValidationError, match="classes counts the ids of a single target"):
            Table(**{"path": path, "target": "y", "classes": 3, **others})


def test_task_overrides_what_the_values_say(write):
    path = write("x,y\n1,0.5\n2,1.5\n3,0.5\n4,1\n")
    assert Table(path=path, target="y", task="classes").load().classes == ("0.5", "1", "1.5")
    path = write("x,y\n1,0\n2,1\n3,1\n4,0\n", "u.csv")
    assert Table(path=path, target="y", task="numbers").load().targets.tolist() == [[0], [1], [1], [0]]
    path = write("x,y\n1,true\n2,false\n", "v.csv")
    assert Table(path=path, target="y", task="numbers").load().targets.tolist() == [[1], [0]]


def test_several_targets_are_numbers(write):
    data = Table(path=write("a,y,x,b\n0,1,5,1\n1,0,6,0\n0,0,7,1\n"), target=("b", "a")).load()
    assert data.targets.tolist() == [[1, 0], [0, 1], [1, 0]]
    assert data.input_names == ("y", "x")
    assert data.classes is None


def test_text_features_are_categories_and_true_and_false_are_numbers(write):
    data = Table(path=write("c,f,y\nred,true,1.5\n blue ,FALSE,2.5\nred,False,3.5\n"), target="y").load()
    assert data.categories == (("blue", "red"), None)
    assert data.inputs.tolist() == [[1, 1], [0, 0], [1, 0]]


@pytest.mark.parametrize("cell", [*MISSING, " ", '""', " NA "])
def test_missing_cells_are_nan_when_they_are_imputed(write, cell):
    path = write(f"x,c,y\n1,red,1.5\n{cell},blue,2.5\n3,{cell},3.5\n")
    data = Table(path=path, target="y", missing="impute").load()
    expected = np.array([[1, 1], [np.nan, 0], [3, np.nan]])
    np.testing.assert_array_equal(data.inputs, expected)
    assert data.categories == (None, ("blue", "red"))
    assert data.imputed


def test_a_column_names_the_split_and_is_no_feature(write):
    table = Table.model_validate(
        {
            "path": write("x,part,y\n1,train,1.5\n2,dev,2.5\n3,test,2\n"),
            "target": "y",
            "split": {"column": "part"},
        }
    )
    data = table.load()
    assert data.parts.tolist() == ["train", "dev", "test"]
    assert data.input_names == ("x",)


def test_a_constant_feature_only_warns(write):
    data = Table(path=write("x,k,c,y\n1,7,a,1.5\n2,7,a,2.5\n"), target="y").load()
    assert len(data.warnings) == 2
    assert "'k' is the same in every row" in data.warnings[0]


@pytest.mark.parametrize(
    ("name", "separator"), [("t.tsv", "\t"), ("t.TAB", "\t"), ("t.csv", "\t"), ("t.csv", ";"), ("t.txt", ",")]
)
def test_cells_are_separated_as_the_name_or_the_header_says(write, name, separator):
    path = write("x,y z\n1,1.5\n2,2.5\n".replace(",", separator), name)
    data = Table(path=path, target="y z").load()
    assert data.inputs.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    "content",
    [
        "x,c,y\r\n1,a,1.5\r\n2,b,2.5\r\n",
        "x,c,y\r1,a,1.5\r2,b,2.5\r",
        "\ufeffx,c,y\n1,a,1.5\n2,b,2.5",
        "\n\nx,c,y\n\n1,a,1.5\n\n\n2,b,2.5\n\n",
        'x,"c","y"\n"1",a,1.5\n2,"b",2.5\n',
        "x, c , y\n1, a, 1.5\n 2,b ,2.5\n",
        '\ufeff"x",c,y\n\n1,"a",1.5\n2,b,2.5\n',
    ],
)
def test_the_same_table_is_read_however_its_lines_are_written(write, content):
    data = Table(path=write(content), target="y").load()
    assert data.input_names == ("x", "c")
    assert data.inputs.tolist() == [[1, 0], [2, 1]]
    assert data.targets.tolist() == [[1.5], [2.5]]


def test_quoted_cells_may_hold_separators_quotes_and_line_ends(write):
    content = 'x,c,y\n1,"a,b",1.5\n2,"say ""hi""",2.5\n3,"two\nlines",3.5\n4,5" nail,4.5\n'
    data = Table(path=write(content), target="y").load()
    assert data.categories == (None, ('5" nail', "a,b", 'say "hi"', "two\nlines"))
    assert data.inputs[:, 1].tolist() == [1, 2, 3, 0]


def test_column_names_may_be_odd(write):
    names = ("größe [cm]", "$\\frac$", "a b", "x\x1b[31m", "1")
    content = ",".join(names) + ",y\n" + "1,2,3,4,5,1.5\n2,3,4,5,6,2.5\n"
    data = Table(path=write(content, "größe $x$.csv"), target="y").load()
    assert data.input_names == names


def test_a_late_surprise_in_a_column_is_read_like_an_early_one(write):
    rows = [f"1,{k},0.5\n" for k in range(1500)]
    data = Table(path=write("a,b,y\n" + "".join(rows) + "1.5,x7,2.5\n"), target="y", features=("a",)).load()
    assert data.inputs[-1].tolist() == [1.5]


def same_as_csv() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "n": [1, 2, None, 4],
            "x": [0.5, None, 2.5, 3.5],
            "c": ["a", "b", None, "a"],
            "y": [0.1, 0.2, 0.3, 0.4],
        }
    )


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl", "ndjson"])
def test_every_format_gives_the_same_rows(write, kind):
    frame, buffer = same_as_csv(), io.BytesIO()
    if kind == "parquet":
        frame.write_parquet(buffer)
    elif kind in ("csv", "tsv"):
        frame.write_csv(buffer, separator="," if kind == "csv" else "\t")
    else:
        frame.write_ndjson(buffer)
    data = Table(path=write(buffer.getvalue(), f"t.{kind}"), target="y", missing="impute").load()
    nan = np.nan
    np.testing.assert_array_equal(data.inputs, [[1, 0.5, 0], [2, nan, 1], [nan, 2.5, nan], [4, 3.5, 0]])
    np.testing.assert_array_equal(data.targets, [[0.1], [0.2], [0.3], [0.4]])
    assert data.input_names == ("n", "x", "c")


def test_parquet_brings_its_own_types(write):
    buffer = io.BytesIO()
    frame = pl.DataFrame(
        {"d": [1, 2, 3], "b": [True, False, None], "c": ["u", "v", "u"], "f": [1.0, float("nan"), 2.0]}
    )
    frame = frame.with_columns(pl.col("d").cast(pl.Decimal(10, 2)), pl.col("c").cast(pl.Categorical))
    frame.with_columns(y=pl.Series([1, 2, 3], dtype=pl.UInt8)).write_parquet(buffer)
    data = Table(path=write(buffer.getvalue(), "t.parquet"), target="y", missing="impute").load()
    np.testing.assert_array_equal(data.inputs, [[1, 1, 0, 1], [2, 0, 1, np.nan], [3, np.nan, 0, 2]])


def test_json_lines_keep_the_order_of_the_first_object(write):
    lines = [{"z": 1, "m": 2, "y": 1.5}, {"y": 2.5, "m": 3, "z": 4}]
    path = write("\n\n".join(json.dumps(line) for line in lines), "t.jsonl")
    assert Table(path=path, target="y").load().input_names == ("z", "m")


ODDITIES = {
    "quoted": lambda text: text.replace("red", '"red"'),
    "quoted names": lambda text: '"x","c","n","y"\n' + text.partition("\n")[2],
    "line ends": lambda text: text.replace("\n", "\r\n"),
    "old line ends": lambda text: text.replace("\n", "\r"),
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "a blank line": lambda text: text.replace("\n7,", "\n\n7,"),
    "byte order mark": lambda text: "\ufeff" + text,
    "no last line end": lambda text: text.rstrip("\n"),
    "a late type": lambda text: text + "0.5,red,1.5,7\n",
    "plain": lambda text: text,
}


@pytest.mark.parametrize("odd", ODDITIES)
@pytest.mark.parametrize("size", [1, 2, 7, 61])
def test_where_a_file_is_cut_into_pieces_does_not_matter(write, monkeypatch, odd, size):
    rows = [f"{k},{'größe' if k % 3 else 'red'},{k if k % 4 else ''},{k / 7}\n" for k in range(40)]
    path = write(ODDITIES[odd]("x,c,n,y\n" + "".join(rows)))
    whole = Table(path=path, target="y", missing="impute").load()
    monkeypatch.setattr(source, "PIECE", size)
    cut = Table(path=path, target="y", missing="impute").load()
    np.testing.assert_array_equal(cut.inputs, whole.inputs)
    np.testing.assert_array_equal(cut.targets, whole.targets)
    assert cut.categories == whole.categories == (None, ("größe", "red"), None)


def test_numbers_are_read_to_the_last_bit(write):
    values = np.random.default_rng(0).normal(size=(200, 3)) * 10.0 ** np.arange(-150, 151, 150)
    content = "a,b,y\n" + "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())
    data = Table(path=write(content), target="y").load()
    np.testing.assert_array_equal(np.hstack([data.inputs, data.targets]), values)


@pytest.fixture
def reads(monkeypatch):
    """One entry for each time that a table is read."""
    found, original = [], table_module.read_all
    monkeypatch.setattr(table_module, "read_all", lambda *a, **k: (found.append(1), original(*a, **k))[1])
    return found


def test_a_table_is_read_once_until_it_changes(write, reads):
    path = write(flowers())
    table = Table(path=path, target="kind")
    info = table.info()
    assert Table(path=path, target="kind", standardize=False, seed=3).info() == info
    assert len(reads) == 1
    write(flowers().replace("rose", "pine"))  # as many bytes as before
    os.utime(path, ns=(1, 1))
    assert table.info().classes == ("iris", "pine", "tulip")
    Table(path=path, target="long").info()
    assert len(table_module._looked_at) == 1


def test_rows_are_handed_over_and_not_kept(write, reads):
    table = Table(path=write(flowers()), target="kind")
    table.info()
    data = table.load()
    assert len(reads) == 1
    assert not table_module._looked_at
    assert not data.inputs.flags.writeable
    assert table.load().inputs is not data.inputs


def test_a_table_is_read_once_though_its_split_is_spelled_out_between(write, reads):
    path = write(flowers())
    named = {"dataset": {"name": "table", "path": path, "target": "kind"}}
    schema.parse(from_mapping(named, "", "t")).dataset.load()
    given = Table.model_validate({"path": path, "target": "long", "split": {"column": "kind"}})
    assert given.key() != Table(path=path, target="long").key()
    assert len(reads) == 1


def test_a_table_survives_being_dumped_and_a_path_is_relative_to_its_config():
    path = ConfigStr("data/t.csv")
    path.folder = "configs"
    table = Table.model_validate({"path": path, "target": ("a", "b"), "features": ("c",), "task": "numbers"})
    assert table.path == "configs/data/t.csv"
    assert Table.model_validate(table.model_dump()) == table


@pytest.mark.parametrize(
    "options",
    [
        {"target": ("a", "a")},
        {"target": "a", "features": ("a",)},
        {"target": "a", "features": ("b", "b")},
        {"target": "a", "split": {"column": "a"}},
        {"target": ("a", "b"), "task": "classes"},
        {"target": ()},
        {"target": "a", "features": ()},
        {"target": 3},
    ],
)
def test_a_column_has_one_role(options):
    with pytest.raises(ValidationError):
        Table.model_validate({"path": "t.csv", **options})


def test_whole_numbers_from_zero_can_be_symbols(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n3,0,0.5\n0,12,1.5\n7,1,2.5\n")
    data = Table(path=str(path), target="y").load()
    assert data.inputs.tolist() == [[3, 0], [0, 12], [7, 1]]
    assert (data.inputs.dtype, data.info.tokens) == (np.int64, 13)


@pytest.mark.parametrize("cells", [("0", "-1"), ("0", "0.5"), ("0", ""), ("red", "blue")])
def test_one_other_cell_makes_all_of_them_numbers(tmp_path, cells):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n3,{},0.5\n0,{},1.5\n7,{},2.5\n".format(*cells, cells[0]))
    data = Table(path=str(path), target="y", missing="impute").load()
    assert (data.inputs.dtype, data.info.tokens) == (np.float64, None)


def test_a_skipped_column_is_no_feature(write):
    table = Table(path=write(flowers()), target="kind", columns={"wide": {"as": "skip"}})
    assert table.load().input_names == ("long",)


def test_a_skipped_column_cannot_be_a_feature(write):
    with pytest.raises(
        ValidationError, match=r"columns\.wide is skipped, but it is named as target or feature"
    ):
        Table(path=write(flowers()), target="kind", features=("wide",), columns={"wide": {"as": "skip"}})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("{widt: {as: skip}}", "dataset.columns.widt: .*t.csv: has no column 'widt'; did you mean wide?"),
        ("{wide: {az: skip}}", "dataset.columns.wide.az: unknown key; expected one of as"),
        ("{wide: {as: skipped}}", "dataset.columns.wide.as: expected number, percent"),
        ("{wide: skip}", "dataset.columns.wide: expected a mapping, got the string 'skip'; its keys are as"),
    ],
)
def test_wrong_options_of_columns_are_named_by_their_path(write, tmp_path, columns, message):
    write(flowers())
    config = write(f"dataset: {{name: table, path: t.csv, target: kind, columns: {columns}}}\n", "c.yaml")
    with pytest.raises(ConfigError, match=message):
        schema.load(config)


def test_options_of_columns_are_stored_if_they_are_set(write, tmp_path):
    path = write(flowers())
    table = {"name": "table", "path": path, "target": "kind"}
    plain, chosen = (
        schema.dump(schema.parse(from_mapping({"dataset": dataset}, "", "t.yaml")), str(tmp_path))["dataset"]
        for dataset in (table, {**table, "columns": {"wide": {"as": "skip"}}})
    )
    assert "columns" not in plain
    assert chosen["columns"]["wide"]["as"] == "skip"


WEIGHTED = "a,w,y\n1,2,0.5\n2,0,1.5\n3,0.25,2.5\n4,1,3.5\n"


def test_weights_are_no_feature(write):
    table = Table(path=write(WEIGHTED), target="y", weight="w")
    data = table.load()
    assert (data.input_names, data.weights.tolist()) == (("a",), [2, 0, 0.25, 1])
    assert Table(path=write(WEIGHTED), target="y").load().weights is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "-2"], "t.csv:3: column 'w' is '-2'; expected a weight: 0, or from 1e-30 to 1e+30"),
        (["1", ""], "t.csv:3: column 'w' is missing; expected a weight: 0, or from 1e-30 to 1e+30"),
        (["1", "nan"], "t.csv:3: column 'w' is missing; expected a weight"),
        (["1", "inf"], "t.csv:3: column 'w' is 'inf'; expected a finite number"),
        (["1", "many"], "t.csv:3: column 'w' is 'many'; expected a weight"),
        (["0", "0"], "t.csv: column 'w' is 0 in every row; expected some positive weights"),
        (["", ""], "t.csv:2: column 'w' is missing; expected a weight"),
    ],
)
def test_cells_that_are_no_weights_are_named(write, cells, message):
    path = write("a,w,y\n" + "".join(f"{k},{cell},{k}.5\n" for k, cell in enumerate([*cells, *cells])))
    with pytest.raises(DataError) as caught:
        Table(path=path, target="y", weight="w").load()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("weight: v", "dataset.weight: .*t.csv: has no column 'v'; its columns are a, w, y"),
        ("weight: w, features: [w]", "column 'w' is named twice among target, feature and weight"),
        (
            "weight: w, columns: {w: {as: skip}}",
            "columns.w is skipped, but it is named as target, feature or",
        ),
        (
            "weight: w, columns: {w: {scale: log}}",
            "columns.w.scale is of features, and w is none; leave it out",
        ),
        (
            "columns: {y: {scale: log}}",
            "columns.y.scale is of features, .* none; leave it out, or see target_transform",
        ),
    ],
)
def test_a_weight_has_a_column_of_its_own(write, options, message):
    write(WEIGHTED)
    config = write(f"dataset: {{name: table, path: t.csv, target: y, {options}}}\n", "c.yaml")
    with pytest.raises(ConfigError, match=message):
        schema.load(config)


def test_an_override_takes_the_options_of_a_column_away(write):
    write(WEIGHTED)
    config = write("dataset: {name: table, path: t.csv, target: y, columns: {a: {scale: log}}}\n", "c.yaml")
    assert schema.load(config, ["dataset.columns.a=null"]).dataset.columns == {}
