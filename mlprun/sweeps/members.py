"""The trials of a plan as its cohorts hold them: there may be a million, so that each takes 32 bytes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_NONE = -1
"""stands for no fold"""


class Member(NamedTuple):
    """A trial of the plan: its number and its setting's, all from 1, its seed, its fold, and its engine."""

    trial: int
    setting: int
    seed: int
    fold: int | None
    engine: str


class Members:
    """The trials of one cohort, which have one engine, in its order."""

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self._columns = tuple(array("q") for _ in range(4))

    def add(self, member: Member) -> None:
        """One more, of the same engine."""
        assert member.engine == self.engine
        trials, settings, seeds, folds = self._columns
        trials.append(member.trial)
        settings.append(member.setting)
        seeds.append(member.seed)
        folds.append(_NONE if member.fold is None else member.fold)

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[Member]:
        for trial, setting, seed, fold in zip(*self._columns, strict=True):
            yield Member(trial, setting, seed, None if fold == _NONE else fold, self.engine)

    def __getitem__(self, place: int) -> Member:
        trial, setting, seed, fold = (column[place] for column in self._columns)
        return Member(trial, setting, seed, None if fold == _NONE else fold, self.engine)
