import json
import pathlib
from functools import partial

import pytest

from mlprun import cli

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def validate(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text("dataset: moons\n")
    (tmp_path / "bad.yaml").write_text("dataset: moons\noptimizer: {momentun: 0.9}\ntraining: {epochs: -1}\n")
    (tmp_path / "worse.yaml").write_text("dataset: mons\n")
    return partial(call, "validate")


BAD = (
    "bad.yaml:2:13: optimizer.momentun: unknown key; did you mean momentum?\n"
    "  optimizer: {momentun: 0.9}\n"
    "              ^\n"
    "bad.yaml:3:20: training.epochs: must be at least 0, got -1\n"
    "  training: {epochs: -1}\n"
    "                     ^\n"
)


def test_a_config_without_problems_is_ok(validate):
    assert validate("good.yaml") == (0, "good.yaml: ok\n", "")


def test_all_problems_of_all_files_are_told_at_once(validate):
    code, out, err = validate("good.yaml", "bad.yaml", "worse.yaml")
    assert (code, out) == (2, "good.yaml: ok\n")
    assert err.startswith(BAD)
    assert "\nworse.yaml:1:10: dataset: unknown dataset 'mons'; did you mean moons?\n" in err


def test_a_config_that_is_missing_does_not_hide_the_others(validate):
    code, out, err = validate("god.yaml", "good.yaml", "bad.yaml")
    assert (code, out) == (2, "good.yaml: ok\n")
    missing, rest = err.split("\n", 1)
    assert missing.startswith("god.yaml: ")
    assert rest == BAD


def test_overrides_hold_for_every_config_and_their_errors_name_them(validate):
    assert validate("good.yaml", "optimizer.lr=0.1", "training.epochs=3") == (0, "good.yaml: ok\n", "")
    code, out, err = validate("good.yaml", "optimizer.lrr=0.1")
    assert (code, out, err) == (2, "", "optimizer.lrr=0.1: unknown key; did you mean lr?\n")


def test_a_file_whose_name_has_an_equals_sign_is_a_config(validate, tmp_path):
    (tmp_path / "lr=3.yaml").write_text("dataset: moons\n")
    assert validate("lr=3.yaml") == (0, "lr=3.yaml: ok\n", "")


def test_json_tells_the_same(validate):
    code, out, err = validate("good.yaml", "bad.yaml", "--json")
    assert (code, err) == (2, BAD)
    document = json.loads(out)
    assert document["ok"] is False
    assert document["configs"][0] == {"config": "good.yaml", "ok": True, "problems": []}
    assert "\n".join(document["configs"][1]["problems"]) + "\n" == BAD


def test_a_table_that_cannot_be_read_is_exit_3(validate, tmp_path):
    (tmp_path / "table.yaml").write_text("dataset: {name: table, path: none.csv, target: y}\n")
    code, out, err = validate("table.yaml")
    assert (code, out) == (3, "")
    assert err.startswith("error: none.csv: ")


def test_without_a_config_the_usage_is_told(validate):
    assert validate("optimizer.lr=3") == (
        2,
        "",
        "error: validate: no config given; try mlprun validate --help\n",
    )


def test_user_code_runs_only_when_it_is_allowed(validate, tmp_path):
    (tmp_path / "code.py").write_text("print('ran')\n")
    (tmp_path / "code.yaml").write_text("dataset: moons\nextend: [code.py]\n")
    code, out, err = validate("code.yaml")
    assert (code, out) == (2, "")
    assert "--allow-code" in err
    code, out, err = validate("code.yaml", "--allow-code")
    assert (code, out, err) == (0, "ran\ncode.yaml: ok\n", "")


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_config_is_valid(config, validate):
    assert validate(str(config), "--allow-code") == (0, f"{config}: ok\n", "")


SWEEP = "base: good.yaml\ngrid: {optimizer.lr: [0.1, -1]}\n"


def test_a_sweep_file_is_checked_as_one(validate, tmp_path):
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("-1", "1"))
    assert validate("sweep.yaml") == (0, "sweep.yaml: ok\n", "")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    code, out, err = validate("sweep.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("sweep.yaml:2:28: optimizer.lr: must be greater than 0, got -1\n")


@pytest.mark.parametrize("command", [["train"], ["train", "--dry-run"], ["verify"], ["bench"]])
def test_a_sweep_file_where_a_config_belongs_is_told_in_one_line(command, validate, tmp_path, capsys):
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    assert cli.main([command[0], "sweep.yaml", *command[1:]]) == 2
    told = "is a sweep file, not the config of a single run; mlprun sweep run sweep.yaml"
    assert capsys.readouterr().err == f"error: sweep.yaml: {told}\n"


def test_a_table_is_warned_of(tmp_path, capsys):
    rows = [f"{k / 4},{k * k % 11},{k / 2 + 1}" for k in range(30)]
    (tmp_path / "rows.csv").write_text("\n".join(["twice,b,y", *rows, rows[0]]))
    config = tmp_path / "leak.yaml"
    config.write_text("dataset: {name: table, path: rows.csv, target: y}\n")
    assert cli.main(["validate", str(config)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{config}: ok\n"
    assert told.err.splitlines() == [
        f"warning: {config}: 1 row is a copy of another, which may be in another split.",
        f"warning: {config}: Column 'twice' determines the target: is it known when predicting?",
    ]


def test_a_table_is_warned_of_what_init_would_change(tmp_path, capsys):
    cells = [(k, k * k % 79 % 43, k % 12 + 1, k % 9 + 1, "bad" if k % 8 == 0 else "good") for k in range(200)]
    rows = ["{},town {},{:02}/{:02}/2024,{}".format(*row) for row in cells]
    (tmp_path / "rows.csv").write_text("\n".join(["id,town,day,y", *rows]))
    config = tmp_path / "table.yaml"
    day = 'columns: {day: {as: date, format: "%d/%m/%Y"}}'
    config.write_text(f"dataset: {{name: table, path: rows.csv, target: y, {day}}}\n")
    assert cli.main(["validate", str(config)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"warning: {config}: ") for line in lines] == [
        "Imbalanced: class 'bad' has 12.5% of the rows.",
        "Column 'id' looks like a row identifier: set its option `as` to skip.",
        "Column 'town' becomes 33 inputs, one for each category: see encode and max_categories.",
        "Column 'day' has no day above 12: is %d/%m/%Y right, day or month first?",
    ]
    assert cli.main(["validate", str(config), "loss={name: bce, class_weights: balanced}"]) == 0
    assert "Imbalanced" not in capsys.readouterr().err
