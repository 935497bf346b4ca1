"""How long a chunk of epochs is: short enough to report and to stop in time, long enough to cost nothing."""

from __future__ import annotations

CHUNK_SECONDS = 0.25
GROWTH = 4
"""a chunk is at most so many times longer than the one before: the first epochs are slower than the rest"""


class Pace:
    """Chooses the epochs of the next chunk from how long the last one took."""

    def __init__(self) -> None:
        self.epochs = 1

    def took(self, epochs: int, seconds: float) -> None:
        """Learn from a chunk of `epochs` that took `seconds`."""
        fitting = self.epochs * GROWTH if seconds <= 0 else int(epochs * CHUNK_SECONDS / seconds)
        self.epochs = max(1, min(fitting, self.epochs * GROWTH))
