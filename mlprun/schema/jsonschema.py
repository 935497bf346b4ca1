"""JSON Schema of config and sweep files, made by pydantic, for editors and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import to_jsonable_python

from mlprun.parts.callbacks import callbacks
from mlprun.schema import model as models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.parts.part import Options

JsonSchema = dict[str, Any]


class Generator(GenerateJsonSchema):
    """Pydantic's generator, which otherwise builds a serializer for each default."""

    def encode_default(self, dft: Any) -> Any:
        """Return a default as JSON."""
        return to_jsonable_python(dft)


DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PARTIAL: Final = ".partial"
"""the end of the names of definitions of partial values, which are merged over others"""


def json_schema_of(model: type[Options]) -> JsonSchema:
    """Return the JSON Schema 2020-12 of a file that is a single model, such as a sweep file."""
    return {"$schema": DIALECT, **model.model_json_schema()}


def json_schema() -> JsonSchema:
    """Return the JSON Schema 2020-12 of a config file, with descriptions and short forms.

    A config with `base:` may be partial anywhere but in lists, so its sections are described twice.
    """
    parts = dict.fromkeys(part for registry in (*models.registries(), callbacks) for part in registry)
    kinds = [(one, "validation") for one in (models.build(), *parts)]
    references, made = models_json_schema(kinds, schema_generator=Generator)  # type: ignore[arg-type]
    names = {model: reference["$ref"] for (model, _), reference in references.items()}
    definitions = {
        name + end: _resolved(one, end, names) for name, one in made["$defs"].items() for end in ("", PARTIAL)
    }
    schema, partial = definitions.pop("Config"), definitions.pop("Config" + PARTIAL)
    base = {
        "description": "another config, relative to this one, that this one is laid over",
        "type": "string",
    }
    required, properties = schema.pop("required"), schema.pop("properties")
    about = {
        name: {key: one[key] for key in ("title", "description", "default") if key in one}
        for name, one in properties.items()
    }
    return {
        "$schema": DIALECT,
        **schema,
        "title": "mlprun config",
        "description": "A small neural network, its data and how it is trained.",
        "properties": {"base": base, **about},
        "if": {"required": ["base"]},
        "then": {"properties": partial["properties"]},
        "else": {"properties": properties, "required": required},
        "$defs": definitions,
    }


def _resolved(value: Any, end: str, names: Mapping[Any, str]) -> Any:
    """Return a schema whose references end in `end`; `names` holds those of parts.

    In partial values no option is required. Lists replace lists, so that their items are whole.
    """
    if isinstance(value, list):
        return [_resolved(item, end, names) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {
        key: _resolved(inner, "" if key in ("items", "prefixItems") else end, names)
        for key, inner in value.items()
        if key not in ("named", "required") or (key == "required" and not end)
    }
    if "$ref" in schema:
        schema["$ref"] += end
    if "named" in value:  # a part: its name where it needs no options, or its options
        registry, parts = value["named"].registry, value["named"].parts()
        short = [name for name in registry.names() if end or not registry[name].has_required()]
        references = [{"$ref": names[part] + end} for part in parts]
        schema["anyOf"] = [{"type": "string", "enum": short}] * bool(short) + references
    return schema
