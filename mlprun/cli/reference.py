"""Documentation of everything a config can name: kinds, parts, and options with values and defaults.

Everything is derived from the registries and classes; no part is referred to by name.
"""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from mlprun import export, figures
from mlprun.parts.part import Options, Part, Registry, default_of, inline, plain
from mlprun.schema import registries

WORDS = {"boolean": "true | false", "string": "text"}
"""of types of JSON Schema that a config calls otherwise"""
SIGNS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


@dataclass(frozen=True)
class Option:
    """An option of a part or of a section of the config."""

    name: str
    values: str
    """the allowed values, such as `number > 0`"""
    required: bool
    default: Any
    description: str

    def shown_default(self) -> str:
        """Return the default as written in a config, "required", or "" if it depends on other values."""
        if self.default is None and "null" not in self.values.split(" | "):
            return "required" if self.required else ""
        return inline(self.default)

    def document(self) -> dict[str, Any]:
        """Return the option as JSON."""
        default = {} if self.required else {"default": plain(self.default)}
        kept = {"name": self.name, "values": self.values, "required": self.required}
        return {**kept, **default, "description": self.description}


def of_kind(kind: str | None) -> tuple[Registry[Any], ...]:
    """Return the registries that may have a kind: those of configs, figures or exports."""
    if kind in ("plot", "plots"):
        return (figures.run_figures,)
    if kind in ("sweep_plot", "sweep_plots"):
        return (figures.sweep_figures,)
    if kind in ("export", "exports"):
        return (export.formats,)
    return registries()


def kinds(sources: Iterable[Registry[Any]]) -> dict[str, list[type[Part]]]:
    """Return the parts of each kind by the plural of the kind."""
    parts: dict[str, list[type[Part]]] = {}
    for registry in sources:
        parts.setdefault(registry.plural, []).extend(registry)
    return parts


def options(model: type[BaseModel], prefix: str = "") -> Iterator[Option]:
    """Yield the options of a part or section: own before inherited, nested ones with dotted names."""
    properties = model.model_json_schema()["properties"]
    annotations = vars(model).get("__annotations__", {})
    own = [name for name in model.model_fields if name in annotations]
    for field_name in dict.fromkeys([*own, *model.model_fields]):
        field = model.model_fields[field_name]
        name = field.alias or field_name
        if name == "name" and issubclass(model, Part):
            continue
        values = describe(properties[name])
        yield Option(prefix + name, values, field.is_required(), default_of(field), field.description or "")
        for nested, place in _nested(field.annotation):
            yield from options(nested, f"{prefix}{name}.{place}")


def describe(schema: Mapping[str, Any]) -> str:
    """Describe the values that a JSON Schema allows: `number > 0 | null`, `mean | sum`, `list of integer`."""
    match schema:
        case {"named": named}:
            return str(named.registry.kind)
        case {"anyOf": choices}:
            return " | ".join(dict.fromkeys(map(describe, choices)))
        case {"const": value}:
            return inline(value)
        case {"enum": values}:
            return " | ".join(map(inline, values))
        case {"format": text}:
            return str(text)
        case {"prefixItems": items}:
            return f"[{', '.join(map(describe, items))}]"
        case {"items": items}:
            least = f" (at least {schema['minItems']})" if "minItems" in schema else ""
            return f"list of {describe(items)}{least}"
        case {"additionalProperties": values}:
            return f"mapping of {describe(values if isinstance(values, dict) else {})}"
        case {"$ref": _}:
            return "mapping"
    limits = [f"{sign} {inline(schema[key])}" for key, sign in SIGNS.items() if key in schema]
    kind = schema.get("type", "anything")
    return f"{WORDS.get(kind, kind)} {' and '.join(limits)}".rstrip()


def _nested(annotation: Any) -> Iterator[tuple[type[Options], str]]:
    """The sections that an annotation allows, with the prefix of their keys: `N.` in a list, `NAME.` by name.

    Parts are excluded; they are documented separately.
    """
    if inspect.isclass(annotation) and issubclass(annotation, Options) and not issubclass(annotation, Part):
        yield annotation, ""
    for argument in get_args(annotation):
        for nested, prefix in _nested(argument):
            yield nested, {tuple: "N.", dict: "NAME."}.get(get_origin(annotation), "") + prefix
