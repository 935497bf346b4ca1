"""The preprocessing in a checkpoint replayed from its JSON alone, without mlprun, gives the same inputs.

`replay` is what an export or another runtime would do, in plain Python and NumPy.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlprun

MISSING = ("", "?")


def preprocessing_of(path: str) -> Any:
    """The JSON in the header of a safetensors file."""
    content = Path(path).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header["__metadata__"]["mlprun"])["meta"]["preprocessing"]


def replay(columns: list[Any], operations: list[Any], rows: list[dict[str, str]]) -> np.ndarray:  # noqa: C901
    """[N, width] numbers from rows of texts."""
    table: dict[str, Any] = {}
    for column in columns:
        cells: list[Any] = [None if row[column["name"]] in MISSING else row[column["name"]] for row in rows]
        if column["type"] == "date":
            cells = [(dt.date.fromisoformat(cell) - dt.date(1970, 1, 1)).days for cell in cells]
        elif column["type"] != "text":
            cells = [None if cell is None else float(cell) for cell in cells]
        table[column["name"]] = cells
    for step in operations:
        extra: dict[str, Any] = {}
        for k, name in enumerate(step["columns"]):
            cells = table[name]
            match step["operation"]:
                case "impute":
                    cells = [step["values"][k] if cell is None else cell for cell in cells]
                case "scale":
                    cells = [(cell - step["means"][k]) / step["scales"][k] for cell in cells]
                case "one_hot":
                    cells = [[float(cell == known) for known in step["categories"][k]] for cell in cells]
                case "class_ids":
                    cells = [step["classes"][k].index(cell) for cell in cells]
                case "indicator":
                    extra[f"{name} missing"] = [float(cell is None) for cell in cells]
                case "group_rare":
                    cells = [cell if cell in step["categories"][k] else step["others"][k] for cell in cells]
                case "ordinal":
                    cells = [step["categories"][k].index(cell) for cell in cells]
                case "target_encode":
                    means = dict(zip(step["categories"][k], step["means"][k], strict=True))
                    cells = [means.get(cell, step["default_means"][k]) for cell in cells]
                case "function":
                    cells = [getattr(math, step["functions"][k])(cell) for cell in cells]
                case "quantile":
                    known = step["quantiles"][k]
                    cells = np.interp(cells, known, np.linspace(0, 1, len(known))).tolist()
                case "date_parts":
                    parts = [date_parts(cell, step["first"][k]) for cell in cells]
                    del table[name]  # the last one
                    table |= {f"{name} {part}": [one[part] for one in parts] for part in parts[0]}
                    continue
                case other:
                    raise AssertionError(other)
            table[name] = cells
        table = {
            new: column
            for name, cells in table.items()
            for new, column in {name: cells, **{n: extra[n] for n in extra if n == f"{name} missing"}}.items()
        }
    return np.concatenate([np.array(cells, float).reshape(len(rows), -1) for cells in table.values()], axis=1)


def date_parts(days: float, first: float) -> dict[str, float]:
    """What becomes of a date."""
    date = dt.date(1970, 1, 1) + dt.timedelta(days)
    angles = {
        "month": (date.month - 1) / 12,
        "weekday": date.weekday() / 7,
        "day of year": (date.timetuple().tm_yday - 1) / 365.25,
    }
    circles = {
        f"{part} {function}": getattr(math, function)(2 * math.pi * turn)
        for part, turn in angles.items()
        for function in ("sin", "cos")
    }
    return {"year": date.year, **circles, "days": days - first}


ROWS = "size,colour,age,kind,price,seen\n" + "".join(
    f"{k * 1.37 % 7:.3f},{colour},{k * 7 % 11 or ''},{'ab'[k % 3 % 2]},{k * k % 13}.5,"
    f"{1999 + k % 9}-{k % 12 + 1:02d}-{k % 28 + 1:02d}\n"
    for k, colour in enumerate(("red", "blue", "", "grey") * 10)
)


@pytest.mark.parametrize(
    ("dataset", "loss"),
    [
        ({"target": "kind", "missing": "impute"}, "bce"),
        ({"target": "price", "missing": "impute", "features": ["size", "age", "colour"]}, "mse"),
        ({"target": ["price", "size"], "missing": "impute", "standardize": False}, "mae"),
        ({"target": "kind", "features": ["size"]}, "hinge"),
        (
            {
                "target": "price",
                "target_transform": "sqrt",
                "columns": {
                    "age": {"missing": "median", "indicator": True, "scale": "log"},
                    "size": {"scale": "quantile"},
                    "colour": {"missing": "none", "max_categories": 3},
                    "kind": {"encode": "ordinal"},
                    "seen": {"as": "date"},
                },
            },
            "mse",
        ),
        (
            {
                "target": "price",
                "target_transform": "log1p",
                "missing": "impute",
                "columns": {
                    "colour": {"encode": "target", "max_categories": 3},
                    "kind": {"encode": "target"},
                },
            },
            "mse",
        ),
    ],
    ids=["classes", "numbers", "raw", "size", "operations", "target"],
)
def test_the_json_of_a_checkpoint_replays_its_preprocessing(
    dataset: dict[str, Any], loss: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(ROWS)
    config = {
        "dataset": {
            "name": "table",
            "path": str(path),
            "split": {"train": 24, "dev": 8, "test": 8},
            **dataset,
            "columns": {"seen": {"as": "skip"}, **dataset.get("columns", {})},
        },
        "loss": loss,
        "training": {"epochs": 1},
        "engine": "torch",
    }
    run = mlprun.train(config, out=str(tmp_path))
    record = preprocessing_of(f"{run.path}/best.safetensors")
    rows = list(csv.DictReader(ROWS.splitlines()))
    inputs = replay(record["inputs"], record["input_operations"], rows)
    targets = replay(record["targets"], record["target_operations"], rows)
    experiment = run.best.experiment
    prepared = experiment.prepare(experiment.config.dataset.load())
    if "columns" in dataset:  # functions and quantiles of plain Python differ in the last digit
        np.testing.assert_allclose(inputs, prepared.inputs, rtol=1e-6, atol=1e-6)
    else:
        np.testing.assert_array_equal(inputs.astype(np.float32), prepared.inputs)
    if experiment.classes is None:
        np.testing.assert_array_equal(targets.astype(np.float32), prepared.targets)
    else:
        np.testing.assert_array_equal(targets[:, 0], prepared.truth)
