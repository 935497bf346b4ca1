"""`mlprun find-lr`: the range test is that of a run, its suggestion trains well, --write sets one number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun
from mlprun import api
from mlprun.analysis.rate_range import RangeTest
from mlprun.cli import main
from mlprun.figures import rate_range_chart

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """# a first model
dataset: {name: moons, noise: 0.2, seed: 0}
architecture: {hidden: [8]}
loss: bce
optimizer: {name: sgd, lr: 0.5, momentum: 0.9}  # the rate is a guess
training: {epochs: 40, batch_size: 100}
early_stopping: {patience: 1}
snapshots: [1, 2]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "moons.yaml"
    path.write_text(CONFIG)
    return path


def found(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["find-lr", *arguments, "--json", "-q"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_suggestion_trains_better_than_rates_100_times_smaller_and_larger(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rate = found(capsys, str(config), "--seeds", "3", "--epochs", "40")["suggestion"]
    assert not (config.parent / "runs").exists()

    def loss(lr: float) -> float:
        run = mlprun.train(str(config), f"optimizer.lr={lr}", "early_stopping=null", out="trained")
        return float(run.history["train_loss"][-1])

    assert loss(rate) < min(loss(rate / 100), loss(rate * 100)) / 1.5


def test_each_seed_has_the_losses_of_a_run_with_an_exponential_schedule(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rising = ["--from", "0.001", "--to", "1", "--epochs", "10", "--seeds", "2"]
    document = found(capsys, str(config), *rising)
    schedule = f"schedule={{name: exponential, gamma: {1000 ** (1 / 9)!r}}}"
    overrides = ("optimizer.lr=0.001", schedule, "training.epochs=10", "training.seed=1", "snapshots=[]")
    run = mlprun.train(str(config), *overrides, "early_stopping=null", out="trained")
    np.testing.assert_allclose(document["rates"], run.history["lr"], rtol=1e-9)
    np.testing.assert_allclose(document["losses"][1], run.history["train_loss"], rtol=1e-5)


def test_the_minimum_is_that_of_the_running_median_until_the_first_seed_diverges() -> None:
    log = np.array([0, 0, -1, -3, -4, -5, -9, -5, -4, 0, 1, 2.0])
    losses = np.exp([log + 1, log - 1])
    losses[1, 10:] = np.nan
    test = RangeTest(np.geomspace(1e-5, 1e6, 12), losses)
    median = [np.median(np.r_[0, 0, log[:10], 0, 0][row : row + 5]) for row in range(10)]
    np.testing.assert_allclose(test.smoothed, median, atol=1e-12)
    assert test.points == pytest.approx({"steepest": 1e-3, "minimum": 1e0, "suggestion": 0.1}, rel=1e-9)
    lines = rate_range_chart("moons", test).marks()
    assert [len(line.x) for line in lines] == [12, 10, 2]
    np.testing.assert_array_equal(lines[0].y, losses)
    for none in (np.sort(losses), np.full((2, 12), np.nan)):
        assert set(RangeTest(test.rates, none).points.values()) == {None}


def test_write_changes_one_number_and_keeps_the_rest(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["find-lr", str(config), "--seeds", "1", "--epochs", "20", "--write", "--plot", "lr.png"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    rate = out.split()[-1]
    assert config.read_text() == CONFIG.replace("lr: 0.5,", f"lr: {rate},")
    assert api.load_config(config).optimizer.lr == float(rate)
    assert f"optimizer.lr is {rate} in {config}" in err
    assert (config.parent / "lr.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("optimizer", ["sgd", "{name: sgd}", "{name: sgd, lr: &rate 0.5}"])
def test_a_rate_that_is_not_written_is_reported_with_what_to_write(
    optimizer: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIG.replace("{name: sgd, lr: 0.5, momentum: 0.9}", optimizer)
    config.write_text(text)
    assert main(["find-lr", str(config), "--seeds", "1", "--epochs", "10", "--write"]) == 2
    out, err = capsys.readouterr()
    what = "optimizer.lr is not written as a number there; write `optimizer: {lr: "
    assert err.startswith(f"error: {config}: {what}{out.split()[-1]}}}`")
    assert config.read_text() == text


def test_a_base_is_not_changed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    derived = config.with_name("derived.yaml")
    derived.write_text("base: moons.yaml\n")
    assert main(["find-lr", str(derived), "--seeds", "1", "--epochs", "10", "--write"]) == 2
    assert "derived.yaml: optimizer.lr is not written" in capsys.readouterr().err
    assert (config.read_text(), derived.read_text()) == (CONFIG, "base: moons.yaml\n")


def test_bad_rates_get_one_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find-lr", str(config), "--from", "1", "--to", "0.1"]) == 2
    line = "error: --from: 1 to 0.1 does not rise; use such as --from 1e-6 --to 10\n"
    assert capsys.readouterr().err == line
    assert main(["find-lr", str(config), "--from", "100", "--to", "1e9", "--epochs", "10", "-q"]) == 0
