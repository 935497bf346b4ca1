"""What durable checkpoints cost: milliseconds an epoch when each is saved, the ratio at the default interval.

    python tests/benchmarks/checkpoint_cost.py [FOLDER]

FOLDER lies on the disk that is measured (by default the working folder). Runs without and with checkpoints
take turns, so that a slow spell of the machine meets both; medians and their ratio are printed. A plain
write and fsync of as many bytes shows what of it is the disk's own.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import mlprun.api as mlprun

CONFIG: dict[str, Any] = {
    "dataset": {"name": "moons", "noise": 0.2, "split": {"train": 640, "dev": 160, "test": 200}},
    "architecture": {"hidden": [5], "activation": "logistic"},
    "optimizer": {"name": "adam", "lr": 0.01},
}
STANDING = {**CONFIG, "optimizer": {"name": "adam", "lr": 1e-12}}
"""its dev loss does not improve, so that `best` is not written again"""
NEVER = {"seconds": 1e9}
ROUNDS = 7


class Stopwatch(mlprun.Callback):
    """A callback that times a training from its first epoch to its last report."""

    def on_train_start(self, run: Any) -> None:
        """The run folder stands."""
        self.began = self.last = time.perf_counter()

    def on_chunk_end(self, run: Any, chunk: Any) -> None:
        """A chunk is over and saved."""
        self.last = time.perf_counter()


def seconds(checkpoint: dict[str, Any], epochs: int, folder: str, base: dict[str, Any] = CONFIG) -> float:
    """How long the training of so many epochs takes."""
    watch = Stopwatch()
    config = {**base, "training": {"epochs": epochs}, "checkpoint": checkpoint}
    mlprun.train(config, out=tempfile.mkdtemp(dir=folder), callbacks=[watch])
    return watch.last - watch.began


def compared(
    checkpoint: dict[str, Any], epochs: int, folder: str, base: dict[str, Any] = CONFIG
) -> tuple[float, float]:
    """Medians of the seconds without and with checkpoints, measured by turns."""
    pairs = [
        (seconds(NEVER, epochs, folder, base), seconds(checkpoint, epochs, folder, base))
        for _ in range(ROUNDS)
    ]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def disk(folder: str, size: int = 8_000) -> float:
    """Milliseconds of a plain write and fsync of one small file."""
    path, times = Path(folder, "probe"), []
    for _ in range(50):
        began = time.perf_counter()
        with path.open("wb") as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def main(folder: str) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        seconds(NEVER, 50, place)
        print(f"plain write and fsync      {disk(place):8.3f} ms")
        # that every epoch ends a chunk of its own counts as well
        epochs = 200
        for what, base in (("last", STANDING), ("last and best", CONFIG)):
            without, every = compared({"epochs": 1}, epochs, place, base)
            cost = (every - without) / epochs * 1000
            print(f"{what:26} {cost:8.3f} ms an epoch (at most 2), of {every / epochs * 1000:.3f}")
        epochs = 4000
        without, default = compared({}, epochs, place)
        print(f"default interval           {default:8.3f} s against {without:.3f} s")
        print(f"ratio                      {default / without:8.3f} (at most 1.02)")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
