"""Where in its work a run is, told through a page of shared memory that outlives the run."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import time
from typing import TYPE_CHECKING, Any

from mlprun import engines, files
from mlprun.sweeps import database
from mlprun.training import recorder, run

if TYPE_CHECKING:
    from collections.abc import Callable

OF_A_RUN = (
    "starting",
    "before the first checkpoint",
    "training",
    "before the history",
    "writing history",
    "between history and checkpoint",
    "writing a temporary",
    "between link and replace",
    "between the replaces",
    "between best and last",
    "between replace and append",
    "final figures",
    "writing the status",
    "over",
)
PHASES = (
    *OF_A_RUN,
    "saving a cohort in the middle",
    "between a cohort's file and its rows",
    "after a cohort's rows",
    "after a rung",
    "folding in",
    "between folding in and the status",
)


class Board:
    """The page: the phase, and whether the phases of the start are over."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)

    def reset(self) -> None:
        """Forget the last run."""
        self._page[:16] = bytes(16)

    def tell(self, phase: str) -> None:
        """Announce a phase; costs no system call."""
        self._page[0] = PHASES.index(phase)

    def mark(self) -> None:
        """Note the time, which all processes share."""
        self._page[8:16] = struct.pack("d", time.monotonic())

    @property
    def marked(self) -> float:
        """The time that was noted last; 0 where none was."""
        return float(struct.unpack("d", self._page[8:16])[0])

    @property
    def phase(self) -> str:
        """What was told last."""
        return PHASES[self._page[0]]


class Doomed(files.System):
    """A system that tells its phase, and kills its process at a call of its choice.

    `at` counts down the calls that change something; at 0 the process dies before the call, after it, or in
    the middle of a write. `phase` kills when that phase is told for the `nth` time; another `number` than
    that of SIGKILL makes it a request.
    """

    def __init__(
        self,
        board: Board,
        *,
        at: int | None = None,
        phase: str | None = None,
        nth: int = 1,
        seed: int = 0,
        number: int = signal.SIGKILL,
    ) -> None:
        self._board, self._at, self._phase, self._nth, self._number = board, at, phase, nth, number
        self._chance = random.Random(seed)
        self._paths: dict[int, str] = {}
        self.first = False
        for name in ("open", "write", "fsync", "close", "ftruncate", "link", "replace", "rename", "mkdir"):
            setattr(self, name, self._wrapped(name))

    def tell(self, phase: str) -> None:
        """Announce a phase, and die if it is the one to die in."""
        if self.first:
            phase = "before the first checkpoint"
        self._board.tell(phase)
        if phase == self._phase:
            self._nth -= 1
            if self._nth == 0:
                self._board.mark()
                os.kill(os.getpid(), self._number)

    def _wrapped(self, name: str) -> Callable[..., Any]:
        call = getattr(files.System, name)
        before, after = getattr(self, f"_before_{name}", None), getattr(self, f"_after_{name}", None)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            if before is not None:
                before(*arguments)
            dead = self._at == 0
            if self._at is not None:
                self._at -= 1
            if dead and self._chance.random() < 0.3:
                die()
            if dead and name == "write":
                descriptor, data = arguments
                os.write(descriptor, bytes(data)[: self._chance.randint(0, len(data))])
                die()
            value = call(*arguments, **options)
            if dead:
                die()
            if after is not None:
                after(value, *arguments)
            return value

        return wrapped

    def _after_open(self, descriptor: int, path: str, *_: Any) -> None:
        self._paths[descriptor] = os.path.basename(path)

    def _before_write(self, descriptor: int, data: bytes) -> None:
        name = self._paths.get(descriptor, "")
        if name == "history.csv":
            self.tell("writing history")
        elif name.endswith(".tmp"):
            self.tell("writing the status" if b'"reason"' in bytes(data[-200:]) else "writing a temporary")

    def _after_fsync(self, _: None, descriptor: int) -> None:
        if self._paths.get(descriptor) == "history.csv":
            self.tell("between history and checkpoint")

    def _after_link(self, *_: Any) -> None:
        self.tell("between link and replace")

    def _after_replace(self, _: None, source: str, target: str) -> None:
        told = {
            "last.previous.safetensors": "between the replaces",
            "best.safetensors": "between best and last",
            "last.safetensors": "between replace and append",
        }
        name = os.path.basename(target)
        if name.startswith("cohort-"):
            is_partial = ".partial." in name
            told[name] = (
                "saving a cohort in the middle" if is_partial else "between a cohort's file and its rows"
            )
        if name in told:
            self.tell(told[name])


def die() -> None:
    """End this process as `kill -9` would."""
    os.kill(os.getpid(), signal.SIGKILL)


def announce(system: Doomed) -> None:
    """Let this process tell what it does through `system`, from now on."""
    files.system = system

    def around(owner: Any, name: str, before: str, after: str) -> None:
        call = getattr(owner, name)

        def told(*arguments: Any, **options: Any) -> Any:
            system.tell(before)
            value = call(*arguments, **options)
            system.tell(after)
            return value

        setattr(owner, name, told)

    for engine in engines.every():
        around(type(engine), "advance", "training", "before the history")
    around(run, "final_metrics", "final figures", "writing the status")
    around(database.Writer, "record", "between a cohort's file and its rows", "after a cohort's rows")
    around(database.Writer, "add_rung", "saving a cohort in the middle", "after a rung")
    around(database.Writer, "_leave_wal", "folding in", "between folding in and the status")
    begin = recorder.RunRecorder.begin

    def first(self: Any, state: Any) -> None:
        system.first = True
        system.tell("before the first checkpoint")
        begin(self, state)
        system.first = False

    recorder.RunRecorder.begin = first  # type: ignore[method-assign]
