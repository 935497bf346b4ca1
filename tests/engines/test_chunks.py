"""Where a chunk ends never changes a byte: pieces of any length against one go, with and without a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun.engines.contract import never

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCHS = 40
BATCHES = {"epochs": EPOCHS, "batch_size": 16}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3}},
    "adam in batches": {"optimizer": {"name": "adam", "lr": 0.02}, "training": BATCHES},
    "lbfgs": {"optimizer": {"name": "lbfgs", "lr": 0.1, "max_iter": 4}},
    "muon": {"optimizer": {"name": "muon", "lr": 0.01}, "training": BATCHES},
    "dropout": {"architecture": {"hidden": [8, 6], "dropout": 0.3}, "training": BATCHES},
    "batch norm": {"architecture": {"hidden": [6], "norm": "batch"}, "training": BATCHES},
    "layer norm": {"architecture": {"hidden": [6], "norm": "layer"}, "training": BATCHES},
    "early stopping": {"optimizer": {"lr": 20.0}, "early_stopping": {"patience": 4}},
    "plateau": {
        "optimizer": {"lr": 8.0},
        "schedule": {"name": "reduce_on_plateau", "patience": 1, "factor": 0.5},
    },
    "cosine": {"schedule": "cosine"},
    "clipping": {"training": {**BATCHES, "clip_norm": 0.1, "clip_value": 0.05}},
    "penalties": {"penalty": {"l2": 1e-2, "l1": 1e-3}},
    "seldom": {"training": {**BATCHES, "evaluate_every": 3, "log_every": 7}},
    "fresh dev": {
        "dataset": {"name": "circles", "split": {"train": 45, "dev": {"fresh": 30}, "test": {"fresh": 10}}}
    },
    "by accuracy": {"best": {"metric": "dev_accuracy"}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_pieces_of_any_length_are_one_go(
    variant: str, experiment: Callable[..., Any], course: Callable[..., Any]
) -> None:
    sections, dtype = VARIANTS[variant], ("float32", "float64")[len(variant) % 2]
    training = {"epochs": EPOCHS, **sections.get("training", {}), "dtype": dtype}
    made = experiment(**{**sections, "training": training})
    whole = course(made).finish().everything()
    pieces, reloaded = course(made), course(made)
    state = np.random.RandomState(len(variant))
    while pieces.stopped is None:
        pieces.advance(min(EPOCHS, pieces.epoch + state.randint(1, 6)))
    while reloaded.stopped is None:
        reloaded.advance(min(EPOCHS, reloaded.epoch + state.randint(1, 12)))
        reloaded.reopen(reloaded.state)
    assert pieces.everything() == whole
    assert reloaded.everything() == whole


def test_the_variants_do_what_they_are_named_for(
    experiment: Callable[..., Any], course: Callable[..., Any]
) -> None:
    def run(variant: str) -> Any:
        training = {"epochs": EPOCHS, **VARIANTS[variant].get("training", {})}
        return course(experiment(**{**VARIANTS[variant], "training": training})).finish()

    assert run("early stopping").stopped == "early_stopping"
    assert len({row[1] for row in run("plateau").rows}) > 2
    assert [row[0] for row in run("seldom").rows] == [7, 14, 21, 28, 35, 40]


def test_members_of_a_cohort_do_not_know_of_each_other(
    experiment: Callable[..., Any], course: Callable[..., Any], engine: Any, bytes_of: Any
) -> None:
    made = [
        experiment(training={"seed": seed, "epochs": 10, "batch_size": 16}, architecture={"dropout": 0.2})
        for seed in (1, 2, 3)
    ]
    cohort = engine.open(made, [engine.initial_state(one) for one in made], device="cpu")
    for until in (3, 10):
        engine.advance(cohort, [until] * 3, never)
    for one, state in zip(made, engine.states(cohort, [0, 1, 2]), strict=True):
        assert bytes_of(state) == bytes_of(course(one).finish().state)
