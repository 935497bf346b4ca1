"""Every problem of a config in one go: nothing that is wrong hides anything else that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mlprun import schema
from mlprun.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refused = Callable[..., list[str]]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """The first lines of the problems of a config with that text, in the order in which they are told."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,0.5\n2,1,1.5\n3,3,2.5\n")

    def refuse(text: str, *overrides: str, name: str = "c.yaml") -> list[str]:
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError) as caught:
            schema.load(name, overrides)
        return [problem.partition("\n")[0] for problem in caught.value.problems]

    return refuse


def test_an_unknown_name_does_not_hide_what_is_wrong_beside_it(refused: Refused) -> None:
    assert refused(
        "dataset: {name: moonz, noise: -1, split: {train: 9, deev: 3}}\n"
        "loss: {name: bcee, redution: sum}\n"
        "optimizer: {name: adm, lrr: 0.1, lr: -2}\n"
        "architecture: {name: mlq, activation: rleu, layers: [{units: 3, activation: {name: tahn, x: 1}}]}\n"
    ) == [
        "c.yaml:1:17: dataset.name: unknown dataset 'moonz'; did you mean moons?",
        "c.yaml:1:31: dataset.noise: must be at least 0, got -1",
        "c.yaml:1:53: dataset.split.deev: unknown key; did you mean dev?",
        "c.yaml:2:14: loss.name: unknown loss 'bcee'; did you mean bce?",
        "c.yaml:2:20: loss.redution: unknown key; did you mean reduction?",
        "c.yaml:3:19: optimizer.name: unknown optimizer 'adm'; did you mean adam?",
        "c.yaml:3:24: optimizer.lrr: unknown key; did you mean lr?",
        "c.yaml:3:38: optimizer.lr: must be greater than 0, got -2",
        "c.yaml:4:22: architecture.name: unknown architecture 'mlq'; did you mean mlp?",
        "c.yaml:4:39: architecture.activation: unknown activation 'rleu'; did you mean relu?",
        "c.yaml:4:84: architecture.layers.0.activation.name: unknown activation 'tahn'; did you mean tanh?",
        "c.yaml:4:90: architecture.layers.0.activation.x: unknown key; expected one of name",
    ]


def test_options_beside_a_name_that_resembles_none_are_not_guessed_at(refused: Refused) -> None:
    (told,) = refused("dataset: moons\noptimizer: {name: zzz, momentun: 1}")
    assert told.startswith("c.yaml:2:19: optimizer.name: unknown optimizer 'zzz'; expected one of")


def test_bad_overrides_are_told_with_the_problems_of_the_file(refused: Refused) -> None:
    text = "dataset: moons\nloss: bcee\ntraining: {epochs: -1, seed: 1.5}\nsnapshots: [2000]\n"
    lines = refused(text, "training.epochs=*a", "device=gpu", "foo", "training.epoch=1")
    assert [line.partition(": found")[0] for line in lines] == [
        "c.yaml:2:7: loss: unknown loss 'bcee'; did you mean bce?",
        "c.yaml:3:20: training.epochs: must be at least 0, got -1",
        "c.yaml:3:30: training.seed: expected a whole number, got 1.5",
        "training.epochs=*a: no value that ends before this has the anchor &a",
        "device=gpu: expected cpu, cuda, cuda:N (such as cuda:1) or auto, got the string 'gpu'",
        "foo: expected KEY=VALUE such as optimizer.lr=0.1",
        "training.epoch=1: unknown key; did you mean epochs?",
    ]


def test_yaml_that_can_be_read_on_is_told_with_its_values(refused: Refused) -> None:
    assert refused(
        "dataset: moons\ntraining:\n  epochs: 5\n  epochs: 6\n  dtype: !x half\n  seed: -1\n1: 2\nlr: 3\n"
    ) == [
        "c.yaml:4:3: training.epochs: duplicate key; first given at line 3, column 3; keep one of them",
        "c.yaml:5:10: training.dtype: tags such as !x are refused; remove it",
        "c.yaml:6:9: training.seed: must be at least 0, got -1",
        "c.yaml:7:1: a key must be a string, not the number 1; put it in quotes",
        "c.yaml:8:1: lr: unknown key; did you mean optimizer.lr?",
    ]


def test_a_base_and_what_is_laid_over_it_are_told_together(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("dataset: moons\ndataset: xor\nlosss: bce\n")
    assert [line.partition(" ")[0] for line in refused("base: b.yaml\na: 1\na: 2\n", "loss=")] == [
        "c.yaml:2:1:",
        "c.yaml:3:1:",
        "b.yaml:2:1:",
        "b.yaml:3:1:",
        "loss=:",
    ]


def test_a_file_that_cannot_be_read_on_is_told_with_what_was_found_before(refused: Refused) -> None:
    lines = refused("dataset: moons\ndataset: xor\nloss: {name: bce\n")
    assert [line.partition(": ")[0] for line in lines] == ["c.yaml:2:1", "c.yaml:4:1"]


def test_every_column_that_a_table_lacks_is_told(refused: Refused) -> None:
    where = "dataset: {name: table, path: t.csv, target: z, features: [a, q, bb], split: {column: w}}\n"
    assert refused(where + "optimizer: {lr: -1}\n") == [
        "c.yaml:1:45: dataset.target: t.csv: has no column 'z'; its columns are a, b, y",
        "c.yaml:1:62: dataset.features.1: t.csv: has no column 'q'; its columns are a, b, y",
        "c.yaml:1:65: dataset.features.2: t.csv: has no column 'bb'; did you mean b?",
        "c.yaml:1:86: dataset.split.column: t.csv: has no column 'w'; its columns are a, b, y",
        "c.yaml:2:17: optimizer.lr: must be greater than 0, got -1",
    ]


def test_code_that_may_not_run_hides_only_what_it_could_explain(refused: Refused) -> None:
    text = "extend: [own.py]\ndataset: moons\nloss: {name: my_loss, x: 1}\npenalty: {l3: 1}\n"
    assert refused(text + "training: {epocs: 1}\n") == [
        "c.yaml:1:10: extend.0: would run code from own.py; add --allow-code if you trust it",
        "c.yaml:5:12: training.epocs: unknown key; did you mean epochs?",
    ]
