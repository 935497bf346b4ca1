"""JSON Schema of config and sweep files, made by pydantic, for editors and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mlprun.schema import model as models

if TYPE_CHECKING:
    from mlprun.parts.part import Named, Options


JsonSchema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
PARTIAL: Final = ".partial"
"""the end of the names of definitions of partial values, which are merged over others"""


def json_schema_of(model: type[Options]) -> JsonSchema:
    """Return the JSON Schema 2020-12 of a file that is a single model, such as a sweep file."""
    definitions = _definitions(model)
    whole = {name: one for name, one in definitions.items() if not name.endswith(PARTIAL)}
    return {"$schema": DIALECT, **whole.pop(_name(model)), "$defs": whole}


def json_schema() -> JsonSchema:
    """Return the JSON Schema 2020-12 of a config file, with descriptions and short forms.

    A config with `base:` may be partial anywhere but in lists, so its sections are described twice.
    """
    model = models.build()
    definitions = _definitions(model)
    schema, partial = definitions.pop(_name(model)), definitions.pop(_name(model) + PARTIAL)
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


def _definitions(model: type[Options]) -> dict[str, JsonSchema]:
    """Return the schemas of a model and of every model that it names, by name, whole and partial."""
    found: dict[str, JsonSchema] = {}
    waiting = [model]
    while waiting:
        model = waiting.pop()
        if _name(model) in found:
            continue
        schema = model.model_json_schema()
        for name, one in {**schema.pop("$defs", {}), _name(model): schema}.items():
            found[name] = _resolved(one, "", waiting)
            found[name + PARTIAL] = _resolved(one, PARTIAL, waiting)
    return found


def _name(model: type[Options]) -> str:
    return f"{model.__module__.rpartition('.')[2]}.{model.__name__}"


def _resolved(value: Any, end: str, waiting: list[type[Options]]) -> Any:
    """Return a schema whose references end in `end`; adds the models that it names to `waiting`.

    In partial values no option is required. Lists replace lists, so that their items are whole.
    """
    if isinstance(value, list):
        return [_resolved(item, end, waiting) for item in value]
    if not isinstance(value, dict):
        return value
    schema = {
        key: _resolved(inner, "" if key in ("items", "prefixItems") else end, waiting)
        for key, inner in value.items()
        if key not in ("named", "required") or (key == "required" and not end)
    }
    if "$ref" in schema:
        schema["$ref"] += end
    if "named" in value:
        waiting += value["named"].parts()
        schema["anyOf"] = _forms(value["named"], end)
    return schema


def _forms(named: Named, end: str) -> list[JsonSchema]:
    """Return the forms of a part: its name where it needs no options, or its options."""
    registry = named.registry
    short = [
        name
        for name in registry.names()
        if end or not any(field.is_required() for field in registry[name].model_fields.values())
    ]
    references = [{"$ref": f"#/$defs/{_name(part)}{end}"} for part in named.parts()]
    return [*([{"type": "string", "enum": short}] if short else []), *references]
