"""The JSON Schema of configs, for editors and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.schema.model import Config, Penalties
from mlprun.schema.shapes import Shapes, without_repetition

if TYPE_CHECKING:
    from mlprun.parts.part import Options


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema_of(model: type[Options]) -> dict[str, Any]:
    """JSON Schema 2020-12 of a file that is one model as it stands, such as a sweep file."""
    shapes = Shapes()
    return {"$schema": DIALECT, **shapes.of_model(model), "$defs": shapes.definitions}


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a config file, with descriptions and short forms.

    A config with `base:` may be partial anywhere but in lists, so what its sections may be is said twice.
    """
    Penalties.add_fields()
    whole = Shapes()
    partial = Shapes(whole)
    schema, laid_over = whole.of_model(Config), partial.of_model(Config)
    base = {
        "description": "another config, relative to this one, that this one is laid over",
        "type": "string",
    }
    required, properties = schema.pop("required"), schema.pop("properties")
    return without_repetition(
        {
            "$schema": DIALECT,
            **schema,
            "title": "mlprun config",
            "description": "A small neural network, its data and how it is trained.",
            "properties": {"base": base, **{name: _about(one) for name, one in properties.items()}},
            "if": {"required": ["base"]},
            "then": {"properties": laid_over["properties"]},
            "else": {"properties": properties, "required": required},
            "$defs": whole.definitions | partial.definitions,
        }
    )


def _about(section: dict[str, Any]) -> dict[str, Any]:
    """What a section is, without what may stand there."""
    return {key: section[key] for key in ("title", "description", "default") if key in section}
