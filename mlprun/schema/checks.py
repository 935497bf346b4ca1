"""Checks of combinations across sections that cannot work, each with the reason.

A check names the sections it reads and runs when those are valid, whatever else is wrong; one that reads data
runs when the dataset's facts are known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from mlprun.config import Problem
from mlprun.parts import limits
from mlprun.parts.activations import Activation, Identity, activations
from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.table import Table
from mlprun.parts.datasets.table.delimited import is_number
from mlprun.parts.losses import Loss, losses
from mlprun.parts.part import suggestion
from mlprun.parts.splits import Fresh, split_problems, split_sizes
from mlprun.schema.model import metric_direction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.parts.datasets import Dataset, DatasetInfo
    from mlprun.parts.metrics import Metric
    from mlprun.schema.model import Config


OfConfig = Callable[["Config"], "Iterator[Problem]"]
OfData = Callable[["Config", "DatasetInfo"], "Iterator[Problem]"]


class Check(NamedTuple):
    """A function that finds problems, and the sections it reads."""

    sections: frozenset[str]
    of_config: OfConfig | None = None
    of_data: OfData | None = None


CHECKS: list[Check] = []


def config_check(*sections: str) -> Callable[[OfConfig], OfConfig]:
    """Declare a check that reads these sections."""

    def declare(function: OfConfig) -> OfConfig:
        CHECKS.append(Check(frozenset(sections), of_config=function))
        return function

    return declare


def data_check(*sections: str) -> Callable[[OfData], OfData]:
    """Declare a check that reads the facts of the dataset and these sections."""

    def declare(function: OfData) -> OfData:
        CHECKS.append(Check(frozenset(sections), of_data=function))
        return function

    return declare


def check(config: Config, info: DatasetInfo | None, valid: frozenset[str]) -> list[Problem]:
    """Every problem of the sections in `valid`; without `facts` those that need no data."""
    problems: list[Problem] = []
    for one in CHECKS:
        if not one.sections <= valid:
            continue
        if one.of_config is not None:
            problems += one.of_config(config)
        elif one.of_data is not None and info is not None:
            problems += one.of_data(config, info)
    return problems


@config_check("architecture", "optimizer")
def sparse_gradients_have_a_source(config: Config) -> Iterator[Problem]:
    """Only an embedding gives sparse gradients."""
    if config.optimizer.sparse and config.architecture.vocabulary is None:
        what = f"{config.optimizer.name} takes the sparse gradients of an embedding, and there is none"
        yield Problem(("optimizer",), f"{what}; add architecture.embedding, or use adam")


@config_check("optimizer", "penalty")
def penalties_are_of_dense_gradients(config: Config) -> Iterator[Problem]:
    """A penalty's gradient is dense: it reaches every row of an embedding."""
    if config.optimizer.sparse:
        for penalty in config.penalties:
            what = f"a penalty reaches every weight, and {config.optimizer.name} takes sparse gradients"
            yield Problem(("penalty", penalty.name), f"{what}; set it to 0, or use adam")


@config_check("optimizer", "training")
def clipping_is_of_dense_gradients(config: Config) -> Iterator[Problem]:
    """Clipping is not defined for sparse gradients."""
    if config.optimizer.sparse:
        for option in ("clip_norm", "clip_value"):
            if getattr(config.training, option) is not None:
                what = f"sparse gradients, which {config.optimizer.name} takes, cannot be clipped"
                yield Problem(("training", option), f"{what}; remove it, or use adam")


def _train_rows(dataset: Dataset, info: DatasetInfo) -> int | None:
    """Rows of train; None where a column decides."""
    split = dataset.split
    if split is None or split.column is not None:
        return None
    return info.rows if split.same else split_sizes(split, info.rows)[0]


def _lacks_dev(dataset: Dataset, info: DatasetInfo) -> bool:
    """Whether it is known that dev has no rows."""
    split = dataset.split
    if split is None or split.same or split.column is not None or isinstance(split.dev, Fresh):
        return False
    return split_sizes(split, info.rows)[1] == 0


def _divides(config: Config, info: DatasetInfo) -> bool:
    return not list(split_fits(config, info))


@data_check("dataset")
def split_fits(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Counts do not exceed the data, fractions sum to 1, and what a split asks for can be had."""
    dataset = config.dataset
    assert dataset.split is not None
    found = split_problems(
        dataset.split,
        info,
        can_draw_fresh=dataset.can_draw_fresh,
        has_columns=isinstance(dataset, Table),
    )
    for problem in found:
        path = ("dataset", "split", problem.field) if problem.field else ("dataset", "split")
        yield Problem(path, problem.message)


@data_check("dataset")
def train_has_rows_for_every_class(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """A class without a single train row cannot be learnt; class ids may leave classes out."""
    if isinstance(config.dataset, Inline) or (isinstance(config.dataset, Table) and config.dataset.classes):
        return
    rows = _train_rows(config.dataset, info) if _divides(config, info) else None
    if rows is not None and info.classes is not None and rows < len(info.classes):
        what = f"{rows} train rows cannot show {len(info.classes)} classes"
        yield Problem(("dataset", "split"), f"{what}; give train at least one row of each")


@data_check("dataset", "best", "early_stopping", "schedule")
def dev_has_rows(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Whatever watches dev figures has some to watch."""
    if not _divides(config, info) or not _lacks_dev(config.dataset, info):
        return
    remedy = "give dataset.split.dev some rows, or set split: same"
    if config.early_stopping is not None:
        yield Problem(("early_stopping",), f"watches dev figures, and dev has no rows; {remedy}", at_key=True)
    if config.schedule.plateau:
        yield Problem(
            ("schedule",), f"{config.schedule.name} watches dev figures, and dev has no rows; {remedy}"
        )


@data_check("dataset", "architecture", "training")
def batches_are_large_enough(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Batch norm has no variance of a single row, the last and shortest batch included."""
    rows = _train_rows(config.dataset, info)
    if rows and _divides(config, info) and (what := batch_problem(config, rows)):
        yield Problem(("training", "batch_size"), f"{what}; choose another size")


def batch_problem(config: Config, rows: int) -> str | None:
    """Why `rows` train rows leave a batch that this network cannot be trained on; None if they do not."""
    least, size = config.architecture.smallest_batch, config.training.batch_size
    shortest = rows if size == "full" or size > rows else rows % size or size
    if shortest >= least:
        return None
    batch = "row" if shortest == 1 else "rows"
    return f"{rows} train rows leave a batch of {shortest} {batch}, and batch norm needs {least}"


@config_check("snapshots", "training")
def snapshots_are_reached(config: Config) -> Iterator[Problem]:
    """A snapshot is of an epoch that there is."""
    for index, epoch in enumerate(config.snapshots):
        if epoch > config.training.epochs:
            what = f"training ends at epoch {config.training.epochs}, before {epoch}"
            yield Problem(("snapshots", index), f"{what}; remove it, or set training.epochs to {epoch}")


_COPIES = 16
"""bytes of memory per number of the data, at least: as loaded and as prepared for the network"""


@data_check("dataset", "loss", "architecture", "optimizer", "training", "snapshots")
def network_fits_in_a_checkpoint(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """A network whose checkpoint would be refused is refused before it is built."""
    # a table's one-hot encoding adds inputs, which `Experiment.of` counts
    shapes = config.architecture.shapes(info.inputs)
    problem = None if shapes is None else checkpoint_problem(config, shapes, info.rows)
    if problem is not None:
        yield problem


@data_check("dataset", "architecture", "training")
def rows_fit_in_memory(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Rows that no memory holds are not drawn."""
    problem = memory_problem(config, info.rows, info.inputs)
    if problem is not None:
        yield problem


def checkpoint_problem(config: Config, shapes: Mapping[str, tuple[int, ...]], rows: int) -> Problem | None:
    """Why a checkpoint cannot hold a network with tensors of these shapes; None if it can.

    Counted are the weights, the snapshots, the model at epoch 0 and the optimizer's state.
    """
    weights = sum(map(math.prod, shapes.values()))
    batch = config.training.batch_size
    steps = config.training.epochs * (1 if batch == "full" else -(-rows // batch))
    state_tensors, state = config.optimizer.state_size(len(shapes), weights, steps)
    itemsize = 8 if config.training.dtype == "float64" else 4
    snapshots = len({0, *config.snapshots})

    def size(models: int) -> tuple[int, int]:
        tensors = models * (len(shapes) + config.architecture.buffers) + state_tensors
        return tensors, itemsize * (models * weights + state)

    def fits(models: int) -> bool:
        tensors, needed = size(models)
        return tensors <= limits.MAX_TENSORS and needed <= limits.MAX_BYTES

    if fits(1 + snapshots):
        return None
    tensors, needed = size(1 + snapshots)
    what = (
        f"the network has {weights:,} parameters; with snapshots and optimizer state a checkpoint would hold "
        f"{tensors:,} tensors and {needed / 2**20:,.0f} MiB"
    )
    most = f"at most {limits.MAX_TENSORS:,} tensors and {limits.MAX_BYTES >> 20:,} MiB fit"
    if config.snapshots and fits(2):
        return Problem(("snapshots",), f"{what}; name fewer snapshots: {most}")
    if state > 10 * weights:  # L-BFGS
        return Problem(("optimizer",), f"{what}; lower optimizer.history_size: {most}")
    return Problem(("architecture",), f"{what}; use fewer or smaller layers: {most}")


def memory_problem(config: Config, rows: int, inputs: int) -> Problem | None:
    """Why memory cannot hold rows of so many inputs, or a batch of them in the network; None if it can."""
    split = config.dataset.split
    fresh = [share.fresh for share in (split.dev, split.test) if isinstance(share, Fresh)] if split else []
    every = rows + sum(fresh)
    needed, memory = _COPIES * every * inputs, limits.memory()
    have = f"and this machine has {_gib(memory)}"
    if needed > memory:
        what = f"{every:,} rows of {inputs:,} inputs need at least {_gib(needed)} of memory, {have}"
        return Problem(("dataset",), f"{what}; use fewer rows or columns")
    counted = split is None or split.same or split.column is not None
    train, batch = (
        rows if split is None or counted else split_sizes(split, rows)[0],
        config.training.batch_size,
    )
    size = train if batch == "full" else min(batch, train)
    kept = config.architecture.activations(inputs, fused=config.engine in ("auto", "fused"))
    needed = size * kept * (8 if config.training.dtype == "float64" else 4)
    if needed > memory:
        what = f"a training step on {size:,} rows needs at least {_gib(needed)} of memory, {have}"
        return Problem(("training", "batch_size"), f"{what}; use smaller batches or layers")
    return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


_RESERVED: Final = frozenset({"loss", "objective"})


def _output(config: Config) -> Activation:
    return config.architecture.output_activation or Identity()


@data_check("dataset", "loss", "architecture")
def loss_fits_targets(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """The loss takes these targets, and as many outputs as there are."""
    loss, outputs = config.loss, config.architecture.outputs
    assert outputs is not None
    of_targets = loss.unsupported_reason(info, loss.outputs(info))
    if of_targets:
        yield Problem(("loss",), of_targets)
    elif of_outputs := loss.unsupported_reason(info, outputs):
        hint = _other_task(config, info) if loss.target_kind == "numbers" and outputs > 1 else ""
        yield Problem(("architecture", "outputs"), of_outputs + hint)


def _other_task(config: Config, info: DatasetInfo) -> str:
    """How a table's target is read the other way, after a `;`; empty where it cannot be."""
    dataset = config.dataset
    if not isinstance(dataset, Table) or dataset.classes is not None or len(dataset.targets) > 1:
        return ""
    if info.classes is None:
        return "; for classes set dataset.task: classes"
    return "; for a regression set dataset.task: numbers" if all(map(is_number, info.classes)) else ""


@data_check("dataset")
def positive_is_a_class(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """The positive class is one of two."""
    if refusal := config.dataset.unsupported_positive(info):
        yield Problem(("dataset", "positive"), refusal)


@data_check("dataset", "loss")
def loss_takes_the_targets_that_stand_in_the_config(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Rows written in the config are looked at here, so that the problem is shown where they stand."""
    if (
        isinstance(config.dataset, Inline)
        and config.loss.unsupported_reason(info, config.loss.outputs(info)) is None
    ):
        refusal = config.loss.unsupported_targets(config.dataset.load().targets)
        if refusal:
            yield Problem(("dataset", "targets"), refusal)


@data_check("dataset", "loss", "architecture")
def activation_fits_loss(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """A loss that implies an output activation has that one."""
    loss, given = config.loss, _output(config)
    path = ("architecture", "output_activation")
    if loss.activation is not None:
        if type(given) is not activations[loss.activation]:
            what = f"{loss.name} is computed from the values before {loss.activation}, not {given.name}"
            yield Problem(path, f"{what}; leave output_activation out, or use loss: mse")
    elif given.link == "multinomial" and config.architecture.outputs == 1:
        yield Problem(path, f"{given.name} of one output is the same for every row; use logistic")


@data_check("dataset", "architecture", "loss")
def architecture_fits_inputs(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Symbols go through an embedding that is large enough, numbers through none."""
    refusal = config.architecture.unsupported_reason(info)
    if refusal:
        yield Problem(("architecture",), refusal)


@data_check("dataset", "loss", "architecture", "metrics")
def metrics_fit(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Each figure can be computed of these targets and outputs."""
    outputs, given = config.architecture.outputs or 1, _output(config)
    for index, figure in enumerate(config.metrics):
        misfit = _of_other_targets(figure, info)
        if misfit:
            yield Problem(("metrics", index), misfit + _other_task(config, info))
            continue
        refusal = (
            figure.unsupported_reason(info, outputs) or _loss_misreads(figure, given)
            if isinstance(figure, Loss)
            else figure.unsupported_reason(info) or _needs_probabilities(figure, given)
        )
        if refusal:
            yield Problem(("metrics", index), refusal)


def _of_other_targets(figure: Metric | Loss, info: DatasetInfo) -> str | None:
    """Why a figure is not of these targets; with its `reduction`, a loss of numbers may be of classes."""
    if isinstance(figure, Loss):
        is_loss = "reduction" in figure.model_fields_set
        misfit = figure.target_kind == "numbers" and info.classes is not None and not is_loss
    else:
        misfit = (figure.target == "numbers") == (info.classes is not None)
    if not misfit:
        return None
    if info.classes is None:
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
    if not metric.needs_probabilities or given.output_kind != "numbers":
        return None
    what = f"{metric.name} needs probabilities, and the output activation is {given.name}"
    return f"{what}; use accuracy, or a loss such as bce or cross_entropy"


@config_check("metrics")
def metrics_have_names_of_their_own(config: Config) -> Iterator[Problem]:
    """Every figure is a column of the history."""
    seen = set(_RESERVED)
    for index, figure in enumerate(config.metrics or ()):
        if figure.name in seen:
            yield Problem(("metrics", index), f"{figure.name} is logged already; remove it")
        seen.add(figure.name)


@data_check("dataset", "metrics", "best")
def best_is_logged(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """The best epoch is chosen by a figure that is there, and by what is good for it."""
    named = config.best.metric
    wanted = named.removeprefix("dev_")
    figures = (one for one in config.metrics if isinstance(one, Loss) or one.scalar)
    known = ("dev_loss", *(f"dev_{figure.name}" for figure in figures))
    if named in known:
        good = metric_direction(wanted, config.metrics)
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
