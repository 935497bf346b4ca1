"""Baselines that metrics are compared with: a constant and a linear model, in NumPy, and gradient boosting.

The first two are networks without a hidden layer, so that the same losses and metrics measure them.
scikit-learn would take longer to import than most runs take to train: only gradient boosting needs it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.evaluation import SplitMetrics, evaluate_logits, outputs_of
from mlprun.errors import DataError
from mlprun.evaluation.decision import best_threshold, softmax
from mlprun.parts.activations import Identity
from mlprun.parts.data import Cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlprun.experiment import Experiment, SplitArrays
    from mlprun.parts.data import Array, Data, Floats, Ints, Names

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
OPTIONAL = ("boosting",)
"""what may be asked for beside the constant and the linear model"""
BOOSTING = "gradient boosting"
BINS = 255
"""values of a column that boosting tells apart; more categories are read as numbers"""
TINY = 1e-7
"""the least probability of a class, whose logarithm is a logit"""


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
            values += _one_hot(self.experiment, inputs) @ self.weight
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
            name: _evaluated(
                experiment, {split: model.logits(arrays.inputs) for split, arrays in rows.items()}, rows
            )
            for name, model in _models(experiment)
        }


def _evaluated(
    experiment: Experiment, logits: Mapping[str, Array], rows: Mapping[str, SplitArrays]
) -> SplitMetrics:
    """Return the metrics of logits by split, with the threshold that is best on dev if the config says so."""
    if "dev" in logits and experiment.config.decides_on_dev:
        outputs, dev = outputs_of(experiment, logits["dev"]), rows["dev"]
        predicted = experiment.predictions(outputs, dev.truth, dev.weights)
        experiment = replace(experiment, threshold=best_threshold(experiment.config, predicted))
    return {name: evaluate_logits(experiment, values, rows[name]) for name, values in logits.items()}


def _models(experiment: Experiment) -> Iterator[tuple[str, Linear]]:
    link = (experiment.config.architecture.output_activation or Identity()).link
    if link is None:
        return
    levels, targets = experiment.config.loss.levels, _targets(experiment)
    own = experiment.fixed["train"].weights
    weights = np.ones(len(targets)) if own is None else own[:ROWS]
    numbers = experiment.classes is None and not experiment.preprocessing.multilabel
    constant = "quantiles" if levels else "mean" if numbers else "majority"
    mean = np.quantile(targets[:, 0], levels) if levels else _mean(targets, weights)
    if not np.isfinite(mean).all():
        return
    yield constant, Linear(experiment, None, _logits_of(mean, link))
    if not _is_quick(experiment, len(mean)):
        return
    features = _features(experiment)
    with suppress(np.linalg.LinAlgError):
        if link == "identity":
            weight, bias = _least_squares(features, targets, weights)
            if levels:
                bias = bias + np.quantile((targets - features @ weight - bias)[:, 0], levels)
        else:
            weight, bias = _logistic(features, targets, weights, independent=link == "logit")
        yield f"{'linear' if link == 'identity' else 'logistic'} regression", Linear(experiment, weight, bias)


def _mean(values: Floats, weights: Floats) -> Floats:
    """The weighted mean over rows [N, K]."""
    return np.asarray((values * weights[:, None]).sum(axis=0) / weights.sum())


def _logits_of(outputs: Floats, link: str) -> Floats:
    """The values before the output activation for numbers, or probabilities away from 0 and 1."""
    if link == "identity":
        return outputs
    share = np.clip(outputs, TINY, 1 - TINY)
    return np.log(share / (1 - share) if link == "logit" else share)


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
    architecture = experiment.config.architecture
    width: int = columns * (architecture.vocabulary or 1)
    width += sum(table.categories - 1 for table in architecture.tables)
    return width <= WIDTH and rows * width * (width + outputs) <= WORK


def _features(experiment: Experiment) -> Floats:
    """[N, D] features of the same rows; symbols are one-hot."""
    inputs, vocabulary = experiment.fixed["train"].inputs[:ROWS], experiment.config.architecture.vocabulary
    if vocabulary is not None:
        inputs = np.eye(vocabulary)[inputs].reshape(len(inputs), -1)
    return np.asarray(_one_hot(experiment, inputs), np.float64)


def _one_hot(experiment: Experiment, inputs: Array) -> Array:
    """The inputs with the codes of categories that a network embeds as one-hot columns."""
    parts, start = [], 0
    for position, categories, _ in experiment.config.architecture.tables:
        known = np.eye(categories + 1, categories)  # -1 is the last row, all zeros
        parts += [inputs[:, start:position], known[inputs[:, position].astype(np.int64)]]
        start = position + 1
    return np.concatenate([*parts, inputs[:, start:]], axis=1) if parts else inputs


def _least_squares(features: Floats, targets: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Linear regression; collinear features share their weight (the minimum-norm solution)."""
    center, level = _mean(features, weights), _mean(targets, weights)
    if not (np.isfinite(center).all() and np.isfinite(level).all()):
        raise np.linalg.LinAlgError  # LAPACK would write to the terminal before it said so
    root = np.sqrt(weights)[:, None]
    weight = np.linalg.lstsq(root * (features - center), root * (targets - level), rcond=None)[0]
    return np.asarray(weight), level - center @ weight


def _logistic(
    features: Floats, targets: Floats, weights: Floats, *, independent: bool
) -> tuple[Floats, Floats]:
    """Logistic regression per column (`independent`) or over the columns together (softmax).

    Each update divides the gradient by a bound on the Hessian that holds everywhere, so the likelihood never
    falls and no step size is needed. Source: Böhning (1992), doi.org/10.1007/BF00048682
    """
    center, spread = features.mean(axis=0), features.std(axis=0)
    scaled = np.column_stack([(features - center) / np.where(spread > 0, spread, 1), np.ones(len(features))])
    rows, width = scaled.shape
    share = (weights / weights.sum())[:, None]
    penalty = np.append(np.full(width - 1, RIDGE), 0.0)
    bound = scaled.T @ (share * scaled) * (0.25 if independent else 0.5) + np.diag(penalty + 1e-12)
    inverse = np.linalg.inv(bound)
    weight = np.zeros((width, targets.shape[1]))
    steps = int(np.clip(WORK / (2 * rows * width * targets.shape[1]), 1, STEPS))
    for _ in range(steps):
        values = scaled @ weight
        guess = 1 / (1 + np.exp(-np.clip(values, -500, 500))) if independent else softmax(values)
        change = inverse @ (scaled.T @ (share * (targets - guess)) - penalty[:, None] * weight)
        weight += change
        if np.abs(change).max() < 1e-5:
            break
    slopes = weight[:-1] / np.where(spread > 0, spread, 1)[:, None]
    return slopes, weight[-1] - center @ slopes


def boosting(
    experiment: Experiment, rows: Mapping[str, SplitArrays], data: Data | None = None
) -> dict[str, SplitMetrics]:
    """Figures of scikit-learn's histogram gradient boosting with its defaults, by baseline and split.

    It is fitted to all train rows with the weights of rows and classes, and reads columns as they are in the
    table: categories by nature, missing cells, and numbers without a scale. `data` has the raw rows of the
    split `data`. Rows that are drawn anew are left out. There is none for outputs that are neither numbers
    nor probabilities of classes.

    Raises DataError where the data is gone, and for rows that scikit-learn refuses.
    """
    fixed = {name: arrays for name, arrays in rows.items() if name == "data" or name in experiment.fixed}
    whole, indices = experiment.config.dataset.divided()
    known = whole.categories or (None,) * len(whole.input_names)
    try:
        logits = _boosted(experiment, _raw(whole, indices.train, known), known)
    except ValueError as error:
        what = f"{BOOSTING} cannot be fitted: {' '.join(str(error).split())[:200]}"
        raise DataError("--baselines", what, "leave it out") from error
    if logits is None:
        return {}
    more = {"dev": experiment.fixed["dev"]} if experiment.has("dev") and "dev" in experiment.fixed else {}
    found = {}
    for name in {**more, **fixed}:
        source = data if name == "data" and data is not None else whole
        every = np.arange(len(source.inputs)) if name == "data" else getattr(indices, name)
        found[name] = logits(_raw(source, every, known)).astype(experiment.dtype)
    metrics = _evaluated(experiment, found, {**more, **fixed})
    return {BOOSTING: {name: metrics[name] for name in fixed}}


def _raw(data: Data, rows: Ints, known: Sequence[Names | None]) -> Floats:
    """[N, D] columns as they are; categories by their position among the `known` ones, NaN for others."""
    values = np.array(data.inputs[rows], np.float64)
    for k, names in enumerate(known):
        own = data.categories[k] if data.categories is not None else None
        if names is not None and own is not None and own != names:
            positions = Cells(values[:, k], own).positions(names)
            values[:, k] = np.where(positions < 0, np.nan, positions)
    return values


def _boosted(
    experiment: Experiment, features: Floats, known: Sequence[Names | None]
) -> Callable[[Floats], Floats] | None:
    """Fit to the train rows; returns logits [N, K] of columns [N, D]."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    loss, train = experiment.computed.loss, experiment.fixed["train"]
    link = (experiment.config.architecture.output_activation or Identity()).link
    weights, targets = train.weights_of(loss), train.targets
    options: dict[str, Any] = {
        "categorical_features": [names is not None and len(names) <= BINS for names in known],
        "random_state": experiment.config.training.seed,
    }

    def classifier(labels: Array) -> Callable[[Floats], Floats]:
        """The shares of the labels that there are, [N, K]."""
        present, counts = np.unique(labels, return_counts=True)
        stopping = "auto" if counts.min() > 1 else False  # whose own validation rows are stratified
        model = HistGradientBoostingClassifier(early_stopping=stopping, **options)
        model = model.fit(features, labels, sample_weight=weights) if len(present) > 1 else None
        return lambda rows: np.ones((len(rows), 1)) if model is None else model.predict_proba(rows)

    if link == "multinomial":
        labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
        of_classes, present = classifier(labels), np.unique(labels)

        def logits(rows: Floats) -> Floats:
            shares = np.zeros((len(rows), len(experiment.classes or ())))
            shares[:, present] = of_classes(rows)
            return _logits_of(shares, link)

        return logits
    if link == "logit" and np.isin(targets, (0, 1)).all():
        columns = [(classifier(column), column.max()) for column in targets.T]

        def log_odds(rows: Floats) -> Floats:
            shares = [one(rows)[:, -1] * top for one, top in columns]
            return _logits_of(np.stack(shares, axis=1), link)

        return log_odds
    if link != "identity" or targets.ndim == 1:
        return None
    usual: dict[str, Any] = {"loss": "absolute_error" if loss.name == "mae" else "squared_error"}
    kinds = [{"loss": "quantile", "quantile": level} for level in loss.levels] or [usual] * targets.shape[1]
    models = [
        HistGradientBoostingRegressor(**kind, **options).fit(features, column, sample_weight=weights)
        for kind, column in zip(kinds, targets.T, strict=True)
    ]
    return lambda rows: np.stack([model.predict(rows) for model in models], axis=1)
