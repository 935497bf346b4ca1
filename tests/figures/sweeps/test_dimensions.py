"""Where values of a parameter stand on an axis, and how they are written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mlprun.figures import render, style
from mlprun.figures.chart import Axis, Chart, Line, Panel
from mlprun.figures.sweeps import dimensions
from mlprun.figures.sweeps.dimensions import FEW, configuration_label, dimension, format_value


def test_parameters_stand_on_an_axis_by_their_size_or_side_by_side() -> None:
    rates = dimension("optimizer.lr", "lr", [1, 0.01, 0.1, 1.0], "log")
    assert (rates.levels, rates.scale) == ((0.01, 0.1, 1), "log")
    assert [rates.fraction(value) for value in (0.01, 0.1, 1)] == pytest.approx([0, 0.5, 1])
    layers = dimension("hidden", "hidden", [[8, 8], [16], [2], [4, 4]], "choice")
    assert layers.labels == ["2", "16", "4-4", "8-8"]
    assert [layers.position(value) for value in ([2], [8, 8])] == [0.0, 3.0]
    mixed = dimension("stop", "stop", [None, 5, True, "auto"], "choice")
    assert (mixed.labels, mixed.scale) == (["none", "5", "true", "auto"], "category")
    assert dimension("x", "x", [0.0, 1.0], "log").scale == "linear"  # 0 has no logarithm


def test_a_zero_among_decades_has_a_place_of_its_own() -> None:
    decades = [10.0**power for power in range(-6, 0)]
    few = dimension("penalty.l2", "l2", [0, *decades], "linear")
    assert (few.scale, few.axis().label) == ("category", "l2 (not to scale)")
    assert [few.fraction(value) for value in few.levels] == pytest.approx(np.linspace(0, 1, 7))
    near = dimension("optimizer.momentum", "momentum", [0, 0.5, 0.9, 0.99, 0.999], "linear")
    assert near.scale == "category"  # 0.99 and 0.999 would be one place
    assert dimension("x", "x", [1, 2, 4], "linear").scale == "linear"


def test_the_limits_of_an_axis_are_finite_for_values_of_any_size() -> None:
    low, high = dimension("x", "x", [1e-307, 1e300], "log").axis().limits or (None, None)
    assert low is not None
    assert high is not None
    assert 0 < low < 1e-307 < 1e300 < high < float("inf")
    assert dimension("x", "x", [1, 10], "log").axis().limits == pytest.approx((10**-0.05, 10**1.05))


def test_a_value_is_found_without_looking_at_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    one = dimension("x", "x", [[k] for k in range(300)], "choice")
    monkeypatch.setattr(dimensions, "_key", lambda value: asked.append(value) or repr(value))
    assert [one.position([k]) for k in range(300)] == list(range(300))
    assert [one.fraction([k]) for k in (0, 299)] == [0.0, 1.0]
    assert len(asked) < 4 * 300


@pytest.mark.parametrize("side", ["x", "y"])
@pytest.mark.parametrize(
    "values",
    [
        [a * 10.0**b for b in range(-4, 1) for a in (1, 2, 5)][:FEW],
        [0, *(10.0**b for b in range(-8, 0))],
        list(range(0, 12000, 1000)),
        [f"a_choice_with_a_long_name_{k}" for k in range(9)],
    ],
)
def test_no_two_labels_of_an_axis_touch(side: str, values: list[Any]) -> None:
    one = dimension("x", "x", values, "log" if values[0] else "linear")
    positions, others = np.array([one.position(value) for value in one.levels]), np.arange(len(values)) * 1.0
    axes = (one.axis(), Axis()) if side == "x" else (Axis(), one.axis())
    line = Line(positions, others) if side == "x" else Line(others, positions)
    figure = render.to_matplotlib(Chart("t", (), (Panel((line,), *axes),), width=2.4, height=2.4))
    with render.styled():
        axis = figure.axes[0].xaxis if side == "x" else figure.axes[0].yaxis
        boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_visible()]
    turned = any(label.get_rotation() for label in axis.get_ticklabels())
    spans = [(box.y0, box.y1) if side == "y" else (box.x0, box.x1) for box in boxes]
    ends = sorted(spans, key=lambda span: span[turned])
    assert len(boxes) > 1
    gaps = [after[turned] - before[1] for before, after in pairwise(ends)]  # of turned ones their ends
    assert all(gap > 0 for gap in gaps)


def test_parts_are_written_with_their_options() -> None:
    more = [{"name": "sgd"}, {"name": "sgd", "momentum": 0.9}]
    assert dimension("optimizer", "optimizer", more, "choice").labels == ["sgd", "sgd momentum 0.9"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e-05, "1e−5"),
        (0.0123456, "0.0123"),
        (12.25, "12.25"),
        (-3, "−3"),
        ([], "none"),
        (["relu", "tanh"], "relu, tanh"),
        ({"name": "sgd", "lr": 0.5}, "sgd lr 0.5"),
        (True, "true"),
    ],
)
def test_values_are_written_short(value: Any, text: str) -> None:
    assert format_value(value) == text


def test_a_setting_is_written_by_what_varies() -> None:
    path = "momentum_of_the_optimizer"
    varied = dimension(path, path, [0.9, 0.8], "linear"), dimension("lr", "lr", [0.1, 0.25], "linear")
    text = configuration_label(varied, {path: 0.9, "lr": 0.25, "epochs": 3})
    assert text == f"{style.name(path, dimensions.NAME)} 0.9, lr 0.25"
