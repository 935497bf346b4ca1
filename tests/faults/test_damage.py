"""Damaged checkpoints: exit 4, or resume falls back to the one before and ends with the same bytes."""

from __future__ import annotations

import io
import os
import random
import shutil
import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from faulty.comparing import compare, read
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun import cli
from mlprun.errors import CheckpointError
from mlprun.storage import checkpoints, runs

if TYPE_CHECKING:
    from pathlib import Path

TINY = config_of("momentum", architecture={"hidden": [1]}, training={"epochs": 2})
CI_SECONDS = 1.5


@pytest.fixture(scope="module")
def whole(memory_folder: Path) -> str:
    return mlprun.train(TINY, out=str(memory_folder / "whole")).path


@pytest.fixture
def run(whole: str, memory: Path) -> runs.RunFolder:
    """A copy of a finished run, to be damaged."""
    shutil.copytree(whole, memory / "run-001")
    return runs.RunFolder(str(memory / "run-001"))


def put(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def falls_back(run: runs.RunFolder) -> None:
    """Demand what resume rests on: the checkpoint before the damaged one, with the damage told."""
    last = run.load_last()
    assert last is not None
    assert last.damage is not None
    assert last.path == run.previous
    assert last.checkpoint.meta["epoch"] == 1


def test_every_flipped_bit_and_every_truncation_leads_to_the_checkpoint_before(
    run: runs.RunFolder, request: pytest.FixtureRequest
) -> None:
    """Each is found where resume looks; the resume itself is done below for some of each part of the file."""
    data = bytearray(read(run.last))
    step = 1 if request.config.getoption("--slow") else 30  # tests/storage has every bit of every byte
    for position in range(len(data)):
        for bit in range(position % step, 8, step):
            data[position] ^= 1 << bit
            put(run.last, bytes(data))
            falls_back(run)
            data[position] ^= 1 << bit
    for length in range(0, len(data), step):
        put(run.last, bytes(data[:length]))
        falls_back(run)


def test_resume_goes_on_from_the_checkpoint_before_and_says_so(
    whole: str, run: runs.RunFolder, heard: Any
) -> None:
    data, chance = read(run.last), random.Random(1)
    places = [
        0,
        7,
        8,
        50,
        100,
        len(data) // 2,
        len(data) - 1,
        *(chance.randrange(len(data)) for _ in range(20)),
    ]
    for place in places:
        heard.said.clear()
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        put(run.last, bytes(flipped) if place % 2 else data[:place])
        mlprun.resume(run.path, callbacks=[heard])
        assert any(f"going on from {run.previous}" in said for said in heard.said), heard.said
        compare(whole, run.path)


def test_eval_of_a_damaged_checkpoint_ends_with_four(
    run: runs.RunFolder, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    data = bytearray(read(run.best))
    step = 1 if request.config.getoption("--slow") else 83
    for position in range(0, len(data), step):
        data[position] ^= 1 << position % 8
        put(run.best, bytes(data))
        assert cli.main(["eval", run.best, "-q"]) == 4
        assert cli.main(["eval", run.path, "-q"]) == 4
        data[position] ^= 1 << position % 8
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"error: {run.best}: is")
        assert said.err.count("\n") == 2
    put(run.best, bytes(data))
    assert cli.main(["eval", run.best, "-q"]) == 0


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with a few places overwritten, removed, repeated, zeroed or taken from elsewhere."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(changed) or 1)
        stop = min(len(changed), start + chance.choice([1, 2, 8, 64, 700]))
        elsewhere = chance.randrange(len(data))
        pieces = (chance.randbytes(stop - start), b"", bytes(changed[start:stop]) * 2, bytes(stop - start))
        changed[start:stop] = chance.choice((*pieces, data[elsewhere : elsewhere + stop - start]))
    return bytes(changed)


def test_ten_thousand_random_damages_are_all_found(
    run: runs.RunFolder, memory: Path, request: pytest.FixtureRequest
) -> None:
    other = mlprun.train(config_of("lbfgs", training={"epochs": 3}), out=str(memory / "other"))
    data, chance, slow = read(other.folder.last), random.Random(2), request.config.getoption("--slow")
    until = time.process_time() + (10**6 if slow else CI_SECONDS)
    tried = 0
    while tried < 10_000 and time.process_time() < until:
        damaged = mutated(data, chance)
        if damaged == data:
            continue
        tried += 1
        put(other.folder.last, damaged)
        last = other.folder.load_last()
        assert last is not None
        assert last.damage is not None
    assert tried == 10_000 or (tried > 200 and not slow)


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return file.getvalue()


WRONG = {
    "empty": b"",
    "picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "torch": archive(),
    "pickle": b"\x80\x04}\x94.",
    "text": b"hello\n",
    "yaml": b"epoch: 3\n",
    "zeros": bytes(5000),
    "a header of the largest size": b"\xff" * 8 + b'{"__metadata__":{}}',
    "an empty header": (2).to_bytes(8, "little") + b"{}",
}


@pytest.mark.parametrize("wrong", [*WRONG, "folder", "missing"])
def test_a_file_of_another_kind_is_refused_and_resume_falls_back(
    wrong: str, whole: str, run: runs.RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (run.best, run.last):
        os.unlink(path)
        if wrong == "folder":
            os.mkdir(path)
        elif wrong != "missing":
            put(path, WRONG[wrong])
    if wrong != "missing":
        assert cli.main(["eval", run.path, "-q"]) == 4
        assert capsys.readouterr().err.startswith("error: ")
    if wrong == "folder":
        assert cli.main(["resume", run.path, "-q"]) == 4
        return
    assert cli.main(["resume", run.path, "-q"]) == 4  # best is wrong too, and nothing can stand in for it
    assert "best.safetensors" in capsys.readouterr().err
    put(run.best, read(whole, "best.safetensors"))
    assert cli.main(["resume", run.path, "-q"]) == 0
    compare(whole, run.path)


def test_a_checkpoint_of_another_run_is_refused(
    whole: str, run: runs.RunFolder, memory: Path, capsys: pytest.CaptureFixture[str], heard: Any
) -> None:
    other = mlprun.train({**TINY, "optimizer": {"lr": 0.4}}, out=str(memory / "other"))
    put(run.best, read(other.folder.best))
    for command in (["eval"], ["show"], ["resume", "--epochs", "4"]):
        assert cli.main([command[0], run.path, *command[1:], "-q"]) == 4
        assert "is of another run" in capsys.readouterr().err
    assert cli.main(["eval", run.best, "-q"]) == 0  # on its own it is what it says
    put(run.best, read(whole, "best.safetensors"))
    put(run.last, read(other.folder.last))
    mlprun.resume(run.path, callbacks=[heard])
    assert "is of another run" in heard.said[0]
    compare(whole, run.path)
    for path in (run.last, run.previous):
        put(path, read(other.folder.last))
    with pytest.raises(CheckpointError, match=r"has no usable checkpoint: .* is of another run"):
        mlprun.resume(run.path)


def test_a_run_that_was_extended_still_knows_its_own_checkpoints(run: runs.RunFolder) -> None:
    former = read(run.last)
    mlprun.resume(run.path, epochs=4)
    put(run.last, former)  # of before the extension, but of this run
    assert mlprun.resume(run.path).status.state == "finished"


@pytest.mark.parametrize(
    "name", ["history.csv", "status.json", "run.json", "config.yaml", "lock", "train.log"]
)
def test_random_damage_of_the_other_files_is_told_or_forgiven(
    name: str, whole: str, memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance, codes = random.Random(name), set()
    for number in range(12):
        path = str(memory / f"run-{number:03d}")
        shutil.copytree(whole, path)
        put(f"{path}/{name}", mutated(read(whole, name), chance))
        for arguments in (["resume", path], ["show", path], ["ls", str(memory)], ["eval", path]):
            code = cli.main([*arguments, "-q"])
            codes.add(code)
            said = capsys.readouterr().err
            # a config is told of with lines and carets, everything else in one line
            assert code in (0, 2, 3, 4), (arguments, said)
            assert code != 2 or name == "config.yaml"
            assert name == "config.yaml" or said.count("\n") <= 1, said
    assert 0 in codes
    assert checkpoints.read(f"{whole}/last.safetensors")
