"""Trials in the middle, read back the same to the bit, from a file that no number of them bursts."""

import math

import numpy as np
import pytest

from mlprun.engines import Progress, State
from mlprun.engines.contract import Plateau
from mlprun.errors import CheckpointError
from mlprun.storage import canonical, checkpoints
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


@pytest.mark.parametrize("number", [10, 300])
def test_the_arrays_and_the_header_do_not_grow_with_the_trials(number, tmp_path):
    standings = [standing(trial, 20, figures=60) for trial in range(number)]
    data = cohort_file.encode_partial(standings, COLUMNS, DIGEST)
    assert int.from_bytes(data[:8], "little") < 2000
    assert len(checkpoints.decode(data, "a file").tensors) == 8
    assert_same(read(data, tmp_path).partial_results[-1], standings[-1])


CRAFTED = {
    "trials of another type": lambda tensors, _: tensors.update(trials=tensors["trials"].astype(np.float64)),
    "a matrix of trials": lambda tensors, _: tensors.update(trials=tensors["trials"][None]),
    "no history": lambda tensors, _: tensors.pop("history"),
    "fewer columns": lambda tensors, _: tensors.update(history=tensors["history"][:, :1]),
    "ends that are not of the history": lambda tensors, _: tensors["history.ends"].__setitem__(0, 10**6),
    "ends that go back": lambda tensors, _: tensors["history.ends"].__setitem__(0, -1),
    "a form that is not there": lambda tensors, _: tensors["form"].__setitem__(0, 2**60),
    "a place that is not there": lambda tensors, _: tensors["place"].__setitem__(0, 7),
    "a negative place": lambda tensors, _: tensors["place"].__setitem__(0, -1),
    "weights of fewer trials": lambda tensors, _: tensors.update(
        {name: array[:0] for name, array in tensors.items() if name.startswith("0.last.")}
    ),
    "weights of no trial": lambda tensors, _: tensors.update(
        {name: array[0, 0, 0] for name, array in tensors.items() if name == "0.last.layers.0.weight"}
    ),
    "columns that are a number": lambda _, meta: meta.update(columns=3),
    "columns that are numbers": lambda _, meta: meta.update(columns=[1, 2, 3]),
}
TOLD = {
    "no JSON": lambda told: "{",
    "a list": lambda told: [],
    "a trial that is text": lambda told: told["ended"][0].update(trial="1"),
    "a status that is a number": lambda told: told["ended"][0].update(status=1),
    "metrics that are a list": lambda told: told["ended"][0].update(figures=[]),
    "a metric that is text": lambda told: told["ended"][0].update(figures={"test_loss": "0.1"}),
    "an unknown field": lambda told: told["ended"][0].update(unknown=1),
    "seconds that are text": lambda told: told["running"][0].update(seconds="1"),
    "seconds that are infinite": lambda told: told["running"][0].update(seconds=math.inf),
    "a form that is not there": lambda told: told["running"][0].update(form=9),
    "rows that are text": lambda told: told["running"][0].update(rows="1"),
    "an epoch that is text": lambda told: told["running"][0].update(epoch="1"),
    "a shape that is text": lambda told: told["forms"][0][0].__setitem__(2, ["3", "2"]),
    "a group that is not there": lambda told: told["forms"][0][0].__setitem__(0, "other.weight"),
    "progress that is none": lambda told: told["running"][0].update(progress=[]),
}


def crafted(change):
    """A partial file with a valid checksum whose arrays and metadata were changed."""
    data = cohort_file.encode_partial([outcome(3), standing(1, 2)], COLUMNS, DIGEST)
    checkpoint = checkpoints.decode(data, "a file")
    tensors = {name: array.copy() for name, array in checkpoint.tensors.items()}
    meta = dict(checkpoint.meta)
    change(tensors, meta)
    return checkpoints.encode(checkpoints.Checkpoint(tensors, meta))


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_file_is_damaged(name, tmp_path):
    with pytest.raises(CheckpointError, match="is damaged") as caught:
        read(crafted(CRAFTED[name]), tmp_path)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", TOLD)
def test_crafted_partial_results_are_damaged(name, tmp_path):
    def change(tensors, _):
        told = canonical.decode(tensors["told"].tobytes())
        text = TOLD[name](told)
        data = text if isinstance(text, str) else canonical.encode(told if text is None else text)
        tensors["told"] = np.frombuffer(data.encode(), np.uint8)

    found = read(crafted(change), tmp_path)
    with pytest.raises(CheckpointError, match="is damaged"):
        _ = found.partial_results
