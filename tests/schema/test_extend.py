import pytest

from mlprun import schema
from mlprun.errors import ConfigError
from mlprun.parts.activations import activations
from mlprun.parts.losses import losses
from mlprun.parts.penalties import penalties
from mlprun.schema.jsonschema import json_schema

LOSS = '''
from __future__ import annotations
from typing import Literal
from pydantic import Field
from mlprun.parts.activations import Activation, activations
from mlprun.parts.losses import Loss, losses
from mlprun.parts.penalties import Penalty, penalties

@losses.register
class Own(Loss):
    """A loss of my own."""
    name: Literal["my_loss"] = "my_loss"
    power: float = Field(4.0, description="power")

@activations.register
class Bent(Activation):
    """An activation of my own."""
    name: Literal["my_bend"] = "my_bend"

@penalties.register
class Third(Penalty):
    """A penalty of my own."""
    name: Literal["my_penalty"] = "my_penalty"
'''
CONFIG = """
extend: [my_parts.py]
dataset: diabetes
architecture: {layers: [{units: 3, activation: [my_bend, relu]}]}
loss: {name: my_loss, power: 3}
penalty: {my_penalty: 0.5}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)
    yield tmp_path
    # what user code registers stays for the whole process: the tests of the registries must not see it
    for registry, name in ((losses, "my_loss"), (activations, "my_bend"), (penalties, "my_penalty")):
        if registry._parts.pop(name, None) is not None:
            registry.version += 1
    from mlprun.schema.model import Penalties

    Penalties.__pydantic_fields__.pop("my_penalty", None)


def refusal(**options):
    with pytest.raises(ConfigError) as caught:
        schema.load("c.yaml", **options)
    return str(caught.value).partition("\n")[0]


def test_code_does_not_run_without_leave(folder):
    (folder / "my_parts.py").write_text("raise SystemExit('ran')")
    assert refusal() == (
        "c.yaml:2:10: extend.0: would run code from my_parts.py; add --allow-code if you trust it"
    )


FORMER = """power")
    takes: ClassVar[str] = "numbers"

    def refuses(self, facts, outputs):
        return "too old"
"""


def test_code_of_mlprun_0_1_still_runs_with_its_imports_and_names(folder):
    code = LOSS.replace("import Literal", "import ClassVar, Literal").replace('power")', FORMER)
    (folder / "my_parts.py").write_text(
        code.replace("mlprun.parts.losses import", "mlprun.parts.losses import")
    )
    assert "too old" in refusal(allow_code=True)
    assert losses["my_loss"].target_kind == "numbers"


def test_parts_of_one_s_own_can_be_named_like_any_other(folder):
    (folder / "my_parts.py").write_text(LOSS)
    json_schema()  # models that were built before must learn of the new parts
    config = schema.load("c.yaml", allow_code=True)
    assert (config.loss.name, config.loss.power) == ("my_loss", 3.0)
    assert [one.name for one in config.architecture.layers[0].activation] == ["my_bend", "relu"]
    assert [(one.name, one.coefficient) for one in config.penalties] == [("my_penalty", 0.5)]
    assert config.extend == ("my_parts.py",)
    again = schema.load("c.yaml", allow_code=True)
    assert again == config
    (folder / "my_parts.py").write_text(LOSS.replace("4.0", "5.0"))
    (folder / "c.yaml").write_text(CONFIG.replace(", power: 3", ""))
    assert schema.load("c.yaml", allow_code=True).loss.power == 5.0  # a changed file runs again
    assert "my_loss" in str(json_schema())


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (None, "my_parts.py: there is no such file of Python code; correct extend in the config"),
        ("x = 1\nx / 0\n", "my_parts.py:2: ZeroDivisionError: division by zero"),
        ("x = (\n", "my_parts.py:1: SyntaxError: '(' was never closed (my_parts.py, line 1)"),
        ("a\x00b", "my_parts.py: SyntaxError: source code string cannot contain null bytes"),
        (
            LOSS.replace("my_loss", "bce"),
            "my_parts.py:9: ValueError: loss 'bce' is already registered by mlprun.parts.losses.BCE",
        ),
    ],
)
def test_code_that_cannot_be_run_is_a_problem_of_the_config(folder, code, line):
    if code is not None:
        (folder / "my_parts.py").write_text(code)
    assert refusal(allow_code=True) == f"c.yaml:2:10: extend.0: {line}"
