"""What happens around the steps: chunks, company, the best, patience, plateau, divergence and stops."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from mlprun.engines import ChunkResult, State
from mlprun.engines.contract import never
from mlprun.engines.fused import FusedEngine, run
from mlprun.engines.fused.support import kernel_optimizer
from mlprun.engines.state_spec import unpack
from mlprun.engines.torch import TorchEngine
from mlprun.experiment import history_columns
from mlprun.parts.optimizers import optimizers

ENGINE = FusedEngine()


def config(**training: Any) -> dict[str, Any]:
    """Minibatches of moons that are shuffled, Adam and a schedule."""
    return {
        "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 5}},
        "architecture": {"name": "mlp", "hidden": [6], "activation": "tanh"},
        "loss": "bce",
        "optimizer": {"name": "nadam", "lr": 0.01},
        "schedule": {"name": "cosine"},
        "training": {"epochs": 12, "batch_size": 8, **training},
    }


def summary(parts: list[ChunkResult]) -> tuple[Any, ...]:
    """Everything that several advances said of a run, as one."""
    bests = [part.best for part in parts if part.best is not None]
    best = bests[-1] if bests else None
    rows = [row for part in parts for row in part.rows]
    return (
        parts[-1].epoch,
        parts[-1].stopped,
        [[repr(value) for value in row] for row in rows],
        [item for part in parts for item in part.improvements],
        None if best is None else (best.epoch, best.metrics, bytes_of(best.model)),
    )


def bytes_of(arrays: Any) -> dict[str, bytes]:
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def same(one: State, other: State) -> bool:
    """Whether two states are equal to the bit."""
    return (
        one.epoch == other.epoch
        and one.progress == other.progress
        and one.optimizer_meta == other.optimizer_meta
        and bytes_of(one.model) == bytes_of(other.model)
        and bytes_of(one.optimizer_state) == bytes_of(other.optimizer_state)
    )


def in_pieces(experiment: Any, ends: list[int], *, reopened: bool) -> tuple[Any, State]:
    """A run advanced to each of `ends`; its state goes out and in between if `reopened`."""
    cohort, parts = ENGINE.open([experiment], [ENGINE.initial_state(experiment)], device="cpu"), []
    for end in ends:
        parts += ENGINE.advance(cohort, [end], never)
        if reopened and parts[-1].stopped is None:
            cohort = ENGINE.open([experiment], ENGINE.states(cohort, [0]), device="cpu")
    return summary(parts), ENGINE.states(cohort, [0])[0]


VARIANTS: dict[str, dict[str, Any]] = {
    "nadam": {},
    "adam": {"optimizer": {"name": "adam", "amsgrad": True}},
    "momentum": {"optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "dampening": 0.1}},
    "adagrad": {"optimizer": {"name": "adagrad", "initial_accumulator_value": 0.1}},
    "radam": {"optimizer": {"name": "radam", "lr": 0.01, "betas": [0.9, 0.99]}},
    "rprop": {"optimizer": {"name": "rprop"}, "schedule": {"name": "warmup", "epochs": 3}},
    "asgd": {"optimizer": {"name": "asgd", "t0": 20, "lambd": 0.01}},
    "plateau": {"schedule": {"name": "reduce_on_plateau", "patience": 0, "cooldown": 1, "threshold": 0.01}},
    "other figures": {
        "metrics": ["accuracy", "f1", {"name": "mse", "reduction": "mean"}],
        "best": {"metric": "dev_f1", "mode": "max"},
    },
    "several metrics": {
        "metrics": ["precision", "accuracy", "f1"],
        "best": {"metric": "dev_f1", "mode": "max"},
        "early_stopping": {"patience": 5},
    },
    "fresh rows": {
        "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": {"fresh": 20}, "test": 5}}
    },
    "early stopping": {"early_stopping": {"patience": 1}, "optimizer": {"name": "adam", "lr": 1.0}},
    "float64": {"training": {"epochs": 12, "batch_size": 8, "dtype": "float64"}},
    "dropout": {"architecture": {"hidden": [6, 5], "dropout": 0.3}},
    "layer norm": {"architecture": {"hidden": [6, 5], "norm": "layer"}},
    # without biases: their gradient is rounding, of which nadam makes steps
    "batch norm": {"architecture": {"hidden": [6, 17], "norm": "batch", "dropout": 0.1, "bias": False}},
    "batch norm with other figures": {
        "architecture": {"hidden": [6], "norm": "batch", "bias": False},
        "metrics": ["f1"],
    },
    "embedding": {
        "dataset": {
            "name": "inline",
            "inputs": [[i % 5, i % 7] for i in range(45)],
            "targets": [i % 2 for i in range(45)],
            "split": {"train": 30, "dev": 10, "test": 5},
        },
        "architecture": {
            "hidden": [6],
            "embedding": {"vocabulary": 7, "dim": 3, "activation": "tanh"},
            "norm": "layer",
        },
    },
    "sparse log": {"training": {"epochs": 12, "batch_size": 8, "log_every": 5, "evaluate_every": 3}},
}
variants = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)


@variants
@pytest.mark.parametrize("reopened", [False, True], ids=["open", "reopened"])
def test_where_a_chunk_ends_never_changes_a_byte(lab: Any, variant: dict[str, Any], reopened: bool) -> None:
    experiment = lab.make(config() | variant)
    whole, at_end = in_pieces(experiment, [12], reopened=False)
    ends = [end for end in (1, 2, 7, 8, 12) if end < whole[0]] + [whole[0]]
    pieces, also = in_pieces(experiment, ends, reopened=reopened)
    assert pieces == whole
    assert same(at_end, also)


@variants
def test_best_patience_plateau_and_history_are_those_of_the_torch_engine(
    lab: Any, variant: dict[str, Any]
) -> None:
    settings = config() | variant
    settings["training"] = {**settings["training"], "dtype": "float64"}
    experiment = lab.make(settings)
    (ours, state), (theirs, exact) = (lab.run(engine, experiment) for engine in ("fused", "torch"))
    assert (ours.epoch, ours.stopped) == (theirs.epoch, theirs.stopped)
    assert len(ours.rows) == len(theirs.rows)
    for mine, other in zip(ours.rows, theirs.rows, strict=True):
        assert len(mine) == len(history_columns(experiment.config))
        assert [value is None for value in mine] == [value is None for value in other]
        known = [(a, b) for a, b in zip(mine, other, strict=True) if a is not None]
        np.testing.assert_allclose(*zip(*known, strict=True), rtol=1e-9, atol=1e-12)
    assert [item.epoch for item in ours.improvements] == [item.epoch for item in theirs.improvements]
    assert ours.best.epoch == theirs.best.epoch
    assert ours.best.metrics.keys() == theirs.best.metrics.keys()
    assert lab.distance(ours.best.model, theirs.best.model) < 1e-9
    plateau, wanted = state.progress.plateau, exact.progress.plateau
    assert (plateau.bad_evaluations, plateau.cooldown_left) == (wanted.bad_evaluations, wanted.cooldown_left)
    assert plateau.factor == pytest.approx(wanted.factor)


def test_r2_of_several_numbers_in_the_users_units_is_that_of_the_torch_engine(lab: Any) -> None:
    settings = {
        "dataset": lab.rows(30, 3, 2, "mse") | {"split": {"train": 20, "dev": 5, "test": 5}},
        "loss": "mse",
        "optimizer": {"name": "sgd", "lr": 0.05},
        "training": {"epochs": 5, "dtype": "float64", "batch_size": 7},
        "best": {"metric": "dev_r2", "mode": "max"},
    }
    experiment = lab.make(settings)
    (ours, _), (theirs, _) = (lab.run(engine, experiment) for engine in ("fused", "torch"))
    np.testing.assert_allclose(np.array(ours.rows), np.array(theirs.rows), rtol=1e-9)
    assert ours.best.epoch == theirs.best.epoch


def test_a_runs_bytes_are_the_same_alone_in_company_and_on_any_number_of_threads(lab: Any) -> None:
    many = []
    for seed in range(6):
        settings = config(seed=seed, dtype="float64" if seed == 4 else "float32")
        settings["optimizer"] = {"name": "nadam", "lr": 0.01 * (1 + seed)}
        settings["architecture"] = {"name": "mlp", "hidden": [6 + seed % 2], "activation": "tanh"}
        many.append(lab.make(settings))
    parts = ("dropout", "layer norm", "batch norm", "embedding")
    many += [lab.make(config() | VARIANTS[name]) for name in parts]
    many.append(lab.make(config() | {"optimizer": {"name": "sgd", "lr": 1e30}, "loss": "mse"}))
    many.append(lab.make(config() | VARIANTS["early stopping"]))
    alone, which = [in_pieces(experiment, [12], reopened=False) for experiment in many], range(len(many))
    for threads in (1, 2, 5):
        cohort = ENGINE.open(many, [ENGINE.initial_state(experiment) for experiment in many], device="cpu")
        cohort.threads = threads
        advances, states = ENGINE.advance(cohort, [12 for _ in which], never), ENGINE.states(cohort, which)
        for advance, state, (expected, expected_state) in zip(advances, states, alone, strict=True):
            assert summary([advance]) == expected
            assert same(state, expected_state)
    assert [expected[1] for expected, _ in alone[-2:]] == ["diverged", "early_stopping"]


def test_batches_that_fill_as_many_rows_of_a_block_need_not_be_as_many_blocks(lab: Any) -> None:
    """272 rows are one block and 500 are two: what a thread works with must fit both."""
    dataset = {"name": "moons", "noise": 0.3, "split": {"train": 600, "dev": 20, "test": 5}}
    many = [lab.make(config(epochs=3, batch_size=size) | {"dataset": dataset}) for size in (272, 500)]
    alone = [in_pieces(experiment, [3], reopened=False) for experiment in many]
    cohort = ENGINE.open(many, [ENGINE.initial_state(experiment) for experiment in many], device="cpu")
    one, other = cohort.runs
    assert one.layout is other.layout
    assert one.workspace_key() != other.workspace_key()
    cohort.threads = 1
    ENGINE.advance(cohort, [3, 3], never)
    for state, (_, expected) in zip(ENGINE.states(cohort, [0, 1]), alone, strict=True):
        assert same(state, expected)


TOO_LARGE = {
    "loss": "mse",
    "optimizer": {"name": "sgd", "lr": 40.0},
    "architecture": {"hidden": [6], "activation": "relu"},
}
DIVERGING: dict[str, dict[str, Any]] = {
    "steps too large": TOO_LARGE,
    "with other figures": TOO_LARGE | {"metrics": ["f1"]},
    "a schedule that explodes": TOO_LARGE
    | {"optimizer": {"name": "sgd", "lr": 1e-5}, "schedule": {"name": "exponential", "gamma": 100}},
    "in one step": TOO_LARGE | {"optimizer": {"name": "sgd", "lr": 1e38}},
}


def test_a_run_whose_last_step_overflows_diverges_without_dev_rows_as_in_torch(lab: Any) -> None:
    settings = config(epochs=1, batch_size="full") | TOO_LARGE
    settings |= {"optimizer": {"name": "sgd", "lr": 1e38}, "loss": {"name": "mse", "scale": 1e6}}
    settings["dataset"] = {"name": "moons", "split": {"train": 45, "dev": 0, "test": 5}}
    (ours, state), (theirs, _) = (lab.run(engine, lab.make(settings)) for engine in ("fused", "torch"))
    assert (ours.epoch, ours.stopped) == (theirs.epoch, theirs.stopped) == (0, "diverged")
    assert not ours.rows
    assert all(np.isfinite(array).all() for array in state.model.values())


@pytest.mark.parametrize("variant", DIVERGING.values(), ids=DIVERGING)
def test_a_run_that_diverges_ends_at_its_last_finite_epoch_as_in_torch(
    lab: Any, variant: dict[str, Any]
) -> None:
    experiment = lab.make(config(epochs=60) | variant)
    (ours, state), (theirs, _) = (lab.run(engine, experiment) for engine in ("fused", "torch"))
    assert ours.stopped == theirs.stopped == "diverged"
    assert ours.epoch == theirs.epoch == state.epoch
    assert [row[0] for row in ours.rows] == [row[0] for row in theirs.rows]
    assert all(np.isfinite(array).all() for array in state.model.values())
    again, at_end = in_pieces(experiment, [1, 2, 3, 60], reopened=False)
    assert again[:2] == (ours.epoch, "diverged")
    assert same(at_end, state)


@pytest.mark.parametrize("variant", ["nadam", "other figures", "batch norm"])
@pytest.mark.parametrize("calls", [0, 1, 2, 3, 7, 20])
def test_a_stop_inside_an_epoch_drops_it(
    lab: Any, variant: str, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "CALL_PRODUCTS", 1)  # a call of the kernel for each batch
    experiment, left = lab.make(config() | VARIANTS[variant]), iter([False] * calls)
    cohort = ENGINE.open([experiment], [ENGINE.initial_state(experiment)], device="cpu")
    (advance,) = ENGINE.advance(cohort, [12], lambda: next(left, True))
    assert advance.stopped == "interrupted"
    # it is asked before each of six batches; the epoch protocol also asks before each epoch
    assert advance.epoch == calls // (7 if variant == "other figures" else 6)
    expected, state = in_pieces(experiment, [advance.epoch], reopened=False)
    assert summary([advance])[2:] == expected[2:]
    assert same(ENGINE.states(cohort, [0])[0], state)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer",
    [part.names()[0] for part in optimizers if kernel_optimizer(part.model_construct()) is not None],
)
def test_no_state_of_any_optimizer_is_refused(lab: Any, optimizer: str, dtype: str) -> None:
    experiment = lab.make({**config(dtype=dtype), "optimizer": {"name": optimizer}})
    for epoch in (0, 1, 3):
        cohort = ENGINE.open([experiment], [ENGINE.initial_state(experiment)], device="cpu")
        if epoch:
            ENGINE.advance(cohort, [epoch], never)
        (state,) = ENGINE.states(cohort, [0])
        assert ENGINE.validate_state(experiment, state) is None


@pytest.mark.parametrize(
    "options",
    [
        *({"name": part.names()[0]} for part in optimizers if kernel_optimizer(part.model_construct())),
        {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        {"name": "adam", "amsgrad": True, "eps": 0},
        {"name": "asgd", "t0": 20, "lambd": 0.01},
    ],
    ids=str,
)
def test_the_optimizers_state_is_torchs_by_name_and_value(lab: Any, options: dict[str, Any]) -> None:
    experiment = lab.make({**config(dtype="float64"), "optimizer": options})
    (result, ours), (_, theirs) = (lab.run(engine, experiment) for engine in ("fused", "torch"))
    assert result.stopped == "finished"
    mine = {
        name: value
        for slots in (ours.optimizer_meta or [{}])[0].values()
        for name, value in unpack(slots, ours.optimizer_state).items()
    }
    wanted = {
        name: value
        for slots in theirs.optimizer_meta[0].values()
        for name, value in unpack(slots, theirs.optimizer_state).items()
        if value is not None
    }
    assert mine.keys() >= wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(mine[name], value, rtol=1e-9, atol=1e-12)


def test_torch_can_go_on_from_a_model_of_this_engine(lab: Any) -> None:
    experiment = lab.make(config() | {"optimizer": {"name": "sgd", "lr": 0.1}})
    cohort = ENGINE.open([experiment], [ENGINE.initial_state(experiment)], device="cpu")
    ENGINE.advance(cohort, [3], never)
    torch = TorchEngine()
    other = torch.open([experiment], ENGINE.states(cohort, [0]), device="cpu")
    (advance,) = torch.advance(other, [12], never)
    assert advance.stopped == "finished"


def test_a_large_cohort_takes_little_memory(lab: Any) -> None:
    experiment = lab.make(
        {
            "dataset": {"name": "moons", "split": {"train": 640, "dev": 160, "test": 200}},
            "architecture": {"hidden": [5], "activation": "logistic"},
            "training": {"epochs": 100, "log_every": 10},
        }
    )
    start = ENGINE.initial_state(experiment)
    before = resident()
    cohort = ENGINE.open([experiment] * 1000, [start] * 1000, device="cpu")
    advances = ENGINE.advance(cohort, [20] * 1000, never)
    assert resident() - before < 100 * 2**20
    assert len(advances) == 1000


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
