"""What holds for every test: one thread, repeatable property tests, markers for slow tests and CUDA.

Tests run in parallel processes (pytest-xdist, at most eight; `-n 0` for one). The tests of a file run in one
process, so that they share fixtures; all tests of signals, locks and clocks run in one process, since they
would disturb one another. To test as on a CPU with narrower vectors, restrict Numba's target and torch:

    NUMBA_CPU_FEATURES=+sse4.2,+avx,+avx2,+fma pytest                      # vectors of 32 bytes
    NUMBA_CPU_NAME=generic ATEN_CPU_CAPABILITY=default pytest              # 32 bytes over registers of 16
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

# set before torch or a subprocess starts: two threads can give other bits than one, and tests compare bits
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "agg"

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from mlprun import cli, schema
from mlprun.schema import extend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Shorten the ids of tests whose parameter is a long text: an id travels between processes."""
    return ascii(val[:40]) if isinstance(val, str | bytes) and len(val) > 200 else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="run the tests marked slow too, with their large counts"
    )


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start background jobs
        signal.signal(signal.SIGINT, signal.default_int_handler)


SEQUENTIAL = (
    "tests/cli/test_finishing.py",
    "tests/faults/",
    "tests/storage/test_lock.py",
    "tests/storage/test_runs.py",
    "tests/sweeps/test_processes.py",
    "tests/test_interrupts.py",
    "tests/training/",
)


class ByFile(LoadFileScheduling):
    """Gives each file to one process, and all of the `SEQUENTIAL` ones to the same.

    Marks of `--dist=loadgroup` do nothing with pytest 9.2 and pytest-xdist 3.8.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "sequential" if path.startswith(SEQUENTIAL) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slow") and not item.config.getoption("--slow"):
        pytest.skip("slow: run with --slow")
    if item.get_closest_marker("cuda"):
        import torch  # only where a test asks for the device: it takes a second

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@contextlib.contextmanager
def _unmeasured() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def unmeasured() -> Callable[[], AbstractContextManager[None]]:
    """A context whose new processes measure no coverage."""
    return _unmeasured


@pytest.fixture(scope="session", autouse=True)
def unmeasured_tracker() -> None:
    """Begin the tracker of semaphores, which outlives the tests and would write its coverage too late."""
    with _unmeasured():
        resource_tracker.ensure_running()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls mlprun here: its exit code, and what it wrote to standard output and to standard error."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        code = cli.main(list(map(str, arguments)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def heard() -> Any:
    """A callback of runs, and a reporter of sweeps, that keeps in `said` what it is told."""
    from mlprun.api import SilentSweep  # brings torch

    class Heard(SilentSweep):
        def __init__(self) -> None:
            self.said: list[str] = []

        def say(self, message: str) -> None:
            self.said.append(message)

        on_message = say

    return Heard()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Give torch back its one thread after a test that trained with more."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def built_in_parts_only() -> Iterator[None]:
    """Forget the parts that a test's user code registered: they would stand in the registries ever after."""
    before = [(registry, dict(registry._parts)) for registry in schema.registries()]
    yield
    for registry, parts in before:
        registry._parts.clear()
        registry._parts.update(parts)
    extend.executed.clear()
