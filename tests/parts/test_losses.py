"""Losses against closed forms in NumPy, torch's modules and scikit-learn, over the whole registry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import hinge_loss, mean_pinball_loss
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from mlprun import api
from mlprun.errors import ConfigError
from mlprun.parts.activations import activations
from mlprun.parts.data import DatasetInfo
from mlprun.parts.losses import balanced_weights, losses

ROWS = 7
TWO = DatasetInfo(ROWS, 3, classes=("no", "yes"))
THREE = DatasetInfo(ROWS, 3, classes=("a", "b", "c"))
NUMBERS = DatasetInfo(ROWS, 3, classes=None, targets=2)
NUMBER = DatasetInfo(ROWS, 3, classes=None, targets=1)
KINDS = {"two classes": TWO, "three classes": THREE, "numbers": NUMBERS, "number": NUMBER}


def raw_targets(info, rows=ROWS):
    """Class ids, or rows of numbers that suit every loss: between 0 and 1, summing to 1."""
    generator = np.random.default_rng(5)
    if info.classes is not None:
        return np.arange(rows) % len(info.classes)
    first = generator.uniform(size=(rows, 1))
    return np.concatenate([first, 1 - first], axis=1)[:, : info.targets]


def example(loss, info, dtype=torch.float64):
    """Values [B, K] and encoded targets."""
    encoded = torch.from_numpy(loss.encode(raw_targets(info), info.classes and len(info.classes)))
    values = np.random.default_rng(1).normal(scale=3, size=(ROWS, loss.outputs(info)))
    targets = encoded if encoded.dtype == torch.int64 else encoded.to(dtype)
    return torch.from_numpy(values).to(dtype), targets


def accepted():
    for part in losses:
        for kind, info in KINDS.items():
            if part().unsupported_reason(info, part().outputs(info)) is None:
                yield pytest.param(part(), info, id=f"{part.names()[0]} on {kind}")
    weighted = losses["cross_entropy"](class_weights=(0.5, 2.0, 7.0), label_smoothing=0.1)
    yield pytest.param(weighted, THREE, id="cross_entropy weighted and smoothed")
    binary = losses["focal"](gamma=0.5, output="logistic")
    yield pytest.param(binary, TWO, id="focal of one output")
    yield pytest.param(losses["nll"](class_weights=(0.5, 2.0)), TWO, id="nll weighted")
    yield pytest.param(losses["quantile"](quantiles=(0.25,)), NUMBER, id="quantile alone")
    yield pytest.param(losses["poisson_nll"](full=True), NUMBERS, id="poisson_nll full")


on_every_loss = pytest.mark.parametrize(("loss", "info"), list(accepted()))


def with_options(loss, **options):
    return type(loss).model_validate(loss.model_dump() | options)


@on_every_loss
def test_the_sum_is_the_mean_times_the_weight(loss, info):
    values, targets = example(loss, info)
    mean = loss.build()(values, targets)
    total = with_options(loss, reduction="sum").build()(values, targets)
    assert total.item() == pytest.approx(mean.item() * loss.weight(targets), rel=1e-12)


@on_every_loss
def test_two_batches_weighted_give_the_whole(loss, info):
    values, targets = example(loss, info)
    function = loss.build()
    parts = [(values[:3], targets[:3]), (values[3:], targets[3:])]
    total = sum(function(v, t).item() * loss.weight(t) for v, t in parts)
    whole = total / sum(loss.weight(t) for _, t in parts)
    assert function(values, targets).item() == pytest.approx(whole, rel=1e-12)


@on_every_loss
def test_scale_multiplies_value_and_gradient(loss, info):
    gradients, results = [], []
    for scale in (1.0, 0.5):
        values, targets = example(loss, info)
        result = with_options(loss, scale=scale).build()(values.requires_grad_(), targets)
        result.backward()
        gradients.append(values.grad)
        results.append(result.detach())
    assert torch.equal(results[1], results[0] / 2)
    torch.testing.assert_close(gradients[1], gradients[0] / 2, rtol=1e-14, atol=0)


@on_every_loss
def test_shapes_that_differ_are_never_broadcast(loss, info):
    values, targets = example(loss, info)
    function = loss.build()
    wrong = targets[:, None] if targets.ndim == 1 else targets[:, 0]
    with pytest.raises(AssertionError, match="against"):
        function(values, wrong)
    with pytest.raises(AssertionError, match="against"):
        function(values[:1], targets)


@on_every_loss
def test_float32_values_give_a_float32_loss_near_the_float64_one(loss, info):
    function = loss.build()
    double, single = (function(*example(loss, info, dtype)) for dtype in (torch.float64, torch.float32))
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(double.item(), rel=1e-5)
    again = function(*example(loss, info))
    assert torch.equal(again, double), "class weights lost digits on the way"


@on_every_loss
def test_gradients_agree_with_finite_differences(loss, info):
    values, targets = example(loss, info)
    function = loss.build()
    assert torch.autograd.gradcheck(lambda v: function(v, targets), values.requires_grad_())


@on_every_loss
def test_values_of_any_size_give_a_finite_loss(loss, info):
    _, targets = example(loss, info, torch.float32)
    values = torch.full((ROWS, loss.outputs(info)), -1e4)
    values[::2, 0] = 50 if loss.activation == "exp" else 1e4  # the mean of a count may well overflow
    values.requires_grad_()
    result = loss.build()(values, targets)
    result.backward()
    assert torch.isfinite(result)
    assert torch.isfinite(values.grad).all()


def logistic(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def one_hot(ids, classes):
    return (ids[:, None] == np.arange(classes)).astype(float)


def mean_log_likelihood(z, ids):
    return np.log((softmax(z) * one_hot(ids, z.shape[1])).sum(axis=1)).mean()


LEVELS = np.array([0.1, 0.5, 0.9])


def mean_focal(p):
    return np.mean(-((1 - p) ** 2) * np.log(p))


CLOSED_FORMS = {
    "mse": lambda z, t: ((z - t) ** 2).mean(),
    "mae": lambda z, t: np.abs(z - t).mean(),
    "smooth_l1": lambda z, t: np.where(abs(z - t) < 1, 0.5 * (z - t) ** 2, abs(z - t) - 0.5).mean(),
    "huber": lambda z, t: np.where(abs(z - t) < 1, 0.5 * (z - t) ** 2, abs(z - t) - 0.5).mean(),
    "quantile": lambda z, t: np.where(t > z, LEVELS * (t - z), (1 - LEVELS) * (z - t)).mean(),
    "bce": lambda z, t: -(t * np.log(logistic(z)) + (1 - t) * np.log(1 - logistic(z))).mean(),
    "cross_entropy": lambda z, t: -mean_log_likelihood(z, t),
    "nll": lambda z, t: -mean_log_likelihood(z, t),
    "hinge": lambda z, t: np.maximum(0, 1 - t * z).mean(),
    "focal": lambda z, t: mean_focal(softmax(z)[np.arange(len(t)), t]),
    "kl_div": lambda z, t: np.where(t > 0, t * np.log(np.where(t > 0, t, 1) / softmax(z)), 0).mean(),
    "poisson_nll": lambda z, t: (np.exp(z) - t * z).mean(),
}


def test_every_loss_has_a_closed_form_to_compare_with():
    assert {part.names()[0] for part in losses} == set(CLOSED_FORMS)


@pytest.mark.parametrize(
    ("loss", "info"), [case for case in accepted() if case.values[0] == type(case.values[0])()]
)
def test_the_value_with_default_options_is_that_of_the_closed_form(loss, info):
    values, targets = example(loss, info)
    expected = CLOSED_FORMS[loss.name](values.numpy(), targets.numpy())
    assert loss.build()(values, targets).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("info", [TWO, THREE], ids=["two", "three"])
def test_nll_of_log_softmax_outputs_is_cross_entropy_and_torchs(info):
    values, targets = example(losses["nll"](), info)
    expected = nn.NLLLoss()(nn.LogSoftmax(dim=1)(values), targets)
    torch.testing.assert_close(losses["nll"]().build()(values, targets), expected)
    torch.testing.assert_close(losses["cross_entropy"]().build()(values, targets), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_options_reach_torchs_losses(reduction):
    weights = (1.0, 2.0, 3.0)
    pairs = [
        (
            losses["cross_entropy"](class_weights=weights, label_smoothing=0.2, reduction=reduction),
            nn.CrossEntropyLoss(
                torch.tensor(weights, dtype=torch.float64), label_smoothing=0.2, reduction=reduction
            ),
        ),
        (losses["smooth_l1"](beta=0.3, reduction=reduction), nn.SmoothL1Loss(beta=0.3, reduction=reduction)),
        (losses["huber"](delta=0.3, reduction=reduction), nn.HuberLoss(delta=0.3, reduction=reduction)),
    ]
    for loss, reference in pairs:
        values, targets = example(loss, THREE)
        assert torch.equal(loss.build()(values, targets), reference(values, targets))


def test_full_poisson_likelihood_adds_stirlings_term_above_one():
    values, counts = torch.zeros(3, 1, dtype=torch.float64), torch.tensor([[0.0], [1.0], [5.0]]).double()
    plain, full = (
        losses["poisson_nll"](full=f, reduction="sum").build()(values, counts) for f in (False, True)
    )
    stirling = 5 * np.log(5) - 5 + 0.5 * np.log(2 * np.pi * 5)
    assert (full - plain).item() == pytest.approx(stirling)
    assert stirling == pytest.approx(np.log(120), abs=0.02)


def test_kl_divergence_per_row_is_outputs_times_the_mean():
    loss = losses["kl_div"](scale=2.0)
    values, targets = example(loss, NUMBERS)
    per_row = nn.KLDivLoss(reduction="batchmean")(values.log_softmax(dim=1), targets)
    torch.testing.assert_close(loss.build()(values, targets), per_row)


def test_smooth_l1_of_beta_zero_is_mae():
    values, targets = example(losses["mae"](), NUMBERS)
    torch.testing.assert_close(
        losses["smooth_l1"](beta=0).build()(values, targets), losses["mae"]().build()(values, targets)
    )


def test_quantile_is_scikit_learns_mean_pinball_loss():
    loss = losses["quantile"](quantiles=(0.05, 0.3, 0.95))
    values, targets = example(loss, NUMBER)
    expected = [
        mean_pinball_loss(targets[:, 0], values[:, k], alpha=level) for k, level in enumerate(loss.levels)
    ]
    assert loss.build()(values, targets).item() == pytest.approx(np.mean(expected), rel=1e-12)


def test_a_constant_that_minimises_the_quantile_loss_is_the_quantile():
    loss = losses["quantile"](quantiles=(0.1, 0.75))
    rows = np.random.default_rng(3).exponential(size=(401, 1))
    encoded = torch.from_numpy(loss.encode(rows, None))
    values = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        found = loss.build()(values.expand(401, 2), encoded)
        found.backward()
        return found

    optimizer.step(closure)
    np.testing.assert_allclose(values.detach()[0], np.quantile(rows, (0.1, 0.75)), atol=0.02)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([0.1, 0.9, 0.5], "0.5 follows 0.9; expected each level once, rising: [0.1, 0.5, 0.9]"),
        ([0.1, 0.1, 0.5], "0.1 follows 0.1; expected each level once, rising: [0.1, 0.5]"),
        ([0.1, 1.0], "1 is no level of a quantile; expected numbers between 0 and 1"),
        ([0.0], "0 is no level of a quantile"),
        ([-0.5, 0.5], "-0.5 is no level of a quantile"),
    ],
)
def test_levels_that_are_no_quantiles_are_refused_in_one_line(levels, message):
    config = {"dataset": "regression", "loss": {"name": "quantile", "quantiles": levels}}
    with pytest.raises(ConfigError) as caught:
        api.load_config(config)
    (line,) = str(caught.value).splitlines()
    assert line.startswith("config: loss.quantiles: ")
    assert message in line


def test_hinge_on_two_classes_is_scikit_learns():
    loss = losses["hinge"]()
    values, targets = example(loss, TWO)
    expected = hinge_loss(targets[:, 0].numpy(), values[:, 0].numpy())
    assert loss.build()(values, targets).item() == pytest.approx(expected)
    assert set(targets.flatten().tolist()) == {-1.0, 1.0}
    assert loss.threshold == 0


@pytest.mark.parametrize("name", ["mse", "mae", "smooth_l1", "huber", "bce"])
def test_two_classes_are_zero_and_one_in_one_column(name):
    loss = losses[name]()
    assert loss.outputs(TWO) == 1
    np.testing.assert_array_equal(loss.encode(np.array([0, 1, 1]), 2), [[0.0], [1.0], [1.0]])


@pytest.mark.parametrize("name", ["mse", "mae", "smooth_l1", "huber", "kl_div"])
def test_more_classes_are_one_hot(name):
    loss = losses[name]()
    assert loss.outputs(THREE) == 3
    np.testing.assert_array_equal(loss.encode(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("name", ["cross_entropy", "nll", "kl_div"])
def test_two_classes_can_have_an_output_each(name):
    loss = losses[name]()
    assert loss.outputs(TWO) == 2
    assert "needs 2 outputs, not 1" in loss.unsupported_reason(TWO, 1)


@pytest.mark.parametrize(
    ("name", "options", "info", "outputs", "reason"),
    [
        ("mse", {}, TWO, 2, "mse on 2 classes needs 1 output, not 2; set architecture.outputs to 1"),
        ("mse", {}, NUMBERS, 1, "mse on 2 numbers per row needs 2 outputs, not 1"),
        ("bce", {}, THREE, 3, "bce takes two classes, not 3; loss: cross_entropy"),
        ("cross_entropy", {}, NUMBERS, 2, "cross_entropy takes classes, not numbers; loss: mse"),
        ("nll", {}, NUMBERS, 2, "nll takes classes, not numbers; loss: mse"),
        ("quantile", {}, TWO, 3, "quantile takes numbers, not classes; loss: cross_entropy"),
        ("quantile", {}, NUMBERS, 3, "quantile takes 1 number per row, not 2"),
        ("quantile", {}, NUMBER, 1, "3 quantiles need as many outputs, not 1"),
        ("hinge", {}, NUMBERS, 2, "hinge takes classes, not numbers; loss: mse"),
        ("poisson_nll", {}, TWO, 1, "poisson_nll takes counts, not classes; loss: cross_entropy"),
        (
            "kl_div",
            {},
            DatasetInfo(ROWS, 3, None, targets=1),
            1,
            "at least two probabilities, not 1 number per row",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_what_would(name, options, info, outputs, reason):
    assert reason in losses[name](**options).unsupported_reason(info, outputs)


@pytest.mark.parametrize(
    ("name", "targets", "reason"),
    [
        ("bce", [[0.0, 1.0], [0.5, 2.0]], "bce takes targets from 0 to 1, not 2"),
        ("bce", [[np.nan]], "not nan"),
        ("poisson_nll", [[0.0], [-1.5]], "poisson_nll takes targets from 0 to inf, not -1.5"),
        ("kl_div", [[0.5, 0.5], [0.5, 0.6]], "row 2 has 0.5 as its smallest number and the sum 1.1"),
        ("kl_div", [[-0.5, 1.5]], "row 1 has -0.5 as its smallest number and the sum 1"),
    ],
)
def test_target_values_that_cannot_work_are_refused(name, targets, reason):
    assert reason in losses[name]().unsupported_targets(np.array(targets))


@on_every_loss
def test_target_values_that_work_are_not_refused(loss, info):
    assert loss.unsupported_targets(raw_targets(info)) is None


@pytest.mark.parametrize(
    ("name", "weights", "info", "reason"),
    [
        ("cross_entropy", (1.0, 2.0), THREE, "2 class weights for 3 classes; give 3"),
        ("bce", (1.0,), TWO, "1 class weight for 2 classes; give 2"),
        ("hinge", {"yess": 2.0}, TWO, "there is no class 'yess'; did you mean yes?"),
        ("mse", "balanced", NUMBERS, "class_weights are of classes, and these targets are 2 numbers per row"),
        ("quantile", "balanced", NUMBER, "these targets are 1 number per row; leave them out"),
    ],
)
def test_class_weights_of_other_classes_are_refused(name, weights, info, reason):
    assert reason in losses[name](class_weights=weights).unsupported_class_weights(info)


@pytest.mark.parametrize("weights", [None, np.arange(9.0)])
def test_balanced_weights_are_those_of_scikit_learn(weights):
    ids = np.array([0, 0, 2, 1, 0, 0, 2, 2, 0])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=ids, sample_weight=weights)
    assert balanced_weights(ids, 3, weights) == pytest.approx(tuple(expected))
    assert balanced_weights(ids, 5, weights) == pytest.approx((*expected, 1, 1))


def test_a_class_weight_of_bce_is_torchs_pos_weight_up_to_the_mean():
    loss = losses["bce"](class_weights={"1": 3.0}).with_class_weights(("0", "1"), None)
    assert loss.class_weights == (1, 3)
    values, targets = example(loss, TWO)
    weights = torch.from_numpy(loss.row_weights(raw_targets(TWO), None))
    reference = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0))(values, targets)
    value = loss.build()(values, targets, weights)
    assert value.item() == pytest.approx(reference.item() * ROWS / weights.sum().item(), rel=1e-12)


@on_every_loss
def test_weights_count_copies_of_rows(loss, info):
    values, targets = example(loss, info)
    copies = torch.tensor([2, 0, 1, 3, 1, 1, 5])
    repeated = (tensor.repeat_interleave(copies, dim=0) for tensor in (values, targets))
    for reduction in ("mean", "sum"):
        function = with_options(loss, reduction=reduction).build()
        expected = function(*(tensor.repeat_interleave(copies, dim=0) for tensor in (values, targets)))
        found = function(values, targets, copies.double())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        assert function(values, targets, copies.double() * 0).item() == 0
    assert loss.weight(targets, copies.double()) == pytest.approx(loss.weight(list(repeated)[1]), rel=1e-12)


def test_only_targets_without_a_meaning_of_their_own_are_standardised():
    kept = {part.names()[0] for part in losses if not part.standardizable}
    assert kept == {"bce", "kl_div", "poisson_nll"}


def test_implied_activations_are_registered():
    implied = {part().name: part().activation for part in losses if part().activation is not None}
    assert implied == {
        "bce": "logistic",
        "cross_entropy": "softmax",
        "focal": "softmax",
        "nll": "log_softmax",
        "kl_div": "softmax",
        "poisson_nll": "exp",
    }
    assert all(name in activations for name in implied.values())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize(("output", "info"), [("logistic", TWO), ("softmax", TWO), ("softmax", THREE)])
def test_focal_is_cross_entropy_times_a_power_of_the_error(gamma, output, info):
    loss = losses["focal"](gamma=gamma, output=output)
    values, targets = example(loss, info)
    ids = raw_targets(info)
    if output == "logistic":
        second = 1 / (1 + np.exp(-values.numpy()[:, 0]))
        shares = np.stack([1 - second, second], axis=1)
    else:
        shares = torch.softmax(values, dim=1).numpy()
    p = shares[np.arange(ROWS), ids]
    expected = np.mean(-((1 - p) ** gamma) * np.log(p))
    assert loss.build()(values, targets).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("output", ["logistic", "softmax"])
def test_focal_has_finite_gradients_far_from_0(output):
    loss = losses["focal"](gamma=0.5, output=output)
    for dtype in (torch.float32, torch.float64):
        values, targets = example(loss, TWO, dtype)
        far = (values * 1e4).requires_grad_()
        loss.build()(far, targets).backward()
        assert torch.isfinite(far.grad).all()


def test_focal_has_one_output_for_two_classes_and_one_for_each_of_more():
    for info, output, outputs in ((TWO, "logistic", 1), (THREE, "softmax", 3)):
        loss = losses["focal"]().resolved(info)
        assert (loss.output, loss.outputs(info)) == (output, outputs)
    reason = losses["focal"](output="logistic").unsupported_reason(THREE, 1)
    assert reason == "focal with output: logistic takes two classes, not 3; leave output out"
