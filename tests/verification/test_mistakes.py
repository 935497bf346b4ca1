"""Every mistake is made on purpose, by a network written by hand or another config, and is recognized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun import api
from mlprun.verification.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlprun.schema import Config
    from mlprun.verification.references import ReferenceComparison

    Make = Callable[..., Config]
    Hand = Callable[..., list[float]]
    Write = Callable[..., str]


def compared(config: Config, other: str, steps: int = 30) -> ReferenceComparison:
    found = verify(config, against=other, steps=steps, coordinates=1).comparison
    assert found is not None
    return found


def mistakes(found: ReferenceComparison) -> list[tuple[str, ...]]:
    """The kinds of mistakes of each explanation."""
    return [tuple(mistake.kind for mistake in one.mistakes) for one in found.explanations]


def texts(found: ReferenceComparison) -> str:
    return " | ".join(mistake.text for one in found.explanations for mistake in one.mistakes)


@pytest.fixture
def other(tmp_path: Path, mapping: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """Writes another config of the same network."""
    import yaml

    def write(**sections: Any) -> str:
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(mapping(**sections)))
        return str(tmp_path / "other.yaml")

    return write


def test_the_same_network_by_hand_agrees_to_rounding(config: Make, by_hand: Hand, curve: Write) -> None:
    found = compared(config(), curve(by_hand()), steps=100)
    assert found.agrees
    assert found.rows == 100
    assert found.difference < 1e-14
    assert found.explanations == ()


@pytest.mark.parametrize(
    ("delta", "ratio", "name"),
    [
        (1.0, 6.0, "N·K/2 (a squared error's 2/(N·K) is left out of one side)"),
        (2.0, 12.0, "N·K (one side sums over rows and outputs, the other takes the mean)"),
        (2 / 6, 2.0, "K (one side sums over outputs, the other takes their mean)"),
        (1 / 12, 0.5, "1/2 (one side has a half in front)"),
    ],
)
def test_a_factor_between_sum_and_mean_is_named(
    delta: float, ratio: float, name: str, config: Make, by_hand: Hand, curve: Write
) -> None:
    found = compared(config(optimizer={"name": "sgd", "lr": 0.2}), curve(by_hand(lr=0.2, delta=delta)))
    assert found.first_epoch == 2
    assert mistakes(found) == [("factor",)]
    assert f"is {ratio:g} times this one's" in texts(found)
    assert name in texts(found)
    assert "N = 6 rows of a step, K = 2 outputs" in texts(found)
    assert found.explanations[0].difference < 1e-13


def test_of_four_rows_and_one_output_the_factor_is_two(by_hand: Hand, tmp_path: Path) -> None:
    """System C: the delta without 2/(N·K) at the same rate is a step twice as long."""
    from pathlib import Path as Place

    shipped = Place(__file__).parents[2] / "configs/xor_no_bias.yaml"
    network = api.load_config(shipped)
    run = api.train(shipped, "optimizer.lr=1.2", "training.epochs=50", out=str(tmp_path))
    losses = tmp_path / "losses.csv"
    losses.write_text("loss\n" + "".join(f"{loss!r}\n" for loss in run.history["train_loss"].tolist()))
    found = compared(network, str(losses), steps=50)
    assert mistakes(found) == [("factor",)]
    assert "is 2 times this one's: N·K/2" in texts(found)


def test_missing_biases_are_found(config: Make, by_hand: Hand, curve: Write) -> None:
    found = compared(config(), curve(by_hand(bias=False)))
    assert mistakes(found) == [("bias",)]
    assert texts(found) == "it has no biases"


def test_biases_that_start_at_zero_are_found(
    config: Make, by_hand: Hand, curve: Write, start: dict[str, np.ndarray]
) -> None:
    for name in ("layers.0.bias", "layers.1.bias"):
        start[name] *= 0
    found = compared(config(bias=False), curve(by_hand()))
    assert mistakes(found) == [("bias",)]
    assert texts(found) == "it has biases, which start at 0"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda losses: 12 * losses, "12 times this one's from the first row on: N·K"),
        (lambda losses: losses / 2, "0.5 times this one's from the first row on: 1/"),
        (lambda losses: 0.77 * losses, "0.77 times this one's from the first row on: none of the known"),
        (np.sqrt, "root"),
        (lambda losses: losses[1:], "recorded after each update"),
    ],
)
def test_another_definition_of_the_logged_loss_is_found(
    change: Any, said: str, config: Make, by_hand: Hand, curve: Write
) -> None:
    found = compared(config(), curve(change(np.array(by_hand(epochs=101)))))
    assert found.first_epoch == 1
    assert set(mistakes(found)) == {("logged loss",)}
    assert said in texts(found)
    assert found.explanations[0].difference < 1e-13


def test_another_loss_that_was_logged_is_found(config: Make, curve: Write, tmp_path: Path) -> None:
    network = config(metrics=[{"name": "mae", "reduction": "mean"}])
    run = api.train(network.model_dump(exclude_none=True), "training.epochs=100", out=str(tmp_path))
    found = compared(config(), curve(run.history["train_mae"].tolist()))
    assert mistakes(found)[0] == ("logged loss",)
    assert "logs as train_mae" in texts(found)


def test_penalties_in_the_logged_loss_are_found(config: Make, curve: Write, tmp_path: Path) -> None:
    network = config(penalty={"l2": 0.01})
    run = api.train(network.model_dump(exclude_none=True), "training.epochs=100", out=str(tmp_path))
    found = compared(network, curve(run.history["train_objective"].tolist()))
    assert "logs as train_objective" in texts(found)


def test_a_sum_that_is_both_differentiated_and_logged_is_one_mistake(
    config: Make, by_hand: Hand, curve: Write
) -> None:
    losses = 12 * np.array(by_hand(lr=0.05, delta=2.0))
    found = compared(config(optimizer={"name": "sgd", "lr": 0.05}), curve(losses))
    assert mistakes(found) == [("factor", "logged loss")]
    assert "gradient, or its learning rate, is 12 times" in texts(found)
    assert "so is what it logs: 12 times, too" in texts(found)


def test_such_a_sum_is_found_beside_missing_biases(config: Make, by_hand: Hand, curve: Write) -> None:
    losses = 12 * np.array(by_hand(lr=0.05, delta=2.0, bias=False))
    found = compared(config(optimizer={"name": "sgd", "lr": 0.05}), curve(losses))
    assert mistakes(found) == [("bias", "factor", "logged loss")]
    assert found.explanations[0].difference < 1e-12


def test_two_mistakes_at_once_are_told_apart(config: Make, by_hand: Hand, curve: Write) -> None:
    losses = np.sqrt(by_hand(lr=0.05, delta=2.0))
    found = compared(config(optimizer={"name": "sgd", "lr": 0.05}), curve(losses))
    assert mistakes(found) == [("factor", "logged loss")]
    assert "gradient, or its learning rate, is 12 times" in texts(found)
    assert "it is the root of this one's" in texts(found)


def test_of_a_curve_alone_another_initialisation_is_only_suspected(
    config: Make, by_hand: Hand, curve: Write, start: dict[str, np.ndarray]
) -> None:
    network = config()
    start["layers.0.weight"] += 0.3
    found = compared(network, curve(by_hand()))
    assert mistakes(found) == [("initialisation",)]
    assert found.explanations[0].difference is None
    assert "so would other rows" in texts(found)


def test_noise_is_explained_by_nothing(config: Make, by_hand: Hand, curve: Write) -> None:
    losses = np.array(by_hand())
    losses[20:] += np.random.RandomState(0).randn(80) * 1e-3
    found = compared(config(), curve(losses))
    assert found.first_epoch == 21
    assert found.explanations == ()


def test_two_rows_explain_nothing(config: Make, by_hand: Hand, curve: Write) -> None:
    found = compared(config(), curve(by_hand(delta=1.0)[:2]))
    assert not found.agrees
    assert found.explanations == ()
    assert "fewer than 3 common epochs explain nothing" in found.notes


def test_a_run_is_compared_with_its_config(mapping: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    single = mapping(training={"epochs": 60, "log_every": 7})
    run = api.train(single, out=str(tmp_path))
    found = compared(api.load_config(single), run.path, steps=60)
    assert found.agrees
    assert found.rows == 9  # 7, 14, ..., 56 and the last
    again = compared(api.load_config(single, "optimizer.lr=0.1"), run.path)
    assert mistakes(again) == [("factor",)]
    assert "is 6 times this one's: N·K/2" in texts(again)


def test_printed_digits_are_forgiven_and_no_more(config: Make, by_hand: Hand, curve: Write) -> None:
    losses = np.array(by_hand())
    assert compared(config(), curve(losses, form=".8f")).agrees
    assert compared(config(), curve(losses, form=".4e")).agrees
    assert not compared(config(), curve(losses + 1e-4, form=".8f")).agrees
    found = compared(config(), curve(losses + 1e-9))  # as far as a script in float32 may be
    assert found.agrees
    assert found.reference.dtype == "float32"


def test_a_curve_that_float32_could_not_tell_apart_is_still_explained_in_float64(
    config: Make, by_hand: Hand, curve: Write
) -> None:
    slow = config(optimizer={"name": "sgd", "lr": 1e-8})
    found = compared(slow, curve(by_hand(lr=1e-8, delta=2.0)))
    assert found.difference < 1e-6
    assert mistakes(found) == [("factor",)]
    assert "is 12 times this one's: N·K" in texts(found)


def test_config_keys_that_differ_are_listed(config: Make, other: Callable[..., str]) -> None:
    found = compared(config(), other(optimizer={"name": "sgd", "lr": 0.6, "momentum": 0.9}))
    assert found.explanations == ()
    assert found.notes == ("the configs differ in optimizer.momentum",)


def test_biases_are_missed_though_the_seed_draws_other_weights_without_them(
    mapping: Callable[..., dict[str, Any]], curve: Write, tmp_path: Path
) -> None:
    network = {"hidden": [5], "activation": "logistic", "output_activation": "logistic"}
    run = api.train(mapping(architecture={**network, "bias": False}), out=str(tmp_path))
    found = compared(api.load_config(mapping(architecture=network)), curve(run.history["train_loss"]))
    assert mistakes(found) == [("bias",)]
    assert texts(found) == "it has no biases, and begins with the weights that the seed draws then"
