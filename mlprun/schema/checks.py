"""Checks of combinations across sections that cannot work, each with the reason.

A check names the sections it reads and runs when those are valid, whatever else is wrong; one that reads data
runs when the dataset's facts are known.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from mlprun import files
from mlprun.config.document import Problem
from mlprun.errors import FileError, plural
from mlprun.parts import MAX_BYTES, MAX_TENSORS
from mlprun.parts.activations import Activation, Identity, activations
from mlprun.parts.architectures import Mlp
from mlprun.parts.averages import Swa
from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.table import Table
from mlprun.parts.datasets.table.formats import is_number
from mlprun.parts.losses import Loss, losses
from mlprun.parts.metrics import MEDIAN, Metric
from mlprun.parts.optimizers import matches
from mlprun.parts.part import listed, suggestion
from mlprun.parts.splits import Fresh, fraction_of, split_problems, split_sizes
from mlprun.schema.model import Config, metric_direction

if TYPE_CHECKING:
    from mlprun.config.tree import Path
    from mlprun.parts.datasets import DatasetInfo

Finder = TypeVar("Finder", bound=Callable[..., Iterator[Problem]])

_BYTES_PER_NUMBER: Final = 16
"""of memory, at least: the data as loaded and as prepared for the network"""
_MOST_NAMES: Final = 20
"""of parameters, in a message"""
_CGROUPS: Final = "/sys/fs/cgroup"
_RESERVED: Final = frozenset({"loss", "objective"})


CHECKS: list[tuple[frozenset[str], bool, Callable[..., Iterator[Problem]]]] = []
"""the sections that each reads, whether it reads the dataset's facts, and the function that finds problems"""


def reads(*sections: str, data: bool = False) -> Callable[[Finder], Finder]:
    """Declare a check that reads these sections and, with `data`, the facts of the dataset."""

    def declare(function: Finder) -> Finder:
        CHECKS.append((frozenset(sections), data, function))
        return function

    return declare


def check(config: Config, info: DatasetInfo | None, valid: frozenset[str]) -> list[Problem]:
    """Return every problem of the sections in `valid`; without `facts` those that need no data."""
    problems: list[Problem] = []
    for sections, reads_data, find in CHECKS:
        if sections <= valid and not (reads_data and info is None):
            problems += find(config, info) if reads_data else find(config)
    return problems


@reads("architecture", "optimizer")
def sparse_gradients_have_a_source(config: Config) -> Iterator[Problem]:
    """Require an embedding, which alone gives sparse gradients."""
    if config.optimizer.sparse and config.architecture.vocabulary is None:
        what = f"{config.optimizer.name} takes the sparse gradients of an embedding, and there is none"
        yield Problem(("optimizer",), f"{what}; add architecture.embedding, or use adam")


@reads("optimizer", "penalty", "training")
def sparse_gradients_stay_sparse(config: Config) -> Iterator[Problem]:
    """Refuse penalties, whose gradient reaches every row of an embedding, and clipping."""
    clips = [option for option in ("clip_norm", "clip_value") if getattr(config.training, option) is not None]
    dense = [("penalty", one.name) for one in config.penalties] + [("training", option) for option in clips]
    for path in dense if config.optimizer.sparse else ():
        what = f"cannot be used with the sparse gradients that {config.optimizer.name} takes"
        yield Problem(path, f"{what}; remove it, or use adam")


@reads("architecture", "optimizer", "freeze", data=True)
def patterns_match_parameters(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require patterns that match, and a parameter to train; the names do not depend on a table's columns."""
    shapes = config.architecture.shapes(info.inputs)
    embedded = [f"embeddings.{number}.weight" for number in range(len(config.dataset.embedded))]
    yield from pattern_problems(config, [*embedded, *shapes] if shapes else [])


@reads("dataset", "architecture")
def embeddings_have_a_network(config: Config) -> Iterator[Problem]:
    """Require a network that embeds what `encode: embedding` leaves to it."""
    for name in config.dataset.embedded:
        if not isinstance(config.architecture, Mlp):
            what = f"embedding is for architecture mlp, not {config.architecture.name}"
            yield Problem(("dataset", "columns", name, "encode"), f"{what}; use onehot or target")


def pattern_problems(config: Config, names: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with the patterns of a network whose parameters have these names."""
    every: list[tuple[Path, Sequence[str]]] = [(("freeze", i), (one,)) for i, one in enumerate(config.freeze)]
    groups = enumerate(config.optimizer.groups)
    every += [(("optimizer", "groups", i, "parameters"), listed(group.parameters)) for i, group in groups]
    for path, patterns in every if names else ():
        for pattern in patterns:
            if not any(matches((pattern,), name) for name in names):
                most = f", ... ({len(names)} in all)" if len(names) > _MOST_NAMES else ""
                known = ", ".join(names[:_MOST_NAMES]) + most
                yield Problem(path, f"{pattern} matches no parameter; the parameters are {known}")
    if names and all(matches(config.freeze, name) for name in names):
        yield Problem(("freeze",), "leaves no parameter to train; freeze fewer")


@reads("optimizer", "training")
def batches_can_accumulate(config: Config) -> Iterator[Problem]:
    """Refuse to accumulate for L-BFGS, which evaluates a batch several times per step."""
    if config.optimizer.needs_closure and config.training.accumulate > 1:
        what = f"{config.optimizer.name} evaluates a batch several times per step"
        yield Problem(("training", "accumulate"), f"{what}; remove it, and use a larger batch_size")


@reads("architecture", "training")
def averages_fit_norms(config: Config) -> Iterator[Problem]:
    """Refuse SWA with batch norm; and epochs that training does not reach."""
    average, epochs = config.training.average, config.training.epochs
    if not isinstance(average, Swa):
        return
    if config.architecture.buffers:
        what = "the running statistics of batch norm are not those of averaged weights"
        yield Problem(("training", "average"), f"{what}; use norm: layer, or average: ema")
    if average.start > epochs > 0:
        what = f"training ends at epoch {epochs}, before {average.start}"
        yield Problem(("training", "average", "start"), f"{what}; start earlier")


_NO_DEV: Final = "and dev has no rows; give dataset.split.dev some rows, or set split: same"


def _train_rows(config: Config, info: DatasetInfo) -> int | None:
    """Return the rows of train; None where they cannot be divided, or a column, groups or times decide."""
    dataset, split = config.dataset, config.dataset.split
    if split is None or split.column is not None or info.groups is not None or info.times is not None:
        return None
    if any(split_fits(config, info)):
        return None
    return fraction_of(info.rows if split.same else split_sizes(split, info.rows)[0], dataset.fraction)


def _lacks_dev(config: Config, info: DatasetInfo) -> bool:
    """Return True if it is known that rows can be divided and dev has none."""
    split = config.dataset.split
    if split is None or split.same or split.column is not None or isinstance(split.dev, Fresh):
        return False
    return not any(split_fits(config, info)) and split_sizes(split, info.rows)[1] == 0


def _losses(config: Config) -> list[tuple[Path, Loss]]:
    """Return the loss and those among the metrics, with their paths."""
    parts: list[tuple[Path, Metric | Loss]] = [(("loss",), config.loss)]
    parts += [(("metrics", index), part) for index, part in enumerate(config.metrics or ())]
    return [(path, part) for path, part in parts if isinstance(part, Loss)]


@reads("dataset", data=True)
def split_fits(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require counts that do not exceed the data, fractions that sum to 1, and splits that can be made."""
    dataset = config.dataset
    assert dataset.split is not None
    found = split_problems(
        dataset.split, info, can_draw_fresh=dataset.can_draw_fresh, has_columns=isinstance(dataset, Table)
    )
    for option, message in found:
        yield Problem(("dataset", "split", *([option] if option else [])), message)


@reads("dataset", data=True)
def every_class_has_train_rows(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require train rows of every class, which cannot be learnt otherwise; class ids may skip classes."""
    if isinstance(config.dataset, Inline) or (isinstance(config.dataset, Table) and config.dataset.classes):
        return
    rows = _train_rows(config, info)
    if rows is not None and info.classes is not None and rows < len(info.classes):
        what = f"{rows} train rows cannot show {len(info.classes)} classes"
        yield Problem(("dataset", "split"), f"{what}; give train at least one row of each")


@reads("dataset", "best", "early_stopping", "schedule", data=True)
def dev_has_rows(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require dev rows for whatever watches dev metrics."""
    if not _lacks_dev(config, info):
        return
    what = f"watches dev metrics, {_NO_DEV}"
    if config.early_stopping is not None:
        yield Problem(("early_stopping",), what, at_key=True)
    if config.schedule.plateau:
        yield Problem(("schedule",), f"{config.schedule.name} {what}")


@reads("dataset", "architecture", "training", data=True)
def batches_are_large_enough(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require batches of which batch norm can take a variance, the last and shortest included."""
    rows = _train_rows(config, info)
    if rows and (what := batch_problem(config, rows)):
        yield Problem(("training", "batch_size"), f"{what}; choose another size")


def batch_problem(config: Config, rows: int) -> str | None:
    """Return why `rows` train rows leave a batch that is too small for this network; None if they do not."""
    least, size = config.architecture.smallest_batch, config.training.batch_size
    shortest = rows if size == "full" or size > rows else rows % size or size
    if shortest >= least:
        return None
    return f"{rows} train rows leave a batch of {plural(shortest, 'row')}, and batch norm needs {least}"


@reads("snapshots", "training")
def snapshots_are_reached(config: Config) -> Iterator[Problem]:
    """Require epochs that training reaches."""
    for index, epoch in enumerate(config.snapshots):
        if epoch > config.training.epochs:
            what = f"training ends at epoch {config.training.epochs}, before {epoch}"
            yield Problem(("snapshots", index), f"{what}; remove it, or set training.epochs to {epoch}")


@reads("dataset", "loss", "architecture", "optimizer", "training", "snapshots", data=True)
def network_fits_in_a_checkpoint(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Refuse a network whose checkpoint would be refused, before it is built."""
    # a table's one-hot encoding adds inputs, which `Experiment.of` counts
    shapes = config.architecture.shapes(info.inputs)
    if shapes is not None and (problem := checkpoint_problem(config, shapes, info.rows)):
        yield problem


@reads("dataset", "architecture", "training", data=True)
def rows_fit_in_memory(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Refuse rows that no memory holds, before they are drawn."""
    if problem := memory_problem(config, info.rows, info.inputs):
        yield problem


def checkpoint_problem(config: Config, shapes: Mapping[str, tuple[int, ...]], rows: int) -> Problem | None:
    """Return why a checkpoint cannot hold a network with tensors of these shapes; None if it can.

    Counted are the weights, the snapshots, the model at epoch 0 and the optimizer's state.
    """
    weights = sum(map(math.prod, shapes.values()))
    steps = config.training.epochs * config.training.steps(rows)
    state_tensors, state = config.optimizer.state_size(len(shapes), weights, steps)
    itemsize = 8 if config.training.dtype == "float64" else 4
    models = 1 + (config.training.average is not None) + len({0, *config.snapshots})
    tensors = models * (len(shapes) + len(config.architecture.buffers)) + state_tensors
    size = itemsize * (models * weights + state)
    if tensors <= MAX_TENSORS and size <= MAX_BYTES:
        return None
    what = (
        f"the network has {weights:,} parameters; with snapshots and optimizer state a checkpoint would hold "
        f"{tensors:,} tensors and {size / 2**20:,.0f} MiB"
    )
    most = f"at most {MAX_TENSORS:,} tensors and {MAX_BYTES >> 20:,} MiB fit"
    if state > 10 * weights:  # L-BFGS
        return Problem(("optimizer",), f"{what}; lower optimizer.history_size: {most}")
    return Problem(("architecture",), f"{what}; use fewer or smaller layers, or fewer snapshots: {most}")


def memory_problem(config: Config, rows: int, inputs: int) -> Problem | None:
    """Return why memory cannot hold so many rows, or a batch of them in the network; None if it can."""
    split = config.dataset.split
    every = (
        rows + sum(one.fresh for one in (split.dev, split.test) if isinstance(one, Fresh)) if split else rows
    )
    needed, memory = _BYTES_PER_NUMBER * every * inputs, available_memory()
    have = f"and this machine has {_gib(memory)}"
    if needed > memory:
        what = f"{every:,} rows of {inputs:,} inputs need at least {_gib(needed)} of memory, {have}"
        return Problem(("dataset",), f"{what}; use fewer rows or columns")
    is_whole = split is None or split.same or split.column is not None
    train = rows if split is None or is_whole else split_sizes(split, rows)[0]
    size = config.training.batch_rows(train)
    kept = config.architecture.activations(inputs, fused=config.engine in ("auto", "fused"))
    needed = size * kept * (8 if config.training.dtype == "float64" else 4)
    if needed > memory:
        what = f"a training step on {size:,} rows needs at least {_gib(needed)} of memory, {have}"
        return Problem(("training", "batch_size"), f"{what}; use smaller batches or layers")
    return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


def _output(config: Config) -> Activation:
    return config.architecture.output_activation or Identity()


@reads("dataset", "loss", "architecture", data=True)
def loss_fits_targets(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require a loss that takes these targets and this number of outputs."""
    loss, outputs = config.loss, config.architecture.outputs
    assert outputs is not None
    of_targets = loss.unsupported_reason(info, loss.outputs(info))
    if of_targets:
        yield Problem(("loss",), of_targets)
    elif of_outputs := loss.unsupported_reason(info, outputs):
        hint = _other_task(config, info) if loss.target_kind == "numbers" and outputs > 1 else ""
        yield Problem(("architecture", "outputs"), of_outputs + hint)


def _other_task(config: Config, info: DatasetInfo) -> str:
    """Return how to read a table's target the other way, after a `;`; empty where it cannot be."""
    dataset = config.dataset
    if info.multilabel:
        return "; for a regression set dataset.task: numbers"
    if not isinstance(dataset, Table) or dataset.classes is not None or len(dataset.targets) > 1:
        return ""
    if info.classes is None:
        return "; for classes set dataset.task: classes"
    return "; for a regression set dataset.task: numbers" if all(map(is_number, info.classes)) else ""


@reads("dataset", "loss", "metrics", data=True)
def class_weights_fit_targets(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require class weights of known classes."""
    for path, part in _losses(config):
        if refusal := part.unsupported_class_weights(info):
            yield Problem((*path, "class_weights"), refusal)


@reads("dataset", "loss", "metrics")
def losses_take_weights(config: Config) -> Iterator[Problem]:
    """Require losses that can be weighed where rows have weights."""
    for path, part in _losses(config) if isinstance(config.dataset, Table) and config.dataset.weight else ():
        if not part.takes_weights:
            what = f"{part.name} takes no weights of rows: its class defines build"
            yield Problem(path, f"{what}; define function instead, or remove dataset.weight")


@reads("dataset", data=True)
def positive_is_valid(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require a positive class that is one of two."""
    if refusal := config.dataset.unsupported_positive(info):
        yield Problem(("dataset", "positive"), refusal)


@reads("dataset", "loss", "metrics", data=True)
def target_transform_is_valid(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require numbers, and a loss that has no units of its own that a transform would change."""
    path, transform, loss = ("dataset", "target_transform"), config.dataset.target_transform, config.loss
    if transform is None:
        return
    if info.classes is not None:
        yield Problem(path, "is of numbers and these targets are classes; leave it out")
    elif not loss.standardizable:
        what = f"does not fit {loss.name}, which reads counts or probabilities"
        yield Problem(path, f"{what}; use mse, mae or huber")
    for where, part in _losses(config):
        if getattr(part, "units", None) == "target":
            what = f"of {part.name} have no constant size in transformed targets; set units to standardized"
            yield Problem((*where, "units"), f"units of the target {what}")


@reads("dataset", "loss", data=True)
def inline_targets_fit_loss(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Check targets written in the config here, so that the problem is shown at their position."""
    loss, dataset = config.loss, config.dataset
    if not isinstance(dataset, Inline) or loss.unsupported_reason(info, loss.outputs(info)) is not None:
        return
    if refusal := loss.unsupported_targets(dataset.load().targets):
        yield Problem(("dataset", "targets"), refusal)


@reads("dataset", "loss", "architecture", data=True)
def activation_fits_loss(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require the output activation that the loss implies."""
    loss, output = config.loss, _output(config)
    path = ("architecture", "output_activation")
    if loss.activation is not None:
        if type(output) is not activations[loss.activation]:
            what = f"{loss.name} is computed from logits, whose activation is {loss.activation}"
            yield Problem(path, f"{what}, not {output.name}; leave output_activation out, or use loss: mse")
    elif output.link == "multinomial" and config.architecture.outputs == 1:
        yield Problem(path, f"{output.name} of one output is the same for every row; use logistic")


@reads("dataset", "architecture", "loss", data=True)
def architecture_fits_inputs(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require an embedding that is large enough for symbols, and none for numbers."""
    if refusal := config.architecture.unsupported_reason(info):
        yield Problem(("architecture",), refusal)


@reads("dataset", "loss", "architecture", "metrics", data=True)
def metrics_fit(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require metrics that can be computed from these targets and outputs."""
    outputs, output = config.architecture.outputs or 1, _output(config)
    for index, metric in enumerate(config.metrics):
        if misfit := _of_other_targets(metric, info) or _of_other_outputs(metric, config.loss):
            refusal: str | None = misfit + _other_task(config, info)
        elif isinstance(metric, Loss):
            refusal = metric.unsupported_reason(info, outputs) or _loss_misreads(metric, output)
        else:
            refusal = metric.unsupported_reason(info)
            if refusal is None and metric.needs_probabilities and output.output_kind == "numbers":
                refusal = f"{metric.name} needs probabilities, and the output activation is {output.name}"
                refusal += "; use accuracy, or a loss such as bce or cross_entropy"
        if refusal:
            yield Problem(("metrics", index), refusal)


def _of_other_targets(metric: Metric | Loss, info: DatasetInfo) -> str | None:
    """Return why a metric does not fit these targets; a loss of numbers with a `reduction` fits classes."""
    kind = "numbers" if isinstance(metric, Loss) else metric.target
    if isinstance(metric, Loss):
        is_loss = "reduction" in metric.model_fields_set
        misfit = metric.target_kind == "numbers" and info.classes is not None and not is_loss
    elif info.multilabel:
        misfit = kind != "labels" and not metric.of_labels
    else:
        misfit = kind not in (("classes",) if info.classes is not None else ("numbers", "quantiles"))
    if not misfit:
        return None
    if info.multilabel:
        use = "label_accuracy, subset_accuracy, f1 or roc_auc"
        return f"{metric.name} is not of several labels, which these targets are; use {use}"
    if info.classes is None:
        return f"{metric.name} is of {kind} and these targets are numbers; use r2, rmse or mae"
    if kind == "labels":
        return f"{metric.name} is of several labels and these targets are classes; use accuracy"
    what = f"{metric.name} is of numbers and these targets are classes; use accuracy, f1 or roc_auc"
    loss = f", or {{name: {metric.name}, reduction: mean}} for the loss on targets of 0 and 1"
    return what + (loss if metric.name in losses else "")


def _of_other_outputs(metric: Metric | Loss, loss: Loss) -> str | None:
    """Return why a metric of quantiles or of numbers does not fit the outputs of a loss."""
    kind, levels = getattr(metric, "target", None), loss.levels
    if kind == "quantiles" and not levels:
        return f"{metric.name} is of quantiles; set loss: {{name: quantile, quantiles: [0.1, 0.5, 0.9]}}"
    if metric.name in ("coverage", "interval_width") and len(levels) == 1:
        return f"{metric.name} is of two quantiles or more; add one to loss.quantiles, or use pinball"
    if kind == "numbers" and levels and MEDIAN not in levels:
        return f"{metric.name} is of the median; add 0.5 to loss.quantiles, or use pinball"
    return None


def _loss_misreads(loss: Loss, output: Activation) -> str | None:
    """Return why a loss that is only logged cannot be computed from these outputs."""
    if loss.activation is None:
        return None
    # before a softmax and before its logarithm the values are the same
    implied = activations[loss.activation]
    if type(output) is implied or output.link == implied.link == "multinomial":
        return None
    what = f"{loss.name} is computed from logits of {loss.activation}, and the output is {output.name}"
    return f"{what}; remove it, or set architecture.output_activation: {loss.activation}"


@reads("dataset", "loss", "architecture", "threshold", "calibrate", data=True)
def decisions_can_be_made(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require two classes or labels for a threshold, probabilities for a temperature, and dev rows."""
    chosen, output = config.threshold, _output(config)
    kind = info.target_kind
    if chosen is not None:
        size = 2 if info.multilabel else len(info.classes or ())
        costs = getattr(chosen, "costs", None)
        if size < 2 or (size > 2 and costs is None):
            count, remedy = (f"{size} classes", "use costs") if info.classes else (kind, "remove it")
            yield Problem(("threshold",), f"is for two classes, and these targets are {count}; {remedy}")
        elif costs is not None and any(len(row) != size for row in (costs, *costs)):
            what = f"expected {size} lists of {size} numbers, by true and predicted class"
            yield Problem(("threshold", "costs"), what)
        elif output.output_kind == "numbers" and config.architecture.outputs != 1:
            what = f"needs one output or probabilities, and the output activation is {output.name}"
            yield Problem(("threshold",), f"{what}; use loss: bce")
        elif isinstance(chosen, float) and output.output_kind != "numbers" and not 0 < chosen < 1:
            yield Problem(
                ("threshold",), f"is a probability; expected a number between 0 and 1, not {chosen:g}"
            )
    if config.calibrate is not None and (info.classes is None or config.loss.activation is None):
        what = f"needs probabilities of classes, and {config.loss.name} on {kind} has none"
        yield Problem(("calibrate",), f"{what}; use a loss such as bce or cross_entropy, or remove it")
    elif config.calibrate is not None and config.architecture.output_layer_name is None:
        yield Problem(("calibrate",), f"needs the output layer of mlp or rnn, not {config.architecture.name}")
    is_fixed = isinstance(chosen, float) or config.class_costs is not None
    fitted = {"calibrate": config.calibrate, "threshold": None if is_fixed else chosen}
    for option, value in fitted.items():
        if value is not None and _lacks_dev(config, info):
            yield Problem((option,), f"is chosen on dev, {_NO_DEV}")


@reads("threshold", "dataset", data=True)
def threshold_metric_fits(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require a metric of classes or labels that depends on the threshold."""
    metric = getattr(config.threshold, "metric", None)
    if metric is None or (info.classes is None and not info.multilabel):
        return
    is_of_labels = isinstance(metric, Metric) and (metric.of_labels or metric.target == "labels")
    fits = isinstance(metric, Metric) and metric.scalar and metric.target == "classes"
    if not (is_of_labels if info.multilabel else fits) or metric.ranks or metric.needs_probabilities:
        others = "label_accuracy or subset_accuracy" if info.multilabel else "accuracy or balanced_accuracy"
        what = f"{metric.name} does not depend on the threshold"
        yield Problem(("threshold", "metric"), f"{what}; use f1, {others}")


@reads("metrics")
def metrics_are_distinct(config: Config) -> Iterator[Problem]:
    """Require distinct metrics, since each is a column of the history."""
    seen = set(_RESERVED)
    for index, metric in enumerate(config.metrics or ()):
        if metric.name in seen:
            yield Problem(("metrics", index), f"{metric.name} is logged already; remove it")
        seen.add(metric.name)


@reads("dataset", "metrics", "best", data=True)
def best_is_logged(config: Config, info: DatasetInfo) -> Iterator[Problem]:
    """Require a logged metric to choose the best epoch by, in its own direction."""
    named = config.best.metric
    wanted = named.removeprefix("dev_")
    metrics = (one for one in config.metrics if isinstance(one, Loss) or one.scalar)
    known = ("dev_loss", *(f"dev_{metric.name}" for metric in metrics))
    if named in known:
        good = metric_direction(wanted, config.metrics)
        if config.best.mode != good:
            size = "larger" if good == "max" else "smaller"
            yield Problem(("best", "mode"), f"{wanted} is better when {size}; set best.mode: {good}")
    else:
        yield Problem(("best", "metric"), f"no such dev metric is logged; {suggestion(named, known)}")


@cache
def available_memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its control group's limit."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    own = re.search("^0::/(.*)$", _read("/proc/self/cgroup"), re.MULTILINE)
    group = own[1].strip("/") if own else ""
    while True:  # every group above counts too; inside a container the path may be that of the host
        limit = _read(os.path.join(_CGROUPS, group, "memory.max")).strip()
        limits += [int(limit)] if limit.isdigit() else []
        if not group:
            break
        group = os.path.dirname(group)
    limit = _read(os.path.join(_CGROUPS, "memory", "memory.limit_in_bytes")).strip()  # version 1
    return min([*limits, *([int(limit)] if limit.isdigit() else [])])


def _read(path: str) -> str:
    with contextlib.suppress(OSError, ValueError, FileError):
        return files.read_text(path, cap=100_000)
    return ""
