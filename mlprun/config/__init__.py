"""Reading configs: YAML 1.2 with positions, base files, and overrides from the command line."""

from mlprun.config.document import Document, from_mapping, read, read_alone
from mlprun.config.nodes import Node
from mlprun.config.places import Path, dotted
from mlprun.config.scalars import is_text
from mlprun.config.sources import CONFIG, Kind
from mlprun.config.text import Text, cut, printable

__all__ = [
    "CONFIG",
    "Document",
    "Kind",
    "Node",
    "Path",
    "Text",
    "cut",
    "dotted",
    "from_mapping",
    "is_text",
    "printable",
    "read",
    "read_alone",
]
