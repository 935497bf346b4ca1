"""How much memory a table takes while it becomes rows: copies are of its numbers as float64."""

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

# not ru_maxrss, which a process inherits from the one that started it
PEAK = """
import sys
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
"""
LOAD = f"""{PEAK}
from mlprun.parts.datasets.table import Table
tiny, large = (Table(path=path, target="y") for path in sys.argv[1:])
tiny.load()
before = peak()
large.info()
data = large.load()
print((peak() - before) / data.inputs.nbytes)
"""
TRAIN = f"""{PEAK}
from mlprun.cli import main
assert main(["train", *sys.argv[1:], "-q"]) == 0
print(peak())
"""
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def written(folder, rows: int, kind: str) -> str:
    path = str(folder / f"{rows}.{kind}")
    values = np.random.default_rng(0).normal(size=(rows, 21))
    frame = pl.DataFrame(values, schema=[*(f"x{k}" for k in range(20)), "y"])
    frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    return path


def told(program: str, *arguments: str, folder) -> float:
    # one thread, as polars keeps buffers for each
    environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_read_without_more_than_three_copies_of_it(tmp_path, kind):
    paths = (written(tmp_path, rows, kind) for rows in (100, 120_000))
    assert told(LOAD, *paths, folder=tmp_path) < 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_million_rows_train_without_more_than_three_copies_of_them(tmp_path, kind, dtype):
    (tmp_path / "t.yaml").write_text(
        "dataset: {name: table, path: placeholder, target: y}\n"
        "optimizer: {name: adam, lr: 0.003}\n"
        f"training: {{epochs: 2, batch_size: 10000, dtype: {dtype}}}\n"
    )
    tiny, large = (
        told(TRAIN, "t.yaml", f"dataset.path={written(tmp_path, rows, kind)}", folder=tmp_path)
        for rows in (1000, 1_000_000)
    )
    assert large - tiny < 3 * 1_000_000 * 20 * 8
