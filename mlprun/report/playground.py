"""The playground: networks that train in the browser, from the snapshots of a run or on generated rows.

Python writes settings, rows, weights and history as JSON; everything else happens in the scripts of
mlprun/report/page/, which compute with the formulas of mlprun/engines/scratch.
"""

from __future__ import annotations

import base64
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.figures.chart import evenly_spaced
from mlprun.figures.curves import label_of
from mlprun.parts.activations import each
from mlprun.parts.architectures import Mlp
from mlprun.report.page import Section, element
from mlprun.schema import dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from mlprun.experiment import Experiment
    from mlprun.experiment.preprocessing import Preprocessing
    from mlprun.figures.run_data import RunData
    from mlprun.parts.activations import Activation
    from mlprun.schema import Config

SCRIPTS = (
    "data.js",
    "network.js",
    "training.js",
    "maps.js",
    "drawing.js",
    "files.js",
    "controls.js",
    "layout.js",
    "playground.js",
)
LOSSES = ("bce", "cross_entropy", "mse", "mae", "hinge")
OPTIMIZERS = ("sgd", "adam", "adamw")
"""what network.js can compute, by mlprun's names, beside all elementwise activations"""
MOST_ROWS = 2000
MOST_BYTES = 160_000
"""of rows, and of all snapshots together, before they become text"""
MOST_PARAMETERS = 20_000
MOST_HISTORY = 300
"""rows of the history that are drawn"""
_DEFAULT_OPTIONS = {
    "reduction": "mean",
    "scale": 1.0,
    "label_smoothing": 0.0,
    "class_weights": None,
}


def play_section(experiment: Experiment | None) -> Section:
    """The playground with the rows, the network and the training of a config, or with its own defaults.

    The network starts with weights of the browser, not with those that mlprun would draw.
    """
    title = "Train a network"
    if experiment is None:
        return _section(title, {}, "")
    reason = _reason(experiment.config, experiment.preprocessing)
    if reason is not None:
        return _unsupported(reason)
    splits = [split for split in ("train", "dev", "test") if experiment.has(split)]
    if experiment.config.dataset.split is not None and experiment.config.dataset.split.same:
        splits = splits[:1]
    values = _settings_and_rows(experiment, splits)
    return _section(title, values, _optimizer_note(experiment.config))


def playground_section(data: RunData) -> Section | None:
    """The network of a run: its snapshots to look through, from each of which training continues.

    None for a run without rows; one line with the reason where the browser lacks what the network uses.
    """
    if not data.splits:
        return None
    reason = _reason(data.config, data.preprocessing)
    if reason is not None:
        return _unsupported(reason)
    epochs, dtype = _chosen_epochs(data), data.config.training.dtype
    models = [_encoded(_parameters(data.snapshots[epoch]), dtype) for epoch in epochs]
    values = {
        **_settings_and_rows(data.experiment, data.splits),
        "name": data.name,
        "network": network_json(data, data.last),
        "history": _history(data, epochs),
        "snapshots": {"epochs": epochs, "type": dtype, "values": models},
    }
    return _section("Playground", values, _optimizer_note(data.config))


def network_json(data: RunData, epoch: int) -> dict[str, Any]:
    """The network after an epoch as `readNetwork` and `forwardPass` in network.js take it."""
    config, width, dtype = data.config, data.preprocessing.width, data.config.training.dtype
    parameters = {"type": dtype, "values": _encoded(_parameters(data.trained_at(epoch).calibrated), dtype)}
    return {"loss": config.loss.name, "layers": _layers(config, width), "parameters": parameters}


def unsupported_reason(config: Config, inputs: int) -> str | None:
    """What network.js lacks of a config's network and loss, as a sentence; None if nothing."""
    architecture, loss = config.architecture, config.loss
    if not isinstance(architecture, Mlp):
        return f"It has no networks of type {architecture.name}."
    if not architecture.is_built_in:
        return "It runs no code of yours, as that of an activation."
    if architecture.vocabulary is not None or config.dataset.embedded:
        return "It has no embeddings."
    layers = architecture.hidden_layers
    if any(layer.norm != "none" for layer in layers):
        return "It has no batch or layer norm."
    if architecture.residual:
        return "It has no residual connections."
    if any(len(each(layer.activation or ())) > 1 for layer in layers):
        return "It has no layers with several activations."
    output = architecture.output_activation
    if loss.activation is None and output is not None and not output.elementwise:
        return f"It has no {output.name} activation."
    options = loss.model_dump(exclude={"name"})
    if loss.name not in LOSSES:
        return f"It has no {loss.name} loss."
    if any(_DEFAULT_OPTIONS.get(name) != value for name, value in options.items()):
        return f"It has no {loss.name} loss with these options."
    count = sum(math.prod(shape) for shape in (architecture.shapes(inputs) or {}).values())
    if count > MOST_PARAMETERS:
        return f"The network has {count:,} parameters, and a page takes up to {MOST_PARAMETERS:,}."
    return None


def _reason(config: Config, preprocessing: Preprocessing) -> str | None:
    """Why the playground cannot continue a training, as a sentence; None if it can."""
    if preprocessing.multilabel:
        return "It has no multi-label classification."
    return unsupported_reason(config, preprocessing.width)


def _section(title: str, values: Mapping[str, Any], note: str) -> Section:
    shown, total = (sum(values["table"][name]) if values else 0 for name in ("counts", "totals"))
    if shown < total:
        note += f" {shown:,} of {total:,} rows, evenly spread, are in this page; losses below are theirs."
    content = (
        element("p", note.strip(), class_="soft") if note else None,
        element("div", element("p", "This needs JavaScript.", class_="soft"), class_="playground"),
    )
    return Section(
        title,
        element("div", *content),
        scripts=SCRIPTS,
        styles=("playground.css",),
        data={"playground": dict(values)},
        is_wide=True,
    )


def _unsupported(reason: str) -> Section:
    return Section("Playground", element("p", f"The playground does not run this network. {reason}"))


def _optimizer_note(config: Config) -> str:
    """What is said where the browser trains otherwise than the run did."""
    name = config.optimizer.name
    if name not in OPTIMIZERS or getattr(config.optimizer, "amsgrad", False):
        return f"Training continues with Adam, since the playground has no {name} with these options."
    if config.schedule.name != "constant":
        return "Training continues with a constant learning rate."
    if getattr(config.dataset, "weight", None) is not None:
        return "Training continues with rows of equal weight."
    return ""


def _settings_and_rows(experiment: Experiment, splits: Sequence[str]) -> dict[str, Any]:
    """The config as settings of the playground, and at most so many rows of each split."""
    config, preprocessing = experiment.config, experiment.preprocessing
    training, optimizer = config.training, config.optimizer.model_dump(exclude={"name", "lr"})
    name = (
        config.optimizer.name
        if not _optimizer_note(config).startswith("Training continues with Adam")
        else ""
    )
    assert isinstance(config.architecture, Mlp)
    hidden = config.architecture.hidden_layers
    settings = {
        "inputs": list(preprocessing.names),
        "hidden": [{"units": one.units, "activation": _activation(one.activation)} for one in hidden],
        "dropout": max((one.dropout or 0.0 for one in hidden), default=0.0),
        "loss": config.loss.name,
        "optimizer": name or "adam",
        "optimizerOptions": optimizer if name else {},
        "lr": config.optimizer.lr,
        "batch": training.batch_size,
        "l1": config.penalty.model_dump().get("l1", 0.0),
        "l2": config.penalty.model_dump().get("l2", 0.0),
        "seed": training.seed,
    }
    dataset = dump(config, "", defaults=False)["dataset"]
    if "path" in dataset:
        one = isinstance(dataset["path"], str)
        names = [os.path.basename(path) for path in ([dataset["path"]] if one else dataset["path"])]
        dataset["path"] = names[0] if one else names
    return {"name": config.name, "settings": settings, "config": dataset, "table": _rows(experiment, splits)}


def _rows(experiment: Experiment, splits: Sequence[str]) -> dict[str, Any]:
    """Rows as the network reads them; class ids, or numbers in training units, beside them."""
    preprocessing, dtype = experiment.preprocessing, experiment.config.training.dtype
    every = [experiment.rows(split, epoch=0) for split in splits]
    row_bytes = preprocessing.width * np.dtype(dtype).itemsize
    most = min(MOST_ROWS, MOST_BYTES // row_bytes)
    share = min(1.0, most / sum(map(len, every)))
    some = [rows.take(evenly_spaced(len(rows), max(1, int(share * len(rows))))) for rows in every]
    (means, scales), (target_means, target_scales) = preprocessing.input_units, preprocessing.target_units
    is_classes = preprocessing.classes is not None
    truth = np.concatenate([rows.truth if is_classes else rows.targets for rows in some])
    return {
        "names": list(preprocessing.names),
        "units": {"means": means.tolist(), "scales": scales.tolist()},
        "targetNames": list(preprocessing.target_labels),
        "targetUnits": {"means": target_means.tolist(), "scales": target_scales.tolist()},
        "classes": None if preprocessing.classes is None else list(preprocessing.classes),
        "splits": list(splits),
        "type": dtype,
        "values": _encoded(np.concatenate([rows.inputs for rows in some]), dtype),
        "truth": _encoded(truth, dtype),
        "counts": [len(rows) for rows in some],
        "totals": [len(rows) for rows in every],
    }


def _layers(config: Config, inputs: int) -> list[dict[str, Any]]:
    architecture = config.architecture
    assert isinstance(architecture, Mlp)
    hidden, last = architecture.hidden_layers, architecture.output_layer
    assert architecture.outputs is not None
    output = None if config.loss.activation is not None else architecture.output_activation
    widths = [inputs, *(layer.units for layer in hidden), architecture.outputs]
    activations = [*(_activation(layer.activation) for layer in hidden), _activation(output)]
    biases = [*(layer.bias for layer in hidden), last.bias]
    return [
        {"inputs": before, "units": after, "activation": activation, "hasBias": bool(bias)}
        for before, after, activation, bias in zip(widths, widths[1:], activations, biases, strict=False)
    ]


def _activation(activation: Activation | tuple[Activation, ...] | None) -> dict[str, Any]:
    """An activation by its first name, with its options."""
    parts = each(activation or ())
    return {**parts[0].model_dump(), "name": parts[0].names()[0]} if parts else {"name": "identity"}


def _chosen_epochs(data: RunData) -> list[int]:
    """The epochs of all snapshots, or evenly spread ones where the page would grow too large."""
    epochs = list(data.snapshots)
    size = sum(array.nbytes for array in data.snapshots[epochs[0]].values())
    return [epochs[k] for k in evenly_spaced(len(epochs), max(2, MOST_BYTES // size))]


def _history(data: RunData, epochs: Sequence[int]) -> dict[str, Any]:
    """Losses and metrics of some epochs, those of the snapshots among them."""
    logged = data.history.get("epoch", np.empty(0)).astype(np.int64)
    spread = np.zeros(len(logged), bool)
    spread[evenly_spaced(len(logged), MOST_HISTORY)] = True
    chosen = np.flatnonzero(spread | np.isin(logged, epochs))
    columns = {
        name: [None if math.isnan(value) else float(value) for value in np.asarray(column, float)[chosen]]
        for name, column in data.history.items()
        if name.startswith(("train_", "dev_")) and not name.endswith("_objective")
    }
    losses = {split: columns.pop(f"{split}_loss") for split in ("train", "dev") if f"{split}_loss" in columns}
    metrics = {f"{split} loss": values for split, values in losses.items()}
    metrics |= {
        f"{split} {label_of(metric)}": values
        for name, values in columns.items()
        for split, _, metric in [name.partition("_")]
    }
    return {"epochs": logged[chosen].tolist(), "losses": losses, "metrics": metrics}


def _parameters(model: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """All parameters one after the other, in the order of the layers, each weight before its bias."""

    def position(name: str) -> tuple[int, bool]:
        _, number, kind = name.split(".")
        return int(number), kind == "bias"

    return np.concatenate([model[name].ravel() for name in sorted(model, key=position)])


def _encoded(numbers: NDArray[Any], dtype: str) -> str:
    """Numbers as base64 of little-endian float32 or float64."""
    ordered = np.ascontiguousarray(numbers, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(ordered.tobytes()).decode()
