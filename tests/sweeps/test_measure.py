"""Networks that trials share: built once for equal architectures, whichever settings they are of."""

from __future__ import annotations

import numpy as np
import pytest

from mlprun import api
from mlprun.experiment import Experiment, InitialWeightCache
from mlprun.sweeps.train import Gauge


def experiment(*overrides):
    return Experiment.of(api.load_config({"dataset": {"name": "moons"}}, *overrides))


@pytest.fixture
def built(monkeypatch):
    """How many networks were built."""
    calls, build = [], Experiment._built
    monkeypatch.setattr(Experiment, "_built", lambda self, one: calls.append(one) or build(self, one))
    return calls


def test_settings_with_equal_architectures_share_networks(built):
    several = [experiment("optimizer.lr=0.1"), experiment("optimizer.lr=0.2"), experiment("training.seed=7")]
    other = experiment("architecture.hidden=[3]")
    weights = [one.initial() for one in (*several, other)]
    starts, gauge = InitialWeightCache(), Gauge("cpu")
    figures = [Gauge("cpu").figures(*both, 0) for both in zip((*several, other), weights, strict=True)]
    built.clear()
    for one, begin, measured in zip((*several, other), weights, figures, strict=True):
        drawn = starts.model(one)
        assert drawn.keys() == begin.keys()
        assert all(np.array_equal(drawn[name], begin[name]) for name in begin)
        assert gauge.figures(one, begin, 0) == measured
    assert len(built) == 4
