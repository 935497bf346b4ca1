"""`mlprun ls`, `tag`, `note` and `rm`: runs sorted, filtered, described and put away."""

from __future__ import annotations

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlprun import cli
from mlprun.cli.terminal import duration, sparkline
from mlprun.storage import runs

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., tuple[int, str, str]]

CONFIG = """
dataset: {name: moons, split: {train: 40, dev: 20, test: 20}}
architecture: {hidden: [3], activation: logistic}
training: {epochs: 3}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with three runs and a sweep."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "small.yaml").write_text(CONFIG)
    former = os.getcwd()
    os.chdir(folder)
    for changes in (
        ["optimizer.lr=0.5"],
        ["optimizer.lr=5", "architecture.hidden=[4,2]"],
        ["dataset=circles"],
    ):
        assert cli.main(["train", "small.yaml", "-q", *changes]) == 0
    assert cli.main(["train", "small.yaml", "-q", "--seeds", "2"]) == 0
    os.chdir(former)
    return folder


@pytest.fixture
def home(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(trained, tmp_path / "home", symlinks=True)
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def listed(home: Path, call: Call) -> Callable[..., list[str]]:
    """The numbers of the runs that `ls` lists, in its order."""

    def ls(*arguments: str) -> list[str]:
        code, out, err = call("ls", *arguments, "--json", "-q")
        assert (code, err) == (0, "")
        return [run["name"].removeprefix("small-00") for run in json.loads(out)["runs"]]

    return ls


def loss(run: str) -> float:
    status = json.loads(Path("runs", run, "status.json").read_text())
    return float(status["figures"]["best"]["splits"]["dev"]["loss"])


def test_runs_are_sorted_by_metrics_fields_and_values_of_the_config(listed: Callable[..., list[str]]) -> None:
    by_loss = sorted("123", key=lambda number: loss(f"small-00{number}"))
    assert listed("--sort", "dev_loss") == by_loss
    assert listed("--sort", "dev_loss", "--reverse") == by_loss[::-1]
    assert listed("--sort", "optimizer.lr") == ["3", "1", "2"]
    assert listed("--sort", "run", "-r") == ["3", "2", "1"]
    for number, time in (("1", 3), ("2", 1), ("3", 2)):
        os.utime(f"runs/small-00{number}/run.json", (time, time))
    assert listed("--sort", "date") == ["2", "3", "1"]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        (["dataset=moons"], "12"),
        (["dataset!=moons"], "3"),
        (["optimizer.lr>=0.5"], "12"),
        (["optimizer.lr < 0.5"], "3"),
        (["optimizer.lr=5.0"], "2"),
        (["architecture.hidden=[4,2]"], "2"),
        (["architecture.hidden=[4, 2]"], "2"),
        (["dataset=m*s", "optimizer.lr<=0.5"], "1"),
        (["train_loss<1e9"], "123"),
        (["date>2000-01-01"], "123"),
        (["status=finished", "run=*-003"], "3"),
        (["epochs>3"], ""),
        (["dataset.noise>text"], ""),
        (["tag=thesis"], "1"),
        (["tag!=thesis"], "23"),
        (["note=*fast*"], "2"),
        (["note=m*h*fast, I*think"], "2"),
        (["note=*[f]a?t*"], ""),
        (["run=" + "*s" * 30 + "x"], ""),
    ],
)
def test_conditions_select_runs(conditions: list[str], found: str, listed: Callable[..., list[str]]) -> None:
    runs.RunFolder("runs/small-001").change_notes(lambda _: runs.Notes(("thesis", "figure 3")))
    runs.RunFolder("runs/small-002").change_notes(lambda _: runs.Notes(note="much too fast, I think"))
    assert listed(*[word for text in conditions for word in ("--where", text)]) == list(found)


def test_the_table_has_date_duration_tags_notes_and_what_it_is_sorted_by(home: Path, call: Call) -> None:
    assert call("tag", "runs/small-001", "thesis", "-q")[:2] == (0, "runs/small-001: thesis; no note\n")
    assert call("note", "runs/small-002", "too\nfast")[0] == 0
    heading, *rows = call("ls", "--sort", "optimizer.lr")[1].partition("\n\n")[0].splitlines()
    assert heading.split() == ["run", "date", "status", "time", "optimizer.lr", "test", "tags", "note"]
    assert [row.split()[0] for row in rows] == [f"runs/small-00{number}" for number in "312"]
    assert all(re.search(r" \d\d-\d\d \d\d:\d\d +finished +\d\.\d\d s +(0\.2|0\.5|5) ", row) for row in rows)
    assert rows[1].endswith("  thesis")
    assert rows[2].endswith("  too\\nfast")
    year_ago = datetime.now().timestamp() - 400 * 86400
    os.utime("runs/small-003/run.json", (year_ago, year_ago))
    assert f"{datetime.fromtimestamp(year_ago):%Y-%m-%d} " in call("ls")[1]
    os.utime("runs/small-003/run.json", ns=(2**62, 2**62))
    assert call("ls")[0] == 0


def test_tags_and_notes_are_shown_replaced_and_removed(home: Path, call: Call) -> None:
    record = Path("runs/small-001/run.json").read_bytes()
    for arguments in (
        ("tag", "a", "b", "a"),
        ("tag", "c"),
        ("tag", "b", "--remove"),
        ("note", "x"),
        ("note", "y"),
    ):
        code, out, err = call(arguments[0], "runs/small-001", *arguments[1:], "--json")
        assert (code, err) == (0, "")
    assert json.loads(out) == {"run": "runs/small-001", "tags": ["a", "c"], "note": "y"}
    shown = call("show", "runs/small-001")[1]
    assert "\ntags: a, c\nnote: y\n" in shown
    told = json.loads(call("show", "runs/small-001", "--json")[1])
    assert (told["tags"], told["note"]) == (["a", "c"], "y")
    assert call("note", "runs/small-001", "")[:2] == (0, "runs/small-001: a, c; no note\n")
    assert Path("runs/small-001/run.json").read_bytes() == record
    assert call("reproduce", "runs/small-001", "-q")[0] == 0


def test_tags_that_are_added_at_once_are_all_kept(home: Path) -> None:
    def add(tag: int) -> None:
        folder = runs.RunFolder("runs/small-001")  # with a descriptor of its own, as another process has
        folder.change_notes(lambda notes: runs.Notes((*notes.tags, str(tag)), notes.note))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(64)))
    assert sorted(runs.RunFolder("runs/small-001").notes().tags, key=int) == list(map(str, range(64)))


def test_show_draws_the_losses(home: Path, call: Call) -> None:
    shown = call("show", "runs/small-001")[1]
    assert re.search(r"^train_loss( +[\d.]+){3}  [▁-█]{40}$", shown, re.MULTILINE)
    Path("runs/small-001/history.csv").write_text("damaged")
    code, shown, err = call("show", "runs/small-001")
    assert code == 0
    assert "train_loss  " not in shown
    assert err == ""  # an unterminated line is forgiven
    Path("runs/small-001/history.csv").write_text("a,b\nx,y\n")
    assert "warning: runs/small-001/history.csv:2: is not a row" in call("show", "runs/small-001")[2]


def test_removed_runs_lie_in_the_trash_and_can_be_put_back(home: Path, call: Call) -> None:
    Path("runs/small-003/my plans.txt").write_text("mine")
    code, out, err = call("rm", "runs/latest", "runs/small-seeds-001", "runs/small-003")
    assert code == 0
    assert out == (
        "moved runs/small-003 to runs/.trash/small-003\n"
        "moved runs/small-seeds-001 to runs/.trash/small-seeds-001\n"
    )
    restore, free = err.splitlines()
    assert restore == "to restore: mv runs/.trash/small-seeds-001 runs/"
    assert free == "to free the space: rm -r runs/.trash"
    assert sorted(os.listdir("runs")) == [".trash", "latest", "small-001", "small-002"]
    assert os.readlink("runs/latest") == "small-002"
    assert call("train", "small.yaml", "-q", "--json")[0] == 0
    assert os.readlink("runs/latest") == "small-004"  # the number is not used again
    assert os.system(restore.partition(": ")[2]) == 0  # what the user is told to type
    os.rename("runs/.trash/small-003", "runs/small-003")
    assert Path("runs/small-003/my plans.txt").read_text() == "mine"
    assert call("eval", "runs/small-003")[0] == 0
    told = json.loads(call("rm", *[f"runs/small-00{number}" for number in "1234"], "--json")[1])
    assert call("sweep", "show", "runs/small-seeds-001")[0] == 0
    assert told["removed"][0] == {"run": "runs/small-001", "trash": "runs/.trash/small-001"}
    code, out, err = call("rm", "runs/.trash/small-001")
    assert (code, out) == (2, "")
    assert err == "error: runs/.trash/small-001: is in the trash already; free the space with rm -r\n"
    assert sorted(os.listdir("runs")) == [".trash", "small-seeds-001"]
    os.chdir("runs/small-seeds-001")
    assert call("rm", ".")[1].endswith("/runs/.trash/small-seeds-001\n")


def test_a_run_in_use_a_link_and_what_is_no_run_are_not_removed(home: Path, call: Call) -> None:
    before = sorted(os.listdir("runs"))
    Path("runs/mine").mkdir()
    Path("runs/link-001").symlink_to("small-001")
    with runs.RunFolder("runs/small-002").lock():
        code, out, err = call("rm", "runs/small-001", "runs/small-002")
        assert (code, out) == (5, "")
        assert "is in use by process" in err
        assert call("tag", "runs/small-002", "promising")[0] == 0  # which a run that trains may get
    for path, code in (("runs/mine", 4), ("runs/link-001", 2), ("runs", 4), ("small.yaml", 4)):
        assert call("rm", path)[0] == code
    assert set(os.listdir("runs")) - {".trash"} == {*before, "mine", "link-001"}
    Path("runs/.trash").rmdir() if Path("runs/.trash").exists() else None
    Path("runs/.trash").symlink_to("mine")
    assert call("rm", "runs/small-001")[0] == 7
    assert os.listdir("runs/mine") == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("ls", "--where", "dataset"),
            """--where: 'dataset' is no condition; example: --where "dev_loss<0.1\"""",
        ),
        (
            ("ls", "--where", "dataste=moons"),
            "dataste: no run has a value for this key; did you mean dataset?",
        ),
        (("ls", "--sort", "dev_los"), "dev_los: no run has a value for this key; did you mean dev_loss?"),
        (("ls", "--sort", "zzz"), "zzz: no run has a value for this key; see mlprun ls --help"),
        (
            ("tag", "runs/small-001", "a,b"),
            "tag: 'a,b' is not allowed; expected 1 to 64 printable characters",
        ),
        (("tag", "runs/small-001", ""), "tag: '' is not allowed; expected 1 to 64 printable characters"),
        (("tag", "runs/small-001", "a", "--remove"), "runs/small-001: has no tag 'a'; it has no tags"),
        (("note", "runs/small-001", "x" * 4001), "note: has 4001 characters; use at most 4000"),
    ],
)
def test_what_cannot_be_done_says_what_would_work(
    arguments: tuple[str, ...], line: str, home: Path, call: Call
) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {line}")
    assert not Path("runs/small-001/notes.json").exists()


@pytest.mark.parametrize("text", ["", "[]", '{"tags": [1], "note": ""}', '{"tags": []}', "\0"])
def test_damaged_notes_are_4_and_hide_no_other_run(text: str, home: Path, call: Call) -> None:
    Path("runs/small-001/notes.json").write_text(text)
    for arguments in (("tag", "runs/small-001", "a"), ("show", "runs/small-001")):
        code, _, err = call(*arguments)
        assert code == 4
        assert err.startswith("error: runs/small-001/notes.json: is damaged")
    told: list[dict[str, Any]] = json.loads(call("ls", "--json")[1])["runs"]
    assert [run["status"] for run in told] == ["damaged", "finished", "finished"]


def test_times_are_given_in_suitable_units() -> None:
    times = [0.071, 9.9, 45.3, 200, 3599.6, 7500]
    assert [*map(duration, times)] == ["0.07 s", "9.90 s", "45 s", "3 min 20 s", "1 h 00 min", "2 h 05 min"]


def test_sparklines_have_a_logarithmic_scale_over_a_decade_and_leave_out_what_is_no_number() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([10**k for k in range(8)], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, float("nan"), 2, float("inf")], 4) == "▁ █"
    assert sparkline([1, 1], 4) == "▁▁▁▁"
    assert sparkline([], 4) == ""
