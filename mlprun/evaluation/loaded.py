"""A checkpoint made into something that answers: figures of splits and tables, predictions of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun import config as reading
from mlprun import schema
from mlprun.errors import CheckpointError, DataError
from mlprun.evaluation.answers import Answers, answers
from mlprun.experiment import SPLITS, Experiment, Meter, Tensors, outputs_before
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.experiment.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.parts.architectures.network import Network
    from mlprun.parts.datasets import Data
    from mlprun.parts.metrics import Predictions
    from mlprun.schema import Config
    from mlprun.storage.checkpoints import Checkpoint


@dataclass(frozen=True)
class Loaded:
    """A trained network with all that is needed to feed it. Make one with `load`."""

    where: str
    """the checkpoint's path, for messages"""
    config: Config
    preprocessing: Preprocessing
    network: Network
    epoch: int
    device: str = "cpu"

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment with its data. Raises DataError, naming --data, when the data is gone."""
        try:
            return Experiment.of(self.config, preprocessing=self.preprocessing)
        except DataError as error:
            raise DataError(error.where, error.what, "evaluate another table with --data") from error

    @cached_property
    def alone(self) -> Experiment:
        """The experiment without any of its data: enough for rows that are brought along."""
        return Experiment.without_data(self.config, self.preprocessing)

    def figures(self, splits: Sequence[str] = SPLITS) -> Figures:
        """`loss` and metrics of the splits that have rows, as they were when this epoch was trained."""
        rows = rows_of(self.experiment, splits, epoch=self.epoch, device=self.device)
        return figures(self.experiment, self.network, rows)

    def figures_of_table(self, path: str) -> dict[str, Any]:
        """`loss` and metrics of a table with known targets; raises DataError for one that does not fit."""
        data = read_rows(path, self.preprocessing, targets=True)
        rows = Tensors.of(self.alone.prepare(data), self.device)
        return Meter(self.alone).evaluate(self.network, rows, tables=True)

    def outputs(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """[N, K] outputs after the output activation of preprocessed inputs [N, D]."""
        before = outputs_before(self.network, torch.from_numpy(inputs).to(self.device))
        with torch.no_grad():
            return np.asarray(self.network.output_activation(before).cpu().numpy())

    def predict(self, data: Data) -> Predictions:
        """Outputs, classes and probabilities of raw rows, in the user's units; targets are not looked at."""
        outputs = self.outputs(self.alone.inputs(data))
        return self.alone.predictions(outputs, np.zeros(len(outputs), np.int64))

    def predict_table(self, path: str) -> Answers:
        """What the network says of each row of a table; `-` is standard input."""
        data = read_rows(path, self.preprocessing, targets=False)
        return answers(self.predict(data), self.preprocessing.target_names, data.warnings)


Figures = dict[str, dict[str, Any]]
"""by split: `loss`, then the metrics"""


def rows_of(experiment: Experiment, splits: Sequence[str], *, epoch: int, device: str) -> dict[str, Tensors]:
    """The rows of the splits that have any, as an evaluation after `epoch` epochs sees them."""
    present = [split for split in splits if experiment.has(split)]
    return {split: Tensors.of(experiment.rows(split, epoch=epoch), device) for split in present}


def figures(experiment: Experiment, network: Network, rows: Mapping[str, Tensors]) -> Figures:
    """Every figure that the config names, tables among them, of a network on these rows."""
    meter = Meter(experiment)
    return {split: meter.evaluate(network, tensors, tables=True) for split, tensors in rows.items()}


def load(
    checkpoint: Checkpoint, where: str, folder: str, *, device: str = "cpu", allow_code: bool = False
) -> Loaded:
    """The network of a checkpoint; paths in its config are relative to `folder`.

    Raises CheckpointError for tensors that are not those of the config's network, ConfigError for a config
    that would run code without `allow_code`.
    """
    meta = checkpoint.meta
    if not {"config", "preprocessing", "epoch"} <= meta.keys():
        raise CheckpointError(where, "lacks a part of its metadata", "use another checkpoint of the run")
    config = schema.parse(
        reading.from_mapping(meta["config"], folder, where), allow_code=allow_code, data=False
    )
    preprocessing = Preprocessing.from_json(meta["preprocessing"])
    network = Experiment.without_data(config, preprocessing).blank_network()
    _fill(network, checkpoint, where)
    return Loaded(where, config, preprocessing, network.to(device).eval(), int(meta["epoch"]), device)


def _fill(network: Network, checkpoint: Checkpoint, where: str) -> None:
    """Put the checkpoint's tensors in; names, shapes and types must be those that the config implies."""
    prefix = "model."
    found = {
        name.removeprefix(prefix): a for name, a in checkpoint.tensors.items() if name.startswith(prefix)
    }
    for name, expected in network.state_dict().items():
        array = found.pop(name, None)
        if array is None:
            raise CheckpointError(where, f"tensor {name} is missing", "use another checkpoint of the run")
        if array.shape != tuple(expected.shape) or array.dtype != expected.numpy().dtype:
            needed = f"{expected.numpy().dtype}{list(expected.shape)}"
            what = f"tensor {name} is {array.dtype}{list(array.shape)}, the config needs {needed}"
            raise CheckpointError(where, what, "use another checkpoint of the run")
    if found:
        raise CheckpointError(
            where, f"unknown tensor {next(iter(found))}", "use another checkpoint of the run"
        )
    network.load_state_dict(
        {name: torch.from_numpy(np.array(checkpoint.tensors[prefix + name])) for name in network.state_dict()}
    )
