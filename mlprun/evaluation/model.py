"""A trained model: a checkpoint with all that is needed to evaluate it, to predict, and to start from it."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun import engines, files, schema
from mlprun.config import document as reading
from mlprun.engines.device import compute_context
from mlprun.errors import CheckpointError, DataError, MlprunError, UsageError, command_line
from mlprun.evaluation.decision import Decision, calibrated
from mlprun.experiment import SPLITS, Experiment, SplitArrays
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.experiment.rows import read_rows
from mlprun.parts import MAX_BYTES
from mlprun.parts.architectures import Mlp, OutputLayer
from mlprun.parts.data import short_repr
from mlprun.parts.datasets.table import MemoryTable, Table
from mlprun.parts.datasets.table.columns import number_name
from mlprun.parts.datasets.table.formats import is_number
from mlprun.parts.initializers import File
from mlprun.parts.metrics import Predictions, metrics
from mlprun.schema import Config, with_format
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlprun.engines import Engine
    from mlprun.engines.contract import Arrays
    from mlprun.engines.evaluation import SplitMetrics
    from mlprun.parts.data import Array, Names
    from mlprun.parts.datasets import Data
    from mlprun.parts.network import Network
    from mlprun.storage.checkpoints import Checkpoint
    from mlprun.storage.runs import RunFolder

_ANOTHER = "use another checkpoint of the run"
ANOTHER_TABLE = "evaluate another table with --data"
OF_NUMBERS = ("mse", "rmse", "mae", "r2")
OF_LABELS = ("precision", "recall", "f1", "roc_auc")
AVERAGED = OF_LABELS[:3]


@dataclass(frozen=True)
class TrainedModel:
    """A trained network with all that is needed to feed it. Make one with `load`."""

    __repr__ = short_repr

    where: str
    """the checkpoint's path, for messages"""
    config: Config
    preprocessing: Preprocessing
    model: Arrays
    """parameters and buffers by name"""
    epoch: int
    data_digest: str
    """of the rows that the network was trained with"""
    trained_by: Any
    """the name of the engine, if the checkpoint has one"""
    device: str = "cpu"
    warnings: Names = ()
    decision: Decision | None = None
    """what was chosen on dev when training ended, if anything was"""

    @cached_property
    def calibrated(self) -> Arrays:
        """The model that outputs are computed with: its logits are divided by the temperature, if any."""
        return self.model if self.decision is None else calibrated(self.config, self.model, self.decision)

    @property
    def _threshold(self) -> float | None:
        return None if self.decision is None else self.decision.threshold

    @cached_property
    def engine(self) -> Engine:
        """What computes outputs and metrics: the engine that trained it, for the same digits, if it can."""
        if self.device == "cpu" and self.trained_by in engines.NAMES:
            engine = engines.named(self.trained_by)
            if engine.unsupported_reason(self.alone) is None:
                return engine
        return engines.named("torch")

    @cached_property
    def network(self) -> Network:
        """The nn.Module in evaluation mode, on the device."""
        return self.alone.filled_network(self.calibrated).to(self.device)

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment with its data. Raises DataError, naming --data, when that is gone or has changed.

        Other rows would be divided differently, and test rows might be ones that the network was trained on.
        What a generator draws may differ in its last bits under another library; that is only a warning.
        """
        try:
            made = Experiment.of(self.config, preprocessing=self.preprocessing)
        except DataError as error:
            raise DataError(error.where, error.what, ANOTHER_TABLE) from error
        made = replace(made, threshold=self._threshold)
        if made.digest() == self.data_digest:
            return made
        if isinstance(self.config.dataset, Table):
            what = "its rows are no longer those that the network was trained with"
            raise DataError(self.config.dataset.location, what, ANOTHER_TABLE)
        warning = "the generated rows are not those that the network was trained with"
        return replace(made, warnings=(*made.warnings, warning))

    @cached_property
    def alone(self) -> Experiment:
        """The experiment without any of its data: enough for rows that are brought along."""
        alone = Experiment.without_data(self.config, self.preprocessing)
        return replace(alone, threshold=self._threshold)

    def evaluate(self, splits: Sequence[str] = SPLITS) -> SplitMetrics:
        """`loss` and metrics of the splits that have rows, as they were when this epoch was trained."""
        return self._evaluate(self.experiment, split_rows(self.experiment, splits, epoch=self.epoch))

    def _evaluate(self, experiment: Experiment, rows: Mapping[str, SplitArrays]) -> SplitMetrics:
        with compute_context(self.config.training.threads, self.device):
            return self.engine.evaluate(experiment, self.calibrated, rows, device=self.device)

    def table(self, path: str) -> Data:
        """The rows of a table with known targets. Raises DataError for one that does not fit."""
        return self.read_rows(path, targets=True)

    def read_rows(self, path: str | MemoryTable, *, targets: bool = False, keep: Names = ()) -> Data:
        """The rows of a table, with the columns `keep` as text; `-` is standard input.

        Raises DataError for a table that does not fit.
        """
        options = self.config.dataset if isinstance(self.config.dataset, Table) else None
        return read_rows(
            path,
            self.preprocessing,
            targets=targets,
            vocabulary=self.config.architecture.vocabulary,
            weight=None if options is None else options.weight,
            keep=keep,
            options=options,
        )

    def evaluate_data(self, data: Data) -> dict[str, Any]:
        """`loss` and metrics of raw rows with known targets."""
        return self._evaluate(self.alone, {"data": self.alone.prepare(data)})["data"]

    def target_metrics(self, rows: Mapping[str, SplitArrays]) -> dict[str, TargetMetrics]:
        """The metrics of each target on some rows by name; nothing where there is only one target."""
        names = self.preprocessing.target_names
        return {
            split: target_metrics(
                self.alone.predictions(self.outputs(one.inputs), one.truth, one.weights), names
            )
            for split, one in (rows.items() if len(names) > 1 else ())
        }

    def outputs(self, inputs: Array) -> Array:
        """[N, K] outputs after the output activation of preprocessed inputs [N, D]."""
        with compute_context(self.config.training.threads, self.device):
            return self.engine.outputs(self.alone, self.calibrated, inputs, device=self.device)

    def hidden_outputs(self, inputs: Array) -> dict[str, Array]:
        """[N, H] activations of every hidden layer of an MLP for preprocessed inputs, by the layer's name.

        Layers with a norm or several activations are left out, as are other architectures. Each is computed
        by the engine as the output of a network that ends there.
        """
        whole, found = self.config.architecture, {}
        loss = self.config.loss.model_copy(update={"class_weights": None})  # units are no classes
        if not isinstance(whole, Mlp):
            return {}
        for number, layer in enumerate(whole.hidden_layers):
            if layer.norm != "none" or isinstance(layer.activation, tuple):
                continue
            front = whole.model_copy(
                update={
                    "hidden": (),
                    "layers": whole.hidden_layers[:number],
                    "outputs": layer.units,
                    "output": OutputLayer(bias=layer.bias),
                    "output_activation": layer.activation,
                }
            )
            alone = self.config.model_copy(update={"architecture": front, "loss": loss})
            names = Experiment.without_data(alone, self.preprocessing).tensors()
            model = {name: self.model[name] for name in names}
            part = replace(self, config=alone, model=model, decision=None)
            found[f"layers.{number}"] = part.outputs(inputs)
        return found

    def predict(self, data: Data) -> Predictions:
        """Outputs, classes and probabilities of raw rows, in the user's units; targets are not looked at."""
        outputs = self.outputs(self.alone.inputs(data))
        return self.alone.predictions(outputs, np.zeros(len(outputs), np.int64))

    def predict_table(
        self, path: str, *, keep: Names = (), threshold: float | None = None
    ) -> PredictionTable:
        """The predictions for each row of a table, behind its columns `keep`; `-` is standard input.

        A `threshold` is used in place of the model's own. Raises UsageError where there are not two classes.
        """
        data = self.read_rows(path, keep=keep)
        predicted = at_threshold(self.predict(data), threshold)
        return prediction_table(predicted, self.preprocessing.target_names, data.warnings, data.kept)


def split_rows(experiment: Experiment, splits: Sequence[str], *, epoch: int) -> dict[str, SplitArrays]:
    """The rows of the splits that have any, as an evaluation after `epoch` epochs sees them."""
    return {split: experiment.rows(split, epoch=epoch) for split in splits if experiment.has(split)}


def load(
    checkpoint: Checkpoint, where: str, folder: str, *, device: str = "cpu", allow_code: bool = False
) -> TrainedModel:
    """The network of a checkpoint; paths in its config are relative to `folder`.

    Raises CheckpointError for tensors that are not those of the config's network, ConfigError for a config
    that would run code without `allow_code`.
    """
    meta = checkpoint.meta
    check_metadata(meta, where)
    config = schema.parse(
        reading.from_mapping(with_format(meta["config"]), folder, where), allow_code=allow_code, data=False
    )
    preprocessing = Preprocessing.from_json(meta["preprocessing"])
    model = checkpoint.under("model.")
    check_tensors(config, preprocessing, model, where)
    if meta["epoch"] > config.training.epochs:
        what = f"is of epoch {meta['epoch']}, and its config goes to {config.training.epochs}"
        raise CheckpointError(where, what, _ANOTHER)
    trained_by, epoch, digest = meta.get("engine"), meta["epoch"], meta["data_digest"]
    made = TrainedModel(where, config, preprocessing, model, epoch, digest, trained_by, device)
    if "decision" in meta:
        return replace(made, decision=Decision.from_json(meta["decision"], where))
    if meta.get("kind") in ("best", "last") and config.decides_on_dev:
        warning = f"{where} was saved before training ended, when threshold and temperature are chosen"
        return replace(made, warnings=(warning,))
    return made


def best(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> TrainedModel:
    """Return the best epoch's network of a run, or the newest if no dev rows chose a best."""
    if files.kind(folder.best) is None:
        loaded, last = newest(folder, device=device, allow_code=allow_code), folder.load_last()
        warnings = () if last is None else missing_best_warnings(last.checkpoint, folder.best)
        return replace(loaded, warnings=(*loaded.warnings, *warnings))
    checkpoint = folder.load_best()
    return load(checkpoint, folder.best, folder.path, device=device, allow_code=allow_code)


def newest(folder: RunFolder, *, device: str = "cpu", allow_code: bool) -> TrainedModel:
    """Return the newest network of a run that can be read."""
    last = folder.load_last()
    if last is None:
        remedy = f"resume with: {command_line('resume', folder.path)}"
        raise CheckpointError(folder.path, "was stopped before its first checkpoint", remedy)
    return load(last.checkpoint, last.path, folder.path, device=device, allow_code=allow_code)


def missing_best_warnings(newest: Checkpoint, best: str) -> Names:
    """A warning where training chose a best epoch but its checkpoint, at the path `best`, is missing."""
    progress = newest.meta.get("progress")
    if files.kind(best) is not None or not isinstance(progress, dict) or progress.get("best_value") is None:
        return ()
    epoch = newest.meta["epoch"]
    return (f"{best} is missing; the newest epoch, {epoch}, is used instead of the best",)


def snapshots(
    checkpoint: Checkpoint, config: Config, preprocessing: Preprocessing, where: str
) -> dict[int, dict[str, Array]]:
    """The models kept of earlier epochs, by epoch. Raises CheckpointError for tensors that are none."""
    try:
        models = checkpoint.snapshots()
    except ValueError as error:
        raise CheckpointError(where, "holds a snapshot of no epoch", _ANOTHER) from error
    for model in models.values():
        check_tensors(config, preprocessing, model, where)
    return models


def trajectory(
    folder: RunFolder, config: Config, preprocessing: Preprocessing
) -> dict[int, dict[str, Array]]:
    """The models in snapshots.safetensors by epoch; none where it is missing.

    Raises CheckpointError for a damaged file.
    """
    checkpoint, where = folder.load_snapshots(), folder.snapshots
    if checkpoint is None:
        return {}
    models = snapshots(checkpoint, config, preprocessing, where)
    if min(models, default=-1) < 0 or list(models) != checkpoint.meta.get("epochs"):
        raise CheckpointError(where, "holds models of other epochs than it says", _ANOTHER)
    return models


def check_metadata(meta: Mapping[str, Any], where: str) -> None:
    """Refuse, with CheckpointError, a checkpoint that does not say what it is of."""
    kinds = {"config": dict, "preprocessing": dict, "epoch": int, "data_digest": str}
    sound = all(isinstance(meta.get(name), kind) for name, kind in kinds.items())
    if not sound or isinstance(meta["epoch"], bool) or meta["epoch"] < 0:
        raise CheckpointError(where, "lacks a part of its metadata", _ANOTHER)


def check_tensors(
    config: Config, preprocessing: Preprocessing, model: Mapping[str, Array], where: str
) -> None:
    """Refuse, with CheckpointError, tensors with other names, shapes or types than the config implies.

    Nothing of the network's size is allocated for it: a config may claim any size.
    """
    expected = Experiment.without_data(config, preprocessing).tensors()
    stored = model.stored if isinstance(model, checkpoints.Tensors) else model
    for name, (dtype, shape) in expected.items():
        array = stored.get(name)
        if array is None:
            raise CheckpointError(where, f"tensor {name} is missing", _ANOTHER)
        needed = f"{dtype}{list(shape)}"
        found = f"{array.dtype}{list(array.shape)}"
        if found != needed:
            raise CheckpointError(where, f"tensor {name} is {found}, the config needs {needed}", _ANOTHER)
    if unknown := model.keys() - expected.keys():
        raise CheckpointError(where, f"unknown tensor {min(unknown)}", _ANOTHER)


@dataclass(frozen=True)
class PredictionTable:
    """Named columns, a row for each row that was asked about."""

    __repr__ = short_repr

    columns: Names
    rows: list[list[Any]]
    warnings: Names = ()

    def rounded(self, digits: int) -> PredictionTable:
        """The table with numbers in so many significant digits."""

        def cell(value: Any) -> Any:
            return float(f"{value:.{digits}g}") if isinstance(value, float) else value

        return replace(self, rows=[[cell(value) for value in row] for row in self.rows])

    def csv(self) -> str:
        """The table as CSV, numbers in the shortest digits that read back exactly."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()


def answers(predictions: Predictions) -> Array:
    """What is predicted: [N] classes, [N, K] labels, numbers [N] or [N, K], or [N, Q] quantiles.

    Classes are their names, as numbers or booleans where these are the names of such.
    """
    if predictions.multilabel:
        return predictions.labels
    if predictions.classes is not None:
        return class_values(predictions.classes)[predictions.labels]
    outputs = predictions.outputs
    return outputs[:, 0] if outputs.shape[1] == 1 and not predictions.levels else outputs


def class_values(names: Names) -> Array:
    """[C] the classes of these names as they are in a table: numbers, booleans or text."""
    if set(names) <= {"false", "true"}:
        return np.array([name == "true" for name in names])
    if all(is_number(name) and number_name(float(name)) == name for name in names):
        return np.array([float(name) if "." in name or "e" in name else int(name) for name in names])
    return np.array(names)


def at_threshold(predictions: Predictions, threshold: float | None) -> Predictions:
    """The predictions at another threshold of class 1. Raises UsageError where there are not two classes."""
    if threshold is None:
        return predictions
    classes = predictions.classes
    if len(classes or ()) != 2 and not predictions.multilabel:
        what = "numbers" if classes is None else f"{len(classes)} classes"
        raise UsageError("--threshold", f"is for two classes, and the model predicts {what}", "leave it out")
    if predictions.probabilistic and not 0 < threshold < 1:
        raise UsageError("--threshold", f"{threshold:g} is no probability", "give a number between 0 and 1")
    return replace(predictions, threshold=threshold)


def prediction_table(
    predictions: Predictions,
    target_names: Names,
    warnings: Names = (),
    kept: Mapping[str, Sequence[str | None]] | None = None,
) -> PredictionTable:
    """For classes the predicted one and, where outputs are probabilities, each class's; else outputs.

    The quantile of level 0.1 of `price` is in the column `price_q0.1`; of several labels each is 0 or 1, and
    their probabilities follow. In front are the columns `kept` of the rows; beside a kept `price` the
    predicted one is `price_predicted`.
    """
    columns, outputs = output_columns(predictions, target_names)
    if predictions.multilabel and predictions.probabilistic:
        columns = (*target_names, *columns)
    elif predictions.classes is not None:
        columns = ("class", *columns)
    beside, labels = kept or {}, _labels(predictions)
    cells = zip(*beside.values(), strict=True) if beside else [()] * len(outputs)
    rows = [[*own, *label, *row] for own, label, row in zip(cells, labels, outputs.tolist(), strict=True)]
    columns = tuple(f"{name}_predicted" if name in beside else name for name in columns)
    return PredictionTable((*beside, *columns), rows, warnings)


def output_columns(predictions: Predictions, target_names: Names) -> tuple[Names, Array]:
    """Names of the K outputs, and [N, K] outputs: probabilities of both classes where there are two."""
    outputs = predictions.outputs
    if predictions.multilabel and predictions.probabilistic:
        return tuple(f"p({name})" for name in target_names), outputs
    if predictions.levels:
        return tuple(f"{name}_q{level:g}" for name in target_names for level in predictions.levels), outputs
    if predictions.classes is None:
        return target_names, outputs
    if predictions.probabilistic:
        return tuple(f"p({name})" for name in predictions.classes), predictions.probabilities
    return tuple(f"output{number}" for number in range(outputs.shape[1])), outputs


def _labels(predictions: Predictions) -> list[list[Any]]:
    """The predicted class or labels of each row; nothing for numbers."""
    if predictions.multilabel and predictions.probabilistic:
        found: list[list[Any]] = predictions.labels.tolist()
        return found
    if predictions.classes is None:
        return [[]] * len(predictions.outputs)
    return [[predictions.classes[label]] for label in predictions.labels]


_NAMES = 10
"""columns or classes that a message names, at most"""


def check_initial_weights(experiment: Experiment) -> Experiment:
    """The experiment, with a warning where test rows were train rows of the checkpoint that it starts from.

    Other safetensors files know no names and are not looked at. Raises UsageError for columns or classes with
    other names, or in another order, than the checkpoint's; CheckpointError for a damaged one. With
    `strict: false` these are warnings, and so is what is left out.
    """
    init = getattr(experiment.config.architecture, "init", None)
    if not isinstance(init, File):
        return experiment
    path = init.file
    try:
        content = files.read_bytes(path, cap=MAX_BYTES)
    except (FileNotFoundError, files.WrongKindError, files.TooLargeError):
        return experiment  # reported where it is read
    warnings = []
    if not init.strict:
        shapes = {name: shape for name, (_, shape) in experiment.tensors().items()}
        problems = init.left_out(shapes)
        warnings += [f"{path}: left out {'; '.join(problems)}"] if problems else []
    if checkpoints.is_checkpoint(content):
        warnings += _transfer_warnings(checkpoints.decode(content, path), path, experiment, init)
    return replace(experiment, warnings=(*experiment.warnings, *warnings))


def _transfer_warnings(
    checkpoint: Checkpoint, path: str, experiment: Experiment, init: File
) -> Iterator[str]:
    then, now = Preprocessing.from_json(checkpoint.meta.get("preprocessing", {})), experiment.preprocessing
    classes = then.classes or ("",)
    for error in (
        _difference("columns", path, then.names, now.names, "list dataset.features in that order"),
        _difference(
            "classes", path, then.classes or (), now.classes or (), f"set dataset.positive to {classes[-1]!r}"
        ),
    ):
        if error is not None and init.strict:
            raise error
        if error is not None:
            yield error.what
    count, rows = _trained_on(checkpoint, path, then, experiment)
    if count:
        what = f"{count} of {rows} test rows were train rows of {path}"
        yield f"{what}: metrics of the test rows are better than those of new rows would be"


def _difference(what: str, path: str, then: Names, now: Names, remedy: str) -> UsageError | None:
    if then == now:
        return None
    if sorted(then) != sorted(now):
        remedy = "rename them in the data, or start from a safetensors file with the tensors alone"
    was, are = (", ".join(names[:_NAMES]) or "none" for names in (then, now))
    problem = f"{path} was trained with {what} {was}, and this dataset has {are}"
    return UsageError("architecture.init.path", problem, remedy)


def _trained_on(
    checkpoint: Checkpoint, path: str, then: Preprocessing, experiment: Experiment
) -> tuple[int, int]:
    """How many test rows, that are no train rows here, the checkpoint was trained on, and how many there are.

    None where the data of the checkpoint is gone.
    """
    try:
        document = reading.from_mapping(with_format(checkpoint.meta["config"]), os.path.dirname(path), path)
        former = Experiment.of(schema.parse(document, data=False), preprocessing=then)
        data, indices = experiment.config.dataset.divided()
        train, test = (former.prepare(data, places).inputs for places in (indices.train, indices.test))
    except (MlprunError, KeyError, TypeError):
        return 0, 0
    known = {row.tobytes() for row in former.fixed["train"].inputs} - {row.tobytes() for row in train}
    return sum(row.tobytes() in known for row in test), len(test)


class TargetMetrics(NamedTuple):
    """Metrics by target and name, and of labels by `macro` and `micro`.

    `support` is the number of rows that have a label.
    """

    targets: Mapping[str, Mapping[str, float]]
    averages: Mapping[str, Mapping[str, float]]

    @property
    def rows(self) -> list[tuple[str, Mapping[str, float]]]:
        """The metrics of each target, then the averages, with their names."""
        averages = [(f"{kind} average", values) for kind, values in self.averages.items()]
        return [*self.targets.items(), *averages]


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
