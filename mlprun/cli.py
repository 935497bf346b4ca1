"""The `mlprun` command: finds the verb, imports its module, and makes every failure a line and an exit code.

A new command is a module in commands/ with a function `command`, and its name in `COMMANDS`.
"""

import ast
import difflib
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from mlprun.commands.startup import quick_imports
from mlprun.commands.terminal import Output, abandon, printable_lines, settle, write
from mlprun.errors import ConfigError, InterruptedRunError, MlprunError, UsageError
from mlprun.version import __version__

COMMANDS = (
    "train",
    "resume",
    "eval",
    "predict",
    "plot",
    "show",
    "ls",
    "compare",
    "validate",
    "init",
    "list",
    "schema",
    "doctor",
)
"""the verbs, in the order of `mlprun --help`"""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback when something fails.")]


class Command(TyperCommand):
    """A verb whose help is its docstring, line by line as it was written."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the docstring unwrapped: its examples and tables keep their shape."""
        formatter.write_paragraph()
        for line in inspect.cleandoc(self.help or "").splitlines():
            formatter.write(f"  {line}".rstrip() + "\n")


class Verbs(TyperGroup):
    """All verbs. Help and completion see names and summaries; only a verb that is called is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A verb as help and completion show it: its name and summary, read without importing its module."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(name=cmd_name, short_help=_summary(cmd_name), rich_markup_mode=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is called, imported."""
        name = args[0]
        if name in COMMANDS:
            return name, _load(name), args[1:]
        if ctx.resilient_parsing:  # a shell asks for completions in the middle of a word
            return None, None, args[1:]
        raise UsageError(name, "no such command", _hint(name, COMMANDS, "mlprun --help"))


def _summary(name: str) -> str:
    """The first line of the docstring of a verb's `command`."""
    source = pkgutil.get_data("mlprun.commands", f"{name}.py")
    functions = (node for node in ast.parse(source or b"").body if isinstance(node, ast.FunctionDef))
    command = next(function for function in functions if function.name == "command")
    return (ast.get_docstring(command) or "").partition("\n")[0]


def _load(name: str) -> Any:
    """Import a verb's module and make its `command` a Typer command."""
    module = f"mlprun.commands.{name}"
    with nullcontext() if module in sys.modules else quick_imports():
        function = importlib.import_module(module).command
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    names = {"help_option_names": ["--help", "-h"]}
    single.command(name, cls=Command, help=function.__doc__, context_settings=names)(_with_output(function))
    return typer.main.get_command(single)


def _with_output(function: Callable[..., None]) -> Callable[..., None]:
    """The function as Typer sees it: the options that every verb has stand in the place of its `output`."""

    def run(*, debug: bool, **values: Any) -> None:  # debug is read by main, from the arguments
        shared = {name: values.pop(name) for name in options}
        function(**values, output=Output(**shared))

    own = dict(inspect.signature(function, eval_str=True).parameters)
    del own["output"]
    options = inspect.signature(Output).parameters
    flag = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    parameters = [*own.values(), *options.values(), flag]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    run.__annotations__ = {}
    return run


app = typer.Typer(
    name="mlprun",
    cls=Verbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(*, wanted: bool) -> None:
    if wanted:
        write(sys.stdout, f"mlprun {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog="`mlprun COMMAND --help` explains a command.")
def _overview(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda value: _print_version(wanted=value),
            help="Show the version.",
        ),
    ] = False,
) -> None:
    """The experiment runner for small neural networks: one YAML file in; trained model and pictures out."""
    if context.invoked_subcommand is None:
        write(sys.stdout, context.get_help() + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mlprun` with the arguments (by default the process's) and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    try:
        return _run(arguments)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where every failure ends
        code, message = _explain(error, arguments)
        if message and "--debug" in arguments:
            import traceback

            message = "".join(traceback.format_exception(error)) + message
        write(sys.stderr, printable_lines(message) + "\n" if message else "")
        return code
    finally:
        settle(sys.stdout)


def _prepare_streams() -> None:
    """Escape characters that the terminal's encoding lacks; let a closed stream swallow what it is sent."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    if "_MLPRUN_COMPLETE" in os.environ:  # a shell asks for completions; Typer answers and exits
        command.main(arguments, prog_name="mlprun")
    try:
        with command.make_context("mlprun", arguments) as context:
            command.invoke(context)
    except typer.Exit as exit_:
        return exit_.exit_code
    write(sys.stdout, "")  # user code may have printed what is not on its way yet
    return 0


def _explain(error: BaseException, arguments: Sequence[str]) -> tuple[int, str]:
    """The exit code of a failure and what standard error says of it."""
    if isinstance(error, ConfigError):
        return error.exit_code, str(error)
    if isinstance(error, InterruptedRunError):
        return 128 + error.signal_number, f"error: {error}"
    if isinstance(error, MlprunError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, KeyboardInterrupt):
        return 130, "error: interrupted"
    if isinstance(error, MemoryError):
        return 9, "error: memory: there is not enough for this; fewer rows or a smaller batch need less"
    if isinstance(error, BrokenPipeError):
        abandon(sys.stdout)
        return 0, ""
    if isinstance(error, OSError):
        return 7, f"error: {error.filename or 'input or output'}: {error.strerror or error}"
    if hasattr(
        error, "format_message"
    ):  # Typer's usage errors; their classes have moved between its versions
        return 2, f"error: {_explain_usage(error, arguments)}"
    what = " ".join(str(error).split())
    return 1, f"error: internal: {type(error).__name__}: {what}; please report it with --debug's output"


def _explain_usage(error: Any, arguments: Sequence[str]) -> str:
    """What is wrong with the arguments, and what would work, in one line."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else " ".join(["mlprun", *arguments[:1]])
    option = getattr(error, "option_name", None)
    if option and context and "no such option" in error.format_message().lower():
        known = [name for parameter in context.command.get_params(context) for name in parameter.opts]
        return f"{option}: no such option; {_hint(option, known, f'{command} --help')}"
    what = " ".join(error.format_message().split()).rstrip(".")
    return f"{command}: {what[:1].lower()}{what[1:]}; try {command} --help"


def _hint(word: str, known: Sequence[str], help_command: str) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"try {help_command}"
