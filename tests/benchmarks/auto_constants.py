"""What `engine: auto` goes by, measured: the constants of mlprun/engines/fused/support.py.

    python tests/benchmarks/auto_constants.py [--turns 5]

CPU times. A table of both engines' microseconds per step over widths and rows, with what the constants say of
them, shows where `auto` would choose the slower one and by how much.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from mlprun.api import load_config
from mlprun.engines.contract import never
from mlprun.engines.fused import FusedEngine, support
from mlprun.engines.torch import TorchEngine
from mlprun.experiment import Experiment

LONG = 10**9
WIDTHS, ROWS = (4, 64, 256, 512, 1024), (4, 32, 256, 2000)
START = """
import time
from mlprun import api
from mlprun.experiment import Experiment
from mlprun.engines.fused import FusedEngine
experiment = Experiment.of(api.load_config({"dataset": "xor"}))
engine = FusedEngine()
state = engine.initial_state(experiment)
began = time.process_time()
engine.warm_up(experiment, print)
engine.open([experiment], [state], device="cpu")
print(time.process_time() - began)
"""


def main() -> None:
    """Print the start-up and the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    turns = parser.parse_args().turns
    torch.set_num_threads(1)
    begins = [float(subprocess.check_output([sys.executable, "-c", START]).split()[-1]) for _ in range(turns)]
    print(f"start-up {statistics.median(begins):.2f} s (STARTUP {support.STARTUP})")
    heads = ("width", "rows", "torch µs", "said", "fused µs", "said", "torch/fused")
    print(" ".join(f"{head:>11}" for head in heads))
    for width in WIDTHS:
        for rows in ROWS:
            experiment = made(width, rows)
            torch_said, fused_said = (1e6 * seconds for seconds in per_step(experiment))
            theirs, ours = measured(experiment, turns)
            cells = (theirs, torch_said, ours, fused_said, theirs / ours)
            print(f"{width:11} {rows:11}", " ".join(f"{cell:11.2f}" for cell in cells), flush=True)


def made(width: int, rows: int) -> Experiment:
    """Two hidden layers of a width on so many rows of eight features, full batches."""
    dataset = {
        "name": "classification",
        "features": 8,
        "informative": 4,
        "split": {"train": rows, "dev": 0, "test": 20},
    }
    config: dict[str, Any] = {
        "dataset": dataset,
        "architecture": {"hidden": [width, width], "activation": "tanh"},
        "optimizer": {"name": "sgd", "lr": 1e-4},
        "training": {"epochs": LONG, "log_every": 1000},
    }
    return Experiment.of(load_config(config))


def per_step(experiment: Experiment) -> tuple[float, float]:
    """Seconds of a step of both engines as the constants say, without the start-up."""
    torch_seconds, fused_seconds = support.estimated_seconds(experiment)
    return torch_seconds / LONG, fused_seconds / LONG


def measured(experiment: Experiment, turns: int) -> tuple[float, float]:
    """Microseconds of a step of both engines: the least of so many turns of some 50 ms each."""
    least = []
    for engine in (TorchEngine(), FusedEngine()):
        cohort, done, steps, best = (
            engine.open([experiment], [engine.initial_state(experiment)], device="cpu"),
            0,
            1,
            1e9,
        )
        for _ in range(turns + 3):
            began = time.thread_time()
            engine.advance(cohort, [done + steps], never)
            took, done = time.thread_time() - began, done + steps
            best = min(best, took / steps)
            steps = max(1, int(0.05 / best))
        least.append(1e6 * best)
    return least[0], least[1]


if __name__ == "__main__":
    main()
