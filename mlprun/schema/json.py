"""The JSON Schema of configs, for editors and other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from mlprun.parts.part import Part
from mlprun.parts.penalties import penalties
from mlprun.schema.model import Config, build, registries

if TYPE_CHECKING:
    from pydantic.json_schema import CoreModeRef, DefsRef
    from pydantic_core import core_schema


class _Generator(GenerateJsonSchema):
    """pydantic's generator, quick for a hundred definitions: it names each of them once and for all."""

    def get_defs_ref(self, core_mode_ref: CoreModeRef) -> DefsRef:
        """The name of a class; with its module where another one has that name already."""
        whole = core_mode_ref[0].rpartition(":")[0]
        short = whole.rpartition(".")[2]
        return cast("DefsRef", whole if short in self.defs_to_core_refs else short)

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """A field's default; a default part is made anew each time, which pydantic would leave out."""
        make: Any = schema.get("default_factory")
        part = None if make is None else make()
        return part if isinstance(part, Part) else super().get_default_value(schema)

    def encode_default(self, dft: Any) -> Any:
        """A default as JSON."""
        return to_jsonable_python(dft)


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a config file, with descriptions and short forms."""
    generator = _Generator()
    # a penalty is a key of the config and not named as other parts are
    named = (part for registry in registries() if registry is not penalties for part in registry)
    for model in (build(), *named):
        model.model_rebuild()
        generator.generate_inner(model.__pydantic_core_schema__)
    definitions = generator.sort({str(name): schema for name, schema in generator.definitions.items()})
    schema = definitions.pop(Config.__name__)
    properties = schema.pop("properties")
    base = {
        "description": "another config, relative to this one, that this one is laid over",
        "type": "string",
    }
    return {
        "$defs": definitions,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mlprun config",
        "description": "A small neural network, its data and how it is trained.",
        **{key: value for key, value in schema.items() if key not in ("title", "description")},
        "properties": {"base": base, **properties},
    }
