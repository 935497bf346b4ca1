import io
import json
import os
import re

import pytest

import mlprun
from mlprun import cli, files
from mlprun.storage import runs
from mlprun.sweeps import folder as sweeps

CONFIG = """
dataset: {name: moons, split: {train: 40, dev: 20, test: 20}}
architecture: {hidden: [3], activation: logistic}
training: {epochs: 12}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A working directory with a config and two runs of it."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.yaml").write_text(CONFIG)
    former = os.getcwd()
    os.chdir(folder)
    assert cli.main(["train", "small.yaml", "-q"]) == 0
    assert cli.main(["train", "small.yaml", "-q", "optimizer.lr=0.5"]) == 0
    os.chdir(former)
    return folder


@pytest.fixture
def call(home, monkeypatch, call):
    monkeypatch.chdir(home)
    return call


def document(call, *arguments):
    code, out, err = call(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_train_says_what_programs_may_rely_on(call):
    told = document(call, "train", "small.yaml", "-q", "--name", "told", "--seed", "3")
    assert told["run"] == os.path.join("runs", "told-001")
    assert (told["status"], told["engine"], told["epochs"], told["of"]) == ("finished", "fused", 12, "best")
    assert set(told["splits"]) == {"train", "dev", "test"}
    assert told["best"]["metric"] == "dev_loss"
    assert told["best"]["value"] == told["splits"]["dev"]["loss"]
    assert set(told["baselines"]) == {"majority", "logistic regression"}


def test_train_ends_with_a_table_the_folder_and_the_next_command(call):
    code, out, err = call("train", "small.yaml", "--name", "table")
    lines = out.splitlines()
    assert code == 0
    assert re.fullmatch("best epoch: [0-9]+ of 12; positive class: [a-z0-9]+", lines[0])
    assert lines[1].split() == ["metric", "train", "dev", "test"]
    names = ("best", "logistic regression", "majority")
    rows = [f"{name:19}  loss" for name in names]
    assert [line[:25] for line in (lines[2], lines[5], lines[7])] == rows
    assert [line.split()[0] for line in (lines[3], lines[6], lines[8])] == ["accuracy"] * 3
    assert lines[4] == "-" * max(map(len, lines[1:9]))
    assert len(lines[4]) <= 80
    assert lines[-3:] == [
        "run folder: runs/table-001",
        "next: mlprun plot runs/table-001 --open",
        "      mlprun report runs/table-001 --open",
    ]
    told = err.splitlines()
    assert told[0] == "network: 13 parameters"
    assert [line.split()[-1] for line in told[2:5]] == ["9", "0", "4"]
    assert told[-2] == "training in runs/table-001"
    assert told[-1].startswith("table  epoch 12/12 · train 0.")


def test_a_dry_run_shows_rows_and_layers_and_writes_nothing(call, home):
    before = set(os.listdir(home / "runs"))
    told = document(call, "train", "small.yaml", "--dry-run")
    help_text = call("train", "--help")[1]
    for name in (*told, *told["engine"], *told["layers"][0]):
        assert f'"{name}"' in help_text
    assert told["rows"] == {"train": 40, "dev": 20, "test": 20}
    assert told["parameters"] == sum(layer["parameters"] for layer in told["layers"]) == 3 * 3 + 4
    assert call("train", "small.yaml", "--dry-run")[0] == 0
    assert set(os.listdir(home / "runs")) == before


def test_eval_repeats_the_figures_that_train_told(call, home):
    status = json.loads((home / "runs/small-001/status.json").read_text())
    told = document(call, "eval", "runs/small-001")
    assert told["splits"] == status["figures"]["best"]["splits"]
    assert told["epoch"] == status["figures"]["best"]["epoch"]
    last = document(call, "eval", "runs/small-001/last.safetensors", "--split", "test,dev")
    assert last["splits"] == {name: status["figures"]["last"]["splits"][name] for name in ("test", "dev")}


def test_eval_of_another_table_gives_its_figures(call, home):
    (home / "new.csv").write_text("x2,class,x1\n0.5,outer,0\n-0.5,inner,1\n")
    told = document(call, "eval", "runs/small-001", "--data", "new.csv")
    assert set(told["splits"]) == {"data"}
    assert told["splits"]["data"]["accuracy"] in (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("arguments", "line", "code"),
    [
        (
            ("eval", "runs/small-001", "--split", "tets"),
            "error: --split: unknown split 'tets'; use train, dev, test",
            2,
        ),
        (
            ("eval", "runs/small-001", "--fail-under", "test_acuracy=1"),
            "error: --fail-under: 'test_acuracy' was not evaluated; use one of ",
            2,
        ),
        (
            ("eval", "runs/small-001", "--fail-under", "high"),
            "error: --fail-under: 'high' is not METRIC=NUMBER; example:",
            2,
        ),
        (
            ("eval", "runs/small-001", "--fail-over", "test_loss"),
            "error: --fail-over: 'test_loss' is not METRIC=NUMBER; example: test_loss=0.3",
            2,
        ),
        (
            ("eval", "runs/small-001", "--fail-under", "test_loss=0.5"),
            "error: --fail-under: loss is better when smaller; use --fail-over test_loss=0.5",
            2,
        ),
        (
            ("eval", "runs/small-001", "--fail-over", "dev_accuracy=0.5"),
            "error: --fail-over: accuracy is better when larger; use --fail-under dev_accuracy=0.5",
            2,
        ),
        (("eval", "runs/small-001", "--fail-over", "test_loss=0"), "error: test_loss: ", 10),
        (("eval", "runs/small-001", "--fail-under", "test_accuracy=1.1"), "error: test_accuracy: ", 10),
        (("eval", "runs/none-001"), "error: runs/none-001: no such folder", 4),
        (("show", "runs/none-001"), "error: runs/none-001: is no such folder", 4),
        (("resume", "runs"), "error: runs: is not a run folder", 4),
        (("ls", "nowhere"), "error: nowhere: no such folder", 4),
        (("compare", "runs/small-001"), "error: compare: needs at least two runs", 2),
        (
            ("resume", "runs/small-001", "--epochs", "12"),
            "error: --epochs: the run already goes to 12 epochs",
            2,
        ),
        (("train", "small.yaml", "--device", "cuda:7"), "error: device: cuda:7 is not available", 6),
        (("predict", "runs/small-001", "none.csv"), "error: none.csv: no such file", 3),
    ],
)
def test_what_cannot_be_done_is_one_line_and_the_documented_exit_code(call, arguments, line, code):
    ended, out, err = call(*arguments)
    assert (ended, err.count("\n")) == (code, 1)
    assert err.startswith(line.replace("is no such", "no such")), err
    if code != 10:
        assert out == ""


def test_bounds_that_hold_change_nothing(call):
    bounds = ("--fail-over", "test_loss=1e9", "--fail-over", "dev_loss=9", "--fail-under", "test_accuracy=0")
    assert call("eval", "runs/small-001", *bounds) == call("eval", "runs/small-001")


@pytest.mark.parametrize("name", ["2024", "null", "true"])
def test_a_run_may_be_called_what_yaml_takes_for_something_else(call, home, name):
    assert call("train", "small.yaml", "-q", "training.epochs=1", "--name", name, "--out", "odd")[0] == 0
    path = os.path.join("odd", f"{name}-001")
    assert document(call, "show", path)["config"]["name"] == name


def test_a_short_option_says_what_is_wrong_with_it(call):
    for option in ("name", "device", "engine"):
        code, _, err = call("train", "small.yaml", f"--{option}", '"')
        assert code == 2
        assert option in err
        assert "the string" in err or "expected" in err


def test_predict_gives_a_line_for_each_row_in_order(call, home):
    (home / "rows.csv").write_text("x2,x1\n0.5,0\n-0.5,1\n0.2,0.1\n")
    code, out, _ = call("predict", "runs/small-001", "rows.csv")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "class,p(outer),p(inner)"
    assert len(lines) == 4
    for line in lines[1:]:
        label, outer, inner = line.split(",")
        assert label == ("inner" if float(inner) > 0.5 else "outer")
        assert float(outer) + float(inner) == pytest.approx(1)
    assert call("predict", "runs/small-001", "rows.csv", "--out", "said.csv")[0] == 0
    assert (home / "said.csv").read_text() == out
    rows = (home / "rows.csv").read_bytes()
    code, out, err = call("predict", "runs/small-001", "rows.csv", "--out", "rows.csv")
    assert (code, out, err) == (2, "", "error: rows.csv: exists; choose another name or add --force\n")
    assert (home / "rows.csv").read_bytes() == rows
    assert call("predict", "runs/small-001", "rows.csv", "--out", "said.csv", "--force")[0] == 0
    told = document(call, "predict", "runs/small-001", "rows.csv")
    assert [",".join(map(str, row)) for row in told["rows"]] == lines[1:]


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("--lr=0.1", "try mlprun train --help"),
        ("--sed=3", "did you mean --seed?"),
        ("--zzz", "try mlprun train --help"),
    ],
)
def test_a_value_of_the_config_given_as_an_option_is_told_how_to_write_it(call, option, remedy):
    name = option.partition("=")[0]
    code, _, err = call("train", "small.yaml", option)
    values = "(values of the config are written KEY=VALUE, as in optimizer.lr=0.1)"
    assert (code, err) == (2, f"error: {name}: no such option; {remedy} {values}\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("show", "runs/smal-001"), "error: runs/smal-001: no such folder; did you mean runs/small-001?"),
        (("eval", "runs/smal-001"), "error: runs/smal-001: no such folder; did you mean runs/small-001?"),
        (("eval", "small-001"), "error: small-001: no such folder; did you mean runs/small-001?"),
        (("show", "zzz"), "error: zzz: no such folder; expected a run folder, such as runs/"),
        (
            ("plot", "runs"),
            "error: runs: is not a run folder: it has no config.yaml; expected a run folder, such as",
        ),
        (("eval", "x.safetensors"), "error: x.safetensors: no such file; expected a checkpoint that"),
        (("predict", "runs/small-001", "absent.csv"), "error: absent.csv: no such file; check the path"),
        (("--json", "ls"), "error: --json: must follow the command; write mlprun COMMAND --json"),
        (("version",), "error: version: no such command; did you mean mlprun --version?"),
    ],
)
def test_a_wrong_path_or_word_says_what_to_type(call, arguments, line):
    code, out, err = call(*arguments)
    assert (code, out) == (
        2 if arguments[0] in ("--json", "version") else 3 if "absent.csv" in arguments else 4,
        "",
    )
    assert err.startswith(line)


def test_a_file_of_the_newest_run_is_found_by_latest(call):
    code, out, _ = call("eval", "runs/latest/last.safetensors")
    assert code == 0
    assert "last.safetensors" in out


def test_unknown_categories_are_a_warning_of_one_line(call, home):
    (home / "c.csv").write_text("c,y\n" + "a,1.5\nb,2\nc,2.5\na,1\n" * 5)
    (home / "c.yaml").write_text("dataset: {name: table, path: c.csv, target: y}\ntraining: {epochs: 1}\n")
    assert call("train", "c.yaml", "-q")[0] == 0
    (home / "n.csv").write_text("c,y\na,1\nzz,2\n")
    warning = (
        "warning: n.csv: column 'c': 1 of 2 rows holds categories not seen during training ('zz'), "
        "encoded as all zeros\n"
    )
    for arguments in (("predict", "runs/c-001", "n.csv"), ("eval", "runs/c-001", "--data", "n.csv")):
        code, out, err = call(*arguments)
        assert (code, err) == (0, warning)
        assert out


def test_ls_lists_the_runs_and_how_they_stand(call, home):
    told = {run["name"]: run for run in document(call, "ls")["runs"]}
    assert told["small-001"]["status"] == "finished"
    assert told["small-001"]["epochs"] == 12
    assert set(told["small-001"]["splits"]) == {"train", "dev", "test"}
    (home / "elsewhere").mkdir(exist_ok=True)
    assert call("ls", "elsewhere")[:2] == (0, "")


class Counting(files.System):
    """The system calls, with the paths that are opened and looked at."""

    def __init__(self):
        self.opened, self.looked_at = [], []

    def open(self, path, *arguments):
        self.opened.append(path)
        return os.open(path, *arguments)

    def lstat(self, path):
        self.looked_at.append(path)
        return os.lstat(path)


@pytest.fixture
def many(home, tmp_path, monkeypatch):
    """A folder of 40 runs, 10 of which failed and 10 crashed, and the counted system calls."""
    first = home / "runs/small-001"
    status = json.loads((first / "status.json").read_text())
    for number in range(40):
        folder = tmp_path / "many" / f"small-{number + 1:03d}"
        folder.mkdir(parents=True)
        for name in os.listdir(first):
            os.link(first / name, folder / name)
        if number >= 20:
            (folder / "status.json").unlink()
            state = "failed" if number < 30 else "running"
            (folder / "status.json").write_text(json.dumps({**status, "state": state}))
    monkeypatch.setattr(files, "system", Counting())
    return tmp_path / "many"


def test_ls_opens_nothing_but_status_files_and_locks_of_running_runs(call, many):
    told = document(call, "ls", many)["runs"]
    opened = [os.path.relpath(path, many) for path in files.system.opened]
    ended = [f"small-{number:03d}/status.json" for number in range(1, 31)]
    assert [path for path in opened if path in ended] == ended
    assert {os.path.basename(path) for path in opened} == {"status.json", "lock"}
    assert len([path for path in opened if path.endswith("lock")]) == 10
    assert [run["epochs"] for run in told] == [12] * 20 + [None] * 20
    assert [run["status"] for run in told] == ["finished"] * 20 + ["failed"] * 10 + ["crashed"] * 10


def test_the_newest_run_and_a_mistyped_one_are_found_without_reading_the_others(call, many):
    newest = many / "small-017/run.json"
    newest.unlink()
    newest.write_text("{}")
    assert runs.resolve_latest(str(many / "latest")) == str(many / "small-017")
    assert files.system.opened == []
    assert len(files.system.looked_at) < 4 * 40 + 10
    files.system.looked_at.clear()
    assert runs.suggest_run(str(many / "small-0017")) == f"did you mean {many / 'small-017'}?"
    assert runs.suggest_run(str(many)) == f"expected a run folder, such as {many / 'small-040'}"
    assert sweeps.named(str(many), "width") == []
    assert files.system.opened == []
    assert len(files.system.looked_at) <= 7 * 40


def test_a_damaged_status_is_shown_as_damaged(call, home, tmp_path):
    import shutil

    shutil.copytree(home / "runs/small-001", tmp_path / "runs/small-001")
    (tmp_path / "runs/small-001/status.json").write_text("{")
    told = document(call, "ls", str(tmp_path / "runs"))["runs"]
    assert [run["status"] for run in told] == ["damaged"]


def test_show_gives_the_network_and_the_figures(call):
    code, out, _ = call("show", "runs/small-001")
    assert code == 0
    assert "network: 13 parameters" in out
    assert "linear 2 -> 3" in out
    assert "finished, 12 of 12 epochs" in out
    assert "stopped" not in out


def test_a_run_that_came_to_its_end_was_stopped_by_nothing(call):
    assert "stopped" not in call("train", "small.yaml", "--name", "whole")[1]


def test_show_says_why_a_run_stopped_early(call):
    words = ("--name", "early", "training.epochs=500", "early_stopping.patience=1", "optimizer.lr=3.0")
    assert call("train", "small.yaml", "-q", *words)[0] == 0
    assert "\nstopped by early_stopping\n" in call("show", "runs/early-001")[1]


def test_compare_names_a_section_of_defaults(call):
    assert call("train", "small.yaml", "-q", "--name", "patient", "early_stopping.patience=100")[0] == 0
    out = call("compare", "runs/small-001", "runs/patient-001")[1]
    assert "{}" not in out


def test_compare_names_what_differs_and_nothing_else(call):
    told = document(call, "compare", "runs/small-001", "runs/small-002")
    assert told["differences"] == {"optimizer.lr": [0.2, 0.5]}
    assert [len(values) for values in told["metrics"].values()] == [2] * 6


def test_compare_of_different_datasets_has_one_row_for_each_part(call, home):
    sine = {
        "name": "inline",
        "inputs": [[float(x)] for x in range(9)],
        "targets": [[x % 2] for x in range(9)],
    }
    (home / "sine.yaml").write_text(
        json.dumps({"dataset": sine, "metrics": ["r2"], "training": {"epochs": 2}})
    )
    assert call("train", "sine.yaml", "-q", "--out", "others", "loss=mse")[0] == 0
    arguments = ("compare", "runs/small-001", "runs/small-002", "others/sine-001")
    _, out, _ = call(*arguments)
    keys = [line.split()[0] for line in out.partition("\n\n")[0].splitlines()[2:]]
    sections = [key for key in keys if "." not in key]
    assert {"dataset", "loss", "metrics"} <= set(sections)
    assert not [key for key in keys if key.startswith(("dataset.", "loss."))]
    assert "null" not in out.partition("\n\n")[0]
    found = document(call, *arguments)["differences"]
    assert found["optimizer.lr"] == [0.2, 0.5, 0.2]
    assert found["loss"] == ["bce", "bce", "mse"]
    assert found["dataset"][0]["name"] == "moons"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [80, 60])
def test_tables_fit_narrow_terminals_and_no_heading_is_torn(home, monkeypatch, width):
    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    for arguments, words in (
        (("train", "small.yaml", "-q", "--out", "drawn"), "metric train dev test"),
        (("train", "small.yaml", "-q", "--seeds", "2", "--out", "drawn"), "metric mean ± std min"),
        (("eval", "runs/small-001"), "metric train dev test"),
        (("show", "runs/small-001"), "metric train dev test"),
        (("ls", "drawn"), "run date status time test"),
        (("compare", "runs/small-001", "runs/small-002"), "split metric small-001 small-002"),
        (("sweep", "show", "drawn/small-seeds-001"), "setting n mean"),
        (("list",), "kind count names"),
        (("list", "optimizers"), "name summary"),
    ):
        screen = Terminal()
        monkeypatch.setattr("sys.stdout", screen)
        assert cli.main([*arguments]) == 0
        lines = re.sub("\x1b\\[[0-9]m", "", screen.getvalue()).splitlines()
        # columns are at least two spaces apart; sentences are left to the terminal
        assert all(len(line) <= width for line in lines if "  " in line or "──" in line), (arguments, lines)
        headings = [line.split() for line in lines]
        drawn = any(line[: len(words.split())] == words.split() for line in headings)
        # what does not fit side by side is a list, with a line for each value
        listed = all(any(line[:1] == [word + ":"] for line in headings) for word in words.split()[1:])
        assert drawn or listed, (arguments, lines)


def test_compare_draws_over_no_file_unless_it_is_told_to(call, home):
    arguments = ("compare", "runs/small-001", "runs/small-002", "--plot", "curves.png")
    (home / "curves.png").write_bytes(b"mine")
    code, _, err = call(*arguments)
    assert (code, err) == (2, "error: curves.png: exists; choose another name or add --force\n")
    assert (home / "curves.png").read_bytes() == b"mine"
    assert call(*arguments, "--force")[0] == 0
    assert (home / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_latest_is_the_newest_run(call, home):
    for name in ("newest", "again"):
        assert call("train", "small.yaml", "-q", "--name", name, "--out", "series")[0] == 0
    told = document(call, "show", "series/latest")
    assert told["run"] == os.path.join("series", "again-001")
    assert document(call, "eval", "series/latest")["checkpoint"].startswith("series/again-001")
    code, _, err = call("show", "elsewhere-too/latest")
    assert (code, err) == (
        4,
        "error: elsewhere-too: no such folder; expected a folder of runs, such as runs/\n",
    )


def test_show_and_compare_need_no_data_and_eval_says_what_it_misses(call, home):
    lines = [f"{x},{'ab'[x % 2]}" for x in range(40)]
    (home / "gone.csv").write_text("x,y\n" + "\n".join(lines) + "\n")
    (home / "gone.yaml").write_text(
        "dataset: {name: table, path: gone.csv, target: y}\ntraining: {epochs: 2}\n"
    )
    assert call("train", "gone.yaml", "-q")[0] == 0
    os.remove(home / "gone.csv")
    assert call("show", "runs/gone-001")[0] == 0
    assert call("compare", "runs/gone-001", "runs/small-001")[0] == 0
    code, out, err = call("eval", "runs/gone-001")
    assert (code, out) == (3, "")
    assert err == "error: gone.csv: no such file; evaluate another table with --data\n"


def test_a_run_without_dev_rows_is_judged_by_its_last_epoch(call):
    told = document(
        call, "train", "small.yaml", "-q", "dataset.split={train: 40, dev: 0, test: 40}", "--name", "devless"
    )
    assert (told["best"], told["of"], set(told["splits"])) == (None, "last", {"train", "test"})
    assert document(call, "eval", told["run"])["splits"] == told["splits"]


def test_json_tells_of_a_run_that_diverged_too(call):
    code, out, err = call(
        "train", "small.yaml", "-q", "--json", "--name", "far", "loss=mse", "optimizer.lr=1e38"
    )
    told = json.loads(out)
    assert (code, told["status"], told["run"]) == (8, "diverged", "runs/far-001")
    assert err.startswith("error: runs/far-001: training diverged after epoch ")


def test_a_start_that_cannot_be_made_leaves_no_folder(call, home):
    start = "architecture.init={name: file, path: runs/small-001/last.safetensors}"
    for more in ((), ("--dry-run",)):
        code, _, err = call("train", "small.yaml", "architecture.hidden=[4]", start, "--name", "odd", *more)
        assert code == 2
        assert "shape [3, 2] where the network has [4, 2]" in err
    assert not (home / "runs/odd-001").exists()
    assert call("train", "small.yaml", start, "--name", "even", "-q")[0] == 0


def test_a_table_is_predicted_from_python_too(home):
    run = mlprun.load(str(home / "runs/small-001"))
    (home / "few.csv").write_text("x1,x2\n0,0.5\n1,-0.5\n")
    answers = run.predict_table(home / "few.csv")
    assert answers.columns == ("class", "p(outer)", "p(inner)")
    assert len(answers.rows) == 2
    assert {"train", "load", "resume"} <= set(dir(mlprun))


def test_a_pattern_of_all_runs_names_the_newest_once(call, home):
    for rate in ("0.1", "0.2"):
        assert call("train", "small.yaml", "-q", "--out", "pattern", f"optimizer.lr={rate}")[0] == 0
    names = sorted(f"pattern/{name}" for name in os.listdir(home / "pattern"))
    assert names[0] == "pattern/latest"
    assert sorted(document(call, "compare", *names)["runs"]) == names[1:]
    drawn = document(call, "plot", *names, "--kind", "loss", "--dpi", "40", "--out", "pictures")
    assert sorted(one["run"] for one in drawn["runs"]) == names[1:]
