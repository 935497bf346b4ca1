import json

import pytest

from mlprun import schema


@pytest.fixture(scope="module")
def document():
    return schema.json_schema()


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
    assert document["anyOf"] == [{"required": ["dataset"]}, {"required": ["base"]}]
    assert document["additionalProperties"] is False


def test_every_part_is_there_with_its_options_described(document):
    for registry in schema.registries():
        if registry.kind == "penalty":
            continue  # named by their factors alone
        for part in registry:
            # a schedule and an initialiser share the name Constant
            (definition,) = (
                one
                for one in document["$defs"].values()
                if one["title"] == part.__name__ and set(one["properties"]) == set(part.model_fields)
            )
            options = definition["properties"].items()
            undescribed = [name for name, option in options if name != "name" and "description" not in option]
            assert not undescribed, (part, undescribed)


def test_short_forms_are_part_of_it(document):
    losses = document["properties"]["loss"]["anyOf"]
    assert {"type": "string"}.items() <= losses[0].items()
    assert "bce" in losses[0]["enum"]
    assert "same" in str(document["$defs"]["Moons"]["properties"]["split"])
