"""Baselines that metrics are compared with: a constant and a linear model, in NumPy.

Both are networks without a hidden layer, so that the same losses and metrics measure them. scikit-learn would
take longer to import than most runs take to train.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlprun.engines.evaluation import evaluate_logits, outputs_of
from mlprun.evaluation.decision import best_threshold
from mlprun.parts.activations import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.engines.evaluation import SplitMetrics
    from mlprun.experiment import Experiment, SplitArrays
    from mlprun.parts.data import Array, Floats


ROWS = 10_000
"""train rows that a baseline is fitted on, at most: the first ones"""
RIDGE = 1e-4
"""added to the mean squares of the features; keeps weights finite where classes can be separated"""
WIDTH = 1000
"""columns that a linear model is fitted to, at most"""
WORK = 3e8
"""multiplications that a fit may take, so that it never costs more than a moment"""
STEPS = 500
"""updates of the logistic fit, at most"""


@dataclass(frozen=True)
class Linear:
    """Logits are `inputs · weight + bias`, without a weight the bias; symbols pick rows of the weight."""

    experiment: Experiment
    weight: Floats | None
    bias: Floats

    def logits(self, inputs: Array) -> Array:
        """[N, D] numbers or [N, T] symbols to [N, K] in the run's dtype."""
        values = np.tile(self.bias, (len(inputs), 1))
        vocabulary = self.experiment.config.architecture.vocabulary
        if self.weight is not None and vocabulary is None:
            values += inputs @ self.weight
        elif self.weight is not None:  # as if symbols were one-hot, which would take many columns
            for position, symbols in enumerate(inputs.T):
                values += self.weight[position * (vocabulary or 0) + symbols]
        return values.astype(self.experiment.dtype)


def baselines(experiment: Experiment, rows: Mapping[str, SplitArrays]) -> dict[str, SplitMetrics]:
    """Figures by baseline and split: a constant, and `logistic regression` or `linear regression`.

    The constant is `majority`, `mean`, or `quantiles`, those of the train rows. A linear regression of
    quantiles is that of the mean, shifted by the quantiles of its residuals.

    There is none where the output activation is neither a probability nor the identity. The regression is
    left out where it would take long, and where the numbers are too large to be squared.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            name: {
                split: evaluate_logits(_decided(model, rows), model.logits(arrays.inputs), arrays)
                for split, arrays in rows.items()
            }
            for name, model in _models(experiment)
        }


def _decided(model: Linear, rows: Mapping[str, SplitArrays]) -> Experiment:
    """Return the experiment with the threshold that is best on dev for the model, if it is to be chosen."""
    experiment, dev = model.experiment, rows.get("dev")
    if dev is None or not experiment.config.decides_on_dev:
        return experiment
    predicted = experiment.predictions(
        outputs_of(experiment, model.logits(dev.inputs)), dev.truth, dev.weights
    )
    return replace(experiment, threshold=best_threshold(experiment.config, predicted))


def _models(experiment: Experiment) -> Iterator[tuple[str, Linear]]:
    link = (experiment.config.architecture.output_activation or Identity()).link
    if link is None:
        return
    levels, targets = experiment.config.loss.levels, _targets(experiment)
    numbers = experiment.classes is None and not experiment.preprocessing.multilabel
    constant = "quantiles" if levels else "mean" if numbers else "majority"
    mean = np.quantile(targets[:, 0], levels) if levels else targets.mean(axis=0)
    if not np.isfinite(mean).all():
        return
    share = np.clip(mean, 1e-7, 1 - 1e-7)
    logits = {"identity": mean, "logit": np.log(share / (1 - share)), "multinomial": np.log(share)}
    yield constant, Linear(experiment, None, logits[link])
    if not _is_quick(experiment, len(mean)):
        return
    features = _features(experiment)
    with suppress(np.linalg.LinAlgError):
        if link == "identity":
            weight, bias = _least_squares(features, targets)
            if levels:
                bias = bias + np.quantile((targets - features @ weight - bias)[:, 0], levels)
        else:
            weight, bias = _logistic(features, targets, independent=link == "logit")
        yield f"{'linear' if link == 'identity' else 'logistic'} regression", Linear(experiment, weight, bias)


def _targets(experiment: Experiment) -> Floats:
    """[N, K] targets of the train rows that baselines learn from; classes are one-hot."""
    targets = experiment.fixed["train"].targets[:ROWS]
    if targets.ndim == 1:
        assert experiment.classes is not None
        targets = np.eye(len(experiment.classes))[targets]
    return np.asarray(targets, np.float64)


def _is_quick(experiment: Experiment, outputs: int) -> bool:
    """Whether a linear model of these rows is fitted in a moment."""
    rows, columns = experiment.fixed["train"].inputs[:ROWS].shape
    width: int = columns * (experiment.config.architecture.vocabulary or 1)
    return width <= WIDTH and rows * width * (width + outputs) <= WORK


def _features(experiment: Experiment) -> Floats:
    """[N, D] features of the same rows; symbols are one-hot."""
    inputs, vocabulary = experiment.fixed["train"].inputs[:ROWS], experiment.config.architecture.vocabulary
    if vocabulary is not None:
        inputs = np.eye(vocabulary)[inputs].reshape(len(inputs), -1)
    return np.asarray(inputs, np.float64)


def _least_squares(features: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Linear regression; collinear features share their weight (the minimum-norm solution)."""
    center, level = features.mean(axis=0), targets.mean(axis=0)
    if not (np.isfinite(center).all() and np.isfinite(level).all()):
        raise np.linalg.LinAlgError  # LAPACK would write to the terminal before it said so
    weight = np.linalg.lstsq(features - center, targets - level, rcond=None)[0]
    return weight, level - center @ weight


def _logistic(features: Floats, targets: Floats, *, independent: bool) -> tuple[Floats, Floats]:
    """Logistic regression per column (`independent`) or over the columns together (softmax).

    Each update divides the gradient by a bound on the Hessian that holds everywhere, so the likelihood never
    falls and no step size is needed. Source: Böhning (1992), doi.org/10.1007/BF00048682
    """
    center, spread = features.mean(axis=0), features.std(axis=0)
    scaled = np.column_stack([(features - center) / np.where(spread > 0, spread, 1), np.ones(len(features))])
    rows, width = scaled.shape
    penalty = np.append(np.full(width - 1, RIDGE), 0.0)
    bound = scaled.T @ scaled / rows * (0.25 if independent else 0.5) + np.diag(penalty + 1e-12)
    inverse = np.linalg.inv(bound)
    weight = np.zeros((width, targets.shape[1]))
    steps = int(np.clip(WORK / (2 * rows * width * targets.shape[1]), 1, STEPS))
    for _ in range(steps):
        values = scaled @ weight
        guess = 1 / (1 + np.exp(-np.clip(values, -500, 500))) if independent else _softmax(values)
        change = inverse @ (scaled.T @ (targets - guess) / rows - penalty[:, None] * weight)
        weight += change
        if np.abs(change).max() < 1e-5:
            break
    slopes = weight[:-1] / np.where(spread > 0, spread, 1)[:, None]
    return slopes, weight[-1] - center @ slopes


def _softmax(values: Floats) -> Floats:
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
