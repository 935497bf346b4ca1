"""What the scratch engine refuses, with what would help, and how small it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mlprun.engines.scratch as package
from mlprun import api, engines
from mlprun.errors import UsageError
from mlprun.experiment import Experiment

BASE: dict[str, Any] = {
    "dataset": {"name": "moons", "split": {"train": 20, "dev": 10, "test": 10}},
    "training": {"dtype": "float64"},
}
REFUSED = {
    "float32": (
        {"training": {"dtype": "float32"}},
        "it computes in float64, not in float32; set training.dtype=float64",
    ),
    "a GPU": ({"device": "cuda"}, "it runs on the CPU, not on device cuda"),
    "dropout": ({"architecture": {"dropout": 0.5}}, "it lacks dropout"),
    "dropout of one layer": (
        {"architecture": {"layers": [{"units": 3}, {"units": 2, "dropout": 0.1}]}},
        "it lacks dropout",
    ),
    "norms": ({"architecture": {"norm": "batch"}}, "it lacks batch norm"),
    "optimizers": ({"optimizer": {"name": "lbfgs"}}, "it lacks the optimizer lbfgs; it has sgd, adam, adamw"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_lacks_is_refused_with_the_reason(name: str) -> None:
    sections, reason = REFUSED[name]
    experiment = Experiment.of(api.load_config({**BASE, **sections}))
    with pytest.raises(UsageError, match=re.escape(reason)):
        engines.choose(experiment, "scratch")


USER = '''
"""Parts of one's own."""
from typing import Literal
from torch import nn
from mlprun.parts.activations import Activation, activations
from mlprun.parts.losses import Loss, losses

@activations.register
class Cube(Activation):
    """z^3."""
    name: Literal["cube_of_scratch"] = "cube_of_scratch"
    def build(self):
        return nn.Identity()

@losses.register
class Fourth(Loss):
    """Fourth power."""
    name: Literal["fourth_of_scratch"] = "fourth_of_scratch"
    def build(self):
        return lambda values, targets: ((values - targets) ** 4).mean()
'''


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        (
            {"architecture": {"activation": ["relu", "cube_of_scratch"]}},
            "it lacks the activation cube_of_scratch",
        ),
        (
            {"architecture": {"output_activation": "cube_of_scratch"}, "loss": "mse"},
            "it lacks the activation cube",
        ),
        ({"loss": "fourth_of_scratch"}, "it lacks the loss fourth_of_scratch"),
        ({"metrics": ["accuracy", "fourth_of_scratch"]}, "it lacks the loss fourth_of_scratch"),
    ],
)
def test_parts_of_ones_own_are_refused(sections: dict[str, Any], reason: str, tmp_path: Path) -> None:
    Path(tmp_path, "own.py").write_text(USER)
    config = {**BASE, **sections, "extend": [str(tmp_path / "own.py")]}
    experiment = Experiment.of(api.load_config(config, allow_code=True))
    with pytest.raises(UsageError, match=reason):
        engines.choose(experiment, "scratch")


def test_auto_never_takes_it() -> None:
    for epochs in (1, 100_000):
        config = {**BASE, "training": {"dtype": "float64", "epochs": epochs}}
        assert engines.choose(Experiment.of(api.load_config(config)), "auto")[0].name != "scratch"


def test_the_package_is_small_enough_to_be_read() -> None:
    files = sorted(Path(package.__file__).parent.glob("*.py"))
    lengths = {file.name: len(file.read_text().splitlines()) for file in files}
    lengths.pop("trainer.py")  # the epoch protocol's side of the engine is no chapter
    assert sum(lengths.values()) <= 600
    assert max(lengths.values()) <= 180
    assert not [
        file.name for file in files if re.search(r"^\s*(import|from) torch", file.read_text(), re.MULTILINE)
    ]
