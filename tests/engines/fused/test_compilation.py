"""Kernels are kept in a private folder; whatever is wrong with what is kept, they are compiled again."""

from __future__ import annotations

import ctypes
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numba import types

from mlprun import files
from mlprun.engines.fused import compat, compilation
from mlprun.engines.fused.compilation import Kernel, ObjectCode, compile_kernels
from mlprun.engines.fused.records import kernel_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


NUMBER = (types.Array(types.int64, 1, "C"),)
number_at = compat.records_reader(NUMBER)


def twice(table: int) -> int:
    (numbers,) = number_at(table)
    return 2 * numbers[0]


def thrice(table: int) -> int:
    (numbers,) = number_at(table)
    return 3 * numbers[0]


TWO = np.array([2])


def kernel_of(function: Callable[[int], int]) -> Kernel:
    """A kernel of an array of int64, whatever the dtype."""
    return Kernel(function.__name__, ctypes.c_int64, lambda dtype: compat.compile_function(function))


def is_ready(kernel: Kernel) -> bool:
    return kernel.is_ready("float64")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of kernels of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compilation.cache_folder.cache_clear()
    yield tmp_path / "cache/mlprun/kernels"
    compilation.cache_folder.cache_clear()


@pytest.fixture
def kept(cache: Path) -> Path:
    """The file of a kernel that has been compiled."""
    assert kernel_of(twice).compiled("float64")(kernel_table(TWO)) == 4
    (path,) = cache.iterdir()
    return path


def digested(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def flipped(place: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        i = int(place * (len(data) - 1))
        return data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]

    return flip


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut in the digest": lambda data: data[:20],
    "cut after the digest": lambda data: data[:32],
    "cut": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "first bit": flipped(0),
    "a bit of the code": flipped(0.5),
    "last bit": flipped(1),
    "an image": lambda _: b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "no header": lambda _: digested(b"abc"),
    "an unknown symbol": lambda data: ObjectCode.decode(data)._replace(needed=("mlprun_no_such",)).encode(),
    "another entry point": lambda data: ObjectCode.decode(data)._replace(symbol="other").encode(),
}


def test_a_kernel_is_loaded_by_the_next_process(kept: Path) -> None:
    kernel = kernel_of(twice)
    assert is_ready(kernel)
    assert kernel.compiled("float64")(kernel_table(TWO)) == 4
    assert not is_ready(kernel_of(thrice))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_replaced(kept: Path, damage: Callable[[bytes], bytes]) -> None:
    kept.write_bytes(damage(kept.read_bytes()))
    kernel = kernel_of(twice)
    assert not is_ready(kernel)
    assert kernel.damaged_file == str(kept)
    assert kernel.compiled("float64")(kernel_table(TWO)) == 4
    following = kernel_of(twice)
    assert is_ready(following)
    assert following.damaged_file is None


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_file_does_not_matter(kept: Path, make: Callable[[Path], None]) -> None:
    kept.unlink()
    make(kept)
    kernel = kernel_of(twice)
    assert not is_ready(kernel)
    assert kernel.compiled("float64")(kernel_table(TWO)) == 4


def test_code_that_cannot_be_linked_is_used_as_numba_links_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(code: ObjectCode) -> int:
        raise RuntimeError("no linker")

    monkeypatch.setattr(compilation, "link", fail)
    assert kernel_of(twice).compiled("float64")(kernel_table(TWO)) == 4
    assert list(cache.iterdir()) == []


def test_the_folder_is_made_for_this_user_alone(kept: Path) -> None:
    for folder in (kept.parent, kept.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("above", [0, 1], ids=["kernels", "mlprun"])
def test_a_folder_that_others_can_write_to_is_not_used(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, above: int
) -> None:
    assert is_ready(kernel_of(twice))
    kept.parents[above].chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    compilation.cache_folder.cache_clear()
    assert compilation.cache_folder() == str(tmp_path / f"mlprun-{os.geteuid()}/kernels")
    kernel = kernel_of(twice)
    assert not is_ready(kernel)
    assert kernel.compiled("float64")(kernel_table(TWO)) == 4


def test_another_users_file_is_not_loaded(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(files.System):
        @staticmethod
        def lstat(path: str) -> os.stat_result:
            found = os.lstat(path)
            return os.stat_result((*found[:4], found.st_uid + (path == str(kept)), *found[5:]))

    monkeypatch.setattr(files, "system", Foreign())
    assert not is_ready(kernel_of(twice))


@pytest.mark.parametrize("variables", [{"XDG_CACHE_HOME": "here"}, {"XDG_CACHE_HOME": "", "HOME": "."}])
def test_the_working_directory_is_no_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", ".")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert compilation.cache_folder() is None
    kernel = kernel_of(twice)
    assert not is_ready(kernel)
    assert kernel.compiled("float64")(kernel_table(TWO)) == 4
    assert is_ready(kernel)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_does_not_matter(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(files.System):
        def write(self, *_: Any) -> int:  # type: ignore[override]
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "system", Full())
    assert kernel_of(twice).compiled("float64")(kernel_table(TWO)) == 4
    assert list(cache.iterdir()) == []


def test_the_newest_kernels_are_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_MAX_KERNELS", 2)
    for place in range(3):
        old = kept.with_name(f"old-{place}.kernel")
        old.write_bytes(b"")
        os.utime(old, (place, place))
    (kept.parent / "notes.txt").write_text("")
    assert kernel_of(thrice).compiled("float64")(kernel_table(TWO)) == 6
    names = {path.name.partition("-")[0] for path in kept.parent.iterdir()}
    assert names == {"twice", "thrice", "notes.txt"}


def test_the_user_is_told_when_kernels_are_compiled(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []

    def compile_anew() -> None:
        messages.clear()
        compile_kernels([kernel_of(twice)], "float64", messages.append)

    compile_anew()
    assert messages == []
    kept.write_bytes(b"")
    compile_anew()
    assert messages == [f"compiling the fused engine's float64 kernels again: {kept} could not be loaded"]
    kept.unlink()
    compile_anew()
    assert messages == ["compiling the fused engine's float64 kernels, once for this machine"]
    kept.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(compilation, "cache_folder", lambda: None)
        compile_anew()
    assert "for this process only: neither the cache folder nor" in messages[0]
