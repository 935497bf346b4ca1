"""What lets light commands answer at once: numpy waits until it is used, pydantic looks for no plugins."""

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any


class Postponed(ModuleType):
    """Stands for a module in `sys.modules` until one of its attributes is asked for, which imports it."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(vars(module))  # those that hold this object find everything in it from now on
        return getattr(module, name)


def postpone(name: str) -> None:
    """Let `import name` cost nothing until the module is used; one that is imported already stays as it is.

    importlib's LazyLoader is of no help: a second `import` asks for an attribute, which loads it.
    """
    if name not in sys.modules:
        module = Postponed(name)
        module.__spec__ = PathFinder.find_spec(name)
        sys.modules[name] = module


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import what follows without numpy, a search for pydantic's plugins and garbage collection."""
    postpone("numpy")
    # it reads the metadata of every installed package
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    enabled = gc.isenabled()
    gc.disable()  # classes and functions are made by the ten thousand, and all of them stay
    try:
        yield
    finally:
        gc.freeze()  # so that no later collection looks at them either
        if enabled:
            gc.enable()
