"""What the tests of faults share: the package `faulty` beside this file, and folders in memory."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


@pytest.fixture(scope="module")
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is such a place, for faults that no real disk is needed for."""
    path = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    yield Path(path)
    shutil.rmtree(path)


@pytest.fixture
def memory(memory_folder: Path) -> Path:
    """An empty folder in memory for one test."""
    return Path(tempfile.mkdtemp(dir=memory_folder))


@pytest.fixture(scope="module", autouse=True)
def untraced(unmeasured: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Measure no coverage in processes that are killed: it slows them until kills miss whole phases."""
    with unmeasured():
        yield


@pytest.fixture(scope="session")
def children() -> Iterator[Any]:
    """Runs `mlprun` in forks of one process that has imported everything."""
    from faulty.children import Children

    process = Children()
    yield process
    process.close()


@pytest.fixture
def written() -> Any:
    """Writes a config to a file in a folder; its path."""

    def write(config: Any, folder: Path, name: str = "run") -> str:
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        return str(path)

    return write
