"""What `mlprun sweep show`, `compare` and `export` say of a sweep with known figures."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlprun.storage.runs import Lock
from mlprun.sweeps import database, schema
from mlprun.sweeps.folder import SweepFolder, SweepStatus
from mlprun.sweeps.schema import Trial

from .conftest import DEV, describe, trial, write


@pytest.fixture
def call(call):
    return partial(call, "sweep")


def document(call, *arguments):
    code, out, err = call(*arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_show_is_a_table_by_setting_the_best_first(call, folder):
    code, out, err = call("show", folder)
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        f"{folder}: interrupted, 15 of 16 trials, 4 settings, 2 diverged, 1 failed",
        "",
        "dev_loss of each trial's best epoch, over seeds",
        "setting hidden lr n mean std 95% interval success 95% interval diverged failed pending best trial",
        "2 [8, 4] 0.1 4 0.2 0.08165 0.07 to 0.33 4/4 51% to 100% 0 0 0 0.1 5",
        "1 [2] 0.1 4 0.5 0.08165 0.37 to 0.63 0/4 0% to 49% 0 0 0 0.4 1",
        "3 [2] 1 3 0.5 0.1323 0.17 to 0.83 1/4 5% to 70% 1 0 0 0.35 9",
        "4 [8, 4] 1 0 0/2 0% to 66% 1 1 1",
        "",
        "sorted by mean, smaller first; success: test_accuracy > 0.6",
        "dev_loss is not a number in the trials of setting 4",
        "to resume, rename the folder to widths-001: sweeps are found by name",
    ]


def test_show_prints_a_document_of_all_settings(call, folder):
    told = document(call, "show", folder, "--metric", "test_loss", "--of", "last", "--top", "1")
    assert (told["metric"], told["of"], told["goal"], told["sorted_by"]) == (
        "test_loss",
        "last",
        "min",
        "mean",
    )
    counts = {"pending": 1, "finished": 12, "early_stopping": 0, "pruned": 0, "diverged": 2, "failed": 1}
    assert told["trials"] == counts
    assert [line["setting"] for line in told["settings"]] == [2, 1, 3, 4]
    first, last = told["settings"][0], told["settings"][-1]
    assert first["values"] == {"architecture.hidden": [8, 4], "optimizer.lr": 0.1}
    assert first["mean"] == pytest.approx(3 * np.mean(DEV[2]))
    assert first["deviation"] == pytest.approx(3 * np.std(DEV[2], ddof=1))
    assert first["success"] == {
        "successes": 4,
        "n": 4,
        "rate": 1.0,
        "interval": [pytest.approx(0.51, abs=0.01), 1],
        "independent": 4,
    }
    assert first["best"] == {"trial": 5, "seed": 0, "fold": None, "value": pytest.approx(0.3)}
    assert (last["n"], last["mean"], last["interval"], last["best"]) == (0, None, None, None)


def test_show_says_what_its_figures_are_not(call, tmp_path):
    def shown(name, trials, **about):
        path = tmp_path / name
        path.mkdir()
        numbers = {one.setting for one in trials}
        write(path, describe(parameters=("lr",), **about), trials, {k: {"lr": 0.1 * k} for k in numbers})
        return call("show", path)[1]

    def one(number, setting, seed, accuracy, fold=None, status="finished"):
        figures = {"dev_loss": 1 - accuracy, "test_accuracy": accuracy}
        return Trial(number, setting, seed, fold, status=status, figures=figures, epochs=3)

    by_test = {"metric": "test_accuracy", "mode": "max", "aggregate": "mean"}
    two = [one(1, 1, 0, 0.5), one(2, 1, 1, 0.95), one(8, 1, 2, 0.9), one(3, 2, 0, 0.9), one(4, 2, 1, 0.8)]
    out = shown("test", two, objective=by_test)
    assert "selecting on test data (test_accuracy) is optimistic; select on dev\n" in out
    assert "an interval of the mean requires at least 3 seeds\n" in out
    no_dev = tuple(one for one in describe().figures if "dev" not in one)
    without = [replace(one, figures={"test_accuracy": one.figures["test_accuracy"]}) for one in two]
    out = shown("no-dev", without, objective=by_test, figures=no_dev)
    assert "selecting on test data (test_accuracy) is optimistic\n" in out
    out = shown("dev", two)
    assert "optimistic" not in out
    assert "no bounds" not in out  # a loss may be more than 1
    assert "too good" not in shown("alone", two[:3], objective=by_test)
    assert "at least 6 seeds" in shown("median", two, objective={**by_test, "aggregate": "median"})
    folds = [one(1 + 2 * seed + fold, 1, seed, 0.9, fold) for seed in range(2) for fold in range(2)]
    assert "not the sampling of new rows\n" in shown("folds", folds, folds=2)
    assert "folds of one seed share rows" in shown("fold", folds[:2], folds=2)
    lost = [one(5, 3, 0, 0.99), one(6, 3, 1, 0.1, status="diverged"), one(7, 3, 2, 0.1, status="diverged")]
    out = shown("lost", [*two, *lost])
    assert (
        "most trials of setting 3 diverged: metrics are of the remaining trials only; they are listed last"
        in out
    )
    assert "most trials of setting 3 diverged" in call("compare", tmp_path / "lost")[1]
    assert "most trials" not in call("compare", tmp_path / "lost", 1, 2)[1]


def test_a_command_that_would_fail_is_not_what_comes_next(call, tmp_path):
    for name, settings in (("one", 1), ("two", 2)):
        path = tmp_path / name
        path.mkdir()
        numbers = range(1, settings + 1)
        about, trials = describe(parameters=(), total=settings), [trial(k, k, 0) for k in numbers]
        write(path, about, trials, {k: {} for k in numbers})
        SweepFolder(str(path)).write_status(SweepStatus("finished", settings, settings))
    assert call("show", tmp_path / "one")[1].endswith(f"\nnext: mlprun plot {tmp_path}/one\n")
    assert call("show", tmp_path / "two")[1].endswith(f"\nnext: mlprun sweep compare {tmp_path}/two\n")


def test_show_shows_as_many_settings_as_asked(call, folder):
    out = call("show", folder, "--top", "1")[1]
    assert "3 more settings; --top 0 shows all" in out
    assert "[2]" not in out
    assert "more settings" not in call("show", folder, "--top", "0")[1]


def test_show_follows_a_sweep_that_runs(call, folder):
    place = SweepFolder(folder)
    with Lock(f"{folder}/lock"), place.writer() as writer:
        place.write_status(SweepStatus("running", total=16))
        out = call("show", folder)[1]
        assert out.startswith(f"{folder}: running, 15 of 16 trials, ")
        assert out.endswith(f"\nnext: mlprun sweep compare {folder}\n")
        writer.record([Trial(13, 4, 0, status="finished", engine="torch", figures={"dev_loss": 0.01})])
        told = document(call, "show", folder)
    assert (told["status"], told["trials"]["pending"]) == ("running", 0)
    told = document(call, "show", folder)
    assert (told["status"], told["reason"]) == ("crashed", "")
    assert (told["settings"][0]["setting"], told["settings"][0]["mean"]) == (4, 0.01)


def test_show_says_what_goes_on_with_a_sweep_that_stopped(call, sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    swept = sweep("seeds: 3")
    head = "runs/trials-001: {}, 3 of 3 trials, 1 setting\n"
    assert call("show", "runs/trials-001")[1].startswith(head.format("finished"))
    for state, reason in (("interrupted", ""), ("failed", "trials.sqlite: cannot be used: it is full")):
        swept.folder.write_status(replace(swept.status, state=state, reason=reason))
        out = call("show", "runs/trials-001")[1]
        assert out.startswith(head.format(state))
        assert (f"\nfailed: {reason}\n" in out) == (state == "failed")
    command = out.splitlines()[-1].removeprefix("to resume: mlprun sweep ")
    assert command == "run runs/trials-001/sweep.yaml"
    database.remove_checksum(swept.folder.database)
    with closing(sqlite3.connect(swept.folder.database)) as connection, connection:
        connection.execute("UPDATE trials SET status = 'pending'")
    assert call(*shlex.split(command), "-q")[0] == 0
    assert (swept.status.state, {one.status for one in swept.trials}) == ("finished", {"finished"})
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["trials-001"]


def test_show_names_the_folder_and_the_trust_that_going_on_needs(call, tmp_path):
    path = tmp_path / "my runs" / "widths-001"
    path.mkdir(parents=True)
    write(path, describe(base={"extend": ["own.py"]}), [trial(1, 1, 0)])
    last = call("show", path)[1].splitlines()[-1]
    assert last == (
        f"to resume: mlprun sweep run '{path}/sweep.yaml' --out '{tmp_path}/my runs' --allow-code"
    )


def test_compare_says_in_words_whether_settings_differ(call, folder):
    code, out, err = call("compare", folder, 1, 3)
    assert (code, err) == (0, "")
    assert "left out" in out
    assert (
        "1 and 3: 3 seeds are too few for a reliable answer: no evidence of a difference: the interval of "
        "the difference, -0.16 to 0.22, contains 0" in out
    )
    assert "success rate (test_accuracy > 0.6), difference (second − first)" in out
    told = document(call, "compare", folder, 2, 1)["comparisons"]
    assert [(one["metric"], one["first"], one["second"], one["evidence"]) for one in told] == [
        ("dev_loss", 2, 1, False),
        ("success", 2, 1, False),
    ]
    assert told[0]["verdict"].endswith(
        ": p = 0.12 (Wilcoxon's signed ranks); too few seeds for an interval, or most of them differ alike"
    )


def test_settings_of_other_seeds_are_compared_as_two_samples(call, tmp_path):
    ended = {1: {0: 0.1, 1: 0.2}, 2: {2: 0.4, 3: 0.3, 4: 0.35, 5: 0.37, 6: 0.33}}
    trials = [
        Trial(10 * k + seed, k, seed, status="finished", figures={"dev_loss": loss})
        for k, losses in ended.items()
        for seed, loss in losses.items()
    ]
    about = describe(parameters=("optimizer.lr",), success=None)
    write(tmp_path, about, trials, {k: {"optimizer.lr": k} for k in ended})
    row = next(line for line in call("compare", tmp_path, 1, 2)[1].splitlines() if line.startswith("1: lr=1"))
    assert " 2+5 " in row
    (told,) = document(call, "compare", tmp_path, 1, 2)["comparisons"]
    assert (told["n"], told["paired"], told["sizes"]) == (7, False, [2, 5])


def test_what_cannot_be_tested_is_neither_evidence_nor_none(call, tmp_path):
    trials = [
        Trial(
            10 * k + seed,
            k,
            seed,
            status="finished" if k < 3 or not seed else "diverged",
            figures={"dev_loss": k},
        )
        for k in (1, 2, 3)
        for seed in range(3)
    ]
    about = describe(parameters=("optimizer.lr",), success=None)
    write(tmp_path, about, trials, {k: {"optimizer.lr": k} for k in (1, 2, 3)})
    told = {one["second"]: one for one in document(call, "compare", tmp_path)["comparisons"]}
    assert (told[2]["evidence"], told[3]["evidence"], told[3]["n"]) == (False, None, 1)
    (row,) = [
        line for line in call("compare", tmp_path)[1].splitlines() if line.startswith("1: lr=1  3: lr=3")
    ]
    assert row.endswith("–")


def test_compare_by_a_parameter_names_its_values(call, folder):
    told = document(call, "compare", folder, "--by", "hidden")["comparisons"]
    assert [(one["first"], one["second"], one["metric"]) for one in told] == [
        ([2], [8, 4], "dev_loss"),
        ([2], [8, 4], "success"),
    ]
    assert (
        "[2] and [8, 4]: 4 seeds are too few for a reliable answer: no evidence of a difference"
        in call("compare", folder, "--by", "hidden")[1]
    )


def test_compare_without_settings_counts_the_evidence(call, folder):
    out = call("compare", folder, "--metric", "test_accuracy", "--of", "last")[1]
    assert out.startswith(
        "last_test_accuracy, difference (second − first), corrected for 2 comparisons (Bonferroni)\n"
    )
    assert out.count("2: hidden=[8, 4] lr=0.1  ") == 6
    # a dash where nothing was tested, and where there is no interval; ASCII signs for negative numbers
    assert re.findall(r"[^\x00-\x7f]", out.replace("(second − first)", "")) == ["–"] * 6


def test_many_comparisons_are_told_by_those_that_are_clearest(call, tmp_path):
    shift, noise = (
        (-0.05, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
        np.random.default_rng(1).normal(0, 0.1, (9, 5)),
    )
    trials = [
        Trial(10 * k + seed, k, seed, status="finished", figures={"dev_loss": far + noise[k - 1, seed]})
        for k, far in enumerate(shift, start=1)
        for seed in range(5)
    ]
    about = describe(parameters=("optimizer.lr",), success=None, total=45)
    write(tmp_path, about, trials, {k + 1: {"optimizer.lr": 1.5**k} for k in range(9)})
    told = document(call, "compare", tmp_path)["comparisons"]
    clear = sorted((one["p"], one["second"]) for one in told if one["evidence"])
    out = call("compare", tmp_path)[1]
    assert len(told) == 8 > len(clear) > 1
    assert f"significant differences: {len(clear)} of 8 comparisons\n" in out
    lines = [line for line in out.splitlines() if ": evidence of" in line]
    assert [line.partition(":")[0] for line in lines] == [f"1 and {number}" for _, number in clear][:6]


def test_export_writes_the_rows_of_the_view(call, folder, tmp_path):
    out = call("export", folder)[1]
    rows = list(csv.DictReader(io.StringIO(out)))
    with closing(sqlite3.connect(str(Path(folder) / "trials.sqlite"))) as connection:
        view = connection.execute('SELECT trial, seed, "optimizer.lr", test_loss FROM results').fetchall()
    assert [
        (int(row["trial"]), int(row["seed"]), float(row["optimizer.lr"]), float(row["test_loss"] or "nan"))
        for row in rows
    ] == [(*row[:3], pytest.approx(float("nan") if row[3] is None else row[3], nan_ok=True)) for row in view]
    path = tmp_path / "trials.parquet"
    code, out, err = call("export", folder, "-o", path)
    apart = "2 diverged: metrics are of their last epoch; for means, select finished and early_stopping"
    assert (code, out, err) == (0, "", f"16 trials written to {path}\n{apart}\n")
    assert call("export", folder)[2] == f"{apart}\n"
    assert pl.read_parquet(path)["trial"].to_list() == list(range(1, 17))
    assert call("export", folder, "--to", "csv", "-o", path)[0] == 2  # it exists
    assert call("export", folder, "--to", "csv", "-o", path, "--force", "-q") == (0, "", "")
    assert path.read_text().startswith("trial,setting,architecture.hidden,")


def test_a_format_is_what_the_name_ends_in_or_what_is_asked_for(call, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, words in (("a.CSV", ()), ("b", ()), ("c.xlsx", ("--to", "csv"))):
        assert call("export", folder, "-o", name, "-q", *words) == (0, "", "")
        assert Path(name).read_text().startswith("trial,setting,")
    assert call("export", folder, "-o", "d.xlsx")[0] == 2
    assert not Path("d.xlsx").exists()


def test_means_of_the_view_leave_out_what_diverged(folder):
    example = re.search(r"SELECT .*?GROUP BY 1", schema.__doc__, re.DOTALL)[0]
    with closing(sqlite3.connect(f"{folder}/trials.sqlite")) as connection:
        means = dict(connection.execute(example))
    three = [loss for loss in DEV[3] if loss is not None]
    assert means == {
        0.1: pytest.approx(np.mean(DEV[1] + DEV[2]) + 0.1),
        1: pytest.approx(np.mean(three) + 0.1),
    }


def test_export_prints_a_document(call, folder, tmp_path):
    told = document(call, "export", folder)
    assert told["columns"][:2] == ["trial", "setting"]
    assert [row[0] for row in told["rows"]] == list(range(1, 17))
    path = str(tmp_path / "x.csv")
    written = json.loads(call("export", folder, "-o", path, "--json", "-q")[1])
    assert (written["out"], written["to"], written["trials"], "rows" in written) == (path, "csv", 16, False)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "nowhere"], 4, "error: nowhere: no such folder; expected the folder of a sweep"),
        (["show", "FOLDER", "--of", "first"], 2, "error: mlprun sweep show: invalid value for '--of'"),
        (["show", "FOLDER", "--metric", "tets_loss"], 2, "did you mean test_loss?"),
        (["compare", "FOLDER", "1"], 2, "nothing to compare with; name two settings or none"),
        (["compare", "FOLDER", "1", "2", "--by", "lr"], 2, "error: --by: compares values of a parameter"),
        (["compare", "FOLDER", "one", "two"], 2, "error: mlprun sweep compare: "),
        (["export", "FOLDER", "--to", "xlsx"], 2, "error: --to: unknown format 'xlsx'"),
        (["export", "FOLDER", "--to", "parquet"], 2, "add -o FILE"),
        (["export", "FOLDER", "-o", "g3.xlsx"], 2, "unknown format 'xlsx'; use --to csv or --to parquet"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments, code, message, call, folder):
    ended, out, err = call(*(folder if word == "FOLDER" else word for word in arguments))
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_reading_a_sweep_loads_nothing_heavy(folder):
    heavy = {"torch", "sklearn", "matplotlib", "scipy", "polars", "numba", "numpy.linalg"}
    script = (
        "import json, sys; from mlprun import cli\n"
        "for words in json.loads(sys.argv[1]): assert cli.main(words) == 0\n"
        f"print([name for name in {sorted(heavy)!r} if name in sys.modules])"
    )
    words = [
        ["sweep", "show", folder, "--metric", "test_accuracy"],
        ["sweep", "compare", folder],
        ["sweep", "export", folder],
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(words)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_run_warns_of_what_training_warns_of(call, tmp_path):
    cells = [f"x{k},{k},{'train' if k < 20 else 'dev'}\n" for k in range(30)]
    (tmp_path / "t.csv").write_text("".join(["a,y,s\n", *cells]))
    table = {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "split": {"column": "s"}}
    sweep = {"base": {"dataset": table, "training": {"epochs": 1}}, "grid": {"optimizer.lr": [0.1, 0.2]}}
    (tmp_path / "s.json").write_text(json.dumps(sweep))
    code, _, err = call("run", tmp_path / "s.json", "--out", tmp_path)
    assert code == 0
    assert err.count("column 'a' has 30 categories in 30 rows, almost one for each row") == 1
    assert err.count("10 of 10 dev rows hold categories not seen during training") == 1
