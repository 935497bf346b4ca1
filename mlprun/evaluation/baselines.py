"""What a figure is worth beside what anybody could do: a constant and a linear model, in NumPy.

Both are networks without a hidden layer, so that the same losses and metrics measure them. scikit-learn would
take longer to import than most runs take to train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from mlprun.experiment import Experiment, Meter, Tensors
from mlprun.parts.architectures.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

ROWS = 10_000
"""train rows that a baseline is fitted on, at most: the first ones"""
RIDGE = 1e-4
"""added to the mean squares of the features; keeps weights finite where classes can be separated"""
WORK = 3e8
"""multiplications that the logistic fit may take, so that it never costs more than a moment"""
STEPS = 500
"""updates of the logistic fit, at most"""


class Linear(Network):
    """Values before the output activation are `inputs · weight + bias`; symbols are one-hot encoded first."""

    def __init__(self, experiment: Experiment, weight: Matrix, bias: Matrix) -> None:
        super().__init__()
        architecture = experiment.config.architecture
        self.vocabulary = architecture.vocabulary
        self.weight = torch.from_numpy(weight.astype(experiment.dtype))
        self.bias = torch.from_numpy(bias.astype(experiment.dtype))
        activation = architecture.output_activation
        self.output_activation = nn.Identity() if activation is None else activation.build()

    def preactivation(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] symbols to [B, K]."""
        if self.vocabulary is not None:
            rows = nn.functional.one_hot(rows, self.vocabulary).flatten(1).to(self.weight.dtype)
        return rows @ self.weight + self.bias


def baselines(experiment: Experiment, rows: Mapping[str, Tensors]) -> dict[str, dict[str, dict[str, Any]]]:
    """Figures by baseline and split: `majority` or `mean`, and `logistic regression` or `linear regression`.

    There is none where the output activation is neither a probability nor the identity, nor where the
    numbers are too large to be squared.
    """
    meter = Meter(experiment)
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            models = _models(experiment)
        except np.linalg.LinAlgError:
            return {}
    return {
        name: {split: meter.evaluate(model, tensors) for split, tensors in rows.items()}
        for name, model in models.items()
    }


def _models(experiment: Experiment) -> dict[str, Linear]:
    activation = experiment.config.architecture.output_activation
    name = "identity" if activation is None else activation.name
    features, targets = _fitted_rows(experiment)
    constant = "mean" if experiment.classes is None else "majority"
    flat = np.zeros((features.shape[1], targets.shape[1]))
    mean = targets.mean(axis=0)
    if name == "identity":
        weight, bias = _least_squares(features, targets)
        return {
            constant: Linear(experiment, flat, mean),
            "linear regression": Linear(experiment, weight, bias),
        }
    if name in ("logistic", "sigmoid", "softmax", "log_softmax"):
        independent = name in ("logistic", "sigmoid")
        share = np.clip(mean, 1e-7, 1 - 1e-7)
        level = np.log(share / (1 - share)) if independent else np.log(share)
        weight, bias = _logistic(features, targets, independent=independent)
        return {
            constant: Linear(experiment, flat, level),
            "logistic regression": Linear(experiment, weight, bias),
        }
    return {}


def _fitted_rows(experiment: Experiment) -> tuple[Matrix, Matrix]:
    """Features [N, D] and targets [N, K] (classes one-hot) of the train rows that baselines learn from."""
    train, vocabulary = experiment.fixed["train"], experiment.config.architecture.vocabulary
    inputs, targets = train.inputs[:ROWS], train.targets[:ROWS]
    features = inputs if vocabulary is None else np.eye(vocabulary)[inputs].reshape(len(inputs), -1)
    if targets.ndim == 1:
        assert experiment.classes is not None
        targets = np.eye(len(experiment.classes))[targets]
    return np.asarray(features, np.float64), np.asarray(targets, np.float64)


def _least_squares(features: Matrix, targets: Matrix) -> tuple[Matrix, Matrix]:
    """Linear regression; collinear features share their weight (the minimum-norm solution)."""
    center, level = features.mean(axis=0), targets.mean(axis=0)
    if not (np.isfinite(center).all() and np.isfinite(level).all()):
        raise np.linalg.LinAlgError  # LAPACK would write to the terminal before it said so
    weight = np.linalg.lstsq(features - center, targets - level, rcond=None)[0]
    return weight, level - center @ weight


def _logistic(features: Matrix, targets: Matrix, *, independent: bool) -> tuple[Matrix, Matrix]:
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


def _softmax(values: Matrix) -> Matrix:
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
