"""What a sweep costs: beside plain PyTorch loops, above its own training, per trial, and in memory.

    python tests/benchmarks/sweep_cost.py [--seeds 1000] [--loops 20] [--long 1000] [--short 100000]
                                          [--drawn 100000]

Plain loops and sweeps take turns in one process, so that a slow spell of the machine meets both. Seconds on
the clock say what a user waits; seconds of the CPU say what is computed, whatever else the machine does. A
count of 0 leaves a part out.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import torch

import mlprun
from mlprun import schema
from mlprun.cli.measuring import PlainLoop
from mlprun.engines.fused import FusedEngine
from mlprun.experiment import Experiment
from mlprun.sweeps import definition
from mlprun.sweeps.executors import cores
from mlprun.sweeps.plan import Plan

MOONS = str(Path(__file__).parents[2] / "configs" / "moons_course.yaml")
EXACT = "dataset.arcs=exact"
TURNS = 4
LONG = ["training.epochs=30000", "training.log_every=100"]
DRAWN = {"optimizer.lr": {"log_uniform": [0.001, 1]}, "dataset.noise": {"uniform": [0, 0.5]}}
SHORT = ["training.epochs=5", "dataset.split={train: 64, dev: 16, test: 20}"]
trained = [0.0]
"""seconds of the CPU inside the engine"""


def watched(self: FusedEngine, *arguments: Any) -> Any:
    """`advance`, timed on its own thread."""
    began = time.thread_time()
    try:
        return advance(self, *arguments)
    finally:
        trained[0] += time.thread_time() - began


advance = FusedEngine.advance
FusedEngine.advance = watched  # type: ignore[method-assign]


class Took:
    """Seconds on the clock, of the CPU, and of the CPU inside the engine."""

    def __enter__(self) -> Self:
        self.wall, self.cpu, self.engine = time.perf_counter(), time.process_time(), trained[0]
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self.engine = trained[0] - self.engine


def sweep(seeds: int, *overrides: str) -> Took:
    """A sweep over so many seeds of moons, its folder thrown away."""
    with tempfile.TemporaryDirectory() as folder, Took() as took:
        mlprun.sweep({"base": MOONS, "seeds": seeds}, EXACT, "engine=fused", *overrides, out=folder)
    return took


def loop(seed: int) -> Took:
    """A plain PyTorch loop over moons with an evaluation of dev at each epoch."""
    with Took() as took:
        config = schema.load(MOONS, [EXACT, f"training.seed={seed}"])
        PlainLoop(Experiment.of(config), 1).train(config.training.epochs)
    return took


def beside_loops(seeds: int, loops: int) -> None:
    """1,000 seeds against 1,000 loops, of which a few are timed."""
    swept, plain = [], []
    for turn in range(TURNS):
        plain += [loop(turn * loops + k) for k in range(-(-loops // TURNS))]
        swept.append(sweep(seeds))
    one = statistics.median(took.wall for took in plain), statistics.median(took.cpu for took in plain)
    all_ = statistics.median(took.wall for took in swept), statistics.median(took.cpu for took in swept)
    print(f"plain loop: {one[0]:.3f} s, {one[1]:.3f} s of the CPU (median of {len(plain)})")
    print(
        f"sweep of {seeds}: {all_[0]:.2f} s, {all_[1]:.2f} s of the CPU (median of {TURNS}), {cores()} cores"
    )
    print(f"{seeds} loops one after another take {one[0] * seeds / all_[0]:.1f} times as long")
    print(f"and {one[1] * seeds / all_[1]:.1f} times as much of the CPU")


def above_training(trials: int) -> None:
    """What is not spent inside the engine, of trials of about a tenth of a second."""
    took = sweep(trials, *LONG)
    each = took.engine / trials
    print(f"{trials} trials of {each:.3f} s: {100 * (took.cpu / took.engine - 1):.1f}% above their training")


def short_ones(trials: int) -> None:
    """What a trial costs that trains next to nothing, and what all of them hold in memory."""
    sweep(trials // 10, *SHORT)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took = sweep(trials, *SHORT)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    own = (took.cpu - took.engine) / trials
    print(f"{trials} short trials: {1e3 * own:.3f} ms of the CPU each beside training")
    print(f"{took.wall:.1f} s on the clock; {more / 1024:.0f} MB more than a tenth of them take")


def drawn_ones(settings: int) -> None:
    """What it costs to look at settings that all differ, before any of them is trained."""
    peak = 0
    for count in (settings // 10, settings):
        words = {"base": MOONS, "random": DRAWN, "trials": count}
        before = peak
        with Took() as took:
            plan = Plan(definition.from_mapping(words, "", "drawn"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        del plan
    each = 1e3 * took.cpu / settings
    print(f"{settings} drawn settings: {each:.3f} ms of the CPU each to check and plan")
    print(f"{(peak - before) / 1024:.0f} MB more than a tenth of them take")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    for name, default in (
        ("seeds", 1000),
        ("loops", 20),
        ("long", 1000),
        ("short", 100_000),
        ("drawn", 100_000),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sweep(2)  # loads the kernels
    if asked.seeds and asked.loops:
        beside_loops(asked.seeds, asked.loops)
    if asked.long:
        above_training(asked.long)
    if asked.short:
        short_ones(asked.short)
    if asked.drawn:
        drawn_ones(asked.drawn)


if __name__ == "__main__":
    main()
