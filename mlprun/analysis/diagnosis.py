"""What a run's curves, metrics, units and rows say about it: findings with evidence and what to try.

Every finding is a rule of thumb with a number behind it. Thresholds are named below; a rule says nothing
where its evidence is missing, as when the data is gone.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from mlprun.analysis import statistics
from mlprun.parts.activations import each

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.evaluation import TrainedModel
    from mlprun.experiment import Experiment
    from mlprun.parts.data import Array, Data, Floats, Ints, Names
    from mlprun.parts.datasets.table import Table
    from mlprun.parts.losses import Loss
    from mlprun.schema import Config
    from mlprun.storage.runs import Status

Level = Literal["good", "note", "warning"]
RISE, SLIGHT_RISE = 1.1, 1.02
"""dev loss at the end relative to its best, from which on the network overfits, or does so slightly"""
SMALL = 0.005
"""share of the first dev loss below which a rise is not reported"""
GAP = 1.5
"""dev loss relative to train loss at the best epoch that is worth a note"""
FALL = 0.01
"""share by which the loss still falls over the last tenth of the epochs where more epochs may help"""
SATURATED = 0.9
"""share of the rows for which a saturated unit is near its bounds"""
NEAR = 0.01
"""of the range of a bounded activation: how near its bounds is"""
RARE = 0.4
"""share of a class, times the number of classes, below which classes are imbalanced"""
STANDARD_ERRORS = 2.5
"""by which metrics of dev and test differ where that is worth a note"""
ROWS = 10_000
"""rows that duplicates and single features are looked for in, at most"""
ALONE = 0.99
"""share of rows that a single feature predicts where it may hold the target"""
SAME = 0.9998
"""share of variance from which on a feature is the target in another unit"""
FEW_ROWS = 5
"""number of rows below which distinct values in a column are no evidence of an identifier"""
IDENTITY = re.compile(r"(?i:^|[\W_])(?i:id|uid|uuid|guid|idx|index|rowid|row)(?:$|[\W_])|[a-z](?:Id|ID)$")
"""matches names such as id, customer_id, row-index, userId"""
WIDE = 30
"""categories from which on one input for each is many"""
BOUNDS = {"tanh": (-1, 1), "hard_tanh": (-1, 1), "logistic": (0, 1), "hard_logistic": (0, 1)}


class Finding(NamedTuple):
    """One thing that was found, the numbers that say so, and what may help."""

    kind: str
    level: Level
    claim: str
    evidence: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """A verdict in words, and the findings, warnings first."""

    verdict: str
    findings: tuple[Finding, ...]


def diagnose(
    status: Status,
    history: Mapping[str, NDArray[Any]],
    model: TrainedModel,
    experiment: Experiment | None,
) -> Diagnosis:
    """Return what is found in a run; `model` is its best epoch's, `experiment` None if the data is gone."""
    case = _Case(status, history, model, experiment)
    found = [finding for rule in RULES for finding in rule(case)]
    order: dict[str, int] = {"warning": 0, "note": 1, "good": 2}
    return Diagnosis(_verdict(case), tuple(sorted(found, key=lambda one: order[one.level])))


@dataclass(frozen=True)
class _Case:
    """A run that is diagnosed."""

    status: Status
    history: Mapping[str, NDArray[Any]]
    model: TrainedModel
    experiment: Experiment | None

    @property
    def config(self) -> Config:
        """The config that was trained."""
        return self.model.config

    @cached_property
    def splits(self) -> Mapping[str, Mapping[str, Any]]:
        """Metrics by split of the best epoch, or of the last one; none before the run has ended."""
        figures = self.status.figures
        chosen = figures.get("best") or figures.get("last") or {"splits": {}}
        splits: Mapping[str, Mapping[str, Any]] = chosen["splits"]
        return splits

    @property
    def epoch(self) -> int:
        """The epoch of these metrics."""
        figures = self.status.figures
        return int((figures.get("best") or figures.get("last") or {"epoch": self.status.epochs})["epoch"])

    @property
    def split(self) -> str:
        """The split that a model is judged by."""
        return next((name for name in ("test", "dev", "train") if name in self.splits), "")

    @property
    def metric(self) -> str:
        """The metric that a model is judged by."""
        known = self.splits.get(self.split, {})
        return next((name for name in ("accuracy", "r2") if not math.isnan(_finite(known.get(name)))), "loss")

    def of(self, split: str, metric: str | None = None) -> float:
        """A metric of a split; nan where there is none."""
        return _finite(self.splits.get(split, {}).get(metric or self.metric))

    def baseline(self, kind: Literal["constant", "regression", "boosting"]) -> tuple[str, float]:
        """The baseline of that kind with its metric; nan where there is none."""
        for name, splits in self.status.figures.get("baselines", {}).items():
            value = _finite(splits.get(self.split, {}).get(self.metric))
            own = next((one for one in ("regression", "boosting") if name.endswith(one)), "constant")
            if own == kind and not math.isnan(value):
                return name, value
        return "", math.nan

    def rows(self, split: str) -> int:
        """How many rows a split has; 0 where they are gone."""
        if self.experiment is None or not self.experiment.has(split):
            return 0
        return len(self.experiment.rows(split, epoch=self.epoch))

    @cached_property
    def has_own_rows(self) -> bool:
        """Whether the split that the model is judged by has rows of its own."""
        if self.experiment is None or self.split in ("", "train"):
            return False
        train, other = (self.experiment.rows(one, epoch=self.epoch).inputs for one in ("train", self.split))
        return not np.array_equal(train, other)

    def curve(self, column: str) -> tuple[NDArray[Any], Floats]:
        """Epochs and finite values of a column of the history."""
        values = np.asarray(self.history.get(column, np.empty(0)), np.float64)
        known = np.isfinite(values)
        return np.asarray(self.history.get("epoch", np.empty(0)))[known], values[known]


def _finite(value: Any) -> float:
    """A metric; nan for a table, for infinity and for none."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _share(value: float) -> str:
    return f"{value:.1%}" if value < 1 else "100%"


def _shown(case: _Case, value: float) -> str:
    if case.metric == "r2":
        return f"{value + 0.0:.3f}".replace("-", "\N{MINUS SIGN}")
    return _share(value) if case.metric == "accuracy" else _number(value)


# --- the verdict


def _verdict(case: _Case) -> str:
    """How good the network is, measured where, and beside which baseline."""
    if not case.splits:
        return f"The run is {case.status.state}: there are no final metrics yet."
    value, rows, split = case.of(case.split), case.rows(case.split), case.split
    count = f"{rows:,} {split} rows" if rows else f"the {split} rows"
    which = "best" if case.status.figures.get("best") else "last"
    subject = f"The network of the {which} epoch ({case.epoch:,})"
    if case.metric == "accuracy":
        text = f"{subject} classifies {_share(value)} of {count} correctly"
        interval = statistics.success_rate(round(value * rows), rows).interval if rows else None
        if interval is not None and case.has_own_rows:
            text += f" (95% interval {interval.low:.0%} to {interval.high:.0%})"
    elif case.metric == "r2":
        text = f"{subject} explains {_share(value)} of the variance of {count} (R² {_shown(case, value)})"
        if value < 0:
            text = f"{subject} predicts {count} worse than their mean would"
    else:
        text = f"{subject} reaches a loss ({case.config.loss.name}) of {_number(value)} on {count}"
    baselines = [case.baseline(one) for one in ("boosting", "regression", "constant")]
    compared = [f"{name} {_shown(case, known)}" for name, known in baselines if name]
    text += f"; {', '.join(compared)}." if compared else "."
    if not case.has_own_rows and case.experiment is not None:
        text += " These are its training rows: performance on new rows is unknown."
    return text


# --- rules about the result


def _against_baselines(case: _Case) -> Iterator[Finding]:
    value = case.of(case.split)
    sign = 1 if case.metric in ("accuracy", "r2") else -1
    (constant, low), (linear, high) = case.baseline("constant"), case.baseline("regression")
    if constant and sign * value <= sign * low:
        claim = f"The network is no better than the {constant} baseline, which ignores the inputs."
        remedy = "train longer, or try another optimizer.lr, a wider network or other features"
        yield Finding("baseline", "warning", claim, _beside(case, constant, low), remedy)
        return
    if not linear:
        return
    margin = _margin(case, value, high)
    if sign * (value - high) > margin:
        claim = f"The network is better than {linear}: it has learned a nonlinear relation."
        yield Finding("baseline", "good", claim, _beside(case, linear, high))
    elif sign * (value - high) < -margin:
        claim = f"{linear.capitalize()} is better than the network."
        yield Finding("baseline", "warning", claim, _beside(case, linear, high),
                      "stop earlier, add penalty.l2, or use the simpler model")  # fmt: skip
    else:
        claim = f"The network is about as good as {linear}."
        remedy = "more rows, a wider or deeper architecture.hidden, or the simpler model"
        yield Finding("baseline", "note", claim, _beside(case, linear, high), remedy)


def _margin(case: _Case, value: float, other: float) -> float:
    """By how much two models may differ by chance alone."""
    rows = case.rows(case.split)
    if case.metric == "accuracy" and rows:
        share = min(max((value + other) / 2, 1 / rows), 1 - 1 / rows)
        return 2 * math.sqrt(share * (1 - share) / rows)
    if case.metric == "r2" and rows:  # the standard error of R² is 2 R (1 - R²) / sqrt(rows)
        share = min(max((value + other) / 2, 0), 1)
        return max(0.02, 4 * math.sqrt(share / rows) * (1 - share))
    return 0.02 if case.metric == "r2" else 0.05 * abs(other)


def _beside(case: _Case, name: str, value: float) -> str:
    mine = _shown(case, case.of(case.split))
    metric = "R²" if case.metric == "r2" else case.metric
    return f"{case.split} {metric}: {mine}, {name} {_shown(case, value)}"


def _coverage(case: _Case) -> Iterator[Finding]:
    """Quantiles hold another share of new rows than their levels say."""
    value, levels = case.of(case.split, "coverage"), case.config.loss.levels
    if not math.isfinite(value) or not (rows := case.rows(case.split)):
        return
    wanted = levels[-1] - levels[0]
    if abs(value - wanted) > STANDARD_ERRORS * math.sqrt(wanted * (1 - wanted) / rows):
        few = value < wanted
        claim = f"The quantiles hold {'fewer' if few else 'more'} rows between them than their levels say."
        evidence = f"coverage {_share(value)} of {rows:,} {case.split} rows, expected {_share(wanted)}"
        remedy = "stop earlier, add penalty.l2, or use more rows" if few else "train longer, or more units"
        yield Finding("coverage", "warning", claim, evidence, remedy)


def _test_far_from_dev(case: _Case) -> Iterator[Finding]:
    dev, test, rows = case.of("dev"), case.of("test"), (case.rows("dev"), case.rows("test"))
    if case.metric != "accuracy" or not all(rows) or not math.isfinite(dev + test):
        return
    share = min(max((dev * rows[0] + test * rows[1]) / sum(rows), 0.01), 0.99)
    error = math.sqrt(share * (1 - share) * (1 / rows[0] + 1 / rows[1]))
    if abs(dev - test) > STANDARD_ERRORS * error:
        claim = "Dev and test accuracy differ by more than chance explains."
        evidence = f"accuracy {_share(dev)} on dev, {_share(test)} on test; standard error {error:.1%}"
        remedy = "shuffle and stratify dataset.split, and check whether the rows have an order"
        yield Finding("splits", "warning", claim, evidence, remedy)


# --- rules about the curves


def _ending(case: _Case) -> Iterator[Finding]:
    status, planned = case.status, case.config.training.epochs
    reached = f"{status.epochs:,} of {planned:,} epochs"
    if status.state == "diverged":
        lr = case.config.optimizer.lr
        claim = "Training diverged: the loss or a weight became infinite."
        remedy = f"optimizer.lr={_number(lr / 10)} or training.clip_norm=1"
        yield Finding(
            "diverged", "warning", claim, f"after {reached}, with learning rate {_number(lr)}", remedy
        )
    elif status.state != "finished":
        claim = f"The run is {status.state}: its metrics are those of its last checkpoint."
        yield Finding("unfinished", "warning", claim, reached, "mlprun resume RUN")
    elif status.reason == "early_stopping":
        patience = case.config.early_stopping.patience if case.config.early_stopping else 0
        claim = f"Training stopped early: {case.config.best.metric} did not improve for {patience:,} epochs."
        yield Finding("early_stopping", "note", claim, f"after {reached}; best epoch {case.epoch:,}")
    elif status.reason not in ("", "finished"):
        yield Finding("stopped", "note", f"Training was stopped by {status.reason}.", f"after {reached}")


def _overfitting(case: _Case) -> Iterator[Finding]:
    (epochs, dev), (_, train) = case.curve("dev_loss"), case.curve("train_loss")
    if len(dev) < 3 or not case.has_own_rows:
        return
    best, mine, other = int(dev.argmin()), case.of("train", "loss"), case.of("dev", "loss")
    lowest, last = (f"{_number(dev[k])} at epoch {epochs[k]:,}" for k in (best, -1))
    evidence = f"dev loss {lowest}, {last}"
    remedy = "penalty.l2, architecture.dropout, fewer units, or more rows"
    is_stopped = case.status.reason == "early_stopping"
    is_falling = train[-1] < train[min(best, len(train) - 1)]
    rise = float(dev[-1] - dev[best])
    _, accuracy = case.curve("dev_accuracy")
    # a loss may rise by few confident errors, and by chance from epoch to epoch
    is_no_better = len(accuracy) != len(dev) or accuracy[-1] <= accuracy[best]
    noise = 2 * float(np.std(np.diff(dev[-max(3, len(dev) // 5) :])))
    is_rising = is_falling and rise > max(noise, SMALL * dev[0])
    if is_rising and dev[-1] > RISE * dev[best] and is_no_better:
        claim = "The network overfits: dev loss rises while train loss keeps falling."
        if case.status.figures.get("best") and case.config.best.metric == "dev_loss":
            evidence += "; the best epoch is kept"
        yield Finding("overfitting", "note" if is_stopped else "warning", claim, evidence,
                      remedy if is_stopped else f"early_stopping.patience, {remedy}")  # fmt: skip
    elif is_rising and dev[-1] > SLIGHT_RISE * dev[best]:
        yield Finding(
            "overfitting", "note", f"Slight overfitting after epoch {epochs[best]:,}.", evidence, remedy
        )
    elif other > GAP * mine and other - mine > 0.01:
        claim = "The network fits training rows better than new ones (generalization gap)."
        evidence = f"train loss {_number(mine)}, dev loss {_number(other)}"
        yield Finding("overfitting", "note", claim, evidence, remedy)


def _underfitting(case: _Case) -> Iterator[Finding]:
    """The training rows themselves are fitted no better than by a linear model."""
    train = {
        name: _finite(splits.get("train", {}).get("loss"))
        for name, splits in case.status.figures.get("baselines", {}).items()
    }
    linear, mine = next((name for name in train if name.endswith("regression")), ""), case.of("train", "loss")
    # a network whose best epoch was an early one may still have fitted the rows later
    mine = min([mine, *case.curve("train_loss")[1][-1:].tolist()])
    # where little is left to learn, train rows are fitted well enough
    if linear and mine > 0.97 * train[linear] and mine > 0.1 * max(train.values()):
        claim = f"The network underfits: it fits the training rows no better than {linear}."
        evidence = f"train loss {_number(mine)}, {linear} {_number(train[linear])}"
        remedy = "more units in architecture.hidden, more training.epochs, another optimizer.lr, or adam"
        yield Finding("underfitting", "note", claim, evidence, remedy)


def _more_epochs(case: _Case) -> Iterator[Finding]:
    column = "dev_loss" if len(case.curve("dev_loss")[1]) > 10 else "train_loss"
    epochs, values = case.curve(column)
    if len(values) < 10 or case.status.state != "finished" or case.status.reason == "early_stopping":
        return
    last = max(2, len(values) // 10)
    before, after = float(values[-2 * last : -last].mean()), float(values[-last:].mean())
    name, span = column.replace("_", " "), f"the last {epochs[-1] - epochs[-last - 1]:,} epochs"
    best = int(epochs[int(values.argmin())])
    is_late = best > 0.8 * epochs[-1]
    if is_late and before > 0 and (before - after) / before > FALL:
        claim = f"More epochs may help: {name} is still falling."
        evidence = f"{name} fell by {(before - after) / before:.1%} over {span}"
        yield Finding(
            "epochs", "note", claim, evidence, f"mlprun resume RUN --epochs {2 * case.status.epochs}"
        )
    elif _oscillates(values):
        claim = f"{name.capitalize()} oscillates: the learning rate may be too large."
        evidence = f"between {_number(values[-last:].min())} and {_number(values[-last:].max())} over {span}"
        remedy = f"optimizer.lr={_number(case.config.optimizer.lr / 3)}, or a schedule that lowers it"
        yield Finding("oscillation", "note", claim, evidence, remedy)
    else:
        claim = f"More epochs would {'change little' if is_late else 'not help'}."
        yield Finding("epochs", "good", claim, f"lowest {name} at epoch {best:,} of {epochs[-1]:,}")


def _oscillates(loss: Floats) -> bool:
    """Return True if the last fifth of a loss rises and falls by over a tenth of it, far from zero."""
    end = loss[-max(10, len(loss) // 5) :]
    steps, mean = np.abs(np.diff(end)), float(end.mean())
    return bool(mean > 0.1 * loss[0] and steps.mean() > 0.1 * mean > abs(end[-1] - end[0]) / len(steps))


# --- rules about the units


def _units(case: _Case) -> Iterator[Finding]:
    if case.experiment is None:
        return
    if "train" not in case.experiment.fixed or not len(case.experiment.fixed["train"]):
        return
    inputs = case.experiment.fixed["train"].inputs[:ROWS]
    layers = getattr(case.config.architecture, "hidden_layers", ())
    for name, outputs in case.model.hidden_outputs(inputs).items():
        number = int(name.rpartition(".")[2])
        activation = "+".join(one.names()[0] for one in each(layers[number].activation))
        units, which = outputs.shape[1], f"hidden layer {number + 1}"
        constant = np.ptp(outputs, axis=0) <= 1e-6 * max(1e-12, float(np.abs(outputs).max()))
        count = int(constant.sum())
        if count:
            word = "dead" if activation == "relu" else "constant"
            claim = f"{count} of {units} units of {which} {_are(count)} {word}: one output for all rows."
            evidence = f"{_share(count / units)} of the units, on {len(inputs):,} training rows"
            remedy = "a lower optimizer.lr, leaky_relu, another architecture.init, or fewer units"
            yield Finding("dead_units", "warning" if 4 * count > units else "note", claim, evidence, remedy)
        if activation in BOUNDS:
            saturated = int((_near_bounds(outputs, *BOUNDS[activation]) & ~constant).sum())
            claim = (
                f"{saturated} of {units} units of {which} {_are(saturated)} saturated: gradients near zero."
            )
            evidence = f"within {NEAR:.0%} of a bound for over {SATURATED:.0%} of training rows"
            remedy = "a smaller optimizer.lr, smaller initial weights, dataset.standardize, or relu"
            level: Level = "warning" if 2 * saturated > units else "note"
            yield from [Finding("saturation", level, claim, evidence, remedy)] * bool(saturated)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _near_bounds(outputs: Array, low: float, high: float) -> NDArray[np.bool_]:
    """Which units are near a bound of their activation for most rows."""
    room = NEAR * (high - low)
    near = (outputs < low + room) | (outputs > high - room)
    return np.asarray(near.mean(axis=0) > SATURATED)


# --- rules about the rows


def _imbalance(case: _Case) -> Iterator[Finding]:
    experiment = case.experiment
    if experiment is None or experiment.classes is None or "train" not in experiment.fixed:
        return
    truth = np.asarray(experiment.fixed["train"].truth, np.int64)
    counts = np.bincount(truth, minlength=len(experiment.classes))
    rarest = rare_class(counts)
    if rarest is not None:
        names = experiment.classes
        claim = "Classes are imbalanced: accuracy says little about rare ones."
        most, least = (f"{counts[k]:,} of {names[k]!r}" for k in (int(counts.argmax()), rarest))
        evidence = f"train rows: {most}, {least}"
        remedy = "metrics: [balanced_accuracy, f1], loss.class_weights, dataset.split.stratify"
        yield Finding("imbalance", "note", claim, evidence, remedy)


def rare_class(counts: Ints) -> int | None:
    """The rarest class where classes are imbalanced: of two, one has less than a fifth of the rows."""
    rarest = int(counts.argmin())
    return rarest if counts[rarest] * len(counts) < RARE * counts.sum() else None


def _duplicates(case: _Case) -> Iterator[Finding]:
    experiment = case.experiment
    if experiment is None or not case.has_own_rows or "train" not in experiment.fixed:
        return
    train = {row.tobytes() for row in experiment.fixed["train"].inputs[:ROWS]}
    rows = experiment.rows(case.split, epoch=case.epoch).inputs[:ROWS]
    count = sum(row.tobytes() in train for row in rows)
    if count:
        few = len(train) < len(experiment.fixed["train"].inputs[:ROWS]) / 2
        claim = f"{count:,} of {len(rows):,} {case.split} rows have the same inputs as a training row."
        evidence = f"{len(train):,} distinct inputs among training rows"
        why = "expected with so few distinct inputs"
        remedy = why if few else "remove duplicates, or keep rows that belong together in one split"
        level: Level = "note" if few or count < 0.02 * len(rows) else "warning"
        yield Finding("duplicates", level, claim, evidence, remedy)


def _single_feature(case: _Case) -> Iterator[Finding]:
    experiment = case.experiment
    if experiment is None or case.config.architecture.vocabulary is not None:
        return
    rows, names = experiment.fixed.get("train"), experiment.preprocessing.names
    if rows is None or len(rows) < 30 or len(names) < 2:
        return
    inputs = np.asarray(rows.inputs[:ROWS], np.float64)
    truth = np.asarray(rows.truth[:ROWS], np.float64).reshape(len(inputs), -1)[:, 0]
    shares = [explained(column, truth, are_classes=experiment.classes is not None) for column in inputs.T]
    best = int(np.argmax(shares))
    if shares[best] >= ALONE:
        claim = f"The input {names[best]!r} alone predicts the target: possible leakage."
        evidence = f"they share {_share(shares[best])} of their variance on training rows"
        remedy = "check that it is known when predictions are made, or drop it from dataset.features"
        yield Finding("leakage", "note", claim, evidence, remedy)


def explained(column: Array, truth: Floats, *, are_classes: bool) -> float:
    """The share of variance that a column has in common with a number, or between classes."""
    if np.ptp(column) == 0 or np.ptp(truth) == 0:
        return 0.0
    if not are_classes:
        return float(np.corrcoef(column, truth)[0, 1] ** 2)
    groups = (truth == one for one in np.unique(truth))
    between = sum(group.mean() * (column[group].mean() - column.mean()) ** 2 for group in groups)
    return float(between / column.var())


# --- a table before it is trained on


def table_warnings(table: Table, data: Data, loss: Loss | None = None) -> list[str]:
    """What needs attention in the rows of a table, a line each; imbalance unless `loss` weights classes."""
    inputs = np.asarray(data.inputs, np.float64)
    targets = np.asarray(data.targets, np.float64).reshape(len(inputs), -1)
    lines = []
    rows = np.column_stack([np.where(np.isnan(inputs), np.inf, inputs), targets])
    copies = len(rows) - len(np.unique(rows, axis=0))
    if copies:
        what = "row is a copy of another" if copies == 1 else "rows are copies of others"
        lines.append(f"{copies} {what}, which may be in another split.")
    rarest = None if data.classes is None else rare_class(class_counts(data))
    if data.classes is not None and rarest is not None and getattr(loss, "class_weights", None) is None:
        share = float(np.mean(data.targets == rarest))
        lines.append(f"Imbalanced: class {data.classes[rarest]!r} has {share:.1%} of the rows.")
    for k, (values, name) in enumerate(zip(inputs.T, data.input_names, strict=True)):
        known = None if data.categories is None else data.categories[k]
        if len(values) >= FEW_ROWS and _determines(
            values, targets[:, 0], are_classes=data.classes is not None
        ):
            lines.append(f"Column {name!r} determines the target: is it known when predicting?")
        if is_identity(name, values, known):
            lines.append(f"Column {name!r} looks like a row identifier: set its option `as` to skip.")
        options = table.of(name)
        if known is not None and len(known) > WIDE and not (options.encode or options.max_categories):
            what = f"Column {name!r} becomes {len(known)} inputs, one for each category"
            lines.append(f"{what}: see encode and max_categories.")
        if name in data.dates and len(options.format) and is_ambiguous(options.format, values):
            lines.append(
                f"Column {name!r} has no day above 12: is {options.format} right, day or month first?"
            )
    return [*lines, *data.warnings]


def class_counts(data: Data) -> Ints:
    """[K] rows of each class."""
    return np.bincount(data.targets.astype(np.int64), minlength=len(data.classes or ()))


def _determines(values: Floats, target: Floats, *, are_classes: bool) -> bool:
    """Whether the target follows from a feature: one class for each value, or a straight line."""
    present = ~np.isnan(values)
    values, target = values[present], target[present]
    if not len(values) or np.ptp(values) == 0 or np.ptp(target) == 0:
        return False
    if are_classes and 4 * (distinct := len(np.unique(values))) <= len(values):
        return len(np.unique(np.column_stack([values, target]), axis=0)) == distinct
    return not are_classes and explained(values, target, are_classes=False) >= SAME


def is_identity(name: str, values: Floats, categories: Names | None) -> bool:
    """Return True if a column is a row identifier.

    That is the case if its texts are all different, or if its integers are all different and either count the
    rows or the column is named like an id. Other integers, such as years, may be distinct by chance.
    """
    if len(values) < FEW_ROWS or len(np.unique(values)) < len(values) or np.isnan(values).any():
        return False
    if categories is not None or not (values == np.floor(values)).all():
        return categories is not None
    is_counting = values[0] in (0, 1) and bool((np.diff(values) == 1).all())
    return is_counting or IDENTITY.search(name) is not None


def is_ambiguous(form: str | Sequence[str], days: Floats) -> bool:
    """Whether dates in a numeric format could have day and month exchanged: no day is above 12."""
    if not re.match("%[dm][/-]%[dm]", str(form)):
        return False
    dates = days[~np.isnan(days)].astype("datetime64[D]")
    return bool((dates - dates.astype("datetime64[M]") < np.timedelta64(12, "D")).all())


RULES = (
    _against_baselines, _coverage, _ending, _overfitting, _underfitting, _more_epochs, _units,
    _test_far_from_dev, _imbalance, _duplicates, _single_feature,
)  # fmt: skip
