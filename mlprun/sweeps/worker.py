"""What a process of `processes` does: train one trial after another, and tell meanwhile where each stands."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun import config as reading
from mlprun import engines, schema
from mlprun.engines import device as devices
from mlprun.experiment import Experiment
from mlprun.interrupts import SIGNALS
from mlprun.sweeps import train as training
from mlprun.sweeps.sparing import Sparing
from mlprun.sweeps.train import Course, Task

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event, Lock

    from mlprun.sweeps.outcome import Result, Standing, Until


class Work(NamedTuple):
    """What a process is given of a trial."""

    trial: int
    config: dict[str, Any]
    allow_code: bool
    threads: int
    chunk: int
    standing: Standing | None
    until: Until | None


class Line(NamedTuple):
    """What a process has of the sweep's own: when to stop, and where to tell how a trial stands."""

    stop: Event
    writer: Connection
    writing: Lock
    """one process at a time"""


class Post:
    """A process's end of its line."""

    def __init__(self, line: Line) -> None:
        self.stop, self._line, self._sparing = line.stop.is_set, line, Sparing()

    def tell(self, standing: Standing) -> None:
        """Tell where a trial stands, unless it was told a moment ago."""
        if self._sparing.is_due():
            # the sweep closes its end where it can take no more: then its own end says why
            with self._sparing.doing(), self._line.writing, suppress(OSError):
                self._line.writer.send(standing)


_post: list[Post] = []


def begin(line: Line) -> None:
    """Make ready for work.

    Ctrl-C and a service's SIGTERM reach every process of a group; the first of them says what comes of it.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _post.append(Post(line))


def _end_with_parent() -> None:
    """End this process when the sweep's own was killed: nobody would hear of what it trains."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def work(given: Work) -> tuple[Result | None, Standing | None]:
    """What `train` returns of a trial, and where it stands when it is stopped or lacks memory."""
    (post,) = _post
    if post.stop():
        return None, given.standing
    document = reading.from_mapping(given.config, "", "trial")
    config = schema.parse(document, allow_code=given.allow_code)
    course = Course(engines.named(config.engine), devices.resolve(config.device), post.stop)
    newest: list[Standing | None] = [given.standing]

    def stands(standing: Standing) -> None:
        newest[0] = standing
        post.tell(standing)

    task = Task(given.trial, partial(Experiment.of, config), stands, given.chunk, given.standing, given.until)
    with devices.computing(given.threads, course.device):
        return training.train(task, course), newest[0]
