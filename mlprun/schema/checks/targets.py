"""Do loss, outputs and metrics fit the targets and each other?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mlprun.parts.activations import Activation, Identity, activations
from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.table import Table
from mlprun.parts.datasets.table.delimited import is_number
from mlprun.parts.losses import Loss, losses
from mlprun.parts.part import suggestion
from mlprun.schema.checks.check import reads, reads_data_and
from mlprun.schema.problems import Problem
from mlprun.schema.resolve import goal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlprun.parts.datasets import Facts
    from mlprun.parts.metrics.metric import Metric
    from mlprun.schema.model import Config

_RESERVED: Final = frozenset({"loss", "objective"})


def _output(config: Config) -> Activation:
    return config.architecture.output_activation or Identity()


@reads_data_and("dataset", "loss", "architecture")
def loss_fits_targets(config: Config, facts: Facts) -> Iterator[Problem]:
    """The loss takes these targets, and as many outputs as there are."""
    loss, outputs = config.loss, config.architecture.outputs
    assert outputs is not None
    of_targets = loss.refuses(facts, loss.outputs(facts))
    if of_targets:
        yield Problem(("loss",), of_targets)
    elif of_outputs := loss.refuses(facts, outputs):
        hint = _other_task(config, facts) if loss.takes == "numbers" and outputs > 1 else ""
        yield Problem(("architecture", "outputs"), of_outputs + hint)


def _other_task(config: Config, facts: Facts) -> str:
    """How a table's target is read the other way, after a `;`; empty where it cannot be."""
    dataset = config.dataset
    if not isinstance(dataset, Table) or dataset.classes is not None or len(dataset.targets) > 1:
        return ""
    if facts.classes is None:
        return "; for classes set dataset.task: classes"
    return "; for a regression set dataset.task: numbers" if all(map(is_number, facts.classes)) else ""


@reads_data_and("dataset")
def positive_is_a_class(config: Config, facts: Facts) -> Iterator[Problem]:
    """The positive class is one of two."""
    if refusal := config.dataset.refuses_positive(facts):
        yield Problem(("dataset", "positive"), refusal)


@reads_data_and("dataset", "loss")
def loss_takes_the_targets_that_stand_in_the_config(config: Config, facts: Facts) -> Iterator[Problem]:
    """Rows written in the config are looked at here, so that the problem is shown where they stand."""
    if isinstance(config.dataset, Inline) and config.loss.refuses(facts, config.loss.outputs(facts)) is None:
        refusal = config.loss.refuses_targets(config.dataset.load().targets)
        if refusal:
            yield Problem(("dataset", "targets"), refusal)


@reads_data_and("dataset", "loss", "architecture")
def activation_fits_loss(config: Config, facts: Facts) -> Iterator[Problem]:
    """A loss that implies an output activation has that one."""
    loss, given = config.loss, _output(config)
    path = ("architecture", "output_activation")
    if loss.activation is not None:
        if type(given) is not activations[loss.activation]:
            what = f"{loss.name} is computed from the values before {loss.activation}, not {given.name}"
            yield Problem(path, f"{what}; leave output_activation out, or use loss: mse")
    elif given.link == "multinomial" and config.architecture.outputs == 1:
        yield Problem(path, f"{given.name} of one output is the same for every row; use logistic")


@reads_data_and("dataset", "architecture", "loss")
def architecture_fits_inputs(config: Config, facts: Facts) -> Iterator[Problem]:
    """Symbols go through an embedding that is large enough, numbers through none."""
    refusal = config.architecture.refuses(facts)
    if refusal:
        yield Problem(("architecture",), refusal)


@reads_data_and("dataset", "loss", "architecture", "metrics")
def metrics_fit(config: Config, facts: Facts) -> Iterator[Problem]:
    """Each figure can be computed of these targets and outputs."""
    outputs, given = config.architecture.outputs or 1, _output(config)
    for index, figure in enumerate(config.metrics):
        misfit = _of_other_targets(figure, facts)
        if misfit:
            yield Problem(("metrics", index), misfit + _other_task(config, facts))
            continue
        refusal = (
            figure.refuses(facts, outputs) or _loss_misreads(figure, given)
            if isinstance(figure, Loss)
            else figure.refuses(facts) or _needs_probabilities(figure, given)
        )
        if refusal:
            yield Problem(("metrics", index), refusal)


def _of_other_targets(figure: Metric | Loss, facts: Facts) -> str | None:
    """Why a figure is not of these targets; with its `reduction`, a loss of numbers may be of classes."""
    if isinstance(figure, Loss):
        is_loss = "reduction" in figure.model_fields_set
        misfit = figure.takes == "numbers" and facts.classes is not None and not is_loss
    else:
        misfit = (figure.target == "numbers") == (facts.classes is not None)
    if not misfit:
        return None
    if facts.classes is None:
        return f"{figure.name} is of classes and these targets are numbers; use r2, rmse or mae"
    what = f"{figure.name} is of numbers and these targets are classes; use accuracy, f1 or roc_auc"
    loss = f", or {{name: {figure.name}, reduction: mean}} for the loss on targets of 0 and 1"
    return what + (loss if figure.name in losses else "")


def _loss_misreads(loss: Loss, given: Activation) -> str | None:
    """Why a loss that is logged only is not computed from these outputs."""
    if loss.activation is None:
        return None
    # before a softmax and before its logarithm the values are the same
    implied = activations[loss.activation]
    if type(given) is implied or given.link == implied.link == "multinomial":
        return None
    before, after = f"the values before {loss.activation}", f"the output activation is {given.name}"
    what = f"{loss.name} is computed from {before}, and {after}"
    return f"{what}; remove it, or set architecture.output_activation: {loss.activation}"


def _needs_probabilities(metric: Metric, given: Activation) -> str | None:
    if not metric.needs_probabilities or given.gives != "numbers":
        return None
    what = f"{metric.name} needs probabilities, and the output activation is {given.name}"
    return f"{what}; use accuracy, or a loss such as bce or cross_entropy"


@reads("metrics")
def metrics_have_names_of_their_own(config: Config) -> Iterator[Problem]:
    """Every figure is a column of the history."""
    seen = set(_RESERVED)
    for index, figure in enumerate(config.metrics or ()):
        if figure.name in seen:
            yield Problem(("metrics", index), f"{figure.name} is logged already; remove it")
        seen.add(figure.name)


@reads_data_and("dataset", "metrics", "best")
def best_is_logged(config: Config, facts: Facts) -> Iterator[Problem]:
    """The best epoch is chosen by a figure that is there, and by what is good for it."""
    named = config.best.metric
    wanted = named.removeprefix("dev_")
    figures = (one for one in config.metrics if isinstance(one, Loss) or one.scalar)
    known = ("dev_loss", *(f"dev_{figure.name}" for figure in figures))
    if named in known:
        good = goal(wanted, config.metrics)
        if config.best.mode != good:
            size = "larger" if good == "max" else "smaller"
            yield Problem(("best", "mode"), f"{wanted} is better when {size}; set best.mode: {good}")
    elif named.startswith(("train_", "test_")):
        what = "the best epoch is chosen by dev figures only"
        yield Problem(("best", "metric"), f"{what}; expected one of {', '.join(known)}")
    elif wanted and f"dev_{wanted}" in known:
        yield Problem(("best", "metric"), f"no such figure is logged; did you mean dev_{wanted}?")
    else:
        yield Problem(("best", "metric"), f"no such figure is logged; {suggestion(named, known)}")
