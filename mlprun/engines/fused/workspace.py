"""What a thread works with while it advances a run: nothing in it outlives the call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.fused import tables as t
from mlprun.engines.fused import updates

if TYPE_CHECKING:
    from mlprun.engines.fused.member import Member

HISTORY_ROWS = 4096
"""rows and improvements that a call of a kernel can leave; more end the call, and another follows"""
HISTORY_COLUMNS = 8


class Workspace:
    """Arrays for members of one layout and one number of train rows."""

    def __init__(self, member: Member) -> None:
        layout, dtype = member.layout, member.layout.dtype
        rows, fields = member.count, int(member.plan[t.FIELDS])
        self.zeros = np.zeros(layout.lanes, dtype)
        self.work = np.zeros(layout.work_size, dtype)
        self.gradient = np.zeros(layout.gradient_size, dtype)
        self.scalars = np.zeros(updates.COUNT)
        self.squares = np.zeros(member.outputs)
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
