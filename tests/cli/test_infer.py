import pytest

from mlprun.cli.infer import infer_table
from mlprun.errors import DataError, UsageError


@pytest.fixture
def table(tmp_path):
    def write(text, name="table.csv"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


ROWS = "area,colour,y\n1.5,red,yes\n2.0,blue,no\n2.5,red,yes\n3.0,blue,no\n"


def test_a_whole_table_is_read_as_it_is(table):
    options, about = infer_table(table(ROWS), ["y"])
    assert options == {"target": "y", "features": ("area", "colour"), "missing": "refuse"}
    assert about == [
        "4 rows, 2 features, target: y (2 classes).",
        "One-hot encoded: colour.",
    ]


def test_missing_cells_are_imputed_only_where_there_are_any(table):
    assert infer_table(table(ROWS.replace("2.5", "NA")), ["y"])[0]["missing"] == "impute"


def test_a_number_is_predicted_as_a_number_and_several_together(table):
    assert infer_table(table(ROWS), ["area"])[1][0] == "4 rows, 2 features, target: area (numbers)."
    rows = "a,b,c\n1.5,2.5,3\n2.5,3.5,4\n3.5,1.5,9\n"
    options, about = infer_table(table(rows), ["a", "b"])
    assert options["target"] == ("a", "b")
    assert about[0] == "3 rows, 1 features, target: a, b (numbers)."


def test_a_column_that_names_the_splits_is_used_for_them(table):
    lines = [
        line + f",{part}"
        for line, part in zip(ROWS.split(), ["part", "train", "dev", "test", "train"], strict=True)
    ]
    options, about = infer_table(table("\n".join(lines)), ["y"])
    assert options["split"] == {"column": "part"}
    assert options["features"] == ("area", "colour")
    assert about[-1] == "Splits are taken from column part."


def test_columns_that_nothing_can_be_learnt_from_are_left_out(table):
    rows = "".join(f"{k},name {k},{k * 1.5},{'yes' if k % 2 else 'no'}\n" for k in range(150))
    options, about = infer_table(table(",name,area,y\n" + rows), ["y"])
    assert options["features"] == ("area",)
    assert about[-1].startswith("Skipped: ")
    assert "column 'name'" in about[-1]


@pytest.mark.parametrize(
    ("text", "target", "error", "words"),
    [
        (ROWS, "yy", UsageError, "has no column 'yy'; did you mean y?"),
        ("", "y", DataError, "is empty"),
        ("a,y\n", "y", DataError, "no rows"),
        ("a,y\n1,2\n1\n", "y", DataError, "has 1 cells"),
        ("a,y\n1,2\n3,2\n", "y", DataError, "expected a target that varies"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_says_why(text, target, error, words, table):
    with pytest.raises(error, match=words.replace("?", r"\?")):
        infer_table(table(text), [target])
