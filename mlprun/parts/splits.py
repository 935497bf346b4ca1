"""The names of the splits, the one place that has them; importing it costs nothing."""

from typing import Final, Literal, get_args

SplitName = Literal["train", "dev", "test"]
SPLITS: Final[tuple[str, ...]] = get_args(SplitName)
"""in the order in which rows are handed out"""
