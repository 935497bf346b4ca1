import json
import os
import re
from functools import partial

import pytest

from mlprun import cli, schema
from mlprun.cli.init import template_names
from mlprun.cli.schema import SCHEMA_FILE
from mlprun.schema.jsonschema import json_schema

ROWS = "area,colour,y\n" + "1.5,red,yes\n2.0,blue,no\n2.5,red,yes\n3.0,blue,no\n" * 5


@pytest.fixture
def init(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return partial(call, "init")


def uncommented(text):
    """The config with every option that stands in a comment made active."""
    body = text.split("\n\n", 1)[1]
    return re.sub(r"(?m)^( *)# ([a-z_0-9]+: )", r"\1\2", body)


@pytest.mark.parametrize("name", template_names())
def test_every_template_is_a_valid_config_that_says_its_defaults_truly(name, init, tmp_path):
    code, out, err = init(name)
    assert (code, out) == (0, f"wrote {name}.yaml\n")
    assert err.endswith(f"\nnext: mlprun train {name}.yaml\n")
    text = (tmp_path / f"{name}.yaml").read_text()
    config = schema.load(f"{name}.yaml")
    assert config.dataset.name == name
    (tmp_path / "all.yaml").write_text(uncommented(text))
    everything = schema.load("all.yaml")
    assert everything.model_dump() == config.model_dump()
    spoken = schema.dump(everything, str(tmp_path))
    for section in type(config).model_fields:
        assert section in spoken
        assert re.search(rf"(?m)^{section}:", uncommented(text)), section


@pytest.mark.parametrize("name", template_names())
def test_every_template_trains_as_it_is(name, init):
    assert init(name)[0] == 0
    assert cli.main(["train", f"{name}.yaml", "training.epochs=2", "-q"]) == 0


def test_a_table_s_config_trains_as_it_is(init, tmp_path):
    (tmp_path / "t.csv").write_text(ROWS)
    assert init("--data", "t.csv", "--target", "y")[0] == 0
    assert cli.main(["train", "t.yaml", "training.epochs=2", "-q"]) == 0


def test_without_a_template_it_is_moons(init, tmp_path):
    assert init()[:2] == (0, "wrote moons.yaml\n")
    lines = (tmp_path / "moons.yaml").read_text().splitlines()
    assert lines[:2] == [
        "# yaml-language-server: $schema=mlprun.schema.json",
        "# Two interleaving half circles of radius 1, one class each.",
    ]


def test_the_schema_is_put_beside_the_config_once(init, tmp_path):
    (tmp_path / "deep").mkdir()
    assert init("--out", "deep/first.yaml")[0] == 0
    beside = tmp_path / "deep" / SCHEMA_FILE
    assert json.loads(beside.read_text()) == json_schema()
    beside.write_text("kept")
    assert init("iris", "--out", "deep/second.yaml")[0] == 0
    assert beside.read_text() == "kept"


def test_a_file_that_exists_is_only_overwritten_with_force(init, tmp_path):
    place = tmp_path / "moons.yaml"
    place.write_text("mine")
    code, out, err = init()
    assert (code, out) == (2, "")
    assert err == "error: moons.yaml: exists; choose another name or add --force\n"
    assert place.read_text() == "mine"
    assert init("--force")[0] == 0
    assert schema.load("moons.yaml").name == "moons"


def test_a_dash_writes_to_standard_output_and_no_file(init, tmp_path):
    code, out, err = init("iris", "--out", "-")
    assert (code, err) == (0, "")
    assert "name: iris" in out
    assert os.listdir(tmp_path) == []


def test_json_names_the_files(init):
    code, out, _ = init("iris", "--json", "-q")
    assert (code, json.loads(out)) == (0, {"config": "iris.yaml", "schema": "mlprun.schema.json"})


def test_a_table_becomes_a_config_beside_which_it_is_found(init, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "data" / "my rows.csv").write_text(ROWS.replace("3.0", "NA", 1))
    code, out, err = init("--data", "data/my rows.csv", "--target", "y", "--out", "configs/first.yaml")
    assert (code, out) == (0, "wrote configs/first.yaml\n")
    assert err == (
        "20 rows, 2 features, target: y (2 classes).\n"
        "One-hot encoded: colour.\n"
        "1 cell is missing, in 1 row.\n"
        "15 rows are copies of others, which may be in another split.\n"
        "Column 'area' determines the target: is it known when predicting?\n"
        "Column 'colour' determines the target: is it known when predicting?\n"
        "next: mlprun train configs/first.yaml\n"
    )
    config = schema.load("configs/first.yaml")
    assert config.name == "first"
    assert config.dataset.path == "data/my rows.csv"
    assert config.dataset.load().input_names == ("area", "colour")
    assert config.dataset.missing == "impute"
    assert config.loss.name == "bce"
    text = (tmp_path / "configs" / "first.yaml").read_text()
    assert '  path: "../data/my rows.csv"' in text
    assert "# 20 rows, 2 features, target: y (2 classes).\n" in text
    (tmp_path / "configs" / "all.yaml").write_text(uncommented(text))
    assert schema.load("configs/all.yaml").model_dump() == config.model_dump()


def test_a_column_that_only_names_the_rows_is_left_out(init, tmp_path):
    lines = [f"{k},u{k:03d},{1950 + k},{(k * 37) % 60 + 500},{k % 7},{k % 2}" for k in range(1, 61)]
    (tmp_path / "t.csv").write_text("\n".join(["Nr,who,year,customer_id,grade,y", *lines]))
    code, _, err = init("--data", "t.csv", "--target", "y")
    assert code == 0
    assert schema.load("t.yaml").dataset.load().input_names == ("year", "grade")
    for name in ("Nr", "who", "customer_id"):
        assert f"Skipped column '{name}': looks like a row identifier." in err


@pytest.mark.parametrize("header", ["id,y", "a,y"])
def test_what_is_the_only_feature_or_few_rows_is_kept(header, init, tmp_path):
    (tmp_path / "one.csv").write_text("\n".join([header, *(f"{k},{k * 0.5 + k % 3}" for k in range(1, 30))]))
    (tmp_path / "few.csv").write_text("a,word,y\n1,one,3.5\n2,two,4.5\n3,three,6\n4,four,7\n")
    assert init("--data", "one.csv", "--target", "y")[0] == 0
    assert schema.load("one.yaml").dataset.load().input_names == (header[:-2],)
    assert init("--data", "few.csv", "--target", "y")[0] == 0
    assert schema.load("few.yaml").dataset.load().input_names == ("a", "word")


@pytest.mark.parametrize("targets", [("3.5", "4.5", "5.5"), ("x", "z", "x")])
def test_a_table_of_three_rows_becomes_a_config_that_trains(targets, init, tmp_path):
    rows = "\n".join(f"{k},{k * k},{target}" for k, target in enumerate(targets))
    (tmp_path / "t.csv").write_text("a,b,y\n" + rows)
    code, _, err = init("--data", "t.csv", "--target", "y")
    assert code == 0
    assert "Too few rows to split: train, dev and test each use all rows.\n" in err
    assert "  split: same " in (tmp_path / "t.yaml").read_text()
    assert cli.main(["train", "t.yaml", "training.epochs=2", "-q"]) == 0


def test_whole_numbers_of_a_table_are_quantities_for_an_mlp(init, tmp_path):
    (tmp_path / "t.csv").write_text("age,income,y\n" + "".join(f"{k},{k * 997},{k % 2}\n" for k in range(30)))
    assert init("--data", "t.csv", "--target", "y")[0] == 0
    config = schema.load("t.yaml")
    assert (config.architecture.name, config.architecture.vocabulary) == ("mlp", None)


def test_a_column_of_splits_stands_alone(init, tmp_path):
    rows = "\n".join(f"{k}.5,{('train', 'dev', 'test')[k % 3]},{k % 2}" for k in range(30))
    (tmp_path / "t.csv").write_text("a,part,y\n" + rows)
    assert init("--data", "t.csv", "--target", "y")[0] == 0
    assert "  split: {column: part} " in (tmp_path / "t.yaml").read_text()


def test_several_targets_of_a_table_are_numbers(init, tmp_path):
    (tmp_path / "t.csv").write_text("a,b,c\n" + "".join(f"{k},{k * 1.5},{k * 0.5}\n" for k in range(20)))
    assert init("--data", "t.csv", "--target", "b", "--target", "c")[0] == 0
    config = schema.load("t.yaml")
    assert (config.dataset.target, config.loss.name, config.architecture.outputs) == (("b", "c"), "mse", 2)


def test_odd_column_names_survive(init, tmp_path):
    odd = ["true", "1e3", "a: b", "#x", "[/x]", "ü 東", "\u202eevil", "y"]
    rows = "\n".join(",".join(str(k * j + 0.5) for j in range(1, 9)) for k in range(1, 20))
    (tmp_path / "t.csv").write_text(",".join(odd) + "\n" + rows)
    assert init("--data", "t.csv", "--target", "y")[0] == 0
    assert schema.load("t.yaml").dataset.load().input_names == tuple(odd[:-1])


def test_a_name_with_a_line_break_stays_in_its_comment(init, tmp_path):
    (tmp_path / "t.csv").write_text('a,"y\ndevice: cuda"\n' + "\n".join(f"{k}.5,{k}.5" for k in range(20)))
    assert init("--data", "t.csv", "--target", "y\ndevice: cuda", "--out", "t.yaml")[0] == 0
    config = schema.load("t.yaml")
    assert (config.device, config.dataset.target) == ("cpu", "y\ndevice: cuda")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["moon"], 2, "error: moon: no such template; did you mean moons?"),
        (["table"], 2, "error: table: no such template; add --data FILE --target COLUMN"),
        (
            ["iris", "--data", "t.csv", "--target", "y"],
            2,
            "error: --data: cannot be combined with the template iris; omit one of them",
        ),
        (
            ["--data", "t.csv"],
            2,
            "error: init: a table needs a column to predict; add --data FILE --target COLUMN",
        ),
        (
            ["--target", "y"],
            2,
            "error: init: a table needs a column to predict; add --data FILE --target COLUMN",
        ),
        (["--data", "t.csv", "--target", "yy"], 2, "error: t.csv: has no column 'yy'; did you mean y?"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, code, line, init, tmp_path):
    (tmp_path / "t.csv").write_text(ROWS)
    assert init(*arguments) == (code, "", line + "\n")
    assert os.listdir(tmp_path) == ["t.csv"]


def test_a_table_that_is_not_there_is_exit_3(init, tmp_path):
    code, out, err = init("--data", "none.csv", "--target", "y")
    assert (code, out) == (3, "")
    assert err.startswith("error: none.csv: ")
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_exit_7(init):
    code, out, err = init("--out", "none/a.yaml")
    assert (code, out) == (7, "")
    assert (
        err == "error: none/a.yaml: cannot be written: no such file or directory; create the folder first\n"
    )
