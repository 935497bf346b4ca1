"""Who imports whom: the floors of the house, and that light commands stay light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "sklearn", "matplotlib", "scipy", "polars")
PROBE = f"""
import json, sys
sys.argv = ["mlprun", *json.loads(sys.argv[1])]
from mlprun.cli import main
try:
    code = main()
except SystemExit as end:
    code = end.code
loaded = [name for name in {HEAVY!r} if name in sys.modules]
sys.stderr.write(chr(10) + json.dumps([code or 0, loaded]))
"""


def loaded_by(*arguments: str, folder: Path) -> set[str]:
    """The heavy libraries that `mlprun ARGUMENTS` has imported when it ends (with exit code 0)."""
    command = [sys.executable, "-c", PROBE, json.dumps(arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(loaded)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("validate", "--help"),
        ("train", "--help"),
        ("eval", "--help"),
        ("schema",),
        ("list",),
        ("list", "datasets"),
        ("list", "datasets", "moons"),
        ("list", "optimizers", "adam"),
        ("ls",),
    ],
    ids=" ".join,
)
def test_a_light_command_loads_no_heavy_library(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert loaded_by(*arguments, folder=tmp_path) == set()


def test_validating_loads_polars_for_a_table_and_nothing_heavy_else() -> None:
    tables = sorted(str(path) for path in (ROOT / "configs").glob("table*.yaml"))
    others = sorted({str(path) for path in (ROOT / "configs").glob("*.yaml")} - set(tables))
    assert loaded_by("validate", *tables, folder=ROOT) == {"polars"}
    assert loaded_by("validate", "--allow-code", *others, folder=ROOT) == set()


def test_the_probe_sees_what_is_loaded(tmp_path: Path) -> None:
    """The control: a command that must load torch is found to."""
    train = ("train", str(ROOT / "configs/xor.yaml"), "training.epochs=2", "--out", str(tmp_path), "-q")
    assert "torch" in loaded_by(*train, folder=ROOT)


def test_imports_run_strictly_downward() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
