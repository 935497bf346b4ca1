"""Charts as data: JSON and back, without a drawing library."""

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


def test_a_chart_is_read_back_from_json_with_exact_numbers() -> None:
    numbers = np.array([0.1, np.nan, 1 / 3, -np.inf, 5e-324])
    marks = (Line(numbers, numbers, "a"), Points(numbers, numbers, opacity=numbers), horizontal(0.5))
    chart = Chart("t", ("d",), (Panel(marks),))
    text = json.dumps(chart.to_dict(), allow_nan=False)
    assert '"y": [0.1, null, 0.3333333333333333, "-inf", 5e-324]' in text
    back = Chart.from_dict(json.loads(text))
    assert back.to_dict() == chart.to_dict()
    for before, after in zip(chart.marks(), back.marks(), strict=True):
        assert type(before) is type(after)
        assert np.array_equal(before.y, after.y, equal_nan=True)


def test_what_is_no_chart_is_refused() -> None:
    with pytest.raises(ValueError, match="panels"):
        Chart.from_dict({"title": "t", "details": []})
    with pytest.raises(ValueError, match="mark"):
        Chart.from_dict({"title": "t", "details": [], "panels": [{"marks": [{"mark": "pie"}]}]})


@pytest.mark.parametrize("shape", ["moons", "odd", "line", "symbols"])
def test_every_chart_of_a_run_is_json(shape: str, run_data: dict[str, RunData]) -> None:
    data = run_data[shape]
    for part in figures.run_figures:
        figure = part()
        if figure.unsupported_reason(data) is None:
            document = figure.compute(data).to_dict()
            assert Chart.from_dict(json.loads(json.dumps(document, allow_nan=False))).to_dict() == document
