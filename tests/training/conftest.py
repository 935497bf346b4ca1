"""What the tests of training share: small runs, their bytes, and runs in a process of their own."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import mlprun.api as mlprun
from mlprun import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMALL = {
    "name": "small",
    "dataset": {"name": "moons", "noise": 0.3, "split": {"train": 45, "dev": 20, "test": 15}},
    "architecture": {"hidden": [4], "activation": "tanh"},
    "optimizer": {"name": "sgd", "lr": 0.5},
    "training": {"epochs": 12},
}
COMPARED = ("config.yaml", "history.csv", "best.safetensors", "last.safetensors", "snapshots.safetensors")


def laid_over(sections: dict[str, Any]) -> dict[str, Any]:
    config = dict(SMALL)
    for name, value in sections.items():
        both = isinstance(value, dict) and isinstance(config.get(name), dict)
        renamed = both and value.get("name", config[name].get("name")) != config[name].get("name")
        config[name] = {**config[name], **value} if both and not renamed else value
    return config


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., mlprun.Run]:
    """Trains 45 moons with four units; sections that are given are laid over that."""

    def run(*, out: str = "runs", callbacks: Any = (), **sections: Any) -> mlprun.Run:
        return mlprun.train(laid_over(sections), out=str(tmp_path / out), callbacks=callbacks)

    return run


@pytest.fixture
def contents() -> Callable[[Any], dict[str, bytes]]:
    """Reads what must be the same in two runs of one config."""

    def read(run: Any) -> dict[str, bytes]:
        folder = Path(getattr(run, "path", run))
        return {name: (folder / name).read_bytes() for name in COMPARED}

    return read


class Process:
    """`mlprun` with some arguments in a forked process, which holds torch already."""

    def __init__(self, *arguments: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which torch has started
            self.number: int | None = os.fork()
        if self.number == 0:
            code = 99
            try:
                null = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(null, stream)
                code = cli.main(list(arguments))
            finally:
                os._exit(code)

    def send(self, number: int) -> None:
        assert self.number is not None
        os.kill(self.number, number)

    def end(self, seconds: float = 60) -> int:
        """The exit code, or minus the signal that killed it."""
        assert self.number is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended, status = os.waitpid(self.number, os.WNOHANG)
            if ended:
                self.number = None
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        raise AssertionError(f"still running after {seconds} seconds")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts `mlprun` in another process; kills what is left at the end."""
    processes: list[Process] = []

    def begin(*arguments: str) -> Process:
        processes.append(Process(*arguments))
        return processes[-1]

    yield begin
    for process in processes:
        if process.number is not None:
            process.send(signal.SIGKILL)
            process.end()


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """Writes the small config, with sections laid over it, to a file."""

    def write(**sections: Any) -> str:
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(laid_over(sections)))
        return str(path)

    return write


@pytest.fixture
def wait_for() -> Callable[..., None]:
    """Waits until something holds."""

    def wait(condition: Callable[[], bool], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came about"
            time.sleep(0.002)

    return wait
