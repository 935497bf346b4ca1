"""Everything that a config can name: datasets, architectures, losses, optimizers, metrics and more."""

from typing import Final, Literal, get_args

SplitName = Literal["train", "dev", "test"]
SPLITS: Final[tuple[str, ...]] = get_args(SplitName)
"""in the order in which rows are handed out"""
MAX_BYTES: Final = 2**30
"""of a checkpoint, and so of a network and its optimizer"""
MAX_TENSORS: Final = 10_000
"""of a checkpoint"""
