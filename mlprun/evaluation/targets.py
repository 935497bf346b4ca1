"""Metrics of each of several targets, numbers or labels, and their averages over labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlprun.parts.metrics import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.parts.data import Names
    from mlprun.parts.metrics import Predictions

OF_NUMBERS = ("mse", "rmse", "mae", "r2")
OF_LABELS = ("precision", "recall", "f1", "roc_auc")
AVERAGED = OF_LABELS[:3]


class TargetMetrics(NamedTuple):
    """Metrics by target and name, and of labels by `macro` and `micro`.

    `support` is the number of rows that have a label.
    """

    targets: Mapping[str, Mapping[str, float]]
    averages: Mapping[str, Mapping[str, float]]


def target_metrics(predictions: Predictions, names: Names) -> TargetMetrics:
    """Return the metrics of each of the targets, which `names` are of, in the user's units."""
    multilabel, found = predictions.multilabel, dict[str, dict[str, float]]()
    for index, name in enumerate(names):
        one = predictions.target(index)
        found[name] = _metrics(OF_LABELS if multilabel else OF_NUMBERS, one)
        if multilabel:
            found[name]["support"] = int(np.sum(one.targets))
    kinds = ("macro", "micro") if multilabel else ()
    return TargetMetrics(found, {kind: _metrics(AVERAGED, predictions, average=kind) for kind in kinds})


def _metrics(names: Names, predictions: Predictions, **options: str) -> dict[str, float]:
    parts = (metrics[name].model_validate({"name": name, **options}) for name in names)
    return {part.name: part.compute(predictions) for part in parts}  # type: ignore[misc]
