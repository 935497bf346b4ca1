"""scikit-learn estimators: multilayer perceptrons with scikit-learn's parameters, trained by the engines.

    from mlprun.sklearn import MLPClassifier

    model = MLPClassifier(hidden_layer_sizes=(64, 64), random_state=0).fit(X, y)

They take the place of those in `sklearn.neural_network`: parameters of the same name mean the same. Whatever
else a config can say is given as `config`, a mapping that is merged over what the parameters amount to.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import sys
import warnings
from contextlib import nullcontext
from dataclasses import KW_ONLY, dataclass, replace
from functools import lru_cache
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.sparse import issparse
from scipy.special import xlogy
from sklearn import neural_network
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import d2_pinball_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from mlprun import api, engines, schema
from mlprun.config.document import Document, from_mapping
from mlprun.config.parser import compose_mapping
from mlprun.config.tree import Source, merge
from mlprun.engines import State
from mlprun.engines.device import compute_context, resolve
from mlprun.errors import UsageError
from mlprun.experiment import Experiment, history_columns
from mlprun.experiment.preprocessing import plain_preprocessing
from mlprun.interrupts import StopFlag
from mlprun.parts.activations import activations, each
from mlprun.parts.architectures import Mlp
from mlprun.parts.data import Data
from mlprun.parts.datasets.dataset import digits, numbered
from mlprun.parts.initializers import LayerInit
from mlprun.parts.losses import balanced_weights
from mlprun.training.trainer import Callback, Trainer, TrainingRun, as_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.random import RandomState

    from mlprun.engines import ChunkResult, Engine
    from mlprun.experiment import SplitArrays
    from mlprun.parts.data import Array, DatasetInfo, Floats, Ints
    from mlprun.parts.metrics import Predictions
    from mlprun.schema import Config

    Activation = str | Mapping[str, Any]

_LOG = logging.getLogger(__name__)
_SECTIONS = (
    *("architecture", "loss", "penalty", "optimizer", "freeze", "schedule", "training", "metrics"),
    *("best", "device", "engine"),
)
"""what `config` may name; data, stopping and decisions are scikit-learn's"""
_OF_RUNS = ("checkpoint", "snapshots", "trackers")
"""what else it may name with `run_dir`"""
BATCH = 200
"""rows of a batch with `batch_size="auto"`; for no more than these, `dtype="auto"` is float64"""
SMALLEST_RATE = 1e-6
"""learning rate from which `learning_rate="adaptive"` ends training instead of dividing it"""


class _Convergence(Callback):
    """Keeps the loss curve of an estimator, and stops its run at the epoch at which scikit-learn stops.

    No chunk goes beyond the first epoch at which that may be, so that none is trained twice.
    """

    def __init__(self, estimator: _Perceptron, experiment: Experiment) -> None:
        names, best = history_columns(experiment.config), experiment.config.best
        watched = ("epoch", "train_objective", "train_loss", best.metric)
        self.estimator, self._columns = estimator, [names.index(name) for name in watched]
        self._sign = 1 if best.mode == "max" else -1
        self._share, self._constant = estimator._loss_offset(experiment.fixed["train"])  # noqa: SLF001

    def chunk_limit(self, run: TrainingRun) -> int | None:
        """Return the epoch at which all epochs to come would have been without improvement."""
        left = self.estimator.n_iter_no_change + 1 - self.estimator._no_improvement_count  # noqa: SLF001
        return None if math.isinf(left) else run.epoch + max(1, int(left))

    def on_chunk_end(self, run: TrainingRun, chunk: ChunkResult) -> None:
        """Add the epochs of a chunk to the curves, and compare each with the best so far."""
        table = as_table(chunk.rows, len(run.columns))[:, self._columns]
        for epoch, objective, loss, score in table.tolist():
            value = objective - self._share * loss + self._constant
            self.estimator._observe(int(epoch), value, self._sign * score)  # noqa: SLF001
        if self.estimator._no_improvement_count > self.estimator.n_iter_no_change:  # noqa: SLF001
            run.request_stop("no improvement")


@dataclass(eq=False, repr=False)
class _Perceptron(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators: a fit from checked rows and targets to coefficients."""

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: Activation | Sequence[Activation] = "relu"
    _: KW_ONLY
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: int | RandomState | None = None
    tol: float = 1e-4
    verbose: bool = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    dtype: str = "auto"
    dropout: float | Sequence[float] = 0.0
    config: Mapping[str, Any] | None = None
    run_dir: str | os.PathLike[str] | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **neural_network.MLPClassifier._parameter_constraints,  # noqa: SLF001 -- the same bounds
        "activation": [StrOptions(set(activations.names())), dict, "array-like"],
        "solver": [StrOptions({"adam", "sgd"})],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "config": [dict, None],
        "run_dir": [str, os.PathLike, None],
    }
    _target_checks: ClassVar[dict[str, bool]] = {}
    """options of the check of targets"""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on rows X of shape (n_samples, n_features) and their targets y.

        Args:
            X: Array, data frame or sparse matrix of numbers. Columns of categories need an encoder, such as
                `OneHotEncoder` in a `Pipeline`.
            y: Targets of shape (n_samples,) or (n_samples, n_outputs).
            sample_weight: Weights of rows: a row of weight 2 counts as two copies.

        Returns:
            The estimator itself.

        Raises:
            ValueError: A parameter or the data cannot be used, or training diverged.
            ConfigError: `config` cannot be used; the message names the option.
        """
        self._validate_params()
        warm = self.warm_start and hasattr(self, "coefs_")
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32),
            reset=not warm, **self._target_checks,
        )  # fmt: skip
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else _dense(y)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        targets, weights = self._encode(y, weights, warm=warm)
        data = _data(_dense(X), targets, self._n_classes, weights)
        network, config_text = self._network_of(data)
        random = check_random_state(self.random_state)
        self._prepare_history(warm=warm)
        model = {} if warm else _drawn(network, random)
        rows = self._split(data, random)
        training, seed = network.config.training, int(random.randint(2**31 - 1))
        if "seed" not in training.model_fields_set:
            training = training.model_copy(update={"seed": seed})
        config = network.config.model_copy(update={"training": training})
        prepared = {name: network.prepare(data, indices) for name, indices in rows.items()}
        experiment = replace(network, fixed=prepared).with_config(config)
        engine, _ = engines.choose(experiment, config.engine)
        device = resolve(config.device)
        engine.warm_up(experiment, _LOG.warning)
        state = State(0, self._initial(experiment, engine, model, warm=warm))
        self.config_: dict[str, Any] = {**json.loads(config_text), "engine": engine.name, "device": device}
        self.config_["training"]["seed"] = training.seed
        if self.run_dir is not None:
            trained = self._train_in_folder(experiment, state, os.fspath(self.run_dir))
        else:  # the kernels use no BLAS, whose threads take a while to set
            with nullcontext() if engine.name == "fused" else compute_context(training.threads, device):
                trained = self._train(experiment, engine, state, device)
        if self.n_iter_ == training.epochs and self._no_improvement_count <= self.n_iter_no_change:
            what = (
                f"Maximum iterations ({training.epochs}) reached and the optimization hasn't converged yet."
            )
            warnings.warn(f"Stochastic Optimizer: {what}", ConvergenceWarning, stacklevel=2)
        self._keep(experiment, trained)
        return self

    def _encode(self, y: Array, weights: Floats | None, *, warm: bool) -> tuple[Array, Floats | None]:
        """Return targets as mlprun reads them, [N] class ids or [N, K] numbers, and the weights of rows.

        Sets `_n_classes`: the number of classes, 0 for several labels, None for numbers.
        """
        raise NotImplementedError

    def _loss(self, targets: Array) -> tuple[dict[str, Any], str]:
        """Return the loss, scaled as in scikit-learn, and the dev metric that is the validation score."""
        raise NotImplementedError

    def _loss_offset(self, rows: SplitArrays) -> tuple[float, float]:
        """Return the share of `train_loss` and the constant that make scikit-learn's loss of the objective.

        The share is taken away, the constant added.
        """
        return 0.0, 0.0

    def _network_of(self, data: Data) -> tuple[Experiment, str]:
        """Return `_network` of the parameters and `config` for these rows."""
        given = self.config or {}
        sections = _SECTIONS if self.run_dir is None else (*_SECTIONS, *_OF_RUNS)
        for section in given:
            if section not in sections:
                what = f"{section} has no meaning in an estimator"
                raise UsageError("config", what, f"use {', '.join(sections)}")
        loss, score = self._loss(data.targets)
        rows = len(data.inputs)
        dev = math.ceil(rows * self.validation_fraction) if self.early_stopping else 0
        if self.early_stopping and dev < 2:
            remedy = "Increase 'validation_fraction' or the size of your dataset."
            raise ValueError(f"The validation set is too small. {remedy}")
        schedule: Any = "constant"
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            schedule = {"name": "inverse", "rate": rows - dev, "power": self.power_t}
        automatic = "float64" if rows <= BATCH else "float32"
        options = {
            "dataset": {
                "name": "table",
                "path": "data.parquet",
                "target": list(data.target_names),
                "task": data.info.target_kind,
                "classes": None if data.classes is None else len(data.classes),
                "standardize": False,
                "split": {"train": rows - dev, "dev": dev, "test": 0, "shuffle": False},
            },
            "architecture": self._architecture(),
            "loss": loss,
            "penalty": {"l2": 0.5 * self.alpha, "divide_by_rows": True},
            "optimizer": self._optimizer(),
            "schedule": schedule,
            "training": {
                "epochs": self.max_iter,
                "batch_size": BATCH if self.batch_size == "auto" else self.batch_size,
                "shuffle": self.shuffle,
                "dtype": automatic if self.dtype == "auto" else self.dtype,
            },
            "metrics": [score] if self.early_stopping and score != "loss" else [],
            "best": {"metric": f"dev_{score}" if self.early_stopping else "dev_loss"},
            "engine": "fused",
        }
        texts = (json.dumps(one, default=_plain) for one in (options, given))
        network, config = _network(type(self).__name__, *texts, data.info)
        if problem := network.config.loss.unsupported_targets(data.targets):
            raise UsageError("loss", problem)
        return network, config

    def _architecture(self) -> dict[str, Any]:
        units = np.atleast_1d(self.hidden_layer_sizes).tolist()
        if min(units, default=1) <= 0:
            raise ValueError(f"hidden_layer_sizes must be > 0, got {units}.")
        options: dict[str, Any] = {"name": "mlp"}
        own: list[dict[str, Any]] = [{"units": size} for size in units]
        for name in ("activation", "dropout"):
            value = getattr(self, name)
            if isinstance(value, str | float | int | dict):
                options[name] = value
                continue
            if len(value) != len(units):
                what = f"{name} lists {len(value)} values for {len(units)} hidden layers"
                raise ValueError(f"{what}; give one for each, or a single one for all")
            for layer, one in zip(own, value, strict=True):
                layer[name] = one
        return options | ({"hidden": units} if all(len(layer) == 1 for layer in own) else {"layers": own})

    def _optimizer(self) -> dict[str, Any]:
        nesterov = bool(self.nesterovs_momentum and self.momentum)  # without momentum there is none
        options: dict[str, Any] = {"momentum": self.momentum, "nesterov": nesterov}
        if self.solver == "adam":
            options = {"betas": [self.beta_1, self.beta_2], "eps": self.epsilon, "eps_hat": True}
        return {"name": self.solver, "lr": self.learning_rate_init, **options}

    def _split(self, data: Data, random: RandomState) -> dict[str, Ints]:
        """Return the rows of each split: all are train rows unless early stopping needs some for dev."""
        every = np.arange(len(data.inputs))
        rows = {"train": every, "dev": every[:0], "test": every[:0]}
        if self.early_stopping:
            binary = data.classes is not None and len(data.classes) == 2
            stratify = data.targets if binary else None
            options = {"test_size": self.validation_fraction, "stratify": stratify, "random_state": random}
            rows["train"], rows["dev"] = train_test_split(every, **options)
        return rows

    def _initial(
        self, experiment: Experiment, engine: Engine, model: Mapping[str, Array], *, warm: bool
    ) -> dict[str, Array]:
        """Return the parameters to start with: those of the last fit, the drawn ones, or the config's."""
        expected = {name: shape for name, (_, shape) in experiment.tensors().items()}
        if warm:
            model = self._model(expected)
            if {name: array.shape for name, array in model.items()} != expected:
                raise ValueError("warm_start needs the layers of the previous call to fit")
            return dict(model)
        if model.keys() >= expected.keys():
            return {name: model[name] for name in expected}
        others = engine.initial_state(experiment).model
        return {name: model.get(name, others[name]) for name in expected}

    def _prepare_history(self, *, warm: bool) -> None:
        if warm and self.early_stopping == (self.validation_scores_ is not None):
            return
        self.t_, self._no_improvement_count = 0, 0
        self.loss_curve_: list[float] = []
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: Any = -math.inf if self.early_stopping else None
        self.best_loss_: Any = None if self.early_stopping else math.inf

    def _observe(self, epoch: int, loss: float, score: float) -> None:
        """Compare an epoch with the best so far, by its validation score or else by its loss."""
        self.loss_curve_.append(loss)
        if self.validation_scores_ is None:
            stalled = loss > self.best_loss_ - self.tol
            self.best_loss_ = min(self.best_loss_, loss)
        else:
            self.validation_scores_.append(score)
            stalled = score < self.best_validation_score_ + self.tol
            self.best_validation_score_ = max(self.best_validation_score_, score)
        self._no_improvement_count = self._no_improvement_count + 1 if stalled else 0
        if self.verbose:
            validation = "" if self.validation_scores_ is None else f"Validation score: {score:f}\n"
            sys.stdout.write(f"Iteration {epoch}, loss = {loss:.8f}\n{validation}")

    def _train(
        self, experiment: Experiment, engine: Engine, state: State, device: str
    ) -> Mapping[str, Array]:
        """Train until it converges, and return the parameters."""
        convergence, best = _Convergence(self, experiment), None
        with StopFlag() as stop:
            while True:
                run = TrainingRun(experiment, state, callbacks=[convergence])
                Trainer(engine, [run], device=device, stop=stop).fit()
                run.raise_for_error()
                best, state = run.best or best, run.state
                optimizer = experiment.config.optimizer
                adapts = self.solver == "sgd" and self.learning_rate == "adaptive"
                if run.stop_reason != "callback" or not adapts or optimizer.lr <= SMALLEST_RATE:
                    break
                self._no_improvement_count = 0
                slower = {"optimizer": optimizer.model_copy(update={"lr": optimizer.lr / 5})}
                experiment = experiment.with_config(experiment.config.model_copy(update=slower))
        if stop.number == signal.SIGTERM:
            signal.raise_signal(signal.SIGTERM)
        self.n_iter_ = run.epoch
        if run.stop_reason == "diverged":
            what = f"training diverged after epoch {run.epoch}"
            raise ValueError(f"{what}; scale the inputs by StandardScaler, or lower learning_rate_init")
        if run.stop_reason == "interrupted":
            warnings.warn("Training interrupted by user.", stacklevel=3)
        return best.model if self.early_stopping and best is not None else state.model

    def _train_in_folder(self, experiment: Experiment, state: State, out: str) -> Mapping[str, Array]:
        """Train the same in a new run folder below `run_dir`, which has its rows and initial parameters."""
        if self.solver == "sgd" and self.learning_rate == "adaptive":
            remedy = "use constant or invscaling, or config={'schedule': ...}"
            raise UsageError("run_dir", "a run has no learning_rate='adaptive'", remedy)
        splits = [experiment.fixed[name] for name in ("train", "dev")]
        inputs, truth = (
            np.concatenate([getattr(one, name) for one in splits]) for name in ("inputs", "truth")
        )
        dataset, architecture = dict(self.config_["dataset"]), dict(self.config_["architecture"])
        if splits[0].weights is not None:  # as a last column
            inputs = np.column_stack([inputs, np.concatenate([one.weights for one in splits])])
            dataset["weight"] = f"x{inputs.shape[1]}"
        shapes = experiment.config.architecture.shapes(experiment.width) or {}
        values = {name: state.model[name].tolist() for name in shapes}
        architecture["init"] = {"name": "values", "parameters": values}
        config = {**self.config_, "dataset": dataset, "architecture": architecture}
        run = api.train(config, data=(inputs, truth), out=out, callbacks=[_Convergence(self, experiment)])
        self.run_, self.n_iter_ = run.path, run.status.epochs
        return (run.best if self.early_stopping else run.last).model

    def _keep(self, experiment: Experiment, model: Mapping[str, Array]) -> None:
        """Set the fitted attributes."""
        architecture: Any = experiment.config.architecture
        count = len(architecture.hidden_layers) + 1
        self.coefs_ = [np.ascontiguousarray(model[f"layers.{k}.weight"].T) for k in range(count)]
        biases = (model.get(f"layers.{k}.bias", 0 * coef[0]) for k, coef in enumerate(self.coefs_))
        self.intercepts_ = [np.array(bias) for bias in biases]
        self.norms_ = {name: array for name, array in model.items() if not name.startswith("layers.")}
        self.n_layers_, self.n_outputs_ = count + 1, self.coefs_[-1].shape[1]
        self.out_activation_ = str(architecture.output_activation.name)
        self.t_ += len(experiment.fixed["train"]) * self.n_iter_
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else math.nan

    def _predictions(self, X: Any) -> Predictions:
        """Return what the network says of rows."""
        check_is_fitted(self)
        dtypes = (np.float64, np.float32)
        X = _dense(validate_data(self, X, accept_sparse=["csr", "csc"], dtype=dtypes, reset=False))
        experiment = _fitted(json.dumps(self.config_), X.shape[1], self._n_classes, self.n_outputs_)
        engine, device = engines.named(experiment.config.engine), experiment.config.device
        inputs = X.astype(experiment.dtype, copy=False)
        outputs = engine.outputs(experiment, self._model(experiment.tensors()), inputs, device=device)
        return experiment.predictions(outputs, np.zeros(len(X), np.int64))

    def _model(self, names: Iterable[str]) -> dict[str, Array]:
        """Return the fitted parameters and buffers by name, of those that the network has."""
        model: dict[str, Array] = dict(self.norms_)
        for k, (coef, intercept) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
            model |= {f"layers.{k}.weight": np.ascontiguousarray(coef.T), f"layers.{k}.bias": intercept}
        return {name: model[name] for name in names if name in model}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _dense(values: Any) -> Any:
    """Return an array of its own where it is sparse or, as those of pandas, cannot be written to."""
    return values.toarray() if issparse(values) else np.require(values, requirements="W")


def _data(inputs: Array, targets: Array, classes: int | None, weights: Floats | None = None) -> Data:
    """Return rows as mlprun takes them; with 0 `classes` targets are labels, without any numbers."""
    width = 1 if targets.ndim == 1 else targets.shape[1]
    names = numbered("x", inputs.shape[1]), ("y",) if width == 1 else numbered("y", width)
    known = digits(max(2, classes)) if classes else None
    return Data(inputs, targets, *names, known, weights=weights, multilabel=classes == 0)


def _plain(value: Any) -> Any:
    """Return what JSON has of a NumPy array or number."""
    if not hasattr(value, "tolist"):
        raise UsageError(
            "config", f"a {type(value).__name__} is not a config value", "use numbers and strings"
        )
    return value.tolist()


@lru_cache(maxsize=64)
def _network(name: str, options: str, given: str, info: DatasetInfo) -> tuple[Experiment, str]:
    """Return an experiment without rows, and its config as JSON; folds of a search share them.

    `options` are what parameters amount to, and `given` is laid over them, both as JSON.
    """
    base = compose_mapping(json.loads(options), Source(name, "", 0))
    root = merge(base, compose_mapping(json.loads(given), Source("config", "", 1)))
    config = schema.parse(Document(root, name, ""), info_of=lambda _: info)
    if not isinstance(config.architecture, Mlp) or config.architecture.embedding is not None:
        raise UsageError("config", "architecture: an estimator trains an mlp of numbers", "leave it out")
    classes = 0 if info.multilabel else len(info.classes or ()) or None
    return _without_rows(config, info.inputs, classes, info.targets), json.dumps(schema.dump(config, ""))


@lru_cache(maxsize=64)
def _fitted(config: str, inputs: int, classes: int | None, outputs: int) -> Experiment:
    """Return the experiment of a fitted estimator's config, without rows."""
    parsed = schema.parse(from_mapping(json.loads(config), "", "config_"), data=False)
    return _without_rows(parsed, inputs, classes, 1 if parsed.loss.levels else outputs)


def _without_rows(config: Config, inputs: int, classes: int | None, targets: int) -> Experiment:
    data = _data(np.zeros((0, inputs)), np.zeros((0,) if classes else (0, targets)), classes)
    return Experiment.without_data(config, plain_preprocessing(data, symbols=False))


def _drawn(experiment: Experiment, random: RandomState) -> dict[str, Array]:
    """Draw the weights and biases that scikit-learn draws, where the config names no initialisers."""
    architecture: Any = experiment.config.architecture
    dtype, plain = experiment.dtype, LayerInit()
    if architecture.init != plain or any(init != plain for init in architecture.all_inits.values()):
        return {}
    model: dict[str, Array] = {}
    layers = architecture.hidden_layers
    names = [type(each(layer.activation)[0]).names()[0] for layer in layers]
    widths = [experiment.width, *(layer.units for layer in layers), architecture.outputs]
    # of the output layer, scikit-learn takes the activation of the hidden ones
    for k, (before, after) in enumerate(pairwise(widths)):
        name = names[min(k, len(names) - 1)] if names else "relu"
        bound = math.sqrt((2 if name == "logistic" else 6) / (before + after))
        weight = random.uniform(-bound, bound, (before, after))
        model[f"layers.{k}.weight"] = np.ascontiguousarray(weight.T, dtype)
        model[f"layers.{k}.bias"] = random.uniform(-bound, bound, after).astype(dtype)
    return model


@dataclass(eq=False, repr=False, kw_only=True)
class MLPClassifier(ClassifierMixin, _Perceptron):  # type: ignore[misc]
    """Multilayer perceptron that classifies, with scikit-learn's parameters and mlprun's engines.

    With `dtype="float64"`, `shuffle=False` and a `random_state` that is an int, the start weights, the loss
    curve and the epoch at which training stops are those of `sklearn.neural_network.MLPClassifier` up to
    rounding.

    Parameters:
        hidden_layer_sizes: Units of each hidden layer; `()` for none.
        activation: Activation of hidden layers: `relu`, `tanh`, `logistic`, `identity`, or any other that
            `mlprun list activations` names, as a name or a mapping with its options. A list has one for each
            hidden layer.
        solver: `adam` or `sgd`. scikit-learn's `lbfgs` is not one of them: `config={"optimizer": "lbfgs",
            "engine": "torch"}` trains with PyTorch's.
        alpha: Strength of the L2 penalty on weights, which is divided by the rows of a batch, or their
            weights.
        batch_size: Rows of a batch; `auto` for 200, or all if there are fewer.
        learning_rate: `constant`; `invscaling` divides the rate by a power of the rows seen so far, and
            `adaptive` by 5 where training stops otherwise. These two are for `sgd`, whose velocity is scaled
            with the rate here; in scikit-learn it keeps the former one, which makes a difference for
            `momentum` above 0.
        learning_rate_init: Initial learning rate.
        power_t: Exponent of `invscaling`.
        max_iter: Epochs at most.
        shuffle: Shuffle rows in each epoch. Their order is that of mlprun's generator, so that a loss curve
            differs from scikit-learn's.
        random_state: Seed or RandomState of start weights, the validation rows, row order and dropout. Start
            weights and validation rows are those of scikit-learn.
        tol: An epoch that improves the loss, or the validation score, by less counts as one without
            improvement.
        verbose: Print the loss of each epoch.
        warm_start: Start from the parameters of the previous `fit`.
        momentum: Momentum of `sgd`.
        nesterovs_momentum: Use Nesterov's momentum.
        early_stopping: Hold out rows for validation, stop by their score instead of the loss, and keep the
            parameters of the best epoch. The score is accuracy, with labels that of rows with every label
            correct.
        validation_fraction: Share of rows held out.
        beta_1: Decay of Adam's mean of gradients.
        beta_2: Decay of Adam's mean of squares.
        epsilon: Number added to the root of Adam's mean of squares.
        n_iter_no_change: Epochs without improvement before training stops.
        dtype: Floating-point type of training, whatever the type of X: `float32`, which takes about half as
            long, `float64`, or `auto`, which is float64 for up to 200 rows and float32 for more.
        dropout: Dropout probability of hidden layers; a list has one for each.
        class_weight: Weights of classes, which multiply `sample_weight`: `balanced`, or a mapping; others
            weigh 1. With labels, as for `sklearn.utils.class_weight.compute_sample_weight`.
        config: Everything else that a config of mlprun can say, merged over what the parameters amount to,
            such as `{"optimizer": "adamw", "architecture": {"norm": "batch"}, "loss": {"label_smoothing":
            0.1}}`. Sections are architecture, loss, penalty, optimizer, freeze, schedule, training, metrics,
            best, device and engine (`fused` unless given). An `init` of the architecture replaces
            scikit-learn's start weights. With `early_stopping`, `{"metrics": ["f1"], "best": {"metric":
            "dev_f1"}}` makes another metric the validation score.
        run_dir: Folder in which each `fit` makes a run folder, with history, checkpoints and rows, for
            `mlprun report` and others; `config` may name checkpoint, snapshots and trackers, too. Without it
            nothing is written.

    Attributes:
        classes_: Classes in the order of the columns of `predict_proba`; the numbers of labels.
        coefs_: Weights of each layer, (inputs, outputs). Predictions are made from them.
        intercepts_: Biases of each layer.
        norms_: Parameters and statistics of norms by name.
        config_: The complete config that was trained.
        run_: Path of the run folder, if there is one.
        loss_curve_: Loss of each epoch, with the penalty, as the mean over batches before their update; of
            all fits with `warm_start`. It is computed from logits, where scikit-learn's stays below 36.
        loss_: The last of them.
        best_loss_: The smallest; None with `early_stopping`.
        validation_scores_: Score of each epoch; None without `early_stopping`.
        best_validation_score_: The largest; None without `early_stopping`.
        n_iter_: Epochs of the last fit.
        t_: Rows seen in training.
        n_layers_: Layers, the input included.
        n_outputs_: Outputs of the network.
        out_activation_: Activation of the outputs.
        n_features_in_: Columns of X.
        feature_names_in_: Their names, if X was a data frame with strings as names.

    Examples:
        >>> from mlprun.sklearn import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.model_selection import cross_val_score
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> X, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier((16, 16), ["tanh", "relu"], learning_rate_init=0.03, random_state=0)
        >>> pipeline = make_pipeline(StandardScaler(), model)
        >>> bool(cross_val_score(pipeline, X, y).mean() > 0.9)
        True
        >>> pipeline.fit(X, y)[-1].out_activation_
        'softmax'
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Perceptron._parameter_constraints,  # noqa: SLF001
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    class_weight: Mapping[Any, float] | str | None = None

    def _encode(self, y: Array, weights: Floats | None, *, warm: bool) -> tuple[Array, Floats | None]:
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            raise ValueError(f"Unknown label type: {kind}; expected classes, or labels of 0 and 1 each")
        several = kind == "multilabel-indicator"
        classes, ids = (np.arange(y.shape[1]), y) if several else np.unique(y, return_inverse=True)
        if warm and not np.array_equal(classes, self.classes_):
            what = "warm_start can only be used where `y` has the same classes as in the previous call to fit"
            raise ValueError(f"{what}. Previously got {self.classes_}, `y` has {classes}")
        self.classes_: Array = classes
        self._n_classes = 0 if several else len(classes)
        own: Any
        if self.class_weight == "balanced" and not several:
            own = np.asarray(balanced_weights(ids, len(classes), weights))[ids]
        else:
            own = None if self.class_weight is None else compute_sample_weight(self.class_weight, y)
        if own is not None:
            weights = own if weights is None else own * weights
        return (y != 0).astype(np.float64) if several else ids, weights

    def _loss(self, targets: Array) -> tuple[dict[str, Any], str]:
        if self._n_classes == 0:
            return {"name": "bce", "scale": float(targets.shape[1])}, "subset_accuracy"
        return {"name": "bce" if len(self.classes_) <= 2 else "cross_entropy"}, "accuracy"

    def predict(self, X: Any) -> Array:
        """Return the classes of rows, (n_samples,), or 0 and 1 for each label, (n_samples, n_labels)."""
        labels = self._predictions(X).labels
        return labels if self._n_classes == 0 else self.classes_.take(labels, mode="clip")

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, in the order of `classes_`, or of each label."""
        predictions = self._predictions(X)
        if not predictions.probabilistic:
            remedy = "use predict, or a loss such as cross_entropy"
            raise UsageError("predict_proba", "the loss of config gives no probabilities", remedy)
        if self._n_classes == 0:
            return predictions.outputs
        return predictions.probabilities[:, : len(self.classes_)]

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False, kw_only=True)
class MLPRegressor(RegressorMixin, _Perceptron):  # type: ignore[misc]
    """Multilayer perceptron that predicts numbers, with scikit-learn's parameters and mlprun's engines.

    What `MLPClassifier` says of scikit-learn's loss curve holds here, too.
    `sklearn.preprocessing.StandardScaler` and `sklearn.compose.TransformedTargetRegressor` scale inputs and
    targets.

    Parameters:
        loss: `squared_error` (half of it), `poisson` (half the deviance; outputs are means of counts), or
            `quantile`, the mean pinball loss of `quantiles`. Others by `config`, such as `{"loss": {"name":
            "huber", "delta": 2.0}}`.
        quantiles: Levels between 0 and 1, in rising order, or a single one, of `loss="quantile"`.
        early_stopping: As for `MLPClassifier`; the score is R2, or minus the loss of quantiles.

    Others are those of `MLPClassifier`, except for `class_weight`.

    Attributes:
        out_activation_: `identity`, or `exp` of means of counts.

    Others are those of `MLPClassifier`, except for `classes_`. With several targets, `loss_curve_` is the
    mean over them, and the gradient that of the sum, as in scikit-learn.

    Examples:
        >>> from mlprun.sklearn import MLPRegressor
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = MLPRegressor(16, loss="quantile", quantiles=[0.1, 0.9], max_iter=500, random_state=0)
        >>> low, high = make_pipeline(StandardScaler(), model).fit(X, y / 100).predict(X).T
        >>> bool((low <= high).all())
        True
        >>> round(float(((low <= y / 100) & (y / 100 <= high)).mean()), 1)
        0.8
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_Perceptron._parameter_constraints,  # noqa: SLF001
        "loss": [StrOptions({"squared_error", "poisson", "quantile"})],
        "quantiles": [Interval(Real, 0, 1, closed="neither"), "array-like"],
    }
    _target_checks: ClassVar[dict[str, bool]] = {"y_numeric": True}
    loss: str = "squared_error"
    quantiles: float | Sequence[float] = (0.1, 0.5, 0.9)

    def _encode(self, y: Array, weights: Floats | None, *, warm: bool) -> tuple[Array, Floats | None]:
        self._n_classes = None
        return np.asarray(y, np.float64).reshape(len(y), -1), weights

    @property
    def _levels(self) -> list[float]:
        return [*map(float, np.atleast_1d(self.quantiles))]

    def _loss(self, targets: Array) -> tuple[dict[str, Any], str]:
        count = targets.shape[1]
        if self.loss == "quantile":
            return {"name": "quantile", "quantiles": self._levels}, "loss"
        if self.loss == "poisson":
            return {"name": "poisson_nll", "scale": float(count)}, "r2"
        return {"name": "mse", "scale": 0.5 * count}, "r2"

    def _loss_offset(self, rows: SplitArrays) -> tuple[float, float]:
        # of several targets, scikit-learn's squared error is the mean, and its gradient that of the sum
        if "loss" in (self.config or {}) or self.loss == "quantile":
            return 0.0, 0.0
        if self.loss == "squared_error":
            return 0.5 * (rows.truth.shape[1] - 1), 0.0
        constants = xlogy(rows.truth, rows.truth) - rows.truth
        return 0.0, float(np.average(constants, axis=0, weights=rows.weights).sum())

    def predict(self, X: Any) -> Array:
        """Return the numbers predicted for rows: (n_samples,), or (n_samples, n_outputs) of several.

        With `loss="quantile"` outputs are the quantiles, which never cross.
        """
        outputs = self._predictions(X).outputs
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the R2 of the predictions; of quantiles, the mean of their D2 pinball scores."""
        if self.loss != "quantile":
            return float(super().score(X, y, sample_weight))
        predicted = self.predict(X).reshape(-1, len(self._levels))
        pairs = zip(predicted.T, self._levels, strict=True)
        scores = [
            d2_pinball_score(y, each, sample_weight=sample_weight, alpha=level) for each, level in pairs
        ]
        return float(np.mean(scores))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.loss != "quantile"
        return tags
