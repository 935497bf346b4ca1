"""Do network and rows fit into memory and into a checkpoint? Decided from shapes: nothing is allocated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlprun.parts import limits
from mlprun.parts.datasets.shares import counts
from mlprun.parts.datasets.split import Fresh
from mlprun.schema.checks.check import reads_data_and
from mlprun.schema.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.parts.datasets import Facts
    from mlprun.schema.model import Config

_COPIES = 16
"""bytes of memory per number of the data, at least: as loaded and as prepared for the network"""


@reads_data_and("dataset", "loss", "architecture", "optimizer", "training", "snapshots")
def network_fits_in_a_checkpoint(config: Config, facts: Facts) -> Iterator[Problem]:
    """A network whose checkpoint would be refused is refused before it is built."""
    # a table's one-hot encoding adds inputs, which `Experiment.of` counts
    shapes = config.architecture.shapes(facts.inputs)
    problem = None if shapes is None else too_large(config, shapes, facts.rows)
    if problem is not None:
        yield problem


@reads_data_and("dataset", "architecture", "training")
def rows_fit_in_memory(config: Config, facts: Facts) -> Iterator[Problem]:
    """Rows that no memory holds are not drawn."""
    problem = too_many_rows(config, facts.rows, facts.inputs)
    if problem is not None:
        yield problem


def too_large(config: Config, shapes: Mapping[str, tuple[int, ...]], rows: int) -> Problem | None:
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


def too_many_rows(config: Config, rows: int, inputs: int) -> Problem | None:
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
    train, batch = rows if split is None or counted else counts(split, rows)[0], config.training.batch_size
    size = train if batch == "full" else min(batch, train)
    kept = config.architecture.activations(inputs, fused=config.engine in ("auto", "fused"))
    needed = size * kept * (8 if config.training.dtype == "float64" else 4)
    if needed > memory:
        what = f"a training step on {size:,} rows needs at least {_gib(needed)} of memory, {have}"
        return Problem(("training", "batch_size"), f"{what}; use smaller batches or layers")
    return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
