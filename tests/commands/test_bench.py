"""`mlprun bench`: every engine that can run a config is measured, beside the plain loop."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlprun.cli import main
from mlprun.commands import measuring
from mlprun.engines.torch import TorchEngine
from mlprun.experiment import Experiment

QUICK = ("--rounds", "1", "--seconds", "0.001", "--json")


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["bench", *arguments, *QUICK]) == 0
    return json.loads(capsys.readouterr().out)["workloads"]


def test_without_a_config_the_workloads_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys)
    assert [each["name"] for each in found] == list(measuring.WORKLOADS)
    for each in found:
        assert [cost["engine"] for cost in each["engines"]] == [measuring.PLAIN, "torch", "fused"]
        assert each["engines"][0]["ratio"] == 1
        for cost in each["engines"]:
            assert cost["steps_per_second"] == pytest.approx(1e6 / cost["microseconds"])


def test_a_config_is_measured_on_the_engines_that_can_run_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("dataset: moons\narchitecture: {dropout: 0.5}\nschedule: cosine\n")
    (found,) = measured(capsys, str(path), "training.batch_size=100")
    assert found["name"] == "own"
    assert [cost["engine"] for cost in found["engines"]] == [measuring.PLAIN, "torch"]


@pytest.mark.parametrize("name", measuring.WORKLOADS)
def test_the_plain_loop_learns_what_the_torch_engine_learns(name: str) -> None:
    from mlprun.engines import Watch

    experiment = Experiment.of(measuring.workload(measuring.WORKLOADS[name]))
    plain, torch = measuring.Plain(experiment, 100), TorchEngine()
    plain.train(5)
    cohort = torch.open([experiment], [torch.start(experiment)], device="cpu")
    torch.advance(cohort, 5, Watch(1000))
    (state,) = torch.states(cohort)
    for key, tensor in plain.model.state_dict().items():
        assert tensor.numpy() == pytest.approx(state.model[key], abs=1e-5)
