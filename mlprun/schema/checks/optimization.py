"""Does the optimizer get the gradients it needs, and can what is added to them be computed?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun.schema.checks.check import reads
from mlprun.schema.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlprun.schema.model import Config


@reads("architecture", "optimizer")
def sparse_gradients_have_a_source(config: Config) -> Iterator[Problem]:
    """Only an embedding gives sparse gradients."""
    if config.optimizer.sparse and config.architecture.vocabulary is None:
        what = f"{config.optimizer.name} takes the sparse gradients of an embedding, and there is none"
        yield Problem(("optimizer",), f"{what}; add architecture.embedding, or use adam")


@reads("optimizer", "penalty")
def penalties_are_of_dense_gradients(config: Config) -> Iterator[Problem]:
    """A penalty's gradient is dense: it reaches every row of an embedding."""
    if config.optimizer.sparse:
        for penalty in config.penalties:
            what = f"a penalty reaches every weight, and {config.optimizer.name} takes sparse gradients"
            yield Problem(("penalty", penalty.name), f"{what}; set it to 0, or use adam")


@reads("optimizer", "training")
def clipping_is_of_dense_gradients(config: Config) -> Iterator[Problem]:
    """Clipping is not defined for sparse gradients."""
    if config.optimizer.sparse:
        for option in ("clip_norm", "clip_value"):
            if getattr(config.training, option) is not None:
                what = f"sparse gradients, which {config.optimizer.name} takes, cannot be clipped"
                yield Problem(("training", option), f"{what}; remove it, or use adam")
