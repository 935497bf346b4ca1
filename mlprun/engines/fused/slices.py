"""Calls of the kernels: a chunk of epochs in slices short enough to ask the stop flag in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.engines.fused import epochs
from mlprun.engines.fused import tables as t

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from mlprun.engines.fused.member import Member
    from mlprun.engines.fused.workspace import Workspace

SLICE_PRODUCTS = 100_000_000
"""multiplications of one call: some 20 ms, so that a stop is noticed soon"""
STEP_PRODUCTS = 1000
"""what a step of any network costs at least"""


def budget_of(member: Member) -> int:
    """Batches of one call: a function of the network's shape, though it changes no byte."""
    products = member.layout.products * max(16, member.batch)
    return max(1, SLICE_PRODUCTS // (STEP_PRODUCTS + products))


class Chunk:
    """What the slices so far have brought: rows as kernels write them, improvements, why it returned."""

    def __init__(self) -> None:
        self.rows: list[NDArray[np.float64]] = []
        self.improvements: list[NDArray[np.float64]] = []
        self.status = t.REACHED
        self.stopped = False

    def take(self, member: Member, space: Workspace) -> None:
        """Copy out what one call has left."""
        written, improved = member.cursor[t.ROWS_WRITTEN], member.cursor[t.IMPROVED]
        if written:
            self.rows.append(space.history[:written].copy())
        if improved:
            self.improvements.append(space.improvements[:improved].copy())

    def join(self, later: Chunk) -> None:
        """Add what a later chunk has brought."""
        self.rows += later.rows
        self.improvements += later.improvements


def run(member: Member, space: Workspace, until: int, stop: Callable[[], bool]) -> Chunk:
    """Train up to `until` epochs; a stop may leave an epoch half done (`cursor[BATCH_INDEX]` is not 0)."""
    chunk, first = Chunk(), member.epoch
    rates, budget = member.rates(first, until), budget_of(member)
    given = arguments(member, space, rates, first=first)
    while True:
        if stop():
            chunk.stopped = True
            return chunk
        chunk.status = int(epochs.train(*given, until, budget))
        chunk.take(member, space)
        if chunk.status != t.PAUSED:
            return chunk


def arguments(member: Member, space: Workspace, rates: NDArray[np.float64], *, first: int) -> tuple[Any, ...]:
    """What the kernel takes before `until` and `budget`; `rates` begin after `first` epochs."""
    layout = member.layout
    return (
        member.plan, member.numbers, layout.layers, layout.codes, layout.options, rates, first, member.rows,
        member.dev, member.shares, member.theta, member.slots, member.best, member.cursor, member.stands,
        space.zeros, space.work, space.gradient, space.scalars, space.squares, space.words, space.counts,
        space.order, space.batch, space.history, space.improvements, space.kept,
    )  # fmt: skip
