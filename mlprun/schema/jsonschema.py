"""JSON Schema of config and sweep files, read off the models, for editors and other programs.

pydantic's own generator says the same, but it needs the validators of all models, which a light command has
no time to build. It is used only for types that are not known here.
"""

from __future__ import annotations

import inspect
import types
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from mlprun.parts.part import Named, Options, Part
from mlprun.schema.model import Config, Penalties

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


JsonSchema = dict[str, Any]

PARTIAL: Final = ".partial"
"""the end of the names of definitions of partial values"""
_SCALARS: Final[Mapping[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_BOUNDS: Final = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_LENGTHS: Final = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}


class JsonSchemaBuilder:
    """Builds schemas that refer to `definitions`, which holds every model that they name.

    With a builder for `whole` values, the schemas are of partial ones, which are merged over others: no
    option is required and every part may be named alone. Lists are not merged, so that their items are whole.
    """

    def __init__(self, whole: JsonSchemaBuilder | None = None) -> None:
        self.definitions: dict[str, JsonSchema] = {}
        self._names: dict[type[Options], str] = {}
        self._whole = whole

    def of_model(self, model: type[Options]) -> JsonSchema:
        """Return a model as an object with its fields as properties."""
        fields = model.model_fields
        needed = [name for name, field in fields.items() if field.is_required()]
        required = needed if self._whole is None else []
        return {
            "title": model.__name__,
            **({"description": inspect.cleandoc(model.__doc__)} if model.__doc__ else {}),
            "type": "object",
            "properties": {name: self._of_field(name, field) for name, field in fields.items()},
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    def _of_field(self, name: str, field: FieldInfo) -> JsonSchema:
        about = {"description": field.description} if field.description else {}
        schema = self._of_type(field.annotation, (*field.metadata, *_extra(field)))
        return {"title": name.replace("_", " ").title(), **about, **schema, **_default(field)}

    def _of_type(self, annotation: Any, metadata: Iterable[Any] = ()) -> JsonSchema:
        while get_origin(annotation) is Annotated:
            annotation, *inner = get_args(annotation)
            metadata = (*inner, *metadata)
        flat = tuple(_flattened(metadata))
        for item in flat:
            if isinstance(item, Named):
                return self._of_named(item)
            if isinstance(item, WithJsonSchema):
                return dict(item.json_schema or {})
        read = [getattr(item, "json_schema_input_type", PydanticUndefined) for item in flat]
        input_types = [kind for kind in read if kind is not PydanticUndefined]
        return self._of_type(input_types[-1]) if input_types else _limited(self._of_plain(annotation), flat)

    def _of_named(self, named: Named) -> JsonSchema:
        """Return a part: its name where it needs no options, or its options."""
        registry = named.registry
        short = [name for name in registry.names() if self._whole or not _requires(registry[name])]
        names = [{"type": "string", "enum": short}] if short else []
        return {"anyOf": [*names, *map(self._reference, named.parts())]}

    def _of_plain(self, annotation: Any) -> JsonSchema:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if annotation in _SCALARS:
            return {"type": _SCALARS[annotation]}
        if annotation is Any:
            return {}
        if origin is Literal:
            return _literal(arguments)
        if origin in (Union, types.UnionType):
            return {"anyOf": list(self._members(arguments))}
        if origin is tuple:
            return (self._whole or self).of_tuple(arguments)
        if origin is dict:
            return {"type": "object", "additionalProperties": self._of_type(arguments[1])}
        if inspect.isclass(annotation) and issubclass(annotation, Options):
            return self._reference(annotation)
        schema = TypeAdapter(annotation).json_schema()
        self.definitions |= schema.pop("$defs", {})
        return schema

    def _members(self, arguments: Iterable[Any]) -> Iterator[JsonSchema]:
        """Iterate over the schemas of a union's members; a union within one is flattened."""
        for member in map(self._of_type, arguments):
            yield from member["anyOf"] if member.keys() == {"anyOf"} else [member]

    def of_tuple(self, arguments: tuple[Any, ...]) -> JsonSchema:
        """Return a list of any length, or one with a type for each item."""
        if arguments[-1] is ...:
            return {"type": "array", "items": self._of_type(arguments[0])}
        items = [self._of_type(argument) for argument in arguments]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}

    def _reference(self, model: type[Options]) -> JsonSchema:
        if model not in self._names:
            taken = model.__name__ + (PARTIAL if self._whole else "") in self.definitions
            name = f"{model.__module__}.{model.__qualname__}" if taken else model.__name__
            name += PARTIAL if self._whole else ""
            self._names[model] = name
            self.definitions[name] = {}  # a schedule may name another schedule, this one included
            self.definitions[name] = self.of_model(model)
        return {"$ref": f"#/$defs/{self._names[model]}"}


def _requires(part: type[Part]) -> bool:
    """Return True if a part has an option without a default."""
    return any(field.is_required() for field in part.model_fields.values())


def _flattened(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from (*item.metadata, *_extra(item))
        else:
            yield item


def _extra(field: FieldInfo) -> list[JsonSchema]:
    return [field.json_schema_extra] if isinstance(field.json_schema_extra, dict) else []


def _limited(schema: JsonSchema, metadata: tuple[Any, ...]) -> JsonSchema:
    """Return the schema with the bounds, lengths and additions of a type's metadata; null has none."""
    if "anyOf" in schema:
        return {"anyOf": [_limited(member, metadata) for member in schema["anyOf"]]}
    kind = schema.get("type")
    if kind == "null":
        return schema
    keywords = _BOUNDS | _LENGTHS.get(str(kind), {})
    limits: JsonSchema = {}
    for item in metadata:
        if isinstance(item, dict):
            limits |= item
            continue
        found = {key: getattr(item, name, None) for name, key in keywords.items()}
        limits |= {key: limit for key, limit in found.items() if limit is not None}
    return schema | limits


def _literal(values: tuple[Any, ...]) -> JsonSchema:
    kinds = {_SCALARS[type(value)] for value in values}
    kind = {"type": kinds.pop()} if len(kinds) == 1 else {}
    return {**kind, **({"const": values[0]} if len(values) == 1 else {"enum": list(values)})}


def _default(field: FieldInfo) -> JsonSchema:
    if field.is_required():
        return {}
    factory: Any = field.default_factory
    if factory is None:
        return {"default": _plain(field.default)}
    if inspect.isclass(factory) and issubclass(factory, Part):
        return {"default": _plain(factory.model_construct(name=factory.names()[0]))}
    return {}


def _plain(value: Any) -> Any:
    """Return a value as JSON represents it."""
    if isinstance(value, BaseModel):
        return {name: _plain(inner) for name, inner in value}
    return to_jsonable_python(value)


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema_of(model: type[Options]) -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of a file that is a single model, such as a sweep file."""
    builder = JsonSchemaBuilder()
    return {"$schema": DIALECT, **builder.of_model(model), "$defs": builder.definitions}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of a config file, with descriptions and short forms.

    A config with `base:` may be partial anywhere but in lists, so its sections are described twice.
    """
    Penalties.add_fields()
    whole = JsonSchemaBuilder()
    partial = JsonSchemaBuilder(whole)
    schema, partial_schema = whole.of_model(Config), partial.of_model(Config)
    base = {
        "description": "another config, relative to this one, that this one is laid over",
        "type": "string",
    }
    required, properties = schema.pop("required"), schema.pop("properties")
    return {
        "$schema": DIALECT,
        **schema,
        "title": "mlprun config",
        "description": "A small neural network, its data and how it is trained.",
        "properties": {"base": base, **{name: _about(one) for name, one in properties.items()}},
        "if": {"required": ["base"]},
        "then": {"properties": partial_schema["properties"]},
        "else": {"properties": properties, "required": required},
        "$defs": whole.definitions | partial.definitions,
    }


def _about(section: dict[str, Any]) -> dict[str, Any]:
    """Return what a section is, without the values it may have."""
    return {key: section[key] for key in ("title", "description", "default") if key in section}
