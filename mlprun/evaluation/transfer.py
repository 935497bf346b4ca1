"""Initial weights from a checkpoint of mlprun: are its columns, classes and rows those of the new run?"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from mlprun import config as reading
from mlprun import files, schema
from mlprun.errors import MlprunError, UsageError
from mlprun.experiment import Experiment, splits
from mlprun.experiment.preprocessing import Preprocessing
from mlprun.parts.initializers import File
from mlprun.parts.limits import MAX_BYTES
from mlprun.schema import with_format
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from mlprun.storage.checkpoints import Checkpoint

_NAMES = 10
"""columns or classes that a message names, at most"""


def checked(experiment: Experiment) -> Experiment:
    """The experiment, with a warning where test rows were train rows of the checkpoint that it starts from.

    Other safetensors files know no names and are not looked at. Raises UsageError for columns or classes with
    other names, or in another order, than the checkpoint's; CheckpointError for a damaged one.
    """
    init = getattr(experiment.config.architecture, "init", None)
    if not isinstance(init, File):
        return experiment
    path = init.path
    try:
        content = files.read_bytes(path, cap=MAX_BYTES)
    except (FileNotFoundError, files.WrongKindError, files.TooLargeError):
        return experiment  # told where it is read
    if not checkpoints.is_checkpoint(content):
        return experiment
    checkpoint = checkpoints.decode(content, path)
    then, now = Preprocessing.from_json(checkpoint.meta.get("preprocessing", {})), experiment.preprocessing
    _compare("columns", path, then.names, now.names, "list dataset.features in that order")
    classes = then.classes or ("",)
    _compare(
        "classes", path, then.classes or (), now.classes or (), f"set dataset.positive to {classes[-1]!r}"
    )
    count, rows = _trained_on(checkpoint, path, then, experiment)
    if not count:
        return experiment
    what = f"{count} of {rows} test rows were train rows of {path}"
    warning = f"{what}: figures of the test rows are better than those of new rows would be"
    return replace(experiment, warnings=(*experiment.warnings, warning))


def _compare(what: str, path: str, then: tuple[str, ...], now: tuple[str, ...], remedy: str) -> None:
    if then == now:
        return
    if sorted(then) != sorted(now):
        remedy = "rename them in the data, or start from a safetensors file with the tensors alone"
    was, are = (", ".join(names[:_NAMES]) or "none" for names in (then, now))
    problem = f"{path} was trained with {what} {was}, and this dataset has {are}"
    raise UsageError("architecture.init.path", problem, remedy)


def _trained_on(
    checkpoint: Checkpoint, path: str, then: Preprocessing, experiment: Experiment
) -> tuple[int, int]:
    """How many test rows, that are no train rows here, the checkpoint was trained on, and how many there are.

    None where the data of the checkpoint is gone.
    """
    dataset = experiment.config.dataset
    assert dataset.split is not None
    assert dataset.seed is not None
    try:
        document = reading.from_mapping(with_format(checkpoint.meta["config"]), os.path.dirname(path), path)
        former = Experiment.of(schema.parse(document, data=False), preprocessing=then)
        data = dataset.with_positive(dataset.load())
        indices = splits.divide(dataset.split, data, seed=dataset.seed)
        train, test = (former.prepare(data, places).inputs for places in (indices.train, indices.test))
    except (MlprunError, KeyError, TypeError):
        return 0, 0
    known = {row.tobytes() for row in former.fixed["train"].inputs} - {row.tobytes() for row in train}
    return sum(row.tobytes() in known for row in test), len(test)
