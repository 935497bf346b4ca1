"""`mlprun eval` and `mlprun predict`: a trained model's metrics, and its predictions for new rows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from mlprun import api, evaluation
from mlprun.cli import metrics
from mlprun.cli.options import AllowCode, Baselines, Checkpoint, Device, Force, save
from mlprun.cli.terminal import Output
from mlprun.errors import CheckFailedError, UsageError
from mlprun.evaluation.baselines import boosting
from mlprun.parts import SPLITS
from mlprun.schema import metric_direction

if TYPE_CHECKING:
    from mlprun.schema import Config

UNDER, OVER = "--fail-under", "--fail-over"
EXAMPLES = {UNDER: "test_accuracy=0.9", OVER: "test_loss=0.3"}


def eval_command(
    checkpoint: Checkpoint,
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

    Needs only the checkpoint for generated and bundled data; a table is read
    again from the path in the config, or from --data. --baselines boosting fits
    scikit-learn's gradient boosting to the same train rows.

    --json prints {"checkpoint", "epoch", "positive", "splits": {SPLIT: {"loss",
      METRIC, ...}}}; with --data the only split is "data"; "positive" is the
      positive class of precision, recall, f1 and average_precision. Several
      targets add "targets": {SPLIT: {TARGET: {METRIC, ...}}}, and labels
      "averages": {SPLIT: {"macro": {METRIC, ...}, "micro": {...}}}; --baselines
      adds "baselines": {NAME: {SPLIT: {METRIC, ...}}}. "threshold", "temperature"
      and "ece" (before and after) are there if chosen on dev.

    Exit codes: 0 success, 2 usage, 3 data, 4 checkpoint, 6 device, 7 files,
    10 a metric is below --fail-under or above --fail-over.
    """
    selected = _splits(split)
    if data is not None and split is not None:
        raise UsageError("--split", "cannot be combined with --data, which has no splits", "omit --split")
    loaded = api.load_checkpoint(checkpoint, device=device, allow_code=allow_code)
    table = None
    if data is None:
        splits, warnings = loaded.evaluate(selected), loaded.experiment.warnings
        rows = evaluation.split_rows(loaded.experiment, selected, epoch=loaded.epoch)
    else:
        table = loaded.table(data)
        splits, warnings = {"data": loaded.evaluate_data(table)}, table.warnings
        rows = {"data": loaded.alone.prepare(table)}
    for warning in (*loaded.warnings, *warnings):
        output.message(f"warning: {warning}")
    numbers = {
        f"{name}_{metric}": value
        for name, values in splits.items()
        for metric, value in values.items()
        if isinstance(value, float)
    }
    bounds = [(UNDER, text) for text in fail_under or ()] + [(OVER, text) for text in fail_over or ()]
    failures = [_failure(option, text, numbers, loaded.config) for option, text in bounds]
    classes = loaded.preprocessing.classes
    positive = classes[1] if classes is not None and len(classes) == 2 else None
    by_split = loaded.target_metrics(rows)
    decision = {} if loaded.decision is None else loaded.decision.to_json()
    document = {
        "checkpoint": loaded.where,
        "epoch": loaded.epoch,
        "positive": positive,
        **decision,
        "splits": splits,
    }
    for field in ("targets", "averages"):
        if found := {split: values for split, one in by_split.items() if (values := getattr(one, field))}:
            document[field] = found
    others = {} if baselines is None else boosting(loaded.experiment, rows, table)
    output.document(document if baselines is None else {**document, "baselines": others})
    title = "; ".join([loaded.where, *metrics.described(decision)])
    results = {f"epoch {loaded.epoch}": splits, **others}
    output.result(metrics.result_table(results, title, positive))
    for name, values in splits.items():
        output.result(*metrics.confusion_tables(values, classes, name))
    for name, one in by_split.items():
        output.result(metrics.target_table(one, name))
    for failure in filter(None, failures):
        raise failure


def predict_command(
    checkpoint: Checkpoint,
    data: Annotated[str, Argument(help="a table of new rows; - for standard input")],
    *,
    out: Annotated[str | None, Option(help="Write the CSV to this file.")] = None,
    force: Force = False,
    device: Device = "cpu",
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Predict the rows of a table: a CSV with one line per row, in the same order.

    mlprun predict runs/wine-001 new.csv > predicted.csv
    cat new.csv | mlprun predict runs/wine-001 -

    The table must have the columns that the network was trained on, in any
    order; other columns are ignored. The CSV has `class` and the probability of
    each class for classification, and one column per target, in its original
    units, for regression; one per quantile, such as price_q0.1, with the loss
    quantile; of several labels each as 0 or 1, then the probability of each.

    --json prints {"checkpoint", "epoch", "columns": [NAME, ...], "rows": [[...], ...]}.

    Exit codes: 0 success, 2 usage, 3 data, 4 checkpoint, 6 device, 7 files.
    """
    loaded = api.load_checkpoint(checkpoint, device=device, allow_code=allow_code)
    table = loaded.predict_table(data)
    for warning in (*loaded.warnings, *table.warnings):
        output.message(f"warning: {warning}")
    output.document(
        {"checkpoint": loaded.where, "epoch": loaded.epoch, "columns": table.columns, "rows": table.rows}
    )
    text = table.csv()
    if out is not None:
        save(out, text.encode(), force=force)
        output.message(f"{len(table.rows)} rows written to {out}")
    elif not output.as_json:
        output.data(text)


def _splits(text: str | None) -> Sequence[str]:
    if text is None:
        return SPLITS
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SPLITS:
            raise UsageError("--split", f"unknown split {name!r}", f"use {', '.join(SPLITS)}")
    return names


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
