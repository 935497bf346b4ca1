"""Bounds and units of differences, from made-up trajectories."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlprun import api
from mlprun.verification.agreement import EPS, compare, max_difference
from mlprun.verification.trajectories import LOSSES, Trajectory
from mlprun.verification.verify import verify


def trajectory(
    engine: str, dtype: str, *, gradient: float = 1.0, loss: float = 0.5, weight: float = 2.0, **told: Any
):
    history = {name: np.array([loss, loss]) for name in LOSSES}
    return Trajectory(engine, dtype, {"w": np.array([gradient])}, history, {"w": np.array([weight])}, **told)


def pair(pairs: list[Any], one: str, other: str) -> Any:
    return next(found for found in pairs if {found.one, found.other} == {one, other})


ROUNDED = trajectory("torch", "float32", weight=2.0 + 1e-5)
EXACT = trajectory("torch", "float64")


def test_float32_may_be_four_times_as_far_as_torch_and_a_little_more() -> None:
    for weight, agrees in ((2.0 + 4.1e-5, True), (2.0 + 4.3e-5, False)):
        pairs = compare([ROUNDED, EXACT, trajectory("fused", "float32", weight=weight)])
        found = pair(pairs, "fused float32", "torch float64").differences["weights"]
        assert found.bound == pytest.approx(4e-5 + 2e-6, rel=1e-6)
        assert found.agrees is agrees
        assert found.roundings == pytest.approx((weight - 2) / (EPS["float32"] * 2))


def test_float64_may_be_four_times_what_roundings_have_grown_to() -> None:
    allowed = 4e-5 * EPS["float64"] / EPS["float32"] + 2e-12
    for off, agrees in ((0.9, True), (1.1, False)):
        pairs = compare([ROUNDED, EXACT, trajectory("fused", "float64", weight=2.0 + off * allowed)])
        found = pair(pairs, "fused float64", "torch float64").differences["weights"]
        assert found.bound == pytest.approx(allowed)
        assert found.agrees is agrees


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("float64", 1e-12)])
def test_first_gradients_keep_to_a_share_of_the_largest(dtype: str, bound: float) -> None:
    for off, agrees in ((0.9, True), (1.1, False)):
        pairs = compare([ROUNDED, EXACT, trajectory("fused", dtype, gradient=1 + off * bound)])
        found = pair(pairs, f"fused {dtype}", f"torch {dtype}")
        assert found.differences["gradient"].agrees is agrees
        assert found.agrees is agrees


def test_the_reference_has_no_bound_and_every_pair_is_there() -> None:
    others = [trajectory(name, "float64") for name in ("fused", "scratch")]
    pairs = compare([ROUNDED, EXACT, *others])
    assert len(pairs) == 4  # three of float64, and torch in both
    reference = pair(pairs, "torch float32", "torch float64")
    assert reference.differences["weights"].bound is None
    assert "gradient" not in reference.differences


def test_a_run_that_diverged_alone_does_not_agree() -> None:
    pairs = compare([ROUNDED, EXACT, trajectory("fused", "float64", diverged=True)])
    found = pair(pairs, "fused float64", "torch float64")
    assert not found.agrees
    assert found.differences["curve"].value == math.inf


def test_where_float32_alone_diverges_in_torch_too_it_may_elsewhere() -> None:
    diverged = trajectory("torch", "float32", diverged=True)
    pairs = compare(
        [diverged, EXACT, trajectory("fused", "float32", diverged=True), trajectory("fused", "float64")]
    )
    assert all(found.agrees for found in pairs)
    wrong = trajectory("fused", "float64", weight=2.0 + 1e-9)
    assert not pair(compare([diverged, EXACT, wrong]), "fused float64", "torch float64").agrees


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ([1.0, math.nan], [1.25, math.nan], 0.25),
        ([1.0, math.nan], [1.0, 1.0], math.inf),
        ([1.0, math.inf], [1.0, math.inf], 0.0),
        ([1.0], [1.0, 2.0], math.inf),
    ],
)
def test_what_only_one_side_has_is_infinitely_far(one: Any, other: Any, distance: float) -> None:
    assert max_difference({"a": np.array(one)}, {"a": np.array(other)}) == distance
    assert max_difference({"a": np.array(one)}, {"b": np.array(one)}) == math.inf


def test_where_rounding_takes_over_fewer_epochs_are_compared() -> None:
    """At a rate far too large float32 and float64 part within a few dozen steps."""
    config = {"dataset": "moons", "optimizer": {"name": "sgd", "lr": 60}, "training": {"epochs": 200}}
    architecture = {
        "hidden": [5],
        "activation": "logistic",
        "init": {"weight": {"name": "normal", "std": 1.0}},
    }
    found = verify(api.load_config({**config, "architecture": architecture}), coordinates=10)
    assert found.requested_epochs == 100
    assert found.epochs < 100
    assert found.agrees
