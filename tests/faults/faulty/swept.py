"""Sweeps compared: all that two folders say, but for how long things took."""

from __future__ import annotations

import glob
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlprun.api as mlprun
from mlprun.sweeps.folder import open_sweep

PRUNED = """
base:
  dataset: {name: moons, split: {train: 64, dev: 16, test: 16}}
  architecture: {hidden: [3], activation: tanh}
  optimizer: {name: adam, lr: 0.05}
  training: {epochs: 30}
  engine: fused
seeds: %d
random: {optimizer.lr: {choice: [0.01, 0.05, 0.1, 1e+30]}, penalty.l2: {uniform: [0, 0.1]}}
search: {name: random, trials: 8, batch: 4, pruner: {min_epochs: 10, reduction_factor: 2}}
"""


def written(folder: Path, seeds: int = 4) -> str:
    """Write a search in two cohorts with a pruner; its file."""
    path = folder / "small.yaml"
    path.write_text(PRUNED % seeds)
    return str(path)


def state(path: str) -> tuple[Any, ...]:
    """All that a sweep's folder says but how long things took, and the bytes of its cohorts."""
    swept = mlprun.Sweep(open_sweep(path))
    trials = [replace(trial, seconds=None) for trial in swept.trials]
    names = sorted(glob.glob(os.path.join(path, "cohorts", "*")))
    cohorts = {os.path.basename(name): Path(name).read_bytes() for name in names}
    with swept.folder.results() as results:
        how = swept.status.state, sorted(set(os.listdir(path)) - {"lock"})
        return swept.description, swept.settings, trials, results.rungs(), cohorts, how
