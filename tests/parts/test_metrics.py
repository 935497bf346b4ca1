"""Metrics against scikit-learn on random predictions, and where it leaves off."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.preprocessing import label_binarize

from mlprun.evaluation import target_metrics
from mlprun.parts.data import DatasetInfo
from mlprun.parts.metrics import Metric, Predictions, metrics

SEEDS = st.integers(0, 2**32 - 1)


def metric(name: str, **options: object) -> Metric:
    return metrics[name].model_validate({"name": name, **options})


def of_classes(outputs: object, targets: object, classes: int, **options: object) -> Predictions:
    names = tuple(f"class {number}" for number in range(classes))
    return Predictions(np.asarray(outputs), np.asarray(targets), names, probabilistic=True, **options)


def drawn_weights(draw: st.DrawFn, random: np.random.Generator, rows: int) -> np.ndarray | None:
    return random.integers(1, 9, rows) / 4 if draw(st.booleans()) else None


@st.composite
def predicted_classes(draw: st.DrawFn, *, every_class: bool = False) -> Predictions:
    """Rounded probabilities, so that ties are common; two classes in one column or two."""
    random = np.random.default_rng(draw(SEEDS))
    classes, rows = draw(st.integers(2, 5)), draw(st.integers(5, 40))
    targets = random.integers(classes, size=rows)
    if every_class:
        targets[:classes] = np.arange(classes)
    digits, weights = draw(st.sampled_from([1, 2, 12])), drawn_weights(draw, random, rows)
    if classes == 2 and draw(st.booleans()):
        outputs = random.random((rows, 1)).round(digits)
        return of_classes(outputs, targets, 2, weights=weights)
    # multiples of 2^-digits that sum to 1 exactly, as scikit-learn asks of probabilities
    counts = random.multinomial(2 ** (digits + 2), np.full(classes, 1 / classes), size=rows)
    return of_classes(counts / 2 ** (digits + 2), targets, classes, weights=weights)


@st.composite
def predicted_numbers(draw: st.DrawFn) -> Predictions:
    random = np.random.default_rng(draw(SEEDS))
    shape = draw(st.integers(2, 40)), draw(st.integers(1, 3))
    targets = random.normal(3, 2, shape)
    weights = drawn_weights(draw, random, len(targets))
    outputs = targets + random.normal(0.1, 1, shape)
    return Predictions(outputs, targets, None, probabilistic=False, weights=weights)


@st.composite
def predicted_quantiles(draw: st.DrawFn) -> Predictions:
    random = np.random.default_rng(draw(SEEDS))
    rows, levels = draw(st.integers(2, 40)), draw(st.sampled_from([(0.1, 0.5, 0.9), (0.25, 0.75)]))
    targets = random.normal(3, 2, (rows, 1)).round(1)
    outputs = np.sort(random.normal(3, 2, (rows, len(levels))).round(1), axis=1)
    weights = drawn_weights(draw, random, rows)
    return Predictions(outputs, targets, None, probabilistic=False, levels=levels, weights=weights)


@st.composite
def predicted_labels(draw: st.DrawFn, *, every: bool = False) -> Predictions:
    random = np.random.default_rng(draw(SEEDS))
    shape = draw(st.integers(5, 40)), draw(st.integers(2, 4))
    targets = random.integers(2, size=shape).astype(float)
    if every:
        targets[0], targets[1] = 0, 1
    outputs = random.random(shape).round(draw(st.sampled_from([1, 12])))
    return Predictions(outputs, targets, None, probabilistic=True, multilabel=True)


KINDS = {
    "classes": predicted_classes,
    "labels": predicted_labels,
    "numbers": predicted_numbers,
    "quantiles": predicted_quantiles,
}


def scores(p: Predictions) -> np.ndarray:
    return p.probabilities[:, 1] if len(p.classes) == 2 else p.outputs


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-12, abs=1e-12)


@given(predicted_classes())
def test_shares_of_right_classes_are_those_of_scikit_learn(p):
    assert metric("accuracy").compute(p) == close(
        sk.accuracy_score(p.targets, p.labels, sample_weight=p.weights)
    )
    present = [c for c in range(len(p.classes)) if (p.targets == c).any()]
    recalls = sk.recall_score(
        p.targets, p.labels, average=None, labels=present, zero_division=0, sample_weight=p.weights
    )
    assert metric("balanced_accuracy").compute(p) == close(np.mean(recalls))
    expected = sk.confusion_matrix(p.targets, p.labels, labels=range(len(p.classes)), sample_weight=p.weights)
    assert metric("confusion_matrix").compute(p) == expected.tolist()


@given(predicted_classes(), st.sampled_from(["macro", "micro", "weighted"]))
def test_averaged_figures_are_those_of_scikit_learn(p, average):
    expected = sk.precision_recall_fscore_support(
        p.targets, p.labels, average=average, zero_division=0, sample_weight=p.weights
    )
    for name, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert metric(name, average=average).compute(p) == close(value)


@given(predicted_classes())
def test_figures_are_of_class_one_for_two_classes_and_macro_for_more(p):
    average = "binary" if len(p.classes) == 2 else "macro"
    expected = sk.precision_recall_fscore_support(
        p.targets, p.labels, average=average, zero_division=0, sample_weight=p.weights
    )
    for name, value in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert metric(name).compute(p) == close(value)


@given(predicted_classes(every_class=True))
def test_figures_of_the_order_are_those_of_scikit_learn(p):
    weights = p.weights
    if len(p.classes) == 2:
        expected = sk.roc_auc_score(p.targets, scores(p), sample_weight=weights)
    else:
        expected = np.mean(
            [sk.roc_auc_score(p.targets == c, s, sample_weight=weights) for c, s in enumerate(p.outputs.T)]
        )
    assert metric("roc_auc").compute(p) == close(expected)
    truth = p.targets if len(p.classes) == 2 else label_binarize(p.targets, classes=range(len(p.classes)))
    expected = sk.average_precision_score(truth, scores(p), sample_weight=weights)
    assert metric("average_precision").compute(p) == close(expected)


@given(predicted_classes(every_class=True))
def test_figures_of_probabilities_are_those_of_scikit_learn(p):
    labels = list(range(len(p.classes)))
    expected = sk.log_loss(p.targets, p.probabilities, labels=labels, sample_weight=p.weights)
    assert metric("log_loss").compute(p) == close(expected)
    truth = np.eye(len(labels))[p.targets]
    expected = np.average((p.probabilities[:, 1] - p.targets) ** 2, weights=p.weights)
    if len(labels) > 2:
        expected = np.average(np.sum((p.probabilities - truth) ** 2, axis=1), weights=p.weights)
    assert metric("brier").compute(p) == close(expected)


@pytest.mark.parametrize("name", [name for name in metrics.names() if metrics[name].scalar])
@settings(max_examples=40)
@given(data=st.data())
def test_no_value_is_out_of_the_bounds_that_a_metric_names(name, data):
    low, high = metrics[name].bounds
    p = data.draw(KINDS[metrics[name].target]())
    if not (metrics[name].two_classes_only and len(p.classes) > 2):
        value = metric(name).compute(p)
        assert math.isnan(value) or low - 1e-12 <= value <= high + 1e-12


def test_brier_of_two_classes_is_that_of_scikit_learn():
    p = of_classes([[0.1], [0.9], [0.4]], [0, 1, 1], 2)
    assert metric("brier").compute(p) == close(sk.brier_score_loss(p.targets, p.outputs[:, 0]))


@given(predicted_numbers())
def test_figures_of_numbers_are_those_of_scikit_learn(p):
    weights = {"sample_weight": p.weights}
    assert metric("mse").compute(p) == close(sk.mean_squared_error(p.targets, p.outputs, **weights))
    assert metric("rmse").compute(p) == close(sk.root_mean_squared_error(p.targets, p.outputs, **weights))
    assert metric("mae").compute(p) == close(sk.mean_absolute_error(p.targets, p.outputs, **weights))
    assert metric("r2").compute(p) == close(sk.r2_score(p.targets, p.outputs, **weights))
    columns = zip(p.targets.T, p.outputs.T, strict=True)
    assert metric("max_error").compute(p) == close(np.mean([sk.max_error(t, o) for t, o in columns]))


@given(predicted_labels(every=True))
def test_figures_of_labels_are_those_of_scikit_learn(p):
    assert metric("label_accuracy").compute(p) == close(1 - sk.hamming_loss(p.targets, p.labels))
    assert metric("subset_accuracy").compute(p) == close(sk.accuracy_score(p.targets, p.labels))
    assert metric("roc_auc").compute(p) == close(sk.roc_auc_score(p.targets, p.outputs, average="macro"))
    expected = sk.average_precision_score(p.targets, p.outputs, average="macro")
    assert metric("average_precision").compute(p) == close(expected)
    columns = list(zip(p.targets.T, p.outputs.T, strict=True))
    losses = [sk.log_loss(truth, scores, labels=[0, 1]) for truth, scores in columns]
    assert metric("log_loss").compute(p) == close(np.mean(losses))
    assert metric("brier").compute(p) == close(np.mean([sk.brier_score_loss(*pair) for pair in columns]))


@given(predicted_labels(), st.sampled_from(["macro", "micro", "weighted", "auto"]))
def test_averages_over_labels_are_those_of_scikit_learn(p, average):
    of = "macro" if average == "auto" else average
    expected = sk.precision_recall_fscore_support(p.targets, p.labels, average=of, zero_division=0)
    for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
        assert metric(name, average=average).compute(p) == close(value)


@given(predicted_labels(every=True))
def test_every_label_has_the_figures_of_its_own_two_classes(p):
    names = tuple("abcd"[: p.targets.shape[1]])
    found = target_metrics(p, names)
    expected = sk.precision_recall_fscore_support(p.targets, p.labels, average=None, zero_division=0)
    for k, name in enumerate(names):
        values = [found.targets[name][one] for one in ("precision", "recall", "f1", "support")]
        assert values == [close(column[k]) for column in expected]
        area = sk.roc_auc_score(p.targets[:, k], p.outputs[:, k])
        assert found.targets[name]["roc_auc"] == close(area)
    for kind, values in found.averages.items():
        expected = sk.precision_recall_fscore_support(p.targets, p.labels, average=kind, zero_division=0)
        assert list(values.values()) == [close(value) for value in expected[:3]]


@given(predicted_numbers())
def test_every_target_has_the_figures_of_its_own_numbers(p):
    names, weights = tuple("abc"[: p.targets.shape[1]]), {"sample_weight": p.weights}
    found = target_metrics(p, names)
    assert found.averages == {}
    for name, truth, outputs in zip(names, p.targets.T, p.outputs.T, strict=True):
        assert found.targets[name] == {
            "mse": close(sk.mean_squared_error(truth, outputs, **weights)),
            "rmse": close(sk.root_mean_squared_error(truth, outputs, **weights)),
            "mae": close(sk.mean_absolute_error(truth, outputs, **weights)),
            "r2": close(sk.r2_score(truth, outputs, **weights)),
        }


@given(predicted_quantiles())
def test_figures_of_quantiles_are_those_of_scikit_learn_and_of_their_definition(p):
    truth, weights = p.targets[:, 0], {"sample_weight": p.weights}
    columns = zip(p.levels, p.outputs.T, strict=True)
    losses = [sk.mean_pinball_loss(truth, column, alpha=level, **weights) for level, column in columns]
    assert metric("pinball").compute(p) == close(np.mean(losses))
    inside = [low <= y <= high for y, (low, *_, high) in zip(truth, p.outputs, strict=True)]
    assert metric("coverage").compute(p) == close(np.average(inside, weights=p.weights))
    widths = [row[-1] - row[0] for row in p.outputs]
    assert metric("interval_width").compute(p) == close(np.average(widths, weights=p.weights))
    if 0.5 in p.levels:
        expected = sk.mean_absolute_error(truth, p.outputs[:, 1], **weights)
        assert metric("mae").compute(p) == close(expected)


def test_class_one_is_strictly_above_the_threshold():
    outputs = [[0.5], [0.5000001], [0.2]]
    assert metric("accuracy").compute(of_classes(outputs, [0, 1, 0], 2)) == 1
    assert metric("accuracy").compute(of_classes([[0.0], [0.1]], [0, 1], 2, threshold=0.0)) == 1


def test_all_scores_equal_are_no_better_than_chance():
    p = of_classes(np.full((6, 1), 0.3), [0, 1, 0, 1, 1, 1], 2)
    assert metric("roc_auc").compute(p) == 0.5
    assert metric("average_precision").compute(p) == close(4 / 6)


@pytest.mark.parametrize("targets", [[0, 0, 0], [1, 1, 1]])
def test_one_class_has_no_roc_auc(targets):
    p = of_classes([[0.1], [0.7], [0.4]], targets, 2)
    assert math.isnan(metric("roc_auc").compute(p))
    assert math.isnan(metric("average_precision").compute(p)) == (sum(targets) == 0)


def test_a_class_without_rows_is_left_out_of_the_mean_over_classes():
    outputs = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.7, 0.2, 0.1]])
    p = of_classes(outputs, [0, 1, 1, 0], 3)
    areas = [sk.roc_auc_score(p.targets == number, outputs[:, number]) for number in (0, 1)]
    assert metric("roc_auc").compute(p) == close(np.mean(areas))


def test_a_certain_mistake_costs_much_but_not_infinity():
    for dtype in (np.float32, np.float64):
        p = of_classes(np.array([[1.0], [0.0]], dtype), [0, 0], 2)
        expected = -math.log(np.finfo(dtype).eps) / 2
        assert metric("log_loss").compute(p) == pytest.approx(expected, rel=1e-6)


def test_a_target_that_never_changes_has_no_r2():
    targets = np.full((5, 1), 0.1)
    p = Predictions(targets + np.arange(5.0)[:, None], targets, None, probabilistic=False)
    assert math.isnan(metric("r2").compute(p))


@pytest.mark.parametrize("part", [m for m in metrics if m.scalar], ids=lambda part: part.names()[0])
def test_no_rows_give_nan(part):
    if part.target == "classes":
        p = of_classes(np.zeros((0, 1)), np.zeros(0, np.int64), 2)
    else:
        p = Predictions(np.zeros((0, 2)), np.zeros((0, 2)), None, probabilistic=False)
    assert math.isnan(part.model_validate({}).compute(p))


@pytest.mark.parametrize("part", list(metrics), ids=lambda part: part.names()[0])
def test_a_perfect_prediction_is_as_good_as_its_goal_says(part):
    random = np.random.default_rng(0)
    if part.target == "classes":
        targets = np.arange(30) % 3
        perfect, poor = (
            of_classes(np.eye(3)[targets], targets, 3),
            of_classes(np.eye(3)[targets[::-1]], targets, 3),
        )
    elif part.target == "labels":
        targets = np.eye(3)[np.arange(30) % 3]
        perfect, poor = (
            Predictions(some, targets, None, probabilistic=True, multilabel=True)
            for some in (targets, targets[::-1])
        )
    elif part.target == "quantiles":
        targets = random.normal(size=(30, 1))
        perfect, poor = (
            Predictions(targets + width * np.array([-1, 1]), targets, None, False, levels=(0.1, 0.9))
            for width in (0, -1 if part.names()[0] == "coverage" else 2)
        )
    else:
        targets = random.normal(size=(30, 2))
        perfect = Predictions(targets, targets, None, probabilistic=False)
        poor = Predictions(targets + 1, targets, None, probabilistic=False)
    figure = part.model_validate({})
    if not part.scalar:
        assert figure.compute(perfect) == [[10, 0, 0], [0, 10, 0], [0, 0, 10]]
        return
    best = {"max": 1.0, "min": 0.0}[part.mode]
    assert figure.compute(perfect) == pytest.approx(best, abs=1e-15)
    assert abs(figure.compute(poor) - best) > 0.1
    assert type(figure.compute(poor)) is float


def test_an_average_of_class_one_is_refused_for_three_classes():
    assert "macro, micro or weighted" in metric("f1", average="binary").unsupported_reason(
        DatasetInfo(9, 2, ("a", "b", "c"))
    )
    assert metric("f1", average="binary").unsupported_reason(DatasetInfo(9, 2, ("a", "b"))) is None


def test_r2_of_the_mean_is_exactly_zero():
    generator = np.random.default_rng(0)
    for rows in range(2, 300):
        truth = generator.normal(3, 2, (rows, 1))
        mean = np.broadcast_to(truth.mean(axis=0), truth.shape)
        assert metric("r2").compute(Predictions(mean, truth, None, probabilistic=False)) == 0


@pytest.mark.parametrize("part", list(metrics), ids=lambda part: part.names()[0])
@settings(max_examples=30)
@given(data=st.data(), seed=SEEDS)
def test_a_weight_counts_copies_of_a_row(part, data, seed):
    p = data.draw(KINDS[part.target]())
    copies = np.random.default_rng(seed).integers(0, 4, len(p.targets))
    copies[:2] = 1
    rows = np.repeat(np.arange(len(copies)), copies)
    copied = dataclasses.replace(p, outputs=p.outputs[rows], targets=p.targets[rows], weights=None)
    weighted = dataclasses.replace(p, weights=copies.astype(np.float64))
    one = part.model_validate({})
    assert np.allclose(one.compute(weighted), one.compute(copied), rtol=1e-10, atol=1e-12, equal_nan=True)
