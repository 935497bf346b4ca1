"""Limits on sizes: what a checkpoint may hold, and how much memory there is."""

from __future__ import annotations

import contextlib
import os
import re
from functools import cache

from mlprun import files
from mlprun.errors import FileError

MAX_BYTES = 2**30
"""of a checkpoint"""
MAX_TENSORS = 10_000
"""of a checkpoint"""
_CGROUPS = "/sys/fs/cgroup"


@cache
def memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its control group's limit."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    own = re.search("^0::/(.*)$", _read("/proc/self/cgroup"), re.MULTILINE)
    group = own[1].strip("/") if own else ""
    while True:  # every group above counts too; inside a container the path may be that of the host
        limit = _read(os.path.join(_CGROUPS, group, "memory.max")).strip()
        limits += [int(limit)] if limit.isdigit() else []
        if not group:
            break
        group = os.path.dirname(group)
    limit = _read(os.path.join(_CGROUPS, "memory", "memory.limit_in_bytes")).strip()  # version 1
    return min([*limits, *([int(limit)] if limit.isdigit() else [])])


def _read(path: str) -> str:
    with contextlib.suppress(OSError, ValueError, FileError):
        return files.read_text(path, cap=100_000)
    return ""
