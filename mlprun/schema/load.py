"""A document made into a config: upgraded from earlier formats, validated, checked and completed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from mlprun import config as reading
from mlprun import interrupts
from mlprun.config import Problem
from mlprun.errors import DataError, MlprunError
from mlprun.parts.activations import activations
from mlprun.parts.datasets import Generated
from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.shares import spelled_out
from mlprun.parts.datasets.table import FEW, Table, UnknownColumnsError
from mlprun.parts.datasets.table.delimited import is_number
from mlprun.parts.losses import Loss, losses
from mlprun.parts.losses.classification import BCE, ClassLoss
from mlprun.parts.metrics.metric import Metric, metrics
from mlprun.parts.part import Options
from mlprun.parts.splits import SPLITS
from mlprun.schema import model
from mlprun.schema.checks import check
from mlprun.schema.error_messages import to_problems
from mlprun.schema.extend import run_extensions
from mlprun.schema.model import FORMAT, default_part, dump, metric_direction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic_core import ErrorDetails

    from mlprun.config import Document
    from mlprun.parts.architectures import Architecture
    from mlprun.parts.datasets import Dataset, Facts
    from mlprun.parts.datasets.split import Split
    from mlprun.schema.model import Best, Config

    Upgrade = Callable[[dict[str, Any]], dict[str, Any]]

OptionsOf = TypeVar("OptionsOf", bound=Options)

CONFIG_FILE: Final = reading.CONFIG._replace(keys=frozenset({"base", *model.Config.model_fields}))
"""what a config file is, for messages about files that are none"""
_STANDARDIZED: Final = ("huber", "smooth_l1")


def with_format(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config from a checkpoint or a sweep, with the format that it does not say itself."""
    return {"format": 1, **config}


def upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """A config of an earlier format in the words of the newest; one of another kind as it is."""
    version = data.get("format", FORMAT)
    if version not in range(1, FORMAT):
        return data
    for step in _STEPS[int(version) - 1 :]:
        data = step(data)
    return {**data, "format": FORMAT}


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Values alone said what a target is, `1,000.00` was a category, `delta` and `beta` were standardised."""
    dataset = data.get("dataset")
    if isinstance(dataset, Mapping) and dataset.get("name") == "table":
        task = dataset.get("task") or "auto"
        task = "values" if task == "auto" else task
        data = {**data, "dataset": {"other_formats": "categories", **dataset, "task": task}}
    if "loss" in data:
        data = {**data, "loss": _standardized(data["loss"])}
    if isinstance(data.get("metrics"), tuple | list):
        data = {**data, "metrics": tuple(map(_standardized, data["metrics"]))}
    return data


def _standardized(part: Any) -> Any:
    named = {"name": part} if isinstance(part, str) else part
    if isinstance(named, Mapping) and named.get("name") in _STANDARDIZED:
        # the reduction tells a loss that is logged, be it of classes, from a metric
        return {"units": "standardized", "reduction": "mean", **named}
    return part


_STEPS: Final[tuple[Upgrade, ...]] = (_from_1,)


_LONGEST_NAME: Final = 64


def run_name(stem: str) -> str:
    """A file's stem made into a name that a run may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")
    return name[:_LONGEST_NAME] or "run"


def with_rows(dataset: Dataset, seed: int, outputs: int | None) -> Dataset:
    """The dataset with its seed, number of rows and of classes, so that its facts can be asked for.

    `outputs` are those of the network where the config names them: class ids do not show the classes above.
    """
    update: dict[str, Any] = {"seed": seed if dataset.seed is None else dataset.seed}
    if isinstance(dataset, Inline) and dataset.classes is None and 0 < dataset.least_classes < (outputs or 0):
        update["classes"] = outputs
    if isinstance(dataset, Generated) and dataset.samples is None:
        update["samples"] = _counted(dataset.split) or dataset.default_samples
    return dataset.model_copy(update=update)


def read_as_classes(dataset: Dataset, facts: Facts, loss: Loss | None, outputs: int | None) -> list[Table]:
    """A table as a loss that takes classes only may have to read its whole numbers, the likeliest first.

    In few rows each class id may stand once, and classes of the network may be in no row at all.
    """
    if not isinstance(dataset, Table) or loss is None or loss.takes != "classes" or len(dataset.targets) > 1:
        return []
    if dataset.task == "numbers" or dataset.classes is not None:
        return []
    if dataset.task == "values" and not isinstance(loss, ClassLoss):
        return []
    known = len(facts.classes or ())
    ids = [] if outputs is None or outputs <= known else [{"classes": outputs}]
    updates: list[dict[str, Any]] = ids if known else [*ids, {"task": "classes"}]
    return [dataset.model_copy(update=update) for update in updates]


def is_regression(dataset: Dataset, facts: Facts, loss: Loss | None) -> bool:
    """Whether a table's column of numbers was read as classes, and the loss takes numbers."""
    if not isinstance(dataset, Table) or dataset.task != "auto" or dataset.classes is not None:
        return False
    named = facts.classes or ("",)
    return loss is not None and loss.takes == "numbers" and all(map(is_number, named))


def are_class_ids(facts: Facts) -> bool:
    """Whether classes are named by so few whole numbers from 0 that they are ids rather than amounts."""
    names = facts.classes or ()
    return all(name.isdecimal() for name in names) and len(names) <= FEW


def _counted(split: Split | None) -> int | None:
    """The sum of a split's counts; None unless it names how many rows train has."""
    if split is None or split.same or "train" not in split.model_fields_set:
        return None
    shares = [getattr(split, name) for name in SPLITS if name in split.model_fields_set]
    if any(isinstance(share, float) for share in shares):
        return None
    return sum(share for share in shares if isinstance(share, int))


def with_split(dataset: Dataset, facts: Facts) -> Dataset:
    """The dataset with its split spelled out."""
    split = spelled_out(dataset.split or dataset.default_split, facts.rows)
    if not split.same and split.column is None:
        shuffle = dataset.shuffles if split.shuffle is None else split.shuffle
        stratify = (shuffle and facts.classes is not None) if split.stratify is None else split.stratify
        shares = {name: getattr(split, name) for name in SPLITS}
        split = split.model_copy(update={**shares, "shuffle": shuffle, "stratify": stratify})
    return dataset.model_copy(update={"split": split})


def resolve(config: Config, facts: Facts | None, stem: str, *, old: bool = False) -> Config:
    """`config` with the defaults that depend on the data (where `facts` are known) and on other fields.

    In an `old` config, of format 1, a metric of numbers such as mse means the loss of that name on classes.
    """
    update: dict[str, Any] = {"name": config.name or run_name(stem)}
    if facts is not None:
        update["dataset"] = with_split(config.dataset, facts)
        update["loss"] = (config.loss or default_loss(facts)).resolved()
        update["architecture"] = _with_outputs(config.architecture, update["loss"], facts)
        update["metrics"] = tuple(_figure(figure, facts, old=old) for figure in config.metrics or ())
        if "metrics" not in config.model_fields_set:
            update["metrics"] = (default_part(metrics, "r2" if facts.classes is None else "accuracy"),)
    figures = update.get("metrics", config.metrics) or ()
    update["best"] = _with_mode(config.best, figures)
    return config.model_copy(update=update)


def default_loss(facts: Facts) -> Loss:
    """The loss that these targets call for."""
    if facts.classes is None:
        return default_part(losses, "mse")
    return default_part(losses, "bce" if len(facts.classes) <= 2 else "cross_entropy")


def _with_outputs(architecture: Architecture, loss: Loss, facts: Facts) -> Architecture:
    outputs = architecture.outputs or loss.outputs(facts)
    activation = architecture.output_activation or default_part(activations, loss.activation or "identity")
    return architecture.model_copy(update={"outputs": outputs, "output_activation": activation})


def _figure(figure: Metric | Loss, facts: Facts, *, old: bool) -> Metric | Loss:
    if isinstance(figure, Loss):
        return figure.resolved()
    misfit = figure.target == "numbers" and facts.classes is not None
    return default_part(losses, figure.name) if old and misfit and figure.name in losses else figure


def _with_mode(best: Best, figures: tuple[Metric | Loss, ...]) -> Best:
    if "mode" in best.model_fields_set:
        return best
    return best.model_copy(update={"mode": metric_direction(best.metric.removeprefix("dev_"), figures)})


_MOST_ERRORS = 1000  # a megabyte of nonsense has half a million; far fewer are shown
_STAND_IN = "xor"  # for an invalid dataset, so that what else there is can be validated


def load(path: str, overrides: Sequence[str] = (), *, allow_code: bool = False) -> Config:
    """The config in a file, with `KEY=VALUE` overrides laid over it.

    Raises UsageError when there is no such file, ConfigError with every problem, DataError for a table that
    cannot be read, FileError.
    """
    return parse(read(path, overrides), allow_code=allow_code)


def read(path: str, overrides: Sequence[str] = ()) -> Document:
    """The document of a config file. Quotes nothing of a file that is no config. Raises as `load` does."""
    return reading.read(path, overrides, kind=CONFIG_FILE)


def parse(
    document: Document,
    *,
    allow_code: bool = False,
    data: bool = True,
    facts_of: Callable[[Dataset], Facts] | None = None,
) -> Config:
    """The config that a document describes. Raises ConfigError, DataError, FileError.

    Without `data` a table is not looked at: for the complete config of a checkpoint, whose table may be gone.
    `facts_of` answers for the dataset, for those who read many configs of the same data.
    """
    problems = run_extensions(document, allow_code=allow_code)
    upgraded = upgrade(document.data)
    with interrupts.defer_interrupts():
        config, invalid, found = _validate(upgraded, complete=not problems)
    problems += found
    valid = frozenset(model.Config.model_fields) - invalid - {path[0] for path in document.failed}
    facts, failure = None, None
    if "dataset" in valid:
        outputs = config.architecture.outputs if "architecture" in valid else None
        dataset = with_rows(config.dataset, config.training.seed, outputs)
        config = config.model_copy(update={"dataset": dataset})
        if data:
            facts, failure = _facts(config.dataset, facts_of)
            if facts is not None and {"loss", "architecture"} <= valid:
                config, facts = _as_the_loss_asks(config, facts, facts_of)
            if facts is not None and isinstance(config.dataset, Table):
                config = config.model_copy(update={"dataset": config.dataset.decided(facts)})
    if isinstance(failure, UnknownColumnsError):
        problems += [Problem(("dataset", *option), message) for option, message in failure.missing]
    config = resolve(config, facts, document.name, old=upgraded is not document.data)
    problems += check(config, facts, valid)
    if not data and not problems:
        problems += _gaps(config)
    if failure is not None and (problems or document.read_problems):
        problems += _as_problems(failure)
    document.raise_problems(problems)
    if failure is not None:
        raise failure
    return config


def _as_problems(failure: MlprunError) -> list[Problem]:
    """Data that cannot be read, told among the problems of a config that has others."""
    if isinstance(failure, UnknownColumnsError):
        return []
    return [Problem(("dataset", "path") if isinstance(failure, DataError) else ("dataset",), str(failure))]


def explicit_values(document: Document, folder: str) -> dict[str, Any]:
    """What a valid config says itself, without defaults, as a plain mapping; paths relative to `folder`."""
    config = model.build().model_validate(document.data)
    said = dump(config, folder, unset=False)
    # as it was stored before there were formats, so that what was stored then is found to be the same
    return {**said, "format": FORMAT} if said.pop("format", FORMAT) == FORMAT else said


def validate(
    document: Document, kind: type[OptionsOf], problems: Callable[[OptionsOf], Iterable[Problem]]
) -> OptionsOf:
    """A document that is no config but another kind of file, all of whose keys have defaults.

    `problems` finds what fields cannot see each for itself; those that are invalid stand at their defaults.
    Raises ConfigError with every problem.
    """
    found: list[Problem] = []
    data = document.data
    try:
        with interrupts.defer_interrupts():
            made = kind.model_validate(data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        found = to_problems(errors[:_MOST_ERRORS], data, kind)
        invalid = {error["loc"][0] for error in errors}
        made = kind.model_validate({key: value for key, value in data.items() if key not in invalid})
    document.raise_problems([*found, *problems(made)])
    return made


def _validate(data: dict[str, Any], *, complete: bool) -> tuple[Config, set[str | int], list[Problem]]:
    """The config, with defaults instead of the sections that are invalid, those sections, and their problems.

    Where code that would register parts has not run (not `complete`), an unknown part is no problem.
    """
    schema = model.build()
    try:
        return schema.model_validate(data), set(), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    invalid = {error["loc"][0] for error in errors}
    rest: dict[str, Any] = {"dataset": _STAND_IN}
    rest |= {name: value for name, value in data.items() if name not in invalid}
    told = errors if complete else _of_known_parts(errors)
    return schema.model_validate(rest), invalid, to_problems(told[:_MOST_ERRORS], data)


def _of_known_parts(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """The errors but those of parts that may be the user's own, which are not registered."""
    unknown = [error["loc"] for error in errors if error["type"] == "part_name"]
    return [
        error
        for error in errors
        if error["loc"][0] != "penalty" and not any(error["loc"][: len(at)] == at for at in unknown)
    ]


def _gaps(config: Config) -> list[Problem]:
    """What a complete config names and this one leaves to its data."""
    named = {
        ("loss",): config.loss,
        ("metrics",): config.metrics,
        ("architecture", "outputs"): config.architecture.outputs,
        ("architecture", "output_activation"): config.architecture.output_activation,
        ("dataset", "split"): config.dataset.split,
    }
    message = "is missing; a config that is used without its data names it"
    return [Problem(path, message, at_key=True) for path, value in named.items() if value is None]


def _facts(
    dataset: Dataset, facts_of: Callable[[Dataset], Facts] | None
) -> tuple[Facts | None, MlprunError | None]:
    """The facts of the dataset, or why there are none; problems of the config are told before that."""
    try:
        return dataset.facts() if facts_of is None else facts_of(dataset), None
    except MlprunError as error:
        return None, error


def _as_the_loss_asks(
    config: Config, facts: Facts, facts_of: Callable[[Dataset], Facts] | None
) -> tuple[Config, Facts]:
    """The config and facts with a table's target read as the loss needs it, where that can be."""
    if is_regression(config.dataset, facts, config.loss):
        dataset = config.dataset.model_copy(update={"task": "numbers"})
        found, _ = _facts(dataset, facts_of)
        return (config, facts) if found is None else (config.model_copy(update={"dataset": dataset}), found)
    for dataset in read_as_classes(config.dataset, facts, config.loss, config.architecture.outputs):
        found, _ = _facts(dataset, facts_of)
        if found is None or not (facts.classes or dataset.classes or are_class_ids(found)):
            continue
        if not isinstance(config.loss, BCE) or len(found.classes or ()) == 2:  # others are told what to use
            return config.model_copy(update={"dataset": dataset}), found
    return config, facts
