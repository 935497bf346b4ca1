"""Runs that are trained together: each on one thread at a time, as many at once as there are cores.

No run sees another: kernels share nothing but rows, which nobody writes. So a run's bytes are the same alone,
in any company and on any number of threads.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from mlprun.engines.fused.advance import advance
from mlprun.engines.fused.layout import Layout, layout_of
from mlprun.engines.fused.member import Member, Shared
from mlprun.engines.fused.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlprun.engines.contract import Advance, State, Watch
    from mlprun.experiment import Experiment

LOOK = 0.05
"""seconds between two looks at signals while threads work"""


class Cohort:
    """Open runs."""

    def __init__(self, experiments: Sequence[Experiment], states: Sequence[State]) -> None:
        from mlprun.engines.fused.lanes import width_of

        shared, layouts = Shared(), _Layouts()
        self.members = [
            Member(experiment, state, layouts.of(experiment, width_of(experiment.dtype)), shared)
            for experiment, state in zip(experiments, states, strict=True)
        ]
        self.threads = min(
            len(self.members),
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        )

    def advance(self, until: int, watch: Watch) -> list[Advance]:
        """Train all runs up to `until` epochs."""
        local = threading.local()

        def one(member: Member) -> Advance:
            spaces = local.__dict__.setdefault("spaces", {})
            key = Workspace.key(member)
            if key not in spaces:
                spaces[key] = Workspace(member)
            return advance(member, spaces[key], until, watch)

        if self.threads < 2:
            return [one(member) for member in self.members]
        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(one, self.members))


class _Layouts:
    """Layouts that runs of one architecture share."""

    def __init__(self) -> None:
        self._known: dict[bytes, Layout] = {}

    def of(self, experiment: Experiment, lanes: int) -> Layout:
        made = layout_of(experiment, lanes)
        parts = (made.layers, made.codes, made.options)
        key = b"".join(part.tobytes() for part in parts) + f"{made.dtype} {made.stride}".encode()
        return self._known.setdefault(key, made)
