"""The errors that users can meet, each with the exit code of `mlprun`.

    MlprunError                 1    a bug in mlprun, when nothing below fits
    ├── UsageError              2    the command line asks for something impossible
    │   └── ConfigError         2    a config with problems: all of them, a line each
    ├── DataError               3    a table or dataset that cannot be used
    ├── CheckpointError         4    a checkpoint or run folder that cannot be used
    ├── RunInUseError           5    another process holds the run
    ├── DeviceError             6    the device is not available
    ├── FileError               7    reading or writing failed
    ├── DivergedError           8    training produced NaN or infinity
    ├── OutOfMemoryError        9    memory ran out
    ├── CheckFailedError       10    a check the user asked for did not hold
    └── InterruptedRunError   130    Ctrl-C (143 for SIGTERM)

A message says where, what, and what would work; `str(error)` is the whole line without the leading `error: `.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class MlprunError(Exception):
    """An expected failure: `where` it occurred, `what` it is, and a `remedy`."""

    exit_code: ClassVar[int] = 1

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        self.where, self.what, self.remedy = where, what, remedy
        super().__init__(f"{where}: {what}" + (f"; {remedy}" if remedy else ""))


class UsageError(MlprunError):
    """Raised when the command line asks for something impossible."""

    exit_code = 2


class ConfigError(UsageError):
    """Raised for an invalid config; `problems` holds each as printable text, in the order of the file."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        Exception.__init__(self, "\n".join(self.problems))


class DataError(MlprunError):
    """Raised for a table or dataset that cannot be read or used."""

    exit_code = 3


class CheckpointError(MlprunError):
    """Raised for a checkpoint or run folder that is damaged, foreign or of an unknown version."""

    exit_code = 4


class RunInUseError(MlprunError):
    """Raised when another process is writing to the run."""

    exit_code = 5


class DeviceError(MlprunError):
    """Raised when the device of a config is not available."""

    exit_code = 6


class FileError(MlprunError):
    """Raised when reading or writing fails: full disk, permissions, read-only file system."""

    exit_code = 7


class DivergedError(MlprunError):
    """Raised when training produces NaN or infinity; the last finite epoch is saved."""

    exit_code = 8


class OutOfMemoryError(MlprunError):
    """Raised when memory runs out, on the machine or the device."""

    exit_code = 9


class CheckFailedError(MlprunError):
    """Raised when a check that the user asked for (`--fail-under`, `verify`, `reproduce`) fails."""

    exit_code = 10


class InterruptedRunError(MlprunError):
    """Raised when a signal stopped the run after its last completed epoch was saved."""

    exit_code = 130

    def __init__(self, where: str, what: str, remedy: str = "", *, signal_number: int = 2) -> None:
        super().__init__(where, what, remedy)
        self.signal_number = signal_number


def plural(count: int, noun: str) -> str:
    """Return a number of things: `1 step`, `1,000 steps`, `3 classes`."""
    ending = "" if count == 1 else "es" if noun.endswith(("s", "tch")) else "s"
    return f"{count:,} {noun}{ending}"


def first_line(error: BaseException) -> str:
    """Return the first line of the message of an error of other libraries, or its type without one."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def shell_path(path: str | os.PathLike[str]) -> str:
    """Return a path as it can be pasted into a shell: one word, and never an option."""
    text = os.fspath(path)
    text = f"./{text}" if text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    # control and bidirectional characters must not reach a terminal; bash, zsh and ksh decode $'\033'
    octal = (
        c if c.isprintable() else "".join(f"\\{byte:03o}" for byte in c.encode("utf-8", "surrogateescape"))
        for c in text.replace("\\", "\\\\").replace("'", "\\'")
    )
    return f"$'{''.join(octal)}'"


def command_line(command: str, *paths: str | os.PathLike[str]) -> str:
    """Return `mlprun COMMAND PATH...` with the paths quoted for a shell."""
    return " ".join(["mlprun", command, *map(shell_path, paths)])
