"""What every part is: a frozen set of options with a name, a docstring and a way to be built.

A part is one class. Its fields are its options (with bounds and descriptions), its docstring is its
documentation, its registry makes it nameable in a config. Schema, `mlprun list`, JSON Schema and the
parametrized tests come from here.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from threading import RLock
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic._internal._model_construction import ModelMetaclass
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema
from pydantic_core.core_schema import ErrorType

from mlprun import files
from mlprun.config.tree import ConfigStr, truncate
from mlprun.parts import aliases

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_completing = RLock()


class _Pending:
    """An attribute that pydantic sets, in a class that pydantic has not completed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type[Any]) -> Any:
        """Have pydantic complete the class, and return the attribute."""
        with _completing:
            if vars(owner).get(self.name) is self:
                namespace = vars(owner)["__namespace__"]
                if namespace is None:  # pydantic asks while it completes the class
                    return getattr(super(owner, owner), self.name)
                owner.__namespace__ = None
                LazyModel(owner.__name__, owner.__bases__, namespace, existing=owner)
                for name in _PENDING:
                    if isinstance(vars(owner).get(name), _Pending):
                        delattr(owner, name)
        return getattr(owner if instance is None else instance, self.name)

    def __contains__(self, name: str) -> bool:
        """Return False: pydantic has found no fields and private attributes yet."""
        return False


class _Existing(ABCMeta):
    """Follows pydantic's metaclass and gives it an existing class in place of a new one."""

    def __new__(cls, name: Any, bases: Any, namespace: Any, existing: Any = None, **options: Any) -> Any:
        if existing is None:
            return super().__new__(cls, name, bases, namespace, **options)
        for key in namespace.keys() & _PENDING:
            setattr(existing, key, namespace[key])
        return existing


class LazyModel(ModelMetaclass, _Existing):
    """Creates the models of mlprun as plain classes; pydantic completes each when it is first used.

    That takes half a millisecond for a class, and a config names few of more than a hundred. Classes of user
    code are complete from the beginning, so that an error in one is reported where it is.
    """

    def __new__(cls, name: Any, bases: Any, namespace: Any, existing: Any = None, **options: Any) -> Any:
        if existing is not None:
            options |= {"existing": existing, "__pydantic_reset_parent_namespace__": False}
        elif _PENDING and namespace["__module__"].startswith("mlprun.") and not options:
            attributes = {"__namespace__": {**namespace}, **_PENDING, **namespace}
            return ABCMeta.__new__(cls, name, bases, attributes)
        return super().__new__(cls, name, bases, namespace, **options)


_PENDING: dict[str, _Pending] = {}
"""what pydantic sets in a class; empty until `Options`, from which it is learnt, is complete"""


class Options(BaseModel, metaclass=LazyModel):
    """A frozen mapping of the config: unknown keys are refused and no type is silently converted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=False,
        defer_build=True,  # user code may register parts before the first validation
        use_attribute_docstrings=False,
        serialize_by_alias=True,
    )

    stored_if_set: ClassVar[frozenset[str]] = frozenset()
    """fields that are stored only if they are set, so that the configs of other runs keep their bytes"""

    @classmethod
    def fields_by_key(cls) -> dict[str, FieldInfo]:
        """The fields by the keys that a config has for them."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}


_OTHERS = ("__class_vars__", "__private_attributes__", "__hash__", "model_config")
_PENDING |= {
    name: _Pending(name) for name in vars(Options) if name.startswith("__pydantic_") or name in _OTHERS
}

MOST_KEPT = 64
"""parts whose derived values are kept"""
_FORMER_NAMES = {
    "facts": "info",
    "refuses": "unsupported_reason",
    "refuses_targets": "unsupported_targets",
    "takes": "target_kind",
    "gives": "output_kind",
    "goal": "mode",
    "draws": "is_random",
}
"""names of methods and class variables in mlprun 0.1 by today's: user code in older run folders has them"""


class Part(Options):
    """One thing a config can name. Subclasses declare `name: Literal["..."] = "..."` as their first field."""

    name: str

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Take over what user code defines under a former name."""
        for former in _FORMER_NAMES.keys() & vars(cls).keys() - cls.model_fields.keys():
            setattr(cls, _FORMER_NAMES[former], vars(cls)[former])

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names that a config may use for this part; the first is the one that documentation shows."""
        pending = vars(cls).get("__namespace__") or {}
        hint = pending.get("__annotations__", {}).get("name") or cls.model_fields["name"].annotation
        return tuple(re.findall(r"['\"](.+?)['\"]", str(hint)))

    @classmethod
    def has_required(cls) -> bool:
        """Whether the part has options without a default, so that its name alone does not stand for it."""
        return any(field.is_required() for field in cls.model_fields.values())

    @classmethod
    def summary(cls) -> str:
        """The first line of the part's docstring."""
        return (inspect.getdoc(cls) or "").partition("\n")[0]


T = TypeVar("T")
P = TypeVar("P", bound=Part)
PartClass = TypeVar("PartClass", bound=type[Part])


def cached_by_identity(function: Callable[[P], T]) -> Callable[[P], T]:
    """Keep what a function returns for the last parts: the trials of a sweep share theirs.

    Equal parts are told apart, because they may differ in the sign of a zero.
    """
    known: dict[int, tuple[P, T]] = {}

    @wraps(function)
    def wrapper(part: P) -> T:
        entry = known.get(id(part))
        if entry is None or entry[0] is not part:
            if len(known) >= MOST_KEPT:
                known.clear()
            entry = known[id(part)] = part, function(part)
        return entry[1]

    return wrapper


class CategoryTable(NamedTuple):
    """An input that is the code of a category, from 0, or -1 for none, and becomes `dim` numbers."""

    position: int
    categories: int
    dim: int


class LayerSummary(NamedTuple):
    """A layer: its name in the module, what it is, the shape of one row after it, its trained numbers."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


class Registry(Generic[P]):
    """The parts of one kind in the order of registration; `kind` is singular, `plural` the drawer's name."""

    def __init__(self, kind: str, plural: str) -> None:
        self.kind, self.plural = kind, plural
        self._parts: dict[str, type[P]] = {}
        self.version = 0

    def register(self, part: PartClass) -> PartClass:
        """Add a part class (a decorator). Raises ValueError for a name that is already taken."""
        for name in part.names():
            known = self._parts.get(name)
            if known is not None and known.__qualname__ != part.__qualname__:
                raise ValueError(
                    f"{self.kind} {name!r} is already registered by {known.__module__}.{known.__name__}"
                )
            self._parts[name] = part  # type: ignore[assignment]
        self.version += 1
        return part

    def __iter__(self) -> Iterator[type[P]]:
        return iter(dict.fromkeys(self._parts.values()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._parts  # a config may say `name: {}`

    def __getitem__(self, name: str) -> type[P]:
        return self._parts[name]

    def names(self) -> tuple[str, ...]:
        """Every name that a config may use, aliases included."""
        return tuple(self._parts)

    def closest(self, name: str) -> type[P] | None:
        """The part of that name, or the one whose name it resembles; None where none does."""
        near = aliases.closest_name(name, self.names())
        return self[near] if near is not None else None


def listed(value: T | tuple[T, ...]) -> tuple[T, ...]:
    """The values of an option that takes one or several."""
    return value if isinstance(value, tuple) else (value,)


def suggestion(word: str, known: Sequence[str]) -> str:
    """`did you mean X?` when a known word is near, otherwise the known words."""
    near = aliases.closest_name(word, known)
    if near is not None:
        return f"did you mean {near}?"
    return f"expected one of {', '.join(known)}" if known else ""


_TYPES = frozenset(get_args(ErrorType))


def _again(error: ErrorDetails) -> InitErrorDetails:
    """An error of pydantic, to be reported again as part of another."""
    kind = error["type"]
    known: Any = kind if kind in _TYPES else PydanticCustomError(kind, "{text}", {"text": error["msg"]})
    return InitErrorDetails(type=known, loc=error["loc"], input=error["input"], ctx=error.get("ctx", {}))


class Named:
    """Field metadata: the value is a part of `registry`, given as its name or as a mapping with options.

    A mapping without `name` means the `default` part. `Annotated[Loss, Named(losses)]` is how a field asks
    for a part.
    """

    def __init__(self, registry: Registry[Any], default: str | None = None) -> None:
        self.registry, self.default = registry, default

    def _validate(self, value: object) -> Part:
        """The part that `value` stands for; only the classes that are named are built by pydantic."""
        try:
            options = self._expand(value)
        except PydanticCustomError as error:
            raise self._with_options(error, value) from error
        return self._choose(options).model_validate(options)

    def _with_options(self, error: PydanticCustomError, value: object) -> ValidationError:
        """An unknown name, and what is wrong with the options beside it if the nearest name is meant."""
        name = value.get("name") if isinstance(value, Mapping) else None
        meant = self.registry.closest(truncate(name, 100)) if isinstance(name, str) else None
        found = [InitErrorDetails(type=error, input=value)]
        if meant is not None and isinstance(value, Mapping):
            options = {**value, "name": meant.names()[0]}
            try:
                self._choose(options).model_validate(options)
            except ValidationError as inner:
                found += map(_again, inner.errors(include_url=False))
        return ValidationError.from_exception_data(self.registry.kind, found)

    def _expand(self, value: object) -> Mapping[str, Any] | Part:
        if isinstance(value, str):
            value = {"name": value}
        elif isinstance(value, Mapping) and "name" not in value and self.default is not None:
            value = {"name": self.default, **value}
        name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)
        if not isinstance(value, Mapping | Part) or not isinstance(name, str):
            article = "an" if self.registry.kind[0] in "aeiou" else "a"
            expected = f"expected {article} {self.registry.kind}: a name or a mapping with 'name'"
            raise PydanticCustomError("part_name", "{expected}", {"expected": expected})
        if name not in self.registry:
            text = truncate(str(name), 100)
            unregistered = "none is registered; name the file that registers it under extend"
            hint = suggestion(text, self.registry.names()) or unregistered
            what = {"kind": self.registry.kind, "name": repr(text), "hint": hint}
            raise PydanticCustomError("part_name", "unknown {kind} {name}; {hint}", what)
        return value

    def _choose(self, options: Mapping[str, Any] | Part) -> type[Part]:
        """The class that options, whose name is known, are validated as."""
        part: type[Part] = self.registry[self._name(options)]
        return part

    @staticmethod
    def _name(options: Mapping[str, Any] | Part) -> str:
        return str(options.name if isinstance(options, Part) else options["name"])

    def parts(self) -> Iterable[type[Part]]:
        """Every class that `_choose` may give."""
        return self.registry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, *_: Any) -> dict[str, Any]:
        return {"named": self}  # `schema.jsonschema` resolves it, since parts may name each other


class PathStr(str):
    """A path of a config as seen from the working directory; stored configs name it from their own folder."""


def path_from_here(path: str) -> PathStr:
    """Return a path of a config as seen from the working directory."""
    folder = path.folder if isinstance(path, ConfigStr) else ""
    return PathStr(path if files.is_url(path) else os.path.normpath(os.path.join(folder, path)))


def _place(value: Any, handler: ValidatorFunctionWrapHandler) -> PathStr:
    handler(value)  # it is a string
    return path_from_here(value)


ConfigPath = Annotated[str, WrapValidator(_place), Field(json_schema_extra={"format": "path"})]
"""A path in a config: relative to the config's folder when read, then as seen from the working directory."""

Dtype = Literal["float32", "float64"]

Seed = Annotated[int, Field(ge=0, lt=2**32)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]


PLAIN = re.compile(r"(\.\./)*[A-Za-z][A-Za-z0-9_./-]*")
QUOTED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""strings that some YAML parsers do not read as strings"""


def inline(value: Any) -> str:
    """Return a value as one line of YAML; a part with default options is written as its name."""
    value = plain(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)}: {inline(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in QUOTED:
        return value
    # escape line breaks and direction marks, but no other letters
    return json.dumps(value, ensure_ascii=not str(value).isprintable())


def plain(value: Any) -> Any:
    """Return a value as mappings, lists, numbers and text; a part with default options is its name."""
    if isinstance(value, BaseModel):
        fields = {name: field for name, field in type(value).model_fields.items() if name != "name"}
        changed = {
            field.alias or name: plain(one)
            for name, field in fields.items()
            if (one := getattr(value, name)) != default_of(field)
        }
        if not isinstance(value, Part):
            return changed
        return {"name": value.names()[0], **changed} if changed else value.names()[0]
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return value


def default_of(field: FieldInfo) -> Any:
    """Return the default of a field, None if it has none."""
    return None if field.is_required() else field.get_default(call_default_factory=True)
