# ruff: noqa: E501, ISC004 -- a table is read best with one case in a line
import pytest

from mlprun import schema
from mlprun.config import document as reading
from mlprun.errors import ConfigError
from mlprun.parts.losses import losses
from mlprun.parts.metrics import metrics
from mlprun.schema.checks import CHECKS

MOONS, IRIS, NUMBERS = {"dataset": "moons"}, {"dataset": "iris"}, {"dataset": "diabetes"}
SYMBOLS = {
    "dataset": {"name": "inline", "inputs": [[0, 1], [1, 2]], "targets": [0, 1]},
    "architecture": {"embedding": {"vocabulary": 3, "dim": 2}},
}


def problems(mapping):
    try:
        schema.parse(reading.from_mapping(mapping, "", "c"))
    except ConfigError as error:
        return [problem.removeprefix("c: ") for problem in error.problems]
    return []


MSE = {"name": "mse", "reduction": "mean"}
"""the loss of that name, not the metric"""
REFUSED = [
    (IRIS | {"loss": "bce"}, "loss: bce takes two classes, not 3; loss: cross_entropy takes any number"),
    (NUMBERS | {"loss": "cross_entropy"}, "loss: cross_entropy takes classes, not numbers; loss: mse takes numbers"),
    (NUMBERS | {"loss": "hinge"}, "loss: hinge takes classes, not numbers; loss: mse takes numbers"),
    (MOONS | {"loss": "nll", "architecture": {"outputs": 1}},
     "architecture.outputs: nll on 2 classes needs 2 outputs, not 1; set architecture.outputs to 2 or leave it out"),
    (MOONS | {"architecture": {"outputs": 2}},
     "architecture.outputs: bce on 2 classes needs 1 output, not 2; set architecture.outputs to 1 or leave it out"),
    (MOONS | {"architecture": {"output_activation": "tanh"}},
     "architecture.output_activation: bce is computed from logits, whose activation is logistic, not tanh; "
     "leave output_activation out, or use loss: mse"),
    (MOONS | {"loss": "mse", "architecture": {"output_activation": "softmax"}},
     "architecture.output_activation: softmax of one output is the same for every row; use logistic"),
    (SYMBOLS | {"architecture": {"embedding": {"vocabulary": 2, "dim": 2}}},
     "architecture: embedding.vocabulary is 2 and the inputs have symbols up to 2; set it to 3"),
    (MOONS | {"architecture": {"embedding": {"vocabulary": 2, "dim": 2}}},
     "architecture: an embedding takes "),
    (MOONS | {"metrics": ["accuracy", "r2"]},
     "metrics.1: r2 is of numbers and these targets are classes; use accuracy, f1 or roc_auc"),
    (NUMBERS | {"metrics": ["accuracy"]},
     "metrics.0: accuracy is of classes and these targets are numbers; use r2, rmse or mae"),
    (MOONS | {"loss": "mse", "metrics": ["brier"]},
     "metrics.0: brier needs probabilities, and the output activation is identity; "
     "use accuracy, or a loss such as bce or cross_entropy"),
    (MOONS | {"metrics": ["cross_entropy"]},
     "metrics.0: cross_entropy on 2 classes needs 2 outputs, not 1; set architecture.outputs to 2 or leave it out"),
    (MOONS | {"loss": "mse", "metrics": ["bce"]},
     "metrics.0: bce is computed from logits of logistic, and the output is identity; "
     "remove it, or set architecture.output_activation: logistic"),
    (MOONS | {"metrics": ["f1", "accuracy", "f1"]}, "metrics.2: f1 is logged already; remove it"),
    (MOONS | {"best": {"metric": "dev_f1"}},
     "best.metric: no such dev metric is logged; expected one of dev_loss, dev_accuracy"),
    (MOONS | {"best": {"metric": "dev_acuracy"}}, "best.metric: no such dev metric is logged; did you mean dev_accuracy?"),
    (MOONS | {"best": {"metric": "accuracy"}}, "best.metric: no such dev metric is logged; did you mean dev_accuracy?"),
    (MOONS | {"best": {"metric": "train_loss"}},
     "best.metric: no such dev metric is logged; expected one of dev_loss, dev_accuracy"),
    (MOONS | {"metrics": ["accuracy", "confusion_matrix"], "best": {"metric": "dev_confusion_matrix"}},
     "best.metric: no such dev metric is logged; expected one of dev_loss, dev_accuracy"),
    (MOONS | {"best": {"metric": "dev_accuracy", "mode": "min"}},
     "best.mode: accuracy is better when larger; set best.mode: max"),
    (MOONS | {"best": {"mode": "max"}}, "best.mode: loss is better when smaller; set best.mode: min"),
    (MOONS | {"metrics": [MSE], "best": {"metric": "dev_mse", "mode": "max"}},
     "best.mode: mse is better when smaller; set best.mode: min"),
    (NUMBERS | {"metrics": ["rmse"], "best": {"metric": "dev_rmse", "mode": "max"}},
     "best.mode: rmse is better when smaller; set best.mode: min"),
    ({"dataset": {"name": "iris", "split": {"train": 100, "dev": 50, "test": 20}}},
     "dataset.split: 100 + 50 + 20 = 170 rows, but the data has 150; expected at most 150"),
    ({"dataset": {"name": "iris", "split": {"train": 0.5, "dev": 0.2, "test": 0.2}}},
     "dataset.split: the fractions sum to 0.9; expected 1"),
    ({"dataset": {"name": "iris", "split": {"train": 100, "dev": 0.2, "test": 0.2}}},
     "dataset.split: train in rows but dev, test as a fraction; expected counts for all or fractions for all"),
    ({"dataset": {"name": "diabetes", "split": {"stratify": True}}},
     "dataset.split.stratify: targets are numbers, not classes; expected false"),
    ({"dataset": {"name": "iris", "split": {"dev": {"fresh": 5}}}},
     "dataset.split.dev: this dataset draws no fresh rows; expected a count or a fraction"),
    ({"dataset": {"name": "moons", "split": {"column": "part"}}},
     "dataset.split.column: only a table has columns; expected counts or fractions"),
    ({"dataset": {"name": "iris", "split": {"train": 2, "dev": 10, "test": 0}}},
     "dataset.split: 2 train rows cannot show 3 classes; give train at least one row of each"),
    ({"dataset": {"name": "inline", "inputs": [0, 1, 2], "targets": [[0], [-1], [4]]}, "loss": "poisson_nll"},
     "dataset.targets: poisson_nll takes targets from 0 to inf, not -1"),
    (NUMBERS | {"metrics": ["pinball"]},
     "metrics.0: pinball is of quantiles; set loss: {name: quantile, quantiles: [0.1, 0.5, 0.9]}"),
    (NUMBERS | {"loss": {"name": "quantile", "quantiles": [0.5]}, "metrics": ["coverage"]},
     "metrics.0: coverage is of two quantiles or more; add one to loss.quantiles, or use pinball"),
    (NUMBERS | {"loss": {"name": "quantile", "quantiles": [0.1, 0.9]}, "metrics": ["mae"]},
     "metrics.0: mae is of the median; add 0.5 to loss.quantiles, or use pinball"),
    ({"dataset": {"name": "moons", "split": {"train": 50, "test": 50}}, "schedule": "reduce_on_plateau"},
     "schedule: reduce_on_plateau watches dev metrics, and dev has no rows;"
     " give dataset.split.dev some rows, or set split: same"),
    ({"dataset": {"name": "moons", "split": {"train": 33, "dev": 5}}, "training": {"batch_size": 16},
      "architecture": {"norm": "batch"}},
     "training.batch_size: 33 train rows leave a batch of 1 row, and batch norm needs 2; choose another size"),
    (MOONS | {"training": {"epochs": 10}, "snapshots": [0, 20]},
     "snapshots.1: training ends at epoch 10, before 20; remove it, or set training.epochs to 20"),
    (MOONS | {"optimizer": "sparseadam"},
     "optimizer: sparseadam takes the sparse gradients of an embedding, and there is none; "
     "add architecture.embedding, or use adam"),
    (SYMBOLS | {"optimizer": "sparseadam", "penalty": {"l1": 0.1}},
     "penalty.l1: cannot be used with the sparse gradients that sparseadam takes; remove it, or use adam"),
    (SYMBOLS | {"optimizer": "sparseadam", "training": {"clip_norm": 1}},
     "training.clip_norm: cannot be used with the sparse gradients that sparseadam takes; remove it, or use adam"),
    (MOONS | {"architecture": {"hidden": [3]}, "freeze": ["layer.0.*"]},
     "freeze.0: layer.0.* matches no parameter; the parameters are layers.0.weight, layers.0.bias, layers.1.weight, "
     "layers.1.bias"),
    (MOONS | {"architecture": {"hidden": [3] * 11}, "freeze": ["layers.12.*"]},
     "freeze.0: layers.12.* matches no parameter; the parameters are layers.0.weight, "),
    (MOONS | {"freeze": ["layers.*", "norms.*"], "architecture": {"norm": "batch"}},
     "freeze: leaves no parameter to train; freeze fewer"),
    (MOONS | {"optimizer": {"groups": [{"parameters": ["layers.0.*", "x"], "lr": 0.1}]}},
     "optimizer.groups.0.parameters: x matches no parameter; "),
    (MOONS | {"optimizer": {"name": "rprop", "groups": [{"parameters": "*", "weight_decay": 0.1}]}},
     "optimizer.groups: rprop has no weight_decay; remove it from the groups, or use adamw"),
    (MOONS | {"optimizer": {"name": "lbfgs", "groups": [{"parameters": "*", "lr": 0.1}]}},
     "optimizer.groups: lbfgs updates all parameters as one vector; remove groups, or use adam"),
    (MOONS | {"optimizer": {"groups": [{"parameters": "*", "lr": 0}]}}, "optimizer.groups.0.lr: "),
    (MOONS | {"optimizer": "lbfgs", "training": {"accumulate": 2}},
     "training.accumulate: lbfgs evaluates a batch several times per step; remove it, and use a larger batch_size"),
    (MOONS | {"architecture": {"norm": "batch"}, "training": {"average": {"name": "swa", "start": 1}}},
     "training.average: the running statistics of batch norm are not those of averaged weights; use norm: layer, or "
     "average: ema"),
    (MOONS | {"architecture": {"hidden": [3, 4], "residual": True}},
     "architecture: residual needs two hidden layers in a row with the same number of units; remove it"),
    (MOONS | {"training": {"epochs": 3, "average": {"name": "swa", "start": 4}}},
     "training.average.start: training ends at epoch 3, before 4; start earlier"),
]  # fmt: skip


@pytest.mark.parametrize(("mapping", "problem"), REFUSED)
def test_what_cannot_work_is_refused_with_the_reason(mapping, problem):
    (found,) = problems(mapping)
    assert found.startswith(problem)


ALLOWED = [
    SYMBOLS,
    SYMBOLS | {"optimizer": "sparseadam"},
    SYMBOLS | {"architecture": {}},
    MOONS | {"loss": "cross_entropy", "metrics": ["nll", "log_loss"]},
    MOONS | {"loss": "mse", "architecture": {"output_activation": "sigmoid"}, "metrics": ["bce", "brier"]},
    MOONS | {"metrics": ["accuracy", MSE], "best": {"metric": "dev_mse"}},
    MOONS | {"best": {"metric": "dev_accuracy", "mode": "max"}},
    MOONS | {"training": {"batch_size": 10**6}},
    MOONS | {"optimizer": "lbfgs", "training": {"batch_size": 10}},
    MOONS | {"architecture": {"output_activation": "sigmoid"}},
    {"dataset": {"name": "moons", "split": {"train": 50, "dev": {"fresh": 20}}}},
    NUMBERS | {"loss": "poisson_nll"},
    NUMBERS | {"loss": "quantile", "metrics": ["mae", "r2", "pinball"]},
    {"dataset": "xor", "early_stopping": {}, "schedule": "reduce_on_plateau"},
    {"dataset": "xor", "engine": "torch", "device": "cuda:1", "training": {"dtype": "float64"}},
]


@pytest.mark.parametrize("mapping", ALLOWED)
def test_what_can_work_is_let_through(mapping):
    assert problems(mapping) == []


def test_whatever_watches_dev_needs_dev_rows():
    found = problems(
        {
            "dataset": {"name": "moons", "split": {"train": 10}},
            "early_stopping": {"patience": 3},
            "schedule": "reduce_on_plateau",
        }
    )
    assert [problem.partition(":")[0] for problem in found] == ["early_stopping", "schedule"]


def test_checks_run_although_other_sections_are_invalid():
    found = problems(
        {
            "dataset": "iris",
            "loss": "bce",
            "training": {"epochs": -1},
            "optimizer": "sparseadam",
            "best": {"metric": "dev_x"},
        }
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "loss",
        "training.epochs",
        "optimizer",
        "best.metric",
    ]


def test_every_check_reads_sections_that_there_are():
    assert CHECKS
    assert all(sections <= set(schema.Config.model_fields) for sections, _, _ in CHECKS)


@pytest.mark.parametrize("loss", losses.names())
@pytest.mark.parametrize("dataset", ["moons", "iris", "diabetes"])
def test_every_loss_fits_targets_or_is_refused_for_them(loss, dataset):
    for problem in problems({"dataset": dataset, "loss": loss, "metrics": []}):
        assert problem.startswith("loss: ")
        assert loss in problem


@pytest.mark.parametrize("name", metrics.names())
@pytest.mark.parametrize("dataset", ["moons", "iris", "diabetes"])
def test_every_metric_is_computed_of_targets_or_refused_for_them(name, dataset):
    classes = dataset != "diabetes"
    loss = {"loss": "quantile"} if metrics[name].target == "quantiles" and not classes else {}
    found = problems({"dataset": dataset, "metrics": [name], **loss})
    fits = metrics[name].target in (("classes",) if classes else ("numbers", "quantiles"))
    assert (found == []) is fits or metrics[name].two_classes_only


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "smooth_l1"])
def test_a_figure_of_numbers_is_no_metric_of_classes(name):
    """The error of one-hot targets is in no unit of the user's; as a loss it is logged where that is said."""
    (found,) = problems({"dataset": "iris", "metrics": ["accuracy", name]})
    assert found.startswith(f"metrics.1: {name} is of numbers and these targets are classes; use accuracy")
    assert len(problems({"dataset": "iris", "metrics": [{"name": name, "scale": 2.0}]})) == 1
    assert problems({"dataset": "iris", "metrics": [{"name": name, "reduction": "mean"}]}) == []
    assert problems({"dataset": "diabetes", "metrics": [name]}) == []
