"""What a thread works with while it advances a run: nothing in it outlives the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.fused import tables as t
from mlprun.engines.fused import updates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines.fused.member import Member

HISTORY_ROWS = 4096
"""rows and improvements that a call of a kernel can leave; more end the call, and another follows"""
HISTORY_COLUMNS = 8
LINE = 128
"""bytes that processors fetch together: two lines of cache"""


def apart(count: int, dtype: Any) -> NDArray[Any]:
    """Zeros that share no line of cache with other arrays, from which another thread would wrest it."""
    used = count * np.dtype(dtype).itemsize
    room = np.zeros(-(-used // LINE) * LINE + LINE, np.uint8)
    first = -room.ctypes.data % LINE
    return room[first : first + used].view(dtype)


class Workspace:
    """Arrays for members of one layout and one number of train rows."""

    def __init__(self, member: Member) -> None:
        layout, dtype = member.layout, member.layout.dtype
        rows, fields = member.count, int(member.plan[t.FIELDS])
        self.zeros = np.zeros(layout.lanes, dtype)
        self.work = apart(layout.work_size, dtype)
        self.gradient = apart(layout.gradient_size, dtype)
        self.scalars = apart(updates.COUNT, np.float64)
        self.squares = apart(member.outputs, np.float64)
        drawn = 0 if member.full or not member.config.training.shuffle else rows
        self.words = np.zeros(-(-drawn // 4) * 4, np.uint64)
        self.counts = np.zeros((1 << max(0, drawn - 1).bit_length()) + 1, np.int64)
        self.order = np.zeros(drawn, np.int64)
        blocks = 0 if member.full else -(-member.batch // layout.stride)
        self.batch = np.zeros((blocks * fields + layout.lanes) * layout.stride, dtype)
        self.history = np.zeros((HISTORY_ROWS, HISTORY_COLUMNS))
        self.improvements = np.zeros((HISTORY_ROWS, 3))
        outside = 0 if member.inside else max(rows, member.dev_count)
        self.kept = np.zeros(outside * member.outputs, dtype)

    @staticmethod
    def key(member: Member) -> tuple[Any, ...]:
        """Members with equal keys can share a workspace, one after another."""
        plan = member.plan
        shape = (member.layout, member.count, member.dev_count, member.batch, member.inside)
        return (*shape, int(plan[t.SHUFFLED]), int(plan[t.FIELDS]))
