"""Tables in other formats of numbers, dates, text and files, read by options."""

import gzip
import json
import re
import zipfile
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from mlprun.errors import DataError, UsageError
from mlprun.parts.datasets.table import Table

EUROPEAN = """Größe;Preis;Datum;PLZ;Anteil;y
1.234,50;1.000,00 €;31.12.2020;01067;12,5 %;1
-2,25;-3,50 €;01.02.1970;10115;100 %;2
7;- 4 €;02.01.1970;01067;0,1 %;3
"""
COLUMNS = {
    "Preis": {"as": "number", "strip": "€"},
    "Datum": {"as": "date", "format": "%d.%m.%Y"},
    "PLZ": {"as": "category"},
    "Anteil": {"as": "percent"},
}


@pytest.fixture
def read(tmp_path):
    def load(content, name="t.csv", target="y", **options):
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return Table(path=str(tmp_path / name), target=target, **options).load()

    return load


def day(*date):
    return datetime(*date, tzinfo=UTC).timestamp() / 86_400


@pytest.mark.parametrize("encoding", [None, "cp1252", "latin-1", "utf-16", "utf-8-sig", "utf-32"])
def test_a_european_table_is_read_by_its_options(read, encoding):
    content = EUROPEAN.replace("€", "EUR").encode(encoding or "utf-8")
    columns = {**COLUMNS, "Preis": {"strip": ("EUR",)}}
    detected = None if encoding in ("utf-16", "utf-8-sig", "utf-32") else encoding
    data = read(content, decimal=",", thousands=".", encoding=detected, columns=columns)
    assert data.input_names == ("Größe", "Preis", "Datum", "PLZ", "Anteil")
    assert data.categories == (None, None, None, ("01067", "10115"), None)
    assert data.dates == ("Datum",)
    assert data.inputs.tolist() == [
        [1234.5, 1000, day(2020, 12, 31), 0, 0.125],
        [-2.25, -3.5, 31, 1, 1],
        [7, -4, 1, 0, 0.001],
    ]


def test_numbers_of_other_formats_equal_those_of_python(read):
    values = np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-100, 100).clip(-8, 8)
    written = [f"{value:,.3f}" for value in values]
    for decimal, thousands in (
        (".", ","),
        (",", "."),
        (",", " "),
        (",", "\u00a0"),
        (",", "\u202f"),
        (".", "'"),
    ):
        swapped = [cell.replace(",", "T").replace(".", decimal).replace("T", thousands) for cell in written]
        content = "x;y\n" + "".join(f"{cell};{k}\n" for k, cell in enumerate(swapped))
        data = read(content, separator=";", decimal=decimal, thousands=thousands)
        assert data.inputs[:, 0].tolist() == [float(cell.replace(",", "")) for cell in written]


def test_any_space_separates_thousands_if_one_does(read):
    data = read("x;y\n1 234;1\n1\u00a0234,5;2\n1\u202f234\u202f567;3\n", decimal=",", thousands=" ")
    assert data.inputs[:, 0].tolist() == [1234, 1234.5, 1234567]


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("1.23,4", {"decimal": ",", "thousands": "."}),  # a group that is not complete
        ("1.5", {"decimal": ","}),
        ("1,5", {"thousands": ","}),
        ("1.234.5", {"decimal": ",", "thousands": "."}),
        (".500,5", {"decimal": ",", "thousands": "."}),
    ],
)
def test_a_cell_in_another_format_than_the_options_is_refused(read, cell, options):
    content = "".join(f"{value};{k}\n" for k, value in enumerate(["1", "22", "333", cell, "5"]))
    with pytest.raises(DataError, match=f"t.csv:5: column 'x' is '{cell}'; "):
        read("x;y\n" + content, **options)


@pytest.mark.parametrize(
    ("cells", "remedy"),
    [
        (
            ("1.000,00", "1.137,00"),
            "set dataset.decimal to ',' and dataset.thousands to '.', set dataset.columns.x.as",
        ),
        (("1,000.50", "1,137.25"), "set dataset.thousands to ',', set dataset.columns.x.as"),
        (
            ("7,622", "1,234"),
            "set dataset.decimal to ',' or set dataset.thousands to ',', set dataset.columns.x.as",
        ),
        (
            ("7 622,5", "1 234"),
            "set dataset.decimal to ',' and dataset.thousands to ' ', set dataset.columns.x.as",
        ),
        (("7’622", "1’234"), 'set dataset.thousands to "\'", set'),
        (("€5", "€6"), "set dataset.columns.x.strip to '€', set dataset.columns.x.as"),
        (
            ("5,25 kg", "6 kg"),
            "set dataset.columns.x.strip to 'kg' and dataset.decimal to ',', set dataset.columns.x.as",
        ),
        (
            ("12,5 %", "7 %"),
            "set dataset.columns.x.as to percent and dataset.decimal to ',', set dataset.columns.x.as",
        ),
        (("3.5k", "4k"), "write numbers with a decimal point"),
        (("(5)", "(6)"), "write numbers with a decimal point"),
        (("2024-03-31", "2024-04-01"), "set dataset.columns.x to {as: date}, set dataset.columns.x.as"),
        (("2024-03-31 12:30", "2024-04-01"), "set dataset.columns.x to {as: date}, set dataset.columns.x.as"),
        (("31.03.2024", "01.04.2024"), 'set dataset.columns.x to {as: date, format: "%d.%m.%Y"}, set'),
        (("3/31/24", "4/1/24"), 'set dataset.columns.x to {as: date, format: "%m/%d/%y"}, set'),
        (
            ("31.12.2020", "2020-12-30"),
            'set dataset.columns.x to {as: date, format: ["%d.%m.%Y", "%Y-%m-%d"]}, set',
        ),
        (("5 kg", "600 g"), "write numbers with a decimal point"),
        (("0,202", "0,5"), "set dataset.decimal to ',', set"),
        (
            ("01/02/2024", "03/04/2024"),
            'set dataset.columns.x to {as: date, format: "%d/%m/%Y"} or set dataset.columns.x to {as: date',
        ),
        (("12:30", "12:45"), "give it as numbers, such as days or minutes since a start"),
    ],
)
def test_the_options_that_read_a_column_are_named(read, cells, remedy):
    content = "x;y\n" + "".join(f"{cell};{k}\n" for k, cell in enumerate(cells))
    with pytest.raises(DataError) as caught:
        read(content)
    assert f"t.csv:2: column 'x' is {cells[0]!r}" in str(caught.value)
    assert f"; {remedy}" in str(caught.value)


ISO = [
    "2020-02-29",
    "2020-02-29 12:00",
    "2020-02-29T18:00:00",
    "2020-02-29T06:00:00.000Z",
    "2020-02-29T01:00:00+01:00",
]


def test_dates_of_iso_8601_are_days_since_1970(read):
    content = "x,y\n" + "".join(f"{cell},{k}\n" for k, cell in enumerate([*ISO, "1969-12-31", ""]))
    data = read(content, missing="impute", columns={"x": {"as": "date"}})
    leap = day(2020, 2, 29)
    expected = [leap, leap + 0.5, leap + 0.75, leap + 0.25, leap, -1, np.nan]
    np.testing.assert_array_equal(data.inputs[:, 0], expected)


@pytest.mark.parametrize(
    ("cell", "written", "expected"),
    [
        ("3 March 2020", "%d %B %Y", day(2020, 3, 3)),
        ("03/31/2020 06:00 PM", "%m/%d/%Y %I:%M %p", day(2020, 3, 31) + 0.75),
        ("2020", "%Y", day(2020, 1, 1)),
        ("02/2020", "%m/%Y", day(2020, 2, 1)),
        ("31.12.99", ("%d.%m.%Y", "%d.%m.%y"), day(1999, 12, 31)),
    ],
)
def test_dates_are_read_in_the_format_that_is_named(read, cell, written, expected):
    columns = {"x": {"as": "date", "format": written}}
    data = read(f"x,y\n{cell},1\n{cell},2\n", columns=columns)
    assert data.inputs[:, 0].tolist() == [expected] * 2


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            None,
            "t.csv:3: column 'x' is '31.12.2020'; set dataset.columns.x to {as: date, format: [\"%d.%m.%Y\"",
        ),
        ("%Y/%m/%d", "t.csv:2: column 'x' is '2020-02-29'; "),
    ],
)
def test_a_cell_that_is_no_such_date_is_named(read, written, message):
    options = {"as": "date"} if written is None else {"as": "date", "format": written}
    with pytest.raises(DataError) as caught:
        read("x,y\n2020-02-29,1\n31.12.2020,2\n", columns={"x": options})
    assert message in str(caught.value)


def test_a_format_that_is_none_is_named_by_its_option(read):
    with pytest.raises(UsageError, match=r"dataset\.columns\.x\.format: is no format of dates"):
        read("x,y\n12,1\n13,2\n", columns={"x": {"as": "date", "format": "%H"}})


def test_dates_of_parquet_are_read_as_dates(tmp_path):
    dates = pl.Series([datetime(2020, 1, 1, 6), datetime(1970, 1, 2)])
    frame = pl.DataFrame({"t": dates, "d": dates.dt.date(), "y": [0.5, 1.5]})
    frame.write_parquet(tmp_path / "t.parquet")
    columns = {"t": {"as": "date"}, "d": {"as": "date"}}
    data = Table(path=str(tmp_path / "t.parquet"), target="y", columns=columns).load()
    assert data.inputs.tolist() == [[day(2020, 1, 1) + 0.25, day(2020, 1, 1)], [1, 1]]


def test_a_target_has_options_too(read):
    data = read(
        "x;price\n1;1.000,50 €\n2;2,25 €\n",
        target="price",
        decimal=",",
        thousands=".",
        columns={"price": {"strip": "€"}},
    )
    assert data.classes is None
    assert data.targets[:, 0].tolist() == [1000.5, 2.25]


def test_numbers_are_classes_if_the_target_is_a_category(read):
    data = read("x,y\n1,01\n2,02\n3,03\n", columns={"y": {"as": "category"}})
    assert data.classes == ("01", "02", "03")


def test_cells_that_are_missing_are_added_to_the_known_ones(read):
    missing = {"values": ("-", "n.a.", -999), "fill": "impute"}
    data = read("x,z,y\n1,a,1\n-,b,2\nn.a.,-,3\n-999.0,a,4\n?,,5\n", missing=missing)
    np.testing.assert_array_equal(data.inputs, [[1, 0], [np.nan, 1], [np.nan] * 2, [np.nan, 0], [np.nan] * 2])
    assert data.categories == (None, ("a", "b"))
    assert data.imputed
    with pytest.raises(DataError, match=r"t\.csv:3: column 'x' is missing; set dataset\.missing"):
        read("x,y\n1,1\n-,2\n", missing={"values": ("-",)})


def test_a_number_that_means_missing_does_so_in_parquet(tmp_path):
    pl.DataFrame({"x": [1, -999], "y": [0.5, 1.5]}).write_parquet(tmp_path / "t.parquet")
    table = Table(path=str(tmp_path / "t.parquet"), target="y", missing={"values": (-999,), "fill": "impute"})
    assert np.isnan(table.load().inputs[:, 0]).tolist() == [False, True]


ROWS = [{"x": 1, "z": "a", "y": 0.5}, {"x": 2, "z": "b", "y": 1.5}]
CSV = "x,z,y\n1,a,0.5\n2,b,1.5\n"
FILES = {
    "t.csv.gz": gzip.compress(CSV.encode()),
    "t.tsv.gz": gzip.compress(CSV.replace(",", "\t").encode()),
    "u.csv.gz": gzip.compress(CSV[:9].encode()) + gzip.compress(CSV[9:].encode()),  # several members
    "t.json": json.dumps(ROWS, indent=1),
    "t.json.gz": gzip.compress(json.dumps(ROWS).encode()),
    "t.jsonl.gz": gzip.compress("\n".join(map(json.dumps, ROWS)).encode()),
    "utf16.jsonl": "\n".join(map(json.dumps, ROWS)).encode("utf-16"),
    "pipe.csv": CSV.replace(",", "|"),
    "crlf.csv": CSV.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_formats_hold_the_same_rows(read, name):
    data = read(FILES[name], name)
    assert (data.input_names, data.categories) == (("x", "z"), (None, ("a", "b")))
    assert data.inputs.tolist() == [[1, 0], [2, 1]]
    assert data.targets[:, 0].tolist() == [0.5, 1.5]


def test_a_separator_may_end_each_line(read):
    assert read("x,y,\n1,0.5,\n2,1.5,\n").input_names == ("x",)


def test_a_separator_that_fits_better_is_named(read):
    with pytest.raises(DataError, match=r"t\.csv:2: has 3 cells, .*; set dataset\.separator to ';'$"):
        read("price, net;n;y\n1,5;1;2,5\n")


def test_any_character_may_separate_cells(read):
    assert read("x#y\n1#0.5\n2#1.5\n", separator="#").inputs.tolist() == [[1], [2]]


def several(tmp_path, *contents, **options):
    paths = []
    for k, content in enumerate(contents):
        paths.append(str(tmp_path / f"{k}.csv"))
        (tmp_path / f"{k}.csv").write_text(content)
    return Table(path=tuple(paths), target="y", **options)


def test_files_are_concatenated_by_the_names_of_their_columns(tmp_path):
    data = several(tmp_path, "x,z,y\n1,a,0.5\n", "y,z,x\n1.5,7,2.5\n3.5,b,4\n").load()
    assert data.input_names == ("x", "z")
    assert data.categories == (None, ("7", "a", "b"))
    assert data.inputs.tolist() == [[1, 1], [2.5, 0], [4, 2]]
    assert data.targets[:, 0].tolist() == [0.5, 1.5, 3.5]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("x,y\n1,2\n", r"1.csv: has no column 'z', unlike \S*0.csv; expected the same columns in every file"),
        ("x,z,w,y\n1,2,3,4\n", r"0.csv: has no column 'w', unlike \S*1.csv"),
        ("x,z,y\n1,2,3\n1,,3\n", r"1.csv:3: column 'z' is missing"),
        ("", "1.csv: is empty"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, second, message):
    with pytest.raises(DataError, match=message):
        several(tmp_path, "x,z,y\n1,2,3\n4,5,6\n", second).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "klingon"}, "there is no encoding 'klingon'; expected a name such as utf-8"),
        ({"encoding": "base64"}, "'base64' is no encoding of text"),
        ({"separator": "||"}, "expected auto or one ASCII character such as ';' or '|', got '||'"),
        ({"thousands": "_"}, "expected ',', '.', ' ' or \"'\", got '_'"),
        ({"decimal": ",", "thousands": ","}, "decimal and thousands are both ','"),
        ({"columns": {"x": {"format": "%Y"}}}, "format is for dates; set as: date"),
        ({"columns": {"x": {"as": "date", "strip": "€"}}}, "strip is for numbers"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Table(path="t.csv", target="y", **options)


def test_bytes_of_another_encoding_are_named_with_one_that_reads_them(read):
    message = (
        r"t\.csv:3: byte 0xfc is not UTF-8; set dataset\.encoding, for example to cp1252, which reads '1,Mü"
    )
    with pytest.raises(DataError, match=message):
        read("x,name,y\n1,a,2\n1,Müller,2\n".encode("cp1252"))


def workbook(path, *sheets):
    """Write an Excel file with the least that one has, texts in their cells; its sheets are a, b, ..."""

    def cell(value):
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t>{value}</t></is></c>'
        return f"<c><v>{value}</v></c>"

    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    part = "".join(
        f'<Override PartName="/xl/{k}.xml" ContentType="{kind}.worksheet+xml"/>' for k in range(len(sheets))
    )
    named = "".join(f'<sheet name="{"abc"[k]}" sheetId="{k + 1}" r:id="r{k}"/>' for k in range(len(sheets)))
    target = "".join(
        f'<Relationship Id="r{k}" Type="{office}/worksheet" Target="{k}.xml"/>' for k in range(len(sheets))
    )
    members = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f"{part}</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {main} xmlns:r="{office}"><sheets>{named}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">{target}'
        "</Relationships>",
    }
    for k, rows in enumerate(sheets):
        lines = (f'<row r="{at}">{"".join(map(cell, row))}</row>' for at, row in enumerate(rows, 1))
        members[f"xl/{k}.xml"] = f"<worksheet {main}><sheetData>{''.join(lines)}</sheetData></worksheet>"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)


def test_excel_files_are_read(tmp_path):
    pytest.importorskip("fastexcel")
    path = str(tmp_path / "t.xlsx")
    workbook(path, [("x", "z", "y"), (1, 7, 0.5), (), (2.5, "b", 1.5)])
    data = Table(path=path, target="y").load()
    assert data.inputs.tolist() == [[1, 0], [2.5, 1]]
    with pytest.raises(DataError, match=r"t\.xlsx:row 4: column 'z' is 'b'"):
        Table(path=path, target="y", columns={"z": {"as": "number"}}).load()


def test_a_sheet_of_an_excel_file_is_read_by_name_or_number(tmp_path):
    pytest.importorskip("fastexcel")
    path = str(tmp_path / "t.xlsx")
    workbook(path, [("x", "y"), (1, 2), (2, 3)], [("x", "y"), (3, 4), (5, 6)])
    for sheet, inputs in ((None, [[1], [2]]), (1, [[1], [2]]), ("b", [[3], [5]]), (2, [[3], [5]])):
        table = Table(path=path, target="y", sheet=sheet)
        assert table.load().inputs.tolist() == inputs
    for sheet in ("B", 3):
        with pytest.raises(DataError) as caught:
            Table(path=path, target="y", sheet=sheet).load()
        assert str(caught.value) == f"{path}: has no sheet {sheet!r}; set dataset.sheet to one of 'a', 'b'"
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Table(path=path, target="y", sheet=0)


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"x,y\n1,2\n"])
def test_a_damaged_excel_file_is_refused(read, content):
    pytest.importorskip("fastexcel")
    with pytest.raises(DataError, match=r"t\.xlsx: is damaged or not an \.xlsx file"):
        read(content, "t.xlsx")


def test_a_library_that_excel_files_need_is_named(monkeypatch):
    monkeypatch.setattr("mlprun.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"t\.xlsx: Fastexcel is not installed; pip install .?fastexcel"):
        Table(path="t.xlsx", target="y").load()
