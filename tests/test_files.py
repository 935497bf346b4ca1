"""The seam: whole files or none, short writes, refusals with their reason, links and umask."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from mlprun import errors, files


class Failing(files.System):
    """A system whose call `name` fails with `code` from the `after`-th time on."""

    def __init__(self, name: str, code: int, after: int = 0) -> None:
        self.calls, self.failures = 0, 0

        def call(*arguments: object, **options: object) -> object:
            self.calls += 1
            if self.calls > after:
                self.failures += 1
                raise OSError(code, os.strerror(code))
            return getattr(files.System, name)(*arguments, **options)

        setattr(self, name, call)


class Recording(files.System):
    """A system that notes the calls that change something, in their order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        for name in ("write", "fsync", "close", "link", "replace", "unlink", "mkdir", "rename"):
            setattr(self, name, self._noted(name))

    def _noted(self, name: str) -> object:
        def call(*arguments: object, **options: object) -> object:
            self.calls.append(name)
            return getattr(files.System, name)(*arguments, **options)

        return call


class Stingy(files.System):
    """A system that writes three bytes at a time."""

    @staticmethod
    def write(descriptor: int, data: bytes) -> int:
        return os.write(descriptor, data[:3])


def test_what_was_written_is_read_back(tmp_path):
    path = tmp_path / "größe 1.txt"
    files.write_atomic(path, b"first")
    files.write_atomic(path, "zweite: ä".encode())
    assert files.read_text(path, cap=100) == "zweite: ä"
    assert os.listdir(tmp_path) == [path.name]


def test_a_file_of_the_working_folder_needs_no_folder_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_atomic("a", b"1")
    files.write_new("b", b"2")
    files.make_folder("c")
    assert files.names(".") == ["a", "b", "c"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "system", Stingy())
    data = bytes(range(256)) * 3
    files.write_atomic(tmp_path / "a", data)
    assert (tmp_path / "a").read_bytes() == data


def test_a_replacement_is_synced_before_its_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(files, "system", system := Recording())
    files.write_atomic(tmp_path / "a", b"new", previous=tmp_path / "b")
    names = ["write", "fsync", "close", "link", "replace", "replace", "fsync", "close"]
    assert system.calls == names


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "close", "link", "replace"])
def test_a_failing_replacement_leaves_the_former_file_and_nothing_else(tmp_path, monkeypatch, call, code):
    (tmp_path / "a").write_bytes(b"old")
    system = Failing(call, code)
    monkeypatch.setattr(files, "system", system)
    with pytest.raises(errors.FileError) as caught:
        files.write_atomic(tmp_path / "a", b"new", previous=tmp_path / "b")
    assert system.failures
    assert caught.value.where == str(tmp_path / "a") or caught.value.where == str(tmp_path / "b")
    assert os.strerror(code).lower() in caught.value.what
    assert caught.value.remedy
    assert (tmp_path / "a").read_bytes() == b"old"
    assert set(os.listdir(tmp_path)) <= {"a", "b"}


def test_a_file_that_cannot_grow_is_reported_and_the_former_one_kept(tmp_path):
    # a child, because a limit on file sizes would also stop pytest from writing
    program = """
import resource, sys
from mlprun import errors, files
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    files.write_atomic(sys.argv[1], b"n" * 2000)
except errors.FileError as error:
    sys.exit(f"{error}")
"""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().startswith(f"{path}: cannot be written: file too large; raise the limit")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_interrupt_while_writing_removes_the_temporary(tmp_path, monkeypatch):
    class Interrupted(files.System):
        @staticmethod
        def fsync(descriptor: int) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "system", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        files.write_atomic(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_umask_decides_who_may_read(tmp_path, umask):
    before = os.umask(umask)
    try:
        files.write_atomic(tmp_path / "a", b"")
        files.write_new(tmp_path / "b", b"")
        os.close(files.open_writing(tmp_path / "c"))
    finally:
        os.umask(before)
    modes = {os.stat(tmp_path / name).st_mode & 0o777 for name in "abc"}
    assert modes == {0o666 & ~umask}


def test_a_missing_file_and_one_of_the_wrong_kind_are_the_callers_to_judge(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("file")
    missing = ["no", "file/below", "x" * 300, "nul\0", "\ud800"]
    for name in missing:
        with pytest.raises(FileNotFoundError):
            files.read_bytes(f"{tmp_path}/{name}", cap=10)
        assert files.kind(f"{tmp_path}/{name}") is None
        assert not files.is_folder(f"{tmp_path}/{name}")
    for name in ["folder", "pipe", "/dev/zero"]:  # the pipe has no writer: waiting for it would hang here
        with pytest.raises(IsADirectoryError):
            files.read_bytes(tmp_path / name, cap=10)
    assert files.read_bytes(tmp_path / "link", cap=10) == b""
    with pytest.raises(files.WrongKindError, match="symbolic link"):
        files.read_bytes(tmp_path / "link", cap=10, follow=False)
    kinds = {name: files.kind(tmp_path / name) for name in files.names(tmp_path)}
    assert kinds == {"file": "file", "folder": "folder", "link": "symbolic link", "pipe": "pipe or device"}


def test_what_cannot_be_read_is_a_file_error(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1")
    monkeypatch.setattr(files, "system", Failing("open", errno.EACCES))
    with pytest.raises(
        errors.FileError, match="a: cannot be read: permission denied; change the permissions"
    ):
        files.read_bytes(tmp_path / "a", cap=10)


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_a_file_up_to_the_cap_is_read_and_a_larger_one_refused(tmp_path, size):
    (tmp_path / "a").write_bytes(b"x" * size)
    assert files.read_bytes(tmp_path / "a", cap=10) == b"x" * size
    (tmp_path / "b").write_bytes(b"x" * (size + 11))
    with pytest.raises(files.TooLargeError, match="larger than 10 bytes"):
        files.read_bytes(tmp_path / "b", cap=10)


def test_a_file_that_claims_no_size_is_read_to_its_end():
    (piece,) = files.read_pieces("/proc/self/stat", cap=10**5)  # not one for each byte
    assert piece.startswith(f"{os.getpid()} ".encode())


def test_links_and_other_kinds_are_never_replaced(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("mine")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ["link", "folder", "pipe"]:
        with pytest.raises(errors.FileError, match=f"cannot be written: it is a .*{name}"):
            files.write_atomic(tmp_path / name, b"new")
        with pytest.raises(errors.FileError):
            files.open_writing(tmp_path / name)
        files.write_atomic(tmp_path / "new", b"new")
        with pytest.raises(errors.FileError):
            files.write_atomic(tmp_path / "new", b"new", previous=tmp_path / name)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "mine", "new", "pipe"]


def test_writing_into_a_missing_folder_names_the_remedy(tmp_path):
    with pytest.raises(errors.FileError, match="no such file or directory; create the folder first"):
        files.write_atomic(tmp_path / "no" / "a", b"")


def test_a_new_file_never_replaces_another(tmp_path):
    files.write_new(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_the_former_file_is_kept_by_a_hard_link(tmp_path):
    last, previous = tmp_path / "last", tmp_path / "previous"
    for number in range(4):
        files.write_atomic(last, b"%d" % number, previous=previous)
    assert (last.read_bytes(), previous.read_bytes()) == (b"3", b"2")
    assert sorted(os.listdir(tmp_path)) == ["last", "previous"]


def test_a_rotation_that_was_cut_short_is_taken_up_without_leaving_a_temporary(tmp_path):
    last, previous = tmp_path / "last", tmp_path / "previous"
    last.write_bytes(b"1")
    os.link(last, previous)  # the state between keeping the former file and replacing it
    files.write_atomic(last, b"2", previous=previous)
    assert (last.read_bytes(), previous.read_bytes()) == (b"2", b"1")
    assert sorted(os.listdir(tmp_path)) == ["last", "previous"]


def test_a_file_system_without_hard_links_gets_a_copy(tmp_path, monkeypatch):
    last, previous = tmp_path / "last", tmp_path / "previous"
    monkeypatch.setattr(files, "system", Failing("link", errno.EPERM))
    for number in range(3):
        files.write_atomic(last, b"%d" % number, previous=previous)
    assert (last.read_bytes(), previous.read_bytes()) == (b"2", b"1")
    assert os.stat(previous).st_nlink == 1


def test_folders_are_made_with_those_above_and_exclusively_on_demand(tmp_path):
    files.make_folder(tmp_path / "a" / "b" / "c")
    files.make_folder(f"{tmp_path}/a/b/")
    with pytest.raises(FileExistsError):
        files.make_folder(tmp_path / "a", exclusive=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.FileError, match="cannot be created"):
        files.make_folder(tmp_path / "file")
    with pytest.raises(errors.FileError, match="cannot be created"):
        files.make_folder(tmp_path / "file" / "below")


@pytest.mark.parametrize("taken_by", ["empty folder", "full folder", "file", "broken link"])
def test_a_name_that_is_taken_is_not_claimed(tmp_path, taken_by):
    prepared, final = tmp_path / "prepared", tmp_path / "final"
    prepared.mkdir()
    (prepared / "config").write_bytes(b"mine")
    if taken_by.endswith("folder"):
        final.mkdir()
    if taken_by == "full folder":
        (final / "config").write_bytes(b"theirs")
    if taken_by == "file":
        final.write_bytes(b"theirs")
    if taken_by == "broken link":
        final.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        files.claim(prepared, final)
    assert (prepared / "config").read_bytes() == b"mine"


def test_a_creator_that_was_faster_keeps_the_name(tmp_path, monkeypatch):
    prepared, final = tmp_path / "prepared", tmp_path / "final"
    for folder in (prepared, final):
        folder.mkdir()
        (folder / "config").write_bytes(folder.name.encode())
    monkeypatch.setattr("mlprun.files.kind", lambda path: None)  # the other creator came after the look
    with pytest.raises(FileExistsError):
        files.claim(prepared, final)
    assert (final / "config").read_bytes() == b"final"


def test_a_lock_is_held_by_one_descriptor_at_a_time(tmp_path):
    one, other = (files.open_writing(tmp_path / "lock") for _ in range(2))
    assert files.lock(one, "lock")
    assert not files.lock(other, "lock")
    assert not files.lock(other, "lock", shared=True)
    os.close(one)
    assert files.lock(other, "lock")
    os.close(other)


def test_a_file_system_that_cannot_sync_folders_is_not_an_error(tmp_path, monkeypatch):
    cannot = Failing("fsync", errno.EINVAL)
    monkeypatch.setattr(files, "system", cannot)
    files.sync_folder(tmp_path)
    assert cannot.failures == 1
    monkeypatch.setattr(files, "system", Failing("fsync", errno.EIO))
    with pytest.raises(errors.FileError, match="check the disk"):
        files.sync_folder(tmp_path)


def test_a_file_in_pieces_is_the_whole_file_and_closed_wherever_one_stops(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    recorded = Recording()
    monkeypatch.setattr(files, "system", recorded)
    pieces = list(files.read_pieces(tmp_path / "a", cap=100, size=30))
    assert b"".join(pieces) == bytes(range(100))
    assert len(pieces) > 3
    assert next(files.read_pieces(tmp_path / "a", cap=100, size=30)) == pieces[0]
    assert recorded.calls == ["close", "close"]
    with pytest.raises(files.TooLargeError, match="larger than 99 bytes"):
        list(files.read_pieces(tmp_path / "a", cap=99, size=30))


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs /proc")
def test_a_file_that_claims_to_be_empty_is_read_in_large_pieces(monkeypatch):
    class Counting(files.System):
        reads = 0

        @classmethod
        def read(cls, descriptor, size):
            cls.reads += 1
            return os.read(descriptor, size)

    monkeypatch.setattr(files, "system", Counting())
    content = files.read_bytes("/proc/self/maps", cap=10_000_000)
    assert len(content) > 1000
    assert Counting.reads < len(content) / 100
