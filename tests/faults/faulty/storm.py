"""Runs killed again and again: a process of its own, which forks the runs, so that none has to import torch.

`main({"folder": ..., "jobs": [{"number": 1, "variant": "lbfgs", "does": "run", "arguments":
{"kills": 25}}]})` tells what came of each job.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch

import mlprun.api as mlprun
from faulty import controls
from faulty.comparing import compare
from faulty.phases import PHASES, Board, Doomed, announce
from faulty.variants import config_of
from mlprun.parts.optimizers import optimizers
from mlprun.storage import runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PROTOCOL = PHASES[PHASES.index("before the history") : PHASES.index("final figures")]
"""the phases of saving"""
LONGEST_LIFE = 400
"""kills that one run may need before it is over"""


def prepare(variants: Iterable[str]) -> None:
    """Import and compile what runs need, so that their forks begin at once; no thread may live here."""
    torch.set_num_threads(1)
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    for name in ("sgd", "adam", "lbfgs", "muon", "adamw"):
        optimizers[name]().build({"layers.0.weight": parameter}, embeddings=frozenset())
    for variant in variants:  # kernels of the fused engine alone take a second to load
        with tempfile.TemporaryDirectory() as folder:
            mlprun.train(config_of(variant, training={"epochs": 2}, snapshots=[]), out=folder)
    assert threading.active_count() == 1
    assert len(os.listdir("/proc/self/task")) == 1


def forked(work: Callable[[], None], errors: str) -> int:
    """Do the work in a child; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:
        with open(errors, "w") as file:
            file.write(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def train_or_resume(config: dict[str, Any], out: str) -> None:
    """What a user does after a kill: go on with the run, or begin again where there is none yet."""
    found = runs.find(out) if os.path.isdir(out) else []
    if found:
        mlprun.resume(found[0].path)
    else:
        mlprun.train(config, out=out)


class Storm:
    """One variant: an undisturbed run, and runs that are killed until `kills` have landed."""

    def __init__(self, variant: str, folder: str, *, seed: int, control: str | None = None) -> None:
        self.variant, self.folder, self.control = variant, folder, control
        self.config, self.chance, self.board = config_of(variant), random.Random(seed), Board()
        self.phases: Counter[str] = Counter()
        self.by_time = 0
        os.makedirs(folder)
        self.errors = os.path.join(folder, "error")

    def undisturbed(self) -> str:
        """The folder of a run that nothing happens to; also learns how long one takes."""
        out = os.path.join(self.folder, "undisturbed")
        for _ in range(2):  # the second one's time is that of a warm cache
            began = time.monotonic()
            self.session(lambda: mlprun.train(self.config, out=out))
            self.seconds = time.monotonic() - began
        return os.path.join(out, "run-001")

    def session(self, work: Callable[[], Any], delay: float | None = None, **doom: Any) -> bool:
        """Work in a child until it ends or is killed; True when it was killed."""
        self.board.reset()

        def doomed() -> None:
            announce(Doomed(self.board, **doom))
            if self.control:
                controls.apply(self.control)
            work()

        pid = forked(doomed, self.errors)
        if delay is not None:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL, os.WTERMSIG(status)
            self.phases[self.board.phase] += 1
            self.by_time += delay is not None
            return True
        if os.WEXITSTATUS(status):
            with open(self.errors) as file:
                raise AssertionError(file.read())
        return False

    def life(self, number: int, kills: int) -> tuple[str, int]:
        """One run, killed at random moments until it is over; its folder and how often it was killed."""
        out, killed = os.path.join(self.folder, f"life-{number}"), 0
        while True:
            doom: dict[str, Any] = {"seed": self.chance.randrange(2**32)}
            how = self.chance.random()
            if killed >= min(kills, LONGEST_LIFE):
                doom = {}
            elif how < 0.15:  # a gap of microseconds, which the others seldom find
                doom |= {"phase": self.chance.choice(PROTOCOL), "nth": self.chance.randint(1, 12)}
            elif how < 0.65:
                doom["delay"] = self.chance.uniform(0.15, 1.0) * self.seconds
            else:
                doom["at"] = int(self.chance.choice([10, 40, 160]) * self.chance.random())
            if self.session(lambda: train_or_resume(self.config, out), **doom):
                killed += 1
                continue
            return os.path.join(out, "run-001"), killed

    def run(self, kills: int) -> dict[str, Any]:
        """Kill runs until so many kills have landed; raises AssertionError when one ends otherwise."""
        expected, lives = self.undisturbed(), 0
        self.phases.clear()
        self.by_time = 0
        while self.phases.total() < kills:
            lives += 1
            found, _ = self.life(lives, kills - self.phases.total())
            compare(expected, found)
        return {"kills": self.phases.total(), "by_time": self.by_time, "lives": lives, "phases": self.phases}

    def epoch_by_epoch(self, epochs: int) -> dict[str, Any]:
        """A run killed right after every checkpoint: each session brings it one epoch further."""
        self.config = config_of(self.variant, training={"epochs": epochs})
        expected, killed = self.undisturbed(), 0
        out = os.path.join(self.folder, "steps")
        while self.session(
            lambda: train_or_resume(self.config, out), phase="between replace and append", nth=1
        ):
            killed += 1
        compare(expected, os.path.join(out, "run-001"))
        return {"kills": killed}

    def in_phase(self, phase: str, times: Sequence[int] = (1, 2, 5, 11)) -> dict[str, Any]:
        """Runs killed when they come to a phase the nth time; how far history and checkpoint were apart."""
        expected, ahead = self.undisturbed(), []
        for nth in times:
            out = os.path.join(self.folder, f"nth-{nth}")
            assert self.session(lambda out=out: train_or_resume(self.config, out), phase=phase, nth=nth)
            (found,) = runs.find(out)
            last = found.load_last()
            offset = last.checkpoint.meta["history_offset"] if last else 0
            size = os.path.getsize(found.history) if os.path.exists(found.history) else 0
            ahead.append(size - offset)
            self.session(lambda found=found: mlprun.resume(found.path))
            compare(expected, found.path)
        return {"ahead": ahead}


def main(orders: dict[str, Any]) -> list[dict[str, Any]]:
    """Do every job, and tell what came of each: its result, or why it failed."""
    prepare({job["variant"] for job in orders["jobs"]})
    told: list[dict[str, Any]] = []
    for job in orders["jobs"]:
        number, arguments = job["number"], job.get("arguments", {})
        folder = os.path.join(orders["folder"], str(number))
        storm = Storm(job["variant"], folder, seed=number, control=job.get("control"))
        try:
            told.append({**job, **getattr(storm, job["does"])(**arguments)})
        except AssertionError as error:
            told.append({**job, "failed": str(error)})
    return told
