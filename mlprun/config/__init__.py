"""Reading configs: YAML 1.2 with positions, base files, and overrides from the command line."""

from mlprun.config.document import Document, from_mapping, read
from mlprun.config.places import Path, dotted
from mlprun.config.scalars import is_text
from mlprun.config.text import Text, cut, printable

__all__ = ["Document", "Path", "Text", "cut", "dotted", "from_mapping", "is_text", "printable", "read"]
