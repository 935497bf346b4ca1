"""What is not as it was when a run began: named at resume, kept in its status; changed rows are refused."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import mlprun.api as mlprun
from mlprun.errors import CheckpointError, ConfigError, DataError, UsageError
from mlprun.storage import provenance
from mlprun.version import NUMERICS

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]

TABLE = "x,y,colour\n" + "".join(f"{n},{n * n % 7},{'rg'[n % 2]}\n" for n in range(40))
OTHER = TABLE.replace("39,2,g", "39,3,g")
CODE = """
from typing import Literal
from mlprun.parts.activations import Activation, activations

@activations.register
class Doubled(Activation):
    \"\"\"Twice the value.\"\"\"
    name: Literal["doubled"] = "doubled"
    def build(self):
        from torch import nn
        return nn.Hardtanh(-2.0, 2.0)
"""


def changed(run: mlprun.Run, change: Callable[[dict[str, Any]], Any]) -> None:
    """Let run.json say something else."""
    path = Path(run.path, "run.json")
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_nothing_is_said_where_nothing_differs(train: Train, heard: Any) -> None:
    run = train()
    mlprun.resume(run.path, epochs=20, callbacks=[heard])
    assert heard.said == []
    assert run.status.differences == ()


def test_a_run_of_an_older_version_may_have_other_bytes(train: Train, heard: Any) -> None:
    run = train()
    assert run.record["numerics"] == run.folder.load_last().checkpoint.meta["numerics"] == NUMERICS
    changed(run, lambda record: record.pop("numerics"))
    assert mlprun.reproduce(run.path, callbacks=[heard]).equal
    assert (
        f"{run.path} was trained with numerics 1, and this version has {NUMERICS}: bytes may differ"
        in heard.said
    )
    mlprun.resume(run.path, epochs=20, callbacks=[heard])
    assert heard.said[-1].endswith(f"the bytes of an undisturbed run: numerics was 1 and is {NUMERICS}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record["versions"].update(torch="1.0"), "torch was 1.0 and is "),
        (lambda record: record["versions"].update(abacus="3"), "abacus was 3 and is absent"),
        (lambda record: record["versions"].pop("numpy"), "numpy was absent and is "),
        (lambda record: record["cpu"].update(model="Abacus 1"), "the CPU was Abacus 1 and is "),
        (lambda record: record["cpu"].update(capability=[]), "instruction set was none and is "),
        (lambda record: record["platform"].update(machine="abacus"), "the machine was abacus and is "),
        (lambda record: record.update(threads=2), "threads was 2 and is 1"),
        (lambda record: record.update(device="cuda"), "device was cuda and is cpu"),
        (
            lambda record: record.update(variables={"NUMBA_CPU_NAME": "nehalem"}),
            "NUMBA_CPU_NAME was nehalem and is ",
        ),
        (lambda record: record.update(versions="?"), "torch was absent and is "),
    ],
)
def test_what_differs_is_named_and_the_claim_of_equal_bytes_is_dropped(
    change: Any, told: str, train: Train, heard: Any
) -> None:
    run = train()
    changed(run, change)
    mlprun.resume(run.path, epochs=15, callbacks=[heard])
    (said,) = heard.said
    assert said.startswith("this may not end with the bytes of an undisturbed run: ")
    assert told in said
    assert any(told in difference for difference in run.status.differences)


def test_a_variable_that_chooses_code_is_recorded_and_its_change_is_named(
    train: Train, monkeypatch: pytest.MonkeyPatch, heard: Any
) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    run = train()
    assert run.record["variables"]["ATEN_CPU_CAPABILITY"] == "default"
    monkeypatch.delenv("ATEN_CPU_CAPABILITY")
    mlprun.resume(run.path, epochs=15, callbacks=[heard])
    assert "ATEN_CPU_CAPABILITY was default and is absent" in heard.said[0]


def test_the_instruction_set_that_torch_uses_is_recorded(train: Train) -> None:
    known = sys.platform == "linux" and platform.machine() == "x86_64"
    expected = torch.backends.cpu.get_cpu_capability() if known else None
    assert train().record["torch_capability"] == expected


def test_what_cannot_matter_is_not_named(train: Train, heard: Any) -> None:
    run = train()
    changed(run, lambda record: record["platform"].update(release="0"))
    changed(run, lambda record: record["cpu"].update(count=999))
    changed(run, lambda record: record.update(git={"commit": "0" * 40, "dirty": True}))
    mlprun.resume(run.path, epochs=15, callbacks=[heard])
    assert heard.said == []


def test_a_run_that_has_ended_is_left_as_it_is(train: Train, heard: Any) -> None:
    run = train()
    changed(run, lambda record: record["versions"].update(torch="1.0"))
    before = {path.name: path.read_bytes() for path in Path(run.path).iterdir() if path.name != "lock"}
    mlprun.resume(run.path, callbacks=[heard])
    assert heard.said == [f"{run.path} has ended: nothing is left to train; --epochs N extends it"]
    assert {
        path.name: path.read_bytes() for path in Path(run.path).iterdir() if path.name != "lock"
    } == before


def test_a_claim_that_was_dropped_stays_dropped(
    train: Train, monkeypatch: pytest.MonkeyPatch, heard: Any
) -> None:
    run = train()
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "versions", lambda: {"torch": "9.9"})
        mlprun.resume(run.path, epochs=15)
    mlprun.resume(run.path, epochs=16, callbacks=[heard])
    assert heard.said == []
    assert any("torch" in difference for difference in run.status.differences)


def test_extensions_are_recorded(train: Train) -> None:
    run = train()
    assert run.status.extended == ()
    mlprun.resume(run.path, epochs=14)
    with pytest.raises(UsageError):
        mlprun.resume(run.path, epochs=13)
    mlprun.resume(run.path, epochs=16)
    assert run.status.extended == (12, 14)
    assert run.status.epochs == 16


def table(tmp_path: Path) -> mlprun.Run:
    (tmp_path / "rows.csv").write_text(TABLE)
    config = {
        "name": "rows",
        "dataset": {"name": "table", "path": str(tmp_path / "rows.csv"), "target": "colour"},
        "training": {"epochs": 5},
    }
    return mlprun.train(config, out=str(tmp_path / "runs"))


def test_a_table_that_changed_under_a_run_is_refused(tmp_path: Path) -> None:
    run = table(tmp_path)
    before = {path.name: path.read_bytes() for path in Path(run.path).iterdir() if path.name != "lock"}
    (tmp_path / "rows.csv").write_text(OTHER)
    with pytest.raises(DataError, match=r"rows\.csv: its rows are no longer those.*put the former data back"):
        mlprun.resume(run.path, epochs=9)
    # a difference of versions is no excuse: a table is read exactly
    changed(run, lambda record: record["versions"].update(torch="1.0"))
    with pytest.raises(DataError):
        mlprun.resume(run.path, epochs=9)
    changed(run, lambda record: None)
    after = {path.name: path.read_bytes() for path in Path(run.path).iterdir() if path.name != "lock"}
    assert {k: v for k, v in after.items() if k != "run.json"} == {
        k: v for k, v in before.items() if k != "run.json"
    }
    (tmp_path / "rows.csv").write_text(TABLE)
    assert mlprun.resume(run.path, epochs=9).status.epochs == 9


def test_generated_rows_may_change_with_a_library_but_not_by_themselves(train: Train, heard: Any) -> None:
    run = train()
    changed(run, lambda record: record.update(data_digest="0"))
    with pytest.raises(DataError, match="no longer those"):
        mlprun.resume(run.path, epochs=15)
    changed(run, lambda record: record["versions"].update(numpy="1.0"))
    mlprun.resume(run.path, epochs=15, callbacks=[heard])
    assert "the generated rows were others" in heard.said[0]


def test_code_that_changed_in_the_run_folder_is_reported(tmp_path: Path, heard: Any) -> None:
    (tmp_path / "my_parts.py").write_text(CODE)
    (tmp_path / "mine.yaml").write_text(
        "extend: [my_parts.py]\ndataset: {name: moons, samples: 60}\n"
        "architecture: {hidden: [3], activation: doubled}\ntraining: {epochs: 4}\n"
    )
    run = mlprun.train(tmp_path / "mine.yaml", out=str(tmp_path / "runs"), allow_code=True)
    for call in (mlprun.resume, mlprun.load_checkpoint, mlprun.reproduce):
        with pytest.raises(ConfigError, match=r"would run code from .*my_parts\.py; add --allow-code"):
            call(run.path)
    mlprun.resume(run.path, epochs=5, allow_code=True, callbacks=[heard])
    assert heard.said == []
    with open(Path(run.path, "my_parts.py"), "a") as file:
        file.write("# changed\n")
    mlprun.resume(run.path, epochs=6, allow_code=True, callbacks=[heard])
    assert "my_parts.py was " in heard.said[0]
    assert "my_parts.py was " in run.status.differences[0]


@pytest.mark.parametrize("missing", ["engine", "data_digest", "settings_digest", "device", "code"])
def test_a_record_without_a_part_is_damaged(missing: str, train: Train) -> None:
    run = train()
    changed(run, lambda record: record.pop(missing))
    with pytest.raises(CheckpointError, match=f"run.json: is damaged: it has no {missing}"):
        mlprun.resume(run.path)


def test_a_damaged_status_drops_the_claim(train: Train) -> None:
    run = train()
    Path(run.path, "status.json").write_text("{}")
    mlprun.resume(run.path)
    assert "status.json was damaged" in run.status.differences[0]
