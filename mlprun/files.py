"""The one seam through which every file operation goes: a few functions over one object, `system`.

Tests swap `files.system` to record, kill, tear, drop or fill at each system call, so nothing else opens,
writes, renames or removes a file. Errors of the system become `FileError` (exit 7). When reading, two errors
pass as they are, because only the caller knows their exit code: `FileNotFoundError` and `IsADirectoryError`
(a `WrongKindError`: what is there instead of a file). When creating, `FileExistsError` passes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import sys
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from mlprun.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PathLike = str | os.PathLike[str]

_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_REMEDIES = {
    errno.ENOENT: "create the folder first",
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space of your quota or choose another folder",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f) or choose another folder",
    errno.EACCES: "change the permissions or choose another path",
    errno.EPERM: "change the permissions or choose another path",
    errno.EROFS: "choose a folder that can be written to",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "check the disk",
    errno.ENOLCK: "choose a file system that supports locks",
}


class WrongKindError(IsADirectoryError):
    """Raised for a folder, a pipe, a device or a link that must not be followed, in place of a file."""

    def __init__(self, path: PathLike, kind: str) -> None:
        super().__init__(errno.EISDIR, f"is {kind}, not a file", path)
        self.kind = kind


class TooLargeError(FileError):
    """Raised for a file that is larger than the caller is willing to read."""


def _file_error(error: OSError, path: PathLike, action: str) -> FileError:
    """Return the FileError for an error of the operating system; `action` is `read`, `written` and so on."""
    why = os.strerror(error.errno or 0).lower()
    if isinstance(error, WrongKindError):
        why = f"it is {error.kind}"
    return FileError(os.fspath(path), f"cannot be {action}: {why}", remedy(error.errno))


def remedy(code: int | None) -> str:
    """Return what would work after an error of the operating system with this number."""
    return _REMEDIES.get(code or 0, "choose another path")


@contextlib.contextmanager
def reading_errors(path: PathLike) -> Iterator[None]:
    """Convert errors of reading `path` to FileNotFoundError, WrongKindError or FileError."""
    try:
        yield
    except WrongKindError:
        raise
    except ValueError as error:  # a NUL or a lone surrogate in the path: no such file can exist
        raise FileNotFoundError(errno.ENOENT, "no such file", path) from error
    except OSError as error:
        if error.errno in _MISSING:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from error
        if error.errno in (errno.EISDIR, errno.ELOOP):
            what = "a folder" if error.errno == errno.EISDIR else "a symbolic link"
            raise WrongKindError(path, what) from error
        raise _file_error(error, path, "read") from error


@contextlib.contextmanager
def writing_errors(path: PathLike, action: str = "written") -> Iterator[None]:
    """Convert errors of changing `path` to FileError, apart from those for what exists or is locked."""
    try:
        yield
    except (FileExistsError, BlockingIOError):
        raise
    except ValueError as error:
        raise FileError(
            os.fspath(path), f"cannot be {action}: not a possible name", "choose another path"
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            error = WrongKindError(path, "a symbolic link")
        raise _file_error(error, path, action) from error


class System:
    """The system calls in use; tests replace `files.system` by an instance of a subclass.

    `write` may write less than it was given, `replace` between two links of one file does nothing at all, and
    descriptors are closed in children that execute another program.
    """

    open = staticmethod(os.open)
    read = staticmethod(os.read)
    write = staticmethod(os.write)
    close = staticmethod(os.close)
    ftruncate = staticmethod(os.ftruncate)
    fstat = staticmethod(os.fstat)
    lstat = staticmethod(os.lstat)
    stat = staticmethod(os.stat)
    listdir = staticmethod(os.listdir)
    link = staticmethod(os.link)
    symlink = staticmethod(os.symlink)
    readlink = staticmethod(os.readlink)
    replace = staticmethod(os.replace)
    rename = staticmethod(os.rename)
    unlink = staticmethod(os.unlink)
    mkdir = staticmethod(os.mkdir)
    rmdir = staticmethod(os.rmdir)
    flock = staticmethod(fcntl.flock)

    @staticmethod
    def fsync(descriptor: int) -> None:
        """Wait for the disk itself; on macOS fsync alone stops at the drive's cache."""
        if hasattr(fcntl, "F_FULLFSYNC"):
            with contextlib.suppress(OSError):  # not every file system knows it
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
                return
        os.fsync(descriptor)


system = System()
"""the object through which every function of this module makes its system calls"""


_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symbolic link"}


def is_url(path: PathLike) -> bool:
    """Return True if a path is a URL, which users may give instead of a file."""
    return re.match("[a-z][a-z0-9+.-]+://", os.fspath(path), re.IGNORECASE) is not None


def lstat(path: PathLike) -> os.stat_result:
    """Return size, times and owner of what is at `path` itself; raises FileNotFoundError, FileError."""
    with reading_errors(path):
        return system.lstat(path)


def kind(path: PathLike) -> str | None:
    """Return `file`, `folder`, `symbolic link` or `pipe or device`, whichever is at `path`, or None."""
    try:
        return _KINDS.get(stat.S_IFMT(lstat(path).st_mode), "pipe or device")
    except FileNotFoundError:
        return None


def is_folder(path: PathLike) -> bool:
    """Return True if `path` is a folder or a symbolic link to one."""
    try:
        with reading_errors(path):
            return stat.S_ISDIR(system.stat(path).st_mode)
    except (FileNotFoundError, WrongKindError):
        return False


def names(folder: PathLike) -> list[str]:
    """Return the names in a folder, sorted; raises FileNotFoundError if there is no such folder."""
    with reading_errors(folder):
        return sorted(system.listdir(folder))


def open_file(path: PathLike, flags: int) -> int:
    """Open a regular file, with O_NONBLOCK, because opening a pipe would wait for its other end."""
    descriptor = system.open(path, flags | os.O_NONBLOCK, 0o666)
    mode = system.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        system.close(descriptor)
        raise WrongKindError(path, "a folder" if stat.S_ISDIR(mode) else "a pipe or device")
    return descriptor


def open_reading(path: PathLike, *, follow: bool = True) -> int:
    """Open a file for reading; raises FileNotFoundError, WrongKindError, FileError."""
    with reading_errors(path):
        return open_file(path, os.O_RDONLY | (0 if follow else os.O_NOFOLLOW))


_MIN_READ = 2**16
"""bytes asked for at once, also of files that claim none"""


def read_pieces(path: PathLike, *, cap: int, size: int = 2**62, follow: bool = True) -> Iterator[bytes]:
    """Iterate over a file in pieces of about `size` bytes, up to `cap` bytes in all.

    Raises FileNotFoundError, WrongKindError (an IsADirectoryError: a folder, a pipe, a device, and with
    `follow=False` a symbolic link), TooLargeError (a FileError) beyond `cap` bytes, FileError.
    """
    descriptor = open_reading(path, follow=follow)
    try:
        with reading_errors(path):
            claimed, total = system.fstat(descriptor).st_size, 0
        # the size is a hint: files of /proc claim none, and one that is written meanwhile grows
        expected = max(claimed, _MIN_READ)
        while max(claimed, total) <= cap:
            with reading_errors(path):
                part = system.read(descriptor, min(expected, cap - total, size) + 1)
            if not part:
                return
            total += len(part)
            yield part
    finally:
        with reading_errors(path):
            system.close(descriptor)
    limit = f"{cap / 10**6:g} MB" if cap >= 10**5 else f"{cap} bytes"
    raise TooLargeError(os.fspath(path), f"is larger than {limit}", "expected a smaller file")


def read_bytes(path: PathLike, *, cap: int, follow: bool = True) -> bytes:
    """Return the contents of a file; raises as `read_pieces` does."""
    return b"".join(read_pieces(path, cap=cap, follow=follow))


def read_text(path: PathLike, *, cap: int, follow: bool = True) -> str:
    """Return the contents of a file as UTF-8; raises UnicodeDecodeError if it is not."""
    return read_bytes(path, cap=cap, follow=follow).decode()


def open_writing(path: PathLike) -> int:
    """Open a regular file for appending, created if missing; a symbolic link is refused."""
    with writing_errors(path):
        return open_file(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CREAT)


def append(descriptor: int, data: bytes, path: PathLike) -> None:
    """Write all of `data` at a file's end, in one write unless the system writes less."""
    with writing_errors(path):
        rest = memoryview(data)
        while rest:
            rest = rest[system.write(descriptor, rest) :]


def sync(descriptor: int, path: PathLike) -> None:
    """Wait until the disk holds what was written; some file systems report a full disk only here."""
    with writing_errors(path):
        system.fsync(descriptor)


def close(descriptor: int, path: PathLike) -> None:
    """Close a descriptor; network file systems may report a failed write here."""
    with writing_errors(path):
        system.close(descriptor)


def is_at(descriptor: int, path: PathLike) -> bool:
    """Return True if `path` still names the open file, False if it was removed or replaced."""
    try:
        with reading_errors(path):
            return os.path.samestat(system.fstat(descriptor), system.lstat(path))
    except FileNotFoundError:
        return False


def lock(descriptor: int, path: PathLike, *, shared: bool = False) -> bool:
    """Lock an open file without waiting; return False if another holds it. Locks end with their process."""
    try:
        with writing_errors(path, "locked"):
            system.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def locked_folder(folder: PathLike) -> Iterator[None]:
    """Hold a lock on a folder, after waiting for whoever holds it."""
    with writing_errors(folder, "locked"):
        descriptor = system.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with writing_errors(folder, "locked"):
            system.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        system.close(descriptor)


_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)


def sync_folder(folder: PathLike) -> None:
    """Make the names in a folder durable: without it a power loss may undo a rename."""
    folder = folder or "."
    with writing_errors(folder):
        descriptor = system.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            system.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot sync folders
                raise
        finally:
            system.close(descriptor)


def make_folder(path: PathLike, *, exclusive: bool = False) -> None:
    """Create a folder and its parents; with `exclusive`, raise FileExistsError if it exists."""
    path = os.fspath(path).rstrip("/") or "/"
    if not exclusive and is_folder(path):
        return
    above = os.path.dirname(path)
    if above:
        make_folder(above)
    try:
        with writing_errors(path, "created"):
            system.mkdir(path)
    except FileExistsError as error:
        if exclusive:
            raise
        if not is_folder(path):  # another process may have made it meanwhile
            raise _file_error(error, path, "created") from error
    sync_folder(above)


def make_private(path: PathLike) -> bool:
    """Create a folder for this user alone, unless it exists; return True if nobody else can write to it."""
    with contextlib.suppress(OSError, FileError):
        make_folder(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            system.mkdir(path, 0o700)
        found = system.lstat(path)
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return False


def private_cache(name: str) -> str | None:
    """Return a folder of this user's caches that nobody else can write to, or None if there is none."""
    home = os.path.expanduser("~")
    user = os.path.join(home, "Library/Caches" if sys.platform == "darwin" else ".cache")
    temporary = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"mlprun-{os.geteuid()}")  # noqa: S108
    for folder in (os.path.join(os.environ.get("XDG_CACHE_HOME") or user, "mlprun"), temporary):
        path = os.path.join(folder, name)
        if os.path.isabs(path) and make_private(folder) and make_private(path):
            return path
    return None


def claim(prepared: PathLike, final: PathLike) -> None:
    """Rename a prepared folder to its final name; raises FileExistsError if that name is taken.

    The folder must not be empty: of two processes that claim one name, rename(2) refuses the second only
    because of the first one's contents.
    """
    if kind(final) is not None:  # an empty folder would be replaced without a word
        raise FileExistsError(errno.EEXIST, "is taken", final)
    with writing_errors(final, "created"):
        try:
            system.rename(prepared, final)
        except OSError as error:
            if error.errno in _TAKEN:
                raise FileExistsError(errno.EEXIST, "is taken", final) from error
            raise
    sync_folder(os.path.dirname(final))


def remove(path: PathLike) -> None:
    """Remove a file or an empty folder that mlprun made."""
    with writing_errors(path, "removed"):
        (system.rmdir if kind(path) == "folder" else system.unlink)(path)


def link_target(path: PathLike) -> str | None:
    """Return what a symbolic link names, as it is written there, or None if `path` is no such link."""
    try:
        return system.readlink(path) if kind(path) == "symbolic link" else None
    except OSError:  # it has just been removed
        return None


def point_link(path: PathLike, target: str) -> None:
    """Make `path` a symbolic link to `target`, in place of a link that is there.

    Where that is not possible, as on file systems without links, `path` names nothing afterwards.
    """
    temporary = os.path.join(os.path.dirname(path), f".mlprun-{os.urandom(8).hex()}.tmp")
    try:
        with _removed_on_failure(temporary):
            system.symlink(target, temporary)
            system.rename(temporary, path)
    except OSError:
        remove_link(path)


def remove_link(path: PathLike) -> None:
    """Remove a symbolic link, if there is one and it can be removed."""
    if kind(path) == "symbolic link":
        with contextlib.suppress(OSError):
            system.unlink(path)


_TEMPORARY = re.compile(r"\.mlprun-[0-9a-f]{16}\.tmp")
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def is_temporary(name: str) -> bool:
    """Return True for the name of an unfinished file of this module."""
    return _TEMPORARY.fullmatch(name) is not None


@contextlib.contextmanager
def _removed_on_failure(temporary: PathLike) -> Iterator[None]:
    """Remove a new file if an error makes it useless."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            system.unlink(temporary)
        raise


@contextlib.contextmanager
def _replacing(path: PathLike) -> Iterator[str]:
    """Yield the name of a temporary file beside `path` that replaces it at the end of the block."""
    temporary = os.path.join(os.path.dirname(path), f".mlprun-{os.urandom(8).hex()}.tmp")
    with _removed_on_failure(temporary):
        yield temporary
        with writing_errors(path):
            system.replace(temporary, path)


def _open_new(temporary: PathLike, path: PathLike, flags: int = os.O_WRONLY) -> int:
    with writing_errors(path):
        return system.open(temporary, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _create(temporary: PathLike, path: PathLike, pieces: Iterable[bytes]) -> None:
    """Create the file `temporary`, synced and closed, or leave nothing; messages name `path`."""
    descriptor = _open_new(temporary, path)
    with _removed_on_failure(temporary):
        try:
            for data in pieces:
                append(descriptor, data, path)
            sync(descriptor, path)
        finally:
            close(descriptor, path)


def _refuse_other_kinds(path: PathLike) -> None:
    """Refuse to replace a link or a device, which mlprun did not write."""
    present = kind(path)
    if present not in (None, "file"):
        raise _file_error(WrongKindError(path, f"a {present}"), path, "written")


def write_new(path: PathLike, data: bytes) -> None:
    """Create a file; raises FileExistsError if something is there already."""
    _create(path, path, (data,))
    sync_folder(os.path.dirname(path))


def write_atomic(path: PathLike, data: bytes, *, previous: PathLike | None = None) -> None:
    """Replace a file: after any fault it holds either all of the former bytes or all of the new ones.

    The former file is kept as `previous`, if given, so that one of the two is always whole. Raises FileError
    if anything but a file is at `path`, such as a symbolic link, or if the folder is missing.
    """
    _refuse_other_kinds(path)
    with _replacing(path) as temporary:
        _create(temporary, path, (data,))
        if previous is not None:
            _link_previous(path, previous)
    sync_folder(os.path.dirname(path))


def break_hard_link(path: PathLike) -> None:
    """Replace a file that has several hard links by a copy, so that writing to it changes no other path.

    `cp -al` makes such copies of folders. Does nothing for a file with one link and for a missing one.
    """
    if kind(path) == "file" and system.lstat(path).st_nlink > 1:
        with _replacing(path) as temporary:
            _create(temporary, path, _pieces(path))
        sync_folder(os.path.dirname(path))


def replace_locked(path: PathLike, data: bytes) -> int:
    """Replace a file by a new one that is already locked when it appears; return its descriptor."""
    with _replacing(path) as temporary:
        descriptor = _open_new(temporary, path, os.O_RDWR | os.O_APPEND)
        lock(descriptor, path)
        append(descriptor, data, path)
    return descriptor


def _pieces(path: PathLike) -> Iterator[bytes]:
    return read_pieces(path, cap=2**62, size=2**20, follow=False)


def _link_previous(path: PathLike, previous: PathLike) -> None:
    """Make `previous` a hard link to the file that is now at `path`, if there is one."""
    _refuse_other_kinds(previous)
    if kind(path) is None or (
        kind(previous) and os.path.samestat(system.lstat(path), system.lstat(previous))
    ):
        return  # replacing one link of a file by another of its links would leave the temporary behind
    with _replacing(previous) as temporary:
        try:
            system.link(path, temporary)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise _file_error(error, previous, "written") from error
            _create(temporary, previous, _pieces(path))


class Closeable(ABC):
    """A context that closes itself."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class OpenFile(Closeable):
    """A file that is appended to, created if missing."""

    def __init__(self, path: str) -> None:
        self.path, self._descriptor = path, open_writing(path)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor != -1:
            close(descriptor, self.path)

    def sync(self) -> None:
        """Wait until the disk holds what was written."""
        sync(self._descriptor, self.path)

    def _truncate(self, length: int) -> None:
        with writing_errors(self.path):
            system.ftruncate(self._descriptor, length)

    def _is_shared(self) -> bool:
        """Return True if the file has further hard links, as in a copy made with `cp -al`."""
        with writing_errors(self.path):
            return system.fstat(self._descriptor).st_nlink > 1


class AppendFile(OpenFile):
    """A file to append to that shares no hard link with another path, as copies made with `cp -al` do.

    The process must hold the lock of the run.
    """

    def __init__(self, path: str) -> None:
        break_hard_link(path)
        super().__init__(path)

    def _append(self, data: bytes) -> None:
        """Append to the file; when it was hard-linked since it was opened, to a copy that replaces it."""
        if self._is_shared():
            self.close()
            break_hard_link(self.path)
            self._descriptor = open_writing(self.path)
        append(self._descriptor, data, self.path)
