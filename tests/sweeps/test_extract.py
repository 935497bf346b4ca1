"""A trial as a run folder: it is what the sweep kept to the last bit, and what is not is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import mlprun
from mlprun.errors import CheckpointError, UsageError
from mlprun.storage import checkpoints
from mlprun.sweeps import cohort_file, database
from mlprun.sweeps.configs import Configs
from mlprun.sweeps.extract import extract

TEXT = """
name: few
seeds: 3
grid: {architecture.hidden: [[2], [4]], optimizer.lr: [0.5, 1e+30]}
success: test_accuracy >= 0.8
"""


@pytest.fixture
def few(sweep, base):
    """Twelve real trials, of which those with the huge steps diverge or not, as they do."""
    base("engine: torch\npenalty: {l2: 1e-3}\n")
    return sweep(TEXT)


@pytest.fixture
def call(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return call


def test_a_trial_becomes_a_run_folder_that_equals_it(few, tmp_path):
    for number in (1, 5, 7, 10):
        made = extract(few.folder, number, out=str(tmp_path / "trials"), callbacks=())
        trial = few.trials[number - 1]
        assert made.differences == ()
        assert made.folder.name == f"few-trial-{number}-001"
        run = mlprun.load(made.folder.path)
        kept = cohort_file.read(few.folder.cohort(trial.cohort))
        last = checkpoints.read(made.folder.last).under("model.")
        assert {name: array.tobytes() for name, array in last.items()} == {
            name: array.tobytes() for name, array in kept.last(trial.member).items()
        }
        assert run.status.state == trial.status
        assert run.config.training.seed == trial.seed
        assert run.metrics["last"]["splits"]["test"]["loss"] == pytest.approx(
            trial.figures["last_test_loss"], nan_ok=True
        )
    assert {few.trials[number - 1].status for number in (1, 5, 7, 10)} == {"finished", "diverged"}


@pytest.mark.parametrize(
    ("array", "named"),
    [("0.last.layers.0.weight", "the weights of the last epoch"), ("history", "the history")],
)
def test_what_is_not_as_the_sweep_kept_it_is_named(array, named, few, tmp_path):
    path = few.folder.cohort(1)
    kept = checkpoints.read(path)
    arrays = {name: np.array(value) for name, value in kept.tensors.items()}
    arrays[array].reshape(-1)[0] = np.nextafter(arrays[array].reshape(-1)[0], 9, dtype=arrays[array].dtype)
    Path(path).write_bytes(checkpoints.encode(checkpoints.Checkpoint(arrays, kept.meta)))
    made = extract(few.folder, 1, out=str(tmp_path / "trials"), callbacks=())
    assert made.differences == (named,)


def test_what_is_said_of_a_damaged_cohort_mends_it(sweep, tmp_path):
    swept = sweep("seeds: 3")
    path, before = Path(swept.folder.cohort(1)), swept.trials
    whole = path.read_bytes()
    for damage in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], b"", None):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        with pytest.raises(CheckpointError) as caught:
            extract(swept.folder, 1, out=str(tmp_path / "trials"), callbacks=())
        assert ("or remove it and run the same sweep again" in str(caught.value)) == (damage is not None)
        assert "or run the same sweep again" in str(caught.value) or damage is not None
        path.unlink(missing_ok=True)
        again = sweep("seeds: 3")
        assert again.path == swept.path
        assert path.read_bytes() == whole
        assert [replace(one, seconds=0) for one in again.trials] == [
            replace(one, seconds=0) for one in before
        ]


def test_figures_that_are_not_the_sweeps_are_named(few, call):
    database.remove_checksum(few.folder.database)
    changing = sqlite3.connect(few.folder.database)
    changing.execute("UPDATE figures SET test_loss = test_loss + 1e-9 WHERE trial = 2")
    changing.commit()
    changing.close()
    code, out, err = call("sweep", "trial", few.path, 2, "--json", "-q")
    assert code == 10
    assert json.loads(out)["differences"] == ["the figures"]
    assert "differs from trial 2 of" in err


def test_a_trial_that_is_not_there_or_was_not_trained_is_refused(few, tmp_path):
    def refused(number):
        with pytest.raises(UsageError) as error:
            extract(few.folder, number, out=str(tmp_path / "trials"), callbacks=())
        return str(error.value)

    assert refused(13) == "trial 13: is not in this sweep; expected 1 to 12"
    database.remove_checksum(few.folder.database)
    changing = sqlite3.connect(few.folder.database)
    changing.execute("UPDATE trials SET status = 'pending' WHERE id = 3")
    changing.execute("UPDATE trials SET status = 'failed', error = 'no rows' WHERE id = 4")
    changing.commit()
    changing.close()
    assert "has not been trained yet" in refused(3)
    assert "failed and left no weights: no rows" in refused(4)
    shutil.rmtree(Path(few.path) / "cohorts")
    with pytest.raises(CheckpointError, match=r"lacks the curves of trial 1; .* run the same sweep again"):
        extract(few.folder, 1, out=str(tmp_path / "trials"), callbacks=())
    assert not (tmp_path / "trials").exists()


def test_no_setting_is_looked_at_but_that_of_the_trial(few, tmp_path, monkeypatch):
    looked_at, look = [], Configs.of
    monkeypatch.setattr(Configs, "of", lambda self, point: looked_at.append(point) or look(self, point))
    monkeypatch.setattr(Configs, "check", None)
    made = extract(few.folder, 5, out=str(tmp_path / "out"), callbacks=())
    assert made.differences == ()
    assert [one.configuration for one in looked_at] == [few.settings[made.trial.setting]]


def test_the_run_of_a_trial_works_like_any_other(few, call, tmp_path):
    code, out, _ = call("sweep", "trial", few.path, 1, "-q")
    assert code == 0
    assert out == (
        "trial 1 (finished): weights, history and metrics are identical to the sweep\n"
        "run folder: runs/few-trial-1-001\nnext: mlprun plot runs/few-trial-1-001\n"
    )
    code, out, _ = call("eval", "runs/few-trial-1-001", "--json")
    assert json.loads(out)["splits"]["test"]["loss"] == few.trials[0].figures["test_loss"]
    assert call("plot", "runs/few-trial-1-001", "--kind", "loss", "-q")[0] == 0
    assert call("reproduce", "runs/few-trial-1-001", "-q")[0] == 0


def test_real_trials_are_shown_exported_and_drawn(few, call, tmp_path):
    told = json.loads(call("sweep", "show", few.path, "--json")[1])
    query = (
        "SELECT setting, avg(dev_loss) FROM results WHERE status IN ('finished', 'early_stopping') "
        "GROUP BY setting ORDER BY 2"
    )
    with closing(sqlite3.connect(few.folder.database)) as connection:
        means = dict(connection.execute(query).fetchall())
    shown = {line["setting"]: line["mean"] for line in told["settings"] if line["n"]}
    assert list(shown) == [setting for setting in means if means[setting] is not None]
    assert shown == pytest.approx({setting: mean for setting, mean in means.items() if mean is not None})
    assert call("sweep", "export", few.path, "-o", tmp_path / "t.parquet", "-q")[0] == 0
    table = pl.read_parquet(tmp_path / "t.parquet")
    assert table["test_loss"].to_list() == [trial.figures.get("test_loss") for trial in few.trials]
    assert table["seed"].to_list() == [0, 1, 2] * 4
    drawn = json.loads(call("plot", few.path, "--json", "-q")[1])
    assert {one["kind"] for one in drawn["plots"]} >= {
        "curves",
        "parameter",
        "heat_map",
        "success",
        "distribution",
    }
    for one in drawn["plots"]:
        assert Path(one["path"]).read_bytes().startswith(b"\x89PNG")
        assert Path(one["path"]).parent == Path(few.path) / "plots"


def test_a_notebook_has_the_same_table_and_pictures(few):
    summary = few.summary("test_accuracy", of="last")
    assert (summary.column, summary.direction) == ("last_test_accuracy", "max")
    pair, success = few.compare(2, 1, metric="test_loss")
    assert success.metric == "success"
    assert (pair.first.key, pair.second.key, pair.metric) == (2, 1, "test_loss")
    assert few.compare(by="optimizer.lr")[0].first.label.startswith("lr=")
    figure = few.plot("parameter", metric="test_accuracy")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert "accuracy" in figure.get_suptitle()


def test_sweeps_are_listed_and_other_commands_point_to_their_own(few, call):
    listed = json.loads(call("ls", "runs", "--json")[1])
    assert listed["runs"] == []
    (told,) = listed["sweeps"]
    assert (told["name"], told["status"], told["trials"], told["total"]) == ("few-001", "finished", 12, 12)
    name, _date, _time, *others = call("ls")[1].splitlines()[1].split()
    assert (name, *others[:3]) == ("runs/few-001", "finished", "12", "12")
    (Path(few.path) / "status.json").write_text("{}")
    assert "damaged" in call("ls")[1]
    for command in ("show", "resume", "reproduce"):
        code, _, err = call(command, "runs/few-001")
        assert (code, err.count("\n")) == (4, 1)
        assert "is the folder of a sweep, not of a run; see mlprun sweep show runs/few-001" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kind", "regions"], "error: regions: no such plot; expected one of curves"),
        (["--split", "dev"], "error: --split: does not apply to these figures; omit it"),
        (["runs/few-001x"], "is a sweep, unlike others"),
        (
            ["--kind", "curves", "--parameters", "hidden,lr"],
            "does not apply to curves; use it with --kind heat_map,success",
        ),
        (["--out", "x.png"], "'x.png' is a single file"),
        (["--metric", "x"], "error: x: is no metric of this sweep"),
        (["--of", "first"], "error: mlprun plot: invalid value for '--of'"),
        (["--epoch", "last"], "error: --epoch: does not apply to these figures; omit it"),
    ],
)
def test_what_cannot_be_drawn_of_a_sweep_is_one_line(words, message, few, call):
    code, out, err = call("plot", few.path, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_picture_of_a_sweep_is_drawn_where_and_how_it_is_asked_for(few, call, tmp_path):
    words = [
        "--kind",
        "heat_map",
        "--metric",
        "test_accuracy",
        "--of",
        "last",
        "--parameters",
        "lr,hidden",
    ]
    assert call("plot", few.path, *words, "--out", tmp_path / "map.svg", "-q")[0] == 0
    assert (tmp_path / "map.svg").read_bytes().startswith(b"<?xml")
    words[words.index("--of") + 1] = "best"
    assert call("plot", few.path, *words, "--out", tmp_path / "best.svg", "-q")[0] == 0
    assert (tmp_path / "best.svg").read_bytes() != (tmp_path / "map.svg").read_bytes()
    assert call("plot", few.path, few.path + "/", "--kind", "success", "--out", tmp_path / "p", "-q")[0] == 0
    code, out, _ = call("plot", few.path, "--list", "--json")
    (listed,) = json.loads(out)["sweeps"]
    assert code == 0
    assert [one["kind"] for one in listed["kinds"]][:2] == ["curves", "parameter"]
    for name, value in (("metric", "loss"), ("of", "last"), ("parameters", "a,b")):
        what = "these figures" if name == "parameters" else "a run"
        error = f"error: --{name}: does not apply to {what}; omit it\n"
        assert call("plot", "x", f"--{name}", value)[2] == error
