"""Can the rows be divided as asked, and does every part of training have the rows it needs?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun.parts.datasets.inline import Inline
from mlprun.parts.datasets.shares import counts, problems
from mlprun.parts.datasets.split import Fresh
from mlprun.parts.datasets.table import Table
from mlprun.schema.checks.check import reads, reads_data_and
from mlprun.schema.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlprun.parts.datasets import Dataset, Facts
    from mlprun.schema.model import Config


def _train_rows(dataset: Dataset, facts: Facts) -> int | None:
    """Rows of train; None where a column decides."""
    split = dataset.split
    if split is None or split.column is not None:
        return None
    return facts.rows if split.same else counts(split, facts.rows)[0]


def _lacks_dev(dataset: Dataset, facts: Facts) -> bool:
    """Whether it is known that dev has no rows."""
    split = dataset.split
    if split is None or split.same or split.column is not None or isinstance(split.dev, Fresh):
        return False
    return counts(split, facts.rows)[1] == 0


def _divides(config: Config, facts: Facts) -> bool:
    return not list(split_fits(config, facts))


@reads_data_and("dataset")
def split_fits(config: Config, facts: Facts) -> Iterator[Problem]:
    """Counts do not exceed the data, fractions sum to 1, and what a split asks for can be had."""
    dataset = config.dataset
    assert dataset.split is not None
    found = problems(
        dataset.split,
        facts,
        can_draw_fresh=dataset.can_draw_fresh,
        has_columns=isinstance(dataset, Table),
    )
    for problem in found:
        path = ("dataset", "split", problem.field) if problem.field else ("dataset", "split")
        yield Problem(path, problem.message)


@reads_data_and("dataset")
def train_has_rows_for_every_class(config: Config, facts: Facts) -> Iterator[Problem]:
    """A class without a single train row cannot be learnt; class ids may leave classes out."""
    if isinstance(config.dataset, Inline) or (isinstance(config.dataset, Table) and config.dataset.classes):
        return
    rows = _train_rows(config.dataset, facts) if _divides(config, facts) else None
    if rows is not None and facts.classes is not None and rows < len(facts.classes):
        what = f"{rows} train rows cannot show {len(facts.classes)} classes"
        yield Problem(("dataset", "split"), f"{what}; give train at least one row of each")


@reads_data_and("dataset", "best", "early_stopping", "schedule")
def dev_has_rows(config: Config, facts: Facts) -> Iterator[Problem]:
    """Whatever watches dev figures has some to watch."""
    if not _divides(config, facts) or not _lacks_dev(config.dataset, facts):
        return
    remedy = "give dataset.split.dev some rows, or set split: same"
    if config.early_stopping is not None:
        yield Problem(("early_stopping",), f"watches dev figures, and dev has no rows; {remedy}", at_key=True)
    if config.schedule.plateau:
        yield Problem(
            ("schedule",), f"{config.schedule.name} watches dev figures, and dev has no rows; {remedy}"
        )


@reads_data_and("dataset", "architecture", "training")
def batches_are_large_enough(config: Config, facts: Facts) -> Iterator[Problem]:
    """Batch norm has no variance of a single row, the last and shortest batch included."""
    rows = _train_rows(config.dataset, facts)
    if rows and _divides(config, facts) and (what := too_short(config, rows)):
        yield Problem(("training", "batch_size"), f"{what}; choose another size")


def too_short(config: Config, rows: int) -> str | None:
    """Why `rows` train rows leave a batch that this network cannot be trained on; None if they do not."""
    least, size = config.architecture.smallest_batch, config.training.batch_size
    shortest = rows if size == "full" or size > rows else rows % size or size
    if shortest >= least:
        return None
    batch = "row" if shortest == 1 else "rows"
    return f"{rows} train rows leave a batch of {shortest} {batch}, and batch norm needs {least}"


@reads("snapshots", "training")
def snapshots_are_reached(config: Config) -> Iterator[Problem]:
    """A snapshot is of an epoch that there is."""
    for index, epoch in enumerate(config.snapshots):
        if epoch > config.training.epochs:
            what = f"training ends at epoch {config.training.epochs}, before {epoch}"
            yield Problem(("snapshots", index), f"{what}; remove it, or set training.epochs to {epoch}")
