"""`mlprun eval`, `predict` and `explain`: metrics and predictions of a model, and what these depend on."""

import csv
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from mlprun import api, evaluation, figures, files
from mlprun.analysis import explanation, report_text
from mlprun.cli import metrics
from mlprun.cli.options import AllowCode, Baselines, CheckpointOrSweep, Device, Force, RunPath, save
from mlprun.cli.terminal import Output, Table
from mlprun.errors import CheckFailedError, UsageError
from mlprun.evaluation.baselines import boosting
from mlprun.parts import SPLITS
from mlprun.schema import Config, metric_direction

if TYPE_CHECKING:
    from mlprun.analysis.ensemble import Ensemble
    from mlprun.analysis.explanation import Dependence, Importances
    from mlprun.evaluation import TrainedModel

UNDER, OVER = "--fail-under", "--fail-over"
EXAMPLES = {UNDER: "test_accuracy=0.9", OVER: "test_loss=0.3"}


Setting = Annotated[int | None, Option(help="Setting of the sweep (default: the best one).")]


def eval_command(
    checkpoint: CheckpointOrSweep,
    *,
    split: Annotated[str | None, Option(help="Evaluate only these, such as train,dev.")] = None,
    data: Annotated[str | None, Option(help="Evaluate this table with targets instead.")] = None,
    fail_under: Annotated[
        list[str] | None, Option(metavar="METRIC=NUMBER", help="Exit with 10 if the metric is lower.")
    ] = None,
    fail_over: Annotated[
        list[str] | None, Option(metavar="METRIC=NUMBER", help="Exit with 10 if the metric is higher.")
    ] = None,
    baselines: Baselines = None,
    setting: Setting = None,
    device: Device = "cpu",
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Report loss and metrics on train, dev and test.

    mlprun eval runs/moons-001
    mlprun eval runs/moons-001/last.safetensors --split test
    mlprun eval runs/wine-001 --data new.csv --fail-under data_accuracy=0.9
    mlprun eval runs/moons-001 --fail-over test_loss=0.3
    mlprun eval runs/table-001 --baselines boosting
    mlprun eval runs/moons-seeds-001       the ensemble of a sweep's trials

    Needs only the checkpoint for generated and bundled data; a table is read
    again from the path in the config, or from --data. --baselines boosting fits
    scikit-learn's gradient boosting to the same train rows.

    Of a sweep it compares the trials of one setting with their ensemble, which
    averages probabilities, or numbers. Intervals of single trials are over trials,
    those of the ensemble over rows (bootstrap).

    --json prints {"checkpoint", "epoch", "positive", "splits": {SPLIT: {"loss",
      METRIC, ...}}}; with --data the only split is "data"; "positive" is the
      positive class of precision, recall, f1 and average_precision. Several
      targets add "targets": {SPLIT: {TARGET: {METRIC, ...}}}, and labels
      "averages": {SPLIT: {"macro": {METRIC, ...}, "micro": {...}}}; --baselines
      adds "baselines": {NAME: {SPLIT: {METRIC, ...}}}. "threshold", "temperature"
      and "ece" (before and after) are there if chosen on dev.
    Of a sweep --json prints {"sweep", "setting", "trials": [N, ...],
      "splits" and "ensemble": {SPLIT: {METRIC: NUMBER}}, the means of single
      trials and the ensemble's, "splits_interval" and "ensemble_interval":
      {SPLIT: {METRIC: [LOW, HIGH] or null}}}.

    Exit codes: 0 success, 2 usage, 3 data, 4 checkpoint, 6 device, 7 files,
    10 a metric is below --fail-under or above --fail-over.
    """
    selected = _splits(split)
    if data is not None and split is not None:
        raise UsageError("--split", "cannot be combined with --data, which has no splits", "omit --split")
    bounds = [(UNDER, text) for text in fail_under or ()] + [(OVER, text) for text in fail_over or ()]
    if _is_sweep(checkpoint, setting):
        if baselines is not None:
            raise UsageError(
                "--baselines", f"is for a single run, and {checkpoint} is a sweep", "leave it out"
            )
        ensemble = api.load_sweep(checkpoint).ensemble(setting, device=device, allow_code=allow_code)
        failures = _eval_ensemble(ensemble, selected, data, bounds, output)
    else:
        model = api.load_checkpoint(checkpoint, device=device, allow_code=allow_code)
        failures = _eval_model(model, selected, data, bounds, output, with_boosting=baselines is not None)
    for failure in failures:
        raise failure


def _is_sweep(path: str, setting: int | None) -> bool:
    """Return True for the folder of a sweep, which alone has settings."""
    is_sweep = files.kind(os.path.join(path, "sweep.yaml")) is not None
    if setting is not None and not is_sweep:
        raise UsageError("--setting", f"{path} is not a sweep, which has settings", "leave it out")
    return is_sweep


def _eval_model(
    model: "TrainedModel",
    selected: Sequence[str],
    data: str | None,
    bounds: Sequence[tuple[str, str]],
    output: Output,
    *,
    with_boosting: bool,
) -> list[CheckFailedError]:
    """Report the metrics of a model; return the errors of those that are out of bounds."""
    table = None
    if data is None:
        splits, warnings = model.evaluate(selected), model.experiment.warnings
        rows = evaluation.split_rows(model.experiment, selected, epoch=model.epoch)
    else:
        table = model.table(data)
        splits, warnings = {"data": model.evaluate_data(table)}, table.warnings
        rows = {"data": model.alone.prepare(table)}
    output.warn(*model.warnings, *warnings)
    failures = _failures(bounds, splits, model.config)
    classes = model.preprocessing.classes
    positive = classes[1] if classes is not None and len(classes) == 2 else None
    by_split = model.target_metrics(rows)
    decision = {} if model.decision is None else model.decision.to_json()
    about = {"checkpoint": model.where, "epoch": model.epoch, "positive": positive}
    document = {**about, **decision, "splits": splits}
    for field in ("targets", "averages"):
        if known := {split: values for split, one in by_split.items() if (values := getattr(one, field))}:
            document[field] = known
    baselines = boosting(model.experiment, rows, table) if with_boosting else {}
    output.document({**document, "baselines": baselines} if with_boosting else document)
    title = "; ".join([model.where, *metrics.described(decision)])
    results = {f"epoch {model.epoch}": splits, **baselines}
    output.result(metrics.result_table(results, title, positive))
    for name, values in splits.items():
        output.result(*metrics.confusion_tables(values, classes, name))
    for name, one in by_split.items():
        output.result(metrics.target_table(one, name))
    return failures


def _eval_ensemble(
    ensemble: "Ensemble",
    selected: Sequence[str],
    data: str | None,
    bounds: Sequence[tuple[str, str]],
    output: Output,
) -> list[CheckFailedError]:
    """Report the metrics of single trials and of their ensemble; return errors as `_eval_model` does."""
    if data is None:
        splits, warnings = ensemble.evaluate(selected), ensemble.experiments[0].warnings
    else:
        table = ensemble.models[0].table(data)
        splits, warnings = {"data": ensemble.evaluate_data(table)}, table.warnings
    output.warn(*warnings)
    fields = {"splits": "single", "splits_interval": "single_interval"}
    fields |= {name: name for name in ("ensemble", "ensemble_interval")}
    values = {
        field: {
            split: {metric: getattr(one, name) for metric, one in metrics.items()}
            for split, metrics in splits.items()
        }
        for field, name in fields.items()
    }
    failures = _failures(bounds, values["ensemble"], ensemble.models[0].config)
    about = {"sweep": ensemble.path, "setting": ensemble.setting, "trials": ensemble.trials}
    output.document({**about, **values})
    headings = ("split", "metric", "single", "95% interval", "ensemble", "95% interval")
    rows = [
        (
            split,
            metric,
            one.single,
            report_text.interval_text(one.single_interval),
            one.ensemble,
            report_text.interval_text(one.ensemble_interval),
        )
        for split, metrics in splits.items()
        for metric, one in metrics.items()
    ]
    count = len(ensemble.trials)
    title = f"{ensemble.path}, setting {ensemble.setting}: the mean of {count} trials and their ensemble"
    if data is None and not ensemble.shares_rows:
        title += f", on the rows of trial {ensemble.trials[0]}"
    output.result(Table(headings, rows, title, is_fixed=True))
    return failures


def predict_command(
    checkpoint: CheckpointOrSweep,
    data: Annotated[str, Argument(help="a table of new rows; - for standard input")],
    *,
    keep: Annotated[str | None, Option(help="Columns of the table to copy, such as id,name.")] = None,
    threshold: Annotated[float | None, Option(help="Threshold of class 1 (default: the model's).")] = None,
    digits: Annotated[int | None, Option(min=1, max=17, help="Significant digits of numbers.")] = None,
    setting: Setting = None,
    out: Annotated[str | None, Option(help="Write the CSV to this file.")] = None,
    force: Force = False,
    device: Device = "cpu",
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Predict the rows of a table: a CSV with one line per row, in the same order.

    mlprun predict runs/wine-001 new.csv > predicted.csv
    cat new.csv | mlprun predict runs/wine-001 - --keep id,name --digits 4
    mlprun predict runs/wine-seeds-001 new.csv

    The table must have the columns that the network was trained on, in any
    order; other columns are ignored. The CSV has `class` and the probability of
    each class for classification, and one column per target, in its original
    units, for regression; one per quantile, such as price_q0.1, with the loss
    quantile; of several labels each as 0 or 1, then the probability of each.

    Of a sweep the trials of one setting are averaged, and a column std_NAME has the
    standard deviation over trials of each probability or number: how much the
    trials disagree.

    --json prints {"checkpoint", "epoch", "columns": [NAME, ...], "rows": [[...], ...]};
    of a sweep {"sweep", "setting", "trials", "columns", "rows"}.

    Exit codes: 0 success, 2 usage, 3 data, 4 checkpoint, 6 device, 7 files.
    """
    model: Ensemble | TrainedModel
    if _is_sweep(checkpoint, setting):
        model = api.load_sweep(checkpoint).ensemble(setting, device=device, allow_code=allow_code)
        about = {"sweep": model.path, "setting": model.setting, "trials": model.trials}
    else:
        model = api.load_checkpoint(checkpoint, device=device, allow_code=allow_code)
        about = {"checkpoint": model.where, "epoch": model.epoch}
    names = () if keep is None else tuple(name.strip() for name in keep.split(","))
    table = model.predict_table(data, keep=names, threshold=threshold)
    table = table if digits is None else table.rounded(digits)
    output.warn(*model.warnings, *table.warnings)
    output.document({**about, "columns": table.columns, "rows": table.rows})
    text = table.csv()
    if out is not None:
        save(out, text.encode(), force=force)
        output.message(f"{len(table.rows)} rows written to {out}")
    elif not output.as_json:
        output.data(text)


def explain_command(
    run: RunPath,
    *,
    features: Annotated[
        str | None,
        Option(metavar="A,B", help="Features for partial dependence (default: the 4 most important)."),
    ] = None,
    metric: Annotated[
        str | None, Option(help="Metric of importance (default: the first of the config).")
    ] = None,
    split: Annotated[Literal["train", "dev", "test"], Option(help="Rows that are changed.")] = "dev",
    repeats: Annotated[int, Option(min=3, help="Permutations of each feature.")] = explanation.REPEATS,
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="Seed of the permutations.")] = 0,
    out: Annotated[str | None, Option(metavar="FOLDER", help="Default: RUN/plots.")] = None,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Report which features the predictions of a run's best epoch depend on, and how.

    mlprun explain runs/penguins-001
    mlprun explain runs/penguins-001 --metric loss --features body_mass,island

    The importance of a feature is by how much the metric gets worse when its values
    are permuted between dev rows: the mean over the permutations with its 95%
    interval. Partial dependence is the mean prediction when the feature has the same
    value in all rows. Of features that say the same, each can look unimportant. Both
    are in the units of the data, and are drawn as importance.png and
    partial_dependence.png.

    Importances are of at most 10,000 rows, partial dependence of at most 1,000.
    Inputs that are symbols have importances by position only.

    --json prints {"run", "epoch", "split", "rows", "metric", "baseline", "repeats",
      "importance": [{"feature", "mean", "interval": [LOW, HIGH], "values": [...]}],
      "partial_dependence": [{"feature", "values": [NUMBER or TEXT, ...],
        "outputs": [NAME, ...], "mean": [[...], ...]}], "plots": [PATH, ...]}
      where mean[i][k] is output k at the value i.

    Exit codes: 0 success, 2 usage, 3 data, 4 run folder, 7 files.
    """
    loaded = api.load(run, allow_code=allow_code)
    model = loaded.best
    importances = explanation.permutation_importances(
        model, split=split, metric=metric, repeats=repeats, seed=seed
    )
    if features is not None:
        named = [word.strip() for word in next(csv.reader([features]), ())]
    elif model.preprocessing.symbols:
        named = []
    else:
        named = [one.feature for one in importances.features[:4]]
    dependences = list(explanation.partial_dependences(model, named, split=split)) if named else []
    charts = {"importance": figures.importance_chart(loaded.folder.name, importances)}
    if dependences:
        charts["partial_dependence"] = figures.dependence_chart(loaded.folder.name, split, dependences)
    if out is not None:
        files.make_folder(out)
    folder = out or loaded.folder.plots()
    paths = []
    for kind, chart in charts.items():
        paths.append(os.path.join(folder, f"{kind}.png"))
        files.write_atomic(paths[-1], figures.encode(chart, "png"))
    output.warn(*model.warnings, *model.experiment.warnings)
    output.result(*_explanation_tables(importances, dependences))
    output.result("\n".join(paths))
    output.document(
        {
            "run": loaded.path,
            "epoch": model.epoch,
            **_explanation(importances, dependences),
            "repeats": repeats,
            "plots": paths,
        }
    )


def _explanation(importances: "Importances", dependences: "Sequence[Dependence]") -> dict[str, Any]:
    """Return the JSON document of importances and partial dependences."""
    importance = [
        {"feature": one.feature, "mean": one.stats.mean, "interval": one.stats.interval, "values": one.values}
        for one in importances.features
    ]
    partial = [
        {"feature": one.feature, "values": one.labels, "outputs": one.outputs, "mean": one.mean.tolist()}
        for one in dependences
    ]
    fields = {name: getattr(importances, name) for name in ("split", "rows", "metric", "baseline")}
    return {**fields, "importance": importance, "partial_dependence": partial}


def _explanation_tables(importances: "Importances", dependences: "Sequence[Dependence]") -> list[Table]:
    """Return a table of importances, and one of where predictions are lowest and highest."""
    rows = []
    for one in importances.features:
        low, high = one.stats.interval or (None, None)
        rows.append((one.feature, one.stats.mean, low, high))
    metric = f"{importances.split} {importances.metric}, which is {importances.baseline:.4g}"
    title = f"by how much {metric}, gets worse"
    tables = [Table(("feature", "mean", "95% from", "to"), rows, title)]
    extremes = [
        (one.feature, output, *ends)
        for one in dependences
        for output, curve in zip(one.outputs, one.mean.T, strict=True)
        for ends in [
            (curve.min(), one.labels[curve.argmin()], curve.max(), one.labels[curve.argmax()]),
        ]
    ]
    if extremes:
        columns = ("feature", "prediction", "lowest", "at", "highest", "at")
        tables.append(Table(columns, extremes, "partial dependence: mean predictions"))
    return tables


def _splits(text: str | None) -> Sequence[str]:
    if text is None:
        return SPLITS
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SPLITS:
            raise UsageError("--split", f"unknown split {name!r}", f"use {', '.join(SPLITS)}")
    return names


def _failures(
    bounds: Sequence[tuple[str, str]], splits: Mapping[str, Mapping[str, Any]], config: "Config"
) -> list[CheckFailedError]:
    """The errors of the metrics that are outside the bounds given with --fail-under and --fail-over."""
    numbers = {
        f"{name}_{metric}": value
        for name, values in splits.items()
        for metric, value in values.items()
        if isinstance(value, float)
    }
    failures = [_failure(option, text, numbers, config) for option, text in bounds]
    return [failure for failure in failures if failure is not None]


def _failure(
    option: str, text: str, numbers: Mapping[str, float], config: "Config"
) -> CheckFailedError | None:
    """The error of a metric that is outside its bound or NaN, else None.

    Raises UsageError for a bound that is not METRIC=NUMBER, on a metric that was not evaluated, or in the
    wrong direction.
    """
    metric, _, number = text.partition("=")
    metric, name = metric.strip(), metric.strip().partition("_")[2]
    try:
        bound = float(number)
    except ValueError as error:
        example = f"example: {EXAMPLES[option]}"
        raise UsageError(option, f"{text!r} is not METRIC=NUMBER", example) from error
    if metric not in numbers:
        raise UsageError(option, f"{metric!r} was not evaluated", f"use one of {', '.join(numbers)}")
    larger, value = metric_direction(name, config.metrics) == "max", numbers[metric]
    right, size = (UNDER, "larger") if larger else (OVER, "smaller")
    if option != right:
        raise UsageError(option, f"{name} is better when {size}", f"use {right} {metric}={bound:g}")
    if value >= bound if larger else value <= bound:
        return None
    what = f"{value:.6g} is {'below' if larger else 'above'} {bound:g}"
    return CheckFailedError(metric, what, "train longer, or relax the bound")
