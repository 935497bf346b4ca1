"""Ctrl-C in places where a library may swallow it.

pydantic swallows an exception that comes while it looks at Python's objects, and may call a value wrong that
is right; so do destructors and callbacks of other libraries. `later` keeps an interrupt out of such a place,
and `Heard` remembers one that was lost all the same.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType


class StoppedAtOnceError(KeyboardInterrupt):
    """A second signal: nothing more is saved. No Exception, so that nothing on the way keeps it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


@contextmanager
def later() -> Iterator[None]:
    """Let a Ctrl-C wait until the block is left."""
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(former):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if came:
            former(*came[0])


class Heard:
    """A context in which a Ctrl-C raises KeyboardInterrupt as ever, and is remembered."""

    def __init__(self) -> None:
        self.came, self._replaces = False, False
        self.in_main_thread = threading.current_thread() is threading.main_thread()
        self.finishing = False
        """whether all work is done, so that a first signal lets what is left finish"""
        self._ignored = self._process_ends = False

    def __enter__(self) -> Self:
        # where a parent process ignores it, as shells do for background jobs, it stays ignored
        if self.in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._replaces = True
            signal.signal(signal.SIGINT, self.hear)
        _hearing.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _hearing.remove(self)
        if self._process_ends:
            return
        if self._replaces:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self.finishing:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def ignore(self) -> None:
        """Ignore signals until the process ends."""
        self._process_ends = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def hear(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, but for the first signal to a command that is finishing."""
        if self.finishing and not self._ignored:
            self._ignored = True
            return
        self.came = True
        raise StoppedAtOnceError(number)


_hearing: list[Heard] = []
"""those that are entered and not yet left"""


def heed() -> None:
    """Raise KeyboardInterrupt for a Ctrl-C that was heard and lost."""
    if any(heard.came for heard in _hearing):
        raise KeyboardInterrupt


def finish() -> Callable[[int, FrameType | None], None] | None:
    """Let the command that runs now finish, though one signal comes: its work is done and saved.

    Returns the handler of signals for that; None where no command runs, as in a user's program.
    """
    for heard in _hearing:
        if heard.in_main_thread:
            heard.finishing = True
            return heard.hear
    return None
