"""SIGKILL, SIGINT and SIGTERM in the middle of a run: what follows is as if nothing had happened."""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import mlprun.api as mlprun
from mlprun.errors import InterruptedRunError
from mlprun.interrupts import StopFlag
from mlprun.storage.runs import Status
from mlprun.training import run

from .conftest import laid_over

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]
    Undisturbed = Callable[[str], mlprun.Run]

LONG = 800
BUSY = {"seconds": 0.02, "epochs": None}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"training": {"epochs": 2 * LONG}},
    "batches": {
        "optimizer": {"name": "adam", "lr": 0.01, "groups": [{"parameters": "layers.1.*", "lr": 0.02}]},
        "architecture": {"dropout": 0.2},
        "freeze": ["layers.0.bias"],
        "training": {
            "epochs": LONG // 2,
            "batch_size": 16,
            "accumulate": 2,
            "average": {"name": "ema", "decay": 0.9},
        },
        "snapshots": [100, 300],
    },
    "patience": {
        "optimizer": {"lr": 3.0, "momentum": 0.9},
        "schedule": {"name": "reduce_on_plateau", "patience": 50},
        "training": {"epochs": LONG},
        "early_stopping": {"patience": LONG // 2},
        "best": {"metric": "dev_accuracy"},
    },
}


def long_run(variant: str) -> dict[str, Any]:
    # on torch it lasts a second or so; on fused it would end before a busy machine sends the signal
    return {**VARIANTS[variant], "checkpoint": BUSY, "engine": "torch"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], mlprun.Run]:
    """Trains a variant that nothing disturbs, once."""

    @functools.cache
    def run(variant: str) -> mlprun.Run:
        return mlprun.train(laid_over(long_run(variant)), out=str(tmp_path_factory.mktemp("undisturbed")))

    return run


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_killed_run_that_is_resumed_equals_an_undisturbed_one(
    variant: str,
    undisturbed: Undisturbed,
    written: Any,
    start: Any,
    wait_for: Any,
    contents: Any,
    tmp_path: Path,
) -> None:
    expected = undisturbed(variant)
    config, moments = written(**long_run(variant)), random.Random(variant)
    folder = tmp_path / "killed" / "small-001"
    process = start("train", config, "--out", str(tmp_path / "killed"), "-q")
    history, whole = folder / "history.csv", Path(expected.folder.history).stat().st_size
    for share in (moments.uniform(0.05, 0.3), moments.uniform(0.4, 0.6)):
        least = share * whole
        wait_for(lambda least=least: history.exists() and history.stat().st_size > least)
        time.sleep(moments.uniform(0.0, 0.01))  # what is being done then is left to chance
        process.send(signal.SIGKILL)
        assert process.end() == -signal.SIGKILL  # otherwise it had ended before
        assert mlprun.load(str(folder)).status.state == "crashed"
        process = start("resume", str(folder), "-q")
    assert process.end() == 0
    assert contents(folder) == contents(expected)
    assert mlprun.load(str(folder)).metrics == expected.metrics


@pytest.mark.parametrize(
    ("variant", "number", "code"), [("plain", signal.SIGINT, 130), ("batches", signal.SIGTERM, 143)]
)
def test_an_interrupted_run_says_so_and_goes_on(
    variant: str,
    number: int,
    code: int,
    undisturbed: Undisturbed,
    written: Any,
    start: Any,
    wait_for: Any,
    contents: Any,
    tmp_path: Path,
) -> None:
    expected = undisturbed(variant)
    folder = tmp_path / "stopped" / "small-001"
    process = start("train", written(**long_run(variant)), "--out", str(tmp_path / "stopped"), "-q")
    wait_for(lambda: (folder / "history.csv").exists() and (folder / "history.csv").stat().st_size > 500)
    process.send(number)
    assert process.end() == code
    run = mlprun.load(str(folder))
    assert run.status.state == "interrupted"
    assert 0 < run.status.epochs < expected.status.epochs
    assert run.history["epoch"][-1] == run.status.epochs == run.last.epoch
    assert contents(mlprun.resume(str(folder))) == contents(expected)


def test_the_seconds_before_a_kill_are_counted(
    written: Any, start: Any, wait_for: Any, tmp_path: Path
) -> None:
    config = {**VARIANTS["plain"], "checkpoint": {"seconds": 0.1, "epochs": None}, "engine": "torch"}
    config["training"] = {"epochs": 6 * LONG}
    folder = tmp_path / "killed" / "small-001"
    process = start("train", written(**config), "--out", str(tmp_path / "killed"), "-q")
    wait_for(lambda: (folder / "status.json").exists() and mlprun.load(str(folder)).status.seconds > 0.2)
    process.send(signal.SIGKILL)
    assert process.end() == -signal.SIGKILL
    before = mlprun.load(str(folder)).status
    assert (before.state, before.epochs > 0) == ("crashed", True)

    class Stopping(mlprun.Callback):
        def on_chunk_end(self, run: Any, *_: Any) -> None:
            run.request_stop("it goes on")

    after = mlprun.resume(str(folder), callbacks=[Stopping()]).status
    assert after.seconds > before.seconds


def test_the_status_is_written_seldom_beside_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, written = [0.0], []
    monkeypatch.setattr(run.time, "monotonic", lambda: clock[0])
    folder = SimpleNamespace(write_status=lambda status: written.append(status))
    context = run.TrainContext(None, folder, None, "cpu", {}, Status("running"))  # type: ignore[arg-type]
    writer = run.StatusWriter(context, 0)
    for epoch in range(1, 10_001):
        clock[0] += 0.1
        writer.on_checkpoint(None, epoch)  # type: ignore[arg-type]
        # at most a second or a tenth is not counted yet
        assert clock[0] - written[-1].seconds < max(1.0, 0.1 * written[-1].seconds + 0.1)
    assert len(written) < 80
    writer.write("finished")
    assert (written[-1].state, written[-1].epochs, written[-1].seconds) == ("finished", 10_000, clock[0])


def test_a_stop_that_comes_at_once_saves_the_start(train: Train) -> None:
    class Impatient(mlprun.Callback):
        def on_train_start(self, run: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError) as caught:
        train(callbacks=[Impatient()])
    assert caught.value.signal_number == signal.SIGTERM
    run = mlprun.load(caught.value.where)
    assert (run.status.state, run.status.epochs) == ("interrupted", 0)
    assert mlprun.resume(run.path).status.epochs == 12


def test_a_second_signal_is_obeyed_at_once_and_the_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with StopFlag() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        assert stop.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_in_a_thread_of_its_own_leaves_signals_alone(train: Train) -> None:
    import threading

    runs: list[mlprun.Run] = []
    thread = threading.Thread(target=lambda: runs.append(train()))
    thread.start()
    thread.join()
    assert runs[0].status.state == "finished"
