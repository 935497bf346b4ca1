"""Checkpoints: named arrays and JSON in one safetensors file with a checksum over every byte of it.

The metadata key `mlprun` holds canonical JSON that begins with the checksum, so that its 64 characters are at
a fixed position; the SHA-256 is that of the file with zeros there. A hash finds damage, not forgery. Nothing
is unpickled or mapped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlprun import files
from mlprun.errors import CheckpointError
from mlprun.parts import MAX_BYTES, MAX_TENSORS
from mlprun.storage import canonical

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 2
"""of the files that this version writes; 1, of mlprun 0.1, has preprocessing as a record per column"""
MAX_HEADER = 8_000_000
SNAPSHOTS = "snapshots"
"""the kind of a file of models of many epochs, whose arrays are named EPOCH.PARAMETER"""

_DTYPES = {"F32": "float32", "F64": "float64", "I64": "int64", "U8": "uint8", "BOOL": "bool"}
_STORED = {"f4", "f8", "i8", "u1", "b1"}
_START = b'{"__metadata__":{"mlprun":"{\\"checksum\\":\\"'
_CHECKSUM = slice(8 + len(_START), 8 + len(_START) + 64)
_ZEROS = "0" * 64
_FIRST_READ = 2**16
"""bytes in which most headers end"""
_RESTORE = "restore it from a copy or train again"
NEWER = "use the version of mlprun that wrote it, or a newer one"
_EXPECTED = "expected a checkpoint that mlprun wrote, such as best.safetensors in a run folder"
_FOREIGN = {
    b"PK\x03\x04": "is a zip archive, perhaps a PyTorch .pt file, which can run code when it is read",
    b"\x80": "is a pickle, perhaps a PyTorch .pt file, which can run code when it is read",
}


class Stored(NamedTuple):
    """An array as it lies in a file."""

    dtype: str
    shape: list[int]
    data: bytearray


class Tensors(Mapping[str, "NDArray[Any]"]):
    """The arrays of a file, each made when it is asked for: their types and shapes need no NumPy."""

    def __init__(self, stored: Mapping[str, Stored | NDArray[Any]]) -> None:
        self.stored = stored

    def __getitem__(self, name: str) -> NDArray[Any]:
        one = self.stored[name]
        return np.frombuffer(one.data, one.dtype).reshape(one.shape) if isinstance(one, Stored) else one

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run: arrays of float32, float64, int64, uint8 or bool by name, and `meta`, JSON."""

    tensors: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any]

    def under(self, prefix: str) -> Mapping[str, NDArray[Any]]:
        """Return the arrays whose names begin with `prefix`, by the rest of their names."""
        every = self.tensors.stored if isinstance(self.tensors, Tensors) else self.tensors
        found = ((name, one) for name, one in every.items() if name.startswith(prefix))
        return Tensors({name.removeprefix(prefix): one for name, one in found})

    def snapshots(self) -> dict[int, dict[str, NDArray[Any]]]:
        """Return the models kept of earlier epochs, by epoch. Raises ValueError for names without one."""
        models: dict[int, dict[str, NDArray[Any]]] = {}
        for name, array in self.under("" if self.meta.get("kind") == SNAPSHOTS else "snapshot.").items():
            epoch, _, parameter = name.partition(".")
            models.setdefault(int(epoch), {})[parameter] = array
        return dict(sorted(models.items()))


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the file of a checkpoint, equal for equal ones; raises CheckpointError if it is too large."""
    import safetensors.numpy  # here, since it brings numpy, which `ls` does without

    # safetensors writes an array's memory as it lies there, so a transposed view would come out scrambled
    tensors = {name: np.asarray(array, order="C") for name, array in checkpoint.tensors.items()}
    for name, array in tensors.items():
        kind = f"{array.dtype.kind}{array.dtype.itemsize}"  # `dtype.name` takes longer than all the rest
        if kind not in _STORED:
            raise TypeError(f"{name} is {array.dtype}, which checkpoints do not hold")
    record = {"checksum": _ZEROS, "meta": checkpoint.meta, "version": VERSION}
    data = safetensors.numpy.save(tensors, metadata={"mlprun": canonical.encode(record)})
    assert data[8 : _CHECKSUM.start] == _START, "safetensors no longer writes its metadata first"
    if problem := _too_large(data, len(tensors)):
        raise CheckpointError("this experiment", f"has a checkpoint that {problem}", "make it smaller")
    return data[: _CHECKSUM.start] + _checksum(data) + data[_CHECKSUM.stop :]


def decode(data: bytes, where: str) -> Checkpoint:
    """Return the checkpoint in a file's bytes; raises CheckpointError about `where` unless it is intact."""
    from safetensors import SafetensorError

    if problem := _foreign(data):
        raise CheckpointError(where, problem, _EXPECTED)
    if problem := _too_large(data):
        raise CheckpointError(where, f"is damaged: it {problem}", _RESTORE)
    if data[_CHECKSUM] != _checksum(data):
        raise CheckpointError(where, "is damaged: its contents do not match its checksum", _RESTORE)
    try:
        return _parsed(data, where)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        # only a file made on purpose gets here: its checksum is right, its contents are not
        raise CheckpointError(where, f"is not a checkpoint of mlprun: {error}", _EXPECTED) from error


def is_checkpoint(data: bytes) -> bool:
    """Return True if a file begins as mlprun's checkpoints do, damaged or not."""
    return data[8 : _CHECKSUM.start] == _START


def read(path: files.PathLike, *, follow: bool = True) -> Checkpoint:
    """Return the checkpoint at `path`; raises CheckpointError unless it is intact, or FileError."""
    return decode(read_bytes(path, follow=follow), str(path))


def read_bytes(path: files.PathLike, *, follow: bool = True) -> bytes:
    """Return the unchecked bytes of a checkpoint; missing or of the wrong kind is CheckpointError."""
    try:
        return files.read_bytes(path, cap=MAX_BYTES, follow=follow)
    except (FileNotFoundError, files.WrongKindError) as error:
        raise CheckpointError(str(path), str(error.strerror), _EXPECTED) from error
    except files.TooLargeError as error:
        raise CheckpointError(str(path), error.what, _EXPECTED) from error


def is_complete(path: files.PathLike) -> bool:
    """Return True if a file exists and is as long as its header says, which is quick however large it is.

    Only `read` finds changed bytes. Raises FileError for a file that cannot be read.
    """
    if files.kind(path) != "file":
        return False
    start, header = b"", MAX_HEADER
    for piece in files.read_pieces(path, cap=MAX_BYTES, size=_FIRST_READ, follow=False):
        start += piece
        header = int.from_bytes(start[:8], "little")
        if header > MAX_HEADER or len(start) >= 8 + header:
            break
    try:
        tensors = json.loads(start[8 : 8 + header])
        ends = [tensors[name]["data_offsets"][1] for name in tensors if name != "__metadata__"]
        return files.lstat(path).st_size == 8 + header + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return False


def _checksum(data: bytes) -> bytes:
    view = memoryview(data)
    digest = hashlib.sha256(view[: _CHECKSUM.start])
    digest.update(_ZEROS.encode())
    digest.update(view[_CHECKSUM.stop :])
    return digest.hexdigest().encode()


def _foreign(data: bytes) -> str | None:
    """Return what a file is that does not begin as checkpoints do; None for one that does."""
    if data[8 : _CHECKSUM.start] == _START and len(data) >= _CHECKSUM.stop:
        return None
    if data[8:9] == b"{":  # a safetensors file may begin with any byte, but its ninth opens the header
        return "is a safetensors file that mlprun did not write, or a damaged one"
    found = (what for magic, what in _FOREIGN.items() if data.startswith(magic))
    return next(found, "is not a safetensors file, or a damaged one")


def _too_large(data: bytes, tensors: int = 0) -> str | None:
    if len(data) > MAX_BYTES:
        return f"holds more than {MAX_BYTES >> 20} MiB"
    if tensors > MAX_TENSORS:
        return f"holds more than {MAX_TENSORS} tensors"
    header = int.from_bytes(data[:8], "little")
    return f"has a header of more than {MAX_HEADER // 10**6} MB" if header > MAX_HEADER else None


def _parsed(data: bytes, where: str) -> Checkpoint:
    from safetensors import deserialize

    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    record = canonical.decode(header.pop("__metadata__")["mlprun"])
    if record["version"] not in range(1, VERSION + 1):
        what = f"has format {record['version']!r}, and this mlprun reads formats 1 to {VERSION}"
        raise CheckpointError(where, what, NEWER)
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it holds more than {MAX_TENSORS} tensors")
    for name, tensor in header.items():
        if tensor["dtype"] not in _DTYPES:
            raise ValueError(f"{name!r} is {tensor['dtype']!r}")
    if not isinstance(record["meta"], dict):
        raise TypeError("its metadata is not a mapping")
    views = sorted(deserialize(data), key=lambda named: named[0])  # type: ignore[no-untyped-call]
    stored = {name: Stored(_DTYPES[one["dtype"]], one["shape"], one["data"]) for name, one in views}
    return Checkpoint(Tensors(stored), record["meta"])
