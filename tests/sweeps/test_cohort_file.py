"""Trials in the middle, read back the same to the bit, from a file that no number of them bursts."""

import math

import numpy as np
import pytest

from mlprun.engines import Progress, State
from mlprun.engines.contract import Plateau
from mlprun.storage import checkpoints
from mlprun.sweeps import cohort_file
from mlprun.sweeps.cohort_file import TrialResult

COLUMNS = ("epoch", "lr", "train_loss")
DIGEST = "d" * 64


def standing(trial, layers, *, begun=True, figures=0, dtype=np.float32):
    """A trial with a network of so many layers, trained by Adam; all values differ."""
    draw = np.random.default_rng(trial)
    names = [f"layers.{layer}.{kind}" for layer in range(layers) for kind in ("weight", "bias")]

    def arrays(of=names):
        return {name: draw.normal(size=(3, 2) if "weight" in name else 3).astype(dtype).T for name in of}

    slots = arrays([f"0.{name}.{slot}" for name in names for slot in ("exp_avg", "exp_avg_sq")])
    structure = [{name: {"of": {"step": 7, "exp_avg": {"array": f"0.{name}.exp_avg"}}} for name in names}]
    progress = Progress(4, 0.1 + trial, Plateau(best=math.inf)) if begun else Progress()
    state = State(trial % 3 + 5, arrays(), slots, structure, progress) if begun else State(0, arrays())
    history = draw.normal(size=(trial % 4, len(COLUMNS)))
    said = {f"last_test_a_figure_with_a_long_name_{n}": 1 / (trial + n + 3) for n in range(figures)}
    best = arrays() if begun else None
    epoch = 4 if begun else None
    return TrialResult(trial, "paused", state.epoch, epoch, 0.1, None, said, history, best, state=state)


def outcome(trial):
    one = standing(trial, 2, figures=3)
    figures = {**one.figures, "test_loss": math.nan}
    return TrialResult(
        trial, "early_stopping", 9, 4, 0.5, None, figures, one.history, one.best, one.state.model
    )


def assert_same(found, expected):
    assert (found.trial, found.best_epoch, found.seconds) == (
        expected.trial, expected.best_epoch, expected.seconds,
    )  # fmt: skip
    assert found.figures == expected.figures
    assert (found.state.epoch, found.state.progress) == (expected.state.epoch, expected.state.progress)
    assert found.state.optimizer_meta == expected.state.optimizer_meta
    np.testing.assert_array_equal(found.history, expected.history)
    assert (found.best is None) == (expected.best is None)
    for one, other in (
        (found.state.model, expected.state.model),
        (found.state.optimizer_state, expected.state.optimizer_state),
        (found.best or {}, expected.best or {}),
    ):
        assert one.keys() == other.keys()
        for name, array in other.items():
            assert (one[name].dtype, one[name].shape) == (array.dtype, array.shape)
            assert one[name].tobytes() == array.tobytes(), name


def running(found):
    return [one for one in found.partial_results if not one.has_ended]


def ended(found):
    return [one for one in found.partial_results if one.has_ended]


def read(data, tmp_path):
    path = tmp_path / "cohort-0001.partial.safetensors"
    path.write_bytes(data)
    return cohort_file.read(str(path), DIGEST)


def test_trials_of_every_form_are_read_back_to_the_bit(tmp_path):
    standings = [
        standing(1, 2),
        standing(2, 2, begun=False),
        standing(4, 3, figures=2),
        standing(5, 2, dtype=np.float64),
        standing(8, 2),
    ]
    outcomes = [outcome(3), TrialResult(6, "failed", error="dataset: no rows"), outcome(9)]
    found = read(cohort_file.encode_partial([*outcomes, *standings], COLUMNS, DIGEST), tmp_path)
    for one, expected in zip(running(found), standings, strict=True):
        assert_same(one, expected)
    again = cohort_file.encode_partial(found.partial_results, COLUMNS, DIGEST)
    assert again == cohort_file.encode_partial([*outcomes, *standings], COLUMNS, DIGEST)
    assert [one.trial for one in ended(found)] == [3, 6, 9]
    assert math.isnan(ended(found)[0].figures["test_loss"])


def test_a_cohort_without_trials_in_the_middle_is_read_back(tmp_path):
    found = read(cohort_file.encode_partial([outcome(3)], COLUMNS, DIGEST), tmp_path)
    assert running(found) == []
    np.testing.assert_array_equal(ended(found)[0].history, outcome(3).history)


@pytest.mark.parametrize("number", [10, 1000])
def test_the_arrays_and_the_header_do_not_grow_with_the_trials(number, tmp_path):
    standings = [standing(trial, 20, figures=60) for trial in range(number)]
    data = cohort_file.encode_partial(standings, COLUMNS, DIGEST)
    assert int.from_bytes(data[:8], "little") < 2000
    assert len(checkpoints.decode(data, "a file").tensors) == 8
    assert_same(read(data, tmp_path).partial_results[-1], standings[-1])
