"""The lock: one process at a time, named in the message, gone with its process."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from mlprun import files
from mlprun.errors import FileError, RunInUseError
from mlprun.storage.runs import Lock, is_locked, lock_holder

HOLD = """
import sys, time
from mlprun.storage.runs import Lock
with Lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


def start_holder(path: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_with_the_name_of_the_first(path):
    with start_holder(path) as process:
        before = files.read_bytes(path, cap=100)
        with pytest.raises(RunInUseError) as caught:
            Lock(path)
        assert caught.value.exit_code == 5
        expected = f"is in use by process {process.pid} on {platform.node()}; wait for it or stop it"
        assert str(caught.value) == f"{os.path.dirname(path)}: {expected}"
        assert is_locked(path)
        assert files.read_bytes(path, cap=100) == before
        process.kill()
    with Lock(path):  # a killed process leaves the file but not the lock
        assert lock_holder(path) == f"process {os.getpid()} on {platform.node()}"


def test_a_lock_ends_with_its_block_and_the_file_stays(path):
    assert not is_locked(path)
    with Lock(path) as lock:
        assert is_locked(path)
        inode = os.stat(path).st_ino
        with pytest.raises(RunInUseError):
            Lock(path)
    assert not is_locked(path)
    lock.release()
    with Lock(path):
        assert os.stat(path).st_ino == inode


def test_a_child_that_runs_another_program_does_not_keep_the_lock(path):
    with Lock(path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        assert not is_locked(path)
        Lock(path).release()
    finally:
        child.kill()
        child.wait()


def test_a_spawned_worker_does_not_keep_the_lock(path):
    with Lock(path):
        worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
        worker.start()
    try:
        assert worker.is_alive()
        assert not is_locked(path)
        Lock(path).release()
    finally:
        worker.kill()
        worker.join()


def test_one_who_only_looks_does_not_keep_a_run_from_starting(path):
    files.write_new(path, b"")
    looking = (
        "import sys\nfrom mlprun.storage.runs import is_locked\nprint()\nwhile True: is_locked(sys.argv[1])"
    )
    process = subprocess.Popen([sys.executable, "-c", looking, path], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(200):
            Lock(path).release()
    finally:
        process.kill()
        process.communicate()


def test_two_who_look_at_once_do_not_take_each_other_for_a_run(path):
    files.write_new(path, b"")
    looking = files.open_reading(path)
    assert files.lock(looking, path, shared=True)
    assert not is_locked(path)
    files.close(looking, path)


def test_a_stopped_process_still_holds_its_lock(path):
    with start_holder(path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(RunInUseError, match=str(process.pid)):
            Lock(path)
        process.kill()


@pytest.mark.parametrize("content", [b"", b"x y", b"1", b"1 a b", b"\xff", b"1 \x1b[2J", b"9" * 2000])
def test_a_lock_file_with_other_contents_names_nobody(path, content):
    with open(path, "wb") as file:
        file.write(content)
    assert lock_holder(path) == "another process"


def test_a_lock_file_that_is_a_link_is_refused(path, tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    os.symlink("mine", path)
    with pytest.raises(FileError, match="a symbolic link"):
        Lock(path)
    assert not is_locked(path)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_hard_linked_copy_has_a_lock_of_its_own(path):
    copy = f"{path}-copy"
    with Lock(path):
        os.link(path, copy)
        with pytest.raises(RunInUseError):
            Lock(copy)
        before = files.read_bytes(path, cap=100)
    os.truncate(path, 0)  # whoever takes a shared lock may not write its process there
    with Lock(copy):
        assert is_locked(copy)
        assert files.read_bytes(copy, cap=100) == before
        assert files.read_bytes(path, cap=100) == b""
        assert not is_locked(path)
        with Lock(path), pytest.raises(RunInUseError):
            Lock(copy)
    assert sorted(os.listdir(os.path.dirname(path))) == ["lock", "lock-copy"]


@pytest.mark.parametrize("ask", [Lock, is_locked])
def test_a_lock_file_that_is_replaced_meanwhile_is_looked_at_again(path, monkeypatch, ask):
    files.write_new(path, b"")

    class Replacing(files.System):
        """Another process replaces the lock file between its opening and its locking."""

        locked = None

        @classmethod
        def flock(cls, descriptor, operation):
            if cls.locked is None:
                cls.locked = -1
                cls.locked = files.replace_locked(path, b"1 other\n")
            fcntl.flock(descriptor, operation)

    monkeypatch.setattr(files, "system", Replacing())
    if ask is is_locked:
        assert is_locked(path)
    else:
        with pytest.raises(RunInUseError, match="process 1 on other"):
            Lock(path)
    os.close(Replacing.locked)
