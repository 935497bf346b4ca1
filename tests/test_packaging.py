"""The package as it is built, and the commands that README and CI give."""

from __future__ import annotations

import email
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mlprun
from mlprun.cli.app import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)

TESTED = ("dev", "onnx", "tensorboard", "mlflow")
"""the extras that CI installs"""


def commands() -> tuple[str, str]:
    """README's two commands, each as one line."""
    blocks = re.findall(r"^```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    main, tests = (" ".join(block.split()) for block in blocks[:2])
    return main, tests


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.iterdir()
    return zipfile.ZipFile(path)


def test_the_wheel_holds_every_module_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mlprun").rglob("*.py")}
    others = {
        f"mlprun/{folder}/{path.name}"
        for folder in ("report/page", "export/library")
        for path in (ROOT / "mlprun" / folder).iterdir()
    }
    assert packed == modules | others | {"mlprun/py.typed"}


def test_the_wheel_names_its_command_license_and_version(wheel: zipfile.ZipFile) -> None:
    folder = next(name for name in wheel.namelist() if name.endswith("/METADATA")).rpartition("/")[0]
    metadata = email.message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert metadata["Version"] == mlprun.__version__
    assert metadata["License-Expression"] == "MIT"
    assert wheel.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "mlprun = mlprun.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()


@pytest.mark.parametrize(
    "requirement",
    [*PROJECT["dependencies"], *(one for extra in TESTED for one in PROJECT["optional-dependencies"][extra])],
    ids=str,
)
def test_every_requirement_is_pinned_inside_its_range(requirement: str) -> None:
    wanted = Requirement(requirement)
    assert CONSTRAINTS[canonicalize_name(wanted.name)] in wanted.specifier


def test_constraints_are_exact_public_versions_in_order() -> None:
    assert list(CONSTRAINTS) == sorted(CONSTRAINTS)
    assert all(re.fullmatch(r"[0-9.]+(b[0-9]+|\.post[0-9]+)?", version) for version in CONSTRAINTS.values())


def test_readme_gives_both_commands_on_its_first_screen() -> None:
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    main, tests = commands()
    assert "mlprun train configs/moons.yaml" in main
    assert tests.endswith(".venv/bin/pytest")
    assert screen.count("```") >= 4


def test_readmes_config_is_the_first_config() -> None:
    shown, *_ = re.findall(r"^```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert yaml.safe_load(shown) == yaml.safe_load((ROOT / "configs/moons.yaml").read_text())


def test_readme_has_a_line_for_every_command() -> None:
    table = "".join(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `"))
    assert [name for name in COMMANDS if not re.search(rf"`(mlprun )?{name}\b", table)] == []


def test_ci_installs_and_tests_as_readme_says() -> None:
    script = (ROOT / ".ci/run").read_text()
    assert (ROOT / ".ci/run").stat().st_mode & stat.S_IXUSR
    create, install, run = commands()[1].split(" && ")
    assert create == "python3 -m venv .venv"
    assert f'"$venv/bin/pip" install -q {install.removeprefix(".venv/bin/pip install ")}\n' in script
    assert f'"$venv/{run.removeprefix(".venv/")}" --cov' in script
    assert all(f"install -q -c constraints.txt -e '.[{extra}]'\n" in script for extra in TESTED)


def test_readmes_main_command_works_repeatedly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    create, install, *steps = commands()[0].split(" && ")
    assert (create, install) == ("python3 -m venv .venv", ".venv/bin/pip install -c constraints.txt .")
    for number, step in enumerate([*steps, steps[0]]):
        code, out, err = call(*step.removeprefix(".venv/bin/mlprun ").split())
        assert code == 0, f"{step}: {err}"
        assert ("moons-002" if number == len(steps) else "moons-001") in out
    assert any((tmp_path / "runs/moons-001/plots").iterdir())


@pytest.mark.parametrize("place", ["/home/", "/opt/", "/Users/", "pypi.org", "pythonhosted", "file://"])
def test_shipped_files_name_no_machine(place: str) -> None:
    files = [
        ROOT / name for name in ("pyproject.toml", "constraints.txt", "README.md", ".ci/run", "CHANGELOG.md")
    ]
    files += [path for path in (ROOT / "configs").rglob("*") if path.is_file()]
    assert not [path for path in files if place in path.read_text()]
