"""The one seam through which every file operation goes: a few functions over one object, `system`.

Tests swap `files.system` to record, kill, tear, drop or fill at each system call, so nothing else opens,
writes, renames or removes a file. What the system refuses becomes `FileError` (exit 7). When reading, two
things pass as themselves, because only the caller knows their exit code: `FileNotFoundError` and
`IsADirectoryError` (a `WrongKindError`: what stands there). When creating, `FileExistsError` passes.
"""

from __future__ import annotations

from mlprun.files.appending import (
    append,
    close,
    is_at,
    is_shared,
    lock,
    open_writing,
    sync,
    truncate,
)
from mlprun.files.calls import System
from mlprun.files.folders import claim, make_folder, make_private, remove, sync_folder
from mlprun.files.looking import is_folder, is_url, kind, names, owner, size, written_at
from mlprun.files.reading import open_reading, read_bytes, read_pieces, read_text
from mlprun.files.refusals import Place, TooLargeError, WrongKindError, failure, remedy
from mlprun.files.writing import is_temporary, link_previous, replace_locked, unshare, write_atomic, write_new

__all__ = [
    "Place",
    "System",
    "TooLargeError",
    "WrongKindError",
    "append",
    "claim",
    "close",
    "failure",
    "is_at",
    "is_folder",
    "is_shared",
    "is_temporary",
    "is_url",
    "kind",
    "link_previous",
    "lock",
    "make_folder",
    "make_private",
    "names",
    "open_reading",
    "open_writing",
    "owner",
    "read_bytes",
    "read_pieces",
    "read_text",
    "remedy",
    "remove",
    "replace_locked",
    "size",
    "sync",
    "sync_folder",
    "system",
    "truncate",
    "unshare",
    "write_atomic",
    "write_new",
    "written_at",
]

system = System()
"""what every function of this package calls; a test puts another in its place"""
