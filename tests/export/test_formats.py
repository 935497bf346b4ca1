"""Generated programs answer as `mlprun predict` does, on rows with missing cells and unseen categories."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlprun.errors import CheckFailedError
from mlprun.export import c_source, js_source, numpy_source
from mlprun.export.check import check
from mlprun.export.program import program_of
from tests.export.zoo import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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


@pytest.mark.parametrize("name", ["target_encoded", "embedding", "labels", "quantiles"])
def test_numpy_answers_no_rows_with_none(
    name: str, trained: Callable[[str], mlprun.Run], tmp_path: Path
) -> None:
    path = tmp_path / "model.py"
    path.write_bytes(numpy_source.generate(program_of(trained(name).best)))
    assert runpy.run_path(str(path))["predict"]([]) == []


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("days", [1e300, -1e30, 1e16, float("inf")])
def test_c_reads_no_memory_of_others_for_a_date_out_of_range(
    days: float, trained: Callable[[str], mlprun.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(c_source, "FLAGS", (*c_source.FLAGS, "-fsanitize=undefined", "-fno-sanitize-recover"))
    program = program_of(trained("prepared").best)
    row: list[float | str | None] = [1.0, "red", 1.0, "oslo", days, 1.0]
    assert len(c_source.run(c_source.generate(program), program, [row])) == 1


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_reads_dates_in_utc(trained: Callable[[str], mlprun.Run], tmp_path: Path) -> None:
    row = {"size": 1, "colour": "red", "age": 2, "place": "oslo", "flag": 1}
    (tmp_path / "model.mjs").write_bytes(js_source.generate(program_of(trained("prepared").best)))
    texts = ["2001-03-31", "2001-03-31 18:30", "2001-03-31T12:30-06:00", "31.03.2001", "03/31/2001"]
    cells = [*map(repr, texts), "11412", "new Date('2001-03-31T18:30Z')", "11412 + 18.5 / 24"]
    rows = ", ".join(f"{{...{json.dumps(row)}, seen: {cell}}}" for cell in cells)
    script = (
        "const answer = (row) => { try { return predict(row).price } catch (error) { return error.message } }"
    )
    printed = f"console.log(JSON.stringify([{rows}].map(answer)))"
    command = f"import {{ predict }} from './model.mjs'; {script}; {printed}"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", command],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "TZ": "America/New_York"},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found[0] == found[5]
    assert found[1] == found[2] == found[6] == found[7] != found[0]
    assert found[3] == found[4] == 'column "seen" is not a date'


def test_rounding_of_certain_predictions_is_no_difference(trained: Callable[[str], mlprun.Run]) -> None:
    """All p are near 1: 1 - p has no correct digit in float32."""
    model = trained("linear").best
    certain = replace(model, model={**model.model, "layers.0.bias": np.array([12], np.float32)})
    program = program_of(certain)
    content = numpy_source.generate(program)
    checked = check("model.py", program, certain, lambda rows: numpy_source.run(content, program, rows))
    assert checked.difference <= 1e-6
    other = replace(program, layers=(program.layers[0]._replace(bias=np.array([10], np.float32)),))
    content = numpy_source.generate(other)
    with pytest.raises(CheckFailedError, match="differs by"):
        check("model.py", program, certain, lambda rows: numpy_source.run(content, other, rows))
