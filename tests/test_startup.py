"""Commands for runs on the fused engine import none of the packages that take long."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlprun.parts.initial_parameters import matches_torch

CONFIGS = Path(__file__).parents[1] / "configs"
HEAVY = ("torch", "sklearn", "scipy", "numba", "matplotlib", "polars")
PROBE = """
import json, sys
from mlprun.cli import main
heavy = sys.argv[1].split(",")
for command in sys.argv[2:]:
    code = main(command.split())
    print(json.dumps([command, code, [name for name in heavy if name in sys.modules]]), file=sys.stderr)
"""
TRAIN = f"train {CONFIGS}/iris.yaml engine=fused training.epochs=20"
COMMANDS = (
    f"train {CONFIGS}/xor.yaml engine=fused training.epochs=20 --name run",
    TRAIN,
    f"{TRAIN} --dry-run",
    f"{TRAIN} metrics=[f1,log_loss]",
    f"{TRAIN} --seeds 3",
    "resume runs/run-001 --epochs 30",
    "reproduce runs/run-001",
    "eval runs/run-001",
    "predict runs/run-001 rows.csv",
    "show runs/run-001",
    "ls --sort dev_loss --where dataset=xor",
    "play --no-open",
    f"play {CONFIGS}/iris.yaml --no-open",
    "tag runs/run-001 first",
    "note runs/run-001 text",
    "eval runs/run-001 --data rows.csv",  # a table with labels, which polars reads
    "rm runs/run-001",
)


def modules_after(commands, folder, heavy=HEAVY):
    """For each command its exit code and the heavy packages that are loaded after it."""
    process = [sys.executable, "-c", PROBE, ",".join(heavy), *commands]
    environment = {**os.environ, "PYTHONPATH": str(CONFIGS.parent)}
    done = subprocess.run(process, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("[")]
    assert len(lines) == len(commands), done.stderr
    return lines


@pytest.mark.skipif(not matches_torch(), reason="initial weights are drawn by torch on this machine")
def test_runs_on_the_fused_engine_import_no_heavy_package(tmp_path):
    (tmp_path / "rows.csv").write_text("x1,x2,xor\n0.5,0.25,1\n1,0,0\n")
    (tmp_path / "first").mkdir()
    modules_after(COMMANDS[:1], tmp_path / "first")  # compiles the kernels, if need be
    expected = [
        [command, 0, ["polars"] * command.startswith(("eval runs/run-001 --data", "rm"))]
        for command in COMMANDS
    ]
    assert modules_after(COMMANDS, tmp_path) == expected


def test_commands_that_read_and_write_text_import_neither_numpy_nor_type_adapters(tmp_path):
    unneeded = ("threadpoolctl", "mlprun.api.runs", "mlprun.figures.figure", "mlprun.engines.scratch.tensor")
    heavy = (*HEAVY, *unneeded, "numpy._core", "typer._adapters", "importlib.metadata._meta")
    modules_after([f"{TRAIN} --name run"], tmp_path)
    validate = f"validate {CONFIGS}/moons.yaml {CONFIGS}/iris.yaml"
    commands = ["--help", "schema", "ls", validate, "list", "show runs/run-001"]
    assert modules_after(commands, tmp_path, heavy) == [[command, 0, []] for command in commands]
