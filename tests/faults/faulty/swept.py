"""Sweeps compared: all that two folders say, but for how long things took."""

from __future__ import annotations

import glob
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlprun.api as mlprun
from mlprun.sweeps.folder import open_sweep


def state(path: str) -> tuple[Any, ...]:
    """All that a sweep's folder says but how long things took, and the bytes of its cohorts."""
    swept = mlprun.Sweep(open_sweep(path))
    trials = [replace(trial, seconds=None) for trial in swept.trials]
    names = sorted(glob.glob(os.path.join(path, "cohorts", "*")))
    cohorts = {os.path.basename(name): Path(name).read_bytes() for name in names}
    with swept.folder.results() as results:
        how = swept.status.state, sorted(set(os.listdir(path)) - {"lock"})
        return swept.description, swept.settings, trials, results.rungs(), cohorts, how
