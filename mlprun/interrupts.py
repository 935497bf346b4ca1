"""Handling of Ctrl-C where a library may swallow it.

pydantic swallows an exception raised while it inspects Python objects, and may then report a valid value as
invalid; destructors and callbacks of other libraries swallow exceptions too. `defer_interrupts` delays an
interrupt until such a block is left, and `SignalCapture` records one that was swallowed elsewhere.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class ImmediateStopError(KeyboardInterrupt):
    """Raised by a second signal: nothing more is saved. Not an Exception, so that no handler swallows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Delay a Ctrl-C until the block is left."""
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(former):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
        if received:
            former(*received[0])


class SignalCapture:
    """A context in which Ctrl-C raises KeyboardInterrupt as usual and is also recorded."""

    def __init__(self) -> None:
        self.received, self._replaces = False, False
        self.in_main_thread = threading.current_thread() is threading.main_thread()
        self.finishing = False
        """whether all work is saved, so that the first signal does not stop what remains"""
        self._ignored = self._process_ends = False

    def __enter__(self) -> Self:
        # if the parent process ignores SIGINT, as shells do for background jobs, it stays ignored
        if self.in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._replaces = True
            signal.signal(signal.SIGINT, self.handle)
        _captures.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _captures.remove(self)
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

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, except for the first signal to a command that is finishing."""
        if self.finishing and not self._ignored:
            self._ignored = True
            return
        self.received = True
        raise ImmediateStopError(number)


_captures: list[SignalCapture] = []
"""the contexts that are active"""


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt if a Ctrl-C was received and then swallowed."""
    if any(capture.received for capture in _captures):
        raise KeyboardInterrupt


def finish() -> Callable[[int, FrameType | None], None] | None:
    """Let the current command finish even if one signal arrives: its work is done and saved.

    Returns the signal handler that does so, or None outside a command, as in a user's program.
    """
    for capture in _captures:
        if capture.in_main_thread:
            capture.finishing = True
            return capture.handle
    return None


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopFlag:
    """A context in which the first Ctrl-C or SIGTERM sets a flag, and the second stops at once.

    Call it to read the flag. Outside the main thread signals cannot be caught, and the flag stays unset.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.finished = False
        """whether all work is done: one signal after this context then still lets the command finish"""
        self._former: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Return True if a signal was received."""
        return self.number is not None

    def __enter__(self) -> Self:
        raise_if_interrupted()  # before anything is written
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._former[number] = signal.signal(number, self._catch)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        lets_finish = self.finished and self.number is None and error is None and self._former
        finishing = finish() if lets_finish else None
        for number, handler in self._former.items():
            ignored = handler is signal.SIG_IGN
            signal.signal(number, handler if ignored or finishing is None else finishing)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            for known, handler in self._former.items():
                signal.signal(known, handler)
            raise ImmediateStopError(number)
        self.number = number
