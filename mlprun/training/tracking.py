"""Trackers while a run or a sweep is trained: a process for each reads the folder and sends what is new.

A tracker may be slow, print, wait for a server or raise; its process does so beside the training, at low
priority, and all that the training does for it is to start it and, at the end, to wait for a limited time.
`mlprun.trackers` is the module that the process runs. It receives its order as a line of JSON, and the end of
the training as the end of its standard input, which a training that is killed gives too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mlprun.errors import FileError, RunInUseError, UsageError, command_line
from mlprun.isolation import safe_path
from mlprun.parts.part import suggestion
from mlprun.parts.trackers import trackers
from mlprun.storage import runs
from mlprun.training.trainer import Callback

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlprun.engines import StopCondition
    from mlprun.parts.trackers import TrackerPart
    from mlprun.training.trainer import TrainingRun

    OnMessage = Callable[[str], None]

SECONDS = 30.0
"""after the end of a training, within which trackers must be done"""
NICENESS = 10
"""of the processes: a tenth of a core that the training wants as well, by Linux's weights"""
POLL_SECONDS = 0.05
MAX_MESSAGE = 4096


class TrackerProcess:
    """A process that sends a folder to a tracker until `end` was called and all is sent.

    With `beside` it has a low priority, and ends itself SECONDS after `end`.
    """

    def __init__(self, part: TrackerPart, path: str, *, allow_code: bool, beside: bool) -> None:
        self.part = part
        seconds, niceness = (SECONDS, NICENESS) if beside else (None, 0)
        order = {"path": path, "tracker": part.model_dump(), "allow_code": allow_code, "seconds": seconds}
        code = f"import os, sys; os.nice({niceness}); from mlprun import trackers; sys.exit(trackers.main())"
        root = os.path.abspath(__file__).rpartition(os.path.join("", "mlprun", ""))[0]
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with safe_path():
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
                process_group=0,  # a Ctrl-C in the terminal is for the training
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        with suppress(BrokenPipeError):
            self._input.write(f"{json.dumps(order)}\n".encode())
            self._input.flush()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Tell the process that nothing more is coming."""
        with suppress(BrokenPipeError):
            self._input.close()

    def close(self) -> str | None:
        """Kill the process if it is still there; return why it did not send all, or None if it did."""
        self.end()
        if not self.has_ended:
            os.killpg(self._process.pid, signal.SIGKILL)  # with those that it started
            self._process.wait()
        os.set_blocking(self._output.fileno(), False)  # such a one may hold the other end
        text = (self._output.read(MAX_MESSAGE) or b"").decode(errors="replace")
        self._output.close()
        code = self._process.returncode
        return (" ".join(text.split()) or f"its process ended with {code}") if code else None

    def leave(self) -> None:
        """Let the process go on by itself."""
        self.end()
        self._output.close()
        threading.Thread(target=self._process.wait, daemon=True).start()


class Tracking(Callback):
    """The trackers of a run or a sweep; problems are told once each, and change nothing else.

    `say` receives messages. Once `stop` returns True nothing is waited for.
    """

    def __init__(
        self, parts: Sequence[TrackerPart], *, say: OnMessage, allow_code: bool, stop: StopCondition
    ) -> None:
        self._parts, self._say, self._allow_code, self._stop = parts, say, allow_code, stop
        self._processes: list[TrackerProcess] = []

    def start(self, path: str) -> None:
        """Start a process for each tracker."""
        self._path = path
        for part in self._parts:
            try:
                process = TrackerProcess(part, path, allow_code=self._allow_code, beside=True)
            except OSError as error:
                self._warn(part, f"was not started: {error}")
            else:
                self._processes.append(process)

    def check(self) -> None:
        """Report trackers that have failed, and forget those that have ended."""
        for one in [one for one in self._processes if one.has_ended]:
            self._processes.remove(one)
            error = one.close()
            if error is not None:
                self._warn(one.part, error)

    def finish(self, *, wait: bool = True) -> None:
        """Wait until all is sent, for SECONDS at most; without `wait` the processes go on by themselves."""
        for one in self._processes:
            one.end()
        deadline = time.monotonic() + SECONDS
        while wait and self._processes and time.monotonic() < deadline and not self._stop():
            self.check()
            time.sleep(POLL_SECONDS)
        for one in self._processes:
            if wait and not self._stop():
                one.close()
                self._warn(one.part, f"not all was sent within {SECONDS:g} s")
            else:
                one.leave()
        self._processes.clear()

    def _warn(self, part: TrackerPart, error: str) -> None:
        remedy = f"{command_line('export', self._path)} --to {part.name}"
        self._say(f"warning: trackers: {part.title or part.name}: {error}; send it again with {remedy}")

    def on_train_start(self, run: TrainingRun) -> None:
        """Start the trackers of a run."""
        assert run.path is not None
        self.start(run.path)

    def on_checkpoint(self, run: TrainingRun, epoch: int) -> None:
        """Report trackers that have failed."""
        self.check()

    def on_train_end(self, run: TrainingRun) -> None:
        """Wait for the trackers, unless the run was interrupted."""
        self.finish(wait=run.stop_reason != "interrupted")


def send(path: str, name: str, parts: Sequence[TrackerPart] = (), *, allow_code: bool = False) -> None:
    """Send a run or a sweep to the tracker of that name, with the options that it has among `parts`, if any.

    Raises UsageError for an unknown name and a missing library, RunInUseError while it is trained, and
    FileError if it fails.
    """
    if name not in trackers:
        raise UsageError("--to", f"unknown tracker {name!r}", suggestion(name, trackers.names()))
    part = next((one for one in parts if one.name == name), None) or trackers[name](name=name)
    part.check()
    lock = os.path.join(path, "lock")
    if runs.is_locked(lock):
        raise RunInUseError(path, f"is in use by {runs.lock_holder(lock)}", "wait for it or stop it")
    process = TrackerProcess(part, path, allow_code=allow_code, beside=False)
    try:
        process.end()
        while not process.has_ended:
            time.sleep(POLL_SECONDS)
    finally:
        error = process.close()
    if error is not None:
        raise FileError(
            path, f"was not sent to {part.title or name}: {error}", "correct this, and send it again"
        )
