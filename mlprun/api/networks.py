"""The networks that runs left, to evaluate and to predict with."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mlprun import evaluation, files
from mlprun.errors import CheckpointError, command_line
from mlprun.storage import checkpoints, runs

if TYPE_CHECKING:
    from mlprun.storage.runs import RunFolder


def load_checkpoint(
    path: str | os.PathLike[str], *, device: str = "cpu", allow_code: bool = False
) -> evaluation.Loaded:
    """The network of a checkpoint file, or of a run folder's best epoch."""
    path = runs.newest(os.fspath(path))
    if os.path.isdir(path) or (files.kind(path) is None and not path.endswith(".safetensors")):
        return best(runs.open_run(path), device=device, allow_code=allow_code)
    checkpoint = checkpoints.read(path)
    return evaluation.load(checkpoint, path, os.path.dirname(path), device=device, allow_code=allow_code)


def best(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> evaluation.Loaded:
    """The best epoch's network of a run, or the newest where no dev rows chose a best."""
    if files.kind(folder.best) is None:
        loaded, last = newest(folder, device=device, allow_code=allow_code), folder.load_last()
        progress = None if last is None else last.checkpoint.meta.get("progress")
        if isinstance(progress, dict) and progress.get("best_value") is not None:
            what = f"{folder.best} is missing; the newest epoch, {loaded.epoch}, is used instead of the best"
            return replace(loaded, warnings=(what,))
        return loaded
    checkpoint = folder.load_best()
    return evaluation.load(checkpoint, folder.best, folder.path, device=device, allow_code=allow_code)


def newest(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> evaluation.Loaded:
    """The newest network of a run that can be read."""
    last = folder.load_last()
    if last is None:
        remedy = f"go on with: {command_line('resume', folder.path)}"
        raise CheckpointError(folder.path, "was stopped before its first checkpoint", remedy)
    return evaluation.load(last.checkpoint, last.path, folder.path, device=device, allow_code=allow_code)
