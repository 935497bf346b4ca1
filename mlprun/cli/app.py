"""The `mlprun` command: imports the module of the command that is called, and turns errors into exit codes.

A new command NAME is a function `NAME_command` (with _ for -) in a module of this package, listed in
`COMMANDS`, or in `SWEEP` for a subcommand of `mlprun sweep`.
"""

import difflib
import gc
import importlib
import inspect
import os
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from mlprun.cli.terminal import LoadingNotice, Output, detach, flush_or_drop, printable_lines, write
from mlprun.config.tree import printable
from mlprun.errors import ConfigError, FileError, InterruptedRunError, MlprunError, UsageError
from mlprun.interrupts import SignalCapture, raise_if_interrupted
from mlprun.isolation import isolate_command
from mlprun.version import __version__

COMMANDS: dict[str, str] = {
    "train": "train",
    "resume": "train",
    "reproduce": "train",
    "eval": "eval",
    "predict": "eval",
    "explain": "eval",
    "plot": "plot",
    "report": "report",
    "play": "report",
    "export": "export",
    "show": "show",
    "ls": "organize",
    "compare": "show",
    "tag": "organize",
    "note": "organize",
    "rm": "organize",
    "validate": "validate",
    "find-lr": "find_lr",
    "init": "init",
    "list": "list",
    "schema": "schema",
    "verify": "verify",
    "bench": "bench",
    "doctor": "doctor",
}
"""the commands with their modules, in the order of `mlprun --help`"""
SWEEP: dict[str, str] = {
    "run": "sweep.run",
    "show": "sweep.show",
    "compare": "sweep.compare",
    "export": "sweep.export",
    "trial": "sweep.export",
}
"""the subcommands of `mlprun sweep` with their modules"""
CONTEXT = {"help_option_names": ["--help", "-h"]}
_SIGNALS = {2: "Ctrl-C", 15: "SIGTERM"}
_COMMAND_OPTIONS = ("--json", "--quiet", "-q", "--debug")


class Conversion:
    """Converts the value of a parameter as Typer does, which imports pydantic even for text and for None."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value as the type of the parameter's annotation."""
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        if param.type_descriptor.annotation in (str, list[str]):
            return list(value) if several else value
        param._runtime_param = None  # noqa: SLF001
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


class LightParameters:
    """Makes a command import pydantic only for values that are converted."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters."""
        params = super().get_params(ctx)  # type: ignore[misc]
        for one in params:
            if getattr(one, "_runtime_param", one) is None:  # there is no public way
                one._runtime_param = Conversion()  # noqa: SLF001
        return params


class Command(LightParameters, TyperCommand):
    """A single command."""


class LazyGroup(LightParameters, TyperGroup):
    """A group of commands. Help and completion read their sources; only a called command is imported."""

    @property
    def _modules(self) -> Mapping[str, str]:
        return SWEEP if self.name == "sweep" else COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return [*self._modules, *self.commands]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command as help and completion show it: name and summary, without importing its module."""
        if cmd_name not in self._modules:
            return self.commands.get(cmd_name)
        summary = _summary(self._modules[cmd_name], cmd_name)
        return TyperCommand(name=cmd_name, short_help=summary, rich_markup_mode=None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the called command, imported."""
        name = args[0]
        if name in self._modules:
            return name, _load(self._modules[name], name), args[1:]
        if name in self.commands or ctx.resilient_parsing:  # a shell asks for completions of half a word
            return super().resolve_command(ctx, args)
        remedy = hint(name, self.list_commands(ctx), f"{ctx.command_path} --help")
        if name in ("help", "version"):
            remedy = f"did you mean mlprun --{name}?"
        raise UsageError(name, "no such command", remedy)


def _summary(module: str, name: str) -> str:
    """The first line of the docstring of a command's function, read from the source."""
    source = pkgutil.get_data("mlprun.cli", f"{module.replace('.', '/')}.py") or b""
    function = f"{name.replace('-', '_')}_command"
    found = re.search(rf'^def {function}\(.*?"""(.*?)["\n]', source.decode(), re.DOTALL | re.MULTILINE)
    assert found is not None, f"{module} lacks {function} with a docstring"
    return found[1]


def _load(module: str, name: str) -> Any:
    """Import a command's module and make its function a Typer command."""
    path = f"mlprun.cli.{module}"
    with nullcontext() if path in sys.modules else quick_imports():
        function = getattr(importlib.import_module(path), f"{name.replace('-', '_')}_command")
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    # each paragraph after \b keeps its line breaks, so that examples and tables keep their layout
    text = "\b\n" + inspect.cleandoc(function.__doc__).replace("\n\n", "\n\n\b\n")
    single.command(name, cls=Command, help=text, context_settings=CONTEXT)(_with_output(function))
    return typer.main.get_command(single)


class LazyModule(ModuleType):
    """Replaces a module in `sys.modules` until the first access to an attribute imports it."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(vars(module))  # for those that hold this object
        return getattr(module, name)


def import_lazily(name: str, *functions: str) -> None:
    """Delay the import of a module until it is used; a module that is already imported stays as it is.

    `from NAME import FUNCTION` is no use yet for the named functions, but calling them is. importlib's
    LazyLoader does not help: a second `import` accesses an attribute, which loads the module.
    """
    if name not in sys.modules:
        module = LazyModule(name)
        module.__spec__ = find_spec(name)
        if functions:
            module.__path__ = []  # which Python looks up before a function
        for function in functions:
            setattr(
                module, function, lambda *_, of=function, **options: module.__getattr__(of)(*_, **options)
            )
        sys.modules[name] = module
        package, _, last = name.rpartition(".")
        if package:
            setattr(sys.modules[package], last, module)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without numpy, without searching for pydantic plugins and without garbage collection."""
    import_lazily("numpy")
    import_lazily("mlprun.parts.torch_random", "cpu_capability", "drawing")  # whose constants need numpy
    import_lazily("secrets")  # for pydantic's comparison of secrets
    import_lazily("hashlib")  # loads OpenSSL
    import_lazily("zipfile")  # for Excel files
    import_lazily("importlib.metadata", "entry_points")  # for pydantic's search
    # which reads the metadata of every installed package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    enabled = gc.isenabled()
    gc.disable()  # imports create tens of thousands of objects, all of which stay
    try:
        yield
    finally:
        gc.freeze()  # exclude them from later collections too
        if enabled:
            gc.enable()


def _with_output(function: Callable[..., None]) -> Callable[..., None]:
    """The function as Typer sees it: its parameter `output` is replaced by the options of every command."""

    def run(**values: Any) -> None:
        _check_working_directory()
        shared = {name: values.pop(name) for name in options}
        output = Output(**shared)
        with LoadingNotice(output) if output.is_interactive else nullcontext():
            function(**values, output=output)

    own = dict(inspect.signature(function, eval_str=True).parameters)
    del own["output"]
    options = inspect.signature(Output).parameters
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own.values(), *options.values())]
    )
    run.__annotations__ = {}
    return run


def _check_working_directory() -> None:
    """Raise FileError if the working directory was deleted: MKL would abort the process."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise FileError("working directory", "was deleted", "change to a directory that exists") from error


app = typer.Typer(
    name="mlprun",
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)
sweep = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    context_settings=CONTEXT,
    help="Grid and random search over parameters and seeds.",
)
app.add_typer(sweep, name="sweep")


@sweep.callback(invoke_without_command=True, epilog="`mlprun sweep COMMAND --help` explains a command.")
def _show_help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        write(sys.stdout, context.get_help() + "\n")


@app.callback(invoke_without_command=True, epilog="`mlprun COMMAND --help` explains a command.")
def _overview(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Experiment runner for small neural networks: one YAML file in, trained model and figures out."""
    if version:
        write(sys.stdout, f"mlprun {__version__}\n")
        raise typer.Exit
    _show_help(context)


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
            if ends and capture.finishing:  # the process ends now: no signal may change its exit code
                capture.ignore()
            return code
    except KeyboardInterrupt as error:  # after the command
        return _report_error(error, arguments)
    finally:
        flush_or_drop(sys.stdout)
        if ends:
            gc.freeze()  # otherwise Python would search all objects for cycles before it exits


def _exit_code(arguments: list[str], capture: SignalCapture) -> int:
    """Run the command and report errors; a Ctrl-C that a library swallowed is reported as one."""
    try:
        code = _run(arguments)
        raise_if_interrupted()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place where all errors end
        swallowed = capture.received and not isinstance(error, KeyboardInterrupt)
        return _report_error(KeyboardInterrupt() if swallowed else error, arguments)
    return code


def _report_error(error: BaseException, arguments: list[str]) -> int:
    """Write an error to standard error and return its exit code."""
    code, message = explain(error, arguments)
    if message and "--debug" in arguments:
        import traceback

        message = printable_lines("".join(traceback.format_exception(error))) + message
    write(sys.stderr, message + "\n" if message else "")
    return code


def _show_warning(message: Warning | str, *_: Any, quiet: bool, **__: Any) -> None:
    """Print a library's warning as one line like those of mlprun, or nothing under -q."""
    if not quiet:
        write(sys.stderr, printable(f"warning: {message}") + "\n")


def _prepare_streams() -> None:
    """Escape characters that the terminal's encoding lacks, and replace closed streams by the null device."""
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
    write(sys.stdout, "")  # flush what user code has printed
    return 0


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
