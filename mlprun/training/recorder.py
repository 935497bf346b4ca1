"""The run folder as a callback: what a run writes while it trains, in an order that survives a kill.

History is synced before the checkpoint that refers to its end; `best` is written just before `last`. So
`last` never refers to anything that the disk does not hold, and what lies behind it is found again by
training on.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlprun.engines import Best, ChunkResult, Progress, State
from mlprun.errors import CheckpointError
from mlprun.experiment import Experiment, history_columns
from mlprun.files import Closeable
from mlprun.parts import MAX_BYTES, MAX_TENSORS
from mlprun.storage import checkpoints
from mlprun.storage.checkpoints import Checkpoint
from mlprun.training.trainer import Callback, TrainingRun, emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mlprun.engines.contract import Arrays, Row, StopReason
    from mlprun.evaluation import Decision
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder

    Decide = Callable[[Arrays, int], Decision | None]

SNAPSHOTS, SMALL = 24, 10_000
"""models that are kept of a network by default if it has fewer parameters than these"""


class RunRecorder(Closeable, Callback):
    """Writes the log, the history and the checkpoints of a run; a context that closes the files.

    A run that has no checkpoint yet starts `anew`, and has no history either, whatever a kill left of it.
    `decide` returns what is chosen on dev for the model after so many epochs, if anything.
    """

    def __init__(
        self,
        folder: RunFolder,
        experiment: Experiment,
        constants: Mapping[str, Any],
        decide: Decide,
        *,
        anew: bool,
    ) -> None:
        config = experiment.config
        self._folder, self._constants, self._checkpoint = folder, constants, config.checkpoint
        self._decide = decide
        self._columns = history_columns(config)
        self._watched, self._report_every = config.best.metric, config.training.report_every
        self._log = folder.open_log()
        self._history = folder.open_history(self._columns, anew=anew)
        self._wanted = frozenset(config.snapshots) | {0}
        self._snapshots: dict[int, Arrays] = {}
        self._trajectory = Trajectory(folder, config)
        self._rows: list[Row] = []
        self._reports = 0
        self.best: Best | None = None
        self._best_written = True
        self._saved_at, self._saved_epoch = time.monotonic(), 0

    def close(self) -> None:
        """Close the history and the log."""
        self._history.close()
        self._log.close()

    def begin(self, state: State) -> None:
        """Save the state at epoch 0."""
        self._snapshots[state.epoch] = state.model
        self._trajectory.begin(state, {})
        self.save(state, None)

    def restore(self, saved: TrainState) -> None:
        """Continue from a checkpoint: cut the history behind it, take over its best and its snapshots."""
        self._history.truncate(saved.history_offset)
        self._snapshots, self.best = dict(saved.snapshots), saved.best
        self._trajectory.begin(saved.state, {0: saved.snapshots[0], **saved.trajectory})
        self._saved_epoch = saved.state.epoch
        self._reports = saved.state.epoch // self._report_every
        self._log.write(f"resumed after epoch {saved.state.epoch}")

    def chunk_limit(self, run: TrainingRun) -> int | None:
        """Return the next epoch of a snapshot or of a checkpoint that the config asks for."""
        due = [epoch for epoch in self._wanted | self._trajectory.epochs if epoch > run.epoch]
        every = self._checkpoint.epochs
        if every is not None:
            due.append((run.epoch // every + 1) * every)
        return min(due, default=None)

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """Log the chunk; save a checkpoint if one is due or the run is over."""
        self.record(chunk)
        if run.epoch in self._wanted - self._snapshots.keys():
            self._snapshots[run.epoch] = run.state.model
        self._trajectory.on_chunk_end(run)
        if run.is_over or self._is_due(run.epoch):
            self.save(run.state, run.stop_reason)
            emit(run.callbacks, "on_checkpoint", run, run.epoch)

    def record(self, chunk: ChunkResult) -> None:
        """Log a chunk; its rows are written with the next checkpoint."""
        self._rows.extend(chunk.rows)
        if chunk.best is not None:
            self.best, self._best_written = chunk.best, False
        lines = [
            (item.epoch, f"epoch {item.epoch}: {self._watched} {_shown(item.before)} -> {_shown(item.value)}")
            for item in chunk.improvements
        ]
        lines += [(int(row[0] or 0), self._report(row)) for row in chunk.rows if self._is_reported(row)]
        if lines:
            self._log.write(*(line for _, line in sorted(lines, key=lambda pair: pair[0])))

    def _is_reported(self, row: Row) -> bool:
        """Return True at the first row at or behind each multiple of `report_every`."""
        passed = int(row[0] or 0) // self._report_every
        due, self._reports = passed > self._reports, passed
        return due

    def _report(self, row: Row) -> str:
        metrics = zip(self._columns[1:], row[1:], strict=True)
        return f"epoch {row[0]}: " + " ".join(
            f"{name} {_shown(value)}" for name, value in metrics if value is not None
        )

    def _is_due(self, epoch: int) -> bool:
        """Return True if the config asks for a checkpoint now."""
        every = self._checkpoint.epochs
        if every is not None and epoch // every > self._saved_epoch // every:
            return True
        return time.monotonic() - self._saved_at >= self._checkpoint.seconds

    def save(self, state: State, stopped: StopReason | None) -> None:
        """Write history, then snapshots, then best, then last."""
        self._history.append(self._rows)
        self._history.sync()
        self._rows.clear()
        self._trajectory.save(self._constants)
        reason = _STORED_REASONS.get(stopped)
        if self.best is not None:
            chosen = self._chosen(self.best.model, self.best.epoch, reason)
            if chosen or not self._best_written:
                made = best_checkpoint(self.best, {**self._constants, **chosen})
                self._folder.save_best(checkpoints.encode(made))
                self._best_written = True
        saved = TrainState(state, self._history.offset, self._snapshots, reason)
        chosen = self._chosen(state.model, state.epoch, reason)
        self._folder.save_last(checkpoints.encode(last_checkpoint(saved, {**self._constants, **chosen})))
        self._saved_at, self._saved_epoch = time.monotonic(), state.epoch

    def _chosen(self, model: Arrays, epoch: int, reason: StopReason | None) -> dict[str, Any]:
        """Return the metadata about what is chosen on dev, which is done when training has ended."""
        decision = None if reason is None else self._decide(model, epoch)
        return {} if decision is None else {"decision": decision.to_json()}


class Trajectory:
    """The models of a run at log-spaced epochs and at its end, which figures show and no resume needs.

    A checkpoint is preceded by them, so one that a kill leaves without its `last` is of later epochs than
    that; a resumed run drops these and comes to the same again. A file that is missing or damaged costs the
    run the models of its epochs so far.
    """

    def __init__(self, folder: RunFolder, config: Config) -> None:
        self._folder, self._config = folder, config
        self.epochs: frozenset[int] = frozenset()
        """at which a chunk ends"""
        self._models: dict[int, Arrays] = {}
        self._saved: set[int] = set()

    def begin(self, state: State, models: Mapping[int, Arrays]) -> None:
        """Choose the epochs, and take over the models of earlier ones."""
        self.epochs = snapshot_epochs(self._config, state.model)
        if not self.epochs:
            return
        most = min(2 * len(self.epochs), 1 + _room(state.model))
        known = {epoch: model for epoch, model in sorted(models.items()) if epoch <= state.epoch}
        # of a run that is extended again and again; the sum stays the same wherever it is resumed
        while len(known) > 1 and len(known) + sum(epoch > state.epoch for epoch in self.epochs) > most:
            known = dict(list(known.items())[::2])
        self._models = known or {state.epoch: state.model}
        self._saved = set(self._models)

    def on_chunk_end(self, run: TrainingRun) -> None:
        """Keep the model of an epoch that is due, and that of the last."""
        is_last = run.stop_reason is not None and run.stop_reason != "interrupted"
        if run.epoch in self.epochs or (is_last and self.epochs):
            self._models[run.epoch] = run.state.model

    def save(self, constants: Mapping[str, Any]) -> None:
        """Write the models if there are new ones."""
        if self._saved != self._models.keys():
            tensors = {
                f"{epoch}.{name}": array
                for epoch, model in self._models.items()
                for name, array in model.items()
            }
            meta = {**constants, "kind": checkpoints.SNAPSHOTS}
            meta |= {"epoch": max(self._models), "epochs": sorted(self._models)}
            self._folder.save_snapshots(checkpoints.encode(Checkpoint(tensors, meta)))
            self._saved = set(self._models)


def snapshot_epochs(config: Config, model: Arrays) -> frozenset[int]:
    """Return the epochs at which a run keeps its model in snapshots.safetensors."""
    count = config.checkpoint.snapshots
    if count is None:
        count = SNAPSHOTS if sum(array.size for array in model.values()) < SMALL else 0
    room = _room(model)
    return log_spaced(config.training.epochs, min(count, room)) if count and room > 1 else frozenset()


def _room(model: Arrays) -> int:
    """Return how many models a file holds beside the one of an early end, in half of its bytes."""
    size = sum(array.nbytes for array in model.values())
    return min(MAX_TENSORS // max(1, len(model)), MAX_BYTES // 2 // max(1, size)) - 1


def log_spaced(last: int, count: int) -> frozenset[int]:
    """Return 0, `last`, and between them so many epochs at growing distances that there are `count` in all.

    >>> sorted(log_spaced(100, 8))
    [0, 1, 2, 4, 9, 20, 45, 100]
    """
    epochs = [1]
    for left in range(count - 2, 1, -1):
        factor = (last / epochs[-1]) ** (1 / left)
        epochs.append(max(epochs[-1] + 1, round(epochs[-1] * factor)))
    return frozenset({0, last, *(epoch for epoch in epochs[: max(0, count - 2)] if epoch < last)})


# An interrupted run is not over: nothing in its bytes may distinguish it from one that was never disturbed. A
# run that a callback stopped is stored as one that stopped early, which every version reads.
_STORED_REASONS: dict[StopReason | None, StopReason] = {
    "finished": "finished",
    "early_stopping": "early_stopping",
    "callback": "early_stopping",
}


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


_PREFIXES = ("model.", "optimizer.", "snapshot.")


@dataclass(frozen=True, eq=False)
class TrainState:
    """Everything that the checkpoints hold beside the config and the preprocessing."""

    state: State
    history_offset: int
    snapshots: Mapping[int, Arrays] = field(default_factory=dict)
    """the model at epoch 0 and at the epochs that `snapshots:` names"""
    stopped: StopReason | None = None
    """why the run was over at this state; None while it can be continued"""
    best: Best | None = None
    """of best.safetensors, if this state refers to it"""
    trajectory: Mapping[int, Arrays] = field(default_factory=dict)
    """the models in snapshots.safetensors"""


def last_checkpoint(saved: TrainState, constants: Mapping[str, Any]) -> Checkpoint:
    """Return the newest state, all that a resume needs; `constants` are the metadata that never change."""
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
    """Return the model at the best evaluation, with its dev metrics."""
    tensors = {f"model.{name}": array for name, array in best.model.items()}
    return Checkpoint(
        tensors, {**constants, "kind": "best", "epoch": best.epoch, "figures": {"dev": best.metrics}}
    )


def state_from(checkpoint: Checkpoint, where: str) -> TrainState:
    """Invert `last_checkpoint`.

    Raises CheckpointError for a checkpoint of another kind, and for one that no run can have written.
    """
    meta = checkpoint.meta
    if meta.get("kind") != "last":
        raise CheckpointError(where, "is not the newest state of a run", "resume a run folder")
    with _checked(where):
        unknown = [name for name in checkpoint.tensors if not name.startswith(_PREFIXES)]
        if unknown:
            raise ValueError(f"unknown tensor {unknown[0]}")
        state = State(
            _count(meta["epoch"]),
            checkpoint.under("model."),
            checkpoint.under("optimizer."),
            meta["optimizer"],
            Progress.from_json(meta["progress"]),
        )
        if meta["stopped"] not in (None, "finished", "early_stopping"):
            raise ValueError(f"it says that it stopped as {meta['stopped']!r}")
        return TrainState(state, _count(meta["history_offset"]), checkpoint.snapshots(), meta["stopped"])


def best_from(checkpoint: Checkpoint, where: str) -> Best:
    """Invert `best_checkpoint`. Raises CheckpointError as `state_from` does."""
    meta = checkpoint.meta
    with _checked(where):
        metrics = {name: float(value) for name, value in meta["figures"]["dev"].items()}
        if not all(type(value) in (int, float) for value in meta["figures"]["dev"].values()):
            raise ValueError("a dev figure is no number")
        return Best(_count(meta["epoch"]), metrics, checkpoint.under("model."))


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**62:
        raise ValueError(f"{value!r} is no count")
    return value


@contextmanager
def _checked(where: str) -> Iterator[None]:
    """Report metadata that lacks something or holds something else: such a file was made on purpose."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"holds what no run writes: {error}"
        raise CheckpointError(where, what, "use another checkpoint of the run") from error
