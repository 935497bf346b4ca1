"""Names from a checkpoint cannot leave their literals: answers are right, and no canary runs."""

from __future__ import annotations

import ast
import re
import shutil
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import mlprun.api as mlprun
from mlprun import cli
from mlprun.errors import UsageError
from mlprun.export import c_source, source
from mlprun.export.check import check
from mlprun.export.program import program_of
from tests.export import hostile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROGRAMS = {"numpy": "python3", "c": "gcc", "js": "node"}
SANITIZERS = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[mlprun.Run, Path]]:
    """Return the run of a model in `hostile.KINDS`, and its folder."""

    @cache
    def train(kind: str) -> tuple[mlprun.Run, Path]:
        folder = tmp_path_factory.mktemp(kind)
        return hostile.train(kind, folder), folder

    return train


@pytest.mark.parametrize("name", hostile.KINDS)
@pytest.mark.parametrize("kind", PROGRAMS)
def test_hostile_names_are_data(
    kind: str,
    name: str,
    trained: Callable[[str], tuple[mlprun.Run, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if shutil.which(PROGRAMS[kind]) is None:
        pytest.skip(f"{PROGRAMS[kind]} is not installed")
    monkeypatch.setattr(c_source, "FLAGS", (*c_source.FLAGS, *SANITIZERS))
    run, folder = trained(name)
    module = import_module(f"mlprun.export.{kind}_source")
    program = program_of(run.best, name=" and ".join(hostile.names(str(folder / "canary"))))
    content = module.generate(program)
    checked = check(name, program, run.best, lambda rows: module.run(content, program, rows))
    assert checked.rows > 24
    assert not (folder / "canary").exists()
    text = content.decode("ascii")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert not re.search({"js": "</script|<!--", "c": r"\?\?", "numpy": "\0"}[kind], text)
    if kind == "numpy":
        strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
        assert {column.name for column in program.columns} < strings


@pytest.mark.parametrize("name", hostile.names("/tmp/canary"))
def test_a_name_in_a_comment_is_of_harmless_signs(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9 _.-]{1,60}", source.plain(name))


def test_a_lone_surrogate_in_a_checkpoint_is_refused(trained: Callable[[str], Any]) -> None:
    """So that no name is without an encoding."""
    from mlprun.errors import CheckpointError
    from mlprun.experiment.preprocessing import Preprocessing

    values = trained("numbers")[0].best.preprocessing.to_json()
    values["inputs"][0]["name"] = "\ud800"
    with pytest.raises(CheckpointError, match="is damaged"):
        Preprocessing.from_json(values)


def test_a_category_that_no_text_of_c_can_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pl.DataFrame({"kind": ["a\0b", "a", "c"] * 10, "y": [0.5, 1.5, 3.0] * 10})
    config = {"dataset": {"target": "y"}, "loss": "mse", "training": {"epochs": 1}, "engine": "torch"}
    run = mlprun.train(config, data=frame, out=str(tmp_path))
    assert cli.main(["export", run.path, "--to", "c"]) == 2
    message = "--to c: the category 'a\\x00b' contains NUL, where a text of C ends; choose another format"
    assert capsys.readouterr().err == f"error: {message}\n"
    assert run.export("numpy").endswith("model.py")
    with pytest.raises(UsageError):
        run.export("c")
