"""`mlprun` in children of a process that has imported everything: a hundred of them in seconds.

Reads lines of JSON, each a list of children that start together, and answers each with a line.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]


class Children:
    """The process that forks them, from a test's side."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "faulty.children"]
        environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
        environment["PYTHONPATH"] = str(HERE)
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *children: dict[str, Any]) -> list[dict[str, Any]]:
        """Start children together and wait for them: `code`, `out`, `err`, `seconds`, `phase` of each.

        A child has `arguments` and `folder` to work in, or calls a `function` of this package, "module.name",
        with what is `given`, and its `out` is the answer as JSON; `seconds` it may take; `limits` (of the
        resource module, by name);
        `signals`, pairs of a delay and a number; `at`, arguments of `Doomed`; and with `until_alone` it is
        asked to stop when all others have ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(children) + "\n")
        self._process.stdin.flush()
        answer: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        return answer

    def one(self, *arguments: str, folder: Any, **more: Any) -> dict[str, Any]:
        """One child."""
        (told,) = self.run({"arguments": list(map(str, arguments)), "folder": str(folder), **more})
        return told

    def call(self, function: str, *given: Any, seconds: float = 300) -> list[Any]:
        """What a function of this package answers in children of their own, one for each that is given."""
        told = self.run(*({"function": function, "given": one, "seconds": seconds} for one in given))
        assert [one["code"] for one in told] == [0] * len(given), told
        return [json.loads(one["out"]) for one in told]

    def close(self) -> None:
        """Let the process end."""
        self._process.communicate()


class Child:
    """One fork, from the forking process's side."""

    def __init__(self, order: dict[str, Any], gate: int, hand: int) -> None:
        from faulty.phases import Board

        self.order, self.board = order, Board()
        # pipes, since a limit on file sizes holds for files in memory too
        self.out, self.err = _pipe(), _pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 98
            try:
                os.close(hand)
                code = self._live(gate)
            except KeyboardInterrupt:  # before the command has begun
                code = 130
            except BaseException as error:
                os.write(self.err[1], repr(error).encode())
            finally:
                os._exit(code)
        self.ended: float | None = None
        self.signals = sorted((delay, number) for delay, number in order.get("signals", ()))
        self.sent = 0.0

    def _live(self, gate: int) -> int:
        from faulty.phases import Doomed, announce
        from mlprun import cli

        os.chdir(self.order.get("folder", HERE))
        null = os.open(os.devnull, os.O_RDONLY)
        for stream, descriptor in enumerate((null, self.out[1], self.err[1])):
            os.dup2(descriptor, stream)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - of the process
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name, most in self.order.get("limits", {}).items():
            number = getattr(resource, name)
            most = most + _size() if name == "RLIMIT_AS" else most
            resource.setrlimit(number, (most, resource.getrlimit(number)[1]))
        if "function" in self.order:
            warnings.simplefilter("error")
            module, _, name = self.order["function"].rpartition(".")
            print(
                json.dumps(getattr(import_module(f"faulty.{module}"), name)(self.order["given"])), flush=True
            )
            return 0
        announce(Doomed(self.board, **self.order.get("at", {})))
        os.read(gate, 1)  # the end of the file: all start when the other end is closed
        return cli.main(self.order["arguments"])

    def follow(self, now: float, began: float) -> bool:
        """Send the signals that are due; True when it has ended."""
        while self.signals and now - began >= self.signals[0][0]:
            os.kill(self.pid, self.signals.pop(0)[1])
            self.sent = self.sent or now
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.ended, self.code = time.monotonic(), os.waitstatus_to_exitcode(status)
        return bool(pid)

    def told(self, began: float) -> dict[str, Any]:
        """What came of it; `late` is how long it lived on after the first signal."""
        assert self.ended is not None
        signalled = self.sent or self.board.marked
        return {
            "code": self.code,
            "out": _text(self.out),
            "err": _text(self.err),
            "seconds": self.ended - began,
            "late": self.ended - signalled if signalled else None,
            "phase": self.board.phase,
            "pid": self.pid,
        }


def _size() -> int:
    """The address space in use: what a limit is counted from."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, 2**20)
    return ends


def _text(ends: tuple[int, int]) -> str:
    os.close(ends[1])
    with open(ends[0], "rb") as file:
        return file.read().decode(errors="replace")


def together(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Children that are let go at the same moment."""
    gate, hand = os.pipe()
    children = [Child(order, gate, hand) for order in orders]
    os.close(gate)
    os.close(hand)
    began, alive = time.monotonic(), list(children)
    while alive:
        alive = [child for child in alive if not child.follow(time.monotonic(), began)]
        if len(alive) == 1 and alive[0].order.pop("until_alone", False):
            os.kill(alive[0].pid, signal.SIGTERM)  # once: a second one would stop it at once
        for child in alive:
            if time.monotonic() - began > child.order.get("seconds", 60):
                os.kill(child.pid, signal.SIGKILL)
        time.sleep(0.0005)
    return [child.told(began) for child in children]


def rehearse_sweep() -> None:
    """Import and build what sweeps need, which each child would do anew."""
    dataset = {"name": "moons", "split": {"train": 4, "dev": 4, "test": 4}}
    random = {"optimizer.lr": {"uniform": [0.1, 0.2]}}
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "s.yaml"), "w") as file:
        json.dump(
            {
                "base": {"dataset": dataset, "training": {"epochs": 1}, "engine": "fused"},
                "random": random,
                "search": {"name": "random", "trials": 2},
            },
            file,
        )
        file.flush()
        with contextlib.redirect_stdout(io.StringIO()):
            assert cli.main(["sweep", "run", file.name, "--out", folder, "-q"]) == 0


if __name__ == "__main__":
    import mlprun.cli.sweep.run
    import mlprun.cli.train  # noqa: F401 -- what commands load otherwise in each child
    from faulty.storm import prepare
    from mlprun import cli

    prepare(["adam with dropout", "fused"])
    rehearse_sweep()
    for line in sys.stdin:
        print(json.dumps(together(json.loads(line))), flush=True)
