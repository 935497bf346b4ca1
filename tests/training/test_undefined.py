"""A watched figure that is not a number ends no run, cuts no rate, and is refused where it can be known."""

import json
import math

import pytest

import mlprun.api as mlprun
from mlprun import cli
from mlprun.errors import UsageError


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_early_stopping_and_plateau_ignore_what_is_not_a_number(tmp_path, heard, engine):
    """Of one fresh dev row all targets are of one class."""
    config = {
        "dataset": {"name": "moons", "split": {"train": 20, "dev": {"fresh": 1}}},
        "metrics": ["roc_auc"],
        "best": {"metric": "dev_roc_auc"},
        "early_stopping": {"patience": 2},
        "schedule": {"name": "reduce_on_plateau", "patience": 0},
        "training": {"epochs": 6},
        "engine": engine,
    }
    run = mlprun.train(config, out=str(tmp_path), callbacks=[heard])
    assert (run.status.state, run.status.epochs, run.metrics["best"]) == ("finished", 6, None)
    assert set(run.history["lr"]) == {0.2}
    assert all(map(math.isnan, run.history["dev_roc_auc"]))
    (warning,) = [line for line in heard.said if line.startswith("warning")]
    assert "dev_roc_auc was not a number at any evaluation: there is no best epoch" in warning


@pytest.fixture
def numbers(tmp_path):
    (tmp_path / "t.csv").write_text(
        "\n".join(["a,y", *(f"{k / 10},{0.3 * k:.2f}" for k in range(20))]) + "\n"
    )
    split = {"train": 14, "dev": 1, "test": 5}
    return {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "split": split}


def test_a_figure_that_these_rows_do_not_have_is_refused_before_any_work(numbers, tmp_path):
    config = {"dataset": numbers, "best": {"metric": "dev_r2"}, "early_stopping": {"patience": 5}}
    with pytest.raises(UsageError, match=r"best\.metric: dev_r2 is not a number on 1 dev row "):
        mlprun.train(config, out=str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()
    one_class = {"name": "inline", "inputs": [[0.5], [1.0], [1.5]], "targets": [0, 1, 1]}
    one_class |= {"split": {"train": 2, "dev": 1, "test": 0, "shuffle": False}}
    for metric in ("roc_auc", "average_precision"):
        config = {
            "dataset": one_class | {"positive": 0},
            "metrics": [metric],
            "best": {"metric": f"dev_{metric}"},
        }
        with pytest.raises(UsageError, match=f"dev_{metric} is not a number on 1 dev row"):
            mlprun.train(config, out=str(tmp_path / "runs"))


def test_a_sweep_says_why_there_is_no_figure(numbers, tmp_path, capsys):
    sweep = {
        "base": {"dataset": numbers, "training": {"epochs": 2}},
        "seeds": 2,
        "objective": {"metric": "dev_r2"},
    }
    (tmp_path / "s.json").write_text(json.dumps({"name": "s", **sweep}))
    assert cli.main(["sweep", "run", str(tmp_path / "s.json"), "--out", str(tmp_path), "-q"]) == 0
    capsys.readouterr()
    assert cli.main(["sweep", "show", str(tmp_path / "s-001")]) == 0
    assert "dev_r2 is not a number in the trials of setting 1" in capsys.readouterr().out
