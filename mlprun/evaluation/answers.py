"""Predictions as a table: a line for each row, in names and units that the user knows."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.parts.metrics.metric import Predictions


@dataclass(frozen=True)
class Answers:
    """Named columns, a row for each row that was asked about."""

    columns: tuple[str, ...]
    rows: list[list[Any]]
    warnings: tuple[str, ...] = ()

    def csv(self) -> str:
        """The table as CSV, numbers in the shortest digits that read back exactly."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()


def answers(said: Predictions, target_names: tuple[str, ...], warnings: tuple[str, ...] = ()) -> Answers:
    """For classes the predicted one and, where outputs are probabilities, each class's; else outputs."""
    if said.classes is None:
        return Answers(target_names, said.outputs.tolist(), warnings)
    named = [[said.classes[label]] for label in said.labels]
    if said.probabilistic:
        columns, values = tuple(f"p({name})" for name in said.classes), said.probabilities
    else:
        count = said.outputs.shape[1]
        columns, values = tuple(f"output{number}" for number in range(count)), said.outputs
    rows = [[*label, *row] for label, row in zip(named, values.tolist(), strict=True)]
    return Answers(("class", *columns), rows, warnings)
