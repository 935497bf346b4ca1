"""Pydantic's errors as problems of a config: one for each path, in plain words, with what would work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin

from mlprun.config.document import Problem
from mlprun.config.tree import Path, describe_value, dotted
from mlprun.parts import aliases
from mlprun.parts.initializers import LayerInit, initializers
from mlprun.parts.part import Named, Options, suggestion
from mlprun.schema.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_EXPECTED: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
_BOUNDS: Final = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"}
_PATTERNS: Final = {
    "name": "must be 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit",
    "device": "expected cpu, cuda, cuda:N (such as cuda:1) or auto",
}


def to_problems(
    errors: Iterable[ErrorDetails], data: Mapping[str, Any], model: type[Options] = Config
) -> list[Problem]:
    """Return the problems that pydantic found in `data`, meant as a `model`: one for each path."""
    by_path: dict[Path, list[ErrorDetails]] = {}
    for error in errors:
        by_path.setdefault(_path(error, data), []).append(error)
    inner = {path[:length] for path in by_path for length in range(len(path))}
    problems = []
    for path, found in by_path.items():
        if path in inner:
            continue  # what is wrong inside the value is reported
        kind = found[0]["type"]
        if kind == "extra_forbidden":
            problems.append(Problem(path, f"unknown key; {suggest_key(path, data, model)}", at_key=True))
        elif kind == "missing":
            problems.append(Problem(path, "is missing; it has no default", at_key=True))
        else:
            problems.append(Problem(path, _refusal(path, found, data, model)))
    return problems


def _path(error: ErrorDetails, data: Any) -> Path:
    """Return the keys and indices of pydantic's location, without the names of union members between."""
    location, path, here = error["loc"], [], data
    last = len(location) - 1
    for index, step in enumerate(location):
        if _has(here, step):
            here = here[step]
            path.append(step)
        elif index == last and error["type"] in ("missing", "extra_forbidden"):
            path.append(step)
    wrong_name = error["type"] == "part_name" and isinstance(here, dict) and "name" in here
    return (*path, "name") if wrong_name else tuple(path)


def _has(here: Any, step: str | int) -> bool:
    if isinstance(here, dict):
        return step in here
    return isinstance(here, tuple) and isinstance(step, int) and 0 <= step < len(here)


def _refusal(path: Path, errors: list[ErrorDetails], data: Mapping[str, Any], model: type[Options]) -> str:
    """Return what a value should be, what there is instead, and how to write it."""
    value, expected, bounds, others = errors[0]["input"], [], [], []
    for error in errors:
        kind, text = (
            error["type"],
            re.sub(r"^\w+ should ", "must ", error["msg"].removeprefix("Value error, ")),
        )
        if kind in _EXPECTED:
            expected.append(_EXPECTED[kind])
        elif kind == "literal_error":
            expected.append(str(error["ctx"]["expected"]).replace("'", ""))
        elif kind == "string_pattern_mismatch":
            bounds.append(_PATTERNS.get(dotted(path), text))
        elif kind in _BOUNDS:
            text = text.replace("greater than or equal to", "at least")
            bounds.append(text.replace("less than or equal to", "at most"))
        else:
            others.append(text)
    if others:
        return " or ".join(dict.fromkeys(others))
    if bounds:
        literals = [word for word in expected if word not in _EXPECTED.values()]
        remedy = "; use cpu" if dotted(path) == "device" and value == "mps" else ""  # Apple's GPUs
        return f"{_either([*bounds, *literals])}, got {describe_value(value)}{remedy}"
    hint = _hint({error["type"] for error in errors}, value)
    if errors[0]["type"] == "model_type" and len(errors) == 1:
        hint = f"; its keys are {', '.join(valid_keys(path, data, model))}"
    return f"expected {_either(expected)}, got {describe_value(value)}{hint}"


def _either(options: list[str]) -> str:
    """Return `a, b or c`, without `a whole number` beside `a number`; pydantic lists literals with commas."""
    *others, last = dict.fromkeys(
        one for one in options if one != "a whole number" or "a number" not in options
    )
    return f"{', '.join(others)} or {last}" if others else last


def _hint(kinds: set[str], value: Any) -> str:
    """Return how to write a value of another type than expected; empty where only another value would do."""
    if value is None:
        return "; give a value, or remove the key"
    if "tuple_type" in kinds and "dict_type" not in kinds and isinstance(value, str | int | float):
        return "; put it in brackets"
    if "string_type" in kinds and isinstance(value, bool | int | float):
        return "; quote it (on the command line: KEY=\"'VALUE'\")"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 and "int_type" in kinds:
        return f"; write {int(value)}"
    return ""


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
    return list(dict.fromkeys(name for model in models for name in model.fields_by_key()))


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
        if isinstance(step, str):  # the items of a list have the types that it names
            types = [inner for annotation in types for inner in _types_at(step, annotation, value)]
        value = value[step]
    return types, value


def _types_at(key: str, annotation: Any, value: Any) -> Iterator[Any]:
    """Iterate over the types of the value at a key of `value`, a mapping whose own keys may be free."""
    if get_origin(annotation) is dict:
        yield get_args(annotation)[1]
        return
    for model in _models(annotation, value):
        if key in model.fields_by_key():
            yield _field_type(model.fields_by_key()[key])


def _field_type(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


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
