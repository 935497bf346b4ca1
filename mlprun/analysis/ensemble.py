"""The ensemble of a sweep: the trials of one configuration, whose predictions are averaged.

Source: Lakshminarayanan et al. (2017), arxiv.org/abs/1612.01474
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlprun import evaluation
from mlprun.analysis.statistics import Interval, sample_stats
from mlprun.analysis.summary import summarize
from mlprun.errors import UsageError
from mlprun.evaluation import PredictionTable, TrainedModel, at_threshold, output_columns, prediction_table
from mlprun.experiment import SPLITS, Experiment
from mlprun.parts.data import short_repr
from mlprun.parts.datasets.dataset import Generated
from mlprun.parts.metrics import Metric, Predictions, metrics
from mlprun.sweeps import cohort_file, extract
from mlprun.sweeps.objective import SOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.parts.data import Data, Names
    from mlprun.sweeps.folder import SweepFolder

RESAMPLES = 1000
"""of the rows, for the interval of the ensemble's metrics"""


class Comparison(NamedTuple):
    """A metric of single models and of their ensemble, with 95% intervals.

    `single` is the mean over models, with an interval over models; that of the ensemble is over rows, by the
    bootstrap.
    """

    single: float
    single_interval: Interval | None
    ensemble: float
    ensemble_interval: Interval | None


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trained models of one configuration. Make one with `load`."""

    __repr__ = short_repr

    path: str
    setting: int
    trials: tuple[int, ...]
    experiments: tuple[Experiment, ...]
    models: tuple[TrainedModel, ...]

    @property
    def warnings(self) -> Names:
        """What the user should know about the models; nothing."""
        return ()

    @cached_property
    def shares_rows(self) -> bool:
        """Whether all models were trained on the same rows."""
        return len({experiment.digest() for experiment in self.experiments}) == 1

    def evaluate(self, splits: Sequence[str] = SPLITS) -> dict[str, dict[str, Comparison]]:
        """Return each metric by split and name; where models drew rows of their own, on those of the first.

        Raises UsageError where models were trained on rows that others are to be evaluated on.
        """
        dataset = self.experiments[0].config.dataset
        independent = isinstance(dataset, Generated) and dataset.split and dataset.split.folds is None
        if not (self.shares_rows or independent):
            what = "its trials divide the rows differently: test rows of one are train rows of another"
            remedy = "set dataset.seed in the sweep so that they share them, or bring new rows by --data"
            raise UsageError(self.path, what, remedy)
        first = self.experiments[0]
        present = [split for split in splits if first.has(split)]
        return {split: self.evaluate_data(first.raw_rows(split, epoch=0)) for split in present}

    def evaluate_data(self, data: Data) -> dict[str, Comparison]:
        """Return each metric by name, of the models and of their mean, for raw rows with known targets."""
        members = []
        for model in self.models:
            rows = model.alone.prepare(data)
            members.append(model.alone.predictions(model.outputs(rows.inputs), rows.truth, rows.weights))
        together = _mean(members)
        found = {}
        for part in self._metrics(together):
            values = [part.compute(one) for one in members]
            stats = sample_stats(
                [value for value in values if isinstance(value, float) and np.isfinite(value)]
            )
            value = part.compute(together)
            assert isinstance(value, float)
            single = np.nan if stats.mean is None else stats.mean
            interval = None if stats.interval is None else Interval(*np.clip(stats.interval, *part.bounds))
            found[part.name] = Comparison(single, interval, value, bootstrap(part, together))
        return found

    def _metrics(self, predicted: Predictions) -> list[Metric]:
        """The metrics of the config, and a proper score of the probabilities or the numbers."""
        parts = [part for part in self.models[0].config.metrics if isinstance(part, Metric) and part.scalar]
        score = "log_loss" if predicted.classes and predicted.probabilistic else None
        if predicted.classes is None and not predicted.multilabel and not predicted.levels:
            score = "rmse"
        if score is not None and all(part.name != score for part in parts):
            parts.append(metrics[score].model_validate({"name": score}))
        return parts

    def predict_table(
        self, path: str, *, keep: Names = (), threshold: float | None = None
    ) -> PredictionTable:
        """Return the averaged predictions for each row of a table, and their standard deviations over models.

        The columns `std_NAME` are the spread of the column NAME.
        """
        data = self.models[0].read_rows(path, keep=keep)
        members = [model.predict(data) for model in self.models]
        together = at_threshold(_mean(members), threshold)
        names = self.models[0].preprocessing.target_names
        table = prediction_table(together, names, data.warnings, data.kept)
        values = np.stack([output_columns(one, names)[1] for one in members])
        spread = values.std(axis=0, ddof=min(1, len(members) - 1)).tolist()
        columns = tuple(f"std_{name}" for name in table.columns[-values.shape[-1] :])
        rows = [[*row, *more] for row, more in zip(table.rows, spread, strict=True)]
        return replace(table, columns=(*table.columns, *columns), rows=rows)


def _mean(members: Sequence[Predictions]) -> Predictions:
    """The predictions with the mean outputs (probabilities, or the user's numbers) and threshold."""
    outputs = np.stack([one.outputs for one in members]).mean(axis=0, dtype=np.float64)
    return replace(members[0], outputs=outputs, threshold=float(np.mean([one.threshold for one in members])))


def bootstrap(part: Metric, predicted: Predictions) -> Interval | None:
    """Return the 95% interval of a metric over resampled rows; None where it is not defined for enough.

    Source: Efron (1979), doi.org/10.1214/aos/1176344552
    """
    count = len(predicted.targets)
    if count < 2:
        return None
    draw, own = np.random.default_rng(0), predicted.weights
    values = []
    for _ in range(RESAMPLES if count <= RESAMPLES else RESAMPLES // 4):
        copies = draw.multinomial(count, np.full(count, 1 / count)).astype(np.float64)
        weights = copies if own is None else copies * own
        values.append(part.compute(replace(predicted, weights=weights)) if weights.any() else np.nan)
    defined = np.array(values)[np.isfinite(np.array(values))]
    if len(defined) < len(values) / 2:
        return None
    low, high = np.quantile(defined, [0.025, 0.975])
    return Interval(float(low), float(high))


def load(folder: SweepFolder, setting: int | None = None, *, device: str, allow_code: bool) -> Ensemble:
    """Return the ensemble of a configuration of a sweep, by default of the best one.

    Its models are those of the best epoch (the last without dev rows) of the trials that finished. Their
    preprocessing is fitted again, which needs the data. Raises UsageError where none has finished.
    """
    with folder.results() as results:
        chosen = summarize(results).lines[0].setting.id if setting is None else setting
        trials = [one for one in results.trials() if one.setting == chosen and one.status in SOUND]
    if not trials:
        what = f"setting {chosen} has no trial that finished"
        raise UsageError(folder.path, what, "mlprun sweep show lists the settings")
    cohorts: dict[int, cohort_file.CohortFile] = {}
    experiments, models = [], []
    for trial in trials:
        number, member = trial.cohort or 0, trial.member or 0
        cohort = cohorts.setdefault(number, cohort_file.read(folder.cohort(number)))
        config = extract.config_of(folder, trial, allow_code=allow_code)
        experiment, best = Experiment.of(config), cohort.best(member)
        epoch = trial.best_epoch if best is not None and trial.best_epoch is not None else trial.epochs
        weights = best if best is not None else cohort.last(member)
        assert weights is not None
        where, digest = f"{folder.path}, trial {trial.id}", experiment.digest()
        fitted = experiment.preprocessing
        evaluation.check_tensors(config, fitted, weights, where)
        made = TrainedModel(where, config, fitted, weights, epoch or 0, digest, trial.engine, device)
        if config.decides_on_dev:
            engine = made.engine
            decision = evaluation.decide(experiment, engine, weights, epoch=epoch or 0, device=device)
            made = replace(made, decision=decision)
        experiments.append(experiment)
        models.append(made)
    numbers = tuple(trial.id for trial in trials)
    return Ensemble(folder.path, chosen, numbers, tuple(experiments), tuple(models))
