"""The JSON Schema of configs, for editors and other programs."""

from __future__ import annotations

from typing import Any

from mlprun.schema.model import build


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a config file, with descriptions and short forms."""
    schema = build().model_json_schema()
    properties = schema.pop("properties")
    base = {
        "description": "another config, relative to this one, that this one is laid over",
        "type": "string",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mlprun config",
        "description": "A small neural network, its data and how it is trained.",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
        "properties": {"base": base, **properties},
    }
