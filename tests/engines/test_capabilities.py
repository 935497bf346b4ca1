"""What engines refuse: an option that a part gains is never ignored silently."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import create_model

from mlprun import api, engines
from mlprun.experiment import Experiment
from mlprun.parts.part import Options

CONFIG = {
    "dataset": {"name": "moons", "split": {"train": 20, "dev": 10, "test": 10}},
    "architecture": {"hidden": [4], "activation": {"name": "leaky_relu", "slope": 0.1}},
    "penalty": {"l2": 0.1},
    "schedule": "reduce_on_plateau",
    "optimizer": {"name": "adam", "betas": [0.8, 0.9], "amsgrad": True},
    "training": {"dtype": "float64", "clip_norm": 1.0, "epochs": 3},
}


def with_option(options: Any, value: int) -> Any:
    """The same options of a class that has one more, `gated`."""
    kind = type(options)
    fields: Any = {"gated": (int, 0)}
    more = create_model(kind.__name__, __base__=kind, __module__=kind.__module__, **fields)
    return more.model_construct(**dict(options), gated=value)


def changed(experiment: Experiment, place: str, value: int) -> Experiment:
    config = experiment.config
    if place == "activation":
        activation = with_option(config.architecture.activation, value)  # type: ignore[attr-defined]
        part: Options = config.architecture.model_copy(update={"activation": activation})
        return replace(experiment, config=config.model_copy(update={"architecture": part}))
    part = with_option(getattr(config, place), value)
    return replace(experiment, config=config.model_copy(update={place: part}))


@pytest.mark.parametrize("engine", ["fused", "scratch"])
@pytest.mark.parametrize(
    ("place", "owner"),
    [
        ("architecture", "architecture mlp"),
        ("activation", "activation leaky_relu"),
        ("loss", "loss bce"),
        ("optimizer", "optimizer adam"),
        ("schedule", "schedule"),
        ("training", "training"),
    ],
)
def test_an_option_that_an_engine_does_not_know_is_refused_unless_it_is_at_its_default(
    place: str, owner: str, engine: str
) -> None:
    experiment, chosen = Experiment.of(api.load_config(CONFIG)), engines.named(engine)
    assert chosen.unsupported_reason(experiment) is None
    assert chosen.unsupported_reason(changed(experiment, place, 0)) is None
    reason = chosen.unsupported_reason(changed(experiment, place, 1))
    assert reason is not None
    assert f"the option gated of {owner}; leave it at 0" in reason
    assert engines.named("torch").unsupported_reason(changed(experiment, place, 1)) is None
