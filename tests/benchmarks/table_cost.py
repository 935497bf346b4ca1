"""What reading and preparing a table costs, compared with polars reading the same file.

    python tests/benchmarks/table_cost.py [ROWS]

The file has 1,000,000 rows unless told otherwise, of 20 mixed columns: numbers, whole numbers, categories,
true and false, a price with a currency, a date and the target. A process of its own reads it each time.
Printed are the ratios of CPU seconds (other programs do not count, but the threads of polars do) and of
seconds of the clock, and the peak of memory in copies of the table as float64, beyond that of 100 rows.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

import numpy as np
import polars as pl

ROUNDS = 3
SETUP = """
import sys, time
from numpy import arange
import polars as pl
from mlprun.experiment.fitting import fit
from mlprun.parts.datasets.table import Table
tiny, large = sys.argv[1:]
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
def prepare(path):
    columns = {"price": {"as": "number", "strip": "$"}, "date": {"as": "date"}, "code": {"as": "category"}}
    data = Table(path=path, target="y", columns=columns).load()
    rows = arange(len(data.inputs))
    fitted = fit(data, rows, standardize=True)
    fitted.transform(data, rows, "float32"), fitted.transform_targets(data, rows)
"""
MEASURE = """
{call}(tiny)
before, clock, cpu = peak(), time.perf_counter(), time.process_time()
{call}(large)
print(time.perf_counter() - clock, time.process_time() - cpu, peak() - before)
"""


def written(path: str, rows: int) -> None:
    """Write the table."""
    draw = np.random.default_rng(0)
    texts = np.array(["north", "south", "east", "west", "centre", "harbour"])
    days = np.datetime64("2000-01-01") + draw.integers(0, 9000, rows)
    pl.DataFrame(
        {
            **{f"x{k}": draw.normal(size=rows).round(6) for k in range(8)},
            **{f"n{k}": draw.integers(0, 100_000, rows) for k in range(4)},
            **{f"c{k}": texts[draw.integers(0, 6, rows)] for k in range(3)},
            "flag": draw.integers(0, 2, rows) == 1,
            "price": [f"${price}" for price in draw.uniform(1, 1000, rows).round(2).tolist()],
            "date": days.astype(str),
            "code": draw.integers(1, 20, rows),
            "y": draw.normal(size=rows).round(6),
        }
    ).write_csv(path)


def measured(call: str, *paths: str) -> list[float]:
    """Seconds of the clock, CPU seconds and bytes of a process."""
    command = [sys.executable, "-c", SETUP + MEASURE.format(call=call), *paths]
    return [
        float(one)
        for one in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    ]


def main() -> None:
    """Measure by turns, and print the medians."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        paths = f"{folder}/tiny.csv", f"{folder}/large.csv"
        for path, count in zip(paths, (100, rows), strict=True):
            written(path, count)
        pairs = [(measured("pl.read_csv", *paths), measured("prepare", *paths)) for _ in range(ROUNDS)]
    by_polars, by_mlprun = (np.median([pair[k] for pair in pairs], axis=0) for k in (0, 1))
    for name, k in (("CPU seconds", 1), ("seconds", 0)):
        ratio = by_mlprun[k] / by_polars[k]
        print(f"{name:12} polars {by_polars[k]:.2f}, mlprun {by_mlprun[k]:.2f}: {ratio:.2f} times")
    copies = [one[2] / (rows * 20 * 8) for one in (by_polars, by_mlprun)]
    print(f"{'copies':12} polars {copies[0]:.2f}, mlprun {copies[1]:.2f}")


if __name__ == "__main__":
    main()
