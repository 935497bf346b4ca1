"""Every file in configs/sweeps/ is a valid sweep that runs, and says in its first line what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlprun
from mlprun.sweeps.definition import read
from mlprun.sweeps.plan import Plan

SWEEPS = Path(__file__).parents[2] / "configs" / "sweeps"
EVERY = pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)


@EVERY
def test_a_shipped_sweep_begins_by_saying_what_it_shows_and_all_its_trials_are_valid(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert all(len(line) <= 120 for line in text.splitlines())
    plan = Plan(read(str(path)))
    assert plan.definition.name == path.stem
    assert 40 <= plan.total <= 2400


@EVERY
def test_a_shipped_sweep_runs(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    if "name: tpe" in text:
        pytest.importorskip("optuna", reason="the extra optuna is not installed")
    trials = "search.trials=3" if "search:" in text else "trials=3"
    few = ["seeds=2", "base.training.epochs=2"] + [trials] * ("random:" in text)
    few += ["search.pruner.min_epochs=1"] * ("pruner:" in text)
    swept = mlprun.sweep(path, *few, out=str(tmp_path))
    assert {trial.status for trial in swept.trials} == (
        {"finished", "pruned"} if "pruner:" in text else {"finished"}
    )
