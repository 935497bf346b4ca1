"""The digest of a sweep's database that has been closed for good: SQLite itself does not notice flipped bits.

It stands beside the database, `trials.sqlite.sha256`, in the form that `sha256sum -c` reads. Who changes the
database removes it first, and writes it anew when all is in one ordinary file.
"""

from __future__ import annotations

import hashlib
import os

from mlprun import files
from mlprun.errors import CheckpointError

_PIECE = 2**20
_MOST = 2**40
_LONGEST = 10_000


def put(database: str) -> None:
    """Write the digest of a database that nobody changes."""
    line = f"{_digest(database)}  {os.path.basename(database)}\n"
    files.write_atomic(_beside(database), line.encode())


def remove(database: str) -> None:
    """Let go of the digest, for good before the database changes; does nothing where there is none."""
    if files.kind(_beside(database)) == "file":
        files.remove(_beside(database))
        files.sync_folder(os.path.dirname(database))


def is_there(database: str) -> bool:
    """Whether a database was closed for good and not written to since."""
    return files.kind(_beside(database)) == "file"


def check(database: str) -> None:
    """Raise CheckpointError where a database is not as its digest says; one without a digest may change."""
    said = _said(database)
    while said is not None and _digest(database) != said:
        before, said = said, _said(database)
        if said == before:  # otherwise it was being written to
            what = f"is damaged: its bytes are not those that {os.path.basename(_beside(database))} is of"
            remedy = "restore it from a copy, or remove that file if you changed the database yourself"
            raise CheckpointError(database, what, remedy)


def _beside(database: str) -> str:
    return f"{database}.sha256"


def _said(database: str) -> str | None:
    try:
        data = files.read_bytes(_beside(database), cap=_LONGEST, follow=False)
    except FileNotFoundError:
        return None
    return data.decode("ascii", "replace").partition(" ")[0]


def _digest(database: str) -> str:
    digest = hashlib.sha256()
    for piece in files.read_pieces(database, cap=_MOST, size=_PIECE):
        digest.update(piece)
    return digest.hexdigest()
