"""What the comments of the shipped configs say will be seen is seen, at full length."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import mlprun
from mlprun import engines, schema
from mlprun.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.api import Run

    Train = Callable[[str], Run]

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains a config by its name, once, on the engine that takes the least time."""
    out = str(tmp_path_factory.mktemp("runs"))
    runs: dict[str, Run] = {}

    def train(name: str) -> Run:
        if name not in runs:
            path = CONFIGS / f"{name}.yaml"
            experiment = Experiment.of(schema.load(str(path)))
            able = engines.named("fused").unsupported_reason(experiment) is None
            runs[name] = mlprun.train(path, *(["engine=fused"] if able else []), out=out)
        return runs[name]

    return train


def last(run: Run, split: str, figure: str = "loss") -> float:
    return run.metrics["last"]["splits"][split][figure]


def test_the_demo_follows_the_moons_where_logistic_regression_draws_a_line(tmp_path: Path) -> None:
    path = CONFIGS / "moons.yaml"
    swept = mlprun.sweep({"base": str(path), "seeds": 20}, out=str(tmp_path))
    assert swept.summary("test_accuracy").lines[0].stats.mean >= 0.96
    scores = []
    for seed in range(20):
        experiment = Experiment.of(schema.load(str(path), [f"training.seed={seed}"]))
        train, test = (experiment.rows(split, epoch=0) for split in ("train", "test"))
        line = LogisticRegression(C=1e6).fit(train.inputs, train.truth)
        scores.append(line.score(test.inputs, test.truth))
    assert np.mean(scores) == pytest.approx(0.87, abs=0.01)


def test_small_learning_rates_get_nowhere_and_large_ones_never_settle(trained: Train) -> None:
    small, right, large = (
        trained(f"moons_lr_{size}").history["train_loss"] for size in ("small", "right", "large")
    )
    assert (np.diff(small) < 0).all()
    assert small[-1] > 0.7
    assert right[-1] < 0.1
    assert np.ptp(right[-100:]) < 0.01
    assert np.ptp(large[-100:]) > 0.3


def test_the_config_of_the_course_hardly_bends_its_boundary(trained: Train) -> None:
    first, line, bent = (
        last(trained(name), "dev") for name in ("moons_course", "moons_linear", "moons_lr_right")
    )
    assert abs(first - line) < 0.01
    assert bent < 0.5 * line


def test_more_noise_means_more_mistakes(trained: Train) -> None:
    losses = [last(trained(name), "test") for name in ("moons_noise_0", "moons_lr_right", "moons_noise_0.5")]
    assert losses == sorted(losses)
    assert last(trained("moons_noise_0"), "test", "accuracy") == 1.0


def test_a_schedule_covers_ground_and_then_settles(trained: Train) -> None:
    history = trained("moons_schedule").history
    assert history["lr"][0] == 20
    np.testing.assert_allclose(history["lr"][1:] / history["lr"][:-1], 0.995, rtol=1e-12)
    assert history["dev_loss"][0] > 1
    assert history["dev_loss"][-1] < 0.1


@pytest.mark.parametrize("name", ["moons_minibatch", "moons_momentum", "moons_adam", "moons_lbfgs"])
def test_other_ways_to_step_bend_the_boundary_too(name: str, trained: Train) -> None:
    assert last(trained(name), "test") < 0.5 * last(trained("moons_linear"), "test")


def test_momentum_acts_like_a_larger_learning_rate(trained: Train) -> None:
    with_momentum, without = (trained(f"moons_{name}") for name in ("momentum", "lr_right"))
    assert last(with_momentum, "train") == pytest.approx(last(without, "train"), abs=0.01)


def test_an_epoch_chosen_by_accuracy_has_the_larger_test_loss(trained: Train) -> None:
    run = trained("moons_best_by_accuracy")
    assert run.metrics["best"]["epoch"] < 200
    assert run.metrics["best"]["splits"]["test"]["loss"] > last(run, "test") + 0.01


def test_overfitting_sends_train_loss_to_zero_while_dev_loss_climbs(trained: Train) -> None:
    dev = trained("moons_overfit").history["dev_loss"]
    assert last(trained("moons_overfit"), "train") < 0.01
    assert 0 < dev.argmin() < 500
    assert dev[-1] > 2 * dev.min()


@pytest.mark.parametrize("name", ["moons_l2", "moons_early_stopping", "moons_more_data", "moons_dropout"])
def test_every_remedy_helps_against_overfitting(name: str, trained: Train) -> None:
    assert trained(name).metrics["best"]["splits"]["test"]["loss"] < 0.6 * last(
        trained("moons_overfit"), "test"
    )


def test_early_stopping_waits_a_hundred_epochs_and_no_longer(trained: Train) -> None:
    run = trained("moons_early_stopping")
    dev = run.history["dev_loss"]
    assert len(dev) < 1000
    assert len(dev) - 1 - dev.argmin() == 100


@pytest.mark.parametrize("name", ["xor", "xor_no_bias", "xor_uniform_start", "xor_truncated_normal_start"])
def test_xor_leaves_its_plateau_for_every_right_answer(name: str, trained: Train) -> None:
    run = trained(name)
    assert run.history["train_loss"][600] > 0.24
    assert last(run, "train") < 0.01
    assert last(run, "train", "accuracy") == 1.0


@pytest.mark.parametrize("name", ["parity", "parity_fresh", "parity_l1", "parity_two_bits"])
def test_parity_shows_nothing_for_a_thousand_steps_and_ends_right(name: str, trained: Train) -> None:
    run = trained(name)
    assert run.history["train_loss"][1000] > 0.6
    assert last(run, "test", "accuracy") > 0.99


def test_the_second_bit_gives_the_printed_tables(trained: Train) -> None:
    """Source: a deep-learning framework written from scratch, after Trask (2019), chapter 13."""
    two = trained("second_bit_two_layers").history["train_objective"]
    np.testing.assert_allclose(two[:4], [2.33428272, 0.06743796, 0.0521849, 0.04079507], atol=5.1e-9)
    tanh = trained("second_bit_tanh").history["train_objective"]
    np.testing.assert_allclose(tanh[:4], [1.06372865, 0.75148144, 0.57384259, 0.39574294], atol=5.1e-9)
    linear = trained("second_bit_linear").history
    np.testing.assert_allclose(4 * linear["train_loss"][0], 5.066439994622395, atol=1e-14)
    np.testing.assert_allclose(2 * linear["train_objective"], 4 * linear["train_loss"], rtol=1e-14)


@pytest.mark.parametrize(
    "name", ["embedding_classes", "embedding_sparse_adam", "recurrent", "spirals", "circles"]
)
def test_small_problems_are_solved(name: str, trained: Train) -> None:
    assert last(trained(name), "test", "accuracy") > 0.95


@pytest.mark.parametrize(
    ("name", "figure", "least"),
    [
        ("iris", "accuracy", 0.9),
        ("wine", "accuracy", 0.9),
        ("breast_cancer", "accuracy", 0.93),
        ("digits", "accuracy", 0.95),
        ("diabetes", "r2", 0.35),
        ("regression", "r2", 0.9),
        ("table", "r2", 0.8),
        ("table_classes", "accuracy", 0.5),
        ("table_imbalanced", "balanced_accuracy", 0.7),
    ],
)
def test_real_and_tabular_data_are_learnt(name: str, figure: str, least: float, trained: Train) -> None:
    assert trained(name).metrics["best"]["splits"]["test"][figure] >= least


@pytest.mark.slow
def test_parity_at_its_published_pace(trained: Train) -> None:
    run = trained("parity_1400000_steps")
    assert run.history["train_loss"][350] > 0.68  # one row per hundred steps
    assert last(run, "test", "accuracy") > 0.99


def test_shuffled_splits_promise_more_than_forecasts_reach(trained: Train, tmp_path: Path) -> None:
    forward = trained("table_time").metrics["best"]["splits"]["test"]["r2"]
    mixed = mlprun.train(CONFIGS / "table_time.yaml", "dataset.time=null", out=str(tmp_path))
    assert forward == pytest.approx(0.33, abs=0.15)
    assert mixed.metrics["best"]["splits"]["test"]["r2"] == pytest.approx(0.93, abs=0.02)
