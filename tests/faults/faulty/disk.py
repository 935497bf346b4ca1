"""A disk that may lose what was not synced: it notes what a run does, and shows what a power loss leaves."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlprun import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Name = tuple[str, "File | Folder | None"]
Tree = dict[str, "bytes | Tree"]
"""what stands in a folder after the power came back"""


@dataclass(eq=False)
class File:
    """A file's bytes on the disk, and what was done since without a sync: (offset, data) or a new length."""

    durable: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)

    def content(self, upto: int | None = None) -> bytes:
        """The bytes with the first `upto` pending changes (by default all) done."""
        data = bytearray(self.durable)
        for change in self.pending[:upto]:
            if isinstance(change, int):
                del data[change:]
                data.extend(bytes(change - len(data)))
            else:
                offset, piece = change
                data[offset : offset + len(piece)] = piece
        return bytes(data)

    def after(self, fate: str) -> bytes:
        """What a power loss leaves: pending changes `kept`, `dropped`, `torn` in the middle, or `zeroed`."""
        whole = self.content()
        if fate == "kept" or not self.pending:
            return whole
        if fate == "dropped":
            return self.durable
        if fate == "zeroed":  # the length reached the disk, the bytes did not
            return self.durable[: len(whole)] + bytes(max(0, len(whole) - len(self.durable)))
        before, last = self.content(len(self.pending) - 1), self.pending[-1]
        if isinstance(last, int):
            return before
        offset, piece = last
        return before[:offset] + piece[: len(piece) // 2] + before[offset + len(piece) // 2 :]


@dataclass(eq=False)
class Folder:
    """A folder's names on the disk, and the changes since without a sync: each happens or does not."""

    durable: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[Name, ...]] = field(default_factory=list)

    def names(self, chosen: Callable[[int], bool] = lambda _: True) -> dict[str, File | Folder]:
        """The names with the chosen pending changes (by default all) done."""
        names = dict(self.durable)
        for index, change in enumerate(self.pending):
            if chosen(index):
                for name, what in change:
                    if what is None:
                        names.pop(name, None)
                    else:
                        names[name] = what
        return names


Step = tuple[Any, ...]
FATES = ("kept", "dropped", "torn", "zeroed")


class Recorder(files.System):
    """A system that does everything and notes what has to reach the disk; `acknowledge` notes promises."""

    def __init__(self, root: str, *, deaf_to: str = "") -> None:
        self.root, self.steps, self._deaf_to = root, [], deaf_to
        self._descriptors: dict[int, tuple[str, bool, list[int]]] = {}
        for name in ("open", "write", "close", "ftruncate", "fsync", "link", "replace", "rename", "unlink"):
            setattr(self, name, getattr(self, f"_{name}"))
        self.mkdir, self.rmdir = self._mkdir, self._rmdir  # type: ignore[method-assign]

    def acknowledge(self, epoch: int) -> None:
        """A checkpoint of this epoch has been promised to survive."""
        self.steps.append(("acknowledge", epoch))

    def _note(self, *step: Any) -> None:
        self.steps.append(step)

    def _path(self, path: Any) -> str:
        return os.path.relpath(os.path.abspath(path), self.root)

    def _open(self, path: str, flags: int, mode: int = 0o777) -> int:
        new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        descriptor = os.open(path, flags, mode)
        where = self._path(path)
        if not where.startswith(".."):
            self._descriptors[descriptor] = (where, bool(flags & os.O_APPEND), [0])
            if new:
                self._note("create", where)
        return descriptor

    def _write(self, descriptor: int, data: Any) -> int:
        end = os.fstat(descriptor).st_size
        count = os.write(descriptor, data)
        if descriptor in self._descriptors:
            where, appends, position = self._descriptors[descriptor]
            self._note("write", where, end if appends else position[0], bytes(data[:count]))
            position[0] += count
        return count

    def _close(self, descriptor: int) -> None:
        os.close(descriptor)
        self._descriptors.pop(descriptor, None)

    def _ftruncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)
        if descriptor in self._descriptors:
            self._note("truncate", self._descriptors[descriptor][0], length)

    def _fsync(self, descriptor: int) -> None:
        where = self._descriptors[descriptor][0]
        what = "folders" if os.path.isdir(os.path.join(self.root, where)) else os.path.basename(where)
        what = "files" if what.endswith(".tmp") else what
        if what != self._deaf_to:
            self._note("sync", where)

    def _link(self, source: str, target: str) -> None:
        os.link(source, target)
        self._note("link", self._path(source), self._path(target))

    def _replace(self, source: str, target: str) -> None:
        os.replace(source, target)
        self._note("rename", self._path(source), self._path(target))

    def _rename(self, source: str, target: str) -> None:
        os.rename(source, target)
        if os.path.islink(target):  # runs/latest, which nothing depends on
            return
        self._note("rename", self._path(source), self._path(target))
        for known, (where, *rest) in list(self._descriptors.items()):
            if where.startswith(f"{self._path(source)}/"):
                moved = where.replace(self._path(source), self._path(target), 1)
                self._descriptors[known] = (moved, *rest)

    def _unlink(self, path: str) -> None:
        os.unlink(path)
        self._note("unlink", self._path(path))

    def _rmdir(self, path: str) -> None:
        os.rmdir(path)
        self._note("unlink", self._path(path))

    def _mkdir(self, path: str, mode: int = 0o777) -> None:
        os.mkdir(path, mode)
        self._note("mkdir", self._path(path))


class Disk:
    """The disk below `root` as the steps leave it."""

    def __init__(self, start: Tree | None = None) -> None:
        self.root = _planted(start or {})
        self.acknowledged = -1

    def take(self, step: Step) -> None:
        """Do one recorded step."""
        kind, *rest = step
        if kind == "acknowledge":
            self.acknowledged = rest[0]
        elif kind in ("create", "mkdir"):
            folder, name = self._parent(rest[0])
            folder.pending.append(((name, File() if kind == "create" else Folder()),))
        elif kind == "write":
            self._file(rest[0]).pending.append((rest[1], rest[2]))
        elif kind == "truncate":
            self._file(rest[0]).pending.append(rest[1])
        elif kind == "sync":
            self._sync(self._find(rest[0]))
        elif kind == "unlink":
            folder, name = self._parent(rest[0])
            folder.pending.append(((name, None),))
        else:
            folder, name = self._parent(rest[0])
            target, new = self._parent(rest[1])
            assert folder is target, "a rename between folders is no single change"
            gone = ((name, None),) if kind == "rename" else ()
            folder.pending.append((*gone, (new, folder.names()[name])))

    def _sync(self, what: File | Folder) -> None:
        if isinstance(what, File):
            what.durable = what.content()
        else:
            what.durable = what.names()
        what.pending.clear()

    def _find(self, path: str) -> File | Folder:
        here: File | Folder = self.root
        for part in [] if path == "." else path.split("/"):
            assert isinstance(here, Folder)
            here = here.names()[part]
        return here

    def _file(self, path: str) -> File:
        found = self._find(path)
        assert isinstance(found, File)
        return found

    def _parent(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self._find(above or ".")
        assert isinstance(folder, Folder)
        return folder, name

    def losses(self, chance: random.Random, draws: int) -> Iterator[tuple[str, Tree]]:
        """What a power loss may leave now: all names or none with each fate of the bytes, and mixtures."""
        for fate in FATES:
            yield f"{fate}, names kept", _left(self.root, lambda _: True, lambda fate=fate: fate)
        yield "kept, names dropped", _left(self.root, lambda _: False, lambda: "kept")
        for _ in range(draws):
            yield "mixed", _left(self.root, lambda _: chance.random() < 0.5, lambda: chance.choice(FATES))


def _left(folder: Folder, chosen: Callable[[int], bool], fate: Callable[[], str]) -> Tree:
    found = sorted(folder.names(chosen).items())
    return {
        name: what.after(fate()) if isinstance(what, File) else _left(what, chosen, fate)
        for name, what in found
    }


def _planted(tree: Tree) -> Folder:
    return Folder(
        {name: File(what) if isinstance(what, bytes) else _planted(what) for name, what in tree.items()}
    )


def plant(tree: Tree, path: str) -> None:
    """Make the folder `path` hold just this."""
    os.makedirs(path)
    for name, what in tree.items():
        place = os.path.join(path, name)
        if isinstance(what, bytes):
            with open(place, "wb") as file:
                file.write(what)
        else:
            plant(what, place)


def harvest(path: str) -> Tree:
    """What a folder holds, apart from links."""
    tree: Tree = {}
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if entry.is_symlink():
            continue
        if entry.is_dir():
            tree[entry.name] = harvest(entry.path)
        else:
            with open(entry.path, "rb") as file:
                tree[entry.name] = file.read()
    return tree
