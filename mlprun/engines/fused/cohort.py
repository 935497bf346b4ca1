"""Runs that are trained together: each on one thread at a time, as many at once as there are cores.

No run sees another: kernels share nothing but rows, which nobody writes. So a run's bytes are the same alone,
in any company and on any number of threads.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mlprun.engines.contract import ChunkResult, RunFailure
from mlprun.engines.epoch_protocol import advance_run
from mlprun.engines.fused.advance import advance
from mlprun.engines.fused.layout import layout_of
from mlprun.engines.fused.member import Member
from mlprun.engines.fused.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.engines.contract import State, StopCondition
    from mlprun.experiment import Experiment

_LOCAL = threading.local()
MOST_WORKSPACES = 16
"""that a thread keeps"""
NEIGHBOURS = 16
"""runs that a thread takes at a time, at most"""


class Cohort:
    """Open runs."""

    def __init__(
        self, experiments: Sequence[Experiment], states: Sequence[State], threads: int | None = None
    ) -> None:
        from mlprun.engines.fused.lanes import width_of

        self.members = [
            Member(experiment, state, layout_of(experiment, width_of(experiment.dtype)))
            for experiment, state in zip(experiments, states, strict=True)
        ]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.threads = min(len(self.members), threads or cores)

    def advance(self, until: Sequence[int], stop: StopCondition) -> list[ChunkResult | RunFailure]:
        """Train each run up to its own number of epochs."""

        def one(member: Member, end: int) -> ChunkResult | RunFailure:
            if member.epoch >= end:
                return ChunkResult(member.epoch)
            return advance_run(lambda: advance(member, _workspace(member), end, stop))

        def some(pairs: Sequence[tuple[Member, int]]) -> list[ChunkResult | RunFailure]:
            return [one(member, end) for member, end in pairs]

        every = list(zip(self.members, until, strict=True))
        if self.threads < 2:
            return some(every)
        # small arrays of neighbours may share a line of cache, which two threads would wrest from each other
        size = max(1, min(NEIGHBOURS, len(self.members) // (4 * self.threads)))
        groups = [every[first : first + size] for first in range(0, len(every), size)]
        with ThreadPoolExecutor(self.threads) as pool:
            return [told for group in pool.map(some, groups) for told in group]


def _workspace(member: Member) -> Workspace:
    """This thread's arrays for runs like this one: cohorts of one run may come in thousands."""
    spaces: dict[Any, Workspace] = _LOCAL.__dict__.setdefault("spaces", {})
    key = Workspace.key(member)
    space = spaces.pop(key, None) or Workspace(member)
    if len(spaces) >= MOST_WORKSPACES:
        del spaces[next(iter(spaces))]
    spaces[key] = space  # the last to be forgotten
    return space
