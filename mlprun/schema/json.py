"""The JSON Schema of configs, for editors and other programs."""

from __future__ import annotations

from typing import Any

from mlprun.schema.model import Config, Penalties
from mlprun.schema.shapes import Shapes


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a config file, with descriptions and short forms."""
    Penalties.add_fields()
    shapes = Shapes()
    schema = shapes.of_model(Config)
    base = {
        "description": "another config, relative to this one, that this one is laid over",
        "type": "string",
    }
    schema["anyOf"] = [{"required": [name]} for name in (*schema.pop("required"), "base")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "mlprun config",
        "description": "A small neural network, its data and how it is trained.",
        "properties": {"base": base, **schema["properties"]},
        "$defs": shapes.definitions,
    }
