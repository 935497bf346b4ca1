"""A document made into a config: validated, checked (all problems at once) and resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from mlprun import config as reading
from mlprun import interrupts
from mlprun.errors import DataError, MlprunError
from mlprun.parts.datasets.table import Table, UnknownColumnsError
from mlprun.parts.losses.classification import BCE
from mlprun.parts.part import Options
from mlprun.schema import formats, model
from mlprun.schema.checks.check import check
from mlprun.schema.extend import run_extensions
from mlprun.schema.formats import FORMAT
from mlprun.schema.placed import dump
from mlprun.schema.problems import Problem, refuse
from mlprun.schema.resolve import are_class_ids, is_regression, read_as_classes, resolve, with_rows
from mlprun.schema.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic_core import ErrorDetails

    from mlprun.config import Document
    from mlprun.parts.datasets import Dataset, Facts
    from mlprun.schema.model import Config

OptionsOf = TypeVar("OptionsOf", bound=Options)

_MOST_ERRORS = 1000  # a megabyte of nonsense has half a million; far fewer are shown
CONFIG_FILE = reading.CONFIG._replace(keys=frozenset({"base", *model.Config.model_fields}))
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
    words = formats.upgrade(document.data)
    with interrupts.defer_interrupts():
        config, invalid, found = _validate(words, complete=not problems)
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
    config = resolve(config, facts, document.name, old=words is not document.data)
    problems += check(config, facts, valid)
    if not data and not problems:
        problems += _gaps(config)
    if failure is not None and (problems or document.complaints):
        problems += _as_problems(failure)
    refuse(document, problems)
    if failure is not None:
        raise failure
    return config


def _as_problems(failure: MlprunError) -> list[Problem]:
    """Data that cannot be read, told among the problems of a config that has others."""
    if isinstance(failure, UnknownColumnsError):
        return []
    return [Problem(("dataset", "path") if isinstance(failure, DataError) else ("dataset",), str(failure))]


def given(document: Document, folder: str) -> dict[str, Any]:
    """What a valid config says itself, without defaults, as a plain mapping; paths relative to `folder`."""
    config = model.build().model_validate(document.data)
    said = dump(config, folder, unset=False)
    # as it was stored before there were formats, so that what was stored then is found to be the same
    return {**said, "format": FORMAT} if said.pop("format", FORMAT) == FORMAT else said


def validated(
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
        found = translate(errors[:_MOST_ERRORS], data, kind)
        invalid = {error["loc"][0] for error in errors}
        made = kind.model_validate({key: value for key, value in data.items() if key not in invalid})
    refuse(document, [*found, *problems(made)])
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
    return schema.model_validate(rest), invalid, translate(told[:_MOST_ERRORS], data)


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
