"""An experiment: rows divided and preprocessed, a network, how its outputs are read, and their metrics."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlprun.config.tree import dotted
from mlprun.errors import DataError, UsageError, plural
from mlprun.experiment import fitting
from mlprun.experiment.preprocessing import Preprocessing, plain_preprocessing
from mlprun.parts import SPLITS
from mlprun.parts.activations import Identity
from mlprun.parts.data import short_repr
from mlprun.parts.datasets.dataset import shortened
from mlprun.parts.datasets.table import Table
from mlprun.parts.datasets.table.source import shown
from mlprun.parts.initial_parameters import initial_parameters
from mlprun.parts.initializers import LayerInit
from mlprun.parts.losses import Loss, balanced_weights
from mlprun.parts.metrics import Metric, Predictions
from mlprun.parts.splits import Fresh, SplitIndices
from mlprun.parts.torch_random import drawing
from mlprun.schema.checks import batch_problem, checkpoint_problem, memory_problem, pattern_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from mlprun.parts.architectures import Architecture
    from mlprun.parts.data import Array, Floats, Ints, Names
    from mlprun.parts.datasets import Data
    from mlprun.parts.network import Network
    from mlprun.parts.part import LayerSummary, Part
    from mlprun.schema import Config, Problem

    State = dict[str, Tensor]

T = TypeVar("T")
FEW = 10_000
"""rows of all splits that are prepared together"""


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch compute with this number of threads within the block."""
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(former)


@dataclass(frozen=True, eq=False)
class SplitArrays:
    """One split, ready for a network: N rows.

    `inputs` is [N, D] in the run's dtype or [N, T] int64 symbols; `targets` are encoded for the loss: [N, K]
    in the run's dtype or [N] int64, and in `extra` for each loss that is logged beside it; `truth` is what
    metrics compare with: [N] class ids or [N, K] numbers in the user's units. `weights` are those of the
    rows, [N] float64, or None for 1 each.
    """

    __repr__ = short_repr

    inputs: Array
    targets: Array
    extra: tuple[Array, ...]
    truth: Array
    weights: Floats | None = None

    def take(self, rows: Ints | slice) -> SplitArrays:
        """Return some of the rows; those at indices in arrays of their own."""
        extra = tuple(targets[rows] for targets in self.extra)
        weights = None if self.weights is None else self.weights[rows]
        return SplitArrays(self.inputs[rows], self.targets[rows], extra, self.truth[rows], weights)

    def weights_of(self, loss: Loss) -> Floats | None:
        """[N] what the losses of rows are multiplied by, for the loss or one of those in `extra`."""
        return loss.row_weights(self.truth, self.weights)

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Experiment:
    """A config with its data. Make one with `Experiment.of(config)`."""

    __repr__ = short_repr

    config: Config
    preprocessing: Preprocessing
    width: int
    """columns of `Rows.inputs`"""
    fixed: dict[str, SplitArrays]
    """the splits that stay as they are; fresh ones are drawn at each evaluation"""
    warnings: Names = ()
    threshold: float | None = None
    """what the output of class 1 of two must exceed, where it was chosen on dev"""

    def __post_init__(self) -> None:
        """Let the network embed the categories that the preprocessing leaves to it."""
        architecture, tables = self.config.architecture, self.preprocessing.tables
        if architecture.tables != tables:
            architecture = architecture.with_tables(tables)
            object.__setattr__(self, "config", self.config.model_copy(update={"architecture": architecture}))

    @classmethod
    def of(cls, config: Config, *, preprocessing: Preprocessing | None = None) -> Experiment:
        """Load and divide the data; fit the preprocessing on train unless a checkpoint brings its own.

        Raises DataError or UsageError for data that does not fit the config.
        """
        split, (data, indices) = config.dataset.split, config.dataset.divided()
        fitted = preprocessing or _fitted(config, data, indices.train)
        unseen = (
            warning
            for name in ("dev", "test")
            if data.categories is not None and not isinstance(getattr(split, name), Fresh)
            for warning in fitted.unseen(data, getattr(indices, name), f"{name} rows")
        )
        warnings = (*data.warnings, *shortened(_absent_classes(data, indices)), *shortened(unseen))
        made = cls(config, fitted, fitted.width, {}, warnings)
        made._refuse(memory_problem(config, len(data.inputs), fitted.width))  # one-hot encoded
        fixed = {n: getattr(indices, n) for n in SPLITS if not isinstance(getattr(split, n), Fresh)}
        made.fixed.update(made._prepared(data, fixed))
        made._check_rows(config)
        if preprocessing is None:
            made._check_watched(config)
        return made

    def _prepared(self, data: Data, indices: dict[str, Ints]) -> dict[str, SplitArrays]:
        """The rows of each split; few of them are prepared in one go, which takes a third of the time."""
        ends = np.cumsum([len(rows) for rows in indices.values()]).tolist()
        if ends[-1] > FEW or self.preprocessing.encodes_targets:
            made = {name: self.prepare(data, rows) for name, rows in indices.items()}
            if self.preprocessing.encodes_targets:
                self._cross_fit(data, indices["train"], made["train"].inputs)
            return made
        every = self.prepare(data, np.concatenate(list(indices.values())))
        positions = np.split(np.arange(ends[-1]), ends[:-1])
        return {name: every.take(rows) for name, rows in zip(indices, positions, strict=True)}

    def _cross_fit(self, data: Data, train: Ints, inputs: Array) -> None:
        """Encode train rows by the targets of others, in place."""
        assert self.config.dataset.seed is not None
        folds = fitting.cross_fitted(self.preprocessing, data, train, seed=self.config.dataset.seed)
        for inside, preprocessing in folds:
            inputs[inside] = preprocessing.transform(data, train[inside], self.dtype)

    def _check_rows(self, config: Config) -> None:
        """What the schema checks, for rows that a column of a table names: they are known only now."""
        rows = len(self.fixed["train"])
        if not rows:
            raise UsageError("dataset.split.train", "no rows to train on", "give train a larger share")
        for split, arrays in self.fixed.items():
            if len(arrays) and arrays.weights is not None and not arrays.weights.any():
                where = getattr(config.dataset, "path", "dataset")
                remedy = "give some of them a positive one, or divide the rows otherwise"
                raise DataError(where, f"the weight of every {split} row is 0", remedy)
        if not self.has("dev") and (config.early_stopping is not None or config.schedule.plateau):
            which = "early_stopping" if config.early_stopping is not None else config.schedule.name
            raise UsageError(which, "watches dev metrics, and dev has no rows", "name some rows dev")
        shapes = config.architecture.shapes(self.width)
        self._refuse(checkpoint_problem(config, shapes, rows) if shapes is not None else None)
        what = batch_problem(config, rows)
        if what is not None:
            raise UsageError("training.batch_size", what, "choose another size")

    def check_size(self) -> None:
        """Raise UsageError for a network of user code that is too large for a checkpoint, unallocated."""
        if self.config.architecture.shapes(self.width) is None:
            shapes = {name: shape for name, (_, shape) in self.tensors().items()}
            self._refuse(checkpoint_problem(self.config, shapes, len(self.fixed["train"])))
            self._refuse(next(pattern_problems(self.config, list(shapes)), None))

    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """The dtype and shape of each parameter and buffer of the network, which is not allocated."""
        architecture, dtype = self.config.architecture, self.config.training.dtype
        shapes = architecture.shapes(self.width) if architecture.is_built_in else None
        if shapes is not None:
            every = shapes | architecture.buffers
            return {name: (dtype if shape else "int64", shape) for name, shape in every.items()}
        import torch

        with torch.device("meta"):
            network = self.blank_network()
        return {
            name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
            for name, tensor in network.state_dict().items()
        }

    @staticmethod
    def _refuse(problem: Problem | None) -> None:
        if problem is not None:
            raise UsageError(dotted(problem.path), problem.message)

    def _check_watched(self, config: Config) -> None:
        """Raise UsageError where the metric that chooses the best epoch is not a number on these dev rows."""
        named = config.best.metric
        watched = (part for part in config.metrics if f"dev_{part.name}" == named)
        metric, dev = next(watched, None), self.fixed.get("dev")
        if not isinstance(metric, Metric) or not dev:
            return
        outputs = np.zeros((len(dev), config.architecture.outputs or 1))
        with np.errstate(all="ignore"):
            value = metric.compute(self.predictions(outputs, dev.truth, dev.weights))
        if isinstance(value, float) and np.isnan(value):
            what = f"{named} is not a number on {plural(len(dev), 'dev row')} with these targets"
            remedy = "give dev other rows, or watch another metric, such as dev_loss"
            raise UsageError("best.metric", what, remedy)

    def with_config(self, config: Config) -> Experiment:
        """The same rows under another config, of the same `data_key`. Raises UsageError as `of` does."""
        self._check_rows(config)
        self._check_watched(config)
        return replace(self, config=config)

    @cached_property
    def computed(self) -> Config:
        """The config as engines compute it: losses in the units of encoded targets, weights of each class."""
        scales, balanced = self.preprocessing.target_units[1].tolist(), self.preprocessing.class_weights

        def computed(part: T) -> T:
            if not isinstance(part, Loss):
                return part
            return part.in_units(scales).with_class_weights(self.classes, balanced)

        loss, metrics = computed(self.config.loss), tuple(map(computed, self.config.metrics))
        return self.config.model_copy(update={"loss": loss, "metrics": metrics})

    @classmethod
    def without_data(cls, config: Config, preprocessing: Preprocessing) -> Experiment:
        """The experiment with no rows of its own: enough for its network and for rows brought along."""
        return cls(config, preprocessing, preprocessing.width, {})

    @property
    def dtype(self) -> np.dtype[Any]:
        """The run's floating-point type."""
        return np.dtype(self.config.training.dtype)

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps in an epoch."""
        training = self.config.training
        return -(-training.steps(len(self.fixed["train"])) // training.accumulate)

    @property
    def classes(self) -> Names | None:
        """Class names; None when targets are numbers."""
        return self.preprocessing.classes

    def prepare(self, data: Data, indices: Ints | None = None) -> SplitArrays:
        """Raw rows (all of them, or those at `indices`) as this experiment's network and loss read them."""
        chosen = np.arange(len(data.inputs)) if indices is None else indices
        inputs = self.inputs(data, chosen)
        targets = self.preprocessing.transform_targets(data, chosen, self.dtype)
        encoded, *extra = (_encoded(loss, targets, self.classes, self.dtype) for loss in self.config.losses)
        weights = None if data.weights is None else data.weights[chosen]
        return SplitArrays(inputs, encoded, tuple(extra), np.asarray(data.targets[chosen]), weights)

    def inputs(self, data: Data, indices: Ints | None = None) -> Array:
        """Only the inputs of raw rows: [N, width] in the run's dtype, or [N, T] int64 symbols."""
        chosen = np.arange(len(data.inputs)) if indices is None else indices
        vocabulary = self.config.architecture.vocabulary
        if vocabulary is None:
            return self.preprocessing.transform(data, chosen, self.dtype)
        return _symbols(self.preprocessing.transform(data, chosen, np.float64), vocabulary)

    def rows(self, split: str, *, epoch: int) -> SplitArrays:
        """A split's rows as an evaluation after `epoch` epochs sees them (fresh ones are drawn for it)."""
        known = self.fixed.get(split)
        if known is not None:
            return known
        return self.prepare(self.raw_rows(split, epoch=epoch))

    def raw_rows(self, split: str, *, epoch: int) -> Data:
        """A split's rows as they are in the data, which is read again; fresh ones as `rows` sees them."""
        dataset = self.config.dataset
        share = getattr(dataset.split, split)
        if isinstance(share, Fresh):
            return dataset.with_positive(dataset.fresh(share.fresh, epoch=epoch, step=SPLITS.index(split)))
        data, indices = dataset.divided()
        return data.take(getattr(indices, split))

    def has(self, split: str) -> bool:
        """Whether a split has any rows."""
        return split not in self.fixed or len(self.fixed[split]) > 0

    def network(self) -> Network:
        """The module with its initial weights, on the CPU, in the run's dtype; the same at every call."""
        return self._built(self.config.architecture)

    def initial(self) -> dict[str, Array]:
        """The initial parameters and buffers by name, as arrays of their own."""
        drawn = self.initial_without_torch()
        if drawn is not None:
            return drawn
        return {name: tensor.numpy().copy() for name, tensor in self.network().state_dict().items()}

    def initial_without_torch(self) -> dict[str, Array] | None:
        """The same parameters drawn in NumPy; None where that is not known to have the same bits."""
        architecture, training = self.config.architecture, self.config.training
        return initial_parameters(architecture, self.width, seed=training.seed, dtype=training.dtype)

    def blank_network(self) -> Network:
        """The module with arbitrary weights, to be filled from a checkpoint; reads no file of weights."""
        return self._built(self.config.architecture.model_copy(update={"init": LayerInit()}))

    def layers(self) -> list[LayerSummary]:
        """The layers of the network in the order of computation."""
        architecture = self.config.architecture
        if architecture.is_built_in:
            return architecture.layer_summaries(self.width)
        from mlprun.parts.network import layer_table  # imports torch

        return layer_table(self.blank_network(), self.width)

    def filled_network(self, model: Mapping[str, Array]) -> Network:
        """The module with these parameters and buffers, in evaluation mode."""
        network = self.blank_network()
        load_model(network, model)
        return network.eval()

    def _built(self, architecture: Architecture) -> Network:
        config = self.config
        # another number of threads may give other bits, and the caller may have had no torch to set it for
        with torch_threads(config.training.threads), drawing(config.training.seed):
            return architecture.build(self.width, dtype=config.training.dtype, sparse=config.optimizer.sparse)

    def digest(self) -> str:
        """SHA-256 over the rows of all fixed splits as the network reads them."""
        digest = hashlib.sha256()
        for name, rows in self.fixed.items():
            digest.update(name.encode())
            for array in (rows.inputs, rows.targets, *(() if rows.weights is None else (rows.weights,))):
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def decision_threshold(self) -> float:
        """What the output of class 1 of two must exceed."""
        chosen = self.config.threshold if self.threshold is None else self.threshold
        return chosen if isinstance(chosen, float) else self.config.loss.threshold

    def predictions(self, outputs: Array, truth: Array, weights: Floats | None = None) -> Predictions:
        """Outputs [N, K], truth and weights of the same rows as metrics read them, in the user's units."""
        config = self.config
        output_kind = (config.architecture.output_activation or Identity()).output_kind
        if output_kind == "log_probabilities":
            outputs = np.exp(outputs)
        loss = config.loss
        if loss.levels:  # each quantile is one of the only target; sorted, they do not cross
            restored = self.preprocessing.restore(outputs.reshape(-1, 1))
            outputs = np.sort(restored.reshape(outputs.shape), axis=1)
        elif self.classes is None:
            outputs = self.preprocessing.restore(outputs)
        probabilistic, multilabel = output_kind != "numbers", self.preprocessing.multilabel
        threshold = self.decision_threshold
        return Predictions(
            outputs,
            truth,
            self.classes,
            probabilistic,
            threshold,
            loss.levels,
            weights,
            multilabel,
            config.class_costs,
        )


def history_metrics(config: Config) -> Names:
    """The names of the metrics that the history keeps beside the loss."""
    return tuple(part.name for part in config.metrics if not isinstance(part, Metric) or part.scalar)


def history_columns(config: Config) -> Names:
    """The columns of history.csv, in order."""
    names = history_metrics(config)
    train = (f"train_{name}" for name in ("loss", "objective", *names))
    return ("epoch", "lr", *train, *(f"dev_{name}" for name in ("loss", *names)))


def compute_metrics(
    experiment: Experiment,
    outputs: Array,
    truth: Array,
    extra: Sequence[T],
    mean: Callable[[Loss, T], float],
    *,
    weights: Floats | None = None,
    tables: bool = False,
) -> dict[str, Any]:
    """Metrics of [N, K] outputs and the truth of their rows, and what `mean` says of each loss among them.

    `extra` has the targets of these losses; `weights` [N] are those of rows; `tables` includes metrics that
    are no single number.
    """
    targets = iter(extra)
    # a metric may overflow to infinity, as it does in torch: that is no reason for a warning
    with np.errstate(over="ignore", invalid="ignore"):
        predictions = experiment.predictions(outputs, truth, weights)
        return {
            part.name: mean(part, next(targets)) if isinstance(part, Loss) else part.compute(predictions)
            for part in experiment.computed.metrics
            if isinstance(part, Loss) or part.scalar or tables
        }


def plain(loss: Loss) -> Loss:
    """The loss as the history shows it: the mean, unscaled."""
    if loss.reduction == "mean" and loss.scale == 1.0:
        return loss
    return loss.model_copy(update={"reduction": "mean", "scale": 1.0})


def data_key(config: Config, *, ignore_seeds: bool = False) -> tuple[Any, ...]:
    """What `Experiment.of` makes rows of: equal for configs whose experiments have equal rows.

    With `ignore_seeds`, seeds and real numbers such as noise are left out: they do not change shapes, as the
    fraction of train rows does.
    """

    def options(part: Part) -> str:
        left_out = {name for name, value in part if name == "seed" or isinstance(value, float)} - {"fraction"}
        return part.model_dump_json(exclude=left_out if ignore_seeds else None)

    return (
        options(config.dataset),
        *map(options, config.losses),
        config.training.dtype,
        config.architecture.vocabulary,
    )


def _absent_classes(data: Data, indices: SplitIndices) -> Iterator[str]:
    """A warning for each class of dev or test rows that no train row has."""
    if data.classes is None:
        return
    counts = [np.bincount(data.targets[getattr(indices, n)], minlength=len(data.classes)) for n in SPLITS]
    for name, train, dev, test in zip(data.classes, *counts, strict=True):
        if not train and dev + test:
            has = " and ".join(f"{n} {split} rows" for n, split in ((dev, "dev"), (test, "test")) if n)
            yield f"class {shown(name)} has no train rows, but {has}: it cannot be learnt"


def _fitted(config: Config, data: Data, train: Ints) -> Preprocessing:
    problem = config.loss.unsupported_targets(data.targets)
    if problem is not None:
        raise UsageError("loss", problem)
    fitted = _fitted_columns(config, data, train)
    if data.classes is None or all(loss.class_weights != "balanced" for loss in config.losses):
        return fitted
    weights = None if data.weights is None else data.weights[train]
    own = balanced_weights(data.targets[train].astype(np.int64), max(2, len(data.classes)), weights)
    return fitted.model_copy(update={"class_weights": own})


def _fitted_columns(config: Config, data: Data, train: Ints) -> Preprocessing:
    dataset, symbols = config.dataset, config.architecture.vocabulary is not None
    standardize, columns = dataset.standardize, dataset.columns if isinstance(dataset, Table) else {}
    is_plain = not (standardize or columns or data.imputed or data.dates or dataset.target_transform)
    if is_plain and data.categories is None:
        return plain_preprocessing(data, symbols=symbols)
    return fitting.fit(
        data,
        train,
        standardize=standardize,
        standardize_targets=standardize and config.loss.standardizable,
        symbols=symbols,
        columns=columns,
        target_transform=dataset.target_transform,
    )


def _symbols(inputs: Array, vocabulary: int) -> Ints:
    symbols = inputs.astype(np.int64)
    if not ((symbols == inputs) & (symbols >= 0) & (symbols < vocabulary)).all():
        what = f"an embedding reads whole numbers from 0 to {vocabulary - 1}"
        raise DataError("dataset", what, "set embedding.vocabulary")
    return symbols


def _encoded(loss: Loss, targets: Array, classes: Names | None, dtype: np.dtype[Any]) -> Array:
    encoded = loss.encode(targets, None if classes is None else len(classes))
    if np.issubdtype(encoded.dtype, np.integer) and encoded.ndim == 1:
        return np.ascontiguousarray(encoded)
    return np.ascontiguousarray(encoded, dtype=dtype)


class InitialWeightCache:
    """Draws what `Experiment.network` starts with; a module is built once for each architecture if needed."""

    def __init__(self) -> None:
        self._networks: dict[tuple[Any, ...], tuple[Network, State]] = {}
        self._lock = threading.Lock()

    def model(self, experiment: Experiment) -> dict[str, Array]:
        """The initial parameters and buffers by name."""
        drawn = experiment.initial_without_torch()
        if drawn is not None:
            return drawn
        with self._lock:
            state = self._drawn(experiment)
            return {name: tensor.numpy().copy() for name, tensor in state.items()}

    def _drawn(self, experiment: Experiment) -> State:
        config = experiment.config
        options = config.architecture.model_dump_json()  # settings that differ elsewhere have equal ones
        key = (
            options,
            config.architecture.tables,
            experiment.width,
            experiment.dtype,
            config.optimizer.sparse,
        )
        known = self._networks.get(key)
        if known is not None:
            with drawing(config.training.seed):
                if known[0].reset_parameters():
                    # a cast has put other tensors in the place of those that are kept
                    return known[1] if config.training.dtype == "float32" else known[0].state_dict()
        network = experiment.network()
        state: State = network.state_dict()
        self._networks[key] = (network, state)
        return state


def load_model(network: Network, model: Mapping[str, Array]) -> None:
    """Give a network these parameters and buffers, copied."""
    import torch

    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in model.items()})
