"""What the database of a sweep holds, entry by entry: the sweep itself, its settings, trials and rungs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

TrialStatus = Literal["pending", "finished", "early_stopping", "pruned", "diverged", "failed"]
Scale = Literal["linear", "log", "choice"]


@dataclass(frozen=True)
class Description:
    """What a sweep is, as everything that shows or draws it needs to know."""

    name: str
    parameters: tuple[str, ...]
    """dotted paths of what differs between settings, in the order of the sweep file"""
    figures: tuple[str, ...]
    """the columns of `figures`: loss and scalar metrics of each split that has rows, then those of `last_`"""
    scales: Mapping[str, Scale] = field(default_factory=dict)
    """of each parameter: `log` where the space is logarithmic, `choice` for what is no number"""
    objective: Mapping[str, Any] = field(default_factory=dict)
    """`metric` (a figure's name), `mode` (min or max), `aggregate` (mean, median or success)"""
    success: Mapping[str, Any] | None = None
    """`figure`, `operator` (one of >= <= > < ==), `number`, and `text`, as the sweep file has it"""
    folds: int | None = None
    history: tuple[str, ...] = ()
    """the columns of each trial's history, as in history.csv"""
    total: int = 0
    """trials that the sweep ends with"""
    definition: Mapping[str, Any] = field(default_factory=dict)
    """the sweep file's own words"""
    base: Mapping[str, Any] = field(default_factory=dict)
    """the complete config that settings are laid over"""
    paths: Mapping[str, list[Any]] = field(default_factory=dict)
    """of each parameter whose values hold paths: its list, in the words in which settings have them"""
    rows: Mapping[str, str] = field(default_factory=dict)
    """digests of the rows that trials had when the sweep was started, see `recorded`"""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One combination of parameter values; lists are Python lists, as in JSON."""

    id: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a sweep and, once it has ended, how it came out."""

    id: int
    setting: int
    seed: int
    fold: int | None = None
    cohort: int | None = None
    member: int | None = None
    status: TrialStatus = "pending"
    engine: str | None = None
    epochs: int | None = None
    best_epoch: int | None = None
    seconds: float | None = None
    error: str | None = None
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """by column; None is a figure that is not a number"""

    @property
    def has_figures(self) -> bool:
        """Whether it was trained to some end."""
        return bool(self.figures)


class Rung(NamedTuple):
    """How a setting stood at an epoch where a pruner looked at it."""

    setting: int
    epoch: int
    objective: float | None
    """what the sweep goes by, over the setting's trials; None where none of them has a finite figure"""
    promoted: bool
    """whether it went on"""
