"""The keys that a config may have at a path, read off the models, and suggestions for unknown ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from mlprun.config import dotted
from mlprun.parts import aliases
from mlprun.parts.initializers import LayerInit, initializers
from mlprun.parts.part import Named, Options, suggestion
from mlprun.schema.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

    from mlprun.config import Path


def suggest_key(path: Path, data: Mapping[str, Any], model: type[Options] = Config) -> str:
    """Return what an unknown key at `path` of a `model` was probably meant as, or what is allowed there."""
    key, known = str(path[-1]), valid_keys(path[:-1], data, model)
    elsewhere = _elsewhere(key, data, model) if len(path) == 1 else []
    if elsewhere:
        return f"did you mean {' or '.join(elsewhere)}?"
    if model is Config:
        meant = aliases.closest_key(key, dotted(path[:-1]))
        if meant is not None and ("." in meant or meant in known):
            return f"did you mean {meant}?"
    return suggestion(key, known)


def valid_keys(path: Path, data: Mapping[str, Any], model: type[Options] = Config) -> list[str]:
    """Return the keys that the mapping at `path` may have."""
    types, value = _types(path, data, model)
    models = (model for annotation in types for model in _models(annotation, value))
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def integer_range(path: Path, data: Mapping[str, Any], model: type[Options] = Config) -> tuple[int, int]:
    """Return the smallest and the largest integer that the option at `path` accepts."""
    low, high = -(2**63), 2**63 - 1
    types, _ = _types(path, data, model)
    for limit in (limit for annotation in types for limit in _limits(annotation)):
        low = max(low, getattr(limit, "ge", low), getattr(limit, "gt", low - 1) + 1)
        high = min(high, getattr(limit, "le", high), getattr(limit, "lt", high + 1) - 1)
    return low, high


def sections_with(key: str, data: Mapping[str, Any], model: type[Options] = Config) -> list[str]:
    """Return the paths one level down where a key of this name is allowed."""
    return [
        f"{section}.{key}"
        for section, field in model.model_fields.items()
        if get_origin(field.annotation) is not dict  # whose keys are free
        for inner in _models(_field_type(field), data.get(section, {}))
        if key in inner.model_fields
    ]


def _elsewhere(key: str, data: Mapping[str, Any], model: type[Options]) -> list[str]:
    """Return the paths where an unknown top-level key is allowed: one level down, or in a sweep's base."""
    found = sections_with(key, data, model)
    if found or model is Config or "base" not in model.model_fields:
        return found
    paths = [key] if key in Config.model_fields else sections_with(key, {}, Config)
    return [f"base.{path}" for path in paths]


def _types(path: Path, data: Any, model: type[Options]) -> tuple[list[Any], Any]:
    """Return the types that the value at `path` may have, and the value."""
    value, types = data, [model]
    for step in path:
        if isinstance(step, str):
            types = [inner for annotation in types for inner in _types_at(step, annotation, value)]
        else:
            types = [inner for annotation in types for inner in _item_types(annotation)]
        value = value[step]
    return types, value


def _item_types(annotation: Any) -> Iterator[Any]:
    """Iterate over the types of the items of a list."""
    if get_origin(annotation) is tuple:
        yield get_args(annotation)[0]
    else:
        for argument in get_args(annotation):
            yield from _item_types(argument)


def _types_at(key: str, annotation: Any, value: Any) -> Iterator[Any]:
    """Iterate over the types of the value at a key of `value`, a mapping whose own keys may be free."""
    if get_origin(annotation) is dict:
        yield get_args(annotation)[1]
        return
    for model in _models(annotation, value):
        if key in model.model_fields:
            yield _field_type(model.model_fields[key])


def _field_type(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _limits(annotation: Any) -> Iterator[Any]:
    """Iterate over the metadata of the integer among the types of an option."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        if inner is int:
            yield from (limit for entry in metadata for limit in getattr(entry, "metadata", [entry]))
        annotation = inner
    for argument in get_args(annotation):
        yield from _limits(argument)


def _models(annotation: Any, value: Any) -> Iterator[type[Options]]:
    """Iterate over the models that `value`, a mapping, may be meant as."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        named = next((entry for entry in metadata if isinstance(entry, Named)), None)
        if named is None:
            yield from _models(inner, value)
            return
        name = value.get("name", named.default) if isinstance(value, dict) else value
        meant = named.registry.closest(name) if isinstance(name, str) else None
        if meant is not None:
            yield meant
    elif annotation is LayerInit and isinstance(value, dict) and value.get("name") in initializers:
        yield initializers[value["name"]]  # the short form of an initialiser of weights
    elif isinstance(annotation, type) and issubclass(annotation, Options):
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from _models(argument, value)
