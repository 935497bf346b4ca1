"""Trials put into cohorts, whose curves and weights share a file of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.sweeps.members import Members

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlprun.sweeps.checking import Kind
    from mlprun.sweeps.cost import Cost
    from mlprun.sweeps.members import Member

MOST_MEMBERS = 1000
MOST_BYTES = 2**26
"""of curves and weights in one cohort's file"""
MOST_SECONDS = 60.0
"""of training in one cohort, by published constants: trials are recorded by whole cohorts"""
MOST_TENSORS = 5000


def gather(trials: Iterable[tuple[Member, Kind, Cost]]) -> list[tuple[Members, Kind]]:
    """Every trial in one cohort of its kind, those that were open first before those opened later."""
    gathering: dict[Kind, _Gathering] = {}
    every: list[_Gathering] = []
    for member, kind, cost in trials:
        room = gathering.get(kind)
        if room is None or not room.has_room(cost):
            room = gathering[kind] = _Gathering(kind)
            every.append(room)
        room.add(member, cost)
    return [(one.members, one.kind) for one in every]


class _Gathering:
    """A cohort that is being filled."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.members = Members(kind.engine)
        self.seconds, self.bytes, self.tensors = 0.0, 0, dict[Any, int]()

    def has_room(self, cost: Cost) -> bool:
        return (
            len(self.members) < MOST_MEMBERS
            and self.bytes + cost.bytes <= MOST_BYTES
            and self.seconds + cost.seconds <= MOST_SECONDS
            and sum(self.tensors.values()) + cost.tensors <= MOST_TENSORS
        )

    def add(self, member: Member, cost: Cost) -> None:
        self.members.add(member)
        self.seconds += cost.seconds
        self.bytes += cost.bytes
        self.tensors[cost.form] = cost.tensors
