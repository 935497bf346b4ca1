"""`mlprun bench`: every engine that can run a config is measured, beside a loop that learns the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from mlprun import engines, schema
from mlprun.cli import main, measuring
from mlprun.cli.measuring import STEPS_PER_EVALUATION, WORKLOADS, PlainLoop, unlimited_epochs, workload
from mlprun.engines.torch import TorchEngine
from mlprun.verification.trajectories import train

if TYPE_CHECKING:
    from mlprun.schema import Config

QUICK = ("--rounds", "1", "--seconds", "0.001", "--json")
CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["bench", *arguments, *QUICK]) == 0
    return json.loads(capsys.readouterr().out)["workloads"]


def silent(message: str) -> None:
    """Nobody listens."""


def test_without_a_config_the_workloads_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys)
    assert [each["name"] for each in found] == list(WORKLOADS)
    for each in found:
        assert [cost["engine"] for cost in each["engines"]][:3] == [measuring.PLAIN, "torch", "fused"]
        assert each["engines"][0]["ratio"] == 1
        for cost in each["engines"]:
            assert cost["steps_per_second"] == pytest.approx(1e6 / cost["microseconds"])


def test_an_engine_that_refuses_a_config_is_shown_with_the_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("dataset: moons\noptimizer: lbfgs\n")
    (found,) = measured(capsys, str(path))
    assert found["name"] == "own"
    assert "fused" not in [cost["engine"] for cost in found["engines"]]
    assert {"engine": "fused", "reason": "it has no kernel for the optimizer lbfgs"} in found["refused"]
    assert main(["bench", str(path), *QUICK[:-1]]) == 0
    assert "fused cannot run own: it has no kernel for the optimizer lbfgs" in capsys.readouterr().out


def test_an_engine_that_refuses_all_workloads_is_named_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "take_turns", lambda runners, **_: [dict.fromkeys(runners, 1.0)])
    assert main(["bench"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "cannot run" in line]
    assert told
    assert all(all(name in line for name in WORKLOADS) for line in told)
    assert len({line.split()[0] for line in told}) == len(told)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_any_shipped_config_can_be_measured(path: Path) -> None:
    config = schema.load(str(path), (), allow_code=True)
    experiment, every = unlimited_epochs(config)
    assert every * experiment.steps_per_epoch == pytest.approx(STEPS_PER_EVALUATION, rel=0.5) or every == 1
    runners = measuring.runners_of(experiment, every, silent)
    refusing = [
        engine.name for engine in engines.every() if engine.unsupported_reason(experiment) is not None
    ]
    assert sorted([*runners, *refusing]) == sorted([measuring.PLAIN, *(one.name for one in engines.every())])
    for run in runners.values():
        run(2)


def learned(config: Config, epochs: int) -> tuple[PlainLoop, Any]:
    """The plain loop and the state of the torch engine after so many epochs of the same config."""
    experiment, every = unlimited_epochs(config)
    plain, engine = PlainLoop(experiment, every), TorchEngine()
    plain.train(epochs)
    _, state, _ = train(engine, experiment, engine.initial_state(experiment), epochs)
    return plain, state


def assert_equal(plain: PlainLoop, state: Any) -> None:
    for key, tensor in plain.model.state_dict().items():
        torch.testing.assert_close(tensor, torch.from_numpy(state.model[key]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_plain_loop_learns_what_the_torch_engine_learns(name: str) -> None:
    assert_equal(*learned(workload(WORKLOADS[name]), 5))


@pytest.mark.parametrize(
    "changed",
    [
        {"training": {"batch_size": 7, "shuffle": False}},
        {"training": {"clip_norm": 0.01}},
        {"training": {"clip_value": 0.001}},
        {"optimizer": {"name": "lbfgs"}},
        {"penalty": {"l1": 0.1, "l2": 0.1}},
        {"architecture": {"hidden": [4], "norm": "batch"}},
        {"dataset": "iris", "loss": "cross_entropy"},
        {"dataset": "diabetes", "loss": {"name": "huber", "reduction": "sum"}},
    ],
    ids=str,
)
def test_the_plain_loop_does_all_that_a_config_says(changed: dict[str, Any]) -> None:
    settings = {"dataset": {"name": "moons", "split": {"train": 40, "dev": 10, "test": 10}}, **changed}
    plain, state = learned(workload(json.dumps(settings)), 4)
    assert_equal(plain, state)
    assert [len(row) for row in plain.history] in ([], [2] * len(plain.history))


def test_the_plain_loop_drops_units_in_training_alone() -> None:
    experiment, _ = unlimited_epochs(workload("{dataset: moons, architecture: {hidden: [40], dropout: 0.5}}"))
    plain = PlainLoop(experiment, 1)
    (dropout,) = plain.model.dropouts
    seen: list[bool] = []
    dropout.register_forward_hook(lambda *_: seen.append(dropout.keep is not None))
    plain.train(2)
    assert seen == [True, False, True, False]


def test_a_run_that_diverges_is_measured_with_a_smaller_learning_rate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "wild.yaml"
    path.write_text("dataset: diabetes\noptimizer: {name: sgd, lr: 100.0}\n")
    assert main(["bench", str(path), *QUICK]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["workloads"][0]["engines"]
    assert "wild diverges in the long run with lr 100; measured with 0.0001" in told.err


def test_ratios_are_medians_of_each_turns_ratio_to_the_first() -> None:
    turns = [{"a": 4.0, "b": 1.0}, {"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 3.0}]
    plain, other = measuring.compare_turns(turns, steps=2)
    assert plain == {"engine": "a", "microseconds": 2e6, "steps_per_second": 0.5, "ratio": 1.0}
    assert other == {"engine": "b", "microseconds": 0.5e6, "steps_per_second": 2.0, "ratio": 3.0}


def test_turns_are_whole_units_and_all_take_part_in_each() -> None:
    now, asked = [0.0], []

    def runner(name: str, cost: float) -> Any:
        def run(epochs: int) -> None:
            asked.append((name, epochs))
            now[0] += cost * epochs

        return run

    found = measuring.take_turns(
        {"slow": runner("slow", 1.0), "quick": runner("quick", 0.01)},
        rounds=3, seconds=30.0, unit=7, clock=lambda: now[0],
    )  # fmt: skip
    assert found == [pytest.approx({"slow": 1.0, "quick": 0.01})] * 3
    assert all(epochs % 7 == 0 for _, epochs in asked)
    assert asked[-6:] == [("slow", 28), ("quick", 3003)] * 3
