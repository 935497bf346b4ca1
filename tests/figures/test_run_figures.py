"""What figures of runs compute, against scikit-learn, the checkpoints and closed forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from sklearn import calibration, decomposition
from sklearn import metrics as reference

import mlprun.api as mlprun
from mlprun import figures
from mlprun.errors import UsageError
from mlprun.figures import curves
from mlprun.figures.chart import Bars, HeatMap, Line, Points, Region, evenly_spaced
from mlprun.figures.classification import reliability
from mlprun.figures.parts import activation_grid
from mlprun.figures.rows import ROWS
from mlprun.parts.activations import activations
from mlprun.parts.metrics import Predictions, rank
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from mlprun.figures import Chart, RunData


def computed(kind: str, data: RunData, **options: Any) -> Chart:
    return figures.make(figures.run_figures, kind, options).compute(data)


def unsupported(kind: str, data: RunData, **options: Any) -> str | None:
    return figures.make(figures.run_figures, kind, options).unsupported_reason(data)


def by_label(chart: Chart, kind: type[Any] = Line) -> dict[str, Any]:
    return {mark.label: mark for mark in chart.marks(kind) if mark.label}


def outputs_of(data: RunData, epoch: int, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return data.networks[epoch](torch.from_numpy(inputs)).numpy()


def test_the_networks_are_those_of_the_checkpoints(trained: dict[str, mlprun.Run]) -> None:
    run, data = trained["moons"], trained["moons"].figure_data
    best, last = (checkpoints.read(path) for path in (run.folder.best, run.folder.last))
    assert list(data.networks) == sorted({0, 1, 2, 5, best.meta["epoch"], 8})
    assert data.best == best.meta["epoch"]
    for epoch, tensors in {data.best: best.under("model."), 8: last.under("model.")}.items():
        state = data.networks[epoch].state_dict()
        assert all(np.array_equal(state[name], array) for name, array in tensors.items())
    start = data.experiment.network().state_dict()
    assert all(torch.equal(start[name], value) for name, value in data.networks[0].state_dict().items())


@pytest.mark.parametrize("shape", ["moons", "odd", "two_targets", "hinge"])
def test_a_surface_is_what_the_network_computes_at_each_point_of_the_grid(
    shape: str, run_data: dict[str, RunData]
) -> None:
    data = run_data[shape]
    chart = computed("regions", data)
    (cells,), regions = chart.marks(HeatMap), chart.marks(Region)
    assert cells.values.shape == (200, 200)
    left, right, bottom, top = regions[0].extent
    plane, epoch = data.plane(None), data.best
    for row, column in ((0, 0), (3, 199), (120, 57)):
        place = [left + (right - left) * column / 199, bottom + (top - bottom) * row / 199]
        inputs = plane.unproject(np.array([place])).astype(np.float32)
        (outputs,) = data.preprocessing.restore(outputs_of(data, epoch, inputs))
        if len(outputs) == 1:
            np.testing.assert_allclose(cells.values[row, column], outputs[0], rtol=1e-5, atol=1e-6)
        elif data.classes is not None:
            assert cells.values[row, column] == outputs.argmax()
            first = int(cells.values.min())
            lead = outputs[first] - np.delete(outputs, first).max()
            np.testing.assert_allclose(regions[0].values[row, column], lead, rtol=1e-4, atol=1e-5)


def test_two_inputs_are_the_plane_in_the_users_units(run_data: dict[str, RunData]) -> None:
    data = run_data["moons"]
    plane, inputs = data.plane(None), data.rows("train").inputs
    np.testing.assert_allclose(plane.project(inputs), inputs, rtol=1e-6)
    np.testing.assert_allclose(plane.unproject(plane.project(inputs)), inputs, rtol=1e-5, atol=1e-7)


def test_a_pair_of_standardised_inputs_is_shown_in_their_units_with_the_others_at_their_mean(
    run_data: dict[str, RunData],
) -> None:
    data = run_data["odd"]
    names, rows = data.preprocessing.names, data.rows("train").inputs
    plane = data.plane((names[1], names[0]))
    means, scales = data.preprocessing.input_units
    for place, index in enumerate((1, 0)):
        raw = rows[:, index] * scales[index] + means[index]
        np.testing.assert_allclose(plane.project(rows)[:, place], raw, rtol=1e-5)
    back = plane.unproject(plane.project(rows))
    np.testing.assert_allclose(back[:, :2], rows[:, :2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(back[:, 2:], np.tile(rows[:, 2:].mean(axis=0), (len(rows), 1)), rtol=1e-5)
    with pytest.raises(UsageError, match="'nothing' is no input"):
        data.plane((names[0], "nothing"))
    with pytest.raises(UsageError, match="named twice"):
        data.plane((names[0], names[0]))


def test_the_plane_of_more_inputs_is_that_of_the_principal_components(run_data: dict[str, RunData]) -> None:
    data = run_data["odd"]
    rows = data.rows("train").inputs.astype(np.float64)
    pca = decomposition.PCA(2).fit(rows)
    shown = data.plane(None).project(rows)
    np.testing.assert_allclose(np.abs(shown), np.abs(pca.transform(rows)), rtol=1e-6, atol=1e-9)
    assert f"{pca.explained_variance_ratio_[0]:.0%}" in data.plane(None).names[0]


def test_rows_are_the_fainter_the_farther_they_lie_off_the_slice(run_data: dict[str, RunData]) -> None:
    data = run_data["odd"]
    rows = data.rows("train").inputs.astype(np.float64)
    pca = decomposition.PCA(2).fit(rows)
    within = pca.transform(rows)
    off = np.linalg.norm(rows - pca.inverse_transform(within), axis=1)
    near = np.square(within).sum(axis=1).mean()
    chart = computed("regions", data)
    assert "slice: principal components (PC) of 5 inputs" in chart.details[0]
    expected = 0.15 + 0.85 * np.exp(-(off**2) / (2 * near))
    train = [mark for mark in chart.marks(Points) if mark.edge == "#ffffff" and len(mark.x)]
    opacity = np.concatenate([mark.opacity for mark in train])
    np.testing.assert_allclose(np.sort(opacity), np.sort(expected), rtol=1e-6)
    pair = computed("regions", data, features=data.preprocessing.names[:2])
    assert "slice: the other 3 inputs at their mean" in pair.details[0]
    plain = computed("regions", run_data["moons"])
    assert "slice" not in plain.details[0]
    assert all(np.all(mark.opacity == 1.0) for mark in plain.marks(Points))


def test_regions_in_a_plane_that_holds_little_of_the_data_are_drawn_only_when_asked_for(
    tmp_path: Any,
) -> None:
    draw = np.random.default_rng(0).normal(size=(60, 8))
    dataset = {"name": "inline", "inputs": draw.tolist(), "targets": [int(x) for x in draw[:, 0] > 0]}
    data = mlprun.train(
        {"name": "ball", "dataset": dataset}, "training.epochs=3", out=str(tmp_path)
    ).figure_data
    share = decomposition.PCA(2).fit(draw).explained_variance_ratio_.sum()
    assert share < 0.5
    for kind in ("regions", "frames"):
        reason = unsupported(kind, data)
        assert reason is not None
        assert f"at most {share:.0%} of the variance of 8 inputs; name two of them with --features" in reason
        names = data.preprocessing.names
        assert unsupported(kind, data, features=(names[0], names[5])) is None
    assert unsupported("data", data) is None


@pytest.mark.parametrize("ties", [False, True])
def test_curves_over_all_thresholds_are_scikit_learns(ties: bool) -> None:
    draw = np.random.default_rng(1)
    positive = draw.random(300) < 0.3
    values = draw.normal(size=300) + positive
    values = values.round(1) if ties else values
    ranking = rank(values, positive)
    false, true, _ = reference.roc_curve(positive, values, drop_intermediate=False)
    np.testing.assert_allclose(ranking.roc, (false, true))
    assert ranking.area == pytest.approx(reference.roc_auc_score(positive, values))
    assert ranking.average_precision == pytest.approx(reference.average_precision_score(positive, values))
    precision, recall, _ = reference.precision_recall_curve(positive, values)
    np.testing.assert_allclose(ranking.precision_recall, (recall[::-1], precision[::-1]))


def test_two_classes_are_ranked_on_every_split_and_more_against_all_others(
    run_data: dict[str, RunData], trained: dict[str, mlprun.Run]
) -> None:
    labels = [label for label in by_label(computed("roc", run_data["moons"])) if "chance" not in label]
    metrics = trained["moons"].best.evaluate()
    assert labels == [
        f"{split} (AUC = {metrics[split]['roc_auc']:.3f})" for split in ("train", "dev", "test")
    ]
    data = run_data["odd"]
    one = data.predictions("test", data.best)
    lines = computed("roc", data).marks(Line)[1:]
    for k, line in enumerate(lines):
        false, true, _ = reference.roc_curve(one.targets == k, one.outputs[:, k], drop_intermediate=False)
        np.testing.assert_allclose((line.x, line.y), (false, true))
        assert f"AUC = {reference.roc_auc_score(one.targets == k, one.outputs[:, k]):.3f}" in line.label


def test_the_confusion_matrix_is_scikit_learns(run_data: dict[str, RunData]) -> None:
    for split in ("train", "test"):
        one = run_data["odd"].predictions(split, run_data["odd"].best)
        expected = reference.confusion_matrix(one.targets, one.labels, labels=[0, 1, 2])
        (cells,) = computed("confusion", run_data["odd"], split=split).marks(HeatMap)
        shares = expected / np.maximum(expected.sum(axis=1, keepdims=True), 1)
        np.testing.assert_allclose(cells.values, shares)
        written = [[int(text.partition("\n")[0] or 0) for text in row] for row in cells.texts]
        assert np.array_equal(written, expected)


def test_reliability_is_scikit_learns_calibration_curve() -> None:
    draw = np.random.default_rng(2)
    said = draw.random(500)
    true = (draw.random(500) < said**2).astype(np.int64)
    means, shares, rows = reliability(Predictions(said[:, None], true, ("no", "yes"), probabilistic=True))
    expected_shares, expected_means = calibration.calibration_curve(true, said, n_bins=10)
    np.testing.assert_allclose(shares, expected_shares)
    np.testing.assert_allclose(means, expected_means)
    assert rows.sum() == 500
    perfect = Predictions(np.eye(3)[true], true, ("a", "b", "c"), probabilistic=True)
    means, shares, _ = reliability(perfect)
    assert np.array_equal(means, shares)


def test_histograms_count_every_row_once(run_data: dict[str, RunData]) -> None:
    data = run_data["moons"]
    chart = computed("probabilities", data, split="dev")
    assert len(chart.panels) == len(data.networks)
    targets = data.rows("dev").truth
    for epoch, panel in zip(data.networks, chart.panels, strict=True):
        outside, inside = (mark.height for mark in panel.marks)
        assert (inside.sum(), outside.sum()) == ((targets == 1).sum(), (targets == 0).sum())
        outputs = outputs_of(data, epoch, data.rows("dev").inputs)[:, 0]
        assert inside[10:].sum() == (outputs[targets == 1] >= 0.5).sum()
    odd = run_data["odd"]
    for panel in computed("probabilities", odd).panels:
        assert sum(mark.height.sum() for mark in panel.marks) == len(odd.rows("test"))


def test_outputs_are_what_each_kept_outputs_of_with_rows_sorted_by_class(
    run_data: dict[str, RunData],
) -> None:
    data = run_data["moons"]
    chart, rows = computed("outputs", data), data.rows("train")
    order = np.argsort(rows.truth, kind="stable")
    assert [panel.title for panel in chart.panels] == [f"epoch {epoch}" for epoch in data.networks]
    for epoch, panel in zip(data.networks, chart.panels, strict=True):
        heights = np.concatenate([mark.height for mark in panel.marks if isinstance(mark, Bars)])
        np.testing.assert_allclose(heights, outputs_of(data, epoch, rows.inputs[order])[:, 0], rtol=1e-6)


def test_predicted_numbers_are_in_the_users_units(
    run_data: dict[str, RunData], trained: dict[str, mlprun.Run]
) -> None:
    points = by_label(computed("predictions", run_data["line"]), Points)
    assert run_data["line"].scaled_targets
    for split, metrics in trained["line"].best.evaluate().items():
        (one,) = (mark for label, mark in points.items() if label.startswith(split))
        assert 39 < one.x.min() < one.x.max() < 61
        assert reference.r2_score(one.x, one.y) == pytest.approx(metrics["r2"])
    residuals = by_label(computed("residuals", run_data["line"]), Points)
    for label, one in points.items():
        np.testing.assert_allclose(residuals[label].y, one.y - one.x)


def test_the_fit_is_what_the_network_computes_over_its_input(run_data: dict[str, RunData]) -> None:
    data = run_data["line"]
    chart = computed("fit", data)
    (line,) = chart.marks(Line)
    (mean, scale), (target_mean, target_scale) = (
        data.preprocessing.input_units,
        data.preprocessing.target_units,
    )
    inputs = ((line.x - mean[0]) / scale[0])[:, None]
    expected = outputs_of(data, data.best, inputs)[:, 0] * target_scale[0] + target_mean[0]
    np.testing.assert_allclose(line.y, expected, rtol=1e-12)
    for points in chart.marks(Points):
        np.testing.assert_allclose(points.y, 50 + 10 * np.sin(points.x), rtol=1e-9)


def test_weights_are_those_of_both_networks_without_biases(run_data: dict[str, RunData]) -> None:
    data = run_data["moons"]
    chart = computed("weight_changes", data, epochs=(1, 5))
    names = ["layers.0.weight", "layers.1.weight"]
    assert [panel.title.partition(" ")[0] for panel in chart.panels] == names
    for name, points in zip(names, chart.marks(Points), strict=True):
        for epoch, weights in zip((1, 5), (points.x, points.y), strict=True):
            assert np.array_equal(weights, data.networks[epoch].state_dict()[name].numpy().ravel())
    with pytest.raises(UsageError, match="no network was kept of epoch 3"):
        computed("weight_changes", data, epochs=(0, 3))
    labels = computed("weights", run_data["symbols"]).panels[0].x.tick_labels
    assert labels is not None
    assert labels[0].startswith("embedding.weight\n")


def test_curves_are_the_columns_of_the_history_where_they_were_evaluated(
    run_data: dict[str, RunData], trained: dict[str, mlprun.Run]
) -> None:
    history = trained["moons"].history
    chart = computed("loss", run_data["moons"])
    lines = by_label(chart)
    best = trained["moons"].metrics["best"]
    names = {"train bce", "dev bce", "train mse", "dev mse", "train, with penalties"}
    assert set(lines) == {*names, f"best epoch {best['epoch']}"}
    assert np.array_equal(lines["train bce"].y, history["train_loss"])
    assert list(lines["dev bce"].x) == [2, 4, 6, 8]
    (star,) = chart.marks(Points)
    assert (star.x[0], star.y[0]) == (best["epoch"], pytest.approx(best["value"]))
    panels = computed("metrics", run_data["moons"]).panels
    assert [panel.y.label for panel in panels] == ["accuracy", "roc_auc"]
    (rates,) = computed("learning_rate", run_data["moons"]).marks(Line)
    np.testing.assert_allclose(rates.y, 0.5 * 0.9 ** np.arange(8))


def test_a_best_epoch_that_was_not_logged_is_marked_at_its_true_value(tmp_path: Any) -> None:
    config = {
        "name": "sparse",
        "dataset": {"name": "moons", "noise": 0.3},
        "optimizer": {"name": "sgd", "lr": 30.0},
        "metrics": ["accuracy", {"name": "mse", "reduction": "mean"}],
        "training": {"epochs": 12, "log_every": 5},
    }
    every = {**config, "training": {"epochs": 12}}
    full = mlprun.train(every, out=str(tmp_path)).history
    data = mlprun.train(config, out=str(tmp_path)).figure_data
    at = int(full["dev_loss"].argmin())
    assert full["epoch"][at] not in data.history["epoch"]  # what this is about
    for kind, column in (("loss", "dev_loss"), ("metrics", "dev_accuracy")):
        chart = computed(kind, data)
        (star,) = chart.marks(Points)
        assert any("evaluated, not logged" in mark.label for mark in chart.marks(Line))
        assert (star.x[0], star.y[0]) == (at + 1, full[column][at])


def test_losses_that_no_axis_can_hold_are_not_drawn() -> None:
    history = {"epoch": np.arange(4), "train_loss": np.array([1.7e308, 2.0, -1.7e308, 1.0])}
    line = curves.curve("loss", history, "train_loss", curves.LineStyle("#000000"))
    assert line is not None
    assert (line.x.tolist(), line.y.tolist()) == ([1, 3], [2.0, 1.0])


def test_a_long_history_keeps_its_ends_and_extremes() -> None:
    epochs = np.arange(1, 1_400_001)
    values = np.sin(epochs / 1e5)
    values[700_123], values[900_001] = 9.0, -9.0
    fewer, kept = curves.downsample(epochs, values)
    assert len(fewer) <= 2.1 * curves.POINTS
    assert (fewer[0], fewer[-1]) == (1, 1_400_000)
    assert (kept.max(), kept.min()) == (9.0, -9.0)
    assert np.array_equal(values[fewer - 1], kept)


def test_of_many_rows_evenly_spread_ones_are_drawn_and_the_picture_says_so(tmp_path: Any) -> None:
    import mlprun.api as api

    split = {"train": 5000, "dev": 100, "test": 100}
    config = {"name": "many", "dataset": {"name": "moons", "split": split}, "training": {"epochs": 0}}
    chart = computed("data", api.train(config, out=str(tmp_path)).figure_data)
    train = [mark for mark in chart.marks(Points) if mark.edge == "#ffffff"]
    assert sum(len(mark.x) for mark in train) == ROWS
    assert "2,000 of 5,000 train rows shown" in "".join(chart.details)
    chosen = evenly_spaced(5000, ROWS)
    assert len(set(chosen.tolist())) == ROWS
    assert (chosen[0], chosen[-1]) == (0, 4999)


def test_symbols_are_shown_as_they_stand(run_data: dict[str, RunData]) -> None:
    (cells,) = computed("data", run_data["symbols"]).marks(HeatMap)
    assert np.array_equal(cells.values, (np.arange(4)[:, None] + np.arange(3)) % 4)


def test_fresh_rows_are_those_that_the_epoch_was_evaluated_on(
    run_data: dict[str, RunData], trained: dict[str, mlprun.Run]
) -> None:
    data = run_data["fresh"]
    details = computed("confusion", data, split="dev").details[0]
    figures = trained["fresh"].metrics["best"]["splits"]["dev"]
    assert f"{figures['accuracy']:.1%} on the diagonal" in details


def test_every_elementwise_activation_is_drawn_with_its_derivative() -> None:
    panels = activation_grid().panels
    names = [panel.title.partition("\n")[0] for panel in panels]
    assert set(names) == {part.names()[0] for part in activations if part.elementwise}
    for name, panel in zip(names, panels, strict=True):
        function, derivative = panel.marks[2:]
        slopes = np.gradient(function.y, function.x)
        smooth = (np.abs(np.gradient(slopes)) < 0.02) & np.isfinite(derivative.y)  # away from kinks
        np.testing.assert_allclose(derivative.y[smooth], slopes[smooth], atol=0.02, err_msg=name)
    hard = [panel.marks[3] for name, panel in zip(names, panels, strict=True) if name == "hard_logistic"]
    assert sorted(float(mark.y[400]) for mark in hard) == pytest.approx([1 / 6, 1 / 4])
