"""The script that `mlprun train` is timed beside is the same experiment: it comes to the same figures."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import mlprun

ROOT = Path(__file__).parents[2]


def test_the_script_learns_what_the_config_learns(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script("whole_command").SCRIPT.format(epochs=60)
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "script", "exec"), {})
    changes = ("dataset.arcs=exact", "training.epochs=60")
    run = mlprun.train(ROOT / "configs/moons_course.yaml", *changes, out=str(tmp_path / "runs"))
    with open("history.csv", newline="") as file:
        rows = [[float(value) for value in row.values()] for row in csv.DictReader(file)]
    names = ("epoch", "train_loss", "train_accuracy", "dev_loss", "dev_accuracy")
    expected = zip(*(run.history[name] for name in names), strict=True)
    assert rows == [pytest.approx(row, rel=1e-6) for row in expected]
    *_, train, dev, test = capsys.readouterr().out.splitlines()
    for line in (train, dev, test):
        name, loss, accuracy = line.split()
        figures = run.metrics["best"]["splits"][name]
        assert float(loss) == pytest.approx(figures["loss"], rel=1e-6)
        assert float(accuracy) == pytest.approx(figures["accuracy"], rel=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"history.csv", "best.pt", "last.pt", "runs"}
