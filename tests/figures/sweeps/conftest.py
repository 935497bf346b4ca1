"""Sweeps of every shape that figures treat differently, written without training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun.figures import SweepData
from mlprun.sweeps import database
from mlprun.sweeps.schema import Configuration, Description, Trial

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("train_loss", "dev_loss", "test_accuracy")
FIGURES = (*NAMES, *(f"last_{name}" for name in NAMES))
SUCCESS = {"figure": "test_accuracy", "operator": ">=", "number": 0.7, "text": "test_accuracy >= 0.7"}
ODD = r"$\frac{a}{b$ [/x] " + "\x1b[31m\u202e אבג " + "and so on and on and on"
LONG = f"dataset.{'a_name_that_is_far_too_long_' * 2}x"
EPOCHS = 12


@dataclass(frozen=True)
class Shape:
    """What a sweep is made of: settings, seeds, and the dev loss of a setting and a seed (None: diverged)."""

    parameters: tuple[str, ...]
    settings: list[dict[str, Any]]
    seeds: int
    loss: Callable[[dict[str, Any], int], float | None]
    scales: dict[str, Any] = field(default_factory=dict)
    success: bool = True
    folds: int | None = None
    pending: int = 0
    is_drawn: bool = False


def bent(chosen: dict[str, Any], seed: int) -> float | None:
    """A loss that is best at a learning rate of 0.1, falls with the units, and diverges at 10."""
    lr = chosen.get("optimizer.lr", 0.1)
    noise = math.sin(7.0 * seed + len(str(chosen))) * 0.05
    loss = 0.2 + 0.1 * (math.log10(lr) + 1) ** 2 + 0.3 / sum(chosen.get("architecture.hidden", [2])) + noise
    return None if lr >= 10 or (lr >= 3 and seed == 0) else loss


def random_settings(count: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    return [
        {
            "optimizer.lr": float(10 ** draw.uniform(-3, 1.2)),
            "penalty.l2": float(10 ** draw.uniform(-6, -2)),
            "optimizer.momentum": float(draw.uniform(0, 0.99)),
            "architecture.hidden": [[4], [8], [8, 8]][draw.integers(3)],
            "architecture.activation": ["tanh", "relu"][draw.integers(2)],
        }
        for _ in range(count)
    ]


def at(rate: float) -> dict[str, Any]:
    return {"optimizer.lr": rate}


LOG = {"optimizer.lr": "log", "penalty.l2": "log"}
LR = ("optimizer.lr",)
GRID = [
    {"architecture.hidden": [units], **at(rate)} for units in (2, 4, 8) for rate in (0.01, 0.1, 1.0, 10.0)
]
CUBE = [{**one, "architecture.activation": name} for one in GRID for name in ("tanh", "relu")]
ODDS = [
    {LONG: k / 10, "loss": loss}
    for k in range(7)
    for loss in (ODD, {"name": "huber", "delta": 0.5}, "mse", None, True)
]


def odd(chosen: dict[str, Any], seed: int) -> float | None:
    return None if chosen["loss"] is True else 0.1 + seed * 0.01 + len(str(chosen)) * 0.002


SHAPES = {
    "grid": Shape(("architecture.hidden", *LR), GRID, 5, bent, LOG),
    "rates": Shape(LR, [at(rate) for rate in (0.01, 0.1, 1.0, 3.0, 10.0)], 6, bent, LOG),
    "seeds": Shape((), [{}], 9, bent),
    "random": Shape(tuple(random_settings(1)[0]), random_settings(60), 1, bent, LOG, is_drawn=True),
    "cube": Shape(tuple(CUBE[0]), CUBE, 3, bent, LOG, success=False),
    "odd": Shape((LONG, "loss"), ODDS, 2, odd),
    "folds": Shape(LR, [at(0.01), at(0.1)], 1, bent, LOG, folds=4),
    "gone": Shape(LR, [at(10.0), at(20.0)], 3, bent, LOG),
    "begun": Shape(LR, [at(0.1), at(1.0)], 3, bent, LOG, pending=5),
    "equal": Shape(LR, [at(0.1), at(1.0)], 1, lambda _chosen, _seed: 0.5),
}


def history(trial: Trial) -> dict[str, Any] | None:
    """Curves that fall to the trial's figures; the trial with the number 2 stopped early."""
    if not trial.figures:
        return None
    epochs = np.arange(1, (EPOCHS // 3 if trial.id == 2 or trial.status == "pruned" else EPOCHS) + 1)
    curve = trial.figures["dev_loss"] * (1 + 1 / epochs)
    return {"epoch": epochs, "train_loss": curve * 0.9, "dev_loss": np.where(epochs % 2, np.nan, curve)}


def trials_of(shape: Shape) -> list[Trial]:
    folds = range(1, shape.folds + 1) if shape.folds else (None,)
    found: list[Trial] = []
    for setting, chosen in enumerate(shape.settings, start=1):
        for seed in range(shape.seeds):
            for fold in folds:
                known = shape.loss(chosen, seed + (fold or 0))
                loss = 5.0 if known is None else known
                figures = {"train_loss": loss, "dev_loss": loss, "test_accuracy": 1 - loss}
                figures |= {f"last_{name}": 2 * value for name, value in figures.items()}
                status = "diverged" if known is None else "finished"
                trial = Trial(len(found) + 1, setting, seed, fold, 1, len(found), status, "fused", 9, 5, 0.1)
                found.append(replace(trial, figures=figures))
    begun = [replace(one, status="pending", figures={}) for one in found[: shape.pending]]
    return [*begun, *found[shape.pending :]]


def write(
    folder: Path, name: str, shape: Shape, *, prune: Callable[[dict[str, Any]], bool] = lambda _chosen: False
) -> None:
    """A sweep's folder; settings that are to be pruned were given up at epoch 4."""
    description = Description(
        name=name,
        parameters=shape.parameters,
        figures=FIGURES,
        scales=shape.scales,
        objective={"metric": "dev_loss", "mode": "min", "aggregate": "mean"},
        success=SUCCESS if shape.success else None,
        folds=shape.folds,
        history=("epoch", "train_loss", "dev_loss"),
        total=len(shape.settings) * shape.seeds,
        definition={"random" if shape.is_drawn else "grid": {path: {} for path in shape.parameters}},
    )
    folder.mkdir()
    for file in ("sweep.yaml", "run.json", "status.json"):
        (folder / file).touch()
    trials = [
        replace(one, status="pruned", epochs=4, best_epoch=4)
        if prune(shape.settings[one.setting - 1])
        else one
        for one in trials_of(shape)
    ]
    with database.create(str(folder / "trials.sqlite"), description) as writer:
        settings = [Configuration(i, values) for i, values in enumerate(shape.settings, start=1)]
        writer.extend(settings, trials)
        writer.record([one for one in trials if one.status != "pending"])


@pytest.fixture(scope="session")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SweepData]:
    folder = tmp_path_factory.mktemp("sweeps")
    for name, shape in SHAPES.items():
        write(folder / name, name, shape)
    return {name: replace(SweepData.of(str(folder / name)), history=history) for name in SHAPES}


@pytest.fixture(scope="session")
def halved(sweeps: dict[str, SweepData], tmp_path_factory: pytest.TempPathFactory) -> SweepData:
    """The grid, whose settings that start at 0.01 or less or at 10 or more were given up at epoch 4."""
    folder = tmp_path_factory.mktemp("halved") / "halved"
    write(folder, "halved", SHAPES["grid"], prune=lambda chosen: not 0.01 < chosen["optimizer.lr"] < 10)
    return replace(SweepData.of(str(folder)), history=history)
