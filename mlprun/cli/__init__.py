"""The command line: one module per command, each with a function `command` whose docstring is its help."""

from mlprun.cli.app import main

__all__ = ["main"]
