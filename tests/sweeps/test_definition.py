"""What a sweep file may say, and that all that is wrong with one is told at once."""

import textwrap

import pytest

from mlprun.errors import ConfigError, UsageError
from mlprun.sweeps.definition import read
from mlprun.sweeps.plan import Plan

EQUAL = "lists must have equal lengths"
EXPRESSION = "expected a metric, an operator (>= <= > < ==) and a number"
NO_RANDOM = "is for the draws of `random`, which is missing; did you mean seeds?"


@pytest.fixture
def refused(tmp_path, base):
    """The first line of each problem of a sweep file's text, without its folder."""

    def run(text):
        path = tmp_path / "s.yaml"
        path.write_text(textwrap.dedent(text))
        with pytest.raises(ConfigError) as caught:
            read(str(path))
        return [one.splitlines()[0].replace(f"{tmp_path}/", "") for one in caught.value.problems]

    return run


def test_fields_that_are_wrong_hide_nothing_that_is_wrong_elsewhere(refused):
    told = refused(
        """\
        base: small.yaml
        seeds: 0
        grid: {optimizer.lr: [1, 2], optimizer.lr.x: [1], training.seed: [1], "a b": [1]}
        paired: {training.epochs: [5, 6], dataset.noise: [1]}
        random: {penalty.l2: {loguniform: [1, 2]}, penalty.l1: {uniform: [1, 0]}}
        objective: {aggregate: success, mode: minn}
        success: test_accuracy => 0.9
        sucess: 3
        """
    )
    assert told == [
        "s.yaml:2:8: seeds: must be greater than 0, got 0",
        "s.yaml:3:30: grid.optimizer.lr.x: is set by optimizer.lr in grid too; keep one of them",
        "s.yaml:3:51: grid.training.seed: cannot be swept: it is what `seeds` is for",
        "s.yaml:3:71: grid.a b: is not a dotted path such as optimizer.lr",
        f"s.yaml:4:9: paired: {EQUAL}: training.epochs has 2, dataset.noise has 1",
        "s.yaml:5:1: random: needs the number of draws; add `trials: 100`",
        "s.yaml:5:23: random.penalty.l2.loguniform: unknown key; did you mean log_uniform?",
        "s.yaml:5:56: random.penalty.l1: the first number must be the smaller one",
        "s.yaml:6:39: objective.mode: expected min or max, got the string 'minn'",
        f"s.yaml:7:10: success: {EXPRESSION}, such as test_accuracy >= 0.99",
        "s.yaml:8:1: sucess: unknown key; did you mean success?",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "grid: {optimizer.lr: [1]}",
            "1:1: base: is missing; expected the path of a config, such as ../moons.yaml, or a config",
        ),
        ("base: ''", "1:7: base: expected the path of a config, such as ../moons.yaml, or a config"),
        ("base: 3", "1:7: base: expected the path of a config, such as ../moons.yaml, or a config"),
        ("base: small.yaml\nseeds: [1, 2, 1]", "2:8: seeds: lists a seed twice"),
        ("base: small.yaml\nseeds: [0, a]", "2:12: seeds.1: expected a whole number, got the string 'a'"),
        ("base: small.yaml\ntrials: 3", f"2:1: trials: {NO_RANDOM}"),
        (
            "base: small.yaml\nseed: 3",
            "2:1: seed: is for the draws of `random`, which is missing; did you mean seeds?",
        ),
        (
            "base: small.yaml\nobjective: {aggregate: success}",
            "2:24: objective.aggregate: needs `success:` to define when a trial is one",
        ),
        (
            "base: small.yaml\ngrid: {optimizer.lr: []}",
            "2:22: grid.optimizer.lr: must have at least 1 item after validation, not 0",
        ),
    ],
)
def test_a_mistake_is_told_at_its_place(refused, text, problem):
    assert refused(text) == [f"s.yaml:{problem}"]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("metric: dev_loss", "objective.metric"),
        ("batch: 3", "search.batch"),
        ("training: {epochs: 3}", "base.training"),
        ("batch_size: 3", "base.training.batch_size"),
        ("epochs: 3", "base.training.epochs or base.checkpoint.epochs"),
        ("trails: 3", "trials"),
        ("objective: {agregate: mean}", "aggregate"),
        ("search: {trials: 3, bacth: 2}\nrandom: {optimizer.lr: {choice: [1]}}", "batch"),
        ("trials: 3\nrandom: {optimizer.lr: {chioce: [1], choice: [1]}}", "choice"),
    ],
)
def test_a_key_in_the_wrong_place_is_told_where_it_belongs(refused, key, meant):
    (told,) = [one for one in refused(f"base: small.yaml\n{key}") if "unknown key" in one]
    assert told.endswith(f": unknown key; did you mean {meant}?")


def test_a_key_of_a_dict_of_parameters_belongs_nowhere_else(refused):
    (told,) = refused("base: small.yaml\nuniform: 3")
    assert told.startswith("s.yaml:2:1: uniform: unknown key; expected one of name, base, ")


def test_what_is_wrong_with_the_base_is_told_with_what_is_wrong_with_the_sweep(refused, base, tmp_path):
    base("loss: mes")
    told = refused("base: small.yaml\nseeds: 0")
    assert told[0] == "s.yaml:2:8: seeds: must be greater than 0, got 0"
    assert told[1].startswith("small.yaml:6:7: loss: ")
    told = refused("base: nothing.yaml\nseeds: 0")
    assert told[1].startswith("s.yaml:1:7: base: nothing.yaml: there is no such config")
    base("extend: [own.py]\nloss: mine")  # a part that its code may have
    assert len(refused("base: small.yaml\nseeds: 0")) == 1
    base("loss: mes")
    (tmp_path / "s.yaml").write_text("base: small.yaml\nseeds: 0")
    with pytest.raises(ConfigError) as caught:
        read(str(tmp_path / "s.yaml"), ["base.optimizer.lrr=1"])
    assert caught.value.problems[2] == "base.optimizer.lrr=1: unknown key; did you mean lr?"


def test_data_that_cannot_be_read_hides_nothing_that_is_wrong_with_a_sweep(refused, base):
    base(text="dataset: {name: table, path: nothing.csv, target: y}")
    assert refused("base: small.yaml\nseeds: 0") == ["s.yaml:2:8: seeds: must be greater than 0, got 0"]


def test_a_value_that_is_there_twice_is_refused(refused, tmp_path):
    grid = "grid: {optimizer.lr: [0.5, 1, 0.5, 1.0], architecture.hidden: [[2], [2, 2], [2]]}"
    assert refused(f"base: small.yaml\n{grid}") == [
        f"s.yaml:2:{column}: grid.{path}: is listed twice; use seeds to repeat a configuration"
        for column, path in ((31, "optimizer.lr.2"), (36, "optimizer.lr.3"), (77, "architecture.hidden.2"))
    ]
    pairs = "paired: {optimizer.lr: [0.5, 1, 0.5, 0.5], training.epochs: [3, 4, 4, 3]}"
    assert refused(f"base: small.yaml\n{pairs}") == [
        "s.yaml:2:38: paired.optimizer.lr.3: is listed twice; use seeds to repeat a configuration"
    ]
    (tmp_path / "s.yaml").write_text("base: small.yaml\ngrid: {training.shuffle: [true, 1]}")
    assert read(str(tmp_path / "s.yaml")).sweep.grid == {"training.shuffle": (True, 1)}


@pytest.mark.parametrize("draws", ["trials: 7", "search: {name: random, trials: 7}", "search: {trials: 7}"])
def test_more_draws_than_there_are_different_ones_are_refused(draws, refused):
    random = "{dataset.noise: {choice: [0, 0.1, 0]}, training.epochs: {integers: [1, 3]}}"
    key = draws.partition(":")[0] if draws[0] == "t" else "search.trials"
    (told,) = refused(f"base: small.yaml\nrandom: {random}\n{draws}")
    assert told.endswith(
        f"{key}: `random` has 6 different configurations; set {key} to 6, or repeat configurations with seeds"
    )


@pytest.mark.parametrize(
    ("text", "what"), [("", "is empty"), ("# seeds", "is empty"), ("[1]", "is not a mapping")]
)
def test_a_file_without_keys_is_told_what_a_sweep_needs(refused, text, what):
    (told,) = refused(text)
    least = "`base: moons.yaml` (a config) and what to vary, such as `seeds: 20`"
    assert told == f"s.yaml:1:1: {what}; a sweep file needs at least {least}"


def test_a_path_without_a_sweep_file_says_what_would_work(tmp_path, monkeypatch):
    def told(path):
        with pytest.raises(UsageError) as caught:
            read(path)
        return str(caught.value)

    monkeypatch.chdir(tmp_path)
    shown = "`mlprun sweep run --help` shows one"
    assert told("lr.yaml") == f"lr.yaml: there is no such sweep file; {shown}"
    (tmp_path / "configs" / "sweeps").mkdir(parents=True)
    (tmp_path / "configs" / "moons.yaml").touch()
    (tmp_path / "configs" / "sweeps" / "moons_lr.yaml").touch()
    shown = "expected a YAML file such as configs/sweeps/moons_lr.yaml"
    assert told("zzz") == f"zzz: there is no such sweep file; {shown}"
    assert told("configs") == f"configs: is a folder, not a sweep file; {shown}"
    assert (
        told("moon_lr") == "moon_lr: there is no such sweep file; did you mean configs/sweeps/moons_lr.yaml?"
    )


def test_an_override_of_the_base_is_told_as_it_was_typed(tmp_path, base):
    (tmp_path / "s.yaml").write_text(f"base: {base()}")
    words = ["optimizer.lrr=3", "optimizer.lr=x", "architecture.hidden.4=3", "training", "loss="]
    with pytest.raises(ConfigError) as caught:
        Plan(read(str(tmp_path / "s.yaml"), [f"base.{one}" for one in words]))
    assert caught.value.problems == (
        "base.optimizer.lrr=3: unknown key; did you mean lr?",
        "base.optimizer.lr=x: expected a number, got the string 'x'",
        "base.architecture.hidden.4=3: architecture.hidden has 1 items; expected the index of one",
        "base.training: expected KEY=VALUE such as base.optimizer.lr=0.1",
        "base.loss=: no value; write base.loss=null for none, or base.loss=\"''\" for an empty text",
    )


def test_a_config_that_is_no_sweep_is_told_what_it_is(tmp_path, base):
    with pytest.raises(UsageError, match=r"small.yaml: is a config; a sweep names one as its `base:`"):
        read(str(tmp_path / base()))
