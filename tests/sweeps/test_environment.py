"""What is not as it was when a sweep was started: said where it is continued, and other rows are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlprun
import mlprun.api
from mlprun import cli
from mlprun.errors import ConfigError, DataError, InterruptedRunError
from mlprun.sweeps import database

TABLE = "x,y,colour\n" + "".join(f"{n},{n * n % 7},{'rg'[n % 2]}\n" for n in range(40))
OTHER = TABLE.replace("39,2,g", "39,3,g")
TABLES = ("base.dataset={name: table, path: rows.csv, target: colour}",)
CODE = '''
from typing import Literal
from mlprun.parts.activations import Activation, activations

@activations.register
class Halved(Activation):
    """Half the value."""
    name: Literal["halved"] = "halved"
    def build(self):
        from torch import nn
        return nn.Hardtanh(-0.5, 0.5)
'''


class Heard(mlprun.api.SilentSweep):
    """A reporter that keeps what it is told; `dies` as soon as a sweep begins."""

    def __init__(self, *, dies: bool = False) -> None:
        self.said: list[str] = []
        self.dies = dies

    def begin(self, folder, plan, done):
        if self.dies:
            raise InterruptedRunError(folder, "dies")

    def say(self, message):
        self.said.append(message)


@pytest.fixture
def begun(sweep, tmp_path):
    """Starts a sweep that dies at once; its folder."""

    def start(text, *words, **options):
        with pytest.raises(InterruptedRunError) as caught:
            sweep(text, *words, reporter=Heard(dies=True), **options)
        return Path(caught.value.where)

    return start


def change(folder, alter):
    """Let run.json say something else."""
    record = json.loads((folder / "run.json").read_text())
    alter(record)
    (folder / "run.json").write_text(json.dumps(record))


def test_nothing_is_said_where_nothing_differs(begun, sweep):
    begun("seeds: 2")
    heard = Heard()
    assert sweep("seeds: 2", reporter=heard).status.differences == ()
    assert sweep("seeds: 3", reporter=heard).status.differences == ()
    assert heard.said == []


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (lambda record: record["versions"].update(torch="1.0"), "torch was 1.0 and is "),
        (lambda record: record["cpu"].update(model="Abacus 1"), "the CPU was Abacus 1 and is "),
        (lambda record: record["devices"].update(cpu="an abacus"), "device cpu was an abacus and is cpu"),
        (
            lambda record: record["code"].update({"mine.py": "0" * 64}),
            "mine.py was 000000000000 and is absent",
        ),
    ],
)
def test_what_differs_is_named_and_kept(alter, told, begun, sweep):
    folder = begun("seeds: 2")
    change(folder, alter)
    heard = Heard()
    swept = sweep("seeds: 2", reporter=heard)
    (said,) = heard.said
    assert said.startswith("this may not end with the bytes of an undisturbed sweep: ")
    assert told in said
    assert any(told in one for one in swept.status.differences)
    change(folder, lambda record: record["versions"].update(numpy="1.0"))
    assert sweep("seeds: 2", reporter=heard).status.differences == swept.status.differences
    assert len(heard.said) == 1, "a sweep that has ended is left as it is"
    more = sweep("seeds: 4", reporter=heard)
    assert "numpy was 1.0" in heard.said[1]
    assert any(told in one for one in more.status.differences)
    assert any("numpy was 1.0" in one for one in more.status.differences)


def test_what_cannot_matter_is_not_named_and_older_folders_go_on_silently(begun, sweep):
    folder = begun("seeds: 2")
    change(folder, lambda record: record["cpu"].update(count=999))
    change(folder, lambda record: record.pop("devices"))
    status = json.loads((folder / "status.json").read_text())
    del status["differences"]
    (folder / "status.json").write_text(json.dumps(status))
    with database.Writer(str(folder / "trials.sqlite")) as writer:
        writer.connection.execute("DELETE FROM sweep WHERE key = 'rows'")
        writer.connection.commit()
    heard = Heard()
    swept = sweep("seeds: 2", reporter=heard)
    assert (heard.said, swept.description.rows) == ([], {})


def test_a_table_that_changed_under_a_sweep_is_refused(begun, sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text(TABLE)
    folder = begun("seeds: 2", *TABLES)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (tmp_path / "rows.csv").write_text(OTHER)
    told = (
        r"rows\.csv: its rows are no longer those that the sweep was started with; put the former data back"
    )
    for seeds in (2, 4):
        with pytest.raises(DataError, match=told):
            sweep(f"seeds: {seeds}", *TABLES)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert {name for name in before if before[name] != after[name]} <= {"lock"}
    # a difference of versions is no excuse: a table is read exactly
    change(folder, lambda record: record["versions"].update(torch="1.0"))
    with pytest.raises(DataError):
        sweep("seeds: 2", *TABLES)
    assert cli.main(["sweep", "run", "trials.yaml", "--dry-run", *TABLES]) == 3
    (tmp_path / "rows.csv").write_text(TABLE.replace("\n", "\r\n"))
    assert sweep("seeds: 2", *TABLES).status.state == "finished"
    (tmp_path / "rows.csv").write_text(OTHER)
    with pytest.raises(DataError):  # whoever asks for a sweep on these rows is not given one on others
        sweep("seeds: 2", *TABLES)
    assert mlprun.sweep(tmp_path / "trials.yaml", *TABLES, out=str(tmp_path / "new")).status.done == 2


def test_generated_rows_may_change_with_a_library_but_not_by_themselves(begun, sweep):
    folder = begun("seeds: 2")
    with database.Writer(str(folder / "trials.sqlite")) as writer:
        rows = writer.results.description.rows
        writer.extend((), (), {"rows": dict.fromkeys(rows, "0")})
    with pytest.raises(DataError, match="dataset: its rows are no longer those"):
        sweep("seeds: 2")
    change(folder, lambda record: record["versions"].update(numpy="1.0"))
    heard = Heard()
    sweep("seeds: 2", reporter=heard)
    assert "the generated rows were others" in heard.said[0]


def test_rows_that_only_new_trials_have_are_recorded_with_them(sweep):
    first = sweep("grid: {dataset.samples: [60]}", "base.dataset.split=null")
    rows = first.description.rows
    more = sweep("grid: {dataset.samples: [60, 80]}", "base.dataset.split=null")
    assert rows.items() < more.description.rows.items()


def test_code_that_changed_is_reported(begun, sweep, base, tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    base("extend: [mine.py]\n")
    words = ("base.architecture.activation=halved",)
    begun("seeds: 2", *words, allow_code=True)
    with pytest.raises(ConfigError, match=r"would run code from .*mine\.py; add --allow-code"):
        sweep("seeds: 2", *words)
    with (tmp_path / "mine.py").open("a") as file:
        file.write("# changed\n")
    heard = Heard()
    swept = sweep("seeds: 2", *words, allow_code=True, reporter=heard)
    assert "mine.py was " in heard.said[0]
    assert "mine.py was " in swept.status.differences[0]
