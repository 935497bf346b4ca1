import gzip
import io
import random
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlprun.errors import DataError, MlprunError
from mlprun.experiment.fitting import fit
from mlprun.experiment.rows import read_rows
from mlprun.parts.data import Data
from mlprun.parts.datasets.table import Table, delimited

TRAIN = "size,colour,kind\n1.5,red,rose\n2.5,blue,iris\n3.5,red,iris\n4.5,green,rose\n"


def trained(tmp_path, content=TRAIN, target="kind", **options):
    (tmp_path / "train.csv").write_text(content)
    data = Table(path=str(tmp_path / "train.csv"), target=target, **options).load()
    return data, fit(data, np.arange(len(data.inputs)), standardize=True)


def generated(classes=("0", "1")):
    inputs, targets = np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([0, 1])
    data = Data(inputs, targets if classes else targets[:, None] * 1.0, ("x0", "x1"), ("y",), classes)
    return fit(data, np.arange(2), standardize=False)


def new(tmp_path, content, name="new.csv"):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(tmp_path / name)


def test_the_training_table_itself_gives_the_same_arrays(tmp_path):
    data, fitted = trained(tmp_path)
    again = read_rows(str(tmp_path / "train.csv"), fitted, targets=True)
    rows = np.arange(4)
    np.testing.assert_array_equal(fitted.transform(again, rows, float), fitted.transform(data, rows, float))
    np.testing.assert_array_equal(fitted.transform_targets(again, rows), fitted.transform_targets(data, rows))


def test_columns_may_stand_in_any_order_and_others_are_ignored(tmp_path):
    data, fitted = trained(tmp_path)
    path = new(tmp_path, "note,kind,colour,size\n?,iris,blue,2.5\n2020-01-01,rose,red,1.5\n")
    again = read_rows(path, fitted, targets=True)
    expected = fitted.transform(data, np.array([1, 0]), float)
    np.testing.assert_array_equal(fitted.transform(again, np.arange(2), float), expected)
    assert again.targets.tolist() == [0, 1]


EUROPEAN = {
    "decimal": ",",
    "thousands": ".",
    "missing": {"values": ("-",), "fill": "impute"},
    "columns": {
        "share": {"as": "percent"},
        "sold": {"as": "date", "format": "%d.%m.%Y"},
        "code": {"as": "category"},
        "price": {"strip": "€"},
        "note": {"as": "skip"},
    },
}
CARS = """size;share;sold;code;note;price
1.000,5;12,5 %;31.12.2020;01;x;1.000,00 €
-;5 %;01.01.2021;02;y;2.000,50 €
2,5;0,5 %;02.01.2021;01;z;3 €
"""


@pytest.mark.parametrize("zipped", [False, True])
def test_new_rows_are_read_with_the_options_of_the_training(tmp_path, zipped):
    data, fitted = trained(tmp_path, CARS, "price", **EUROPEAN)
    options = Table(path="gone.csv", target="price", **EUROPEAN)
    content = gzip.compress(CARS.encode()) if zipped else CARS
    path = new(tmp_path, content, "new.csv.gz" if zipped else "new.csv")
    again = read_rows(path, fitted, targets=True, options=options)
    rows = np.arange(3)
    np.testing.assert_array_equal(fitted.transform(again, rows, float), fitted.transform(data, rows, float))
    np.testing.assert_array_equal(fitted.transform_targets(again, rows), fitted.transform_targets(data, rows))
    assert again.dates == data.dates == ("sold",)


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ("31.12.2020", "new.csv:2: column 'sold' is '@'; expected a date in the format %d.%m.%Y"),
        ("1.000,5", "new.csv:2: column 'size' is '@'; expected a number with decimal ','"),
        ("12,5 %", "new.csv:2: column 'share' is '@'; expected a number with decimal ','"),
    ],
)
def test_new_rows_in_another_format_than_in_training_are_refused(tmp_path, old, message):
    _, fitted = trained(tmp_path, CARS, "price", **EUROPEAN)
    path = new(tmp_path, CARS.replace(old, "@"))
    with pytest.raises(DataError) as caught:
        read_rows(path, fitted, targets=False, options=Table(path="gone.csv", target="price", **EUROPEAN))
    assert message in str(caught.value)


def test_unlabelled_rows_need_no_target_column(tmp_path):
    _, fitted = trained(tmp_path)
    data = read_rows(new(tmp_path, "size,colour\n2.5,blue\n"), fitted, targets=False)
    assert data.targets.shape == (1, 0)
    assert data.info.rows == 1


def test_a_category_unknown_in_training_is_all_zeros(tmp_path):
    _, fitted = trained(tmp_path)
    data = read_rows(new(tmp_path, "size,colour\n2.5,violet\n2.5,red\n"), fitted, targets=False)
    got = fitted.transform(data, np.arange(2), float)
    assert got[0, 1:].tolist() == [0, 0, 0]
    assert dict(zip(fitted.names, got[1], strict=True))["colour=red"] == 1


def test_categories_unknown_in_training_are_told_by_column_with_their_number(tmp_path):
    _, fitted = trained(tmp_path)
    one = read_rows(new(tmp_path, "size,colour\n2.5,violet\n2.5,red\n"), fitted, targets=False)
    what = (
        "column 'colour': 1 of 2 rows holds categories not seen during training ('violet'), "
        "encoded as all zeros"
    )
    assert one.warnings == (f"{tmp_path}/new.csv: {what}",)
    rows = "".join(f"1,{colour},rose\n" for colour in ["d", "c", "b", "a", "red", "a"])
    (many,) = read_rows(new(tmp_path, f"size,colour,kind\n{rows}"), fitted, targets=True).warnings
    assert ": 5 of 6 rows hold categories not seen during training ('a', 'b', 'c', ...)" in many
    assert read_rows(new(tmp_path, "size,colour\n2.5,red\n"), fitted, targets=False).warnings == ()


def test_a_missing_cell_is_no_unknown_category(tmp_path):
    _, fitted = trained(tmp_path, missing="impute")
    assert read_rows(new(tmp_path, "size,colour\n2.5,\n"), fitted, targets=False).warnings == ()


def test_categories_that_look_like_numbers_are_still_the_same_text(tmp_path):
    _, fitted = trained(tmp_path, "c,y\n01,1.5\n2x,2.5\n01,3.5\n", target="y")
    data = read_rows(new(tmp_path, "c\n01\n1\n"), fitted, targets=False)
    got = fitted.transform(data, np.arange(2), float)
    assert got.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("labels", [["1", "2"], ["1.0", "2.0"], [" 1", "2 "]])
def test_labels_are_matched_as_numbers_too(tmp_path, labels):
    _, fitted = trained(tmp_path, "x,y\n1,2\n2,1\n3,10\n4,1\n5,2\n6,10\n", target="y")
    assert fitted.classes == ("1", "2", "10")
    path = new(tmp_path, "x,y\n" + "".join(f"{k},{label}\n" for k, label in enumerate(labels)))
    assert read_rows(path, fitted, targets=True).targets.tolist() == [0, 1]


def test_labels_and_categories_that_read_as_something_else_keep_their_text(tmp_path):
    labels = ["007", "1E5", "True", "A12", "1.0", "1_0"]
    rows = "".join(f"{label},{k}.5,{label}\n" for k, label in enumerate(labels * 2))
    _, fitted = trained(tmp_path, "c,x,y\n" + rows, target="y")
    assert set(fitted.classes) == set(labels) == set(fitted.categories[0])
    for known in labels:
        other = f" {known} " if known == "007" else known
        data = read_rows(new(tmp_path, f"c,x,y\n{other},1,{other}\n"), fitted, targets=True)
        assert fitted.classes[data.targets[0]] == known
        assert (
            fitted.categories[0][int(fitted.transform(data, np.array([0]), float)[0, :6].argmax())] == known
        )
        assert data.warnings == ()
    buffer = io.BytesIO()
    pl.DataFrame({"c": [True], "x": [1], "y": [True]}).write_parquet(buffer)
    data = read_rows(new(tmp_path, buffer.getvalue(), "new.parquet"), fitted, targets=True)
    assert (fitted.classes[data.targets[0]], data.warnings) == ("True", ())


def test_true_and_false_are_labels_in_any_case(tmp_path):
    _, fitted = trained(tmp_path, "x,y\n1,true\n2,false\n", target="y")
    path = new(tmp_path, "x,y\n1,TRUE\n2,False\n3,true\n")
    assert read_rows(path, fitted, targets=True).targets.tolist() == [1, 0, 1]


def test_numeric_targets_are_read_as_numbers_even_if_there_is_one_row(tmp_path):
    _, fitted = trained(tmp_path, "x,y\n1,1.5\n2,2.5\n", target="y")
    data = read_rows(new(tmp_path, "y,x\n7,1\n"), fitted, targets=True)
    assert data.targets.tolist() == [[7.0]]
    np.testing.assert_allclose(fitted.restore(fitted.transform_targets(data, np.array([0]))), [[7.0]])


def test_missing_cells_are_filled_only_if_training_filled_them(tmp_path):
    content = "x,c,y\n1,a,0.5\n,b,1.5\n3,a,2\n"
    _, fitted = trained(tmp_path, content, target="y", missing="impute")
    data = read_rows(new(tmp_path, "x,c\n,\n"), fitted, targets=False)
    assert fitted.transform(data, np.array([0]), float).tolist() == [[0, 1, 0]]
    _, strict = trained(tmp_path, TRAIN)
    with pytest.raises(
        DataError, match=r"new.csv:3: column 'size' is missing; the model was trained on complete"
    ):
        read_rows(new(tmp_path, "size,colour\n1,red\nNA,red\n"), strict, targets=False)


def test_parquet_and_json_lines_are_read_too(tmp_path):
    _, fitted = trained(tmp_path)
    buffer = io.BytesIO()
    pl.DataFrame({"colour": ["red"], "size": [1.5], "kind": ["rose"]}).write_parquet(buffer)
    data = read_rows(new(tmp_path, buffer.getvalue(), "new.parquet"), fitted, targets=True)
    assert (data.inputs[0, 0], data.categories[1], data.targets[0]) == (1.5, ("red",), 1)
    path = new(tmp_path, '{"kind":"iris","size":2,"colour":"blue"}\n', "new.jsonl")
    assert read_rows(path, fitted, targets=True).targets.tolist() == [0]


@pytest.mark.parametrize("content", ["x1,x0\n5,4\n", "x1\tx0\n5\t4\n", "x1;x0\n5;4", "4,5\n", "4\t5\n"])
def test_rows_come_from_standard_input(monkeypatch, content):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content.encode())))
    data = read_rows("-", generated(), targets=False)
    assert data.inputs.tolist() == [[4, 5]]
    assert bool(data.warnings) == content.startswith("4")


def test_an_error_in_standard_input_names_its_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"x0,x1\n1,2\n\n3,oops\n")))
    with pytest.raises(DataError, match=r"^standard input:4: column 'x1' is 'oops'; expected a number"):
        read_rows("-", generated(), targets=False)


def test_numbers_without_a_header_are_taken_in_the_order_of_training(tmp_path):
    path = new(tmp_path, "4,5,1\n6,7,0\n")
    data = read_rows(path, generated(), targets=True)
    assert (data.inputs.tolist(), data.targets.tolist()) == ([[4, 5], [6, 7]], [1, 0])
    assert data.warnings == (f"{path}: has no header; its columns are taken as x0, x1, y",)


def test_a_missing_header_is_refused_where_the_count_leaves_a_doubt(tmp_path):
    with pytest.raises(DataError, match=r":1: has 3 columns and no header; the model's columns are x0, x1"):
        read_rows(new(tmp_path, "4,5,1\n6,7,0\n"), generated(), targets=False)


def test_a_header_of_numbers_is_a_header_where_training_had_one(tmp_path):
    _, fitted = trained(tmp_path, "2019,2020,y\n1,2,0.5\n3,4,1.5\n", target="y")
    data = read_rows(new(tmp_path, "2020,2019\n7,8\n"), fitted, targets=False)
    assert data.inputs.tolist() == [[8, 7]]
    assert data.warnings == ()


def test_symbols_are_read_as_integers(tmp_path):
    data = Data(np.array([[1, 2], [3, 0]]), np.array([0, 1]), ("t0", "t1"), ("y",), ("a", "b"))
    fitted = fit(data, np.arange(2), standardize=False)
    got = read_rows(new(tmp_path, "t1,t0\n2,1\n"), fitted, targets=False)
    assert got.inputs.dtype == np.int64
    assert got.inputs.tolist() == [[1, 2]]
    path = new(tmp_path, "t0,t1\n1,2\n1,4\n")
    with pytest.raises(DataError, match=r"new.csv:3: column 't1' is 4; the model knows symbols 0 to 3$"):
        read_rows(path, fitted, targets=False, vocabulary=4)
    assert read_rows(path, fitted, targets=False, vocabulary=5).inputs.max() == 4
    for cell in ("1.5", "-1", "1e300"):
        with pytest.raises(DataError, match=r"new.csv:3: column 't1' is .*expected a symbol"):
            read_rows(new(tmp_path, f"t0,t1\n1,2\n1,{cell}\n"), fitted, targets=False)


@pytest.mark.parametrize(
    ("content", "targets", "message"),
    [
        ("size,kind\n1,rose\n", True, "has no column 'colour'; the model was trained on size, colour, kind"),
        ("x\n1\n", False, "has no column 'size', 'colour'"),
        ("size,colour\n1,red\n", True, "has no column 'kind'"),
        (
            "size,colour,kind\n1,red,rose\n1,red,tulip\n",
            True,
            ":3: column 'kind' is 'tulip'; the model knows iris, rose",
        ),
        ("size,colour,kind\n1,red,rose\n\n1,red,\n", True, ":4: column 'kind' is missing"),
        ("size,colour\nbig,red\n", False, ":2: column 'size' is 'big'; expected a number"),
        ("size,colour\ninf,red\n", False, ":2: column 'size' is 'inf'"),
        ("size,colour\n1\n", False, ":2: has 1 cells"),
        ("size,colour\n", False, "has a header but no rows"),
        ("", False, "is empty"),
        ("size,size,colour\n1,2,red\n", False, "names 'size' twice"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused(tmp_path, content, targets, message):
    _, fitted = trained(tmp_path)
    with pytest.raises(DataError) as caught:
        read_rows(new(tmp_path, content), fitted, targets=targets)
    assert message in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_missing_table_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_rows(str(tmp_path / "absent.csv"), generated(), targets=False)


PIECES = [b'"', b",", b"\n", b"\0", b"\xff", b"inf", b"NaN", b" ", b"\t", b"x", b"rose", b"1e999"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.booleans())
def test_mutated_rows_give_data_or_an_error_a_user_can_read(tmp_path, draw: random.Random, targets):
    _, fitted = trained(tmp_path, missing=draw.choice(["refuse", "impute"]))
    content = TRAIN.encode()
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(content))
        content = content[:at] + draw.choice(PIECES) + content[at + draw.randint(0, 3) :]
    try:
        data, error = read_rows(new(tmp_path, content), fitted, targets=targets), None
    except MlprunError as refused:
        data, error = None, refused
    if data is None:
        assert error.exit_code == 3
        assert "\n" not in str(error)
    else:
        assert np.isfinite(fitted.transform(data, np.arange(len(data.inputs)), float)).all()


PLAIN = st.one_of(
    st.integers(-(10**16), 10**16).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        ["-0", "-0.0", "007", "1e5", "1.", ".5", "+1", "0x1", "1_0", " 2", "", "NA", "-", "1e400"]
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(PLAIN, PLAIN), min_size=1, max_size=4),
    separator=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n"]),
    head=st.sampled_from(["x0{0}x1", "x1{0} x0 ", "x0{0}x0", "x0{0}x1{0}more", "1{0}2", "\ufeffx0{0}x1", ""]),
)
def test_a_table_of_numbers_reads_without_polars_as_it_does_with_it(tmp_path, cells, separator, end, head):
    lines = [head.format(separator), *map(separator.join, cells)]
    path = new(tmp_path, (end.join(lines) + end).encode())
    outcomes = []
    for small in (delimited.SMALL, -1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(delimited, "SMALL", small)
            try:
                data = read_rows(path, generated(None), targets=False)
                outcomes.append((data.inputs.tobytes(), data.inputs.shape, data.warnings))
            except MlprunError as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_plain_numbers_are_read_without_polars(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "_parse", None)
    data = read_rows(new(tmp_path, "x1,x0\n-1,2.5e-3\r\n3,4"), generated(None), targets=False)
    assert data.inputs.tolist() == [[0.0025, -1.0], [4.0, 3.0]]


def test_new_rows_with_targets_have_weights(tmp_path):
    _, fitted = trained(tmp_path, "size,w,kind\n1.5,1,rose\n2.5,2,iris\n", weight="w")
    path = new(tmp_path, "size,w,kind\n1.5,0.5,rose\n2.5,3,iris\n")
    assert read_rows(path, fitted, targets=True, weight="w").weights.tolist() == [0.5, 3]
    assert read_rows(path, fitted, targets=False, weight="w").weights is None
    without = read_rows(new(tmp_path, "size,kind\n1.5,rose\n"), fitted, targets=True, weight="w")
    assert without.weights is None
    assert without.warnings == (f"{tmp_path}/new.csv: has no column 'w' of weights; each row counts once",)
    with pytest.raises(DataError, match=r"new\.csv:3: column 'w' is '-1\.0'; expected a weight"):
        read_rows(new(tmp_path, "size,w,kind\n1,1,rose\n1,-1,rose\n"), fitted, targets=True, weight="w")
