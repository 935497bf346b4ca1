"""The picture of what a step costs: its curves are what was measured, gaps and all."""

from __future__ import annotations

import numpy as np

from mlprun.figures import canvas
from mlprun.figures.cost import CostPanel, draw_costs

ROWS = CostPanel("2-5-1", "rows", (4, 16, 64), {"loop": [100.0, 110.0, 120.0], "kernel": [1.0, 2.0, 4.0]})
RUNS = CostPanel("2 cores", "runs", (1, 2), {"loop": [90.0, None], "kernel": [3.0, 1.5], "new": [None, 7.0]})


def test_curves_are_what_was_measured() -> None:
    figure = canvas.finished(draw_costs, [ROWS, RUNS], "on a machine")
    rows, runs = figure.axes
    drawn = {line.get_label(): np.array(line.get_data()) for line in rows.lines}
    np.testing.assert_array_equal(drawn["loop"], [[4, 16, 64], [100, 110, 120]])
    np.testing.assert_array_equal(drawn["kernel"], [[4, 16, 64], [1, 2, 4]])
    drawn = {line.get_label(): np.array(line.get_data()) for line in runs.lines}
    np.testing.assert_array_equal(drawn["loop"], [[1], [90]])
    np.testing.assert_array_equal(drawn["new"], [[2], [7]])
    assert [axes.get_xlabel() for axes in figure.axes] == ["rows", "runs"]
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in figure.axes)
    assert rows.get_ylim() == runs.get_ylim()
    assert [label.get_text() for label in rows.get_xticklabels()] == ["4", "16", "64"]


def test_a_name_looks_the_same_in_every_panel_and_stands_in_the_legend_once() -> None:
    figure = canvas.finished(draw_costs, [ROWS, RUNS])
    looks: dict[str, set[tuple[object, ...]]] = {}
    for axes in figure.axes:
        for line in axes.lines:
            looks.setdefault(str(line.get_label()), set()).add((line.get_color(), line.get_marker()))
    assert {name: len(found) for name, found in looks.items()} == {"loop": 1, "kernel": 1, "new": 1}
    assert len(set.union(*looks.values())) == 3
    (legend,) = figure.legends
    assert sorted(text.get_text() for text in legend.get_texts()) == ["kernel", "loop", "new"]
