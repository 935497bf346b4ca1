"""No message quotes a file that is not a config: a received config may name any file as its base."""

import os
import re

import pytest

SECRETS = {
    "passwords": "root:Kx9:19000:0:99999:7:::\nKx9:!:19000::::\n",
    "keys": "# Kx9\n\nKx9: Kx9\nother:\n  Kx9: [1\n",
    "credentials": "name: Kx9\npassword: Kx9\n",
    "a database": "database: Kx9\n",
    "a list": "- Kx9\n- Kx9: 1\n",
    "text": "Kx9\n",
    "json": '{"type": "Kx9", "private_key": "Kx9", "Kx9": }',
    "another program's": "dataset: Kx9\nkey_Kx9: Kx9\ntoken: Kx9\nurl: Kx9\n",
    "bytes": b"\x00\xffKx9",
    "a document": "--- Kx9\n",
    "a document of text": "# Kx9\n--- |\n  Kx9\n",
    "a document of json": '%YAML 1.2\n--- {"Kx9": 1}\n',
    "an alias": "--- *Kx9\n",
    "no key at the margin": "# a\n  dataset_Kx9: Kx9\n",
    "a document with its content indented": "---\n  Kx9: Kx9\n",
    "tabs and spaces": "  Kx9: 1\n\tKx9: 2\n",
    "other line breaks": "# a\rKx9: 1\r",
    "a closing bracket": "} Kx9\n",
    "a directive": "%Kx9 1\n",
    "tabs": "Kx9:\n\tKx9: 1\n",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_base_that_is_no_config_is_not_quoted(secret, tmp_path, call, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = secret.encode() if isinstance(secret, str) else secret
    (tmp_path / "secret").write_bytes(data)
    (tmp_path / "one.yaml").write_text("base: secret\ndataset: moons\nloss: bce\n")
    (tmp_path / "two.yaml").write_text("base: one.yaml\n")
    (tmp_path / "sweep.yaml").write_text("base: secret\nseeds: 3\n")
    (tmp_path / "both.yaml").write_text("base: {base: secret, dataset: moons}\nseeds: 3\n")
    for arguments in (
        ["train", "one.yaml"],
        ["validate", "two.yaml", "sweep.yaml", "both.yaml"],
        ["sweep", "run", "sweep.yaml"],
        ["verify", "one.yaml"],
    ):
        code, out, err = call(*arguments)
        assert code == 2
        assert re.search("secret:[0-9]+:", err)
        assert "Kx9" not in out + err
        assert "ff" not in err


@pytest.mark.parametrize(
    "text",
    [
        "# Kx9\n",
        '{"auths": {"Kx9": {"loss": "Kx9"}}}',
        '{"dataset": "Kx9", "token": "Kx9", "url": "Kx9"}',
    ],
)
def test_a_base_with_few_keys_of_a_config_is_not_quoted(text, tmp_path, call):
    (tmp_path / "secret").write_text(text)
    (tmp_path / "one.yaml").write_text("base: secret\n")
    code, out, err = call("train", tmp_path / "one.yaml")
    assert code == 2
    assert "secret:" in err
    assert "Kx9" not in out + err


@pytest.mark.parametrize("text", ["# a\n{dataset: moons, los: bce}", "---\n{dataset: moons, los: bce}\n"])
def test_a_config_in_flow_style_may_begin_below_a_comment(text, tmp_path, call):
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = call("validate", tmp_path / "c.yaml")
    assert code == 2
    assert "did you mean loss?" in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_base_that_is_a_pipe_is_called_one(tmp_path, call):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "one.yaml").write_text("base: pipe\n")
    assert "is a pipe or device, not a config" in call("validate", tmp_path / "one.yaml")[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dateset: moons\n", "did you mean dataset?"),
        ("  dataset: moons\n  lr: 1\n  epochs: 2\n", "did you mean optimizer.lr?"),
        ('{"dataset": "moons", "los": "bce"}', "did you mean loss?"),
        ("---\n'dataset': moons\noptimizer: {lr: 1, momentun: 2}\n", "momentun: 2"),
    ],
)
def test_a_config_with_mistakes_is_quoted(text, said, tmp_path, call):
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = call("validate", tmp_path / "c.yaml")
    assert code == 2
    assert said in err
