"""`mlprun validate`: whether configs and sweeps can be trained, with every problem in them."""

from collections.abc import Sequence
from typing import Annotated

import typer

from mlprun import files, schema
from mlprun.cli.terminal import Output
from mlprun.cli.trust import ConfigsCode
from mlprun.errors import ConfigError, MlprunError, UsageError
from mlprun.sweeps.definition import is_sweep, read


def command(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG... [KEY=VALUE]...", help="configs, and values that replace theirs"),
    ],
    *,
    allow_code: ConfigsCode = False,
    output: Output,
) -> None:
    """Check configs and sweep files without training.

    Every problem of every file is told, with its place and what would work.

    mlprun validate configs/*.yaml configs/sweeps/*.yaml
    mlprun validate configs/moons.yaml optimizer.lr=0.1 training.epochs=10

    An argument with = that is no file replaces a value in all of the configs.
    Prints `FILE: ok` for each config without problems; problems go to standard
    error.

    --json prints {"ok": true | false,
      "configs": [{"config": FILE, "ok": true | false, "problems": [TEXT, ...]}]}

    Exit codes: 0 all can be trained, 2 problems, 3 data cannot be read.
    """
    configs, overrides = divide(arguments)
    failures = {config: _failure(config, overrides, allow_code=allow_code) for config in configs}
    for config, failure in failures.items():
        if failure is None:
            output.result(f"{config}: ok")
    problems = {config: _problems(failure) for config, failure in failures.items()}
    described = [{"config": config, "ok": not lines, "problems": lines} for config, lines in problems.items()]
    output.document({"ok": not any(problems.values()), "configs": described})
    _fail([failure for failure in failures.values() if failure is not None])


def divide(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Configs and overrides: an argument with `=` is an override, unless a file has that name."""
    overrides = [word for word in arguments if "=" in word and files.kind(word) is None]
    configs = [word for word in dict.fromkeys(arguments) if word not in overrides]
    if not configs:
        raise UsageError("validate", "no config is named", "try mlprun validate --help")
    return configs, overrides


def _failure(config: str, overrides: Sequence[str], *, allow_code: bool) -> MlprunError | None:
    try:
        schema.load(config, overrides, allow_code=allow_code)
    except ConfigError as error:
        return _of_sweep(config, overrides, allow_code=allow_code) if is_sweep(config) else error
    except MlprunError as error:
        return error
    return None


def _of_sweep(path: str, overrides: Sequence[str], *, allow_code: bool) -> MlprunError | None:
    """What is wrong with any trial of a sweep file."""
    from mlprun.sweeps.plan import Plan  # here, since it brings torch, which configs do without

    try:
        Plan(read(path, overrides), allow_code=allow_code)
    except MlprunError as error:
        return error
    return None


def _problems(failure: MlprunError | None) -> list[str]:
    if failure is None:
        return []
    return list(failure.problems) if isinstance(failure, ConfigError) else [str(failure)]


def _fail(failures: Sequence[MlprunError]) -> None:
    """Raise what was found: one failure as itself, several as one list of problems."""
    if len(failures) == 1:
        raise failures[0]
    if failures:
        lines = [_lines(failure) for failure in failures]
        # configs that share a base share its problems
        raise ConfigError(list(dict.fromkeys(line for problems in lines for line in problems)))


def _lines(failure: MlprunError) -> list[str]:
    """What standard error says of one failure among several."""
    return _problems(failure) if isinstance(failure, ConfigError) else [f"error: {failure}"]
