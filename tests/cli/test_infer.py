import numpy as np
import pytest

from mlprun import schema
from mlprun.cli import main
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
    options, about, *_ = infer_table(table(ROWS), ["y"])
    assert options == {"target": "y", "missing": "refuse"}
    assert about == [
        "4 rows, 2 features, target: y (2 classes).",
        "One-hot encoded: colour.",
    ]


def test_missing_cells_are_imputed_only_where_there_are_any(table):
    assert infer_table(table(ROWS.replace("2.5", "NA")), ["y"])[0]["missing"] == "impute"


def test_a_number_is_predicted_as_a_number_and_several_together(table):
    assert infer_table(table(ROWS), ["area"])[1][0] == "4 rows, 2 features, target: area (numbers)."
    rows = "a,b,c\n1.5,2.5,3\n2.5,3.5,4\n3.5,1.5,9\n"
    options, about, *_ = infer_table(table(rows), ["a", "b"])
    assert options["target"] == ("a", "b")
    assert about[0] == "3 rows, 1 features, target: a, b (numbers)."


def test_a_column_that_names_the_splits_is_used_for_them(table):
    lines = [
        line + f",{part}"
        for line, part in zip(ROWS.split(), ["part", "train", "dev", "test", "train"], strict=True)
    ]
    options, about, *_ = infer_table(table("\n".join(lines)), ["y"])
    assert options["split"] == {"column": "part"}
    assert "columns" not in options
    assert about[-1] == "Splits are taken from column part."


def test_columns_that_nothing_can_be_learnt_from_are_left_out(table):
    rows = "".join(f"{k},name {k},{k * 1.5},{'yes' if k % 2 else 'no'}\n" for k in range(150))
    options, about, *_ = infer_table(table(",name,area,y\n" + rows), ["y"])
    assert options["columns"] == {"": {"as": "skip"}, "name": {"as": "skip"}}
    assert about[-2:] == [
        "Skipped column '': it has no name, as if it counted the rows.",
        "Skipped column 'name': 150 different texts in 150 rows.",
    ]


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


def test_each_feature_is_described_and_its_scale_follows_its_values(table):
    draw = np.random.default_rng(0)
    plain, skewed = draw.normal(size=200), draw.gamma(0.5, size=200)
    extreme = np.where(np.arange(200) == 7, 90.0, draw.normal(size=200))
    rows = zip(plain, skewed, extreme, draw.choice(["red", "blue"], 200), draw.normal(size=200), strict=True)
    lines = ["plain,skewed,extreme,colour,y", *(",".join(map(str, row)) for row in rows)]
    found = infer_table(table("\n".join(lines)), ["y"])
    assert found.options["columns"] == {"skewed": {"scale": "log"}, "extreme": {"scale": "quantile"}}
    described = dict(line.split(": ", 1) for line in found.columns)
    assert described["plain"].startswith(f"number, 200 distinct, {plain.min():g} to {plain.max():g}")
    assert described["colour"].startswith("category, 2 distinct, such as '")
    assert described["extreme"].endswith("scale: quantile, as some are extreme")


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("2024-03-{:02}", {"as": "date"}),
        ("{:02}.03.2024", {"as": "date", "format": "%d.%m.%Y"}),
        ("2024/03/{:02}", {"as": "date", "format": "%Y/%m/%d"}),
    ],
)
def test_dates_are_read_in_their_format(table, form, options):
    rows = "".join(f"{form.format(k)},{k},{k * k % 7 + 0.5}\n" for k in range(1, 29))
    found = infer_table(table("day,a,y\n" + rows), ["y"])
    assert found.options["columns"]["day"] == options
    assert found.columns[0] == "day: date, 28 distinct, 2024-03-01 to 2024-03-28"


def test_imbalanced_classes_are_weighted_and_the_rare_one_is_positive(table):
    rows = "".join(f"{k * 7 % 50},{'bad' if k % 10 == 0 else 'good'}\n" for k in range(100))
    found = infer_table(table("a,y\n" + rows), ["y"])
    assert found.options["positive"] == "bad"
    assert found.sections == {
        "loss": {"name": "bce", "class_weights": "balanced"},
        "metrics": ("f1", "balanced_accuracy", "roc_auc"),
    }
    assert "Imbalanced: class 'bad' has 10.0% of the rows." in found.about
    balanced = "".join(f"{k},{'bad' if k % 4 == 0 else 'good'}\n" for k in range(100))
    assert infer_table(table("a,y\n" + balanced), ["y"]).sections == {}
    third = rows.replace("bad", "worse", 2)
    assert "positive" not in infer_table(table("a,y\n" + third), ["y"]).options  # only two classes have one


def test_missing_cells_copies_and_leaks_are_reported(table):
    rows = [(k % 9, "" if k % 5 == 0 else k * 3 % 8, "AB"[k % 3 == 0], k % 3 == 0) for k in range(60)]
    lines = ["a,b,code,y", *(f"{a},{b},{code},{'yes' if y else 'no'}" for a, b, code, y in rows)]
    about = infer_table(table("\n".join([*lines, lines[1], lines[2]])), ["y"]).about
    assert "13 cells are missing, in 13 rows." in about
    copies = 62 - len(set(rows))
    assert f"{copies} rows are copies of others, which may be in another split." in about
    assert "Column 'code' determines the target: is it known when predicting?" in about
    twice = "".join(f"{k / 4},{k * k % 11},{k / 2 + 1}\n" for k in range(30))
    leak = "Column 'twice' determines the target: is it known when predicting?"
    assert leak in infer_table(table("twice,b,y\n" + twice), ["y"]).about


def test_rows_without_a_target_are_dropped_and_several_labels_found(table):
    missing = ROWS.replace("2.5,red,yes", "2.5,red,")
    assert infer_table(table(missing), ["y"]).options["missing_target"] == "drop"
    labels = "".join(f"{k},{k % 2},{k // 2 % 2}\n" for k in range(20))
    assert infer_table(table("a,y,z\n" + labels), ["y", "z"]).options["task"] == "labels"


@pytest.mark.parametrize("rare", [0.1, 0.4])
def test_the_config_of_a_table_trains_as_it_is(table, tmp_path, monkeypatch, rare):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(1)
    rows = [(draw.normal(), f"2024-05-{draw.integers(1, 28):02}", draw.random() < rare) for _ in range(80)]
    lines = ["a,day,y", *(f"{a:.3f},{day},{'yes' if y else 'no'}" for a, day, y in rows)]
    table("\n".join(lines))
    assert main(["init", "--data", "table.csv", "--target", "y"]) == 0
    assert "#   day: date" in (tmp_path / "table.yaml").read_text()
    assert main(["train", "table.yaml", "training.epochs=2", "-q"]) == 0


@pytest.mark.parametrize(
    ("form", "separator", "marks"),
    [
        ("{:.2f}", ",", {}),
        ('"{:,.2f}"', ",", {"thousands": ","}),
        ("{:.2f}", ";", {}),
        ("eu{:.2f}", ";", {"decimal": ","}),
        ("eu{:,.2f}", ";", {"decimal": ",", "thousands": "."}),
    ],
)
def test_separators_of_numbers_are_those_that_fit(table, form, separator, marks):
    texts = [form.format(1234.5 * k) for k in range(1, 30)]
    swap = str.maketrans(",.", ".,")
    texts = [text[2:].translate(swap) if text.startswith("eu") else text for text in texts]
    rows = "".join(f"{text}{separator}{k * 7 % 29}\n" for k, text in enumerate(texts))
    options = infer_table(table(f"a{separator}y\n" + rows), ["y"]).options
    assert {name: options[name] for name in ("decimal", "thousands") if name in options} == marks


def german(k):
    """A number as Excel writes it in Germany."""
    return f"{1234.5 * k:,.2f}".translate(str.maketrans(",.", ".,"))


def test_a_file_of_a_german_excel_is_read_with_what_it_needs(tmp_path, monkeypatch, call):
    lines = [
        f"{german(k)} €;{k % 40},5 %;{k} kg;{k % 28 + 1:02}.02.2023;{k % 8 if k % 9 else '-'};0{k % 20 + 10}"
        for k in range(10, 90)
    ]
    (tmp_path / "t.csv").write_bytes(
        "\n".join(["Preis;Rabatt;Größe;Datum;Note;PLZ", *lines]).encode("cp1252")
    )
    monkeypatch.chdir(tmp_path)
    assert call("init", "--data", "t.csv", "--target", "Preis")[0] == 0
    dataset = schema.load("t.yaml").dataset
    read = {name: own.model_dump(exclude_unset=True, by_alias=True) for name, own in dataset.columns.items()}
    assert (dataset.encoding, dataset.decimal, dataset.thousands) == ("cp1252", ",", ".")
    assert dataset.missing.model_dump() == {"values": ("-",), "fill": "impute"}
    assert read == {
        "Preis": {"as": "number", "strip": "€"},
        "Rabatt": {"as": "percent"},
        "Größe": {"as": "number", "strip": "kg"},
        "Datum": {"as": "date", "format": "%d.%m.%Y"},
        "Note": {"missing": "median", "indicator": True},
        "PLZ": {"as": "category"},
    }
    data = dataset.load()
    np.testing.assert_allclose(data.targets[:, 0], [1234.5 * k for k in range(10, 90)])
    np.testing.assert_allclose(data.inputs[:, 0], [(k % 40 + 0.5) / 100 for k in range(10, 90)])
    assert call("train", "t.yaml", "training.epochs=1", "-q")[0] == 0


def test_what_is_written_in_two_ways_gets_both_texts(table):
    rows = "".join(f"{k} lb,{k}.5\n{k}lbs,{k}\n" for k in range(40))
    found = infer_table(table("weight,y\n" + rows), ["y"])
    assert found.options["columns"]["weight"] == {"as": "number", "strip": ("lb", "lbs")}


@pytest.mark.parametrize("name", ["width, cm", '"width, cm"'])
def test_a_semicolon_is_found_behind_a_comma_in_the_header(table, name):
    rows = "".join(f"{k * 3 % 31};{k * k % 17}.5\n" for k in range(30))
    options = infer_table(table(f"{name};y\n" + rows), ["y"]).options
    assert options.get("separator", ";") == ";"


def test_days_and_months_that_may_be_exchanged_are_said(table):
    rows = "".join(f"{k % 12 + 1:02}/{k * 5 % 12 + 1:02}/2024,{k * k % 17}.5\n" for k in range(30))
    found = infer_table(table("day,y\n" + rows), ["y"])
    assert found.options["columns"] == {"day": {"as": "date", "format": "%d/%m/%Y"}}
    assert "Column 'day' has no day above 12: is %d/%m/%Y right, day or month first?" in found.about
    assert found.columns[0].endswith("; no day is above 12: day or month first?")


@pytest.mark.parametrize(
    ("city", "options"),
    [
        (lambda k: f"town {k % 30}" if k % 10 else f"rare {k}", {"max_categories": 50}),
        (lambda k: f"town {k % 200}", {"encode": "target"}),
        (lambda k: f"town {k}", {"as": "skip"}),
    ],
    ids=["few are common", "all are alike", "one for each row"],
)
def test_many_categories_are_grouped_encoded_or_left_out(table, city, options):
    rows = "".join(f"{city(k)},{k % 7},{k * k % 11}.5\n" for k in range(1000))
    assert infer_table(table("city,b,y\n" + rows), ["y"]).options["columns"] == {"city": options}


def test_many_missing_cells_get_an_input_and_few_the_mean(table):
    cells = [
        ("" if k % 10 == 0 else k % 7, "" if k == 5 else k % 9, "" if k % 8 == 0 else "ab"[k % 2])
        for k in range(200)
    ]
    rows = "".join(f"{many},{few},{text},{k % 3}.5\n" for k, (many, few, text) in enumerate(cells))
    found = infer_table(table("many,few,text,y\n" + rows), ["y"])
    assert found.options["columns"] == {
        "many": {"missing": "median", "indicator": True},
        "text": {"missing": "most_frequent", "indicator": True},
    }
    assert found.columns[0].endswith("; 20 missing; indicator, as 10% of the cells are missing")


def test_repeated_ids_are_groups_and_rows_in_order_of_dates_are_said(table):
    rows = "".join(f"p{k % 25},{k * k % 7},{k * k % 11}.5\n" for k in range(100))
    found = infer_table(table("patient,b,y\n" + rows), ["y"])
    assert found.options["group"] == "patient"
    assert "Rows with equal patient stay in one split." in found.about
    days = "".join(f"2024-{k // 28 + 1:02}-{k % 28 + 1:02},{k * k % 7},{k * k % 11}.5\n" for k in range(100))
    found = infer_table(table("day,b,y\n" + days), ["y"])
    assert ("time" not in found.options, found.suggested) == (True, {"time": "day"})
    assert "Rows are in the order of 'day': set dataset.time to test on later ones." in found.about


def test_a_skewed_target_is_learnt_as_its_logarithm(table):
    draw = np.random.default_rng(0)
    rows = "".join(f"{k % 7},{value:.4f}\n" for k, value in enumerate(draw.lognormal(3, 1.2, 200)))
    found = infer_table(table("a,y\n" + rows), ["y"])
    assert found.options["target_transform"] == "log1p"
    assert "Skewed and not negative: target y; target_transform is log1p." in found.about


def test_targets_may_be_named_with_a_comma_between_them(table):
    rows = "a,b,c\n1.5,2.5,3\n2.5,3.5,4\n3.5,1.5,9\n"
    assert infer_table(table(rows), ["a,b"]).options["target"] == ("a", "b")


def test_times_of_day_are_left_out_with_the_reason(table):
    rows = "".join(f"{k // 60}:{k % 60:02},{k % 7},{k * k % 11}.5\n" for k in range(600, 800))
    found = infer_table(table("at,b,y\n" + rows), ["y"])
    assert found.options["columns"] == {"at": {"as": "skip"}}
    assert "at: skipped; '10:00' is in a format that is not read as a number or date" in found.columns[0]
