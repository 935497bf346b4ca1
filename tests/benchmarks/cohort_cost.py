"""What a cohort of moons runs costs: memory of the whole process, and the rate on one core and on all.

    python tests/benchmarks/cohort_cost.py [--runs 10000] [--epochs 1000] [--turns 3]

Every run has its own data (640, 160 and 200 rows), weights and learning rate; history is logged every 100
epochs and kept. The rate is measured by turns on a tenth of the runs: a busy machine slows both. Where
other programs take the cores, wall time says little, and CPU time what threads cost: what they add to it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from typing import Any

import torch

from mlprun.api import load_config
from mlprun.engines.contract import never
from mlprun.engines.fused import FusedEngine
from mlprun.experiment import Experiment

ENGINE = FusedEngine()
EVERY = 100


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, seconds = one_cohort(arguments.runs, arguments.epochs)
    each = 1e6 * seconds / arguments.runs
    print(
        f"{arguments.runs} runs of {arguments.epochs} epochs: {each:.0f} µs of CPU each, {rows} rows logged"
    )
    print(f"peak memory of the process: {peak() / 2**20:.0f} MB")
    turns = [compared(arguments.runs // 10, arguments.epochs) for _ in range(arguments.turns)]
    for name, index in (("wall", 0), ("CPU", 1)):
        ratio = statistics.median(one[index] / many[index] for one, many in turns)
        print(f"{name} time of one thread over that of {cores()}: {ratio:.2f} (median of {len(turns)} turns)")


def experiments(runs: int, epochs: int) -> list[Experiment]:
    """Runs that differ in data, weights and learning rate."""
    config = load_config(
        {
            "dataset": {"name": "moons", "noise": 0.2, "split": {"train": 640, "dev": 160, "test": 200}},
            "architecture": {"hidden": [5], "activation": "logistic"},
            "loss": "bce",
            "optimizer": {"name": "sgd", "lr": 0.2},
            "training": {"epochs": epochs, "evaluate_every": EVERY, "log_every": EVERY},
        }
    )

    def of(seed: int) -> Experiment:
        parts: dict[str, Any] = {
            "training": config.training.model_copy(update={"seed": seed}),
            "dataset": config.dataset.model_copy(update={"seed": seed}),
            "optimizer": config.optimizer.model_copy(update={"lr": 0.1 + 0.2 * seed / runs}),
        }
        return Experiment.of(config.model_copy(update=parts))

    return [of(seed) for seed in range(runs)]


def one_cohort(runs: int, epochs: int) -> tuple[int, float]:
    """All runs at once: how many rows of history they have left, and CPU seconds of the training."""
    many = experiments(runs, epochs)
    ENGINE.warm_up(many[0], print)
    cohort = ENGINE.open(many, [ENGINE.initial_state(one) for one in many], device="cpu")
    began = time.process_time()
    told = ENGINE.advance(cohort, [epochs] * len(many), never)
    return sum(len(advance.rows) for advance in told), time.process_time() - began


def compared(runs: int, epochs: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Wall and CPU seconds of a cohort on one thread and on all."""
    many = experiments(runs, epochs)
    starts = [ENGINE.initial_state(one) for one in many]

    def timed(threads: int) -> tuple[float, float]:
        cohort = ENGINE.open(many, starts, device="cpu")
        cohort.threads = threads
        wall, cpu = time.perf_counter(), time.process_time()
        ENGINE.advance(cohort, [epochs] * len(many), never)
        return time.perf_counter() - wall, time.process_time() - cpu

    return timed(1), timed(cores())


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak() -> int:
    """The most bytes of this process that were in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
