"""Documentation of everything a config can name: kinds, parts, and options with values and defaults.

Everything is derived from the registries and classes; no part is referred to by name.
"""

import inspect
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as bounds
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mlprun import figures
from mlprun.cli.notation import default_of, inline, plain
from mlprun.parts.part import Named, Options, Part, Registry
from mlprun.schema import registries

WORDS: dict[Any, str] = {
    int: "integer",
    float: "number",
    bool: "true | false",
    str: "text",
    type(None): "null",
    Any: "anything",
    object: "anything",
}
SIGNS = ((bounds.Gt, "gt", ">"), (bounds.Ge, "ge", ">="), (bounds.Lt, "lt", "<"), (bounds.Le, "le", "<="))


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
    """Return the registries that may have a kind: those of configs, or of figures (slower to import)."""
    if kind in ("plot", "plots"):
        return (figures.run_figures,)
    if kind in ("sweep_plot", "sweep_plots"):
        return (figures.sweep_figures,)
    return registries()


def kinds(sources: Iterable[Registry[Any]]) -> dict[str, list[type[Part]]]:
    """Return the parts of each kind by the plural of the kind."""
    parts: dict[str, list[type[Part]]] = {}
    for registry in sources:
        parts.setdefault(registry.plural, []).extend(registry)
    return parts


def options(model: type[BaseModel], prefix: str = "") -> Iterator[Option]:
    """Yield the options of a part or section: own before inherited, nested ones with dotted names."""
    own = [name for name in model.model_fields if name in vars(model).get("__annotations__", {})]
    for name in dict.fromkeys([*own, *model.model_fields]):
        field = model.model_fields[name]
        if get_origin(field.annotation) is Literal and name == "name":
            continue
        values = describe(field.annotation, _metadata(field))
        yield Option(prefix + name, values, field.is_required(), default_of(field), field.description or "")
        for nested, place in _nested(field.annotation):
            yield from options(nested, f"{prefix}{name}.{place}")


def describe(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Describe the allowed values of an annotation: `number > 0 | null`, `mean | sum`, `list of integer`."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        unfolded = [
            part for item in more for part in (_metadata(item) if isinstance(item, FieldInfo) else [item])
        ]
        return describe(inner, [*metadata, *unfolded])
    for item in metadata:
        if isinstance(item, Named):
            return item.registry.kind
        if isinstance(item, str):
            return item
    return " ".join([_shape(annotation), *_limits(metadata)])


def _metadata(field: FieldInfo) -> list[Any]:
    """The constraints of a field; a format such as `path` is included as a string."""
    extra = field.json_schema_extra
    return [*field.metadata, *([extra["format"]] if isinstance(extra, dict) and "format" in extra else [])]


def _shape(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(inline, arguments))
    if origin in (Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(describe, arguments)))
    if origin in (tuple, list, Sequence):
        is_row = len(arguments) > 1 and arguments[-1] is not ...
        return f"[{', '.join(map(describe, arguments))}]" if is_row else f"list of {describe(arguments[0])}"
    if origin in (dict, Mapping):
        return f"mapping of {describe(arguments[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return "mapping"
    return WORDS.get(annotation) or getattr(annotation, "__name__", str(annotation)).lower()


def _limits(metadata: Sequence[Any]) -> list[str]:
    signs = [
        f"{sign} {inline(getattr(item, key))}"
        for item in metadata
        for kind, key, sign in SIGNS
        if isinstance(item, kind)
    ]
    lengths = [f"(at least {item.min_length})" for item in metadata if isinstance(item, bounds.MinLen)]
    return [" and ".join(signs)] * bool(signs) + lengths


def _nested(annotation: Any) -> Iterator[tuple[type[Options], str]]:
    """The sections that an annotation allows, with the prefix of their keys: `N.` in a list.

    Parts are excluded; they are documented separately.
    """
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        for argument in get_args(annotation):
            yield from _nested(argument)
    elif get_origin(annotation) is tuple:
        for nested, prefix in _nested(get_args(annotation)[0]):
            yield nested, f"N.{prefix}"
    elif inspect.isclass(annotation) and issubclass(annotation, Options) and not issubclass(annotation, Part):
        yield annotation, ""
