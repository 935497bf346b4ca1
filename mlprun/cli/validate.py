"""`mlprun validate`: the problems of configs and sweep files."""

import importlib
from collections.abc import Sequence

from mlprun import files, schema
from mlprun.cli.options import AllowCode, Configs
from mlprun.cli.terminal import Output
from mlprun.errors import ConfigError, MlprunError, UsageError
from mlprun.parts.datasets.table import Table


def validate_command(
    arguments: Configs,
    *,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Check configs and sweep files without training.

    Reports every problem in every file, with its position and a suggestion.

    mlprun validate configs/*.yaml configs/sweeps/*.yaml
    mlprun validate configs/moons.yaml optimizer.lr=0.1 training.epochs=10

    A KEY=VALUE argument overrides a value in all configs. Prints `FILE: ok` for
    each config without problems; problems go to standard error, and so do warnings
    of a table: copies of rows, constants, identifiers, features that determine the
    target, imbalanced classes, many categories, and ambiguous dates.

    --json prints {"ok": true | false,
      "configs": [{"config": FILE, "ok": true | false, "problems": [TEXT, ...]}]}

    Exit codes: 0 all valid, 2 problems, 3 data cannot be read.
    """
    configs, overrides = divide(arguments)
    described, failures, every = [], [], list[str]()
    for config in configs:
        failure = _failure(config, overrides, output, allow_code=allow_code)
        problems = list(getattr(failure, "problems", [str(failure)])) if failure is not None else []
        described.append({"config": config, "ok": failure is None, "problems": problems})
        every += problems
        if failure is None:
            output.result(f"{config}: ok")
        else:
            failures.append(failure)
    output.document({"ok": not failures, "configs": described})
    if len(failures) == 1:
        raise failures[0]
    if failures:  # configs that share a base share its problems
        raise ConfigError(list(dict.fromkeys(every)))


def divide(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments into configs and overrides: with `=` and not the name of a file."""
    overrides = [word for word in arguments if "=" in word and files.kind(word) is None]
    configs = [word for word in dict.fromkeys(arguments) if word not in overrides]
    if not configs:
        raise UsageError("validate", "no config given", "try mlprun validate --help")
    return configs, overrides


def _failure(
    config: str, overrides: Sequence[str], output: Output, *, allow_code: bool
) -> MlprunError | None:
    """Warn of a table; return the error of a config or the first one of a sweep's trials, None if valid."""
    try:
        try:
            loaded = schema.load(config, overrides, allow_code=allow_code)
            if isinstance(table := loaded.dataset, Table):
                diagnosis = importlib.import_module("mlprun.analysis.diagnosis")
                for warning in diagnosis.table_warnings(table, table.load(), loaded.loss):
                    output.message(f"warning: {config}: {warning}")
        except ConfigError:
            # which configs do not need
            from mlprun.sweeps import definition
            from mlprun.sweeps.plan import Plan

            if not definition.is_sweep(config):
                raise
            Plan(definition.read(config, overrides), allow_code=allow_code)
    except MlprunError as error:
        return error
    return None
