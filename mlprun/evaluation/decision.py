"""What is chosen on dev once a run is trained: the temperature of its logits and its threshold."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from mlprun.errors import CheckpointError
from mlprun.interrupts import defer_interrupts
from mlprun.parts.activations import Identity
from mlprun.parts.metrics import ECE, Metric
from mlprun.parts.part import Options, PositiveFloat

if TYPE_CHECKING:
    from mlprun.engines import Engine
    from mlprun.engines.contract import Arrays
    from mlprun.experiment import Experiment
    from mlprun.parts.data import Array, Floats
    from mlprun.parts.metrics import Predictions
    from mlprun.schema import Config

BOUNDS = (0.05, 20.0)
"""of temperatures: on separable dev rows the best one would be 0"""
STEPS = 60
"""bisections of the logarithm of the temperature, which leave nothing but rounding"""
CANDIDATES = 1000
"""thresholds that are compared, at most"""


class Decision(Options):
    """The temperature that logits are divided by and the threshold of class 1, or of labels.

    They are None where not asked for. `ece` is the expected calibration error on dev before and after the
    division.
    """

    temperature: PositiveFloat | None = None
    ece: tuple[float, float] | None = None
    threshold: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what was chosen as JSON values."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def from_json(cls, values: Any, where: str) -> Decision:
        """Invert `to_json`. Raises CheckpointError for anything else."""
        try:
            with defer_interrupts():
                return cls.model_validate_json(json.dumps(values))
        except ValidationError as error:
            what = "its threshold or temperature is damaged"
            raise CheckpointError(where, what, "use another checkpoint of the run") from error


def calibrated(config: Config, model: Arrays, decision: Decision) -> Arrays:
    """Return the model with its logits divided by the temperature, if there is one."""
    if decision.temperature is None:
        return model
    scaled = {
        name: np.asarray(model[name] / decision.temperature, model[name].dtype)
        for name in model
        if name.startswith(f"{config.architecture.output_layer_name}.")
    }
    return {**model, **scaled}


def decided(experiment: Experiment, model: Arrays, decision: Decision) -> tuple[Experiment, Arrays]:
    """Return an experiment and a model whose predictions follow the decision."""
    return replace(experiment, threshold=decision.threshold), calibrated(experiment.config, model, decision)


def decide(experiment: Experiment, engine: Engine, model: Arrays, *, epoch: int, device: str) -> Decision:
    """Choose on the dev rows what the config asks for, for the model after `epoch` epochs."""
    config, rows = experiment.config, experiment.rows("dev", epoch=epoch)
    decision = Decision()

    def predictions() -> Predictions:
        outputs = engine.outputs(experiment, calibrated(config, model, decision), rows.inputs, device=device)
        return experiment.predictions(outputs, rows.truth, rows.weights)

    predicted = predictions()
    if config.calibrate is not None:
        architecture = config.architecture.model_copy(update={"output_activation": Identity()})
        linear = replace(experiment, config=config.model_copy(update={"architecture": architecture}))
        logits = engine.outputs(linear, model, rows.inputs, device=device)
        before = ECE().compute_rows(predicted.with_weight())
        decision = Decision(temperature=temperature(logits, rows.truth, rows.weights))
        predicted = predictions()
        decision = decision.model_copy(update={"ece": (before, ECE().compute_rows(predicted.with_weight()))})
    return decision.model_copy(update={"threshold": best_threshold(config, predicted)})


def temperature(logits: Array, targets: Array, weights: Floats | None = None) -> float:
    """Return the temperature with the smallest negative log-likelihood of the true classes.

    `logits` is [N, K], or [N, 1] for two classes; `targets` [N] class ids; `weights` [N]. The likelihood has
    one maximum in the inverse temperature, where the mean logit of the true classes is the one expected by
    the model.
    Source: Guo et al. (2017), arxiv.org/abs/1706.04599
    """
    scores = np.asarray(logits, np.float64)
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    observed = np.average(scores[np.arange(len(scores)), targets], weights=weights)
    low, high = (math.log(bound) for bound in BOUNDS)
    for _ in range(STEPS):
        middle = (low + high) / 2
        expected = (softmax(scores / math.exp(middle)) * scores).sum(axis=1)
        if np.average(expected, weights=weights) > observed:
            low = middle  # too sure
        else:
            high = middle
    return math.exp((low + high) / 2)


def softmax(logits: Floats) -> Floats:
    """[N, K] the probabilities of logits [N, K]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def best_threshold(config: Config, predicted: Predictions) -> float | None:
    """Return the threshold of class 1, or of labels, that the config asks for; None without one.

    It is chosen on these rows, and the same for all labels.
    Compared are the thresholds between two neighbouring scores, or so many of them at equal distances in
    rank, and that of 0.5; of equally good ones the nearest to it is taken.
    """
    chosen = config.threshold
    if chosen is None or isinstance(chosen, float) or chosen.class_costs:
        return None
    usual = predicted.threshold
    deciding = predicted.outputs if predicted.multilabel else predicted.outputs[:, -1]
    scores = np.unique(np.asarray(deciding, np.float64))
    between = (scores[1:] + scores[:-1]) / 2
    if len(between) > CANDIDATES:
        between = between[np.linspace(0, len(between) - 1, CANDIDATES).round().astype(np.int64)]
    candidates = np.array([usual, *between])
    values = np.array([_value(chosen, replace(predicted, threshold=float(one))) for one in candidates])
    values[np.isnan(values)] = -math.inf
    best = np.flatnonzero(values == values.max())
    return float(candidates[best[np.argmin(np.abs(candidates[best] - usual))]])


def _value(chosen: Any, predicted: Predictions) -> float:
    """How good predictions are: the metric, or minus the mean cost."""
    if chosen.costs is not None:
        costs = np.asarray(chosen.costs)
        truth = np.asarray(predicted.targets, np.int64)
        return -float(np.mean(predicted.mean(costs[truth, predicted.labels])))
    metric: Metric = chosen.metric
    value = float(metric.compute_rows(predicted.with_weight()))
    return value if metric.mode == "max" else -value
