"""What is said of each failure, and the exit code that it ends with."""

import difflib
import sys
from collections.abc import Sequence
from typing import Any

from mlprun.commands.terminal import abandon, printable, printable_lines
from mlprun.errors import ConfigError, InterruptedRunError, MlprunError


def explain(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """The exit code of a failure and what standard error says of it: a line, or the problems of a config."""
    if isinstance(error, ConfigError):
        return error.exit_code, printable_lines(str(error))
    code, line = _line(error, arguments)
    return code, printable(line)  # a name with a line break in it makes no second line


def _line(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    if isinstance(error, InterruptedRunError):
        return 128 + error.signal_number, f"error: {error}"
    if isinstance(error, MlprunError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        return 128 + getattr(error, "number", 2), "error: interrupted"
    # torch tells of memory that ran out as a RuntimeError
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    ):
        return 9, "error: memory: there is not enough for this; fewer rows or a smaller batch need less"
    if isinstance(error, BrokenPipeError):
        abandon(sys.stdout)
        return 0, ""
    if isinstance(error, OSError):
        return 7, f"error: {error.filename or 'input or output'}: {error.strerror or error}"
    if hasattr(error, "format_message"):  # a usage error of Typer's, whose class has moved between versions
        return 2, f"error: {_usage(error, arguments)}"
    what = " ".join(str(error).split())
    if "KeyboardInterrupt" in what:  # Ctrl-C while pydantic builds a validator comes out as its SchemaError
        return 130, "error: interrupted"
    return 1, f"error: internal: {type(error).__name__}: {what}; please report it with --debug's output"


def _usage(error: Any, arguments: Sequence[str]) -> str:
    """What is wrong with the arguments, and what would work, in one line."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else " ".join(["mlprun", *arguments[:1]])
    option = getattr(error, "option_name", None)
    if option and context and "no such option" in error.format_message().lower():
        known = [name for parameter in context.command.get_params(context) for name in parameter.opts]
        return f"{option}: no such option; {hint(option, known, f'{command} --help')}"
    what = " ".join(error.format_message().split()).rstrip(".")
    return f"{command}: {what[:1].lower()}{what[1:]}; try {command} --help"


def hint(word: str, known: Sequence[str], help_command: str) -> str:
    """`did you mean X?` when a known word is near, otherwise where help is."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"try {help_command}"
