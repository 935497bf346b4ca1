"""What figures of runs compute, against scikit-learn, the checkpoints and closed forms."""

from __future__ import annotations

from types import SimpleNamespace
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
from mlprun.figures.chart import Band, Bars, HeatMap, Line, Points, Polygons, Region, Text, evenly_spaced
from mlprun.figures.classification import PrecisionRecall, RocCurve
from mlprun.figures.parts import activation_grid
from mlprun.figures.regions import SHADES
from mlprun.figures.regression import SplitPredictions, hexagons
from mlprun.figures.rows import ROWS
from mlprun.figures.style import LineStyle
from mlprun.parts.activations import activations
from mlprun.parts.metrics import Predictions, probability_bins, rank
from mlprun.report.scales import Scale, ticks_of
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
        return data.trained.alone.filled_network(data.models[epoch])(torch.from_numpy(inputs)).numpy()


def test_the_networks_are_those_of_the_checkpoints(trained: dict[str, mlprun.Run]) -> None:
    run, data = trained["moons"], trained["moons"].figure_data
    best, last = (checkpoints.read(path) for path in (run.folder.best, run.folder.last))
    assert list(data.models) == sorted({0, 1, 2, 5, best.meta["epoch"], 8})
    assert data.best == best.meta["epoch"]
    for epoch, tensors in {data.best: best.under("model."), 8: last.under("model.")}.items():
        assert all(np.array_equal(data.models[epoch][name], array) for name, array in tensors.items())
    start = data.experiment.network().state_dict()
    assert all(np.array_equal(start[name], value) for name, value in data.models[0].items())


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
            chosen, shade = divmod(int(cells.values[row, column]), SHADES)
            assert chosen == outputs.argmax()
            certainty = (outputs.max() - 1 / len(outputs)) / (1 - 1 / len(outputs))
            assert shade == pytest.approx(certainty * (SHADES - 1), abs=0.51)
            first = int(cells.values.min()) // SHADES
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
    for kind in ("regions", "frames", "units"):
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


def test_two_classes_are_ranked_on_every_split(
    run_data: dict[str, RunData], trained: dict[str, mlprun.Run]
) -> None:
    data, metrics = run_data["moons"], trained["moons"].best.evaluate()
    for kind, area, metric in (("roc", "AUC", "roc_auc"), ("precision_recall", "AP", None)):
        chart = computed(kind, data)
        dots = [mark for mark in chart.marks(Points) if len(mark.x)]
        for (label, line), dot in zip(by_label(chart).items(), dots, strict=True):
            split = label.partition(" ")[0]
            one = data.predictions(split, data.best)
            true, scores = np.asarray(one.targets), one.outputs[:, 0]
            if metric:
                assert label == f"{split} (AUC {metrics[split][metric]:.3f})"
                expected = np.mean(scores[true == 0] > 0.5), np.mean(scores[true == 1] > 0.5)
            else:
                assert label == f"{split} (AP {reference.average_precision_score(true, scores):.3f})"
                expected = (
                    reference.recall_score(true, scores > 0.5),
                    reference.precision_score(true, scores > 0.5),
                )
                assert np.sum(line.y * np.diff(line.x, prepend=0.0)) == pytest.approx(
                    reference.average_precision_score(true, scores)
                )
            assert (dot.x[0], dot.y[0]) == pytest.approx(expected)
            assert area in label


def test_more_classes_are_ranked_against_all_others_with_their_mean(run_data: dict[str, RunData]) -> None:
    data = run_data["odd"]
    one = data.predictions("test", data.best)
    binary = np.eye(3)[one.targets]
    macro, *lines = (mark for mark in computed("roc", data).marks(Line) if mark.label)
    assert len(lines) == 3
    for k, line in enumerate(lines):
        false, true, _ = reference.roc_curve(binary[:, k], one.outputs[:, k], drop_intermediate=False)
        np.testing.assert_allclose((line.x, line.y), (false, true))
        assert f"AUC {reference.roc_auc_score(binary[:, k], one.outputs[:, k]):.3f}" in line.label
    assert f"(AUC {reference.roc_auc_score(binary, one.outputs, average='macro'):.3f})" in macro.label
    for at in (0.123, 0.5, 0.877):
        heights = [np.interp(at, line.x, line.y) for line in lines]
        assert np.interp(at, macro.x, macro.y) == pytest.approx(np.mean(heights), abs=0.01)
    average = next(mark for mark in computed("precision_recall", data).marks(Line) if mark.label)
    assert (
        f"(AP {reference.average_precision_score(binary, one.outputs, average='macro'):.3f})" in average.label
    )


def test_of_many_classes_the_five_that_are_told_apart_worst_have_a_curve() -> None:
    draw = np.random.default_rng(4)
    targets = np.arange(160) % 8
    outputs = np.eye(8)[targets] + draw.normal(size=(160, 8)) * np.linspace(0.1, 3, 8)
    names = tuple(f"c{k}" for k in range(8))
    found = Predictions(outputs, targets, names, probabilistic=False)
    data: Any = SimpleNamespace(name="x", classes=names, splits=("test",), best_or_last=1)
    data.describe = lambda epoch, counts_rows: str(epoch)
    data.predictions = lambda split, epoch: found
    labels = {line.label for line in RocCurve().compute(data).marks(Line)}
    areas = [reference.roc_auc_score(targets == k, outputs[:, k]) for k in range(8)]
    worst = {f"c{k} (AUC {areas[k]:.3f})" for k in np.argsort(areas)[:5]}
    assert labels == {"", *worst, f"mean of 8 classes (AUC {np.mean(areas):.3f})"}


def test_precision_has_no_spike_where_nothing_is_recalled() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    positive = np.array([False, True, True, False, True])
    found = PrecisionRecall().curve(
        "x", rank(scores, positive), positive, scores > 0.65, LineStyle("#000000")
    )
    assert found.x == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert found.y == pytest.approx([1 / 2, 1 / 2, 2 / 3, 3 / 5])
    assert found.point == pytest.approx((2 / 3, 2 / 3))


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
    found = probability_bins(Predictions(said[:, None], true, ("no", "yes"), probabilistic=True))
    shares, means = calibration.calibration_curve(true, said, n_bins=10, strategy="quantile")
    np.testing.assert_allclose(found.shares, shares)
    np.testing.assert_allclose(found.means, means)
    assert found.rows.tolist() == [50] * 10
    perfect = probability_bins(Predictions(np.eye(3)[true], true, ("a", "b", "c"), probabilistic=True))
    assert np.array_equal(perfect.means, perfect.shares)


def test_a_calibration_of_few_rows_is_refused(run_data: dict[str, RunData]) -> None:
    assert unsupported("calibration", run_data["moons"]) is None
    reason = unsupported("calibration", run_data["untrained"])
    assert reason is not None
    assert reason.startswith("test has 20 rows")


def test_histograms_count_every_row_once(run_data: dict[str, RunData]) -> None:
    data = run_data["moons"]
    chart = computed("probabilities", data, split="dev")
    true = data.rows("dev").truth
    scores = outputs_of(data, data.best, data.rows("dev").inputs)[:, 0]
    for k, panel in enumerate(chart.panels):  # the probability of the row's own class
        own = (scores if k else 1 - scores)[true == k]
        right, wrong = (mark for mark in panel.marks if isinstance(mark, Bars))
        for bars, some in ((right, own[own > 0.5]), (wrong, own[own <= 0.5])):
            np.testing.assert_array_equal(
                bars.height - bars.base, np.histogram(some, np.linspace(0, 1, 21))[0]
            )
    data = run_data["odd"]
    one = data.predictions("test", data.best)
    for k, panel in enumerate(computed("probabilities", data).panels):
        right, wrong = (float(np.sum(mark.height - mark.base)) for mark in panel.marks)
        inside = one.targets == k
        assert right == np.sum(inside & (one.labels == k))
        assert right + wrong == np.sum(inside)


@pytest.mark.parametrize("kind", ["probabilities", "calibration", "outputs"])
def test_axes_of_rows_have_whole_ticks(kind: str, run_data: dict[str, RunData]) -> None:
    panels = computed(kind, run_data["moons"]).panels
    named = [axis for panel in panels for axis in (panel.x, panel.y) if axis.label in ("row", "rows")]
    assert named
    for axis in named:
        ticks = [tick.value for tick in ticks_of(axis, Scale(0.0, 2.2, 0.0, 100.0), 8)]
        assert ticks == [0, 1, 2]


def test_outputs_are_what_each_kept_network_gives_with_rows_sorted_by_class(
    run_data: dict[str, RunData],
) -> None:
    data = run_data["moons"]
    chart, rows = computed("outputs", data), data.rows("train")
    order = np.argsort(rows.truth, kind="stable")
    epochs = data.kept_epochs(4)
    assert {0, data.best, 8} <= set(epochs)
    assert [panel.title for panel in chart.panels] == [f"epoch {epoch}" for epoch in epochs]
    for epoch, panel in zip(epochs, chart.panels, strict=True):
        heights = np.concatenate([mark.height for mark in panel.marks if isinstance(mark, Bars)])
        np.testing.assert_allclose(heights, outputs_of(data, epoch, rows.inputs[order])[:, 0], rtol=1e-6)


def test_predicted_numbers_are_in_the_users_units(
    run_data: dict[str, RunData], trained: dict[str, mlprun.Run]
) -> None:
    panels = computed("predictions", run_data["line"]).panels
    residuals = computed("residuals", run_data["line"]).panels
    assert run_data["line"].loss_targets == "standardised targets"
    assert [panel.title.partition(" ")[0] for panel in panels] == ["train", "dev", "test"]
    for panel, other in zip(panels, residuals, strict=False):
        metrics = trained["line"].best.evaluate()[panel.title.partition(" ")[0]]
        (one,), (text,) = ([m for m in panel.marks if isinstance(m, kind)] for kind in (Points, Text))
        assert 39 < one.x.min() < one.x.max() < 61
        assert reference.r2_score(one.x, one.y) == pytest.approx(metrics["r2"])
        rmse = reference.root_mean_squared_error(one.x, one.y)
        assert text.texts == (f"R² {metrics['r2']:.3f}\nRMSE {rmse:.3g}".replace("-", "−"),)
        (below,) = (mark for mark in other.marks if isinstance(mark, Points))
        np.testing.assert_allclose(below.y, one.y - one.x)


@pytest.mark.parametrize("feature", [None, "x [m]"])
def test_the_fan_has_bands_of_pairs_of_quantiles_and_marks_what_is_outside(
    feature: str | None, run_data: dict[str, RunData]
) -> None:
    data = run_data["quantiles"]
    (panel,) = computed("quantiles", data, feature=feature).panels
    predicted = data.predictions("test", data.best_or_last)
    bands = [mark for mark in panel.marks if isinstance(mark, Band)]
    assert [band.label for band in bands] == ["0.1 to 0.9", "0.3 to 0.5"]
    assert all((band.low <= band.high).all() for band in bands)
    inside, outside = (mark for mark in panel.marks if isinstance(mark, Points))
    truth = predicted.targets[:, 0]
    covered = (truth >= predicted.outputs[:, 0]) & (truth <= predicted.outputs[:, -1])
    assert sorted(inside.y) == sorted(truth[covered])
    assert sorted(outside.y) == sorted(truth[~covered])
    low = np.interp(inside.x, bands[0].position, bands[0].low)
    assert (inside.y >= low - 0.02 * np.ptp(truth)).all()


def test_the_predicted_number_of_quantiles_is_their_median(run_data: dict[str, RunData]) -> None:
    data = run_data["quantiles"]
    (points,) = (mark for mark in computed("predictions", data).panels[-1].marks if isinstance(mark, Points))
    predicted = data.predictions("test", data.best_or_last)
    np.testing.assert_array_equal(points.y, predicted.outputs[:, 2])
    assert unsupported("quantiles", data, feature="z").startswith("no input 'z'")


def test_labels_have_a_roc_curve_each_and_their_mean(run_data: dict[str, RunData]) -> None:
    data = run_data["labels"]
    predicted = data.predictions("test", data.best_or_last)
    areas = [
        reference.roc_auc_score(truth, scores)
        for truth, scores in zip(predicted.targets.T, predicted.outputs.T, strict=True)
    ]
    lines = [mark.label for mark in computed("roc", data).panels[0].marks if isinstance(mark, Line)]
    names = [f"{name} (AUC {area:.3f})" for name, area in zip(("high", "far"), areas, strict=True)]
    assert lines[1:] == [f"mean of 2 labels (AUC {np.mean(areas):.3f})", *names]
    for kind in ("confusion", "predictions"):
        assert unsupported(kind, data) == "targets are labels"


def test_many_predictions_are_counted_in_hexagons() -> None:
    draw = np.random.default_rng(5)
    true = draw.normal(size=6000)
    one = SplitPredictions("test", true, true + draw.normal(size=6000), 6000)
    ends = (-6.0, 6.0), (-9.0, 9.0)
    (mark,) = one.marks(one.true, one.predicted, ends)
    assert isinstance(mark, Polygons)
    assert mark.values.sum() == 6000
    found = hexagons(np.column_stack([one.true, one.predicted]), ends)
    middles = found.corners.mean(axis=1)
    size = np.array([12 / 40, 18 / 40 * np.sqrt(3)])  # where heights are as long as drawn, cells are regular
    flat = (np.column_stack([one.true, one.predicted]) - middles[found.cells]) / size * [1, np.sqrt(3)]
    everywhere = (
        (np.column_stack([one.true, one.predicted])[:, None] - middles[None]) / size * [1, np.sqrt(3)]
    )
    nearest = np.linalg.norm(everywhere, axis=2).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(flat, axis=1), nearest, atol=1e-9)


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
    assert [panel.title for panel in chart.panels] == ["layers.0 (8)", "layers.1 (4)"]
    names = ["layers.0.weight", "layers.1.weight"]
    for name, points in zip(names, chart.marks(Points), strict=True):
        for epoch, weights in zip((1, 5), (points.x, points.y), strict=True):
            assert np.array_equal(
                weights,
                data.models[epoch][name].ravel(),
            )
    with pytest.raises(UsageError, match="no network was kept of epoch 3"):
        computed("weight_changes", data, epochs=(0, 3))
    labels = computed("weights", run_data["symbols"]).panels[0].x.tick_labels
    assert labels is not None
    assert labels[0].startswith("embedding\n")
    few, many = (computed("weights", run_data[shape]) for shape in ("moons", "odd"))
    assert not few.marks(Band)
    values = np.sort(data.models[data.best]["layers.0.weight"].ravel())
    np.testing.assert_array_equal(few.marks(Points)[1].y, values)
    (median,) = (line.y[0] for line in few.marks(Line)[2:3])
    assert median == pytest.approx(np.median(values), rel=1e-6)
    assert all(len(band.position) > 50 for band in many.marks(Band))


def test_curves_are_the_columns_of_the_history_where_they_were_evaluated(
    run_data: dict[str, RunData], trained: dict[str, mlprun.Run]
) -> None:
    history = trained["moons"].history
    chart = computed("loss", run_data["moons"])
    lines = by_label(chart)
    best = trained["moons"].metrics["best"]
    names = {"train bce", "dev bce", "train mse", "dev mse", "train, with penalties"}
    assert set(lines) == names
    assert [text.texts for text in chart.marks(Text)] == [(f"best: {best['epoch']}",)]
    assert np.array_equal(lines["train bce"].y, history["train_loss"])
    assert list(lines["dev bce"].x) == [2, 4, 6, 8]
    (star,) = chart.marks(Points)
    assert (star.x[0], star.y[0]) == (best["epoch"], pytest.approx(best["value"]))
    panels = computed("metrics", run_data["moons"]).panels
    assert [panel.y.label for panel in panels] == ["accuracy", "ROC AUC"]
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
        assert [text.texts for text in chart.marks(Text)] == [(f"best: {at + 1} (not logged)",)]
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
    data = api.train(config, out=str(tmp_path)).figure_data
    chart = computed("data", data)
    assert sum(len(mark.x) for mark in chart.marks(Points)) in range(ROWS - 3, ROWS + 1)
    assert "of 5,200 rows as points" in "".join(chart.details)
    for index, region in enumerate(chart.marks(Region)):  # the densest half and nine tenths of each class
        rows = data.rows("train")
        x, y = rows.inputs[rows.truth == index].T
        left, right, bottom, top = region.extent
        count = len(region.values) - 1
        cells = (
            np.rint((one - low) / (high - low) * count).astype(int)
            for one, low, high in ((y, bottom, top), (x, left, right))
        )
        inside = region.values[tuple(cells)]
        for level, share in zip(region.levels, (0.9, 0.5), strict=True):
            assert np.mean(inside >= level) == pytest.approx(share, abs=0.06)
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
    assert f"{figures['accuracy']:.1%} of 20 rows on the diagonal" in details


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
