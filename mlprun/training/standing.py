"""status.json of a run that is training: how it stands and the seconds it has taken so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlprun.storage.status import State
    from mlprun.training.run import Session

SOONEST = 1.0
"""seconds of training before they are recorded for the first time"""
GROWTH = 1.1
"""how much larger the seconds are each time that they are recorded"""


class Standing:
    """Writes the status of a session at its begin and end and, beside checkpoints, now and then.

    Of a run that is killed the last seconds are not counted: one, or a tenth of them all. To record them with
    every checkpoint would make each cost more.
    """

    def __init__(self, session: Session, epoch: int) -> None:
        self._session, self._began, self._epoch = session, time.monotonic(), epoch
        self._next = SOONEST
        self._write("running")

    def saved(self, epoch: int) -> None:
        """A checkpoint of this epoch has been written."""
        self._epoch = epoch
        if self._seconds >= self._next:
            self._write("running")
            self._next = GROWTH * self._seconds

    def end(self, state: State, figures: dict[str, Any], reason: str) -> None:
        """The session is over, at the epoch that was saved last."""
        self._write(state, figures, reason)

    @property
    def _seconds(self) -> float:
        return max(0.0, time.monotonic() - self._began)

    def _write(self, state: State, *told: Any) -> None:
        self._session.folder.write_status(self._session.status(state, self._epoch, self._seconds, *told))
