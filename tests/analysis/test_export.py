"""The table of all trials: read back by csv and polars it is what the database holds."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

import mlprun
from mlprun.analysis import export
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.schema import Trial

from .conftest import FIGURES, describe, write

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    *("trial", "setting", "architecture.hidden", "optimizer.lr", "seed", "fold", "status", "engine"),
    *("epochs", "best_epoch", "seconds", "error", *FIGURES),
]


def test_csv_reads_back_to_the_last_digit(folder: str) -> None:
    with open_sweep(folder).results() as results:
        rows = list(csv.DictReader(io.StringIO(export.to_csv(results))))
        trials, settings = results.trials(), results.settings()
    assert list(rows[0]) == NAMES
    assert len(rows) == len(trials) == 16
    for row, trial in zip(rows, trials, strict=True):
        standing = (int(row["trial"]), int(row["setting"]), int(row["seed"]), row["status"])
        assert standing == (trial.id, trial.setting, trial.seed, trial.status)
        assert (
            json.loads(row["architecture.hidden"])
            == settings[trial.setting - 1].values["architecture.hidden"]
        )
        read = {name: float(row[name]) if row[name] else None for name in FIGURES}
        assert read == {name: trial.figures.get(name) for name in FIGURES}
        assert row["error"] == (trial.error or "")


def test_parquet_reads_back_with_types(folder: str) -> None:
    with open_sweep(folder).results() as results:
        table = pl.read_parquet(export.to_parquet(results))
        rows = list(export.rows(results))
    assert table.columns == NAMES
    assert table.schema["trial"] == table.schema["fold"] == pl.Int64
    assert table.schema["optimizer.lr"] == table.schema["test_loss"] == pl.Float64
    assert table.schema["architecture.hidden"] == table.schema["status"] == pl.String
    for read, row in zip(table.rows(), rows, strict=True):
        assert read == tuple(json.dumps(value) if isinstance(value, list) else value for value in row)


def test_python_has_the_rows_of_an_export_in_values_that_can_be_grouped_by(folder: str) -> None:
    rows = mlprun.load_sweep(folder).rows()
    with open_sweep(folder).results() as results:
        exported = pl.read_parquet(export.to_parquet(results)).filter(pl.col("status") != "pending")
    assert rows == exported.to_dicts()
    assert {row["architecture.hidden"] for row in rows} == {"[2]", "[8, 4]"}
    assert [row["error"] for row in rows if row["status"] == "failed"] == ["memory: there is not enough"]
    assert pl.DataFrame(rows, infer_schema_length=None).equals(exported)


def test_a_sweep_without_trials_has_columns_alone(tmp_path: Path) -> None:
    write(tmp_path, describe(), [], {1: {"architecture.hidden": [1], "optimizer.lr": 1}})
    with open_sweep(str(tmp_path)).results() as results:
        assert pl.read_parquet(export.to_parquet(results)).columns == NAMES
        assert export.to_csv(results) == ",".join(NAMES) + "\n"


def test_a_parameter_of_a_columns_name_keeps_it(tmp_path: Path) -> None:
    values = {1: {"engine": "auto"}, 2: {"engine": "torch"}}
    about = describe(parameters=("engine",), success=None)
    write(
        tmp_path,
        about,
        [Trial(1, 1, 0, status="finished", engine="fused", figures={"dev_loss": 1.0})],
        values,
    )
    with open_sweep(str(tmp_path)).results() as results:
        row = pl.read_parquet(export.to_parquet(results)).rows(named=True)[0]
    assert (row["engine"], row["trial_engine"]) == ("auto", "fused")


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([1, 2], pl.Int64, [1, 2]),
        ([1, 2.5], pl.Float64, [1.0, 2.5]),
        ([True, False], pl.Boolean, [True, False]),
        (["relu", "tanh"], pl.String, ["relu", "tanh"]),
        ([1, "auto"], pl.String, ["1", '"auto"']),
        ([{"name": "sgd", "lr": 0.1}, "adam"], pl.String, ['{"name": "sgd", "lr": 0.1}', '"adam"']),
    ],
)
def test_values_of_a_parameter_have_one_type(values: list, kind, read: list, tmp_path: Path) -> None:
    trials = [Trial(k, k, 0, status="finished", figures={"dev_loss": 1.0}) for k in (1, 2)]
    write(tmp_path, describe(parameters=("x.y",)), trials, {k + 1: {"x.y": v} for k, v in enumerate(values)})
    with open_sweep(str(tmp_path)).results() as results:
        column = pl.read_parquet(export.to_parquet(results))["x.y"]
    assert (column.dtype, column.to_list()) == (kind, read)
