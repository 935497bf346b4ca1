import io
import os
import random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlprun.errors import DataError, FileError, MlprunError, UsageError
from mlprun.parts.datasets.table import Table, UnknownColumnsError, columns, source

GOOD = "x,y\n1,1.5\n2,2.5\n"


def load(tmp_path, content, name="t.csv", **options):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Table(path=str(path), **{"target": "y", **options}).load()


def parquet(**values) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(values).write_parquet(buffer)
    return buffer.getvalue()


BAD_TEXT = [
    ("empty", "", "", "is empty"),
    ("nothing but line ends", "\n\r\n\n", "", "is empty"),
    ("header only", "x,y\n", "", "has a header but no rows"),
    ("no header", "5.1,3.5,0\n4.9,3.0,1\n", "1", "looks like data, not like column names: 5.1, 3.5, 0"),
    ("no header, a label at the end", "5.1,3.5,a\n4.9,3.0,b\n", "1", "looks like data"),
    ("a short row", "x,y\n1,1.5\n2\n3,2.5\n", "3", "has 1 cells, but the header has 2"),
    ("a short last row", "x,z,y\n1,2,1.5\n2,3", "3", "has 2 cells, but the header has 3"),
    ("a long row", "x,y\n1,1.5\n2,2.5,9\n", "3", "has 3 cells, but the header has 2"),
    ("a long row far down", "x,y\n" + "1,1.5\n" * 3000 + "2,2.5,9\n", "3002", "has 3 cells"),
    ("a row of spaces", "x,y\n1,1.5\n  \n2,2.5\n", "3", "has 1 cells"),
    (
        "a stray word",
        "x,y\n1.5,1.5\nn/a,2.5\n3,1\n",
        "3",
        "column 'x' is 'n/a'; expected a number (missing values",
    ),
    ("a stray word far down", "x,y\n" + "1.5,1.5\n" * 3000 + "x,2\n", "3002", "column 'x' is 'x'"),
    ("a stray word after blank lines", 'x,y\n\n"1.5",1\n\n\nx,2\n2.5,3\n', "6", "column 'x' is 'x'"),
    (
        "a stray word after a cell of two lines",
        'x,c,y\n1.5,"a\nb",1\nx,b,2\n2.5,a,3\n',
        "4",
        "column 'x' is 'x'",
    ),
    ("a stray word in the target", "x,y\n1,1.5\n2,2.5\n3,oops\n", "4", "column 'y' is 'oops'"),
    ("a control character", "x,y\n1.5,1.5\n\x1b[31m,2.5\n3,1\n", "3", r"column 'x' is '\x1b[31m'"),
    ("a missing cell", "x,y\n1,1.5\n,2.5\n3,0\n", "3", "column 'x' is missing"),
    (
        "several missing cells",
        "x,z,y\n1,NA,1.5\n?,2,2.5\n3,N/A,0\n",
        "3",
        "'x' is missing; set dataset.missing to impute",
    ),
    ("a missing target", "x,y\n1,1.5\n2,\n", "3", "column 'y' is missing"),
    ("infinity", "x,y\n1,1.5\ninf,2.5\n", "3", "column 'x' is 'inf'"),
    ("minus infinity", "x,y\n1.5,1.5\n2,1\n-Infinity,2.5\n", "4", "column 'x' is '-inf'"),
    ("infinity by size", "x,y\n1,1.5\n1e999,2.5\n", "3", "column 'x' is 'inf'"),
    ("an infinite target", "x,y\n1,1.5\n2,inf\n", "3", "column 'y' is 'inf'"),
    ("a constant number to predict", "x,y\n1,1.5\n2,1.5\n", "", "target 'y' is '1.5' in every row"),
    ("a constant class to predict", "x,y\n1,a\n2,a\n", "", "target 'y' is 'a' in every row"),
    (
        "a single row",
        "x,y\n1,2\n",
        "",
        "in every row; expected a target that varies",
    ),
    ("two columns of one name", "x,y,x\n1,1.5,2\n", "1", "the header names 'x' twice"),
    ("two columns of one name but for spaces", "x,y, x\n1,1.5,2\n", "1", "the header names 'x' twice"),
    ("columns without names", ",y,\n1,1.5,2\n", "1", "the header names '' twice"),
    ("a column that counts the rows", ",x,y\n0,1,1.5\n1,2,2.5\n", "1", "column 1 has no name"),
    ("a NUL byte", "x,y\n1,1.5\n2,\0\n", "3", "holds a NUL byte"),
    ("a quote that never closes", 'x,y\n1,1.5\n2,"2.5\n3,4\n', "3", "is never closed"),
    ("text after a quote", 'x,y\n1,"1.5"x\n', "2", "cannot be split into cells"),
    ("not UTF-8", b"x,y\n1,1.5\n\xe9,2.5\n", "3", "byte 0xe9 is not UTF-8"),
    ("UTF-16 cut short", "x,y\n1,2\n2,3".encode("utf-16")[:-1], "3", "byte 0x33 is not UTF-16"),
    (
        "UTF-16 without a mark",
        "x,y\n1,2\n".encode("utf-16-le"),
        "1",
        "NUL byte; set dataset.encoding, such as",
    ),
    ("a column of nothing", "x,z,y\n1,,1.5\n2,NA,2.5\n", "", "column 'z' has no value in any row"),
    ("dates", "x,y\n2020-01-31,1.5\n2020-02-01,2.5\n", "2", "'x' is '2020-01-31', a date or time;"),
    (
        "dates the other way round",
        "x,y\n31.1.2020,1.5\n1.2.2020 12:30,2.5\n",
        "2",
        "'x' is '31.1.2020', a date",
    ),
    ("decimal commas", "x;y\n0,5;1\n1,25;2\n", "2", "column 'x' is '0,5'; set dataset.decimal to ','"),
    (
        "decimal commas in quotes",
        'x,y\n"0,5",1\n"1,25",2\n',
        "2",
        "column 'x' is '0,5'; set dataset.decimal to ','",
    ),
    ("only the target", "y\n1.5\n2.5\n", "", "has no column beside the target"),
    (
        "names for rows",
        "x,y\n" + "".join(f"n{k},{k}\n" for k in range(101)),
        "",
        "has 101 categories, such as 'n0'",
    ),
    (
        "names for classes",
        "x,y\n" + "".join(f"{k},n{k}\n" for k in range(1001)),
        "",
        "'y' has 1001 different values",
    ),
]


@pytest.mark.parametrize(
    ("content", "line", "message"), [b[1:] for b in BAD_TEXT], ids=[b[0] for b in BAD_TEXT]
)
def test_a_bad_table_is_refused_with_its_line_and_column(tmp_path, content, line, message):
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    where = f"{tmp_path}/t.csv" + (f":{line}" if line else "")
    assert str(caught.value).startswith(f"{where}: ")
    assert message in str(caught.value)
    assert caught.value.exit_code == 3
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize(
    ("content", "line", "message"), [b[1:] for b in BAD_TEXT], ids=[b[0] for b in BAD_TEXT]
)
def test_where_a_file_is_cut_does_not_change_what_is_wrong(
    tmp_path, monkeypatch, content, line, message, size
):
    if len(content) > 3000:
        size *= 500
    monkeypatch.setattr(source, "PIECE", size)
    test_a_bad_table_is_refused_with_its_line_and_column(tmp_path, content, line, message)


def test_the_message_of_the_style_guide(tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path, "alcohol,y\n" + "12.5,1\n" * 12 + "n/a,2\n")
    expected = ":14: column 'alcohol' is 'n/a'; expected a number (missing values: list the cell in "
    assert str(caught.value) == f"{tmp_path}/t.csv{expected}dataset.missing.values, or leave it empty)"


@pytest.mark.parametrize(
    ("content", "where", "message"),
    [
        ('x,y\n12,1\n13.5,2\n"1,200",3\n', ":4", "'x' is '1,200'; set dataset.thousands to ','"),
        (
            "x,y\nn/a,1\n€5,2\n€6,3\n€7,4\n",
            ":3",
            "column 'x' is '€5'; set dataset.columns.x.strip to '€', set dataset.columns.x.as",
        ),
        (
            "x,y\n1,5 kg\n2,6 kg\n3,5 kg\n",
            ":2",
            "'5 kg'; set dataset.columns.y.strip to 'kg', or set dataset.task to classes",
        ),
        ("x,y\n1,Jan 2020\n2,Feb 2020\n3,Jan 2020\n", ":2", "since a start, or set dataset.task to classes"),
        ("x,y\nJan,1\nFeb,2\nMay,3\nJan,4\n", ":2", "column 'x' is 'Jan', a date or time"),
        ("x,y\ntrue,1\n12:30,2\n13:05,3\n", ":3", "column 'x' is '12:30', a date or time"),
        ("x,y\n\uff11\uff12,1\n7,2\n8.5,3\n", ":2", "column 'x' is '\uff11\uff12'; write numbers with"),
    ],
)
def test_numbers_and_dates_in_other_formats_are_no_categories(tmp_path, content, where, message):
    with pytest.raises(DataError) as caught:
        load(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path}/t.csv{where}: ")
    assert message in str(caught.value)


def test_a_target_of_dates_is_classes_where_the_config_says_so(tmp_path):
    content = "x,y\n1,Jan 2020\n2,Feb 2020\n3,Jan 2020\n"
    assert load(tmp_path, content, task="classes").classes == ("Feb 2020", "Jan 2020")
    with pytest.raises(DataError, match=r":2: column 'y' is 'Jan 2020', a date or time"):
        load(tmp_path, content, task="numbers")


def test_other_formats_are_categories_and_classes_where_the_config_says_so(tmp_path):
    content = 'x,y\n"1,000.00",5%\n"2,000.00",6%\n"1,000.00",5%\n'
    data = load(tmp_path, content, other_formats="categories")
    assert (data.categories, data.classes) == ((("1,000.00", "2,000.00"),), ("5%", "6%"))


def test_only_a_feature_can_be_left_out(tmp_path):
    dates = parquet(x=[1, 2], day=pl.Series([1, 2]).cast(pl.Date))
    advice = "a date or time; set dataset.columns.day to {as: date}"
    with pytest.raises(DataError, match=f"{advice}, or set dataset.columns.day.as to skip$"):
        load(tmp_path, dates, "t.parquet", target="x")
    with pytest.raises(DataError, match=f"{advice}$"):
        load(tmp_path, dates, "t.parquet", target="day")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.parquet", parquet(x=pl.Series([1, 2]).cast(pl.Time), y=[0.5, 1.5])),
        ("t.parquet", parquet(x=pl.Series([1, 2]).cast(pl.Duration), y=[0.5, 1.5])),
        ("t.parquet", parquet(x=pl.Series(["1,5", "2,5"]).cast(pl.Categorical), y=[0.5, 1.5])),
        ("t.jsonl", '{"x":"1,5","y":1}\n{"x":"2,5","y":2}\n'),
    ],
)
def test_parquet_and_json_lines_are_searched_for_other_formats_too(tmp_path, name, content):
    with pytest.raises(DataError, match=r":(row )?1: column 'x' is "):
        load(tmp_path, content, name)


@pytest.mark.parametrize(
    "cells",
    [
        ["18-25", "26-40", ">65", "<18", "5", "18-25"],
        ["A12", "D-10115", "Boeing 747", "A12", "town3", "v2"],
        ["1B", "2B", "1M", "2M", "1B", "1M"],
        ["may", "can", "must", "may", "can", "must"],
        ["10+ years", "< 1 year", "2 years", "2 years", "< 1 year", "3 years"],
        ["1st", "2nd", "3rd", "1st", "2nd", "3rd"],
    ],
)
def test_categories_may_contain_digits(tmp_path, cells):
    content = "x,y\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate(cells))
    assert load(tmp_path, content).categories == (tuple(sorted(set(cells))),)


def test_a_category_or_class_of_its_own_for_most_rows_is_a_warning(tmp_path):
    content = "x,y\n" + "".join(f"n{k % 9},{k}\n" for k in range(10))
    warning = f"{tmp_path}/t.csv: column 'x' has 9 categories in 10 rows, almost one for each row"
    assert load(tmp_path, content).warnings == (warning,)
    (of_target,) = load(tmp_path, content, target="x").warnings
    assert "column 'x' has 9 classes in 10 rows" in of_target
    assert load(tmp_path, content.replace("n8", "n7").replace("n6", "n7")).warnings == ()


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("x,y\n1,TRUE\n2,maybe\n3,False\n", 3, "column 'y' is 'maybe'; expected true or false"),
        ("x,y\n1,TRUE\n2,1\n3,False\n4,7\n5,true\n", 5, "column 'y' is '7'; expected true or false"),
        ("x,y\n1,0.5\n2,1\n3,False\n4,7\n", 4, "column 'y' is 'False'; expected a number"),
    ],
)
def test_an_odd_cell_among_true_and_false_is_the_one_named(tmp_path, content, line, message):
    with pytest.raises(DataError) as caught:
        load(tmp_path, content, task="numbers")
    assert f"t.csv:{line}: {message}" in str(caught.value)


def test_true_and_false_may_be_mixed_with_1_and_0(tmp_path):
    data = load(tmp_path, "x,y\n1,TRUE\n2,1\n3,False\n4,0\n5,true\n", task="numbers")
    assert data.targets.tolist() == [[1], [1], [0], [0], [1]]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("digits", ["12345678901234567890123", "123456789012345678"])
def test_whole_numbers_of_any_size_stay_labels_of_their_own(tmp_path, digits, quote):
    labels = [digits[:-1] + "1", digits[:-1] + "2"]
    content = "x,y\n" + "".join(f"{k},{quote}{labels[k % 2]}{quote}\n" for k in range(6))
    data = load(tmp_path, content)
    assert (data.classes, data.targets.tolist()) == (tuple(labels), [0, 1] * 3)
    assert load(tmp_path, content, target="x").inputs.tolist() == [[float(labels[k % 2])] for k in range(6)]


@pytest.mark.parametrize("digits", ["1" * 45, "\uff11\uff12"])
def test_digits_that_polars_takes_for_an_integer_and_cannot_read_are_text(tmp_path, digits):
    rows = "".join(f"{k}.5,{digits}\n" for k in range(3)) + "9.5,abc\n" * 3
    assert load(tmp_path, "x,y\n" + rows).classes == tuple(sorted(("abc", digits)))


def test_a_wide_table_is_unpacked_in_few_queries(tmp_path, monkeypatch):
    count, collect = [0], pl.LazyFrame.collect

    def counted(*args, **options):
        count[0] += 1
        return collect(*args, **options)

    monkeypatch.setattr(pl.LazyFrame, "collect", counted)
    wide = {f"x{k}": [1.5 * k, 2.5] for k in range(1000)}
    for name, content in (
        ("t.parquet", parquet(**wide, y=[0.5, 1.5])),
        ("t.csv", pl.DataFrame(wide).write_csv()),
    ):
        count[0] = 0
        assert load(tmp_path, content, name, target="y" if "parquet" in name else "x0").inputs.shape[1] >= 999
        assert count[0] < 40, name


@pytest.mark.parametrize("name", ["*", "^a.*$"])
def test_no_name_of_a_parquet_column_is_a_pattern(tmp_path, name):
    data = load(tmp_path, parquet(**{"ab": [1.5, 2.5], name: [3.5, 4.5], "y": [0.5, 1.5]}), "t.parquet")
    assert data.inputs.tolist() == [[1.5, 3.5], [2.5, 4.5]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "a,b,c,y\n1,2,3,4\n2,3,4,5\n"),
        ("t.jsonl", '{"a":1,"b":2,"c":3,"y":4}\n'),
        ("t.jsonl", "".join(f'{{"k{k}":1}}\n' for k in range(4))),
        ("t.parquet", parquet(a=[1, 2], b=[1, 2], c=[1, 2], y=[1, 2])),
    ],
)
def test_a_table_of_too_many_columns_is_refused_before_it_is_read(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(source, "COLUMNS", 3)
    monkeypatch.setattr(pl, "read_ndjson", None)
    monkeypatch.setattr(pl, "read_csv", None)
    with pytest.raises(DataError, match="has more than 3 columns; give fewer columns"):
        load(tmp_path, content, name)


def test_a_url_is_refused_as_it_was_written():
    with pytest.raises(DataError, match=r"^https://x\.org/t\.csv: is a URL; download it and give the path"):
        source.Source.of("https://x.org/t.csv")


BAD_FILES = [
    (
        "parquet cut short",
        parquet(x=[1, 2], y=[0.5, 1.5])[:-20],
        "t.parquet",
        "is damaged or not a Parquet file",
    ),
    ("parquet by name only", GOOD.encode(), "t.parquet", "is damaged or not a Parquet file"),
    ("parquet of lists", parquet(x=[[1], [2]], y=[0.5, 1.5]), "t.parquet", "column 'x' holds list values"),
    (
        "parquet of dates",
        parquet(x=pl.Series([1, 2]).cast(pl.Date), y=[0.5, 1.5]),
        "t.parquet",
        ":row 1: column 'x' is '1970-01-02', a date or time",
    ),
    ("parquet of nothing", parquet(x=[None, None], y=[0.5, 1.5]), "t.parquet", "column 'x' has no value"),
    (
        "parquet of bytes",
        parquet(x=[b"a", b"b"], y=[0.5, 1.5]),
        "t.parquet",
        "column 'x' holds binary values",
    ),
    ("parquet without rows", parquet(x=pl.Series([], dtype=pl.Int8), y=[]), "t.parquet", "no rows"),
    (
        "parquet missing a cell",
        parquet(x=[1.0, None], y=[0.5, 1.5]),
        "t.parquet",
        ":row 2: column 'x' is missing",
    ),
    ("JSON cut short", '{"x":1,"y":0.5}\n{"x":2,"y"', "t.jsonl", ":2: is not JSON"),
    ("JSON of lists", '{"x":1,"y":0.5}\n\n{"x":[2],"y":1.5}\n', "t.jsonl", ":3: column 'x' is '[2]'"),
    ("JSON of objects", '{"x":{"a":1},"y":0.5}\n', "t.ndjson", ":1: column 'x' is '{\"a\": 1}'"),
    ("JSON without objects", "1\n2\n", "t.jsonl", ":1: is not a JSON object"),
    ("a JSON array of numbers", '[{"x":1,"y":0.5},\n\n2]\n', "t.json", ":row 2: is not a JSON object"),
    ("JSON with NaN", '{"x":1,"y":0.5}\n{"x":NaN,"y":1.5}\n', "t.jsonl", ":2: is not JSON (NaN is not"),
    (
        "JSON of two types",
        '{"x":true,"y":0.5}\n{"x":3,"y":1.5}\n',
        "t.jsonl",
        ":2: column 'x' is 3; expected true",
    ),
    ("JSON without anything", "{}\n{}\n", "t.jsonl", "no rows"),
    ("JSON too deep", '{"x":' + "[" * 99999 + "\n", "t.jsonl", ":1: is not JSON"),
    (
        "JSON with a stray word",
        '{"x":"1.5","y":0.5}\n\n{"x":"n/a","y":1}\n{"x":"2","y":3}',
        "t.jsonl",
        ":3: column 'x'",
    ),
    ("a spreadsheet", b"PK\x03\x04", "t.ods", "is a spreadsheet of another format; expected a .csv"),
    ("a JSON document", '{"x": [1]}', "t.json", "column 'x' is '[1]'; expected a number"),
    ("a compressed table", b"PK\x03\x04", "t.csv.zip", "is compressed"),
    ("a gzip file cut short", b"\x1f\x8b", "t.csv.gz", "is damaged: it ends too early"),
    ("a gzip file that is none", b"x,y\n1,2\n", "t.csv.gz", "is damaged or not a gzip file"),
    ("a table compressed twice", b"\x1f\x8b", "t.parquet.gz", "is compressed twice"),
    ("a picture", b"\x89PNG\r\n\x1a\n\x00\x00", "t.csv", "byte 0x89 is not UTF-8"),
]


@pytest.mark.parametrize("lying", [1, 8])
def test_a_parquet_file_whose_columns_have_other_lengths_is_damaged(tmp_path, monkeypatch, lying):
    """As one bit of its footer can say."""
    rows = pl.LazyFrame({"x": [1.0, 2.0], "y": [0.5, 1.5]})
    read = pl.scan_parquet
    monkeypatch.setattr(pl, "scan_parquet", lambda content: Lying(read(content), rows, lying))
    with pytest.raises(DataError, match="is damaged or not a Parquet file"):
        load(tmp_path, parquet(x=[1.0, 2.0], y=[0.5, 1.5]), "t.parquet")


class Lying:
    """A Parquet file that says it has other rows than its columns have."""

    def __init__(self, true, frame, rows):
        self.rows, self.collect_schema, self.collect = rows, true.collect_schema, frame.collect

    def select(self, _what):
        return pl.LazyFrame({"len": [self.rows]})


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "x" * 5000])
def test_the_columns_of_a_table_are_named_in_one_line(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f'"{name}",z\n1,2\n3,4\n')
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    assert "; its columns are 'a" in str(caught.value) or "…', z" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "name", "message"), [b[1:] for b in BAD_FILES], ids=[b[0] for b in BAD_FILES]
)
def test_a_bad_file_is_refused_with_what_it_is(tmp_path, content, name, message):
    with pytest.raises(DataError) as caught:
        load(tmp_path, content, name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_data_error_that_names_a_near_one(tmp_path):
    (tmp_path / "wine.csv").write_text(GOOD)
    with pytest.raises(DataError, match=r"wines.csv: no such file; did you mean .*/wine.csv\?"):
        Table(path=str(tmp_path / "wines.csv"), target="y").load()
    with pytest.raises(DataError, match="no such file; check"):
        Table(path=str(tmp_path / "absent" / "wine.csv"), target="y").load()
    for odd in ("a\0b.csv", "x" * 5000 + ".csv", "\ud800.csv"):
        with pytest.raises(DataError, match="no such file"):
            Table(path=odd, target="y").load()


def test_a_folder_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="is a folder, not a file"):
        Table(path=str(tmp_path), target="y").load()


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    with pytest.raises(DataError, match="not a file"):
        Table(path=str(tmp_path / "t.csv"), target="y").load()


def test_a_file_that_may_not_be_read_is_a_file_error(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(source.files.system, "open", refuse, raising=False)
    with pytest.raises(FileError, match="permission"):
        load(tmp_path, GOOD)


def test_a_file_beyond_the_cap_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "CAP", 10)
    with pytest.raises(DataError, match="larger than"):
        load(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("name", "content"), [("t.csv", GOOD), ("t.parquet", parquet(x=[1, 2], y=[0.5, 1.5]))]
)
def test_a_table_of_too_many_cells_is_refused(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(source, "CELLS", 3)
    with pytest.raises(DataError, match="2 rows of 2 columns"):
        load(tmp_path, content, name)


@pytest.mark.parametrize(
    ("options", "option", "name"),
    [
        ({"target": "yy"}, ("target",), "yy"),
        ({"target": ("y", "yy")}, ("target", 1), "yy"),
        ({"features": ("x", "xx")}, ("features", 1), "xx"),
        ({"split": {"column": "part"}}, ("split", "column"), "part"),
    ],
)
def test_a_column_that_the_config_names_in_vain_is_a_usage_error(tmp_path, options, option, name):
    (tmp_path / "t.csv").write_text(GOOD)
    table = Table.model_validate({"path": str(tmp_path / "t.csv"), "target": "y", **options})
    with pytest.raises(UnknownColumnsError, match=f"has no column '{name}'") as caught:
        table.load()
    assert isinstance(caught.value, UsageError)
    assert [found for found, _ in caught.value.problems] == [option]
    hint = "did you mean" if name != "part" else "its columns are x, y"
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("train", "valid"), ":3: column 'part' is 'valid'; expected train, dev or test"),
        (("train", ""), ":3: column 'part' is missing; expected train, dev or test"),
        (("1", "2"), ":2: column 'part' is '1'"),
        (("dev", "test"), "names no row train"),
    ],
)
def test_a_split_column_holds_train_dev_and_test(tmp_path, cells, message):
    content = "x,part,y\n" + "".join(f"{k},{cell},{k}\n" for k, cell in enumerate(cells))
    (tmp_path / "t.csv").write_text(content)
    options = {"path": str(tmp_path / "t.csv"), "target": "y", "split": {"column": "part"}}
    with pytest.raises(DataError) as caught:
        Table.model_validate(options).load()
    assert message in str(caught.value)


def test_a_stray_cell_in_a_column_that_is_not_used_does_not_matter(tmp_path):
    data = load(tmp_path, "x,when,y\n1,2020-01-01,1.5\n2,,2.5\n", features=("x",))
    assert data.inputs.tolist() == [[1], [2]]


def test_the_limits_themselves_are_allowed(tmp_path):
    content = "x,y\n" + "".join(f"n{k},{k}.5\n" for k in range(columns.CATEGORIES))
    assert len(load(tmp_path, content).categories[0]) == columns.CATEGORIES


SEED_TABLE = (
    'size,colour,"odd ""name""",y\n1.5,red,7,a\n2.5,"blue, light",8,b\n,green,9,a\n4e3,red,?,b\n5,blue,-1,a\n'
)
PIECES = [
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"inf",
    b"NaN",
    b"1e999",
    b" ",
    b"\t",
    b"x",
    b"\xef\xbb\xbf",
    b"-",
    b"_",
]


def is_readable(path, **options) -> bool:
    """Whether a table gives rows, or an expected error of one line."""
    try:
        data = Table(path=str(path), target="y", **options).load()
    except MlprunError as error:
        return error.exit_code in (2, 3, 7) and "\n" not in str(error)
    return len(data.inputs) == len(data.targets) > 1


def mutated(draw: random.Random, content: bytes) -> bytes:
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(content) + 1)
        match draw.randrange(4):
            case 0:
                content = content[:at] + draw.choice(PIECES) + content[at:]
            case 1:
                content = content[:at] + content[at + draw.randint(1, 6) :]
            case 2:
                content = content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]
            case _:
                content = content[:at] + content[draw.randrange(len(content) + 1) :] + content[at:]
    return content


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.sampled_from(["refuse", "impute"]))
def test_a_mutated_table_gives_rows_or_an_error_a_user_can_read(tmp_path, draw, missing):
    path = tmp_path / "t.csv"
    path.write_bytes(mutated(draw, SEED_TABLE.encode()))
    assert is_readable(path, missing=missing)


JSON_TABLE = b'{"x":1.5,"c":"a","y":0.5}\n{"x":null,"c":"b","y":1.5}\n{"x":3,"c":"a","y":2}\n'


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_mutated_json_lines_give_rows_or_an_error_a_user_can_read(tmp_path, draw):
    path = tmp_path / "t.jsonl"
    path.write_bytes(mutated(draw, JSON_TABLE))
    assert is_readable(path, missing="impute")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_mutated_parquet_gives_rows_or_an_error_a_user_can_read(tmp_path, draw):
    path = tmp_path / "t.parquet"
    path.write_bytes(mutated(draw, parquet(x=[1.5, None, 3.0], c=["a", "b", "a"], y=[0.5, 1.5, 2.5])))
    assert is_readable(path, missing="impute")


def seeds():
    """Every table of this file, good and bad, as (name, bytes)."""
    texts = [("t.csv", bad[1].encode() if isinstance(bad[1], str) else bad[1]) for bad in BAD_TEXT]
    given = [(name, data.encode() if isinstance(data, str) else data) for _, data, name, _ in BAD_FILES]
    good = [("t.csv", SEED_TABLE.encode()), ("t.csv", GOOD.encode()), ("t.jsonl", JSON_TABLE)]
    good.append(("t.parquet", parquet(x=[1.5, None, 3.0], c=["a", "b", "a"], y=[0.5, 1.5, 2.5])))
    return [(name, data) for name, data in (*texts, *given, *good) if len(data) < 20_000]


def test_mutations_of_all_these_tables_give_rows_or_an_error_a_user_can_read(tmp_path, request):
    chance, tables, most = random.Random(1), seeds(), 10_000
    assert len(tables) > 50
    for number in range(most if request.config.getoption("--slow") else 200):
        name, data = chance.choice(tables)
        path = tmp_path / name
        path.write_bytes(changed := mutated(chance, data))
        missing = chance.choice(["refuse", "impute"])
        assert is_readable(path, missing=missing), (number, name, changed)
