"""Every file in configs/ is a valid config that trains, and says in its first line what it shows."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

import mlprun
from mlprun import schema
from mlprun.errors import UsageError

CONFIGS = Path(__file__).parents[2] / "configs"
EVERY = pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)


@EVERY
def test_a_shipped_config_is_valid_and_named_for_its_file(path: Path) -> None:
    assert schema.load(str(path), allow_code=True).name == path.stem


@EVERY
def test_a_shipped_config_begins_by_saying_what_it_shows(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert all(len(line) <= 120 for line in text.splitlines())


@EVERY
def test_a_shipped_config_trains(path: Path, tmp_path: Path) -> None:
    shorter = ("training.epochs=2", "snapshots=[]")
    run = mlprun.train(path, *shorter, out=str(tmp_path), allow_code=True)
    assert run.status.state == "finished"
    assert math.isfinite(run.metrics["last"]["splits"]["train"]["loss"])


def test_a_config_with_code_of_its_own_is_refused_without_leave() -> None:
    with pytest.raises(UsageError, match=r"fourth_power\.py.*--allow-code"):
        schema.load(str(CONFIGS / "regression_fourth_power.yaml"))


@pytest.mark.parametrize("name", ["flats", "cars", "dishes"])
def test_a_table_is_what_its_recipe_prints(name: str) -> None:
    recipe = [sys.executable, CONFIGS / f"data/{name}.py"]
    printed = subprocess.run(recipe, capture_output=True, text=True, check=True).stdout
    assert (CONFIGS / f"data/{name}.csv").read_text() == printed
