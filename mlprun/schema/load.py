"""A document made into a config: upgraded from earlier formats, validated, checked and completed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from mlprun import interrupts
from mlprun.config import document as reading
from mlprun.config.document import Document, Problem
from mlprun.errors import DataError, MlprunError
from mlprun.parts import SPLITS
from mlprun.parts.activations import activations
from mlprun.parts.datasets import Dataset, DatasetInfo, Generated
from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.table import FEW, ColumnsError, MemoryTable, Table
from mlprun.parts.datasets.table.formats import is_number
from mlprun.parts.losses import BCE, ClassLoss, Loss, losses
from mlprun.parts.metrics import Metric, metrics
from mlprun.parts.part import Options
from mlprun.parts.splits import Split, resolve_sizes
from mlprun.schema import model
from mlprun.schema.checks import check
from mlprun.schema.error_messages import to_problems
from mlprun.schema.extend import run_extensions
from mlprun.schema.model import FORMAT, Config, default_part, dump, metric_direction

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

OptionsOf = TypeVar("OptionsOf", bound=Options)

CONFIG_FILE: Final = reading.CONFIG._replace(keys=frozenset({"base", *model.Config.model_fields}))
"""describes config files in messages about files of another kind"""
_MAX_ERRORS: Final = 1000  # a megabyte of nonsense has half a million; far fewer are shown
_MAX_NAME: Final = 64


def load(path: str, overrides: Sequence[str] = (), *, allow_code: bool = False) -> Config:
    """Return the config in a file, with `KEY=VALUE` overrides applied.

    Raises UsageError when there is no such file, ConfigError with every problem, DataError for a table that
    cannot be read, FileError.
    """
    return parse(read(path, overrides), allow_code=allow_code)


def read(path: str, overrides: Sequence[str] = (), *, text: str | None = None) -> Document:
    """Return the document of a config file, or of a `text` called `path`; raises as `load` does.

    Nothing is quoted of a file that is no config.
    """
    return reading.read(path, overrides, kind=CONFIG_FILE, text=text)


def parse(
    document: Document,
    *,
    allow_code: bool = False,
    data: bool = True,
    info_of: Callable[[Dataset], DatasetInfo] | None = None,
    memory: MemoryTable | None = None,
) -> Config:
    """Return the config that a document describes; raises ConfigError, DataError, FileError.

    Without `data` a table is not read: for the complete config of a checkpoint, whose table may be gone.
    `info_of` replaces `Dataset.info`, for callers that read many configs of the same data. The rows of a
    table are those of `memory`, if it is given, rather than those of its file.
    """
    problems = run_extensions(document, allow_code=allow_code) if "extend" in document.data else []
    upgraded = upgrade(document.data)
    config, errors = _validate(model.build(), upgraded, dataset="xor")
    if errors:
        # where code that would register parts has not run, an unknown part is no problem
        reported = _of_known_parts(errors) if problems else errors
        problems += to_problems(reported[:_MAX_ERRORS], upgraded)
    valid = frozenset(model.Config.model_fields) - {error["loc"][0] for error in errors}
    info, failure = None, None
    if "dataset" in valid:
        outputs = config.architecture.outputs if "architecture" in valid else None
        dataset = _with_rows(config.dataset, config.training.seed, outputs)
        if isinstance(dataset, Table) and memory is not None:
            dataset = dataset.with_memory(memory)
        config = config.model_copy(update={"dataset": dataset})
        if data:
            config, info, failure = _read_data(config, valid, info_of or (lambda dataset: dataset.info()))
    config = _complete(config, info, document.name, old=document.data.get("format") == 1)
    problems += check(config, info, valid)
    if not data and not problems:
        problems += _gaps(config)
    if isinstance(failure, ColumnsError):
        problems += [Problem(("dataset", *option), message) for option, message in failure.problems]
    elif failure is not None and (problems or document.read_problems):
        path = ("dataset", "path") if isinstance(failure, DataError) else ("dataset",)
        problems.append(Problem(path, str(failure)))
    document.raise_problems(problems)
    if failure is not None:
        raise failure
    # with an underscore it is no field: neither dumped nor compared, and kept by copies
    return config.model_copy(update={"_variables": document.variables}) if document.variables else config


def validate(
    document: Document, kind: type[OptionsOf], problems: Callable[[OptionsOf], Iterable[Problem]]
) -> OptionsOf:
    """Return a document of another kind than a config, all of whose keys have defaults.

    `problems` finds what fields cannot see each for itself; invalid ones have their defaults there. Raises
    ConfigError with every problem.
    """
    made, errors = _validate(kind, document.data)
    found = to_problems(errors[:_MAX_ERRORS], document.data, kind)
    document.raise_problems([*found, *problems(made)])
    return made


def explicit_values(document: Document, folder: str) -> dict[str, Any]:
    """Return what a valid config sets itself, without defaults, with its paths relative to `folder`."""
    values = dump(model.build().model_validate(document.data), folder, defaults=False)
    # format 1 is not named, as before there were formats, so that definitions stored then compare equal
    version = values.pop("format", FORMAT)
    return values if version == 1 else {**values, "format": version}


def run_name(stem: str) -> str:
    """Return a file's stem as a name that a run may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")
    return name[:_MAX_NAME] or "run"


def with_format(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config of a checkpoint or a sweep with format 1 if it names none.

    A config without a format is otherwise of the newest one.
    """
    return {"format": 1, **config}


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """Return a config of an older format with the same meaning in the newest one; others as they are.

    Before format 3, torch computed the arcs of moons. In format 1, values alone decided what a target is,
    `1,000.00` was a category, and `delta` and `beta` were in standardised units.
    """
    version = data.get("format")
    if version not in (1, 2):
        return data
    data = {**data, "format": FORMAT}
    dataset = data.get("dataset")
    dataset = {"name": dataset} if isinstance(dataset, str) else dataset
    if isinstance(dataset, Mapping) and dataset.get("name") == "moons":
        data["dataset"] = {"arcs": "pytorch", **dataset}
    if version == 2:
        return data
    if isinstance(dataset, Mapping) and dataset.get("name") == "table":
        task = dataset.get("task") or "auto"
        task = "values" if task == "auto" else task
        data["dataset"] = {"other_formats": "categories", **dataset, "task": task}
    if "loss" in data:
        data["loss"] = _in_standardized_units(data["loss"])
    if isinstance(data.get("metrics"), tuple | list):
        data["metrics"] = tuple(map(_in_standardized_units, data["metrics"]))
    return data


def _in_standardized_units(part: Any) -> Any:
    named = {"name": part} if isinstance(part, str) else part
    if isinstance(named, Mapping) and named.get("name") in ("huber", "smooth_l1"):
        # the reduction tells a loss that is logged, be it of classes, from a metric
        return {"units": "standardized", "reduction": "mean", **named}
    return part


def _validate(
    kind: type[OptionsOf], data: dict[str, Any], **stand_ins: Any
) -> tuple[OptionsOf, list[ErrorDetails]]:
    """Return the model, with `stand_ins` or defaults for invalid sections, and what is wrong with these."""
    with interrupts.defer_interrupts():
        try:
            return kind.model_validate(data), []
        except ValidationError as error:
            errors = error.errors(include_url=False)
        invalid = {error["loc"][0] for error in errors}
        rest = {name: value for name, value in data.items() if name not in invalid}
        return kind.model_validate(stand_ins | rest), errors


def _of_known_parts(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors without those of unknown parts, which may be the user's own."""
    unknown = [error["loc"] for error in errors if error["type"] == "part_name"]
    return [
        error
        for error in errors
        if error["loc"][0] != "penalty" and not any(error["loc"][: len(at)] == at for at in unknown)
    ]


def _gaps(config: Config) -> list[Problem]:
    """Return what a complete config names and this one leaves to its data."""
    named = {
        ("loss",): config.loss,
        ("metrics",): config.metrics,
        ("architecture", "outputs"): config.architecture.outputs,
        ("architecture", "output_activation"): config.architecture.output_activation,
        ("dataset", "split"): config.dataset.split,
    }
    message = "is missing; a config that is used without its data names it"
    return [Problem(path, message, at_key=True) for path, value in named.items() if value is None]


def _with_rows(dataset: Dataset, seed: int, outputs: int | None) -> Dataset:
    """Return the dataset with its seed, number of rows and of classes, so that its facts can be computed.

    `outputs` are those of the network where the config names them: class ids do not show the classes above.
    """
    update: dict[str, Any] = {"seed": seed if dataset.seed is None else dataset.seed}
    if (
        isinstance(dataset, Inline)
        and dataset.classes is None
        and 0 < dataset.minimum_classes < (outputs or 0)
    ):
        update["classes"] = outputs
    if isinstance(dataset, Generated) and dataset.samples is None:
        update["samples"] = _row_count(dataset.split) or dataset.default_samples
    return dataset.model_copy(update=update)


def _row_count(split: Split | None) -> int | None:
    """Return the sum of a split's counts; None unless it names how many rows train has."""
    if split is None or split.same or "train" not in split.model_fields_set:
        return None
    sizes = [getattr(split, name) for name in SPLITS if name in split.model_fields_set]
    if any(isinstance(size, float) for size in sizes):
        return None
    return sum(size for size in sizes if isinstance(size, int))


def _read_data(
    config: Config, valid: frozenset[str], info_of: Callable[[Dataset], DatasetInfo]
) -> tuple[Config, DatasetInfo | None, MlprunError | None]:
    """Return the config with its target as the loss needs it, and the dataset's facts or why there are none.

    The error is returned, since problems of the config are reported before it.
    """
    try:
        info = info_of(config.dataset)
    except MlprunError as error:
        return config, None, error
    dataset = config.dataset
    if {"loss", "architecture"} <= valid:
        for dataset in _readings(config.dataset, info, config.loss, config.architecture.outputs):
            try:
                other = info_of(dataset)
            except MlprunError:
                continue
            if _suits(dataset, other, info, config.loss):
                info = other
                break
        else:
            dataset = config.dataset
    if isinstance(dataset, Table):
        dataset = dataset.with_task(info)
    return config.model_copy(update={"dataset": dataset}), info, None


def _readings(dataset: Dataset, info: DatasetInfo, loss: Loss | None, outputs: int | None) -> list[Table]:
    """Return a table as the loss may have to read its target, the likeliest first.

    In few rows each class id may occur once, and classes of the network may be in no row at all.
    """
    if not isinstance(dataset, Table) or loss is None or dataset.classes is not None:
        return []
    updates: list[dict[str, Any]] = []
    is_auto, are_numbers = dataset.task == "auto", all(map(is_number, info.classes or ("",)))
    if loss.target_kind == "numbers" and is_auto and (info.multilabel or are_numbers):
        updates = [{"task": "numbers"}]
    elif loss.target_kind == "classes" and is_auto and len(dataset.targets) > 1:
        updates = [{"task": "labels"}]
    elif loss.target_kind == "classes" and len(dataset.targets) <= 1 and dataset.task != "numbers":
        if dataset.task == "values" and not isinstance(loss, ClassLoss):
            return []
        known = len(info.classes or ())
        updates = [] if outputs is None or outputs <= known else [{"classes": outputs}]
        updates += [] if known else [{"task": "classes"}]
    return [dataset.model_copy(update=update) for update in updates]


def _suits(dataset: Table, read: DatasetInfo, before: DatasetInfo, loss: Loss) -> bool:
    """Return True if the facts of a table read another way are what the loss takes."""
    if dataset.task in ("numbers", "labels"):
        return True
    names = read.classes or ()
    # so few whole numbers from 0 are ids rather than amounts
    are_ids = all(name.isdecimal() for name in names) and len(names) <= FEW
    if not (before.classes or dataset.classes or are_ids):
        return False
    return not isinstance(loss, BCE) or len(names) == 2  # for others a message says what to use


def _complete(config: Config, info: DatasetInfo | None, stem: str, *, old: bool) -> Config:
    """Return `config` with the defaults that depend on other fields and, given `info`, on the data.

    In an `old` config, of format 1, a metric of numbers such as mse means the loss of that name on classes.
    """
    update: dict[str, Any] = {"name": config.name or run_name(stem)}
    if info is not None:
        loss = (config.loss or _default_loss(info)).resolved(info)
        architecture = config.architecture
        output = architecture.output_activation or default_part(activations, loss.activation or "identity")
        outputs = architecture.outputs or loss.outputs(info)
        update["dataset"] = _with_split(config.dataset, info)
        update["loss"] = loss
        update["architecture"] = architecture.model_copy(
            update={"outputs": outputs, "output_activation": output}
        )
        update["metrics"] = tuple(_resolved(metric, info, old=old) for metric in config.metrics or ())
        if "metrics" not in config.model_fields_set:
            update["metrics"] = tuple(default_part(metrics, name) for name in loss.default_metrics(info))
    if "mode" not in config.best.model_fields_set:
        watched = config.best.metric.removeprefix("dev_")
        mode = metric_direction(watched, update.get("metrics", config.metrics) or ())
        update["best"] = config.best.model_copy(update={"mode": mode})
    return config.model_copy(update=update)


def _with_split(dataset: Dataset, info: DatasetInfo) -> Dataset:
    """Return the dataset with every field of its split set."""
    split = resolve_sizes(dataset.split or dataset.default_split, info.rows)
    if not split.same and split.column is None:
        shuffle = (dataset.shuffles and info.times is None) if split.shuffle is None else split.shuffle
        stratify = (shuffle and info.classes is not None) if split.stratify is None else split.stratify
        sizes = {name: getattr(split, name) for name in SPLITS}
        split = split.model_copy(update={**sizes, "shuffle": shuffle, "stratify": stratify})
    return dataset.model_copy(update={"split": split})


def _default_loss(info: DatasetInfo) -> Loss:
    if info.classes is None:
        return default_part(losses, "mse")
    return default_part(losses, "bce" if len(info.classes) <= 2 else "cross_entropy")


def _resolved(metric: Metric | Loss, info: DatasetInfo, *, old: bool) -> Metric | Loss:
    if isinstance(metric, Loss):
        return metric.resolved(info)
    misfit = metric.target == "numbers" and info.classes is not None
    return default_part(losses, metric.name) if old and misfit and metric.name in losses else metric
