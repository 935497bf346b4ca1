"""Error messages and exit codes."""

import difflib
import sys
from collections.abc import Sequence
from typing import Any

from mlprun.cli.terminal import detach, printable_lines
from mlprun.config.tree import printable
from mlprun.errors import ConfigError, InterruptedRunError, MlprunError

_SIGNALS = {2: "Ctrl-C", 15: "SIGTERM"}
_COMMAND_OPTIONS = ("--json", "--quiet", "-q", "--debug")


def explain(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """Return exit code and message of an error: one line, or the problems of a config."""
    if isinstance(error, ConfigError):
        return error.exit_code, printable_lines(str(error))
    code, line = _line(error, arguments)
    return code, printable(line)  # one line even if a name contains a line break


def _line(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    if isinstance(error, InterruptedRunError):
        return 128 + error.signal_number, f"interrupted: {error}"
    if isinstance(error, MlprunError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        number = getattr(error, "number", 2)
        return 128 + number, f"interrupted: stopped by {_SIGNALS.get(number, 'a signal')}"
    # torch raises RuntimeError when memory runs out
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    ):
        return 9, "error: memory: out of memory; use fewer rows or a smaller batch"
    if isinstance(error, BrokenPipeError):
        detach(sys.stdout)
        return 0, ""
    if isinstance(error, OSError):
        return 7, f"error: {error.filename or 'input or output'}: {error.strerror or error}"
    if hasattr(error, "format_message"):  # a usage error of Typer, whose class differs between versions
        return 2, f"error: {_usage(error, arguments)}"
    what = " ".join(str(error).split())
    if "KeyboardInterrupt" in what:  # pydantic turns a Ctrl-C during validator construction into SchemaError
        return 130, "interrupted: stopped by Ctrl-C"
    from mlprun.schema import extend

    if (failure := extend.user_code_error(error)) is not None:
        return failure.exit_code, f"error: {failure}"
    return 1, f"error: internal: {type(error).__name__}: {what}; please report it with --debug's output"


def _usage(error: Any, arguments: Sequence[str]) -> str:
    """The problem with the arguments and a suggestion, in one line."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else " ".join(["mlprun", *arguments[:1]])
    option = getattr(error, "option_name", None)
    if option and context and "no such option" in error.format_message().lower():
        if context.parent is None and option in _COMMAND_OPTIONS:
            return f"{option}: must follow the command; write mlprun COMMAND {option}"
        parameters = context.command.get_params(context)
        known = [name for parameter in parameters for name in parameter.opts if name.startswith("-")]
        takes_values = any("KEY=VALUE" in str(parameter.metavar) for parameter in parameters)
        values = " (values of the config are written KEY=VALUE, as in optimizer.lr=0.1)" * takes_values
        return f"{option}: no such option; {hint(option, known, f'{command} --help')}{values}"
    what = " ".join(error.format_message().split()).rstrip(".")
    return f"{command}: {what[:1].lower()}{what[1:]}; try {command} --help"


def hint(word: str, candidates: Sequence[str], help_command: str) -> str:
    """Return `did you mean X?` if a known word is similar, otherwise the help command."""
    near = difflib.get_close_matches(word, candidates, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else f"try {help_command}"
