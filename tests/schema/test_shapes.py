"""What is read off the fields, against the schema that pydantic itself makes of them."""

import datetime as dt
from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field, WithJsonSchema, create_model

from mlprun.parts.part import ConfigPath, Options, PositiveInt, Probability
from mlprun.schema.json_schema import JsonSchemaBuilder


class Inner(Options):
    """A section."""

    size: PositiveInt = Field(3, description="how large")


FIELDS = {
    "a bounded number": (Annotated[float, Field(gt=0, le=2)], 0.5),
    "bounds beside the default": (int, Field(1, ge=0, lt=9, multiple_of=2)),
    "bounds of what may be null": (float | None, Field(None, gt=0)),
    "one word": (Literal["a"], "a"),
    "one of several words": (Literal["a", "b"], "a"),
    "words and numbers": (Literal["a", 1], "a"),
    "a pattern": (Annotated[str, Field(pattern="^a+$", max_length=5)], "a"),
    "a path": (ConfigPath, ...),
    "paths": (tuple[ConfigPath, ...], ()),
    "a list that is not empty": (Annotated[tuple[int, ...], Field(min_length=1)], ...),
    "a pair": (tuple[float, Probability], (1.0, 0.5)),
    "a union of unions": (PositiveInt | Literal["full"] | None, None),
    "a mapping": (dict[str, tuple[int, ...]], ...),
    "anything": (Any, None),
    "a section": (Inner, ...),
    "sections": (tuple[Inner, ...] | None, None),
    "another form": (
        Annotated[Inner, BeforeValidator(int, json_schema_input_type=Literal["x"] | Inner)],
        ...,
    ),
    "a schema of its own": (Annotated[Any, WithJsonSchema({"type": "array"})], ...),
    "a type that only pydantic knows": (dt.date, ...),
    "a described one": (bool, Field(default=True, description="whether")),
}


def untitled(value):
    """Without the titles of fields, which say what their keys say."""
    if isinstance(value, dict):
        return {key: untitled(inner) for key, inner in value.items() if key != "title"}
    return [untitled(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a_field_is_described_as_pydantic_describes_it(field):
    model = create_model("Sample", __base__=Options, field=field)
    shapes = JsonSchemaBuilder()
    schema = shapes.of_model(model)
    if shapes.definitions:
        schema["$defs"] = shapes.definitions
    expected = untitled(model.model_json_schema())
    expected.pop("description", None)  # that of the base class
    schema.pop("description", None)
    assert untitled(schema) == expected


def test_models_of_one_name_are_told_apart():
    inner = create_model("Inner", __base__=Options, __module__="elsewhere", depth=(int, 1))
    model = create_model("Sample", __base__=Options, one=(Inner, ...), other=(inner, ...))
    shapes = JsonSchemaBuilder()
    references = [field["$ref"] for field in shapes.of_model(model)["properties"].values()]
    assert references == ["#/$defs/Inner", "#/$defs/elsewhere.Inner"]
    assert {name: set(one["properties"]) for name, one in shapes.definitions.items()} == {
        "Inner": {"size"},
        "elsewhere.Inner": {"depth"},
    }
