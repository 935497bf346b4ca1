"""Metrics in kernels against those in Python."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mlprun.engines.fused.support import kernel_metrics
from mlprun.parts.metrics import metrics

BETWEEN_CALLS = {"log_loss", "brier", "ece", "roc_auc", "average_precision"}
"""metrics that rank rows or need probabilities: these are computed in Python"""
AVERAGES = ("auto", "macro", "micro", "weighted")
SPLIT = {"split": {"train": 44, "dev": 14, "test": 2}}
CLASS_LOSSES = {"bce": 2, "hinge": 2, "cross_entropy": 5, "nll": 2, "kl_div": 3}
"""losses that are tested with so many classes"""


def rows(lab: Any, loss: str) -> dict[str, Any]:
    """A dataset that suits a loss, with a rare class or in several units."""
    dataset = lab.rows(60, 3, 3, "mse") | SPLIT
    if loss in CLASS_LOSSES:
        targets = [i * i % 7 % CLASS_LOSSES[loss] for i in range(60)]
        return {**dataset, "targets": targets, "classes": CLASS_LOSSES[loss]}
    targets = (np.array(dataset["targets"]) * [1, 10, 100] + [0, 0, 1000]).tolist()
    return {**dataset, "targets": targets, "standardize": True}


def computed(target: str) -> list[str]:
    """The metrics of a kind of target that are single numbers and computed in kernels."""
    parts = [part for part in metrics if part.target == target and part.scalar]
    return [part.names()[0] for part in parts if part.names()[0] not in BETWEEN_CALLS]


def config(lab: Any, loss: str, chosen: list[Any], **training: Any) -> dict[str, Any]:
    """A run with some metrics, whose best epoch is that of the last of them."""
    last = chosen[-1]["name"] if isinstance(chosen[-1], dict) else chosen[-1]
    return {
        "dataset": rows(lab, loss),
        "architecture": {"hidden": [5], "activation": "tanh"},
        "loss": loss,
        "metrics": chosen,
        "optimizer": {"name": "adam", "lr": 0.05},
        "best": {"metric": f"dev_{last}", "mode": metrics[last].mode},
        "training": {"epochs": 9, "batch_size": 16, "evaluate_every": 2, "dtype": "float64", **training},
    }


@pytest.mark.parametrize(
    ("loss", "average"), [*itertools.product(CLASS_LOSSES, AVERAGES), ("mse", ""), ("mae", "")]
)
def test_all_metrics_at_once_are_those_of_the_torch_engine(lab: Any, loss: str, average: str) -> None:
    names = computed("classes" if average else "numbers")
    averaged = [name for name in names if "average" in metrics[name].model_fields]
    chosen = [{"name": name, "average": average} if name in averaged else name for name in names]
    experiment = lab.make(config(lab, loss, chosen))
    assert kernel_metrics(experiment) is not None
    (ours, _), (theirs, _) = (lab.run(engine, experiment) for engine in ("fused", "torch"))
    assert [[value is None for value in row] for row in ours.rows] == [
        [value is None for value in row] for row in theirs.rows
    ]
    mine, wanted = (np.array(list(result.rows), float) for result in (ours, theirs))
    np.testing.assert_allclose(mine, wanted, rtol=1e-8)
    assert mine.shape[1] == 5 + 2 * len(names)
    assert ours.best.epoch == theirs.best.epoch
    assert list(ours.best.metrics) == list(theirs.best.metrics)
    assert ours.best.metrics == pytest.approx(theirs.best.metrics, rel=1e-8)
    np.testing.assert_array_equal(np.asarray(ours.rows), mine)


@pytest.mark.parametrize("loss", ["bce", "cross_entropy", "mse"])
def test_a_metric_has_the_same_bytes_alone_and_among_others(lab: Any, loss: str) -> None:
    names = computed("classes" if loss in CLASS_LOSSES else "numbers")
    together = np.asarray(lab.run("fused", lab.make(config(lab, loss, names)))[0].rows)
    for index, name in enumerate(names):
        alone = np.asarray(lab.run("fused", lab.make(config(lab, loss, [name])))[0].rows)
        for column in (4, 5):
            both = together[:, 4 + index if column == 4 else 5 + len(names) + index]
            np.testing.assert_array_equal(alone[:, 4 if column == 4 else 6], both)


def test_metrics_without_a_kernel_are_computed_in_python(lab: Any) -> None:
    for name in BETWEEN_CALLS:
        assert kernel_metrics(lab.make(config(lab, "bce", ["f1", name]))) is None
    # an error of values after an activation
    counts = lab.rows(60, 3, 2, "poisson_nll") | SPLIT
    assert kernel_metrics(lab.make({"dataset": counts, "loss": "poisson_nll", "metrics": ["mae"]})) is None
