"""What a plan holds of a sweep: next to nothing for each trial, and little for each setting."""

from __future__ import annotations

import gc
import tracemalloc

from mlprun.sweeps import configs
from mlprun.sweeps.definition import from_mapping
from mlprun.sweeps.plan import Plan

RANDOM = {"training.clip_norm": {"log_uniform": [1, 9]}, "training.clip_value": {"uniform": [1, 9]}}


def held(**words):
    """Bytes that a plan holds."""
    definition = from_mapping({"base": {"dataset": {"name": "moons"}}, **words}, "", "x")
    gc.collect()
    tracemalloc.start()
    try:
        plan = Plan(definition)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        del plan


def test_a_trial_more_takes_some_200_bytes():
    held(seeds=10)
    assert held(seeds=12_000) - held(seeds=2_000) < 10_000 * 200


def test_a_setting_more_takes_a_few_hundred_bytes(monkeypatch):
    monkeypatch.setattr(configs, "MAX_CACHED", 10)
    held(random=RANDOM, trials=10)
    assert held(random=RANDOM, trials=260) - held(random=RANDOM, trials=60) < 200 * 600
