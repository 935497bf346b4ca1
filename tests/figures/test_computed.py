"""What pictures are computed from, against scikit-learn, the checkpoints and closed forms."""

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
from mlprun.figures import catalogue, curves, scores
from mlprun.figures.calibration import reliability
from mlprun.figures.plane import plane_of, spread
from mlprun.figures.points import POINTS
from mlprun.parts.activations import activations
from mlprun.parts.metrics import Predictions
from mlprun.storage import checkpoints

if TYPE_CHECKING:
    from mlprun.figures import Subject


def computed(kind: str, subject: Subject, **options: Any) -> Any:
    return figures.make(kind, **options).compute(subject)


def network_says(subject: Subject, epoch: int, inputs: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return subject.networks[epoch](torch.from_numpy(inputs)).numpy()


def test_the_networks_are_those_of_the_checkpoints(trained: dict[str, mlprun.Run]) -> None:
    run, subject = trained["moons"], trained["moons"].subject
    best, last = (checkpoints.read(path) for path in (run.folder.best, run.folder.last))
    assert list(subject.networks) == sorted({0, 1, 2, 5, best.meta["epoch"], 8})
    assert subject.best == best.meta["epoch"]
    for epoch, tensors in {subject.best: best.under("model."), 8: last.under("model.")}.items():
        state = subject.networks[epoch].state_dict()
        assert all(np.array_equal(state[name], array) for name, array in tensors.items())
    start = subject.experiment.network().state_dict()
    assert all(torch.equal(start[name], value) for name, value in subject.networks[0].state_dict().items())


@pytest.mark.parametrize("shape", ["moons", "odd", "two_targets", "hinge"])
def test_a_surface_is_what_the_network_says_at_each_point_of_the_grid(
    shape: str, subjects: dict[str, Subject]
) -> None:
    subject = subjects[shape]
    surface = computed("regions", subject).surfaces[0]
    assert surface.outputs.shape[:2] == (200, 200)
    left, right, bottom, top = surface.extent
    plane = plane_of(subject, None)
    for row, column in ((0, 0), (3, 199), (120, 57)):
        place = [left + (right - left) * column / 199, bottom + (top - bottom) * row / 199]
        inputs = plane.inputs(np.array([place])).astype(np.float32)
        said = subject.preprocessing.restore(network_says(subject, surface.epoch, inputs))
        np.testing.assert_allclose(surface.outputs[row, column], said[0], rtol=1e-5, atol=1e-6)


def test_two_inputs_are_the_plane_in_the_users_units(subjects: dict[str, Subject]) -> None:
    subject = subjects["moons"]
    plane, inputs = plane_of(subject, None), subject.rows("train").inputs
    np.testing.assert_allclose(plane.show(inputs), inputs, rtol=1e-6)
    np.testing.assert_allclose(plane.inputs(plane.show(inputs)), inputs, rtol=1e-5, atol=1e-7)


def test_a_pair_of_standardised_inputs_is_shown_in_their_units_with_the_others_at_their_mean(
    subjects: dict[str, Subject],
) -> None:
    subject = subjects["odd"]
    names, rows = subject.preprocessing.names, subject.rows("train").inputs
    plane = plane_of(subject, (names[1], names[0]))
    means, scales = subject.preprocessing.input_units
    for place, index in enumerate((1, 0)):
        raw = rows[:, index] * scales[index] + means[index]
        np.testing.assert_allclose(plane.show(rows)[:, place], raw, rtol=1e-5)
    back = plane.inputs(plane.show(rows))
    np.testing.assert_allclose(back[:, :2], rows[:, :2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(back[:, 2:], np.tile(rows[:, 2:].mean(axis=0), (len(rows), 1)), rtol=1e-5)
    with pytest.raises(UsageError, match="'nothing' is no input"):
        plane_of(subject, (names[0], "nothing"))
    with pytest.raises(UsageError, match="named twice"):
        plane_of(subject, (names[0], names[0]))


def test_the_plane_of_more_inputs_is_that_of_the_principal_components(subjects: dict[str, Subject]) -> None:
    subject = subjects["odd"]
    rows = subject.rows("train").inputs.astype(np.float64)
    pca = decomposition.PCA(2).fit(rows)
    shown = plane_of(subject, None).show(rows)
    np.testing.assert_allclose(np.abs(shown), np.abs(pca.transform(rows)), rtol=1e-6, atol=1e-9)
    assert f"{pca.explained_variance_ratio_[0]:.0%}" in plane_of(subject, None).names[0]


def test_rows_are_the_fainter_the_farther_they_lie_off_the_slice(subjects: dict[str, Subject]) -> None:
    subject = subjects["odd"]
    rows = subject.rows("train").inputs.astype(np.float64)
    pca = decomposition.PCA(2).fit(rows)
    within = pca.transform(rows)
    off = np.linalg.norm(rows - pca.inverse_transform(within), axis=1)
    near = np.square(within).sum(axis=1).mean()
    values = computed("regions", subject)
    assert "slice through the mean" in values.details[0]
    expected = 0.15 + 0.85 * np.exp(-(off**2) / (2 * near))
    assert values.points[0].split == "train"
    np.testing.assert_allclose(values.points[0].opacity, expected, rtol=1e-6)
    assert (
        "slice with the other 3 inputs at their mean"
        in computed("regions", subject, features=subject.preprocessing.names[:2]).details[0]
    )
    plain = computed("regions", subjects["moons"])
    assert "slice" not in plain.details[0]
    assert plain.points[0].opacity is None


def test_regions_in_a_plane_that_holds_little_of_the_data_are_drawn_only_when_asked_for(
    tmp_path: Any,
) -> None:
    draw = np.random.default_rng(0).normal(size=(60, 8))
    dataset = {"name": "inline", "inputs": draw.tolist(), "targets": [int(x) for x in draw[:, 0] > 0]}
    subject = mlprun.train(
        {"name": "ball", "dataset": dataset}, "training.epochs=3", out=str(tmp_path)
    ).subject
    share = decomposition.PCA(2).fit(draw).explained_variance_ratio_.sum()
    assert share < 0.5
    for kind in ("regions", "frames"):
        reason = figures.refusal(figures.make(kind), subject)
        assert reason is not None
        assert f"at most {share:.0%} of the variance of 8 inputs; name two of them with --features" in reason
        names = subject.preprocessing.names
        assert figures.refusal(figures.make(kind, features=(names[0], names[5])), subject) is None
    assert figures.refusal(figures.make("data"), subject) is None


@pytest.mark.parametrize("ties", [False, True])
def test_curves_over_all_thresholds_are_scikit_learns(ties: bool) -> None:
    draw = np.random.default_rng(1)
    positive = draw.random(300) < 0.3
    values = draw.normal(size=300) + positive
    values = values.round(1) if ties else values
    ranking = scores.rank(values, positive)
    false, true, _ = reference.roc_curve(positive, values, drop_intermediate=False)
    np.testing.assert_allclose(ranking.roc, (false, true))
    assert ranking.area == pytest.approx(reference.roc_auc_score(positive, values))
    assert ranking.average_precision == pytest.approx(reference.average_precision_score(positive, values))
    precision, recall, _ = reference.precision_recall_curve(positive, values)
    np.testing.assert_allclose(ranking.precision_recall, (recall[::-1], precision[::-1]))


def test_two_classes_are_ranked_on_every_split_and_more_against_all_others(
    subjects: dict[str, Subject], trained: dict[str, mlprun.Run]
) -> None:
    two = computed("roc", subjects["moons"]).rankings
    figures = trained["moons"].best.evaluate()
    assert {split: pair[0].area for split, pair in two.items()} == {
        split: pytest.approx(values["roc_auc"]) for split, values in figures.items()
    }
    subject = subjects["odd"]
    said = subject.predictions("test", subject.best)
    three = [pair[0].area for pair in computed("roc", subject).rankings.values()]
    expected = [reference.roc_auc_score(said.targets == k, said.outputs[:, k]) for k in range(3)]
    assert three == pytest.approx(expected)


def test_the_confusion_matrix_is_scikit_learns(subjects: dict[str, Subject]) -> None:
    for split in ("train", "test"):
        said = subjects["odd"].predictions(split, subjects["odd"].best)
        expected = reference.confusion_matrix(said.targets, said.labels, labels=[0, 1, 2])
        assert np.array_equal(computed("confusion", subjects["odd"], split=split).counts, expected)


def test_reliability_is_scikit_learns_calibration_curve() -> None:
    draw = np.random.default_rng(2)
    said = draw.random(500)
    true = (draw.random(500) < said**2).astype(np.int64)
    curve = reliability("dev", Predictions(said[:, None], true, ("no", "yes"), probabilistic=True))
    shares, means = calibration.calibration_curve(true, said, n_bins=10)
    np.testing.assert_allclose(curve.true, shares)
    np.testing.assert_allclose(curve.said, means)
    assert curve.rows.sum() == 500
    perfect = Predictions(np.eye(3)[true], true, ("a", "b", "c"), probabilistic=True)
    assert reliability("dev", perfect).error == 0


def test_histograms_count_every_row_once(subjects: dict[str, Subject]) -> None:
    subject = subjects["moons"]
    values = computed("probabilities", subject, split="dev")
    assert len(values.panels) == len(subject.networks)
    targets = subject.rows("dev").truth
    for epoch, panel in zip(subject.networks, values.panels, strict=True):
        assert panel.inside.sum() == (targets == 1).sum()
        assert panel.outside.sum() == (targets == 0).sum()
        said = network_says(subject, epoch, subject.rows("dev").inputs)[:, 0]
        assert panel.inside[10:].sum() == (said[targets == 1] >= 0.5).sum()
    odd = subjects["odd"]
    for panel in computed("probabilities", odd).panels:
        assert panel.inside.sum() + panel.outside.sum() == len(odd.rows("test"))


def test_outputs_are_what_each_kept_network_says_with_rows_sorted_by_class(
    subjects: dict[str, Subject],
) -> None:
    subject = subjects["moons"]
    values, rows = computed("outputs", subject), subject.rows("train")
    order = np.argsort(rows.truth, kind="stable")
    assert np.array_equal(values.truth, np.sort(rows.truth))
    assert list(values.outputs) == list(subject.networks)
    for epoch, outputs in values.outputs.items():
        np.testing.assert_allclose(outputs, network_says(subject, epoch, rows.inputs[order]), rtol=1e-6)


def test_predicted_numbers_are_in_the_users_units(
    subjects: dict[str, Subject], trained: dict[str, mlprun.Run]
) -> None:
    values = computed("predictions", subjects["line"])
    assert subjects["line"].scaled_targets
    figures = trained["line"].best.evaluate()
    for one in values.answers:
        assert 39 < one.true.min() < one.true.max() < 61
        assert reference.r2_score(one.true, one.predicted) == pytest.approx(figures[one.split]["r2"])


def test_the_fit_is_what_the_network_says_over_its_input(subjects: dict[str, Subject]) -> None:
    subject = subjects["line"]
    values = computed("fit", subject)
    mean, scale = (units[0] for units in subject.preprocessing.input_units)
    inputs = ((values.inputs - mean) / scale)[:, None]
    said = subject.preprocessing.restore(network_says(subject, subject.best, inputs))
    np.testing.assert_allclose(values.outputs, said, rtol=1e-12)
    places = np.concatenate([one.places for one in values.points])
    np.testing.assert_allclose(places[:, 1], 50 + 10 * np.sin(places[:, 0]), rtol=1e-9)


def test_weights_are_those_of_both_networks_without_biases(subjects: dict[str, Subject]) -> None:
    subject = subjects["moons"]
    values = computed("weight_changes", subject, epochs=(1, 5))
    assert list(values.matrices) == ["layers.0.weight", "layers.1.weight"]
    for name, pair in values.matrices.items():
        for epoch, numbers in zip((1, 5), pair, strict=True):
            assert np.array_equal(numbers, subject.networks[epoch].state_dict()[name].numpy().ravel())
    with pytest.raises(UsageError, match="no network was kept of epoch 3"):
        computed("weight_changes", subject, epochs=(0, 3))
    assert next(iter(computed("weights", subjects["symbols"]).matrices)) == "embedding.weight"


def test_curves_are_the_columns_of_the_history_where_they_were_evaluated(
    subjects: dict[str, Subject], trained: dict[str, mlprun.Run]
) -> None:
    history = trained["moons"].history
    values = computed("loss", subjects["moons"])
    drawn = {one.label: one for one in values.curves}
    assert set(drawn) == {"train bce", "dev bce", "train mse", "dev mse", "train, with penalties"}
    assert np.array_equal(drawn["train bce"].values, history["train_loss"])
    assert list(drawn["dev bce"].epochs) == [2, 4, 6, 8]
    best = trained["moons"].figures["best"]
    assert values.best == curves.Mark(best["epoch"], pytest.approx(best["value"]), logged=True)
    assert list(computed("metrics", subjects["moons"]).curves) == ["accuracy", "roc_auc"]
    rates = computed("learning_rate", subjects["moons"]).curve.values
    np.testing.assert_allclose(rates, 0.5 * 0.9 ** np.arange(8))


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
    subject = mlprun.train(config, out=str(tmp_path)).subject
    at = int(full["dev_loss"].argmin())
    assert full["epoch"][at] not in subject.history["epoch"]  # what this is about
    mark = computed("loss", subject).best
    assert mark == curves.Mark(at + 1, full["dev_loss"][at], logged=False)
    assert computed("metrics", subject).best == {
        "accuracy": curves.Mark(at + 1, full["dev_accuracy"][at], logged=False)
    }
    for kind in ("loss", "metrics"):
        (legend,) = figures.draw(kind, subject).legends
        assert any("evaluated, not logged" in text.get_text() for text in legend.get_texts())
        (star,) = [
            line
            for axes in figures.draw(kind, subject).axes
            for line in axes.lines
            if line.get_marker() == "*"
        ]
        value = full["dev_loss" if kind == "loss" else "dev_accuracy"][at]
        assert (star.get_xdata()[0], star.get_ydata()[0]) == (at + 1, value)


def test_a_long_history_keeps_its_ends_and_extremes() -> None:
    epochs = np.arange(1, 1_400_001)
    values = np.sin(epochs / 1e5)
    values[700_123], values[900_001] = 9.0, -9.0
    fewer, kept = curves.thinned(epochs, values)
    assert len(fewer) <= 2.1 * curves.POINTS
    assert (fewer[0], fewer[-1]) == (1, 1_400_000)
    assert (kept.max(), kept.min()) == (9.0, -9.0)
    assert np.array_equal(values[fewer - 1], kept)


def test_of_many_rows_evenly_spread_ones_are_drawn_and_the_picture_says_so(tmp_path: Any) -> None:
    import mlprun.api as api

    split = {"train": 5000, "dev": 100, "test": 100}
    config = {"name": "many", "dataset": {"name": "moons", "split": split}, "training": {"epochs": 0}}
    values = computed("data", api.train(config, out=str(tmp_path)).subject)
    assert [len(one.places) for one in values.points] == [POINTS, 100, 100]
    assert "2,000 of 5,000 train rows shown" in "".join(values.details)
    chosen = spread(5000, POINTS)
    assert len(set(chosen.tolist())) == POINTS
    assert (chosen[0], chosen[-1]) == (0, 4999)


def test_symbols_are_shown_as_they_stand(subjects: dict[str, Subject]) -> None:
    assert np.array_equal(
        computed("data", subjects["symbols"]).symbols, (np.arange(4)[:, None] + np.arange(3)) % 4
    )


def test_fresh_rows_are_those_that_the_epoch_was_evaluated_on(
    subjects: dict[str, Subject], trained: dict[str, mlprun.Run]
) -> None:
    subject = subjects["fresh"]
    counts = computed("confusion", subject, split="dev").counts
    figures = trained["fresh"].figures["best"]["splits"]["dev"]
    assert np.trace(counts) / counts.sum() == pytest.approx(figures["accuracy"])


def test_every_elementwise_activation_is_drawn_with_its_derivative() -> None:
    found = {shape.label.partition("\n")[0]: shape for shape in catalogue.shapes()}
    assert set(found) == {part.names()[0] for part in activations if part.elementwise}
    for name, shape in found.items():
        slopes = np.gradient(shape.values, shape.inputs)
        smooth = np.abs(np.gradient(slopes)) < 0.02  # away from kinks
        np.testing.assert_allclose(shape.slopes[smooth], slopes[smooth], atol=0.02, err_msg=name)
    hard = [shape for shape in catalogue.shapes() if shape.label.startswith("hard_logistic")]
    assert sorted(float(shape.slopes[400]) for shape in hard) == pytest.approx([1 / 6, 1 / 4])
