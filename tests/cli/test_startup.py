import gc
import subprocess
import sys

from mlprun.cli.app import LazyModule, import_lazily, quick_imports

PROBE = """
import sys
from mlprun.cli.app import import_lazily
import_lazily("numpy")
import numpy as np
import numpy
assert "numpy.linalg" not in sys.modules
from importlib.util import find_spec
assert find_spec("numpy").origin
{use}
assert "numpy.linalg" in sys.modules
import numpy as real
assert type(real).__name__ == "module"
assert np.ndarray is real.ndarray
assert "ndarray" in vars(np)
"""


def probe(use):
    subprocess.run([sys.executable, "-c", PROBE.format(use=use)], check=True)


def test_a_postponed_module_is_imported_when_an_attribute_is_used():
    probe("assert np.arange(3).sum() == 3")


def test_a_postponed_module_is_imported_when_a_part_of_it_is():
    probe("import numpy.random; assert numpy.random.default_rng(0)")
    probe("from numpy.typing import NDArray")


def test_a_module_that_is_loaded_stays_as_it_is():
    import json

    import_lazily("json")
    assert sys.modules["json"] is json
    assert not isinstance(json, LazyModule)


def test_garbage_is_collected_again_after_the_imports():
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()


TRAINED = """
import sys
from mlprun.cli import main
assert main(["list"]) == 0
postponed = sys.modules["numpy"]
assert "numpy.linalg" not in sys.modules
assert main(["train", "own.yaml", "-q"]) == 0
import torch
assert torch.ones(2).numpy().sum() == 2 and postponed.float32(1) == 1
sys.exit("numba" in sys.modules)
"""


def test_a_run_uses_the_postponed_numpy_and_on_torch_does_not_load_numba(tmp_path):
    (tmp_path / "own.yaml").write_text("dataset: xor\nengine: torch\ntraining: {epochs: 1}\n")
    done = subprocess.run(
        [sys.executable, "-c", TRAINED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "engine torch" in done.stdout


LISTED = """
import sys
from mlprun.cli import main
assert main(["ls", "."]) == 0
sys.exit("mlprun.schema" in sys.modules or "mlprun.parts.datasets" in sys.modules)
"""


def test_ls_loads_no_parts_of_configs(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LISTED], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
