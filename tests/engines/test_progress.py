"""Best, patience and plateau: pure functions, against closed forms and torch's ReduceLROnPlateau."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from mlprun.engines.contract import Plateau, Progress
from mlprun.engines.epoch_protocol import improves, observe, observe_plateau, out_of_patience
from mlprun.parts.schedules import ReduceOnPlateau
from mlprun.storage import canonical

if TYPE_CHECKING:
    from collections.abc import Callable


def followed(values: list[float], mode: str) -> Progress:
    progress = Progress()
    for epoch, value in enumerate(values, 1):
        progress = observe(progress, epoch, value, mode)
    return progress


@pytest.mark.parametrize(
    ("mode", "values", "epoch", "value"),
    [
        ("min", [3.0, 2.0, 2.0, 2.5], 2, 2.0),  # an equal value is not better: the first one stays
        ("max", [0.5, 0.7, 0.7, 0.6], 2, 0.7),
        ("min", [math.nan, 4.0, math.nan], 2, 4.0),
        ("max", [-3.0, -1.0], 2, -1.0),
        ("max", [0.0], 1, 0.0),  # any number is better than none, 0 too
    ],
)
def test_the_best_is_the_first_of_the_best(mode: str, values: list[float], epoch: int, value: float) -> None:
    progress = followed(values, mode)
    assert (progress.best_epoch, progress.best_value) == (epoch, value)


def test_nan_is_neither_the_best_nor_a_sign_of_no_improvement() -> None:
    assert followed([math.nan, math.nan], "min") == Progress(undefined=2)
    values = [2.0, math.nan, math.nan, 3.0, math.nan]
    for every in (1, 4):
        progress = Progress()
        for number, value in enumerate(values, 1):
            progress = observe(progress, number * every, value, "min")
        # two evaluations without improvement are left: at the fourth, and those of the nan are not counted
        assert [out_of_patience(progress, 5 * every, limit, every=every) for limit in (every, every + 1)] == [
            True,
            False,
        ]
    assert followed([*values, 1.0], "min") == Progress(6, 1.0)
    plateau = Progress(plateau=Plateau(best=1.0, bad_evaluations=1, cooldown_left=1))
    schedule = ReduceOnPlateau(name="reduce_on_plateau", patience=0)
    assert observe_plateau(plateau, math.nan, "min", schedule, lr=0.1) == plateau
    assert not improves(math.nan, None, "max")


@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_best_of_many_values_is_numpys(mode: str) -> None:
    values = np.random.RandomState(3).randint(0, 20, 200).astype(float)
    found = values.argmin() if mode == "min" else values.argmax()
    assert followed(list(values), mode).best_epoch == found + 1


def test_patience_counts_epochs_since_the_best() -> None:
    progress = Progress(best_epoch=7, best_value=1.0)
    assert [out_of_patience(progress, epoch, 3) for epoch in (7, 8, 9, 10, 11)] == [False] * 3 + [True] * 2
    assert not out_of_patience(progress, 10_000, None)


def test_progress_survives_a_checkpoint() -> None:
    progress = Progress(3, 0.1 + 0.2, Plateau(1e-3, math.inf, 2, 1))
    assert Progress.from_json(canonical.decode(canonical.encode(progress.to_json()))) == progress
    assert Progress.from_json(canonical.decode(canonical.encode(Progress().to_json()))) == Progress()


def torchs_rates(options: dict[str, Any], mode: str, values: list[float], lr: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, **options)
    rates = []
    for value in values:
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("seed", range(40))
def test_the_plateau_cuts_where_torchs_does(seed: int) -> None:
    """Values are positive and fall slowly with noise; options are drawn. torch sees no nan."""
    state = np.random.RandomState(seed)
    options = {
        "factor": float(state.choice([0.1, 0.5, 0.9])),
        "patience": int(state.randint(0, 4)),
        "threshold": float(state.choice([0.0, 1e-4, 0.05])),
        "threshold_mode": str(state.choice(["rel", "abs"])),
        "cooldown": int(state.randint(0, 3)),
        "min_lr": float(state.choice([0.0, 1e-3])),
        "eps": float(state.choice([1e-8, 0.02])),
    }
    mode = ("min", "max")[seed % 2]
    values = np.abs(np.exp(-np.arange(80) / 40) + 0.05 * state.randn(80)).round(2)  # rounded: ties
    values[state.randint(1, 80, 3)] = math.nan
    if mode == "max":
        values = 2 - values
    lr, schedule, progress, rates = 0.3, ReduceOnPlateau(**options), Progress(), []
    for value in values:
        progress = observe_plateau(progress, float(value), mode, schedule, lr=lr)
        rates.append(lr * progress.plateau.factor)
    seen = ~np.isnan(values)
    expected = np.array([lr, *torchs_rates(options, mode, list(values[seen]), lr)])[np.cumsum(seen)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert len(set(expected)) > 1  # otherwise nothing was compared


@pytest.mark.parametrize("evaluate_every", [1, 3])
def test_a_run_with_a_plateau_has_torchs_rates(
    evaluate_every: int, experiment: Callable[..., Any], course: Callable[..., Any]
) -> None:
    options = {"factor": 0.5, "patience": 1, "threshold": 0.02}
    made = experiment(
        schedule={"name": "reduce_on_plateau", **options},
        training={"epochs": 60, "evaluate_every": evaluate_every},
    )
    rows = np.array(course(made).finish().rows, dtype=float)
    rates, dev = rows[:, 1], rows[:, 5]
    seen = ~np.isnan(dev)
    assert seen.sum() == 60 // evaluate_every
    cuts = torchs_rates(options, "min", list(dev[seen]), 0.5)
    # an epoch's rate is what the evaluations before it made of it
    expected = [0.5 if not seen[:epoch].any() else cuts[seen[:epoch].sum() - 1] for epoch in range(60)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert len(set(rates)) > 2


def test_early_stopping_waits_its_epochs_and_keeps_the_best(
    experiment: Callable[..., Any], course: Callable[..., Any]
) -> None:
    made = experiment(
        optimizer={"lr": 30.0}, training={"epochs": 300, "dtype": "float64"}, early_stopping={"patience": 5}
    )
    run = course(made).finish()
    dev = [row[5] for row in run.rows]
    assert run.stopped == "early_stopping"
    assert run.epoch == len(dev) == int(np.argmin(dev)) + 1 + 5
    assert run.best.epoch == int(np.argmin(dev)) + 1
    assert run.best.metrics["loss"] == min(dev)


def test_the_best_model_is_that_of_its_epoch(
    experiment: Callable[..., Any], course: Callable[..., Any]
) -> None:
    made = experiment(best={"metric": "dev_accuracy"}, training={"epochs": 30})
    run = course(made).finish()
    assert run.best.epoch < 30
    there = course(made)
    there.advance(run.best.epoch)
    for name, array in there.state.model.items():
        np.testing.assert_array_equal(run.best.model[name], array)
    assert run.best.metrics["accuracy"] == there.cohort[0].evaluate()["accuracy"]


def test_patience_is_looked_at_only_when_dev_is(
    experiment: Callable[..., Any], course: Callable[..., Any]
) -> None:
    made = experiment(
        optimizer={"lr": 30.0},
        training={"epochs": 300, "evaluate_every": 4, "dtype": "float64"},
        early_stopping={"patience": 5},
    )
    run = course(made).finish()
    assert run.stopped == "early_stopping"
    assert run.epoch % 4 == 0
    assert run.epoch - run.best.epoch == 8  # after 4 epochs there was still patience


def keras_stop(values: list[float], mode: str, delta: float, patience: int) -> int | None:
    """The epoch at which keras.callbacks.EarlyStopping ends a training, written out."""
    sign, best, wait = (1.0 if mode == "min" else -1.0), math.inf, 0
    for epoch, value in enumerate(values, 1):
        wait += 1
        if sign * value + delta < best:
            best, wait = sign * value, 0
        if wait >= patience:
            return epoch
    return None


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("delta", [0.0, 0.03, 0.3])
def test_patience_counts_from_improvements_by_more_than_min_delta_as_in_keras(
    mode: str, delta: float
) -> None:
    sign = 1.0 if mode == "min" else -1.0
    random = np.random.default_rng(3)
    for _ in range(20):
        values = (sign * np.cumsum(random.normal(-0.02, 0.1, 60))).tolist()
        progress, stopped = Progress(), None
        for epoch, value in enumerate(values, 1):
            progress = observe(progress, epoch, value, mode, delta)
            stored = canonical.decode(canonical.encode(progress.to_json()))
            assert Progress.from_json(stored) == progress
            if stopped is None and out_of_patience(progress, epoch, 7):
                stopped = epoch
        assert stopped == keras_stop(values, mode, delta, 7)
        best = min(values, key=lambda value: sign * value)
        assert (progress.best_value, progress.best_epoch) == (best, values.index(best) + 1)


@pytest.mark.parametrize("reference", [[3], [-1, 0.5], [1, "x"], [1, math.nan], [1.5, 0.5]])
def test_a_forged_reference_is_refused(reference: list[Any]) -> None:
    stored = {**Progress(2, 0.5).to_json(), "reference": reference}
    with pytest.raises(ValueError, match="its progress"):
        Progress.from_json(stored)
