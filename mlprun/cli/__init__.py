"""The command line: one module per command, each with a function `command` whose docstring is its help."""

import gc

_enabled = gc.isenabled()
gc.disable()  # imports create tens of thousands of objects, all of which stay
try:
    from mlprun.cli.app import main
finally:
    gc.freeze()  # the first collection would look at all of them
    if _enabled:
        gc.enable()

__all__ = ["main"]
