"""The `mlprun` command: finds the verb, imports its module, and makes every failure a line and an exit code.

A new command is a module of this package with a function `command`, and its name in `COMMANDS`; of a group
such as `sweep` it is a module in the group's folder, and its name in `GROUPS`.
"""

import ast
import importlib
import inspect
import os
import pkgutil
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from mlprun.cli.failures import explain, hint
from mlprun.cli.startup import quick_imports
from mlprun.cli.terminal import Output, flush_or_drop, printable, printable_lines, write
from mlprun.errors import FileError, UsageError
from mlprun.interrupts import SignalCapture, raise_if_interrupted
from mlprun.isolation import isolate_command
from mlprun.version import __version__

COMMANDS = (
    "train",
    "resume",
    "reproduce",
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
    "verify",
    "bench",
    "doctor",
)
"""the verbs, in the order of `mlprun --help`"""
GROUPS: dict[str, tuple[str, ...]] = {"sweep": ("run", "show", "compare", "export", "trial")}
"""verbs that have verbs of their own; what a group is for stands at the top of its folder's __init__.py"""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback when something fails.")]


class Command(TyperCommand):
    """A verb whose help is its docstring, line by line as it was written."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands after the verb's name in the usage line."""
        return ["[OPTIONS]", *(_label(parameter) for parameter in self.params if _is_argument(parameter))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, a line each."""
        arguments = [_record(one) for one in self.params if _is_argument(one)]
        options = [one.get_help_record(ctx) for one in self.get_params(ctx) if not _is_argument(one)]
        for title, records in (("Arguments", arguments), ("Options", options)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the docstring unwrapped: its examples and tables keep their shape."""
        formatter.write_paragraph()
        for line in inspect.cleandoc(self.help or "").splitlines():
            formatter.write(f"  {line}".rstrip() + "\n")


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _record(argument: Any) -> tuple[str, str]:
    return _label(argument), argument.help or ""


def _label(argument: Any) -> str:
    """An argument as the usage line shows it."""
    name: str = argument.metavar or argument.name.upper()
    return name if argument.required or argument.metavar else f"[{name}]"


class Verbs(TyperGroup):
    """All verbs. Help and completion see names and summaries; only a verb that is called is imported."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """The names, in the order of the help."""
        return (*COMMANDS, *GROUPS)

    @property
    def group(self) -> str:
        """The folder of the verbs' modules, with a dot behind it; nothing for the verbs of mlprun itself."""
        return ""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the help."""
        return list(self.verbs)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A verb as help and completion show it: its name and summary, read without importing its module."""
        if cmd_name not in self.verbs:
            return None
        if cmd_name in GROUPS and not self.group:
            return _group(cmd_name)
        summary = _summary(f"{self.group}{cmd_name}")
        return TyperCommand(name=cmd_name, short_help=summary, rich_markup_mode=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb that is called, imported."""
        name = args[0]
        if name in self.verbs:
            return name, _load(f"{self.group}{name}"), args[1:]
        if ctx.resilient_parsing:  # a shell asks for completions in the middle of a word
            return None, None, args[1:]
        remedy = hint(name, self.verbs, f"{ctx.command_path} --help")
        if name in ("help", "version"):
            remedy = f"did you mean mlprun --{name}?"
        raise UsageError(name, "no such command", remedy)


class SubVerbs(Verbs):
    """The verbs of a group."""

    @property
    def verbs(self) -> tuple[str, ...]:
        """The names, in the order of the help."""
        return GROUPS[self.name or ""]

    @property
    def group(self) -> str:
        """The group's folder."""
        return f"{self.name}."


def _group(name: str) -> Any:
    """The verb of that name, which shows its help when it is called alone."""
    context = typer.Typer(
        name=name, cls=SubVerbs, rich_markup_mode=None, add_completion=False, help=_docstring(name)
    )

    @context.callback(invoke_without_command=True, epilog=f"`mlprun {name} COMMAND --help` explains one.")
    def show(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            write(sys.stdout, context.get_help() + "\n")

    made = typer.main.get_command(context)
    made.context_settings["help_option_names"] = ["--help", "-h"]
    return made


def _docstring(group: str) -> str:
    """The docstring of a group's folder, read without importing it."""
    source = pkgutil.get_data(f"mlprun.cli.{group}", "__init__.py")
    return ast.get_docstring(ast.parse(source or b"")) or ""


def _summary(name: str) -> str:
    """The first line of the docstring of a verb's `command`."""
    source = pkgutil.get_data("mlprun.cli", f"{name.replace('.', '/')}.py")
    functions = (node for node in ast.parse(source or b"").body if isinstance(node, ast.FunctionDef))
    command = next(function for function in functions if function.name == "command")
    return (ast.get_docstring(command) or "").partition("\n")[0]


def _load(name: str) -> Any:
    """Import a verb's module and make its `command` a Typer command; `sweep.run` is a verb of a group."""
    if name in GROUPS:
        return _group(name)
    module = f"mlprun.cli.{name}"
    with nullcontext() if module in sys.modules else quick_imports():
        function = importlib.import_module(module).command
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    names = {"help_option_names": ["--help", "-h"]}
    single.command(name.rpartition(".")[2], cls=Command, help=function.__doc__, context_settings=names)(
        _with_output(function)
    )
    return typer.main.get_command(single)


def _with_output(function: Callable[..., None]) -> Callable[..., None]:
    """The function as Typer sees it: the options that every verb has stand in the place of its `output`."""

    def run(*, debug: bool, **values: Any) -> None:  # debug is read by main, from the arguments
        _check_working_directory()
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


def _check_working_directory() -> None:
    """Raise FileError where it was deleted: there MKL ends the process with a message of its own."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise FileError("working directory", "was deleted", "change to a directory that exists") from error


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
    ends = arguments is None
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    isolate_command()
    try:
        with SignalCapture() as capture, warnings.catch_warnings():
            quiet = not {"-q", "--quiet"}.isdisjoint(arguments)
            warnings.showwarning = partial(_show_warning, quiet=quiet)
            code = _exit_code(arguments, capture)
            if ends and capture.finishing:  # the process ends with this: no signal is to change its exit code
                capture.ignore()
            return code
    except KeyboardInterrupt as error:  # after the answer
        return _report_error(error, arguments)
    finally:
        flush_or_drop(sys.stdout)


def _exit_code(arguments: list[str], capture: SignalCapture) -> int:
    """Do what is asked and tell of what fails; a Ctrl-C that a library lost is told as one."""
    try:
        code = _run(arguments)
        raise_if_interrupted()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where every failure ends
        lost = capture.received and not isinstance(error, KeyboardInterrupt)
        return _report_error(KeyboardInterrupt() if lost else error, arguments)
    return code


def _report_error(error: BaseException, arguments: list[str]) -> int:
    """The exit code of a failure, which standard error is told."""
    code, message = explain(error, arguments)
    if message and "--debug" in arguments:
        import traceback

        message = printable_lines("".join(traceback.format_exception(error))) + message
    write(sys.stderr, message + "\n" if message else "")
    return code


def _show_warning(message: Warning | str, *_: Any, quiet: bool, **__: Any) -> None:
    """Print a library's warning as one line like mlprun's own, and none under -q."""
    if not quiet:
        write(sys.stderr, printable(f"warning: {message}") + "\n")


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
