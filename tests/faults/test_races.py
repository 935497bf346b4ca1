"""Two hundred processes resume one run at the same moment: one trains each time, the others end with 5."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from faulty.comparing import compare, state
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

TOGETHER = 12


def test_of_simultaneous_starts_one_wins_each_time(
    children: Any, memory: Path, written: Callable[..., str], request: pytest.FixtureRequest
) -> None:
    rounds = 80 if request.config.getoption("--slow") else 4
    config = config_of("momentum", training={"epochs": 10**6}, checkpoint={"seconds": 1})
    first = children.one("train", written(config, memory), "-q", folder=memory, signals=[[2.0, 2]])
    assert first["code"] == 130
    path = str(memory / "runs/run-001")
    files = set(os.listdir(path))
    epochs = [checkpoints.read(f"{path}/last.safetensors").meta["epoch"]]
    order = {"arguments": ["resume", "runs/run-001", "-q"], "folder": str(memory), "until_alone": True}
    for number in range(rounds):
        os.link(f"{path}/lock", memory / f"lock-{number}")  # as a copy of the folder by `cp -al` has it
        told = children.run(*[order] * TOGETHER)
        winners = [one for one in told if one["code"] != 5]
        assert [one["code"] for one in winners] == [143], [one["code"] for one in told]
        for loser in told:
            if loser is not winners[0]:
                said = f"error: runs/run-001: is in use by process {winners[0]['pid']} on "
                assert loser["err"].startswith(said), loser["err"]
                assert loser["err"].count("\n") == 1
        assert state(path) == "interrupted"
        epochs.append(checkpoints.read(f"{path}/last.safetensors").meta["epoch"])
    # each winner resumes where the one before stopped; on a busy machine one may be stopped within an epoch
    assert epochs == sorted(epochs)
    assert epochs[-1] > epochs[0]
    assert set(os.listdir(path)) == files | {"best.safetensors", "last.previous.safetensors"}
    # and the bytes are those of one process that was never disturbed
    whole = mlprun.train(
        {**config, "training": {**config["training"], "epochs": epochs[-1]}}, out=str(memory / "w")
    )
    same_history(whole.path, path)


def same_history(expected: str, found: str) -> None:
    """Compare rows and tensors; the configs differ in their number of epochs."""
    for name in ("last", "best"):
        one, other = (checkpoints.read(f"{path}/{name}.safetensors") for path in (expected, found))
        assert {k: a.tobytes() for k, a in one.tensors.items()} == {
            k: a.tobytes() for k, a in other.tensors.items()
        }
    with open(f"{expected}/history.csv") as one, open(f"{found}/history.csv") as other:
        assert one.read() == other.read()


def test_simultaneous_starts_of_new_runs_each_get_a_folder_of_their_own(
    children: Any, memory: Path, written: Callable[..., str]
) -> None:
    config = config_of("momentum", training={"epochs": 2})
    order = {"arguments": ["train", written(config, memory), "-q"], "folder": str(memory)}
    told = children.run(*[order] * TOGETHER)
    assert [one["code"] for one in told] == [0] * TOGETHER
    *names, latest = sorted(os.listdir(memory / "runs"), key=lambda name: (name == "latest", name))
    assert latest == "latest"
    assert names == [f"run-{number:03d}" for number in range(1, TOGETHER + 1)]
    for name in names[1:]:
        compare(str(memory / "runs" / names[0]), str(memory / "runs" / name))
