"""Every default of a config spelled out, so that its dump says all there is to say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from mlprun.parts.activations import activations
from mlprun.parts.datasets import Generated
from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.shares import spelled_out
from mlprun.parts.datasets.table import FEW, Table
from mlprun.parts.datasets.table.delimited import is_number
from mlprun.parts.losses import Loss, losses
from mlprun.parts.losses.classification import ClassLoss
from mlprun.parts.metrics.metric import Metric, metrics
from mlprun.parts.splits import SPLITS
from mlprun.schema.model import default_part

if TYPE_CHECKING:
    from mlprun.parts.architectures import Architecture
    from mlprun.parts.datasets import Dataset, Facts
    from mlprun.parts.datasets.split import Split
    from mlprun.schema.model import Best, Config

_LONGEST_NAME: Final = 64


def run_name(stem: str) -> str:
    """A file's stem made into a name that a run may have."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")
    return name[:_LONGEST_NAME] or "run"


def with_rows(dataset: Dataset, seed: int, outputs: int | None) -> Dataset:
    """The dataset with its seed, number of rows and of classes, so that its facts can be asked for.

    `outputs` are those of the network where the config names them: class ids do not show the classes above.
    """
    update: dict[str, Any] = {"seed": seed if dataset.seed is None else dataset.seed}
    if isinstance(dataset, Inline) and dataset.classes is None and 0 < dataset.least_classes < (outputs or 0):
        update["classes"] = outputs
    if isinstance(dataset, Generated) and dataset.samples is None:
        update["samples"] = _counted(dataset.split) or dataset.default_samples
    return dataset.model_copy(update=update)


def read_as_classes(dataset: Dataset, facts: Facts, loss: Loss | None, outputs: int | None) -> list[Table]:
    """A table as a loss that takes classes only may have to read its whole numbers, the likeliest first.

    In few rows each class id may stand once, and classes of the network may be in no row at all.
    """
    if not isinstance(dataset, Table) or loss is None or loss.takes != "classes" or len(dataset.targets) > 1:
        return []
    if dataset.task == "numbers" or dataset.classes is not None:
        return []
    if dataset.task == "values" and not isinstance(loss, ClassLoss):
        return []
    known = len(facts.classes or ())
    ids = [] if outputs is None or outputs <= known else [{"classes": outputs}]
    updates: list[dict[str, Any]] = ids if known else [*ids, {"task": "classes"}]
    return [dataset.model_copy(update=update) for update in updates]


def is_regression(dataset: Dataset, facts: Facts, loss: Loss | None) -> bool:
    """Whether a table's column of numbers was read as classes, and the loss takes numbers."""
    if not isinstance(dataset, Table) or dataset.task != "auto" or dataset.classes is not None:
        return False
    named = facts.classes or ("",)
    return loss is not None and loss.takes == "numbers" and all(map(is_number, named))


def are_class_ids(facts: Facts) -> bool:
    """Whether classes are named by so few whole numbers from 0 that they are ids rather than amounts."""
    names = facts.classes or ()
    return all(name.isdecimal() for name in names) and len(names) <= FEW


def _counted(split: Split | None) -> int | None:
    """The sum of a split's counts; None unless it names how many rows train has."""
    if split is None or split.same or "train" not in split.model_fields_set:
        return None
    shares = [getattr(split, name) for name in SPLITS if name in split.model_fields_set]
    if any(isinstance(share, float) for share in shares):
        return None
    return sum(share for share in shares if isinstance(share, int))


def with_split(dataset: Dataset, facts: Facts) -> Dataset:
    """The dataset with its split spelled out."""
    split = spelled_out(dataset.split or dataset.default_split, facts.rows)
    if not split.same and split.column is None:
        shuffle = dataset.shuffles if split.shuffle is None else split.shuffle
        stratify = (shuffle and facts.classes is not None) if split.stratify is None else split.stratify
        shares = {name: getattr(split, name) for name in SPLITS}
        split = split.model_copy(update={**shares, "shuffle": shuffle, "stratify": stratify})
    return dataset.model_copy(update={"split": split})


def resolve(config: Config, facts: Facts | None, stem: str, *, old: bool = False) -> Config:
    """`config` with the defaults that depend on the data (where `facts` are known) and on other fields.

    In an `old` config, of format 1, a metric of numbers such as mse means the loss of that name on classes.
    """
    update: dict[str, Any] = {"name": config.name or run_name(stem)}
    if facts is not None:
        update["dataset"] = with_split(config.dataset, facts)
        update["loss"] = (config.loss or default_loss(facts)).resolved()
        update["architecture"] = _with_outputs(config.architecture, update["loss"], facts)
        update["metrics"] = tuple(_figure(figure, facts, old=old) for figure in config.metrics or ())
        if "metrics" not in config.model_fields_set:
            update["metrics"] = (default_part(metrics, "r2" if facts.classes is None else "accuracy"),)
    figures = update.get("metrics", config.metrics) or ()
    update["best"] = _with_mode(config.best, figures)
    return config.model_copy(update=update)


def default_loss(facts: Facts) -> Loss:
    """The loss that these targets call for."""
    if facts.classes is None:
        return default_part(losses, "mse")
    return default_part(losses, "bce" if len(facts.classes) <= 2 else "cross_entropy")


def _with_outputs(architecture: Architecture, loss: Loss, facts: Facts) -> Architecture:
    outputs = architecture.outputs or loss.outputs(facts)
    activation = architecture.output_activation or default_part(activations, loss.activation or "identity")
    return architecture.model_copy(update={"outputs": outputs, "output_activation": activation})


def _figure(figure: Metric | Loss, facts: Facts, *, old: bool) -> Metric | Loss:
    if isinstance(figure, Loss):
        return figure.resolved()
    misfit = figure.target == "numbers" and facts.classes is not None
    return default_part(losses, figure.name) if old and misfit and figure.name in losses else figure


def goal(name: str, figures: tuple[Metric | Loss, ...]) -> str:
    """Whether `min` or `max` is good for a figure such as accuracy; losses and unknown ones are minimised."""
    goals = {figure.name: figure.goal for figure in figures if isinstance(figure, Metric)}
    return goals.get(name, "min")


def _with_mode(best: Best, figures: tuple[Metric | Loss, ...]) -> Best:
    if "mode" in best.model_fields_set:
        return best
    return best.model_copy(update={"mode": goal(best.metric.removeprefix("dev_"), figures)})
