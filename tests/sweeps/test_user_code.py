"""What fails in a user's own code is told with its line and fails that trial, or that run, alone."""

import json
from pathlib import Path

import pytest

from mlprun import cli
from mlprun.sweeps.trials import BatchTrainer

from .conftest import ROWS

CODE = """
from typing import Literal
from torch import is_grad_enabled, nn
from mlprun.parts.activations import Activation, activations

class Module(nn.Module):
    def forward(self, inputs):
        if is_grad_enabled() and inputs[0, 0] > 0:
            raise {error}("likes no\\n such rows")
        return inputs

@activations.register
class Picky(Activation):
    \"\"\"One that does not take all it is given.\"\"\"
    name: Literal["{name}"] = "{name}"
    def build(self):
        return Module()
"""


def written(tmp_path, base, error):
    """A base with an activation that raises `error` for some seeds; its line."""
    name = f"picky_{error.lower()}"
    (tmp_path / "parts.py").write_text(CODE.format(name=name, error=error))
    base("extend: [parts.py]\nname: mine\nengine: torch\n", text=ROWS.replace("tanh", name))
    return f"{tmp_path}/parts.py:9: {error}: likes no such rows; correct this code"


@pytest.mark.parametrize("error", ["ValueError", "RuntimeError", "KeyError"])
def test_a_trial_fails_where_the_users_code_does_and_a_run_says_the_same(
    error, tmp_path, base, sweep, capsys
):
    line = written(tmp_path, base, error)
    swept = sweep("seeds: 6", allow_code=True)
    assert swept.status.state == "finished"
    failed = [trial for trial in swept.trials if trial.status == "failed"]
    assert 0 < len(failed) < 6
    assert {trial.error.replace("'", "").replace("\\n", "") for trial in failed} == {line}
    words = [f"training.seed={failed[0].seed}", "--out", str(tmp_path / "runs"), "--allow-code"]
    assert cli.main(["train", str(tmp_path / "small.yaml"), *words]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"error: {failed[0].error}"
    status = json.loads(Path(tmp_path, "runs", "mine-001", "status.json").read_text())
    assert (status["state"], " ".join(status["reason"].split())) == ("failed", failed[0].error)


def test_a_bug_of_mlprun_is_no_failure_of_a_trial(sweep, monkeypatch):
    def metrics(*_):
        raise ValueError("no user had a hand in this")

    monkeypatch.setattr(BatchTrainer, "metrics", metrics)
    with pytest.raises(ValueError, match="no user"):
        sweep("seeds: 2", "base.engine=torch")
