"""Every part of every registry is trained, saved, loaded, evaluated and resumed.

A config is made for each part from what the part says of itself (its info, class variables, required
options); a new part that needs something unknown here fails with a message that names it.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun.errors import UsageError
from mlprun.parts.activations import activations
from mlprun.parts.architectures import architectures
from mlprun.parts.datasets import datasets
from mlprun.parts.initializers import initializers, module_initializers
from mlprun.parts.losses import losses
from mlprun.parts.metrics import metrics
from mlprun.parts.optimizers import optimizers
from mlprun.parts.penalties import penalties
from mlprun.parts.schedules import schedules
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from mlprun.parts.datasets import DatasetInfo
    from mlprun.parts.part import Part

    Mapping = dict[str, Any]

SPLIT = {"train": 24, "dev": 12, "test": 12}
TWO_CLASSES = {"name": "moons", "split": SPLIT}
THREE_CLASSES = {"name": "blobs", "standardize": True, "split": SPLIT}
NUMBERS = {"name": "regression", "features": 3, "scale": "max", "split": SPLIT}
COUNTS = {"name": "inline", "inputs": [[0.5], [1.5], [-1.0]] * 4, "targets": [[1], [0], [3]] * 4}
SHARES = {
    "name": "inline",
    "inputs": [[0.5], [1.5], [-1.0]] * 4,
    "targets": [[0.2, 0.8], [0.5, 0.5], [1, 0]] * 4,
}
SYMBOLS = {"name": "sequences"}
EVERY_KIND = (TWO_CLASSES, THREE_CLASSES, NUMBERS, COUNTS, SHARES)

NEEDED: Mapping = {
    # datasets
    "inputs": [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]],
    "targets": [0, 1, 0],
    "means": [[0.0, 0.0], [2.0, 1.0]],
    "target": "kind",
    # initialisers
    "value": 0.1,
    "parameters": {"layers.0.weight": [[0.1, 0.2], [0.3, -0.4], [0.5, 0.6]]},
    # schedules
    "step_size": 2,
    "milestones": [1, 3],
    "gamma": 0.8,
    "t_0": 3,
}
"""what to give for an option that has no default, by the option's name"""


def named(part: type[Part], **options: Any) -> Mapping:
    """A part as a config names it, with every option that it requires."""
    required = [
        name for name, field in part.model_fields.items() if field.is_required() and name not in options
    ]
    unknown = [name for name in required if name not in NEEDED]
    if unknown:
        pytest.fail(f"{part.__name__} requires {', '.join(unknown)}: say in NEEDED what to give")
    return {"name": part.names()[0]} | {name: NEEDED[name] for name in required} | options


@cache
def _info_of(kind: int) -> DatasetInfo:
    return mlprun.load_config({"dataset": EVERY_KIND[kind], "loss": "mse"}).dataset.info()


def of_dataset(part: type[Part], folder: Path) -> Mapping:
    options: Mapping = {"samples": 40} if "samples" in part.model_fields else {}
    if "path" in part.model_fields:
        table = folder / "rows.csv"
        rows = "".join(f"{k},{k * k % 7},{'ab'[k % 3 % 2]},{'xyz'[k % 5 % 3]}\n" for k in range(40))
        table.write_text("first,second,letter,kind\n" + rows)
        options["path"] = str(table)
    dataset = named(part, **options)
    tokens = mlprun.load_config({"dataset": dataset}).dataset.info().tokens
    front = {} if tokens is None else {"embedding": {"vocabulary": tokens, "dim": 2}}
    return {"dataset": dataset, "architecture": {"hidden": [3], **front}}


def of_architecture(part: type[Part], folder: Path) -> Mapping:
    if "embedding" not in part.model_fields:
        return {"dataset": TWO_CLASSES, "architecture": named(part)}
    front = {"vocabulary": 5, "dim": 2, "activation": "tanh"}
    return {"dataset": SYMBOLS, "architecture": named(part, embedding=front)}


def of_activation(part: type[Part], folder: Path) -> Mapping:
    place = "activation" if part.elementwise else "output_activation"
    return {"dataset": THREE_CLASSES, "architecture": {"hidden": [3], place: named(part)}, "loss": "mse"}


def of_initializer(part: type[Part], folder: Path) -> Mapping:
    one = named(part)
    start = {"weight": one} if part(**one).needs_matrix else {"weight": one, "bias": one}
    return {"dataset": TWO_CLASSES, "architecture": {"hidden": [3], "init": start}}


def of_module_initializer(part: type[Part], folder: Path) -> Mapping:
    config: Mapping = {"dataset": TWO_CLASSES, "architecture": {"hidden": [3]}}
    options = {}
    if "path" in part.model_fields:
        earlier = mlprun.train(config, "training.epochs=2", out=str(folder / "earlier"))
        options["path"] = earlier.folder.last
    return config | {"architecture": {"hidden": [3], "init": named(part, **options)}}


def of_loss(part: type[Part], folder: Path) -> Mapping:
    for kind, dataset in enumerate(EVERY_KIND):
        info, loss = _info_of(kind), part(name=part.names()[0])
        targets = mlprun.load_config({"dataset": dataset, "loss": "mse"}).dataset.load().targets
        if (
            loss.unsupported_reason(info, loss.outputs(info)) is None
            and loss.unsupported_targets(targets) is None
        ):
            return {"dataset": dataset, "loss": named(part)}
    pytest.fail(f"{part.__name__} takes none of the datasets in EVERY_KIND: add one")


def of_penalty(part: type[Part], folder: Path) -> Mapping:
    return {"dataset": TWO_CLASSES, "penalty": {part.names()[0]: 1e-2}}


def of_optimizer(part: type[Part], folder: Path) -> Mapping:
    front = {"embedding": {"vocabulary": 5, "dim": 2}} if part.sparse else {}
    return {
        "dataset": SYMBOLS if part.sparse else TWO_CLASSES,
        "architecture": {"hidden": [3], **front},
        "optimizer": named(part),
    }


def of_schedule(part: type[Part], folder: Path) -> Mapping:
    return {"dataset": TWO_CLASSES, "schedule": named(part)}


def labels(folder: Path) -> Mapping:
    path = folder / "labels.csv"
    rows = "".join(f"{k},{k % 7},{k % 2},{k // 2 % 2}\n" for k in range(40))
    path.write_text("first,second,a,b\n" + rows)
    return {"name": "table", "path": str(path), "target": ["a", "b"], "task": "labels"}


def of_metric(part: type[Part], folder: Path) -> Mapping:
    datasets_by_kind = {
        "classes": TWO_CLASSES if part.two_classes_only else THREE_CLASSES,
        "labels": labels(folder),
        "numbers": NUMBERS,
        "quantiles": NUMBERS,
    }
    dataset = datasets_by_kind[part.target]
    loss = {"quantiles": {"loss": "quantile"}, "labels": {"loss": "bce"}}.get(part.target, {})
    best = {"best": {"metric": f"dev_{part.names()[0]}"}} if part.scalar else {}
    return {"dataset": dataset, "metrics": [named(part)], **best, **loss}


MAKERS = {
    "dataset": (datasets, of_dataset),
    "architecture": (architectures, of_architecture),
    "activation": (activations, of_activation),
    "initializer": (initializers, of_initializer),
    "module initializer": (module_initializers, of_module_initializer),
    "loss": (losses, of_loss),
    "penalty": (penalties, of_penalty),
    "optimizer": (optimizers, of_optimizer),
    "schedule": (schedules, of_schedule),
    "metric": (metrics, of_metric),
}
CASES = [
    pytest.param(part, make, id=f"{kind} {part.names()[0]}")
    for kind, (registry, make) in MAKERS.items()
    for part in registry
]
TRAINING = {"epochs": 4, "batch_size": 10, "seed": 3}


def complete(config: Mapping, dtype: str) -> Mapping:
    gentle = {"name": "sgd", "lr": 1e-3}  # whatever the units of outputs and targets, nothing diverges
    return {"name": "part", "optimizer": gentle, "training": {**TRAINING, "dtype": dtype}} | config


def tensors(path: str) -> dict[str, np.ndarray]:
    return dict(checkpoints.read(path).tensors)


def assert_equal_runs(one: mlprun.Run, other: mlprun.Run) -> None:
    assert Path(one.folder.history).read_bytes() == Path(other.folder.history).read_bytes()
    for path, twin in ((one.folder.last, other.folder.last), (one.folder.best, other.folder.best)):
        mine, theirs = tensors(path), tensors(twin)
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=name, strict=True)
    assert one.metrics == other.metrics


def assert_loaded_says_what_training_said(run: mlprun.Run) -> None:
    best, last = run.metrics["best"], run.metrics["last"]
    for path, said in ((run.folder.best, best), (run.folder.last, last)):
        loaded = mlprun.load_checkpoint(path)
        assert loaded.epoch == said["epoch"]
        np.testing.assert_equal(loaded.evaluate(), said["splits"])  # nan equals nan
        assert math.isfinite(said["splits"]["train"]["loss"])
    rows = run.rows("train")
    outputs = run.last.outputs(rows.inputs)
    assert outputs.shape == (len(rows), run.config.architecture.outputs)
    assert outputs.dtype == run.config.training.dtype


DTYPES = ("float32", "float64")
IN_A_DTYPE = [  # the state of optimizers is of the dtype; other parts take turns
    pytest.param(*case.values, dtype, id=f"{case.id}-{dtype}")
    for number, case in enumerate(CASES)
    for dtype in (DTYPES if "optimizer" in str(case.id) else (DTYPES[number % 2],))
]


@pytest.mark.parametrize(("part", "make", "dtype"), IN_A_DTYPE)
def test_a_part_is_trained_saved_loaded_evaluated_and_resumed(
    part: type[Part], make: Any, dtype: str, tmp_path: Path
) -> None:
    config = complete(make(part, tmp_path), dtype)
    straight = mlprun.train(config, out=str(tmp_path))
    assert straight.status.state == "finished"
    assert straight.history["epoch"].tolist() == [1, 2, 3, 4]
    assert_loaded_says_what_training_said(straight)
    halved = mlprun.train(config, "training.epochs=2", out=str(tmp_path))
    if straight.config.schedule.depends_on_total:
        with pytest.raises(UsageError, match="depends on the number of epochs"):
            mlprun.resume(halved.path, epochs=4)
    else:
        assert_equal_runs(mlprun.resume(halved.path, epochs=4), straight)


def test_every_name_of_a_part_is_trained_alike(tmp_path: Path) -> None:
    """Aliases such as silu for swish."""
    aliases = [(part, alias) for part in activations for alias in part.names()[1:]]
    assert aliases
    for part, alias in aliases:
        config = complete(of_activation(part, tmp_path), "float32")
        one = mlprun.train(config, "training.epochs=1", out=str(tmp_path))
        other = mlprun.train(
            config, "training.epochs=1", f"architecture.activation={alias}", out=str(tmp_path)
        )
        assert one.history["train_loss"] == other.history["train_loss"]


def test_a_part_that_needs_something_unknown_is_a_failure_with_its_name() -> None:
    from pydantic import Field

    from mlprun.parts.schedules import EpochSchedule

    class Strange(EpochSchedule):
        name: str = "strange"
        moon_phase: int = Field(description="unheard of")

    with pytest.raises(pytest.fail.Exception, match="Strange requires moon_phase"):
        of_schedule(Strange, Path())


DEVICES = ("cpu", "cuda", "cuda:0")
ON_DEVICES = [  # one part of a kind on the CPU too: there moving a run changes nothing but its device
    pytest.param(
        part,
        make,
        device,
        marks=() if device == "cpu" else pytest.mark.cuda,
        id=f"{kind} {part.names()[0]}-{device}",
    )
    for kind, (registry, make) in MAKERS.items()
    if kind in ("architecture", "loss", "optimizer")
    for number, part in enumerate(registry)
    for device in (DEVICES if number == 0 else DEVICES[1:])
]


@pytest.mark.parametrize(("part", "make", "device"), ON_DEVICES)
def test_a_part_trains_on_every_device_and_its_runs_move_between_them(
    part: type[Part], make: Any, device: str, tmp_path: Path
) -> None:
    config = complete(make(part, tmp_path), "float32")
    config["training"] = config["training"] | {"epochs": 50}
    here = mlprun.train(config, out=str(tmp_path / "here"))
    there = mlprun.train(config | {"device": device}, out=str(tmp_path / "there"))
    for name, curve in here.history.items():
        if name.endswith(("loss", "objective")):
            apart = np.abs(curve - there.history[name]) / np.maximum(1, np.abs(curve))
            assert apart.max() <= 1e-4, name
    loaded = mlprun.load_checkpoint(there.path)  # on the CPU
    for split, figures in loaded.evaluate().items():
        assert figures["loss"] == pytest.approx(there.metrics["best"]["splits"][split]["loss"], rel=1e-4)
    back = mlprun.resume(there.path, epochs=55, device="cpu")
    forth = mlprun.resume(here.path, epochs=55, device=device)
    assert back.status.epochs == forth.status.epochs == 55
    np.testing.assert_allclose(back.history["train_loss"], forth.history["train_loss"], rtol=1e-4, atol=1e-4)
