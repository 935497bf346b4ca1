"""Charts of several curves: runs, and engines that should agree."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun import api, figures
from mlprun.errors import UsageError
from mlprun.figures.curves import PRECISIONS, RUNS, agreement, overlay
from mlprun.figures.style import LineStyle

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.figures import RunData
    from mlprun.verification.verify import Verification


def test_runs_are_drawn_over_one_another(run_data: dict[str, RunData]) -> None:
    chart = overlay([run_data["moons"], run_data["no_dev"], run_data["moons"]])
    panels = {(panel.title, panel.y.label): panel.marks for panel in chart.panels}
    assert {name: len(lines) for name, lines in panels.items()} == {
        ("train", "loss"): 3,
        ("dev", "loss"): 2,
        ("train", "mse"): 2,
        ("dev", "mse"): 2,
    }
    lines: Any = panels["train", "loss"]
    assert {line.label for line in lines} == {"moons-001 (1)", "no_dev-001", "moons-001 (3)"}
    assert len({line.color for line in lines}) == len({line.marker for line in lines}) == 3
    assert np.array_equal(lines[0].y, run_data["moons"].history["train_loss"])
    with pytest.raises(UsageError, match="cannot be told apart"):
        overlay([run_data["moons"]] * 13)
    with pytest.raises(UsageError, match="expected one of loss, metrics"):
        overlay([run_data["moons"]] * 2, "roc")


def test_no_two_of_several_runs_have_both_colour_and_dashes_in_common() -> None:
    assert len({LineStyle.of(k)[:2] for k in range(RUNS)}) == RUNS


def test_charts_of_metrics_show_all_of_them_or_name_the_rest() -> None:
    names = [f"metric{number}" for number in range(30)]
    history = {f"{split}_{name}": np.arange(3.0) for name in names for split in ("train", "dev")}
    config = SimpleNamespace(metrics=(), loss=SimpleNamespace(name="bce"))
    run: Any = SimpleNamespace(name="run", config=config, history={"epoch": np.arange(3), **history})
    chart = overlay([run] * 2, "metrics")
    shown = [f"{panel.title}_{panel.y.label}" for panel in chart.panels]
    assert shown == [f"{split}_{name}" for name in names[:20] for split in ("train", "dev")]
    rest = ", ".join(f"{split}_{name}" for name in names[20:] for split in ("train", "dev"))
    assert chart.details == (f"not shown: {rest}",)


@pytest.fixture(scope="module")
def verification(tmp_path_factory: pytest.TempPathFactory) -> Verification:
    """XOR in float64 beside a curve that is 0.1 above it at every third epoch, and equal at none."""
    config = {"dataset": "xor", "loss": "mse", "training": {"dtype": "float64", "epochs": 30}}
    folder: Path = tmp_path_factory.mktemp("verification")
    (exact,) = [one for one in api.verify(config, steps=30).trajectories if one.label == "torch float64"]
    losses = (exact.history["train_loss"] + 0.1).tolist()
    rows = [f"{epoch},{losses[epoch - 1]!r}" for epoch in range(3, 31, 3)]
    (folder / "losses.csv").write_text("\n".join(["epoch,loss", *rows]) + "\n")
    return api.verify(config, against=str(folder / "losses.csv"), steps=30)


def test_distances_are_from_the_definition_in_float64(verification: Verification) -> None:
    losses, distances = (
        {mark.label: mark for mark in panel.marks} for panel in agreement(verification).panels
    )
    assert next(iter(losses)) == "torch float64"
    assert {"torch float64", "fused float64", "torch float32"} <= set(losses)
    rounding = {f"one rounding of {dtype}" for dtype in PRECISIONS}
    assert set(distances) == {*losses, *rounding} - {"torch float64"}
    (other,) = (mark for label, mark in distances.items() if "float" not in label)
    assert other.x.tolist() == list(range(3, 31, 3))
    np.testing.assert_allclose(other.y, 0.1, rtol=1e-12)
    exact, rounded = losses["torch float64"], losses["torch float32"]
    size = np.finfo(np.float64).eps * exact.y.max()
    np.testing.assert_array_equal(
        distances["torch float32"].y, np.maximum(np.abs(rounded.y - exact.y), size / 8)
    )
    assert distances["one rounding of float32"].y[0] == np.finfo(np.float32).eps * exact.y.max()


def test_equal_losses_are_drawn_without_warnings() -> None:
    """Nothing is learnt at the top of a symmetric hill, so every distance is 0 and every curve flat."""
    architecture = {"hidden": [2], "activation": "tanh", "init": {"weight": "zeros", "bias": "zeros"}}
    found = api.verify({"dataset": "xor", "loss": "mse", "architecture": architecture})
    assert found.agrees
    assert figures.encode(agreement(found), "png", dpi=40).startswith(b"\x89PNG")
