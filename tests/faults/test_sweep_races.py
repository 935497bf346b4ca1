"""A sweep that several processes start at one moment: one of them makes its folder, the others end with 5."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import mlprun
from mlprun.errors import RunInUseError
from mlprun.sweeps import folder

if TYPE_CHECKING:
    from pathlib import Path

TOGETHER = 4
SWEEP = """
base:
  dataset: {name: moons, split: {train: 64, dev: 16, test: 16}}
  architecture: {hidden: [3], activation: tanh}
  optimizer: {name: adam, lr: 0.05}
  training: {epochs: 20}
  engine: fused
seeds: %d
"""


def written(place: Path, seeds: int, name: str = "small") -> str:
    path = place / str(seeds) / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(SWEEP % seeds)
    return str(path)


def test_of_simultaneous_starts_of_a_new_sweep_one_runs_it(
    children: Any, memory: Path, request: pytest.FixtureRequest
) -> None:
    sweep = written(memory, 4)
    for number in range(40 if request.config.getoption("--slow") else 3):
        arguments = ["sweep", "run", sweep, "base.training.epochs=1000000", "--out", f"o{number}"]
        order = {"arguments": arguments, "folder": str(memory), "until_alone": True}
        told = children.run(*[order] * TOGETHER)
        assert sorted(one["code"] for one in told) == [5] * (TOGETHER - 1) + [143], told
        assert os.listdir(memory / f"o{number}") == ["small-001"]
        for one in told:
            if one["code"] == 5:
                assert one["err"].startswith(f"error: o{number}/small-001: ")
                assert one["err"].count("\n") == 1


@pytest.fixture(scope="module", autouse=True)
def compiled(memory_folder: Path) -> None:
    """Several processes that compile at once would take a minute."""
    mlprun.sweep(written(memory_folder, 1), out=str(memory_folder / "compiled"))


def overtaken(monkeypatch: pytest.MonkeyPatch, by: Any) -> None:
    """Let something happen between the last look for a folder and the making of one, the first time."""
    create = folder.create

    def late(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(folder, "create", create)
        by()
        return create(*arguments, **options)

    monkeypatch.setattr(folder, "create", late)


def test_who_is_overtaken_by_the_same_sweep_leaves_it_alone(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = written(memory, 2)
    overtaken(monkeypatch, lambda: mlprun.sweep(sweep, out=str(memory / "o")))
    with pytest.raises(RunInUseError, match="small-001: was made by another process meanwhile"):
        mlprun.sweep(sweep, out=str(memory / "o"))
    assert os.listdir(memory / "o") == ["small-001"]
    assert mlprun.sweep(sweep, out=str(memory / "o")).status.state == "finished"


def test_who_is_overtaken_by_another_sweep_of_the_name_takes_the_next_number(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overtaken(monkeypatch, lambda: mlprun.sweep(written(memory, 3), out=str(memory / "o")))
    assert mlprun.sweep(written(memory, 2), out=str(memory / "o")).path.endswith("small-002")
    assert sorted(os.listdir(memory / "o")) == ["small-001", "small-002"]
