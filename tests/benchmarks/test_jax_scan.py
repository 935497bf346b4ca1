"""The script that measures JAX computes what the engine computes, and is plain about JAX that is missing."""

from __future__ import annotations

import importlib.util
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


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location("jax_scan", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_jax_a_line_says_what_to_install() -> None:
    code = WITHOUT_JAX.format(script=str(SCRIPT), arguments=["moons"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: jax: is not installed; pip install -e '.[jax]'\n"


def test_the_workloads_are_those_of_the_bench_command(script: Any) -> None:
    from mlprun.commands.workloads import WORKLOADS

    titles = [script.subjects(name)[0] for name in script.MUSTS if name != script.COHORT]
    assert titles == list(WORKLOADS)


@pytest.mark.parametrize("name", ["xor", "moons", "parity", "1000", "32", "cohort"])
def test_both_sides_come_to_the_same_losses(script: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax", reason="jax is an extra of its own")
    from mlprun.commands import measuring
    from mlprun.engines.fused import FusedEngine

    monkeypatch.setattr(script, "RUNS", 5)
    monkeypatch.setattr(script, "CHECKED", 200)
    _, experiments, every = script.subjects(name)
    sides = {
        script.FUSED: measuring.Training(FusedEngine(), experiments),
        script.JAX: script.Scan(experiments, every),
        script.TRANSPOSED: script.Scan(experiments, every, transposed=True),
    }
    assert script.check(sides) < script.TOLERANCE
