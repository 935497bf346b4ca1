"""Generated programs answer as `mlprun predict` does, on rows with missing cells and unseen categories."""

from __future__ import annotations

import shutil
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from mlprun.export.check import check
from mlprun.export.program import program_of
from tests.export.zoo import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    import mlprun.api as mlprun

PROGRAMS = {"numpy": "python3", "c": "gcc", "js": "node"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_generated_program_gives_what_predict_gives(
    kind: str, name: str, trained: Callable[[str], mlprun.Run]
) -> None:
    if shutil.which(PROGRAMS[kind]) is None:
        pytest.skip(f"{PROGRAMS[kind]} is not installed")
    module, model = import_module(f"mlprun.export.{kind}_source"), trained(name).best
    program = program_of(model)
    content = module.generate(program)
    checked = check(name, program, model, lambda rows: module.run(content, program, rows))
    assert checked.rows >= 8
    assert checked.difference <= (3e-6 if program.dtype == "float32" else 1e-14)  # within the bounds
