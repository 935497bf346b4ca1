"""Charts as data: JSON, without a drawing library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlprun import figures
from mlprun.figures import Chart, Line, Panel, Points
from mlprun.figures.chart import horizontal

if TYPE_CHECKING:
    from mlprun.figures import RunData


def test_a_chart_is_json_with_exact_numbers() -> None:
    numbers = np.array([0.1, np.nan, 1 / 3, -np.inf, 5e-324])
    marks = (Line(numbers, numbers, "a"), Points(numbers, numbers, opacity=numbers), horizontal(0.5))
    text = json.dumps(Chart("t", ("d",), (Panel(marks),)).to_dict(), allow_nan=False)
    assert '"y": [0.1, null, 0.3333333333333333, "-inf", 5e-324]' in text
    document = json.loads(text)
    assert (document["title"], document["details"]) == ("t", ["d"])
    first, second, third = document["panels"][0]["marks"]
    assert [one["mark"] for one in (first, second, third)] == ["line", "points", "line"]
    assert second["opacity"] == first["x"]
    assert (third["x"], third["y"]) == (["-inf", "inf"], [0.5, 0.5])


@pytest.mark.parametrize("shape", ["moons", "odd", "line", "symbols"])
def test_every_chart_of_a_run_is_json(shape: str, run_data: dict[str, RunData]) -> None:
    data = run_data[shape]
    for part in figures.run_figures:
        figure = part()
        if figure.unsupported_reason(data) is None:
            chart = figure.compute(data)
            document = json.loads(json.dumps(chart.to_dict(), allow_nan=False))
            assert document["title"] == chart.title
            assert [len(panel["marks"]) for panel in document["panels"]] == [
                len(panel.marks) for panel in chart.panels
            ]
