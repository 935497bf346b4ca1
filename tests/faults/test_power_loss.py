"""Power loss at any moment: the last acknowledged checkpoint loads, and the run goes on to the same bytes."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from faulty.comparing import compare, read
from faulty.disk import Disk, Recorder, harvest, plant
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun import files
from mlprun.errors import MlprunError
from mlprun.storage import runs
from mlprun.storage.runs import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from faulty.comparing import compare, read
from faulty.disk import Step, Tree

EPOCHS = 4


def recorded(
    root: Path, work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, deaf_to: str
) -> list[Step]:
    """The steps of some work on the files below `root`, with the checkpoints that it acknowledged."""
    system = Recorder(str(root), deaf_to=deaf_to)
    save = RunFolder.save_last

    def acknowledged(self: RunFolder, data: bytes) -> None:
        save(self, data)
        last = self.load_last()
        assert last is not None
        system.acknowledge(last.checkpoint.meta["epoch"])

    with monkeypatch.context() as patch:
        patch.setattr(files, "system", system)
        patch.setattr(RunFolder, "save_last", acknowledged)
        work()
    return system.steps


def config(variant: str) -> dict[str, Any]:
    return config_of(variant, training={"epochs": EPOCHS})


class Replay:
    """Every prefix of the steps of a run, with every loss that its unsynced part allows."""

    def __init__(self, root: Path, config: dict[str, Any], start: Tree | None = None) -> None:
        self.root, self.config, self.start = root, config, start
        self.whole = mlprun.train(config, out=str(root / "whole"))
        self.seen: set[int] = set()
        self.resumed = 0

    def run(self, steps: list[Step], *, draws: int, every: int) -> int:
        """Check what each loss leaves; resume every `every`th. The number of different losses."""
        disk, chance = Disk(self.start), random.Random(1)
        for number in range(len(steps) + 1):
            for what, tree in disk.losses(chance, draws):
                state = hash((repr(tree), disk.acknowledged))
                if state not in self.seen:
                    self.seen.add(state)
                    place = f"after step {number} of {len(steps)}, {what}"
                    self.check(tree, disk.acknowledged, place, resume=len(self.seen) % every == 0)
            if number < len(steps):
                disk.take(steps[number])
        return len(self.seen)

    def check(self, tree: Tree, acknowledged: int, where: str, *, resume: bool) -> None:
        path = str(self.root / "after")
        shutil.rmtree(path, ignore_errors=True)
        plant(tree, path)
        found = runs.find(f"{path}/runs") if os.path.isdir(f"{path}/runs") else []
        if acknowledged < 0 and not found:
            return  # nothing was promised yet, and nothing that looks like a run is there
        assert len(found) == 1, where
        folder = runs.open_run(found[0].path)
        try:
            last = folder.load_last()
            epoch = -1 if last is None else last.checkpoint.meta["epoch"]
            assert epoch >= acknowledged, f"{where}: epoch {acknowledged} was promised, {epoch} is there"
            folder.status()
            if resume or last is None:
                self.resumed += 1
                mlprun.resume(folder.path)
                compare(self.whole.path, folder.path)
            elif last is not None:
                self.fits(folder, last.checkpoint.meta)
        except MlprunError as error:
            raise AssertionError(f"{where}: {error}") from error

    def fits(self, folder: RunFolder, meta: Any) -> None:
        """What a resume would need first, without training."""
        if meta["progress"]["best_value"] is not None:
            assert folder.load_best().meta["epoch"] >= meta["progress"]["best_epoch"]
        columns = read(self.whole.path, "history.csv").split(b"\n")[0].decode().split(",")
        with folder.open_history(columns) as history:
            history.truncate(meta["history_offset"])


@pytest.mark.parametrize("variant", ["momentum", "early stopping"])
def test_a_power_loss_at_any_moment_keeps_every_acknowledged_checkpoint(
    variant: str, memory: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    slow = request.config.getoption("--slow")
    live = memory / "live"
    live.mkdir()
    train = lambda: mlprun.train(config(variant), out=str(live / "runs"))  # noqa: E731
    steps = recorded(live, train, monkeypatch, "")
    assert [step[1] for step in steps if step[0] == "acknowledge"] == list(range(EPOCHS + 1))
    replay = Replay(memory, config(variant))
    losses = replay.run(steps, draws=40 if slow else 2, every=3 if slow else 24)
    assert losses > 200
    assert replay.resumed > 7


def test_a_power_loss_while_a_run_goes_on_keeps_what_was_acknowledged_before(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = memory / "live"
    run = mlprun.train(config_of("momentum", training={"epochs": 2}), out=str(live / "runs"))
    start = harvest(str(live))
    steps = recorded(live, lambda: mlprun.resume(run.path, epochs=EPOCHS), monkeypatch, "")
    replay = Replay(memory, config("momentum"), start)
    (extended,) = runs.find(str(live / "runs"))
    assert read(extended.path, "history.csv") == read(replay.whole.path, "history.csv")
    assert replay.run([("acknowledge", 2), *steps], draws=2, every=10**9) > 50


@pytest.mark.parametrize("deaf_to", ["files", "folders", "history.csv"])
def test_without_one_of_the_syncs_the_same_test_fails(
    deaf_to: str, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = memory / "live"
    live.mkdir()
    train = lambda: mlprun.train(config("momentum"), out=str(live / "runs"))  # noqa: E731
    steps = recorded(live, train, monkeypatch, deaf_to)
    with pytest.raises(AssertionError, match="after step"):
        Replay(memory, config("momentum")).run(steps, draws=3, every=12)
