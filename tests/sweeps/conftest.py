"""A sweep's database with known figures: settings whose statistics are easily worked out."""

from __future__ import annotations

import contextlib
import textwrap
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

import mlprun
from mlprun.api import SilentSweep
from mlprun.errors import InterruptedRunError
from mlprun.interrupts import StopFlag
from mlprun.storage import runs
from mlprun.sweeps import database
from mlprun.sweeps.folder import SweepFolder, SweepStatus
from mlprun.sweeps.schema import Configuration, Description, Trial

if TYPE_CHECKING:
    from pathlib import Path

FIGURES = ("dev_loss", "test_loss", "test_accuracy", "last_dev_loss", "last_test_loss", "last_test_accuracy")
DEV = {
    1: [0.4, 0.5, 0.6, 0.5],
    2: [0.1, 0.2, 0.3, 0.2],
    3: [0.35, 0.6, None, 0.55],  # the third diverged
    4: [None, None, None, None],  # pending, failed, diverged, and no number
}
STATUS = {(3, 2): "diverged", (4, 0): "pending", (4, 1): "failed", (4, 2): "diverged"}
VALUES = {1: ([2], 0.1), 2: ([8, 4], 0.1), 3: ([2], 1), 4: ([8, 4], 1)}


def trial(number: int, setting: int, seed: int) -> Trial:
    status = STATUS.get((setting, seed), "finished")
    place: dict[str, Any] = {"cohort": 1, "member": seed, "engine": "fused", "epochs": 10, "seconds": 0.5}
    if status == "pending":
        return Trial(number, setting, seed)
    if status == "failed":
        return Trial(number, setting, seed, status="failed", error="memory: there is not enough", **place)
    dev = DEV[setting][seed]
    figures = {
        "dev_loss": 99.0 if status == "diverged" else dev,
        "test_loss": None if dev is None else dev + 0.1,
        "test_accuracy": None if dev is None else 1 - dev,
        "last_dev_loss": None if dev is None else 2 * dev,
        "last_test_loss": None if dev is None else 3 * dev,
        "last_test_accuracy": None if dev is None else 1 - dev / 2,
    }
    return Trial(number, setting, seed, status=status, best_epoch=7, figures=figures, **place)


def describe(**changes: Any) -> Description:
    given: dict[str, Any] = {
        "name": "widths",
        "parameters": ("architecture.hidden", "optimizer.lr"),
        "scales": {"architecture.hidden": "choice", "optimizer.lr": "log"},
        "figures": FIGURES,
        "objective": {"metric": "dev_loss", "mode": "min", "aggregate": "mean"},
        "success": {"figure": "test_accuracy", "operator": ">", "number": 0.6, "text": "test_accuracy > 0.6"},
        "history": ("epoch", "lr", "dev_loss"),
        "total": 16,
    }
    return Description(**{**given, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """The folder of that sweep."""
    path = tmp_path / "widths"
    path.mkdir()
    trials = [trial(4 * (setting - 1) + seed + 1, setting, seed) for setting in VALUES for seed in range(4)]
    write(path, describe(), trials)
    return str(path)


def write(path: Path, description: Description, trials: list[Trial], values: Any = None) -> None:
    chosen = values or {
        number: {"architecture.hidden": hidden, "optimizer.lr": lr} for number, (hidden, lr) in VALUES.items()
    }
    for file in ("sweep.yaml", "run.json"):
        (path / file).write_text("{}\n")
    ended = sum(one.status != "pending" for one in trials)
    (path / "status.json").write_bytes(
        runs.encode_json(asdict(SweepStatus("interrupted", ended, len(trials))))
    )
    with database.create(str(path / "trials.sqlite"), description) as writer:
        pending = [Trial(one.id, one.setting, one.seed, one.fold) for one in trials]
        writer.extend([Configuration(number, one) for number, one in chosen.items()], pending)
        writer.record([one for one in trials if one.status != "pending"])


def content(place: SweepFolder) -> tuple[list[Trial], list[bytes]]:
    """The trials of a sweep, but for their seconds, and the bytes of its cohorts."""
    with place.results() as results:
        trials = [replace(trial, seconds=None) for trial in results.trials()]
    found = []
    for number in {trial.cohort for trial in trials}:
        with open(place.cohort(number), "rb") as file:
            found.append(file.read())
    return trials, found


ROWS = """
dataset: {name: moons, split: {train: 40, dev: 20, test: 20}}
architecture: {hidden: [3], activation: tanh}
optimizer: {name: sgd, lr: 0.5}
training: {epochs: 12}
"""


@pytest.fixture
def base(tmp_path):
    """A config that is trained in a moment; `base(more)` adds lines to it."""
    path = tmp_path / "small.yaml"

    def write(more="", text=ROWS):
        path.write_text(text + textwrap.dedent(more))
        return path.name

    write()
    return write


@pytest.fixture
def sweep_file(tmp_path, base):
    """Writes a sweep file of that config; its path."""

    def write(text):
        path = tmp_path / "trials.yaml"
        path.write_text("base: small.yaml\n" + textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def sweep(tmp_path, sweep_file):
    """Runs a sweep file's text in a folder of the test's own."""
    return lambda text, *overrides, **options: mlprun.sweep(
        sweep_file(text), *overrides, out=str(tmp_path / "runs"), **options
    )


@pytest.fixture
def stopping(monkeypatch):
    """A context in which a Ctrl-C must come once so many trials have ended; it gives what counts them."""

    @contextlib.contextmanager
    def stop(after):
        looks = []

        class Counting(SilentSweep):
            def begin(self, folder, plan, done):
                looks.append(done)

            def report(self, done, seconds):
                looks.append(done)

        with monkeypatch.context() as patch:
            patch.setattr(StopFlag, "__call__", lambda self: bool(looks and looks[-1] >= after))
            patch.setattr(StopFlag, "number", 2, raising=False)
            patch.setattr(StopFlag, "__init__", lambda self: setattr(self, "_former", {}))
            with pytest.raises(InterruptedRunError):
                yield Counting()

    return stop
