"""Ctrl-C and SIGTERM: the first asks for a stop after the last completed epoch, the second stops at once."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from mlprun import interrupts
from mlprun.interrupts import ImmediateStopError

if TYPE_CHECKING:
    from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopFlag:
    """A context in which signals raise a flag; called, it tells whether the flag is up.

    Outside the main thread signals cannot be caught, and the flag stays down.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.finished = False
        """whether all work is done; then one signal after this context still lets the command finish"""
        self._former: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    def __enter__(self) -> Self:
        interrupts.raise_if_interrupted()  # before anything is written
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._former[number] = signal.signal(number, self._catch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lets_finish = self.finished and self.number is None and error is None and self._former
        finishing = interrupts.finish() if lets_finish else None
        for number, handler in self._former.items():
            ignored = handler is signal.SIG_IGN
            signal.signal(number, handler if ignored or finishing is None else finishing)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            for known, handler in self._former.items():
                signal.signal(known, handler)
            raise ImmediateStopError(number)
        self.number = number
