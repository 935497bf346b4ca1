"""Schedules against torch.optim.lr_scheduler: the learning rate before each epoch."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch.optim import lr_scheduler

from mlprun.parts.schedules import EpochSchedule, ReduceOnPlateau, schedules

LR, EPOCHS = 0.3, 40


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)


def torch_rates(make, epochs=EPOCHS):
    """The learning rate before each epoch under one of torch's schedulers."""
    target = optimizer()
    scheduler = make(target)
    rates = []
    for _ in range(epochs):
        rates.append(target.param_groups[0]["lr"])
        target.step()
        scheduler.step()
    return rates


def warm(then):
    """Four epochs of warm-up in front of another of torch's schedulers."""
    return lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, start_factor=0.2, total_iters=4), then(o)], milestones=[4]
    )


CASES = {
    "constant": ({"name": "constant"}, lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": ({"name": "step", "step_size": 7}, lambda o: lr_scheduler.StepLR(o, 7)),
    "step, gamma": ({"name": "step", "step_size": 1, "gamma": 1.1}, lambda o: lr_scheduler.StepLR(o, 1, 1.1)),
    "multi_step": (
        {"name": "multi_step", "milestones": (20, 5, 6), "gamma": 0.5},
        lambda o: lr_scheduler.MultiStepLR(o, [20, 5, 6], 0.5),
    ),
    "exponential": ({"name": "exponential", "gamma": 0.9}, lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    "inverse": (
        {"name": "inverse", "rate": 0.5, "power": 2.0},
        lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + 0.5 * epoch) ** 2),
    ),
    "polynomial": ({"name": "polynomial"}, lambda o: lr_scheduler.PolynomialLR(o, total_iters=EPOCHS)),
    "polynomial, shorter": (
        {"name": "polynomial", "power": 2.0, "total_iters": 15},
        lambda o: lr_scheduler.PolynomialLR(o, total_iters=15, power=2.0),
    ),
    "cosine": ({"name": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS)),
    "cosine, there and back": (
        {"name": "cosine", "t_max": 9, "eta_min": 0.1},
        lambda o: lr_scheduler.CosineAnnealingLR(o, 9, eta_min=0.1 * LR),
    ),
    "cosine_restarts": (
        {"name": "cosine_restarts", "t_0": 6},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 6),
    ),
    "cosine_restarts, longer": (
        {"name": "cosine_restarts", "t_0": 3, "t_mult": 2, "eta_min": 0.1},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.1 * LR),
    ),
    "one_cycle": (
        {"name": "one_cycle"},
        lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=EPOCHS + 1, cycle_momentum=False),
    ),
    "one_cycle, linear": (
        {
            "name": "one_cycle",
            "max_factor": 2.0,
            "pct_start": 0.5,
            "div_factor": 4.0,
            "final_div_factor": 10.0,
            "anneal_strategy": "linear",
        },
        lambda o: lr_scheduler.OneCycleLR(
            o,
            2 * LR,
            total_steps=EPOCHS + 1,
            pct_start=0.5,
            div_factor=4.0,
            final_div_factor=10.0,
            anneal_strategy="linear",
            cycle_momentum=False,
        ),
    ),
    "one_cycle, falling only": (
        {"name": "one_cycle", "pct_start": 0.0},
        lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=EPOCHS + 1, pct_start=0.0, cycle_momentum=False),
    ),
    "one_cycle, rising only": (
        {"name": "one_cycle", "pct_start": 1.0},
        lambda o: lr_scheduler.OneCycleLR(o, LR, total_steps=EPOCHS + 1, pct_start=1.0, cycle_momentum=False),
    ),
    "warmup": ({"name": "warmup"}, lambda o: lr_scheduler.LinearLR(o)),
    "warmup, step": (
        {"name": "warmup", "epochs": 4, "start_factor": 0.2, "then": {"name": "step", "step_size": 5}},
        warm(lambda o: lr_scheduler.StepLR(o, 5)),
    ),
    "warmup, cosine": (
        {"name": "warmup", "epochs": 4, "start_factor": 0.2, "then": "cosine"},
        warm(lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS - 4)),
    ),
}


def build(config):
    return schedules[config["name"]].model_validate(config)


def test_every_schedule_of_the_epoch_is_compared_with_torch():
    compared = {config["name"] for config, _ in CASES.values()}
    assert compared == {part.names()[0] for part in schedules if not part.plateau}
    assert [part for part in schedules if part.plateau] == [ReduceOnPlateau]


@pytest.mark.parametrize("case", CASES)
def test_learning_rates_are_those_of_torch(case):
    config, make = CASES[case]
    # one_cycle ends at its last step: torch takes one more to be stepped after the last epoch
    total = EPOCHS + 1 if config["name"] == "one_cycle" else EPOCHS
    schedule = build(config)
    rates = [LR * schedule.factor(epoch, total) for epoch in range(EPOCHS)]
    assert rates == pytest.approx(torch_rates(make), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_only_schedules_that_say_so_depend_on_the_number_of_epochs(case):
    schedule = build(CASES[case][0])
    short, long = ([schedule.factor(epoch, total) for epoch in range(10)] for total in (20, 90))
    assert (short != long) == schedule.depends_on_total


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("total", [1, 2, 3, 10])
def test_factors_are_finite_and_not_negative_for_runs_of_any_length(case, total):
    schedule = build(CASES[case][0])
    factors = [schedule.factor(epoch, total) for epoch in range(total + 1)]
    assert all(math.isfinite(factor) and factor >= 0 for factor in factors)


@pytest.mark.parametrize("case", CASES)
def test_a_schedule_survives_being_written_and_read(case):
    schedule = build(CASES[case][0])
    assert type(schedule).model_validate(schedule.model_dump()) == schedule


def test_one_cycle_reaches_its_peak_when_the_rise_is_a_single_epoch():
    assert build({"name": "one_cycle", "pct_start": 0.1}).factor(0, 10) == 1.0


def test_growth_without_bounds_is_infinite_and_no_error():
    assert build({"name": "exponential", "gamma": 10.0}).factor(400, 500) == math.inf


def test_a_plateau_cannot_follow_a_warm_up():
    with pytest.raises(ValidationError, match="reduce_on_plateau cannot follow a warm-up"):
        build({"name": "warmup", "then": "reduce_on_plateau"})


def plateau_rates(schedule, values, mode):
    """The learning rate after each value, by the rules of the schedule and a state as simple as can be."""
    factor, best, bad, cooldown, rates = 1.0, None, 0, 0, []
    for value in values:
        if schedule.improves(value, best, mode):
            best, bad = value, 0
        else:
            bad += 1
        if cooldown:
            cooldown, bad = cooldown - 1, 0
        if bad > schedule.patience:
            factor, bad, cooldown = schedule.cut(factor, LR), 0, schedule.cooldown
        rates.append(LR * factor)
    return rates


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 2},
        {"patience": 0, "factor": 0.5, "threshold": 0.2, "cooldown": 3},
        {"patience": 1, "factor": 0.5, "threshold": 0.1, "threshold_mode": "abs", "min_lr": 0.02},
        {"patience": 0, "factor": 0.5, "eps": 0.03},
        {"patience": 0, "min_lr": 2 * LR},
    ],
)
def test_cuts_on_a_plateau_are_those_of_torch(options, mode):
    values = [1 + 0.5 * math.sin(epoch) / (1 + epoch / 9) for epoch in range(60)]
    target = optimizer()
    scheduler = lr_scheduler.ReduceLROnPlateau(target, mode, **options)
    expected = []
    for value in values:
        scheduler.step(value)
        expected.append(target.param_groups[0]["lr"])
    assert plateau_rates(ReduceOnPlateau(**options), values, mode) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_negative_figure_must_beat_the_best_by_the_threshold_too(mode):
    schedule = ReduceOnPlateau(threshold=0.1)
    better, hardly = (-1.2, -1.05) if mode == "min" else (-0.8, -0.95)
    assert schedule.improves(better, -1.0, mode)
    assert not schedule.improves(hardly, -1.0, mode)
    assert not schedule.improves(-1.0, -1.0, mode)


def test_any_number_beats_none_and_infinity_and_nan_beats_nothing():
    schedule = ReduceOnPlateau()
    assert schedule.improves(5.0, None, "min")
    assert schedule.improves(5.0, math.inf, "min")
    assert schedule.improves(-5.0, -math.inf, "max")
    assert not schedule.improves(math.nan, None, "min")
    assert not schedule.improves(math.nan, 1.0, "min")


def test_defaults_of_the_plateau_are_torchs():
    reference = lr_scheduler.ReduceLROnPlateau(optimizer())
    schedule = ReduceOnPlateau()
    for option in ("factor", "patience", "threshold", "threshold_mode", "cooldown", "eps"):
        assert getattr(schedule, option) == getattr(reference, option)
    assert reference.min_lrs == [schedule.min_lr]


def test_every_option_is_described():
    for part in schedules:
        assert all(field.description for key, field in part.model_fields.items() if key != "name"), part


def test_only_schedules_of_the_epoch_have_a_factor_function():
    assert all(issubclass(part, EpochSchedule) != part.plateau for part in schedules)


@pytest.mark.parametrize(
    "config",
    [
        {"name": "step"},
        {"name": "step", "step_size": 0},
        {"name": "multi_step", "milestones": ()},
        {"name": "exponential", "gamma": 0.0},
        {"name": "cosine", "eta_min": 1.5},
        {"name": "one_cycle", "pct_start": 1.1},
        {"name": "reduce_on_plateau", "factor": 1.0},
        {"name": "warmup", "start_factor": 0.0},
    ],
)
def test_options_out_of_bounds_are_refused(config):
    with pytest.raises(ValidationError):
        TypeAdapter(schedules[config["name"]]).validate_python(config)
