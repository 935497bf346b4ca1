"""How a run ends before its last epoch: a stop flag drops the unfinished epoch, a NaN the epoch it is in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun.engines.contract import never

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., Any]

STEPS = 3  # batches of 16 of 45 rows


class Flag:
    """Up after so many questions."""

    def __init__(self, questions: int) -> None:
        self.left = questions

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("questions", [0, 1, 2, 3, 4, 5, 9, 14, 22])
def test_a_stop_inside_an_epoch_drops_it(questions: int, experiment: Make, course: Make) -> None:
    """The flag is asked before each epoch and before each of its batches: four times an epoch."""
    training = {"batch_size": 16}
    made = experiment(optimizer={"name": "adam"}, architecture={"dropout": 0.2}, training=training)
    stopped = course(made, Flag(questions))
    stopped.advance(12)
    completed = questions // (STEPS + 1)
    assert stopped.stopped == "interrupted"
    assert stopped.epoch == completed
    straight = course(made)
    if completed:
        straight.advance(completed)
    straight.stopped = "interrupted"
    assert stopped.everything() == straight.everything()


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(experiment: Make, course: Make) -> None:
    made = experiment(training={"batch_size": 16})
    stopped = course(made, Flag(14))
    stopped.advance(12)
    assert stopped.stopped == "interrupted"
    stopped.reopen(stopped.state)
    stopped.stop, stopped.stopped = never, None
    assert stopped.finish().everything() == course(made).finish().everything()


DIVERGING = {
    "dataset": {"name": "regression", "features": 4, "split": {"train": 40, "dev": 10, "test": 10}},
    "architecture": {"hidden": [4], "activation": "relu"},
    "metrics": ["mae"],
}


def diverging(experiment: Make, **sections: Any) -> Any:
    return experiment(**{**DIVERGING, "optimizer": {"name": "sgd", "lr": 1.0}, **sections})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_run_that_diverges_ends_at_its_last_finite_epoch(
    seed: int, dtype: str, experiment: Make, course: Make
) -> None:
    made = diverging(experiment, training={"epochs": 100, "seed": seed, "dtype": dtype})
    run = course(made).finish()
    assert run.stopped == "diverged"
    assert 0 < run.epoch < 100
    assert all(np.isfinite(array).all() for array in run.state.model.values())
    assert all(math.isfinite(value) for row in run.rows for value in row)
    straight = course(made)
    straight.advance(run.epoch)
    straight.stopped = "diverged"
    assert run.everything() == straight.everything()


def test_where_a_chunk_ends_does_not_change_where_a_run_diverges(experiment: Make, course: Make) -> None:
    made = diverging(experiment, training={"epochs": 100, "batch_size": 10})
    whole = course(made).finish()
    pieces = course(made)
    while pieces.stopped is None:
        pieces.advance(min(100, pieces.epoch + 3))
    assert pieces.everything() == whole.everything()


def test_an_objective_that_overflows_diverges_though_the_loss_does_not(
    experiment: Make, course: Make
) -> None:
    """A penalty of 1e30 throws the weights far away; its square then leaves float32 at once."""
    made = experiment(penalty={"l2": 1e30}, optimizer={"lr": 0.1}, architecture={"activation": "logistic"})
    run = course(made).finish()
    assert run.stopped == "diverged"
    assert run.epoch <= 1


@pytest.mark.parametrize("epochs", [1, 5])
def test_weights_that_the_last_update_made_infinite_are_not_the_end_of_a_run(
    epochs: int, experiment: Make, course: Make
) -> None:
    """A logistic output hides an infinite weight from every loss: it is 0 or 1."""
    made = experiment(
        dataset={"name": "inline", "inputs": [[3.0], [1.0]], "targets": [0, 1]},
        architecture={"hidden": [], "bias": False, "output_activation": "logistic"},
        loss={"name": "mse", "scale": 1e4},
        optimizer={"lr": 3e38},
        training={"epochs": epochs},
    )
    run = course(made).finish()
    assert run.stopped == "diverged"
    assert all(np.isfinite(array).all() for array in run.state.model.values())


@pytest.mark.parametrize("optimizer", [{"lr": 1e300}, {"name": "adam", "lr": 3e38}])
def test_a_rate_beyond_the_runs_numbers_diverges(
    optimizer: dict[str, Any], experiment: Make, course: Make
) -> None:
    run = course(experiment(optimizer=optimizer)).finish()
    assert (run.stopped, run.epoch) == ("diverged", 0)


def test_an_exponential_schedule_that_overflows_diverges(experiment: Make, course: Make) -> None:
    made = experiment(schedule={"name": "exponential", "gamma": 1e200})
    assert course(made).finish().stopped == "diverged"


def test_a_start_whose_outputs_are_infinite_diverges_at_epoch_0(experiment: Make, course: Make) -> None:
    start = {"layers.0.weight": [[1e38, 1e38]] * 4}
    made = experiment(
        dataset={"name": "inline", "inputs": [[100.0, 100.0], [0.0, 1.0]], "targets": [0, 1]},
        architecture={"activation": "identity", "init": {"name": "values", "parameters": start}},
    )
    run = course(made).finish()
    assert (run.stopped, run.epoch, run.rows) == ("diverged", 0, [])
