import json
from functools import partial

import pytest

from mlprun import schema
from mlprun.sweeps.definition import Sweep


@pytest.fixture
def call(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return partial(call, "schema")


def test_the_schema_is_printed_as_json(call):
    code, out, err = call()
    assert (code, err) == (0, "")
    assert json.loads(out) == schema.json_schema()
    assert call("--json") == (code, out, err)


def test_the_schema_is_written_to_a_file_but_not_over_one(call, tmp_path):
    assert call("--out", "s.json") == (0, "", "wrote s.json\n")
    assert json.loads((tmp_path / "s.json").read_text()) == schema.json_schema()
    refused = "error: s.json: exists; choose another name or add --force\n"
    assert call("--out", "s.json") == (2, "", refused)
    code, out, err = call("--out", "s.json", "--force", "--json", "-q")
    assert (code, json.loads(out), err) == (0, {"schema": "s.json"}, "")


def test_sweep_files_have_a_schema_with_every_word_and_its_description(call):
    code, out, err = call("--sweep")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["properties"].keys() == Sweep.model_fields.keys()
    assert all(one["description"] for one in told["properties"].values())
    assert told["additionalProperties"] is False
    draw = told["$defs"]["Draw"]["properties"]
    assert draw["log_uniform"]["anyOf"][0]["prefixItems"] == [{"type": "number"}, {"type": "number"}]
    assert told["properties"]["folds"]["anyOf"][0]["minimum"] == 2
