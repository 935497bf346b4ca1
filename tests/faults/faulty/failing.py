"""Systems whose disk is full, or that fail once."""

from __future__ import annotations

import errno
import os
from typing import Any

from mlprun import files


class Small(files.System):
    """A system whose disk has room for so many bytes: a write does what it can, the next one nothing."""

    def __init__(self, room: int) -> None:
        self.room, self.written = room, 0
        self.sizes: list[int] = []

    def write(self, descriptor: int, data: Any) -> int:  # type: ignore[override]
        self.sizes.append(len(data))
        part = data[: max(0, self.room - self.written)]
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.written += len(part)
        return os.write(descriptor, part)


class Failing(files.System):
    """A system whose `nth` call of a kind fails once, and which counts them."""

    def __init__(self, name: str, nth: int, code: int) -> None:
        self.count, call = 0, getattr(files.System, name)

        def failing(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == nth:
                if name == "close":  # Linux closes the descriptor, whatever close says
                    call(*arguments)
                raise OSError(code, os.strerror(code))
            return call(*arguments, **options)

        setattr(self, name, failing)
