"""A document made into a config: validated, checked (all problems at once) and resolved."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mlprun import config as reading
from mlprun.errors import MlprunError
from mlprun.parts.datasets.table import UnknownColumnError
from mlprun.schema import model
from mlprun.schema.checks.check import check
from mlprun.schema.extend import run_extensions
from mlprun.schema.problems import Problem, refuse
from mlprun.schema.resolve import resolve, with_rows
from mlprun.schema.translate import translate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from mlprun.config import Document
    from mlprun.parts.datasets import Facts
    from mlprun.schema.model import Config

_MOST_ERRORS = 1000  # a megabyte of nonsense has half a million; far fewer are shown
_STAND_IN = "xor"  # for an invalid dataset, so that what else there is can be validated


def load(path: str, overrides: Sequence[str] = (), *, allow_code: bool = False) -> Config:
    """The config in a file, with `KEY=VALUE` overrides laid over it.

    Raises UsageError when there is no such file, ConfigError with every problem, DataError for a table that
    cannot be read, FileError.
    """
    return parse(reading.read(path, overrides), allow_code=allow_code)


def parse(document: Document, *, allow_code: bool = False, data: bool = True) -> Config:
    """The config that a document describes. Raises ConfigError, DataError, FileError.

    Without `data` a table is not looked at: for the complete config of a checkpoint, whose table may be gone.
    """
    run_extensions(document, allow_code=allow_code)
    with _interrupts_later():
        config, problems = _validate(document.data)
    valid = frozenset(model.Config.model_fields) - {problem.path[0] for problem in problems if problem.path}
    facts, failure = None, None
    if "dataset" in valid:
        config = config.model_copy(update={"dataset": with_rows(config.dataset, config.training.seed)})
        if data:
            facts, failure = _facts(config)
    if isinstance(failure, UnknownColumnError):
        problems.append(Problem(("dataset", *failure.option), str(failure)))
    config = resolve(config, facts, document.name)
    problems += check(config, facts, valid)
    if not data and not problems:
        problems += _gaps(config)
    refuse(document, problems)
    if failure is not None:
        raise failure
    return config


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Let a Ctrl-C wait until the block is left: pydantic swallows one that comes while it calls Python."""
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(former):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if came:
            former(*came[0])


def _validate(data: dict[str, Any]) -> tuple[Config, list[Problem]]:
    """The config, with defaults instead of the sections that are invalid, and the problems of those."""
    schema = model.build()
    try:
        return schema.model_validate(data), []
    except ValidationError as error:
        errors = error.errors(include_url=False)
    invalid = {error["loc"][0] for error in errors}
    rest: dict[str, Any] = {"dataset": _STAND_IN}
    rest |= {name: value for name, value in data.items() if name not in invalid}
    return schema.model_validate(rest), translate(errors[:_MOST_ERRORS], data)


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


def _facts(config: Config) -> tuple[Facts | None, MlprunError | None]:
    """The facts of the dataset, or why there are none; problems of the config are told before that."""
    try:
        return config.dataset.facts(), None
    except MlprunError as error:
        return None, error
