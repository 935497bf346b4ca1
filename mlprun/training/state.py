"""A run's state as a checkpoint, and back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlprun.engines import Best, Progress, State
from mlprun.errors import CheckpointError
from mlprun.storage.checkpoints import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.engines.contract import Arrays, StopReason

_PREFIXES = ("model.", "optimizer.", "snapshot.")


@dataclass(frozen=True, eq=False)
class Saved:
    """Everything that `last.safetensors` holds beside the config and the preprocessing."""

    state: State
    history_offset: int
    snapshots: Mapping[int, Arrays] = field(default_factory=dict)
    """the model at epoch 0 and at the epochs that `snapshots:` names"""
    stopped: StopReason | None = None
    """why the run was over at this state; None while it goes on"""

    def going_on(self) -> Saved:
        """The same state of a run that is not over after all."""
        return replace(self, stopped=None)


def last_checkpoint(saved: Saved, constants: Mapping[str, Any]) -> Checkpoint:
    """The newest state, all that a resume needs; `constants` are the metadata that never change."""
    state = saved.state
    tensors = {f"model.{name}": array for name, array in state.model.items()}
    tensors |= {f"optimizer.{name}": array for name, array in state.optimizer_state.items()}
    for epoch, model in saved.snapshots.items():
        tensors |= {f"snapshot.{epoch}.{name}": array for name, array in model.items()}
    meta = {
        **constants,
        "kind": "last",
        "epoch": state.epoch,
        "optimizer": state.optimizer_meta,
        "progress": state.progress.to_json(),
        "history_offset": saved.history_offset,
        "stopped": saved.stopped,
    }
    return Checkpoint(tensors, meta)


def best_checkpoint(best: Best, constants: Mapping[str, Any]) -> Checkpoint:
    """The model at the best evaluation, with its dev figures."""
    tensors = {f"model.{name}": array for name, array in best.model.items()}
    return Checkpoint(
        tensors, {**constants, "kind": "best", "epoch": best.epoch, "figures": {"dev": best.metrics}}
    )


def saved_from(checkpoint: Checkpoint, where: str) -> Saved:
    """The inverse of `last_checkpoint`.

    Raises CheckpointError for a checkpoint of another kind, and for one that no run can have written.
    """
    meta = checkpoint.meta
    if meta.get("kind") != "last":
        raise CheckpointError(where, "is not the newest state of a run", "resume a run folder")
    with _sound(where):
        unknown = [name for name in checkpoint.tensors if not name.startswith(_PREFIXES)]
        if unknown:
            raise ValueError(f"unknown tensor {unknown[0]}")
        state = State(
            _whole(meta["epoch"]),
            checkpoint.under("model."),
            checkpoint.under("optimizer."),
            meta["optimizer"],
            Progress.from_json(meta["progress"]),
        )
        if meta["stopped"] not in (None, "finished", "early_stopping"):
            raise ValueError(f"it says that it stopped as {meta['stopped']!r}")
        return Saved(state, _whole(meta["history_offset"]), checkpoint.snapshots(), meta["stopped"])


def best_from(checkpoint: Checkpoint, where: str) -> Best:
    """The inverse of `best_checkpoint`. Raises CheckpointError as `saved_from` does."""
    meta = checkpoint.meta
    with _sound(where):
        figures = {name: float(value) for name, value in meta["figures"]["dev"].items()}
        if not all(type(value) in (int, float) for value in meta["figures"]["dev"].values()):
            raise ValueError("a dev figure is no number")
        return Best(_whole(meta["epoch"]), figures, checkpoint.under("model."))


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f"{value!r} is no count")
    return value


@contextmanager
def _sound(where: str) -> Iterator[None]:
    """Tell of metadata that lacks something or holds something else: such a file was made on purpose."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"holds what no run writes: {error}"
        raise CheckpointError(where, what, "use another checkpoint of the run") from error
