"""What `engine: auto` goes by, measured: the constants of mlprun/engines/fused/support.py.

    python tests/benchmarks/auto_constants.py [--turns 5] [--widths 8 32 ...] [--rows 1 4 ...]

CPU times on one thread. First what a step of torch costs, by its parts, beside the constants; then, over
widths and rows of a batch, both engines' microseconds per step with what the constants say of them, and what
the fused engine takes as a ratio to torch: above 1.1 `auto` should choose torch.
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
WIDTHS, ROWS = (8, 32, 128, 512, 1024), (1, 4, 32, 256, 1024, 4096)
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
    """Print the start-up, the parts of a step, and the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--widths", type=int, nargs="*", default=WIDTHS)
    parser.add_argument("--rows", type=int, nargs="*", default=ROWS)
    arguments = parser.parse_args()
    turns = arguments.turns
    torch.set_num_threads(1)
    begins = [float(subprocess.check_output([sys.executable, "-c", START]).split()[-1]) for _ in range(turns)]
    print(f"start-up {statistics.median(begins):.2f} s (STARTUP {support.STARTUP})")
    parts(turns)
    heads = ("width", "rows", "torch µs", "said", "fused µs", "said", "fused/torch", "said")
    print(" ".join(f"{head:>11}" for head in heads))
    for width in arguments.widths:
        for rows in arguments.rows:
            experiment = made([width, width], rows)
            torch_said, fused_said = (1e6 * seconds for seconds in per_step(experiment))
            theirs, ours = measured(experiment, turns)
            cells = (theirs, torch_said, ours, fused_said, ours / theirs, fused_said / torch_said)
            print(f"{width:11} {rows:11}", " ".join(f"{cell:11.2f}" for cell in cells), flush=True)


def parts(turns: int) -> None:
    """Print what parts of a network add to a step of four rows, in microseconds, beside the constants."""
    adam = {"optimizer": {"name": "adam", "lr": 1e-4}}
    every = {"training": {"epochs": LONG, "log_every": 1000, "evaluate_every": 1}}
    plain = measured(made([8, 8], 4), turns)

    def added(constant: float, name: str, experiment: Experiment, count: int) -> None:
        torch_, fused = (
            (found - base) / count for found, base in zip(measured(experiment, turns), plain, strict=True)
        )
        print(f"{name:32} torch {torch_:7.1f} (said {1e6 * constant:.0f}), fused {fused:6.2f} µs", flush=True)

    print(f"a step of three linear layers: torch {plain[0]:.1f}, fused {plain[1]:.2f} µs")
    added(support.TORCH.layer, "a linear layer", made([8] * 6, 4), 4)
    added(support.TORCH.state, "an optimizer with a state", made([8, 8], 4, **adam), 1)
    added(support.TORCH.evaluation, "an evaluation of dev", made([8, 8], 4, dev=4, **every), 1)
    added(support.TORCH.norm, "a batch norm", made([8, 8], 4, norm="batch"), 2)
    added(support.TORCH.norm, "a layer norm", made([8, 8], 4, norm="layer"), 2)
    added(support.TORCH.dropout, "dropout of a layer", made([8, 8], 4, dropout=0.5), 2)
    for name, options in (("plain", {}), ("dropout", {"dropout": 0.5}), ("batch norm", {"norm": "batch"})):
        found = measured(made([128, 128], 1024, **options), turns)
        units = 256 * 1024 / 1000
        print(f"128, 128, 1024 rows, {name:11} ns per unit: {found[0] / units:.1f}, {found[1] / units:.1f}")


def made(hidden: list[int], rows: int, *, dev: int = 0, **changes: Any) -> Experiment:
    """Hidden layers on so many rows of eight features, full batches."""
    split = {"train": rows, "dev": dev, "test": 20}
    layers = {key: changes.pop(key) for key in ("norm", "dropout") if key in changes}
    config: dict[str, Any] = {
        "dataset": {"name": "regression", "features": 8, "informative": 4, "split": split},
        "architecture": {"hidden": hidden, "activation": "tanh", **layers},
        "optimizer": {"name": "sgd", "lr": 1e-4},
        "training": {"epochs": LONG, "log_every": 1000},
        **changes,
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
