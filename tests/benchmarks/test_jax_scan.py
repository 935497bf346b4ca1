"""The script that measures JAX computes what the engine computes, and is plain about JAX that is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("jax_scan.py")
WITHOUT_JAX = """
import runpy, sys
sys.modules["jax"] = None
sys.argv = [{script!r}, *{arguments!r}]
runpy.run_path({script!r}, run_name="__main__")
"""


def test_without_jax_a_line_says_what_to_install() -> None:
    code = WITHOUT_JAX.format(script=str(SCRIPT), arguments=["moons"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: jax: is not installed; pip install -e '.[jax]'\n"


def test_the_workloads_are_those_of_the_bench_command(script: Any) -> None:
    from mlprun.cli.measuring import WORKLOADS

    jax_scan = script("jax_scan")
    titles = [jax_scan.subjects(name)[0] for name in jax_scan.MUSTS if name != jax_scan.COHORT]
    assert titles == list(WORKLOADS)


@pytest.mark.parametrize("name", ["xor", "moons", "parity", "1000", "32", "cohort"])
def test_both_sides_come_to_the_same_losses(script: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax", reason="jax is an extra of its own")
    from mlprun.engines.fused import FusedEngine

    jax_scan = script("jax_scan")
    monkeypatch.setattr(jax_scan, "RUNS", 5)
    monkeypatch.setattr(jax_scan, "CHECKED", 200)
    _, experiments, every = jax_scan.subjects(name)
    sides = {
        jax_scan.FUSED: jax_scan.Fused(FusedEngine(), experiments),
        jax_scan.JAX: jax_scan.Scan(experiments, every),
        jax_scan.TRANSPOSED: jax_scan.Scan(experiments, every, transposed=True),
    }
    assert jax_scan.check(sides) < jax_scan.TOLERANCE
