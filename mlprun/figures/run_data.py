"""What figures of a run are computed from: its history, its data, and the networks it kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.errors import CheckpointError
from mlprun.figures.chart import evenly_spaced
from mlprun.figures.plane import Plane, pair_plane, principal_plane
from mlprun.parts import SPLITS
from mlprun.parts.data import short_repr
from mlprun.storage import history

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from mlprun.engines.contract import Arrays
    from mlprun.evaluation import Decision, TrainedModel
    from mlprun.experiment import Experiment, SplitArrays
    from mlprun.experiment.preprocessing import Preprocessing
    from mlprun.parts.metrics import Predictions
    from mlprun.schema import Config
    from mlprun.storage.runs import RunFolder


@dataclass(frozen=True)
class RunData:
    """One run as figures need it. Make one with `RunData.of`."""

    __repr__ = short_repr

    name: str
    """what titles call it: the run folder's name"""
    trained: TrainedModel
    """the last of the models with all that feeds it"""
    history: Mapping[str, NDArray[Any]]
    """columns of history.csv; nan where dev was not evaluated"""
    models: Mapping[int, Arrays]
    """parameters and buffers by epoch, in order: the first, the snapshots, the best, the last"""
    best: int | None
    """the best epoch; None where no dev rows chose one"""
    best_metrics: Mapping[str, float] = field(default_factory=dict)
    """its dev metrics by column of the history, which need not have a row of that epoch"""
    warnings: tuple[str, ...] = ()
    """what a reader of the figures must know, such as that the best epoch's network is missing"""
    snapshots: Mapping[int, Arrays] = field(default_factory=dict)
    """those of `models` and of snapshots.safetensors by epoch, in order"""
    decisions: Mapping[int, Decision | None] = field(default_factory=dict)
    """what was chosen on dev for the models of some epochs"""

    @classmethod
    def of(cls, folder: RunFolder, *, allow_code: bool = False) -> RunData:
        """The run in a folder, as far as it has come. Raises CheckpointError before its first checkpoint."""
        from mlprun import evaluation, training

        newest = folder.load_last()
        if newest is None:
            raise CheckpointError(folder.path, "has no checkpoint yet", "wait a second, or train it again")
        last = evaluation.load(newest.checkpoint, newest.path, folder.path, allow_code=allow_code)
        models = evaluation.snapshots(newest.checkpoint, last.config, last.preprocessing, newest.path)
        decisions, best = {last.epoch: last.decision}, None
        if os.path.lexists(folder.best):
            checkpoint = folder.load_best()
            best = training.best_from(checkpoint, folder.best)
            if "decision" in checkpoint.meta:
                decision = evaluation.Decision.from_json(checkpoint.meta["decision"], folder.best)
                decisions[best.epoch] = decision
            evaluation.check_tensors(last.config, last.preprocessing, best.model, folder.best)
            models[best.epoch] = dict(best.model)
        models[last.epoch] = dict(last.model)
        warnings = evaluation.missing_best_warnings(newest.checkpoint, folder.best)
        snapshots: Mapping[int, Arrays] = {}
        try:
            snapshots = evaluation.trajectory(folder, last.config, last.preprocessing)
        except CheckpointError as error:
            warnings = (*warnings, str(error))
        return cls(
            folder.name,
            last,
            history.read(folder.history) if os.path.lexists(folder.history) else {},
            {epoch: models[epoch] for epoch in sorted(models)},
            None if best is None else best.epoch,
            {} if best is None else {f"dev_{name}": value for name, value in best.metrics.items()},
            warnings,
            dict(sorted({**snapshots, **models}.items())),
            decisions,
        )

    @property
    def last(self) -> int:
        """The newest epoch that there is a network of."""
        return max(self.models)

    @property
    def best_or_last(self) -> int:
        """The best epoch; the last one where no dev rows chose a best."""
        return self.last if self.best is None else self.best

    @property
    def config(self) -> Config:
        """The complete config."""
        return self.trained.config

    @property
    def preprocessing(self) -> Preprocessing:
        """What was learnt from train rows to prepare inputs and targets."""
        return self.trained.preprocessing

    @property
    def experiment(self) -> Experiment:
        """The experiment with its data. Raises DataError when the data is gone."""
        return self.trained.experiment

    @cached_property
    def _predictions(self) -> dict[tuple[str, int], Predictions]:
        return {}

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names; None when targets are numbers."""
        return self.preprocessing.classes

    @property
    def loss_targets(self) -> str:
        """What losses are of where metrics and predictions are in other units; empty where in the same."""
        means, scales = self.preprocessing.target_units
        if not self.preprocessing.has_linear_targets:
            return "transformed targets"
        return "standardised targets" if (means != 0).any() or (scales != 1).any() else ""

    @property
    def has_tokens(self) -> bool:
        """Whether inputs are tokens, which have no position on an axis."""
        return self.config.architecture.vocabulary is not None

    @cached_property
    def principal_plane(self) -> Plane:
        """The plane in which the train rows vary most."""
        return principal_plane(self.rows("train").inputs)

    def plane(self, features: tuple[str, str] | None) -> Plane:
        """The plane that inputs are drawn in. Raises UsageError for unknown features."""
        names = self.preprocessing.names
        if features is None and len(names) != 2:
            return self.principal_plane
        return pair_plane(self.preprocessing, self.rows("train").inputs, features or names)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits that have rows; where all of them are the same rows, only train."""
        fixed = self.experiment.fixed
        present = tuple(split for split in SPLITS if self.experiment.has(split))
        if all(split in fixed for split in present) and _are_same([fixed[split] for split in present]):
            return ("train",)
        return present

    def rows(self, split: str, epoch: int | None = None) -> SplitArrays:
        """The rows of a split; fresh ones as the evaluation after `epoch` (by default the last) saw them."""
        return self.experiment.rows(split, epoch=self.last if epoch is None else epoch)

    def outputs(self, epoch: int, inputs: NDArray[Any]) -> NDArray[Any]:
        """[N, K] outputs of the network after `epoch` for inputs as it reads them."""
        return self.trained_at(epoch).outputs(inputs)

    def trained_at(self, epoch: int) -> TrainedModel:
        """The model after `epoch` with all that feeds it and what was chosen on dev for it."""
        model, decision = self.models[epoch], self.decisions.get(epoch)
        return replace(self.trained, model=model, epoch=epoch, decision=decision)

    def predict(self, epoch: int, inputs: NDArray[Any]) -> Predictions:
        """Outputs as metrics read them (in the user's units) for inputs without a known truth."""
        return self._read(epoch, self.outputs(epoch, inputs), np.zeros(len(inputs), np.int64))

    def _read(self, epoch: int, outputs: NDArray[Any], truth: NDArray[Any]) -> Predictions:
        """Outputs of the network after `epoch` as metrics read them, at the threshold chosen for it."""
        decision = self.decisions.get(epoch)
        threshold = None if decision is None else decision.threshold
        return replace(self.experiment, threshold=threshold).predictions(outputs, truth)

    def kept_epochs(self, most: int) -> tuple[int, ...]:
        """The epochs with a kept network; of too many the first, the last, the best and some between."""
        epochs = tuple(self.models)
        chosen = {epochs[index] for index in evenly_spaced(len(epochs), most)}
        best = self.best
        if best is not None and best not in chosen:
            inner = sorted(chosen - {epochs[0], epochs[-1]}, key=lambda epoch: abs(epoch - best))
            chosen = (chosen - set(inner[:1])) | {best}
        return tuple(sorted(chosen))

    def predictions(self, split: str, epoch: int) -> Predictions:
        """Outputs of the network after `epoch` for a split, and the true targets."""
        known = self._predictions.get((split, epoch))
        if known is None:
            rows = self.rows(split, epoch)
            known = self._read(epoch, self.outputs(epoch, rows.inputs), rows.truth)
            if epoch in (self.best, self.last):  # others are asked for once, and tables can be large
                self._predictions[split, epoch] = known
        return known

    def describe(self, epoch: int, *, counts_rows: bool = False) -> str:
        """An epoch as titles call it: `best epoch 120`, `epoch 20`; and that counted rows have no weights."""
        which = "best " if epoch == self.best else "last " if epoch == self.last else ""
        is_weighted = getattr(self.config.dataset, "weight", None) is not None
        unweighted = ", rows unweighted" if counts_rows and is_weighted else ""
        return f"{which}epoch {epoch:,}{unweighted}"


def _are_same(rows: list[SplitArrays]) -> bool:
    first = rows[0]
    pairs = (
        (getattr(other, name), getattr(first, name)) for other in rows[1:] for name in ("inputs", "truth")
    )
    return all(one is two or np.array_equal(one, two) for one, two in pairs)
