"""What a step costs as networks, rows and cohorts grow: measured in a given time, drawn as a picture."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlprun import engines
from mlprun.cli.measuring import PLAIN, Training, by_turns, threads
from mlprun.cli.plain import Plain
from mlprun.cli.workloads import EVERY, endless, moons, wide, workload
from mlprun.figures.cost import CostPanel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from matplotlib.figure import Figure

    from mlprun.cli.measuring import Runner
    from mlprun.experiment import Experiment

SECONDS = 45.0
"""of measuring; with what surrounds it the command takes about a minute"""
ROUNDS = 3
"""turns that are counted"""
FINDING = 1.5
"""turns more than are counted: what finding their length takes"""
GROWTH = 4.0
"""how much longer a turn is expected to take than at the size before"""
PATIENCE = 2.0
"""shares of the time that one curve's point may take; the curve ends where it would take more"""


@dataclass(frozen=True)
class Family:
    """Workloads of growing size: `members` gives the settings of the runs that are trained together."""

    heading: str
    axis: str
    sizes: tuple[int, ...]
    members: Callable[[int], list[dict[str, Any]]]
    clock: Callable[[], float] = time.thread_time


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


FAMILIES = (
    Family(
        "2-5-1, SGD, full batch",
        "rows",
        tuple(4**k for k in range(1, 7)),
        lambda rows: [moons(rows)],
    ),
    Family(
        "20-W-W-1, 32 rows, Adam",
        "width W",
        tuple(2**k for k in range(1, 9)),
        lambda units: [wide(units)],
    ),
    Family(
        f"2-5-1, 640 rows, {_cores()} cores",
        "runs together",
        tuple(4**k for k in range(6)),
        lambda runs: [moons(640, seed=seed) for seed in range(runs)],
        time.perf_counter,  # the work of several threads
    ),
)


def curves(families: Sequence[Family], seconds: float, say: Callable[[str], None]) -> list[CostPanel]:
    """Every family measured, in about so many seconds, of which each has its part."""
    with threads(1):
        return [_panel(family, seconds / len(families), say) for family in families]


def _panel(family: Family, seconds: float, say: Callable[[str], None]) -> CostPanel:
    end, points = time.monotonic() + seconds, len(family.sizes)
    longest = PATIENCE * seconds / points / (ROUNDS + FINDING)
    found: dict[str, list[float | None]] = {}
    late: set[str] = set()
    for place, size in enumerate(family.sizes):
        members = [endless(workload(settings)) for settings in family.members(size)]
        experiments, every = [experiment for experiment, _ in members], members[0][1]
        runners = _runners(experiments, every, late, say)
        share = max(0.0, end - time.monotonic()) / (points - place)
        costs = _seconds(runners, share, every, family.clock)
        for name in dict.fromkeys([*found, *costs]):
            told = 1e6 * costs[name] / len(members) if name in costs else None
            found.setdefault(name, [None] * place).append(told)
        late |= {name for name, cost in costs.items() if GROWTH * cost * every > longest}
    return CostPanel(family.heading, family.axis, family.sizes, found)


def _seconds(
    runners: Mapping[str, Runner], share: float, every: int, clock: Callable[[], float]
) -> dict[str, float]:
    """What an epoch of each runner takes, when all of them are measured in `share` seconds."""
    if not runners:
        return {}
    length = share / len(runners) / (ROUNDS + FINDING)
    turns = by_turns(runners, rounds=ROUNDS, seconds=length, unit=every, clock=clock)
    return {name: statistics.median(turn[name] for turn in turns) for name in runners}


def _runners(
    experiments: Sequence[Experiment], every: int, late: Collection[str], say: Callable[[str], None]
) -> dict[str, Runner]:
    """The plain loop, one run after another, and the engines that can train the runs together."""
    runners: dict[str, Runner] = {}
    if PLAIN not in late:
        runners[PLAIN] = _one_after_another([Plain(experiment, every) for experiment in experiments])
    for engine in engines.every():
        if engine.name not in late and engine.unsupported_reason(experiments[0]) is None:
            engine.warm_up(experiments[0], say)
            runners[engine.name] = Training(engine, experiments).train
    return runners


def _one_after_another(loops: Sequence[Plain]) -> Runner:
    def train(epochs: int) -> None:
        for loop in loops:
            loop.train(epochs)

    return train


def picture(panels: Sequence[CostPanel]) -> Figure:
    """The curves as a figure."""
    from mlprun.figures import canvas
    from mlprun.figures.cost import draw_costs

    details = (
        f"Medians of {ROUNDS} turns, float32, dev evaluated every {EVERY} steps; processor time of one core. "
        f"Runs together: wall time on {_cores()} cores."
    )
    return canvas.finished(draw_costs, panels, details)
