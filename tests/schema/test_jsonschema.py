"""The JSON Schema of configs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlprun import schema
from mlprun.config.parser import compose
from mlprun.config.tree import Source, plain
from mlprun.schema.jsonschema import json_schema


@pytest.fixture(scope="module")
def document():
    return json_schema()


def nodes(value):
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def test_it_is_json_schema_that_refers_to_itself_only(document):
    assert json.loads(json.dumps(document)) == document
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    references = [node["$ref"] for node in nodes(document) if isinstance(node, dict) and "$ref" in node]
    assert references
    assert all(reference.removeprefix("#/$defs/") in document["$defs"] for reference in references)


def test_every_field_of_the_config_is_described(document):
    assert set(document["properties"]) == {"base", *schema.Config.model_fields}
    assert all(field["description"] for field in document["properties"].values())
    assert document["if"] == {"required": ["base"]}
    assert document["else"]["required"] == ["dataset"]
    assert set(document["then"]["properties"]) == set(document["else"]["properties"])
    assert document["additionalProperties"] is False


def test_every_part_is_there_with_its_options_described(document):
    for registry in schema.registries():
        if registry.kind == "penalty":
            continue  # named by their factors alone
        for part in registry:
            # a schedule and an initialiser share the name Constant
            (definition,) = (
                one
                for name, one in document["$defs"].items()
                if not name.endswith(".partial")
                and one["title"] == part.__name__
                and set(one["properties"]) == set(part.model_fields)
            )
            options = definition["properties"].items()
            undescribed = [name for name, option in options if name != "name" and "description" not in option]
            assert not undescribed, (part, undescribed)


def test_short_forms_are_part_of_it(document):
    losses = document["else"]["properties"]["loss"]["anyOf"]
    assert {"type": "string"}.items() <= losses[0].items()
    assert "bce" in losses[0]["enum"]
    assert "same" in str(document["$defs"]["Moons"]["properties"]["split"])


TYPES = {
    "object": dict,
    "array": list | tuple,
    "string": str,
    "number": int | float,
    "integer": int,
    "null": None,
}


def fits(value, node, document):
    """Whether a value is as a node of the schema says: the words of JSON Schema that ours uses."""
    if "$ref" in node:
        return fits(value, document["$defs"][node["$ref"].removeprefix("#/$defs/")], document)
    return all(rule(value, node, document) for rule in RULES)


def is_of(kind, value):
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    return value is None if kind == "null" else isinstance(value, TYPES[kind])


RULES = (
    lambda value, node, _: "type" not in node or is_of(node["type"], value),
    lambda value, node, _: "const" not in node or value == node["const"],
    lambda value, node, _: "enum" not in node or value in node["enum"],
    lambda value, node, whole: "anyOf" not in node or any(fits(value, one, whole) for one in node["anyOf"]),
    lambda value, node, _: not isinstance(value, dict) or set(node.get("required", ())) <= set(value),
    lambda value, node, whole: (
        not isinstance(value, dict)
        or all(
            fits(value[key], one, whole) for key, one in node.get("properties", {}).items() if key in value
        )
    ),
    lambda value, node, _: (
        not isinstance(value, dict)
        or node.get("additionalProperties") is not False
        or set(value) <= set(node["properties"])
    ),
    lambda value, node, whole: (
        not isinstance(value, list | tuple) or all(fits(item, node.get("items", {}), whole) for item in value)
    ),
    lambda value, node, _: "minimum" not in node or value >= node["minimum"],
    lambda value, node, whole: not isinstance(value, dict) or fits_branch(value, node, whole),
)


def fits_branch(value, node, whole):
    if "if" not in node:
        return True
    return fits(value, node["then" if set(node["if"]["required"]) <= set(value) else "else"], whole)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_configs_are_as_it_says(document, path):
    data = compose_plain(path.read_text())
    assert fits(data, document, document) == ("extend" not in data)  # parts of the user's own are not in it


def compose_plain(text):
    return plain(compose(text, Source("c", folder="", rank=0), []))


@pytest.mark.parametrize(
    "text",
    [
        "dataset: {target: z}",
        "dataset: table",
        "dataset: {noise: 0.1}",
        "dataset: {split: {dev: {fresh: 3}}}",
        "architecture: {embedding: {dim: 3}}",
        "architecture: {init: {std: 0.1}}",
        "optimizer: {nesterov: true}",
        "schedule: {name: warmup}",
        "loss: {scale: 2.0}",
    ],
)
def test_a_config_with_a_base_may_be_partial_anywhere(document, text):
    assert fits(compose_plain(f"base: other.yaml\n{text}"), document, document)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "dataset: {target: z}",
        "dataset: table",
        "dataset: moons\narchitecture: {embedding: {dim: 3}}",
        "base: other.yaml\nfoo: 1",
        "base: other.yaml\noptimizer: {lrr: 1}",
        "base: other.yaml\ntraining: {epochs: -1}",
        "base: other.yaml\narchitecture: {layers: [{activation: relu}]}",  # lists replace lists
    ],
)
def test_what_cannot_become_a_config_is_marked(document, text):
    assert not fits(compose_plain(text), document, document)
