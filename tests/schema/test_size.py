"""Networks and rows that are too large are refused from their shapes, before anything is allocated."""

import math

import pytest

import mlprun.api as mlprun
from mlprun.errors import ConfigError, UsageError
from mlprun.experiment import Experiment
from mlprun.parts.datasets.generated import Moons
from mlprun.parts.optimizers import optimizers
from mlprun.schema import checks
from mlprun.storage import checkpoints

MOONS = {
    "dataset": {"name": "moons", "split": {"train": 45, "dev": 20, "test": 15}},
    "training": {"epochs": 2},
}
MANY = 10**12
PARAMETERS = math.prod((20_000, 20_000)) + 20_000 * (2 + 1 + 1 + 1) + 1


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"architecture": {"hidden": [20_000, 20_000]}},
            f"architecture: the network has {PARAMETERS:,} param",
        ),
        ({"architecture": {"layers": [{"units": 10**9}]}}, "architecture: the network has 4,000,000,001 "),
        ({"architecture": {"name": "rnn", "hidden": 50_000}}, "architecture: the network has 2,500,200,001 "),
        (
            {
                "dataset": {"name": "sequences"},
                "architecture": {"embedding": {"vocabulary": 10**9, "dim": 4}},
                "loss": "cross_entropy",
            },
            "architecture: the network has 4,000,000,",
        ),
        (
            {"architecture": {"hidden": [2] * 1000, "norm": "batch"}},
            "architecture: .*would hold 30,0.. tensors",
        ),
        (
            {"optimizer": {"name": "lbfgs", "history_size": 10**6}, "training": {"epochs": MANY}},
            "optimizer: .*",
        ),
        (
            {"snapshots": list(range(1, 3001)), "training": {"epochs": 3000}},
            "architecture: .*or fewer snapshots",
        ),
        ({"dataset": {"name": "moons", "samples": MANY}}, f"dataset: {MANY:,} rows of 2 inputs need"),
        ({"dataset": {"name": "xor", "repeat": MANY}}, f"dataset: {4 * MANY:,} rows of 2 inputs need"),
        (
            {"dataset": {"name": "parity", "bits": MANY}, "architecture": {"name": "rnn"}},
            f"dataset: 1,000 rows of {MANY:,} inputs need",
        ),
        (
            {"dataset": {"name": "moons", "split": {"train": 640, "dev": {"fresh": MANY}}}},
            f"dataset: {MANY + 640:,} rows",
        ),
        (
            {
                "dataset": {"name": "moons", "samples": 10**7},
                "architecture": {"name": "rnn", "hidden": 5000},
                "training": {"dtype": "float64"},
            },
            "training.batch_size: a training step on 6,000,000 rows needs at least 447.0 GiB",
        ),
        (
            {
                "dataset": {"name": "moons", "samples": 10**7},
                "architecture": {"hidden": [5000]},
                "engine": "torch",
            },
            "training.batch_size: a training step on 6,000,000 rows needs at least 111.8 GiB",
        ),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_built(sections, message, monkeypatch, tmp_path):
    monkeypatch.setattr(checks, "available_memory", lambda: 2**36)
    monkeypatch.setattr(Moons, "load", lambda _: pytest.fail("rows were drawn"))
    monkeypatch.setattr(Experiment, "of", lambda *_: pytest.fail("an experiment was made"))
    with pytest.raises(ConfigError, match=message):
        mlprun.load_config({**MOONS, **sections})
    with pytest.raises(ConfigError, match=message):
        mlprun.train({**MOONS, **sections}, out=str(tmp_path))
    with pytest.raises(ConfigError, match=message):
        mlprun.sweep({"name": "s", "base": {**MOONS, **sections}, "seeds": 2}, out=str(tmp_path))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.threads=1000000000", "at most 1024"),
        ("optimizer={name: lbfgs, history_size: 100000000000}", "at most 1000000"),
        ("dataset.split={folds: 1000000000000, fold: 1}", "cannot be divided into 1000000000000 folds"),
    ],
)
def test_numbers_that_a_library_would_allocate_for_are_bounded(override, message):
    with pytest.raises(ConfigError, match=message):
        mlprun.load_config(MOONS, override)


def test_the_last_size_that_fits_is_trained(monkeypatch, tmp_path):
    # 2-3-1: 13 parameters in 4 tensors; the model, its first snapshot and 4 arrays of optimizer state
    config = {**MOONS, "architecture": {"hidden": [3]}}
    for tensors, size_, message in (
        (24, 312, None),
        (23, 312, "24 tensors"),
        (24, 311, "24 tensors and 0 MiB"),
    ):
        monkeypatch.setattr(checks, "MAX_TENSORS", tensors)
        monkeypatch.setattr(checks, "MAX_BYTES", size_)
        if message is None:
            mlprun.train(config, out=str(tmp_path))
        else:
            with pytest.raises(ConfigError, match=message):
                mlprun.load_config(config)


@pytest.mark.parametrize("name", [part.model_fields["name"].default for part in optimizers])
def test_no_checkpoint_is_larger_than_was_counted(name, monkeypatch, tmp_path):
    counted = []

    def counting(config, shapes, rows):
        weights = sum(map(math.prod, shapes.values()))
        steps = config.training.epochs * -(-rows // 15)
        tensors, numbers = config.optimizer.state_size(len(shapes), weights, steps)
        counted.append(
            (2 * (len(shapes) + len(config.architecture.buffers)) + tensors, 2 * weights + numbers)
        )

    monkeypatch.setattr(checks, "checkpoint_problem", counting)
    config = {
        **MOONS,
        "architecture": {"hidden": [40, 40], "norm": "batch"},
        "training": {"epochs": 3, "batch_size": 15},
        "optimizer": {"name": name},
    }
    if name == "sparseadam":
        config |= {"dataset": {"name": "sequences"}, "loss": "cross_entropy"}
        config["architecture"] = {"embedding": {"vocabulary": 5, "dim": 20}, "hidden": [20]}
    run = mlprun.train(config, out=str(tmp_path))
    found = checkpoints.read(f"{run.path}/last.safetensors").tensors
    tensors, numbers = counted[0]
    assert len(found) <= tensors
    large = [array for array in found.values() if array.size > 1]  # but for counts of steps
    assert sum(array.size for array in large) <= numbers + 100


def test_the_inputs_that_one_hot_encoding_adds_are_counted(monkeypatch, tmp_path):
    rows = "".join(f"{number},name{number},{number % 2}\n" for number in range(60))
    (tmp_path / "t.csv").write_text(f"x,name,y\n{rows}")
    config = {**MOONS, "dataset": {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y"}}
    monkeypatch.setattr(checks, "MAX_BYTES", 4 * 6 * 8 * 30)
    mlprun.load_config(config)
    with pytest.raises(UsageError, match=r"architecture: the network has \d+ parameters"):
        mlprun.train(config, out=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_the_memory_is_the_least_that_the_machine_and_control_groups_allow(monkeypatch):
    texts = {
        "/proc/self/cgroup": "1:x:/y\n0::/a/b\n",
        "/sys/fs/cgroup/a/b/memory.max": "max\n",
        "/sys/fs/cgroup/a/memory.max": "4096\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    monkeypatch.setattr(checks, "_read", lambda path: texts.get(path, ""))
    assert checks.available_memory.__wrapped__() == 4096
    monkeypatch.setattr(checks, "_read", lambda _: "")
    assert checks.available_memory.__wrapped__() > 2**20
