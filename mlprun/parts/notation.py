"""Values of a config as one line of YAML and as JSON.

Apart from `reference`, which loads every part: commands that only print stored values start without them.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mlprun.parts.part import Part

PLAIN = re.compile(r"(\.\./)*[A-Za-z][A-Za-z0-9_./-]*")
QUOTED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""strings that some YAML parsers do not read as strings"""


def inline(value: Any) -> str:
    """Return a value as one line of YAML; a part with default options is written as its name."""
    value = plain(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)}: {inline(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in QUOTED:
        return value
    # escape line breaks and direction marks, but no other letters
    return json.dumps(value, ensure_ascii=not str(value).isprintable())


def plain(value: Any) -> Any:
    """Return a value as mappings, lists, numbers and text; a part with default options is its name."""
    if isinstance(value, BaseModel):
        fields = {name: field for name, field in type(value).model_fields.items() if name != "name"}
        changed = {
            field.alias or name: plain(one)
            for name, field in fields.items()
            if (one := getattr(value, name)) != default_of(field)
        }
        if not isinstance(value, Part):
            return changed
        return {"name": value.names()[0], **changed} if changed else value.names()[0]
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value


def default_of(field: FieldInfo) -> Any:
    """Return the default of a field, None if it has none."""
    return None if field.is_required() else field.get_default(call_default_factory=True)
