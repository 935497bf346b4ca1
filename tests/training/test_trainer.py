"""The trainer: cohorts of many runs, ends and failures of each, chunks, and histories in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun import api, engines
from mlprun.errors import CheckpointError
from mlprun.experiment import Experiment
from mlprun.training.trainer import Callback, ChunkScheduler, HistoryRecorder, Trainer, TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Experiment]

NAMES = ("torch", "fused", "scratch")


@pytest.fixture
def make() -> Make:
    def of(**sections: Any) -> Experiment:
        base = {
            "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
            "architecture": {"hidden": [4]},
            "training": {"epochs": 12, "dtype": "float64", **sections.pop("training", {})},
        }
        return Experiment.of(api.load_config({**base, **sections}))

    return of


def run_of(engine: Any, experiment: Experiment, **options: Any) -> TrainingRun:
    return TrainingRun(experiment, engine.initial_state(experiment), **options)


def weights(run: TrainingRun) -> Any:
    return {name: array.tobytes() for name, array in run.state.model.items()}


@pytest.mark.parametrize("name", NAMES)
def test_runs_of_a_cohort_have_ends_of_their_own_and_the_bytes_of_runs_alone(name: str, make: Make) -> None:
    engine, experiments = engines.named(name), [make(training={"seed": seed}) for seed in range(4)]
    ends = (0, 5, 12, 12)
    histories = [HistoryRecorder() for _ in ends]
    runs = [
        run_of(engine, one, until=end, callbacks=[history])
        for one, end, history in zip(experiments, ends, histories, strict=True)
    ]
    Trainer(engine, runs, scheduler=ChunkScheduler(first=3)).fit()
    assert [run.epoch for run in runs] == [run.state.epoch for run in runs] == list(ends)
    assert [run.stop_reason for run in runs] == [None, None, "finished", "finished"]
    for experiment, run, history in zip(experiments, runs, histories, strict=True):
        alone = run_of(engine, experiment, until=run.until, callbacks=[also := HistoryRecorder()])
        Trainer(engine, [alone]).fit()
        assert weights(alone) == weights(run)
        np.testing.assert_array_equal(also.table, history.table)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_whose_end_is_raised_is_trained_on(name: str, make: Make) -> None:
    engine, experiment = engines.named(name), make()
    run, whole = run_of(engine, experiment, until=0), run_of(engine, experiment)
    trainer = Trainer(engine, [run])
    for _ in range(4):
        run.until += 3
        trainer.fit()
    Trainer(engine, [whole]).fit()
    assert (run.stop_reason, run.best.epoch) == (whole.stop_reason, whole.best.epoch)  # type: ignore[union-attr]
    assert weights(run) == weights(whole)


class Failing(Callback):
    """Fails in one event."""

    def __init__(self, event: str) -> None:
        self._event = event

    def on_train_start(self, run: Any) -> None:
        if self._event == "on_train_start":
            raise ValueError("at the start")

    def on_epoch_end(self, run: Any, epoch: int, metrics: Any) -> None:
        if self._event == "on_epoch_end" and epoch == 4:
            raise ValueError("in epoch 4")


@pytest.mark.parametrize(("event", "message"), [("on_train_start", "start"), ("on_epoch_end", "epoch 4")])
def test_a_run_that_fails_leaves_the_others_of_its_cohort_alone(event: str, message: str, make: Make) -> None:
    engine = engines.named("fused")
    runs = [run_of(engine, make(), callbacks=[Failing(event)] if i == 1 else ()) for i in range(3)]
    Trainer(engine, runs).fit()
    assert [run.stop_reason for run in runs] == ["finished", None, "finished"]
    assert weights(runs[0]) == weights(runs[2])
    with pytest.raises(ValueError, match=message):
        runs[1].raise_for_error()


def test_a_failure_in_the_engine_is_that_runs_alone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, broken = engines.named("scratch"), make(training={"seed": 1})
    runs = [run_of(engine, one) for one in (make(), broken, make())]
    rows = type(broken).rows

    def failing(self: Experiment, split: str, *, epoch: int) -> Any:
        if self is broken and epoch == 5:
            raise MemoryError
        return rows(self, split, epoch=epoch)

    monkeypatch.setattr(Experiment, "rows", failing)
    Trainer(engine, runs).fit()
    assert [type(run.error) for run in runs] == [type(None), MemoryError, type(None)]
    assert [run.stop_reason for run in runs] == ["finished", None, "finished"]


def test_a_state_that_cannot_be_opened_fails_its_run_alone(make: Make) -> None:
    engine = engines.named("torch")
    runs = [run_of(engine, make()) for _ in range(3)]
    runs[1].move_to(0, engine.initial_state(make(architecture={"hidden": [7]})))
    Trainer(engine, runs).fit()
    assert [run.error is None for run in runs] == [True, False, True]
    assert runs[0].stop_reason == runs[2].stop_reason == "finished"


def test_a_crafted_optimizer_state_is_told_as_such(make: Make) -> None:
    engine = engines.named("torch")
    run, sound = run_of(engine, make(), checkpoint="last.safetensors"), run_of(engine, make())
    run.move_to(3, replace(run.state, epoch=3, optimizer_meta=[{"no parameter": {"of": {}}}]))
    Trainer(engine, [run, sound]).fit()
    with pytest.raises(CheckpointError, match=r"last\.safetensors: holds an optimizer's state that is none"):
        run.raise_for_error()
    assert sound.stop_reason == "finished"


def test_a_stop_interrupts_every_run(make: Make) -> None:
    engine = engines.named("torch")
    runs = [run_of(engine, make()) for _ in range(2)]
    Trainer(engine, runs, stop=lambda: True).fit()
    assert [(run.stop_reason, run.epoch) for run in runs] == [("interrupted", 0)] * 2


def test_a_history_in_memory_has_the_columns_of_the_files(make: Make) -> None:
    engine, history = engines.named("torch"), HistoryRecorder()
    run = run_of(engine, make(training={"evaluate_every": 5}), callbacks=[history])
    Trainer(engine, [run], scheduler=ChunkScheduler()).fit()
    assert history.columns["epoch"].tolist() == list(range(1, 13))
    assert np.isnan(history.columns["dev_loss"]).tolist() == [
        epoch not in (5, 10, 12) for epoch in range(1, 13)
    ]
    assert history.columns["dev_loss"][run.best.epoch - 1] == run.best.metrics["loss"]  # type: ignore[union-attr]


def test_chunks_take_about_their_seconds_and_grow_no_more_than_fourfold() -> None:
    scheduler = ChunkScheduler(first=1, seconds=0.25)
    lengths = []
    for _ in range(8):
        scheduler.update(scheduler.epochs, 0.001 * scheduler.epochs)
        lengths.append(scheduler.epochs)
    assert lengths[:3] == [4, 16, 64]
    assert set(lengths[4:]) == {250}
    scheduler.update(250, 1e9)
    assert scheduler.epochs == 1
