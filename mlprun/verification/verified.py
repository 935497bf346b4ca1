"""A config verified: followed by every engine that can run it, from the same weights, gradients checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.verification import slopes
from mlprun.verification.agreement import DEFINITION, STRAYED, Pair, apart, compare, largest
from mlprun.verification.courses import LOSSES, Course, cast, epochs_for, steps_of
from mlprun.verification.held import Held, hold
from mlprun.verification.rivals import open_rival
from mlprun.verification.start import DTYPES, Start

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.schema import Config
    from mlprun.verification.slopes import Check


@dataclass(frozen=True)
class Verification:
    """What came of it."""

    name: str
    """of the config"""
    dtype: str
    """the config's"""
    epochs: int
    steps: int
    asked: int
    """epochs that were to be compared: more than `epochs` where rounding grew too large on the way"""
    courses: tuple[Course, ...]
    refused: dict[str, str]
    """why engines cannot run the config, by engine"""
    pairs: tuple[Pair, ...]
    checks: tuple[Check, ...]
    held: Held | None = None
    """against something else, where that was asked for"""

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that ran it."""
        return tuple(dict.fromkeys(course.engine for course in self.courses))

    @property
    def alone(self) -> str | None:
        """The one engine that every pair out of bounds has a part in, where others agree; else None."""
        courses = {course.label: course.engine for course in self.courses}
        failing = [{courses[pair.one], courses[pair.other]} for pair in self.pairs if not pair.agrees]
        common = set.intersection(*failing) if failing else set()
        return common.pop() if len(common) == 1 and len(self.engines) > 2 else None

    @property
    def agrees(self) -> bool:
        """Whether every pair and every gradient keeps to its bounds."""
        return not self.problems

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not agree, in words."""
        found = [
            f"{pair.one} and {pair.other} differ in {name} by {difference.value:.3g}, "
            f"more than {difference.bound:.3g}"
            for pair in self.pairs
            for name, difference in pair.differences.items()
            if not difference.agrees
        ]
        found += [
            f"{check.engine} has {check.wrong} wrong of {check.checked} gradients, the worst at {check.where}"
            for check in self.checks
            if not check.agrees
        ]
        if self.held is not None and not self.held.agrees:
            held = self.held
            found.append(f"{held.rival.name} is another curve from epoch {held.first_epoch} on")
        return tuple(found)


def verify(
    config: Config,
    *,
    steps: int | None = None,
    coordinates: int = slopes.LIMIT,
    against: str | None = None,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Compare the engines over so many steps (by default 100, or 10 with kinks) and check their gradients.

    `against` names a run folder, a config or a CSV of losses that the config is held against, too.
    Raises UsageError, DataError, DeviceError as training does, and what reading the other one does.
    """
    start = Start.of(config)
    with devices.computing(start.config.training.threads, start.device):
        asked = epochs_for(start.experiments["float64"], steps)
        epochs, courses, refused = _courses(start, asked, say)
        gradients = {course.engine: course.gradient for course in courses if course.dtype == "float64"}
        exact = start.experiments["float64"]
        checks = slopes.check(exact, cast(start.state, "float64"), gradients, limit=coordinates)
        held = None
        if against is not None:
            rival = open_rival(against, epochs=epochs, allow_code=allow_code)
            held = hold(rival, exact, cast(start.state, "float64"), (courses[1], courses[0]))
    return Verification(
        config.name,
        config.training.dtype,
        epochs,
        epochs * steps_of(exact),
        asked,
        tuple(courses),
        refused,
        tuple(compare(courses)),
        tuple(checks),
        held,
    )


def _courses(
    start: Start, epochs: int, say: Callable[[str], None]
) -> tuple[int, list[Course], dict[str, str]]:
    """The courses of all engines in float64 and in the config's precision, the definition's in both first."""
    epochs, found = _while_rounding_only_grows(start, epochs)
    refused = {}
    for engine in engines.every():
        if engine.name == DEFINITION:
            continue
        reasons = {dtype: engine.unsupported_reason(start.experiments[dtype]) for dtype in DTYPES}
        if reasons["float64"] is not None:
            refused[engine.name] = reasons["float64"]
        for dtype in dict.fromkeys((start.config.training.dtype, "float64")):
            if reasons[dtype] is None:
                engine.warm_up(start.experiments[dtype], say)
                found.append(start.follow(engine, dtype, epochs))
    return epochs, found, refused


def _while_rounding_only_grows(start: Start, epochs: int) -> tuple[int, list[Course]]:
    """The definition in both precisions, over fewer epochs where its float32 strays: no bound holds there."""
    while True:
        rounded, exact = (start.definition(dtype, epochs) for dtype in DTYPES)
        if epochs == 1 or not _strays(rounded, exact):
            return epochs, [rounded, exact]
        epochs //= 2


def _strays(rounded: Course, exact: Course) -> bool:
    if rounded.stopped != exact.stopped:
        return True
    pairs = [({name: rounded.history[name]}, {name: exact.history[name]}) for name in LOSSES]
    pairs.append((dict(rounded.weights), dict(exact.weights)))
    return any(apart(near, reference) > STRAYED * largest(reference) for near, reference in pairs)
