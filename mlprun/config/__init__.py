"""Reading configs: YAML 1.2 with positions, base files, and overrides from the command line."""

from mlprun.config.document import (
    CONFIG,
    Document,
    FileKind,
    Problem,
    from_mapping,
    read,
    read_without_bases,
)
from mlprun.config.parser import is_plain_string
from mlprun.config.tree import ConfigStr, Node, Path, describe_value, dotted, printable, truncate

__all__ = [
    "CONFIG",
    "ConfigStr",
    "Document",
    "FileKind",
    "Node",
    "Path",
    "Problem",
    "describe_value",
    "dotted",
    "from_mapping",
    "is_plain_string",
    "printable",
    "read",
    "read_without_bases",
    "truncate",
]
