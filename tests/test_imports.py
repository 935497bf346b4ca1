"""Imports run strictly downward, and light commands load no heavy library."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlprun.parts import initial_parameters

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "sklearn", "matplotlib", "scipy", "polars", "numba", "llvmlite")
TABLES = sorted(str(path) for path in (ROOT / "configs").glob("table*.yaml"))
OTHERS = sorted({str(path) for path in (ROOT / "configs").glob("*.yaml")} - set(TABLES))
LIGHT = [
    ["--help"],
    ["--version"],
    ["validate", "--help"],
    ["train", "--help"],
    ["eval", "--help"],
    ["schema"],
    ["list"],
    ["list", "datasets"],
    ["list", "datasets", "moons"],
    ["list", "optimizers", "adam"],
    ["ls"],
    ["validate", "--allow-code", *OTHERS],
    ["show", "runs/moons-001"],
    ["compare", "runs/moons-001", "runs/prices-001"],
    ["sweep", "show", "runs/betas-001"],
]
CURVES = ["plot", "runs/moons-001", "--kind", "loss"]
WITH_A_TABLE = ["validate", *TABLES]
GENERATED = ("moons", "blobs", "circles", "spirals", "xor", "parity", "embedding_classes")
BUNDLED = ("iris", "digits", "wine", "breast_cancer", "diabetes")
LOAD = f"""
import sys
from mlprun import schema
for path in sys.argv[1:]:
    schema.load(path).dataset.load()
print([name for name in {HEAVY!r} if name in sys.modules])
"""

# Each command runs in a fork of a process that has loaded only light libraries.
PROBE = f"""
import json, os, sys
import pydantic, rich, typer
for command in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["mlprun", *command]
    from mlprun.cli import main
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    os.write(output, f"{{json.dumps([command, code or 0, loaded])}}\\n".encode())
    os._exit(0)
"""


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str]]]:
    """The exit code of each command and the heavy libraries that it has loaded when it ends."""
    folder = tmp_path_factory.mktemp("probe")
    shutil.copytree(ROOT / "tests" / "storage" / "old_runs", folder / "runs")
    command = [sys.executable, "-c", PROBE, json.dumps([*LIGHT, WITH_A_TABLE, CURVES])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found = map(json.loads, done.stdout.splitlines())
    return {json.dumps(command): (code, loaded) for command, code, loaded in found}


@pytest.mark.parametrize("arguments", LIGHT, ids=lambda arguments: " ".join(arguments[:3])[:40])
def test_a_light_command_loads_no_heavy_library(
    arguments: list[str], probed: dict[str, tuple[int, list[str]]]
) -> None:
    assert probed[json.dumps(arguments)] == (0, [])


def test_validating_a_table_loads_polars_alone(probed: dict[str, tuple[int, list[str]]]) -> None:
    assert probed[json.dumps(WITH_A_TABLE)] == (0, ["polars"])


def test_plotting_curves_loads_matplotlib_alone(probed: dict[str, tuple[int, list[str]]]) -> None:
    assert probed[json.dumps(CURVES)] == (0, ["matplotlib"])


def test_rows_are_loaded_without_heavy_libraries() -> None:
    if not initial_parameters.matches_torch():  # which the process below reads from the cache
        pytest.skip("moons are drawn by torch on this machine")
    paths = [str(ROOT / "configs" / f"{name}.yaml") for name in (*GENERATED, *BUNDLED)]
    done = subprocess.run([sys.executable, "-c", LOAD, *paths], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_imports_run_strictly_downward() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
