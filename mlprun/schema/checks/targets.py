"""Do loss, outputs and metrics fit the targets and each other?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from mlprun.parts.activations import Activation, Identity, activations
from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.table import Table
from mlprun.parts.losses import Loss
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
        yield Problem(("loss",), of_targets + _or_numbers(config, facts))
    elif of_outputs := loss.refuses(facts, outputs):
        yield Problem(("architecture", "outputs"), of_outputs + _or_numbers(config, facts, outputs))


def _or_numbers(config: Config, facts: Facts, outputs: int | None = None) -> str:
    """What makes a loss and its outputs fit where a table's numbers were taken for class ids, after a `;`."""
    dataset, loss = config.dataset, config.loss
    if not isinstance(dataset, Table) or dataset.task != "auto" or dataset.classes is not None:
        return ""
    try:
        values = np.array([[float(name)] for name in facts.classes or ()])
    except ValueError:  # words
        return ""
    numbers = replace(facts, classes=None, targets=1)
    needed = loss.outputs(numbers)
    if not len(values) or loss.refuses(numbers, outputs or needed) or loss.refuses_targets(values):
        return ""
    return "; for a regression on these numbers set dataset.task: numbers"


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
        refusal = (
            figure.refuses(facts, outputs) or _loss_misreads(figure, given)
            if isinstance(figure, Loss)
            else figure.refuses(facts) or _needs_probabilities(figure, given)
        )
        if refusal:
            as_numbers = not isinstance(figure, Loss) and figure.target == "numbers"
            hint = _or_numbers(config, facts) if as_numbers and facts.classes else ""
            yield Problem(("metrics", index), refusal + hint)


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
