import json
import sys
from functools import partial

import pytest

from mlprun.cli import schema as command
from mlprun.schema.jsonschema import json_schema
from mlprun.sweeps.definition import Sweep


@pytest.fixture
def call(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return partial(call, "schema")


def test_the_schema_is_printed_as_json(call):
    code, out, err = call()
    assert (code, err) == (0, "")
    assert json.loads(out) == json_schema()
    assert call("--json") == (code, out, err)


def test_the_schema_is_written_to_a_file_but_not_over_one(call, tmp_path):
    assert call("--out", "s.json") == (0, "", "wrote s.json\n")
    assert json.loads((tmp_path / "s.json").read_text()) == json_schema()
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


def test_the_schema_is_kept_until_it_is_damaged_or_mlprun_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "mlprun.schema")
    texts = iter(["first", "second", "third", "fourth"])
    monkeypatch.setattr(command, "_made", lambda *, sweep: next(texts))
    assert [command.schema_text() for _ in range(3)] == ["first"] * 3
    assert command.schema_text(sweep=True) == "second"
    for damage in ("", "[1]", '{"of": 1}'):
        (tmp_path / "mlprun/schema/config.json").write_text(damage)
    assert [command.schema_text() for _ in range(2)] == ["third"] * 2
    monkeypatch.setattr(sys, "version", "another")
    assert command.schema_text() == "fourth"
    monkeypatch.undo()
    assert json.loads(command.schema_text()) == json_schema()  # user code may have registered parts
