"""What runs look like in a console and a notebook, as frames and in lists."""

import io
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

import mlprun
from mlprun.errors import CheckpointError, UsageError

SMALL = "dataset: {name: moons, samples: 60}\narchitecture: {hidden: [3]}\ntraining: {epochs: 8}\n"
SWEEP = {"base": {"dataset": "moons", "training": {"epochs": 3}}, "grid": {"optimizer.lr": [0.1, 0.2]}}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two runs, one of them tagged."""
    home = tmp_path_factory.mktemp("home")
    out = str(home / "runs")
    mlprun.train(SMALL, out=out, name="small")
    tagged = mlprun.train(SMALL, "optimizer.lr=0.5", "dataset.samples=80", out=out, name="small")
    tagged.folder.change_notes(lambda notes: type(notes)(("thesis",), "good"))
    return home


@pytest.fixture
def run(home):
    return mlprun.load(home / "runs" / "small-001")


def frames(monkeypatch, value):
    """The frame with pandas, if it is installed, and without, each as a dict of lists."""
    if pytest.importorskip("pandas"):
        yield value.to_frame().to_dict("list")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    frame = value.to_frame()
    assert isinstance(frame, pl.DataFrame)
    yield frame.to_dict(as_series=False)


def test_a_history_is_a_mapping_and_a_frame(run, monkeypatch):
    history = run.history
    assert list(history) == Path(run.folder.history).read_text().splitlines()[0].split(",")
    assert repr(history) == f"RunHistory(8 rows of {', '.join(history)})"
    for frame in frames(monkeypatch, history):
        assert {name: np.array(column).tolist() for name, column in frame.items()} == {
            name: column.tolist() for name, column in history.items()
        }


def test_runs_of_a_folder_are_listed_filtered_and_a_frame(home, monkeypatch):
    monkeypatch.chdir(home)
    listed = mlprun.runs()
    assert [run.path for run in listed] == ["runs/small-001", "runs/small-002"]
    assert [run.path for run in mlprun.runs("runs", where="optimizer.lr>0.3")] == ["runs/small-002"]
    assert mlprun.runs(where=["tag=thesis", "status=crashed"]) == []
    assert repr(listed).splitlines() == ["2 runs", *map(repr, listed)]
    for frame in frames(monkeypatch, listed):
        assert frame["run"] == ["runs/small-001", "runs/small-002"]
        assert frame["tag"] == ["", "thesis"]
        assert frame["note"] == ["", "good"]
        assert frame["epochs"] == [8, 8]
        assert frame["test_loss"] == [run.metrics["best"]["splits"]["test"]["loss"] for run in listed]
    for where, message in (
        ("dev_loss", "where: 'dev_loss' is no condition"),
        ("optimizer.lrr=1", "did you mean optimizer.lr"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            mlprun.runs(where=where)
        assert caught.value.exit_code == 2
    with pytest.raises(CheckpointError, match="no such folder"):
        mlprun.runs("nowhere")


def test_the_link_to_the_newest_run_and_the_trash_are_not_listed(home, tmp_path):
    out = tmp_path / "runs"
    removed, kept = (mlprun.train(SMALL, "training.epochs=1", out=out) for _ in range(2))
    mlprun.storage.runs.trash(removed.folder)
    (out / "notes").mkdir()
    assert {path.name for path in out.iterdir()} == {".trash", "config-002", "latest", "notes"}
    assert [run.path for run in mlprun.runs(out)] == [kept.path]


def test_a_run_says_how_it_went_in_a_line(run, tmp_path):
    best = run.metrics["best"]
    expected = f"8 epochs, best dev_loss {best['value']:.4g} at epoch {best['epoch']}"
    assert repr(run) == f"Run({run.path!r}, finished, {expected})"
    assert mlprun.load(run).path == os.fspath(run) == run.path
    gone = mlprun.Run(type(run.folder)(str(tmp_path / "gone")))
    assert repr(gone) == f"Run({str(tmp_path / 'gone')!r}, unreadable: no such file)"
    assert gone._repr_html_() == repr(gone).replace("'", "&#x27;")


HOSTILE = "<img src=x onerror=alert(1)>"


def test_a_notebook_shows_the_result_and_the_losses_and_no_markup_of_names(tmp_path):
    frame = pl.DataFrame({f"{HOSTILE}x": np.arange(40.0), "y": [HOSTILE, "b</style><script>"] * 20})
    out = tmp_path / "<u>runs"
    run = mlprun.train({"dataset": {"target": "y"}, "training": {"epochs": 5}}, data=frame, out=out)
    page = run._repr_html_()
    assert "<svg" in page
    assert re.search(r"<th[^>]*>test</th>", page)
    assert f"{run.metrics['best']['splits']['test']['loss']:.4f}" in page
    assert f"best epoch {run.metrics['best']['epoch']}" in page
    for name in (HOSTILE, "<u>", "<script", "<img", "</style><"):
        assert name not in page.replace("</style><div", "")
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    assert style.startswith(".mlprun {")
    assert style.count("{") == style.count("}")


def parts_of(value):
    """The values that an object of mlprun holds: fields, and what it has computed."""
    named = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else []
    named += [] if is_dataclass(value) else list(getattr(value, "_asdict", dict)().values())
    return [*named, *getattr(value, "__dict__", {}).values()]


def test_no_object_of_the_api_prints_arrays(run, home, tmp_path):
    class Keep:
        def on_improvement(self, run, improvement):
            seen.append(improvement)

        def on_chunk_end(self, run, chunk):
            seen.append(chunk)

        def on_train_end(self, run):
            seen.extend([run, run.state])

    seen = [run, run.best, run.last, run.rows("train"), run.figure_data, run.config, run.status]
    seen += [run.best.experiment, run.best.alone, mlprun.runs(home / "runs")]
    table = tmp_path / "rows.csv"
    table.write_text("x1,x2\n" + "0.5,1\n" * 50)
    seen += [run.predict_table(table), run.best.read_rows(str(table)), run._predictions(str(table))]
    seen += [*run.best.experiment.config.dataset.divided()]
    mlprun.train(SMALL, out=tmp_path / "runs", callbacks=[Keep()])
    seen.append(mlprun.reproduce(run.path))
    seen.append(mlprun.verify(SMALL, steps=2, coordinates=5))
    swept = mlprun.sweep(SWEEP, out=str(tmp_path / "sweep"))
    seen += [swept, swept.ensemble(), swept.history(swept.trials[0].id), swept.summary(), swept.trials[0]]
    run.plot("loss")
    checked, waiting, found = set(), seen, {}
    while waiting:
        value = waiting.pop()
        if id(value) in checked or isinstance(value, type | ModuleType | np.ndarray):
            continue
        checked.add(id(value))
        if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
            waiting += value[:3]
        elif type(value) is dict:
            waiting += value.values()
        elif type(value).__module__.startswith("mlprun") and not isinstance(value, Mapping):
            text = repr(value)
            if re.search(r"array\(|tensor\(|b'\\x", text) or len(text) > 6000:
                found[type(value).__name__] = text[:200]
            waiting += parts_of(value)
    assert not found
    assert len(checked) > 50


@pytest.mark.parametrize("stream", ["terminal", "file", "none"])
def test_progress_is_shown_where_somebody_can_see_it(stream, tmp_path, monkeypatch):
    text = io.StringIO()
    text.isatty = lambda: stream == "terminal"
    monkeypatch.setattr(sys, "stderr", None if stream == "none" else text)
    mlprun.train(SMALL, out=tmp_path, name="small")
    mlprun.train(SMALL, out=tmp_path, progress=False)
    shown = text.getvalue()
    if stream != "terminal":
        assert shown == ""
        return
    assert shown.startswith("\rsmall  epoch ")
    assert shown.count("\n") == 1
    history = mlprun.load(tmp_path / "small-001").history
    losses = [f"{name} {history[name][-1]:.4g}" for name in ("train_loss", "dev_loss")]
    assert shown.split("\r")[-1].rstrip() == " · ".join(["small  epoch 8/8", *losses])


def test_everything_public_is_named_documented_and_reachable():
    assert mlprun.errors.UsageError is UsageError
    assert mlprun.sklearn.MLPClassifier.__module__ == "mlprun.sklearn"
    for name in mlprun.__all__:
        value = getattr(mlprun, name)
        assert name in dir(mlprun)
        if callable(value) or isinstance(value, ModuleType):
            assert value.__doc__, name
    for error in vars(mlprun.errors).values():
        if isinstance(error, type) and issubclass(error, mlprun.errors.MlprunError):
            assert f"{error.__name__} " in mlprun.errors.__doc__
            assert isinstance(error.exit_code, int)
