"""Files of the working directory and the environment change neither kernels nor pictures, and run nothing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numba
import pytest

import mlprun
from mlprun import isolation

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = {
    "cpu_name": "generic",
    "cpu_features": "",
    "opt": "1",
    "disable_jit": "1",
    "boundscheck": "1",
    "loop_vectorize": "0",
    "slp_vectorize": "1",
    "debuginfo": "1",
    "debug": "1",
    "cache_dir": ".",
}
CODE = ("CPU_NAME", "CPU_FEATURES", "OPT", "DISABLE_JIT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE")
CODE += ("DEBUGINFO_DEFAULT", "DUMP_LLVM", "CACHE_DIR", "ENABLE_AVX")
FILES = {
    "settings": json.dumps(SETTINGS),
    "a list": "- 1\n",
    "a number": "3\n",
    "a broken mapping": "a: [\n",
    "other types": "opt: {}\ncpu_name: [1]\n3: 4\n",
    "no text": "\xff\xfe",
    "a tag": "!!python/object/apply:os.system [touch canary]\n",
}


@pytest.fixture
def config_of_numba(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Imports Numba's configuration anew, as a process does that loads Numba here."""

    def load() -> Any:
        monkeypatch.delitem(sys.modules, "numba.core.config")
        return importlib.import_module("numba.core.config")

    for name in (*isolation.NUMBA_VARIABLES, "NUMBA_OPT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(numba.core, "config", numba.core.config)  # what the import changes comes back
    isolation.isolate_numba()
    return load


def values(config: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in CODE}


def test_numba_ignores_a_file_of_the_working_directory(
    config_of_numba: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = values(config_of_numba())
    assert undisturbed["OPT"] == 3
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(".numba_config.yaml").write_text(text, encoding="latin-1")
        config = config_of_numba()
        assert values(config) == undisturbed, name
        config.reload_config()  # as the compiler does
        assert values(config) == undisturbed, name
    # the control: without isolation the file counts
    Path(".numba_config.yaml").write_text(json.dumps(SETTINGS))
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if one is not isolation._finder])
    assert config_of_numba().CPU_NAME == "generic"


def test_numba_ignores_variables_that_are_not_recorded(
    config_of_numba: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = values(config_of_numba())
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"NUMBA_{name.upper()}", value)
    cache = os.path.abspath("kernels")  # of a user's own
    monkeypatch.setenv("NUMBA_CACHE_DIR", cache)
    monkeypatch.setenv("NUMBA_SLP_VECTORIZE", "what")  # no warning of it either
    monkeypatch.setenv("NUMBA_CPU_NAME", "haswell")
    monkeypatch.delenv("NUMBA_CPU_FEATURES")
    config = config_of_numba()
    assert values(config) == {**undisturbed, "CPU_NAME": "haswell", "CACHE_DIR": cache}
    monkeypatch.setenv("NUMBA_OPT", "0")
    config.reload_config()
    assert values(config) == {**undisturbed, "CPU_NAME": "haswell", "CACHE_DIR": cache}


def test_numba_that_was_loaded_before_gets_its_defaults(
    config_of_numba: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = values(config_of_numba())
    with monkeypatch.context() as patch:
        patch.setattr(sys, "meta_path", [one for one in sys.meta_path if one is not isolation._finder])
        patch.setenv("NUMBA_DISABLE_JIT", "1")
        config = config_of_numba()
        assert config.DISABLE_JIT == 1
        isolation.isolate_numba()
    assert values(config) == undisturbed


@pytest.mark.parametrize("features", ["avx2", "+avx2,,", "+avx2, -fma", "é"])
def test_a_command_ignores_values_that_numba_and_llvm_end_the_process_for(
    features: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CPU_FEATURES", features)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "0")
    isolation.isolate_command()
    assert os.environ.keys().isdisjoint({"NUMBA_CPU_FEATURES", "NUMBA_NUM_THREADS"})
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2,-avx512f")
    isolation.isolate_command()
    assert "NUMBA_CPU_FEATURES" in os.environ


DRAWN = """
import sys
from mlprun.cli import main
code = main(["plot", sys.argv[1], "--kind", "loss", "-q", "--out", "pictures"])
sys.exit(code or ("matplotlib.pyplot" in sys.modules))
"""
LOADED = """
from mlprun.cli import main
assert main(["--version"]) == 0
import matplotlib
matplotlib.get_cachedir()
"""


def test_pictures_depend_on_neither_the_folder_nor_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = mlprun.train({"dataset": "xor", "training": {"epochs": 1}}, out=str(tmp_path / "runs"))
    folder = tmp_path / "received"
    folder.mkdir()
    (folder / "matplotlibrc").write_text("axes.formatter.use_locale: True\nno colon\nx: 1\n\xff", "latin-1")
    monkeypatch.setenv("MATPLOTLIBRC", str(folder / "matplotlibrc"))
    monkeypatch.setenv("MPLBACKEND", "module://mine")

    def quiet(program: str, **variables: str) -> None:
        command = [sys.executable, "-c", program, run.path]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")

    quiet(DRAWN)
    quiet(LOADED, HOME="/proc/none", XDG_CACHE_HOME="/proc/none", XDG_CONFIG_HOME="/proc/none")
    assert mlprun.cli.main(["plot", run.path, "--kind", "loss", "-q", "--out", str(tmp_path / "ours")]) == 0
    assert (folder / "pictures/loss.png").read_bytes() == (tmp_path / "ours/loss.png").read_bytes()


def test_variables_of_libraries_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"SKLEARN_WORKING_MEMORY", "JOBLIB_MULTIPROCESSING", "TORCH_LOGS", "POLARS_FORCE_PKG"}
    for name in names:
        monkeypatch.setenv(name, "what")
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    isolation.isolate_command()
    assert not names & os.environ.keys()
    assert os.environ["POLARS_MAX_THREADS"] == "1"


def test_programs_are_not_looked_for_in_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join([".", "", "/usr/bin", "bin"]))
    isolation.isolate_command()
    assert os.environ["PATH"] == "/usr/bin"
    monkeypatch.setenv("PATH", ".")
    isolation.isolate_command()
    assert os.environ["PATH"] == os.defpath


WORKERS = """
import os
import subprocess
import sys
from contextlib import closing

if __name__ == "__main__":
    from mlprun.sweeps import executors
    executors.cores = lambda: 1
    with closing(executors.ProcessWorkers()) as processes:
        assert processes._pool.submit(os.getpid).result() != os.getpid()
    assert not os.path.exists("canary"), open("canary").read()
    # the control: other processes do import what is here
    subprocess.run([sys.executable, "-c", "import received"])
    assert os.path.exists("canary")
"""


def test_worker_processes_import_nothing_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "elsewhere/script.py"
    script.write_text(WORKERS)
    for name in (
        "multiprocessing",
        "socket",
        "selectors",
        "pickle",
        "torch",
        "numpy",
        "numba",
        "mlprun",
        "received",
    ):
        (tmp_path / f"{name}.py").write_text(f"open('canary', 'a').write('{name} ')\n")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
