"""The picture of a verification: its curves, how far they are apart, and one rounding of each precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlprun import api, figures
from mlprun.figures import style
from mlprun.figures.agreement import compute_agreement, draw_agreement

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.verification.verify import Verification

LABELS = ["torch float64", "fused float64", "torch float32", "losses.csv"]


@pytest.fixture
def verification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Verification:
    """XOR in float64 beside a curve that is 0.1 above it at every third epoch, and equal at none."""
    config = {"dataset": "xor", "loss": "mse", "training": {"dtype": "float64", "epochs": 30}}
    monkeypatch.chdir(tmp_path)
    found = api.verify(config, steps=30).trajectories
    (exact,) = [one for one in found if one.label == "torch float64"]
    losses = (exact.history["train_loss"] + 0.1).tolist()
    rows = [f"{epoch},{losses[epoch - 1]!r}" for epoch in range(3, 31, 3)]
    (tmp_path / "losses.csv").write_text("\n".join(["epoch,loss", *rows]) + "\n")
    return api.verify(config, against="losses.csv", steps=30)


def test_distances_are_from_the_definition_in_float64(verification: Verification) -> None:
    values = compute_agreement(verification)
    assert [curve.label for curve in values.curves][:1] == LABELS[:1]
    assert {*LABELS} <= {curve.label for curve in values.curves}
    exact = values.curves[0]
    distances = {curve.label: curve for curve in values.distances}
    assert {*distances} == {curve.label for curve in values.curves[1:]}
    assert distances["losses.csv"].epochs.tolist() == list(range(3, 31, 3))
    np.testing.assert_allclose(distances["losses.csv"].values, 0.1, rtol=1e-12)
    rounded = next(curve for curve in values.curves if curve.label == "torch float32")
    expected = np.maximum(np.abs(rounded.values - exact.values), values.roundings["float64"] / 8)
    np.testing.assert_array_equal(distances["torch float32"].values, expected)
    assert values.roundings["float32"] == np.finfo(np.float32).eps * exact.values.max()


def test_the_picture_has_both_panels_and_labels_everything(verification: Verification) -> None:
    with style.styled():
        figure = draw_agreement(compute_agreement(verification))
        above, below = figure.axes
        assert [line.get_label() for line in above.lines][:1] == LABELS[:1]
        assert below.get_yscale() == "log"
        labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {*LABELS, "one rounding of float32", "one rounding of float64"} <= labels


def test_the_picture_is_encoded_without_warnings_where_all_losses_are_equal(tmp_path: Path) -> None:
    """Nothing is learnt at the top of a symmetric hill, so every distance is 0 and every curve flat."""
    architecture = {"hidden": [2], "activation": "tanh", "init": {"weight": "zeros", "bias": "zeros"}}
    config = {"dataset": "xor", "loss": "mse", "architecture": architecture}
    found = api.verify(config)
    assert found.agrees
    assert figures.encode(figures.verified(found), "png").startswith(b"\x89PNG")
