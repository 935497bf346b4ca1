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
    from collections.abc import Iterator
    from types import FrameType, TracebackType


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

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # where a parent process ignores it, as nohup does for others, it stays ignored
            self._replaces = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._replaces:
            signal.signal(signal.SIGINT, self._hear)
        _hearing.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _hearing.remove(self)
        if self._replaces:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        raise KeyboardInterrupt


_hearing: list[Heard] = []
"""those that are entered and not yet left"""


def heed() -> None:
    """Raise KeyboardInterrupt for a Ctrl-C that was heard and lost."""
    if any(heard.came for heard in _hearing):
        raise KeyboardInterrupt
