"""Ctrl-C and SIGTERM: the first asks for a stop after the last completed epoch, the second stops at once."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from mlprun import interrupts

if TYPE_CHECKING:
    from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedAtOnceError(KeyboardInterrupt):
    """A second signal: nothing more is saved. No Exception, so that nothing on the way keeps it."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(number)


class StopFlag:
    """A context in which signals raise a flag; called, it tells whether the flag is up.

    Outside the main thread signals cannot be caught, and the flag stays down.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._former: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    def __enter__(self) -> Self:
        interrupts.heed()  # before anything is written
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._former[number] = signal.signal(number, self._catch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            for known, handler in self._former.items():
                signal.signal(known, handler)
            raise StoppedAtOnceError(number)
        self.number = number
