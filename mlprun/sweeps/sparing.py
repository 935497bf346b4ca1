"""How often to save or tell what is in the middle, so that it takes no more than its share of the time."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERY = 1.0
"""seconds between two times, at least"""
SPARING = 50
"""times as long as it took the next time waits"""


class Sparing:
    """When it is time again; the first time is `EVERY` seconds from now."""

    def __init__(self) -> None:
        self._due = time.monotonic() + EVERY

    def is_due(self) -> bool:
        """Whether it is time."""
        return time.monotonic() >= self._due

    @contextmanager
    def doing(self) -> Iterator[None]:
        """Measures how long it takes."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._due = ended + max(EVERY, SPARING * (ended - began))
