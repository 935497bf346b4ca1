"""Training of batches of trials, wherever an executor runs them; sweeps, plans and files are not known here.

A `TrialBatch` is plain data and can be pickled. `BatchTrainer.run` trains its trials as one cohort and
yields a `TrialResult` for each. A trial's bytes depend neither on the trials beside it nor on where it was
interrupted, so it does not matter how a cohort is divided into batches, which process trains which, and
whether one is trained twice.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mlprun import engines, evaluation, schema
from mlprun.config import document as reading
from mlprun.engines import ChunkResult, State, StopCondition
from mlprun.engines import device as devices
from mlprun.engines.contract import never
from mlprun.errors import OutOfMemoryError
from mlprun.experiment import (
    SPLITS,
    Experiment,
    InitialWeightCache,
    data_key,
    history_columns,
    history_metrics,
)
from mlprun.storage import provenance
from mlprun.sweeps.cohort_file import TrialResult, Weights
from mlprun.training.trainer import (
    EXPECTED,
    Callback,
    ChunkScheduler,
    Trainer,
    TrainingRun,
    as_table,
    emit,
    translate_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from numpy.typing import NDArray

    from mlprun.schema import Config
    from mlprun.sweeps.cohorts import Cohort, TrialSpec
    from mlprun.sweeps.schema import TrialStatus

    OnCheckpoint = Callable[[TrialResult], None]

CHUNK_SECONDS = 1.0
"""of training between two checkpoints of a trial"""
CACHE_BYTES = 2**26
"""of rows that are kept for other trials with the same data"""
EXPERIMENT_BYTES = 2**14
"""of an experiment beside its rows: its config and the engine's view of it among them"""
_ROOT = os.path.abspath(os.sep)
"""paths in pickled configs are relative to it"""
_STATUS = {"callback": "early_stopping"}
"""of a trial, by the stop reason of its run"""
_PYTHON = threading.Lock()
"""held by a thread in the part of short trials that is mostly Python: two at once would only wait for each
other at every call of torch, which releases the interpreter, and take twice as much of the CPU"""


class Budget(NamedTuple):
    """The epoch up to which a trial is trained for now: there it is paused or, if `pruned`, ends."""

    epoch: int
    pruned: bool = False


@dataclass(frozen=True)
class SharedConfig:
    """The config that the trials of one configuration share, but for seed and fold.

    It is pickled as plain data, since classes of user code cannot be.
    """

    config: Config
    sets_data_seed: bool
    """whether the dataset's seed is set explicitly, so that it does not follow the trial's"""
    allow_code: bool

    def of_trial(self, seed: int, fold: int | None) -> Config:
        """Return the config of a trial; its seed is the dataset's as well, unless that has its own."""
        dataset = self.config.dataset
        update: dict[str, Any] = {} if self.sets_data_seed else {"seed": seed}
        if fold is not None:
            assert dataset.split is not None
            update["split"] = dataset.split.model_copy(update={"fold": fold})
        training = self.config.training.model_copy(update={"seed": seed})
        dataset = dataset.model_copy(update=update)
        return self.config.model_copy(update={"training": training, "dataset": dataset})

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (schema.dump(self.config, _ROOT), self.sets_data_seed, self.allow_code)


def _unpickled(config: dict[str, Any], sets_data_seed: bool, allow_code: bool) -> SharedConfig:  # noqa: FBT001 - as pickle calls it
    document = reading.from_mapping(config, _ROOT, "trial")
    return SharedConfig(schema.parse(document, allow_code=allow_code), sets_data_seed, allow_code)


@dataclass(frozen=True, eq=False)
class ResumeState:
    """What is known of a cohort's trials before they are trained, by trial id."""

    results: Mapping[int, TrialResult] = field(default_factory=dict)
    """of trials that have ended, and checkpoints of those that were begun"""
    budgets: Mapping[int, Budget] = field(default_factory=dict)
    """of the trials that are not trained to the end of their config"""
    postponed: frozenset[int] = frozenset()
    """trials that are not trained for now, since memory ran out"""

    def to_train(self, cohort: Cohort) -> list[TrialSpec]:
        """Return the trials of the cohort that are to be trained."""
        ended = {trial for trial, one in self.results.items() if one.has_ended} | self.postponed
        return [one for one in cohort.members if one.trial not in ended]


@dataclass(frozen=True, eq=False)
class TrialBatch:
    """Trials of one cohort that are trained by one worker; plain data."""

    specs: tuple[TrialSpec, ...]
    configs: Mapping[int, SharedConfig]
    """by setting"""
    first_chunk: int
    """epochs of each trial until its first checkpoint"""
    checkpoints: Mapping[int, TrialResult]
    """of the trials that were begun before, by trial"""
    budgets: Mapping[int, Budget]
    engine: str
    device: str
    threads: int

    def rest(self, result: BatchResult) -> TrialBatch | None:
        """Return what is left to train after a result; None if nothing is, or if training was stopped."""
        newest = result.newest()
        done = {one.trial for one in result.results}
        left = tuple(one for one in self.specs if one.trial not in done)
        if not left or not newest:
            return None
        return replace(self, specs=left, checkpoints={**self.checkpoints, **newest})


class BatchResult(NamedTuple):
    """Results of the trials of a batch, and the checkpoint of the one that was interrupted, if any."""

    results: list[TrialResult]
    checkpoint: TrialResult | None = None

    def newest(self) -> dict[int, TrialResult]:
        """Return the results and the checkpoint by trial."""
        every = [*self.results, self.checkpoint]
        return {one.trial: one for one in every if one is not None}


def first_chunk(epochs: int, seconds: float) -> int:
    """Return the epochs until the first checkpoint of a trial that is expected to take so many seconds."""
    return max(1, int(epochs * CHUNK_SECONDS / max(seconds, CHUNK_SECONDS)))


class BatchTrainer:
    """Trains batches of the trials of a cohort; threads may share it.

    `stop` is called between epochs: when it returns True, trials are paused where they are.
    """

    def __init__(
        self, engine: str, device: str, stop: StopCondition, cache: ExperimentCache | None = None
    ) -> None:
        self.engine, self.device, self.stop = engines.named(engine), device, stop
        self.cache = ExperimentCache() if cache is None else cache
        self.starts = InitialWeightCache()

    def metrics(self, experiment: Experiment, weights: Weights, epoch: int) -> dict[str, float]:
        """Return `train_loss`, `train_accuracy`, ... of a model after `epoch` epochs."""
        present = [split for split in SPLITS if experiment.has(split)]
        rows = {split: experiment.rows(split, epoch=epoch) for split in present}
        if experiment.config.decides_on_dev:
            engine, device = self.engine, self.device
            decision = evaluation.decide(experiment, engine, weights, epoch=epoch, device=device)
            experiment, weights = evaluation.decided(experiment, weights, decision)
        names = {id(arrays): split for split, arrays in rows.items()}  # splits may be the same rows
        distinct = {split: rows[split] for split in names.values()}
        computed = self.engine.evaluate(experiment, weights, distinct, device=self.device)
        return {
            f"{split}_{name}": computed[names[id(arrays)]][name]
            for split, arrays in rows.items()
            for name in ("loss", *history_metrics(experiment.config))
        }

    def run(self, batch: TrialBatch, on_checkpoint: OnCheckpoint) -> Iterator[TrialResult]:
        """Train the trials of a batch as one cohort, and yield the result of each that was not stopped.

        An error of a trial is its result, and leaves the others alone. `on_checkpoint` receives the
        checkpoint of a trial after each chunk of epochs but its last.
        """
        trials = [_Trial(self, batch, spec, on_checkpoint) for spec in batch.specs]
        # each step for all, since short trials cost mostly code that is not in the CPU's cache
        alone = _PYTHON if len(trials) > 1 else nullcontext()
        cohorts: dict[Hashable, list[TrainingRun]] = {}
        with alone:
            for step in (_Trial.load, _Trial.initialize):
                for one in trials:
                    one.attempt(step)
            for one in trials:
                if one.result is None and not one.run.is_over:
                    key = self.engine.cohort_key(one.run.experiment)
                    cohorts.setdefault(key, []).append(one.run)
        for runs in cohorts.values():
            scheduler = ChunkScheduler(batch.first_chunk, CHUNK_SECONDS)
            Trainer(
                self.engine, runs, device=self.device, threads=1, stop=self.stop, scheduler=scheduler
            ).fit()
        with alone:
            for one in trials:
                one.attempt(_Trial.evaluate)
        yield from (one.result for one in trials if one.result is not None)


class _Trial(Callback):
    """A trial while it is trained; the callback of its run."""

    run: TrainingRun

    def __init__(
        self,
        trainer: BatchTrainer,
        batch: TrialBatch,
        spec: TrialSpec,
        on_checkpoint: OnCheckpoint,
    ) -> None:
        self._trainer, self._spec, self._on_checkpoint = trainer, spec, on_checkpoint
        self._shared, self._budget = batch.configs[spec.setting], batch.budgets.get(spec.trial)
        self._checkpoint = batch.checkpoints.get(spec.trial) or TrialResult(spec.trial, "paused")
        self._best, self._best_epoch = self._checkpoint.best, self._checkpoint.best_epoch
        self._histories = [] if self._checkpoint.history is None else [self._checkpoint.history]
        self._seconds = self._checkpoint.seconds
        self.result: TrialResult | None = None

    def attempt(self, step: Callable[[_Trial], None]) -> None:
        """Do one step, unless the trial has failed before; an error is its result."""
        if self.result is not None:
            return
        began = time.perf_counter()
        try:
            step(self)
        except Exception as error:
            translated = translate_error(error)
            if not isinstance(translated, EXPECTED):
                raise
            self.result = self._failed(translated)
        self._seconds += time.perf_counter() - began

    def _failed(self, error: Exception) -> TrialResult:
        if isinstance(error, OutOfMemoryError):
            return replace(self._checkpoint, status="out_of_memory")
        line = " ".join(str(error).split()) or type(error).__name__
        return TrialResult(self._spec.trial, "failed", seconds=self._total_seconds, error=line)

    def load(self) -> None:
        """Load the rows."""
        self._experiment = self._trainer.cache.experiment(
            self._shared.of_trial(self._spec.seed, self._spec.fold)
        )

    def initialize(self) -> None:
        """Draw the initial weights, or take the state of the checkpoint."""
        config, state = self._experiment.config, self._checkpoint.state
        if state is None:
            state = State(0, self._trainer.starts.model(self._experiment))
        until = None if self._budget is None else min(config.training.epochs, self._budget.epoch)
        own = [part.build() for part in config.callbacks]
        self.run = TrainingRun(self._experiment, state, until=until, callbacks=[self, *own])

    @property
    def _total_seconds(self) -> float:
        """The time that the trial has taken up to now, in earlier sessions too."""
        return self._seconds + (self.run.seconds if hasattr(self, "run") else 0.0)

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """Keep rows and best weights, and report a checkpoint if the trial has not ended."""
        if chunk.rows:
            self._histories.append(as_table(chunk.rows, self._width))
        if chunk.best is not None:
            self._best, self._best_epoch = chunk.best.model, chunk.best.epoch
        if chunk.stopped in (None, "interrupted") and run.epoch > self._checkpoint.epochs:
            self._checkpoint = self._result("paused", run.state, {})
            self._on_checkpoint(self._checkpoint)

    @property
    def _width(self) -> int:
        return len(history_columns(self._experiment.config))

    def _history(self) -> NDArray[np.float64]:
        if len(self._histories) != 1:
            empty = np.zeros((0, self._width))
            self._histories = [np.concatenate(self._histories) if self._histories else empty]
        return self._histories[0]

    def _result(
        self, status: TrialStatus | Literal["paused"], state: State, figures: Mapping[str, float]
    ) -> TrialResult:
        is_paused = status == "paused"
        return TrialResult(
            self._spec.trial,
            status,
            state.epoch,
            self._best_epoch,
            self._total_seconds,
            None,
            figures,
            self._history(),
            self._best,
            None if is_paused else state.model,
            state if is_paused else None,
        )

    def evaluate(self) -> None:
        """Evaluate the best and the last epoch, which completes the result, unless it was interrupted."""
        run = self.run
        if run.error is not None:
            raise run.error
        if run.stop_reason == "interrupted":
            return
        metrics, state, best = self._trainer.metrics, run.state, self._best
        figures = last = metrics(self._experiment, state.model, run.epoch)
        if best is not None and self._best_epoch not in (None, run.epoch):
            figures = metrics(self._experiment, best, self._best_epoch)
        status: Any = _STATUS.get(run.stop_reason or "", run.stop_reason)
        if status is None and run.epoch == run.config.training.epochs:
            status = "finished"
        if status is None and self._budget is not None and self._budget.pruned:
            status = "pruned"
        figures = {**figures, **{f"last_{name}": value for name, value in last.items()}}
        result = self._result(status or "paused", state, figures)
        if status is not None:
            emit(run.callbacks, "on_train_end", run)
        self.result = result


TURN_SECONDS = 2.0
"""of training until a remote worker returns its results: the work that is lost when it dies"""
_turn_cache: list[ExperimentCache] = []
"""the experiments of earlier turns in this process"""


def differing_versions(versions: Mapping[str, str | None]) -> str:
    """Return the versions of libraries that differ on this machine; empty if none do."""
    here = provenance.versions()
    return ", ".join(
        f"{name} {here.get(name)} in place of {version}"
        for name, version in versions.items()
        if here.get(name) != version
    )


def run_turn(batch: TrialBatch, stop: StopCondition = never) -> BatchResult:
    """Train trials of a batch one by one for TURN_SECONDS, the first of them for a chunk at least.

    The turn ends before when `stop` returns True. Raises DeviceError if the device is missing.
    """
    began, results = time.monotonic(), list[TrialResult]()
    checkpoint: TrialResult | None = None
    is_over = False

    def on_checkpoint(one: TrialResult) -> None:
        nonlocal checkpoint, is_over
        checkpoint = one
        is_over = time.monotonic() - began >= TURN_SECONDS

    if not _turn_cache:
        _turn_cache.append(ExperimentCache())
    device = devices.resolve(batch.device)
    trainer = BatchTrainer(batch.engine, device, lambda: is_over or stop(), _turn_cache[0])
    with devices.compute_context(batch.threads, device):
        for spec in batch.specs:
            trained = list(trainer.run(replace(batch, specs=(spec,)), on_checkpoint))
            if not trained:
                return BatchResult(results, checkpoint)
            results += trained
            if time.monotonic() - began >= TURN_SECONDS:
                break
    return BatchResult(results)


class ExperimentCache:
    """Experiments whose rows are loaded once for all trials with the same data.

    When they become too many, all are dropped. Threads may share it; two may load the same rows at once.
    """

    def __init__(self) -> None:
        self._experiments: dict[tuple[Any, ...], Experiment] = {}
        self._bytes = 0

    def experiment(self, config: Config) -> Experiment:
        """Return the experiment of a config. Raises as `Experiment.of` does."""
        key = data_key(config)
        cached = self._experiments.get(key)
        if cached is not None:
            return cached.with_config(config)
        made = Experiment.of(config)
        if self._bytes >= CACHE_BYTES:
            self._experiments.clear()
            self._bytes = 0
        self._experiments[key] = made
        self._bytes += _size(made)
        return made


def _size(experiment: Experiment) -> int:
    arrays = [(one.inputs, one.targets, one.truth, *one.extra) for one in experiment.fixed.values()]
    return EXPERIMENT_BYTES + sum(array.nbytes for one in arrays for array in one)
