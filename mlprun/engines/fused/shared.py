"""Arrays that kernels read, made once for all runs of this process that have the same rows."""

from __future__ import annotations

import hashlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from mlprun.experiment import Rows


class Shared:
    """Arrays by the rows they were made of, for as long as these exist, and by their own content."""

    def __init__(self) -> None:
        self._of_rows: dict[int, dict[Hashable, NDArray[Any]]] = {}
        self._of_content: weakref.WeakValueDictionary[bytes, NDArray[Any]] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def once(self, rows: Rows, kind: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What `make` gives for these rows and this kind of array; rows of equal content share it."""
        known = self._of_rows.get(id(rows))
        if known is None:
            known = self._of_rows.setdefault(id(rows), {})
            weakref.finalize(rows, self._of_rows.pop, id(rows), None).atexit = False
        if kind not in known:
            made = make()
            key = hashlib.sha256(made.data).digest() + f"{made.dtype} {made.shape}".encode()
            with self._lock:
                known[kind] = self._of_content.setdefault(key, made)
        return known[kind]


SHARED = Shared()
