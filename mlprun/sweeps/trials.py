"""Training of batches of trials, wherever an executor runs them; sweeps, plans and files are not known here.

A `TrialBatch` is plain data and can be pickled. `run_batch` trains its trials and yields a `TrialResult` for
each. A trial's bytes depend neither on the trials beside it nor on where it was interrupted, so it does not
matter how a cohort is divided into batches, which process trains which, and whether one is trained twice.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mlprun import config as reading
from mlprun import engines, schema
from mlprun.engines import RunFailure, State
from mlprun.engines import device as devices
from mlprun.engines.contract import RowTable
from mlprun.errors import OutOfMemoryError
from mlprun.experiment import (
    SPLITS,
    Experiment,
    InitialWeightCache,
    MetricComputer,
    SplitTensors,
    data_key,
    history_columns,
)
from mlprun.storage import provenance
from mlprun.sweeps.cohort_file import TrialResult
from mlprun.training.trainer import EXPECTED, translate_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.engines import ChunkResult
    from mlprun.engines.contract import Row, StopReason
    from mlprun.parts.architectures.network import Network
    from mlprun.schema import Config
    from mlprun.sweeps.cohort_file import Weights
    from mlprun.sweeps.cohorts import Cohort, TrialSpec
    from mlprun.sweeps.plan import Plan

CHUNK_SECONDS = 1.0
"""of training between two checkpoints of a trial"""
CACHE_BYTES = 2**26
"""of rows that are kept for other trials with the same data"""
EXPERIMENT_BYTES = 2**14
"""of an experiment beside its rows: its config and the engine's view of it among them"""
_ROOT = os.path.abspath(os.sep)
"""paths in pickled configs are relative to it"""
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
    first_chunks: tuple[int, ...]
    """epochs of each trial until its first checkpoint"""
    checkpoints: Mapping[int, TrialResult]
    """of the trials that were begun before, by trial"""
    budgets: Mapping[int, Budget]
    engine: str
    device: str
    threads: int

    @classmethod
    def of(
        cls, plan: Plan, cohort: Cohort, specs: Sequence[TrialSpec], resume: ResumeState, device: str
    ) -> TrialBatch:
        """Return the batch of some trials of a cohort."""
        kind, trials = cohort.kind, {one.trial for one in specs}
        return cls(
            tuple(specs),
            {setting: plan.shared_config(setting, kind.engine) for setting in {one.setting for one in specs}},
            tuple(first_chunk(kind.epochs, plan.cost_of(one).seconds) for one in specs),
            {trial: one for trial, one in resume.results.items() if trial in trials},
            {trial: one for trial, one in resume.budgets.items() if trial in trials},
            kind.engine,
            device,
            kind.threads,
        )

    def part(self, indices: Sequence[int]) -> TrialBatch:
        """Return the batch of some of these trials."""
        specs = tuple(self.specs[i] for i in indices)
        return replace(self, specs=specs, first_chunks=tuple(self.first_chunks[i] for i in indices))

    def rest(self, result: BatchResult) -> TrialBatch | None:
        """Return what is left to train after a result; None if nothing is."""
        done = {one.trial for one in result.results}
        left = [i for i, one in enumerate(self.specs) if one.trial not in done]
        if not left:
            return None
        newest = {} if result.checkpoint is None else {result.checkpoint.trial: result.checkpoint}
        return replace(self.part(left), checkpoints={**self.checkpoints, **newest})


class BatchResult(NamedTuple):
    """Results of the trials of a batch, and the checkpoint of the one that was interrupted, if any."""

    results: list[TrialResult]
    checkpoint: TrialResult | None = None


def first_chunk(epochs: int, seconds: float) -> int:
    """Return the epochs until the first checkpoint of a trial that is expected to take so many seconds."""
    return max(1, int(epochs * CHUNK_SECONDS / max(seconds, CHUNK_SECONDS)))


class BatchTrainer:
    """Trains batches of the trials of a cohort; threads may share it.

    `stop` is called between epochs: when it returns True, trials are paused where they are.
    """

    def __init__(
        self, engine: str, device: str, stop: Callable[[], bool], cache: ExperimentCache | None = None
    ) -> None:
        self.engine, self.device, self.stop = engines.named(engine), device, stop
        self.cache = ExperimentCache() if cache is None else cache
        self.starts, self._local = InitialWeightCache(), threading.local()

    @property
    def evaluator(self) -> Evaluator:
        """The evaluator of the calling thread."""
        evaluator: Evaluator = self._local.__dict__.setdefault("evaluator", Evaluator(self.device))
        return evaluator

    def run(self, batch: TrialBatch, on_checkpoint: Callable[[TrialResult], None]) -> Iterator[TrialResult]:
        """Train the trials of a batch and yield the result of each, unless it is stopped before its end.

        An error of a trial is its result, and leaves the others alone. `on_checkpoint` receives the
        checkpoints of a trial between its chunks of epochs, and when it is stopped.

        Short trials go through each step together, since their cost is mostly code that is not in the CPU's
        cache. Results are yielded at the latest when CHUNK_SECONDS have passed and a trial has ended.
        """
        runs = [_Run(self, batch, index, on_checkpoint) for index in range(len(batch.specs))]
        alone = _PYTHON if len(runs) > 1 else nullcontext()
        with alone:
            for step in (_Run.load, _Run.initialize, _Run.open):
                for run in runs:
                    run.do(step)
        trained: list[_Run] = []
        began = time.perf_counter()
        for run in runs:
            run.do(_Run.advance)
            trained.append(run)
            if run is runs[-1] or time.perf_counter() - began >= CHUNK_SECONDS:
                with alone:
                    for one in trained:
                        one.do(_Run.evaluate)
                yield from (one.result for one in trained if one.result is not None)
                trained, began = [], time.perf_counter()


BATCH_SECONDS = 5.0
"""of training in a batch for a remote worker, as expected"""
TURN_SECONDS = 5.0
"""of training until a remote worker returns its results: the work that is lost when it dies"""
TURN_BYTES_PER_SECOND = 4e6
"""a turn is a second longer for each so many bytes of the interrupted trial's checkpoint"""


def by_seconds(plan: Plan, cohort: Cohort, resume: ResumeState, device: str) -> Iterator[TrialBatch]:
    """Divide the trials of a cohort that have not ended into batches of BATCH_SECONDS."""
    specs: list[TrialSpec] = []
    seconds = 0.0
    for spec in resume.to_train(cohort):
        cost = plan.cost_of(spec).seconds
        if specs and seconds + cost > BATCH_SECONDS:
            yield TrialBatch.of(plan, cohort, specs, resume, device)
            specs, seconds = [], 0.0
        specs.append(spec)
        seconds += cost
    if specs:
        yield TrialBatch.of(plan, cohort, specs, resume, device)


def differing_versions(versions: Mapping[str, str | None]) -> str:
    """Return the versions of libraries that differ on this machine; empty if none do."""
    here = provenance.versions()
    return ", ".join(
        f"{name} {here.get(name)} in place of {version}"
        for name, version in versions.items()
        if here.get(name) != version
    )


def run_turn(batch: TrialBatch) -> BatchResult:
    """Train trials of a batch one by one for TURN_SECONDS, the first of them for a chunk at least.

    Raises DeviceError if the device is missing.
    """
    began, results = time.monotonic(), list[TrialResult]()
    checkpoint: TrialResult | None = None
    is_over = False

    def on_checkpoint(one: TrialResult) -> None:
        nonlocal checkpoint, is_over
        checkpoint = one
        is_over = time.monotonic() - began >= TURN_SECONDS + _checkpoint_bytes(one) / TURN_BYTES_PER_SECOND

    trainer = BatchTrainer(batch.engine, devices.resolve(batch.device), lambda: is_over)
    with devices.computing(batch.threads, trainer.device):
        for index in range(len(batch.specs)):
            trained = list(trainer.run(batch.part([index]), on_checkpoint))
            if not trained:
                return BatchResult(results, checkpoint)
            results += trained
            if time.monotonic() - began >= TURN_SECONDS:
                break
    return BatchResult(results)


def _checkpoint_bytes(one: TrialResult) -> int:
    assert one.state is not None
    assert one.history is not None
    groups = (one.state.model, one.state.optimizer_state, one.best or {}, {"history": one.history})
    return sum(array.nbytes for arrays in groups for array in arrays.values())


class _Run:
    """A trial while it is trained, by the steps `load`, `initialize`, `open`, `advance` and `evaluate`."""

    experiment: Experiment
    state: State
    end: int
    """the epoch up to which it is trained"""
    stopped: StopReason | None = None
    result: TrialResult | None = None

    def __init__(
        self,
        trainer: BatchTrainer,
        batch: TrialBatch,
        index: int,
        on_checkpoint: Callable[[TrialResult], None],
    ) -> None:
        self.trainer, self.batch, self.on_checkpoint = trainer, batch, on_checkpoint
        self.spec, self.chunk, self.is_over = batch.specs[index], batch.first_chunks[index], False
        trial = self.spec.trial
        self.budget = batch.budgets.get(trial)
        self.checkpoint = batch.checkpoints.get(trial) or TrialResult(trial, "paused")
        self.histories = [] if self.checkpoint.history is None else [self.checkpoint.history]
        self.best, self.best_epoch = self.checkpoint.best, self.checkpoint.best_epoch
        self.before, self.began = self.checkpoint.seconds, 0.0
        self.cohort: Any = None

    def do(self, step: Callable[[_Run], None]) -> None:
        """Do one step, unless the trial has failed or was stopped before."""
        if self.is_over:
            return
        self.began = time.perf_counter()
        try:
            step(self)
        except Exception as error:
            translated = translate_error(error)
            if not isinstance(translated, EXPECTED):
                raise
            if isinstance(translated, OutOfMemoryError):
                self.result = replace(self.checkpoint, status="out_of_memory")
            else:
                line = " ".join(str(translated).split()) or type(translated).__name__
                self.result = TrialResult(self.spec.trial, "failed", seconds=self.seconds, error=line)
            self.is_over, self.cohort = True, None
        self.before = self.seconds

    @property
    def seconds(self) -> float:
        """The time that the trial has taken up to now, in earlier sessions too."""
        return self.before + time.perf_counter() - self.began

    def load(self) -> None:
        """Load the rows."""
        shared, spec = self.batch.configs[self.spec.setting], self.spec
        self.experiment = self.trainer.cache.experiment(shared.of_trial(spec.seed, spec.fold))
        self.width = len(history_columns(self.experiment.config))
        epochs = self.experiment.config.training.epochs
        self.end = epochs if self.budget is None else min(epochs, self.budget.epoch)

    def initialize(self) -> None:
        """Draw the initial weights, or take the state of the checkpoint."""
        state = self.checkpoint.state
        self.state = State(0, self.trainer.starts.model(self.experiment)) if state is None else state
        if self.state.epoch == self.experiment.config.training.epochs:
            self.stopped = "finished"

    def open(self) -> None:
        """Open the run in the engine."""
        if self.stopped is None and self.state.epoch < self.end:
            trainer = self.trainer
            self.cohort = trainer.engine.open([self.experiment], [self.state], device=trainer.device)

    def advance(self) -> None:
        """Train chunk by chunk, with a checkpoint after each but the last."""
        trainer, epoch, length = self.trainer, self.state.epoch, self.chunk
        self.is_over = self.stopped is None and epoch < self.end and trainer.stop()
        if self.is_over:
            return
        while self.stopped is None and epoch < self.end:
            start = time.perf_counter()
            (chunk,) = trainer.engine.advance(self.cohort, [min(self.end, epoch + length)], trainer.stop)
            if isinstance(chunk, RunFailure):
                raise chunk.error
            took = max(time.perf_counter() - start, 1e-6)
            length = max(1, min(4 * length, math.ceil((chunk.epoch - epoch) * CHUNK_SECONDS / took)))
            epoch = chunk.epoch
            self._collect(chunk)
            (self.state,) = trainer.engine.states(self.cohort, [0])
            self.stopped = chunk.stopped
            if self.stopped is None or self.stopped == "interrupted":
                self.checkpoint = self._paused({})
                self.on_checkpoint(self.checkpoint)
        self.cohort, self.is_over = None, self.stopped == "interrupted"

    def _collect(self, chunk: ChunkResult) -> None:
        if chunk.rows:
            self.histories.append(as_table(chunk.rows, self.width))
        if chunk.best is not None:
            self.best, self.best_epoch = chunk.best.model, chunk.best.epoch

    @property
    def history(self) -> NDArray[np.float64]:
        """All rows so far."""
        if len(self.histories) != 1:
            self.histories = [np.concatenate(self.histories) if self.histories else np.zeros((0, self.width))]
        return self.histories[0]

    def _paused(self, figures: Mapping[str, float]) -> TrialResult:
        return TrialResult(
            self.spec.trial,
            "paused",
            self.state.epoch,
            self.best_epoch,
            self.seconds,
            None,
            figures,
            self.history,
            self.best,
            state=self.state,
        )

    def evaluate(self) -> None:
        """Evaluate the best and the last epoch, which completes the result."""
        evaluator, state = self.trainer.evaluator, self.state
        last = evaluator.metrics(self.experiment, state.model, state.epoch)
        is_last = self.best is None or self.best_epoch is None or self.best_epoch == state.epoch
        best = last if is_last else evaluator.metrics(self.experiment, self.best or {}, self.best_epoch or 0)
        result = self._paused({**best, **{f"last_{name}": value for name, value in last.items()}})
        if self.stopped is not None or (self.budget is not None and self.budget.pruned):
            status: Any = self.stopped or "pruned"
            result = replace(result, status=status, last=state.model, state=None)
        self.result = result


def as_table(rows: Sequence[Row], width: int) -> NDArray[np.float64]:
    """Return history rows as [rows, width] float64, nan for values that were not evaluated."""
    if isinstance(rows, RowTable):
        return rows.table()
    if not rows:
        return np.zeros((0, width))
    return np.array([[math.nan if value is None else value for value in row] for row in rows], np.float64)


class Evaluator:
    """Computes the metrics of trials, with networks that are built once for each architecture.

    They are those of `mlprun train`, without tables and baselines.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._networks: dict[tuple[Any, ...], tuple[Network, dict[str, torch.Tensor]]] = {}

    def metrics(self, experiment: Experiment, weights: Weights, epoch: int) -> dict[str, float]:
        """Return `train_loss`, `train_accuracy`, ... of a model after `epoch` epochs."""
        network, parameters = self._network(experiment)
        for name, values in weights.items():
            parameters[name].copy_(torch.from_numpy(np.asarray(values)))
        computer, computed = MetricComputer(experiment), dict[int, dict[str, float]]()
        metrics: dict[str, float] = {}
        for split in SPLITS:
            if experiment.has(split):
                rows = experiment.rows(split, epoch=epoch)
                if id(rows) not in computed:  # splits may be the same rows
                    computed[id(rows)] = computer.evaluate(network, SplitTensors.of(rows, self._device))
                metrics |= {f"{split}_{name}": value for name, value in computed[id(rows)].items()}
        return metrics

    def _network(self, experiment: Experiment) -> tuple[Network, dict[str, torch.Tensor]]:
        architecture = experiment.config.architecture.model_dump_json()
        key = (architecture, experiment.width, experiment.dtype)
        if key not in self._networks:
            network = experiment.blank_network().to(self._device).eval()
            state = {name: tensor.detach() for name, tensor in network.state_dict().items()}
            self._networks[key] = (network, state)
        return self._networks[key]


class ExperimentCache:
    """Experiments whose rows are loaded once for all trials with the same data.

    When they become too many, the least recently used are dropped. Threads may share it.
    """

    def __init__(self) -> None:
        self._experiments: OrderedDict[tuple[Any, ...], Experiment] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def experiment(self, config: Config) -> Experiment:
        """Return the experiment of a config. Raises as `Experiment.of` does."""
        key = data_key(config)
        with self._lock:
            cached = self._experiments.get(key)
            if cached is not None:
                self._experiments.move_to_end(key)
        if cached is not None:
            return cached.with_config(config)
        made = Experiment.of(config)
        with self._lock:
            if key not in self._experiments:  # another thread may have loaded the same rows meanwhile
                self._experiments[key] = made
                self._bytes += _size(made)
            while self._bytes > CACHE_BYTES and len(self._experiments) > 1:
                self._bytes -= _size(self._experiments.popitem(last=False)[1])
        return made


def _size(experiment: Experiment) -> int:
    arrays = [(one.inputs, one.targets, one.truth, *one.extra) for one in experiment.fixed.values()]
    return EXPERIMENT_BYTES + sum(array.nbytes for one in arrays for array in one)
