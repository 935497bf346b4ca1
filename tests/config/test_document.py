import os

import numpy as np
import pytest

from mlprun.config.document import from_mapping, read
from mlprun.errors import ConfigError, FileError, UsageError


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


def refusal(path, *overrides):
    try:
        document = read(path, overrides)
    except UsageError as error:
        return str(error)
    return "\n".join(problem.text for problem in document.read_problems)


def test_a_problem_shows_file_line_column_source_and_caret(write):
    document = read(write("configs/m.yaml", "dataset: xor\noptimizer: {name: sgd, momentun: 0.9}\n"))
    assert document.problem(
        ("optimizer", "momentun"), "unknown key; did you mean momentum?", at_key=True
    ) == (
        "configs/m.yaml:2:24: optimizer.momentun: unknown key; did you mean momentum?\n"
        "  optimizer: {name: sgd, momentun: 0.9}\n"
        "                         ^"
    )
    assert document.problem(("optimizer", "momentun"), "x").startswith("configs/m.yaml:2:34: ")


def test_a_path_that_does_not_exist_is_shown_at_its_nearest_parent(write):
    document = read(write("m.yaml", "a:\n  b:\n    c: [1, 2]\n"))
    assert document.problem(("a", "b", "zz", "y"), "missing").startswith("m.yaml:2:3: a.b.zz.y: missing")
    assert document.problem(("a", "b", "c", 5), "missing").startswith("m.yaml:3:5: a.b.c.5: missing")
    assert document.problem(("q",), "missing").startswith("m.yaml:1:1: q: missing")


def test_strings_remember_their_folder(write):
    write("lib/base.yaml", "a: x.csv\nb: y.csv")
    write("m.yaml", "base: lib/base.yaml\nb: z.csv\nc: q.csv")
    data = read("m.yaml", ["c=w.csv"]).data
    assert {key: (text, text.folder) for key, text in data.items()} == {
        "a": ("x.csv", "lib"),
        "b": ("z.csv", ""),
        "c": ("w.csv", ""),
    }


def test_bases_chain_and_positions_survive(write):
    write("a.yaml", "x: {p: 1, q: 1, r: 1}\ny: [1, 2]\n")
    write("b.yaml", "base: a.yaml\nx: {q: 2, r: 2}\ny: [3]\n")
    write("c.yaml", "base: b.yaml\nx: {r: 3}\n")
    document = read("c.yaml", ["x.s=4"])
    assert document.data == {"x": {"p": 1, "q": 2, "r": 3, "s": 4}, "y": (3,)}
    found = [document.problem(("x", key), "!").partition("\n")[0] for key in "pqrs"]
    assert found == ["a.yaml:1:8: x.p: !", "b.yaml:2:8: x.q: !", "c.yaml:2:8: x.r: !", "x.s=4: !"]


def test_a_config_has_a_name_of_its_own_on_its_base(write):
    write("a.yaml", "name: a\nx: {p: 1}\n")
    assert read(write("b.yaml", "base: a.yaml\nname: b\n")).data == {"name": "b", "x": {"p": 1}}


def test_every_part_of_an_override_is_named_with_it(write):
    document = read(write("m.yaml", "a: 1\n"), ["b={c: [1, 2]}"])
    assert document.problem(("b", "c", 0), "wrong") == "b={c: [1, 2]}: b.c.0: wrong"
    assert document.problem(("b",), "wrong") == "b={c: [1, 2]}: wrong"


@pytest.mark.parametrize(
    ("under", "over", "merged"),
    [
        ("{name: sgd, lr: 1}", "{name: adam}", {"name": "adam"}),
        ("{name: sgd, lr: 1}", "{name: sgd, m: 2}", {"name": "sgd", "lr": 1, "m": 2}),
        ("{name: sgd, lr: 1}", "{m: 2}", {"name": "sgd", "lr": 1, "m": 2}),
        ("{name: sgd, lr: 1}", "adam", "adam"),
        ("{name: sgd, lr: 1}", "sgd", {"name": "sgd", "lr": 1}),
        ("{lr: 1}", "{name: adam}", {"lr": 1, "name": "adam"}),
        ("{lr: 1}", "adam", {"lr": 1, "name": "adam"}),
        ("sgd", "{lr: 1}", {"name": "sgd", "lr": 1}),
        ("sgd", "{name: adam, lr: 1}", {"name": "adam", "lr": 1}),
        ("sgd", "adam", "adam"),
        ("{lr: 1}", "null", None),
        ("{lr: 1}", "3", 3),
        ("3", "{lr: 1}", {"lr": 1}),
        ("[1, 2]", "[3]", (3,)),
        ("{a: {name: x, b: 1}}", "{a: {name: y}}", {"a": {"name": "y"}}),
        ("{split: same}", "{split: {train: 0.5}}", {"split": {"train": 0.5}}),
        ("{split: {train: 0.5}}", "{split: same}", {"split": "same"}),
        ("{split: {train: 6, dev: 2}}", "{split: {dev: 3}}", {"split": {"train": 6, "dev": 3}}),
        ("{split: {train: 0.6, dev: 0.4}}", "{split: {train: 5, dev: 2}}", {"split": {"train": 5, "dev": 2}}),
        ("{split: {train: 6, test: 2, shuffle: true}}", "{split: {train: 0.6}}", {"split": {"train": 0.6}}),
        ("{split: {train: 0.6, test: 0.4}}", "{split: {column: part}}", {"split": {"column": "part"}}),
        ("{split: {column: part}}", "{split: {train: 0.6}}", {"split": {"train": 0.6}}),
        ("{split: {same: true}}", "{split: {train: 6}}", {"split": {"train": 6}}),
        ("{split: {train: 6}}", "{split: {shuffle: false}}", {"split": {"train": 6, "shuffle": False}}),
        ("{split: {train: 0.5}}", "{split: {dev: 0}}", {"split": {"train": 0.5, "dev": 0}}),
        (
            "{split: {train: 6, dev: 2}}",
            "{split: {dev: {fresh: 9}}}",
            {"split": {"train": 6, "dev": {"fresh": 9}}},
        ),
        ("{class_weights: balanced}", "{class_weights: {a: 2}}", {"class_weights": {"a": 2}}),
        ("{threshold: f1}", "{threshold: {costs: 1}}", {"threshold": {"costs": 1}}),
        ("{init: {weight: zeros}}", "{init: xavier}", {"init": "xavier"}),
        ("{init: {weight: zeros}}", "{init: {name: file}}", {"init": {"name": "file"}}),
        ("{init: {name: file}}", "{init: {bias: zeros}}", {"init": {"bias": "zeros"}}),
    ],
)
def test_a_mapping_merges_unless_it_names_another_part(write, under, over, merged):
    write("base.yaml", f"part: {under}\n")
    assert read(write("m.yaml", f"base: base.yaml\npart: {over}\n")).data == {"part": merged}
    assert read("base.yaml", [f"part={over}"]).data == {"part": merged}


@pytest.mark.parametrize(
    ("override", "data"),
    [
        ("x.0.1=9", {"x": ((1, 9), 3), "loss": "bce"}),
        ("x.1=,", {"x": ((1, 2), ","), "loss": "bce"}),
        ('x.1=%d."%m"', {"x": ((1, 2), '%d."%m"'), "loss": "bce"}),
        ("x.1={a: b}", {"x": ((1, 2), {"a": "b"}), "loss": "bce"}),
        ("x=[]", {"x": (), "loss": "bce"}),
        ("loss.scale=0.5", {"x": ((1, 2), 3), "loss": {"name": "bce", "scale": 0.5}}),
        ("a.b.c=1e-3", {"x": ((1, 2), 3), "loss": "bce", "a": {"b": {"c": 0.001}}}),
        ("a='b=c'", {"x": ((1, 2), 3), "loss": "bce", "a": "b=c"}),
        ("a=b=c", {"x": ((1, 2), 3), "loss": "bce", "a": "b=c"}),
        ("a=''", {"x": ((1, 2), 3), "loss": "bce", "a": ""}),
        ("loss=null", {"x": ((1, 2), 3), "loss": None}),
    ],
)
def test_an_override_reaches_into_lists_and_makes_mappings(write, override, data):
    assert read(write("m.yaml", "x: [[1, 2], 3]\nloss: bce\n"), [override]).data == data


def test_an_override_finds_keys_that_contain_dots(write):
    document = read(
        write("m.yaml", "p: {layers.0.weight: [1], layers.0.bias: 2}\n"), ["p.layers.0.weight.0=5"]
    )
    assert document.data == {"p": {"layers.0.weight": (5,), "layers.0.bias": 2}}


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("x", "x: expected KEY=VALUE such as optimizer.lr=0.1"),
        ("=1", "=1: expected KEY=VALUE such as optimizer.lr=0.1"),
        ("a..b=1", "a..b=1: expected KEY=VALUE such as optimizer.lr=0.1"),
        (".=1", ".=1: expected KEY=VALUE such as optimizer.lr=0.1"),
        ("x=", "x=: no value; write x=null for none, or x=\"''\" for an empty text"),
        ("x=#c", "x=#c: no value; write x=null for none, or x=\"''\" for an empty text"),
        ("x.2=1", "x.2=1: x has 2 items; expected the index of one"),
        ("x.-1=1", "x.-1=1: x has 2 items; expected the index of one"),
        ("x.a=1", "x.a=1: x has 2 items; expected the index of one"),
        ("e.0=1", "e.0=1: e has 0 items; expected the index of one"),
        ("base=b.yaml", "base=b.yaml: base cannot be overridden; name it in the file"),
        (
            "a={b: 1, b: 2}",
            "a={b: 1, b: 2}: a.b: duplicate key; first given at line 1, column 2; keep one of them",
        ),
        ("a=!x 1", "a=!x 1: tags such as !x are refused; remove it"),
        ("a=\x1b", "a=\\x1b: the character U+001B is not allowed in YAML; remove it"),
        ("a=\ud800", "a=\\ud800: the character U+D800 is not allowed in YAML; remove it"),
        (f"{'a.' * 200}b=1", f"{('a.' * 200)[:119]}…: is too long; write it in the config file"),
    ],
)
def test_a_bad_override_is_one_line_that_names_it(write, override, line):
    assert refusal(write("m.yaml", "x: [1, 2]\ne: []\n"), override) == line


def test_an_override_that_the_shell_divided_is_one_line_that_says_so(write):
    words = ["a.x={scale:", "log,", "missing:", "median}"]
    assert refusal(write("m.yaml", "x: 1\n"), *words) == (
        "a.x={scale:: ends inside a bracket; quote the override in the shell, since it contains spaces"
    )


def test_all_bad_overrides_are_told(write):
    assert refusal(write("m.yaml", "x: 1\n"), "a", "x=2", "b=").count("\n") == 1


FILES = [
    ("", "1:1: is empty; a config needs at least `dataset: moons`"),
    ("# only\n# comments", "1:1: is empty; a config needs at least `dataset: moons`"),
    ("null", "1:1: is empty; a config needs at least `dataset: moons`"),
    ("- a", "1:1: is not a mapping; a config needs at least `dataset: moons`"),
    ("moons", "1:1: is not a mapping; a config needs at least `dataset: moons`"),
    (b"a: \xff", "1:4: is not UTF-8 text; write it in UTF-8"),
    (b"\xff\xfea\x00", "1:1: is not UTF-8 text; write it in UTF-8"),
    (b"ok: 1\nname: caf\xe9\n", "2:10: is not UTF-8 text; write it in UTF-8"),
    ("base: 3", "1:7: base: expected the path of another config, such as ../moons.yaml"),
    ("base: [a.yaml]", "1:7: base: expected the path of another config, such as ../moons.yaml"),
    ("base: t.yaml", "1:7: base: t.yaml is a base of itself; remove one of the two `base:` lines"),
    ("base: u.yaml", "1:7: base: u.yaml: there is no such config; expected a YAML file such as t.yaml"),
]


@pytest.mark.parametrize(("text", "line"), FILES)
def test_a_file_that_is_no_config_is_one_problem(write, text, line):
    assert refusal(write("t.yaml", text)).partition("\n")[0] == f"t.yaml:{line}"


def test_a_byte_order_mark_is_skipped(write):
    assert read(write("t.yaml", b"\xef\xbb\xbfa: 1")).data == {"a": 1}


def test_a_cycle_of_bases_is_refused(write):
    write("a.yaml", "base: sub/b.yaml")
    write("sub/b.yaml", "base: ../a.yaml")
    assert refusal("a.yaml").startswith("sub/b.yaml:1:7: base: a.yaml is a base of itself")


def test_a_long_chain_of_bases_is_refused(write):
    for n in range(30):
        write(f"c{n}.yaml", f"base: c{n + 1}.yaml")
    assert "more than 20 files build on each other" in refusal("c0.yaml")


def test_a_path_without_a_config_says_what_would_work(write):
    write("configs/moons.yaml", "a: 1")
    assert refusal("configs/mons.yaml") == (
        "configs/mons.yaml: there is no such config; did you mean configs/moons.yaml?"
    )
    assert refusal("moons") == "moons: there is no such config; did you mean configs/moons.yaml?"
    assert refusal("configs") == (
        "configs: is a folder, not a config; expected a YAML file such as configs/moons.yaml"
    )
    assert refusal("zzz") == "zzz: there is no such config; expected a YAML file such as configs/moons.yaml"
    assert refusal("a\x1b").startswith("a\\x1b: there is no such config")


def test_a_file_beyond_one_megabyte_is_refused(write):
    assert "is larger than 1 MB" in refusal(write("big.yaml", "a: " + "x" * 1_000_000))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_a_file_error(write, tmp_path):
    (tmp_path / write("t.yaml", "a: 1")).chmod(0)
    with pytest.raises(FileError):
        read("t.yaml")


def test_a_mapping_from_python_is_a_document_too():
    mapping = {"dataset": {"inputs": np.eye(2), "rows": np.int64(3), "path": "a.csv"}, "hidden": [1, (2, 3)]}
    document = from_mapping(mapping, "runs/a", "config")
    assert document.data == {
        "dataset": {"inputs": ((1.0, 0.0), (0.0, 1.0)), "rows": 3, "path": "a.csv"},
        "hidden": (1, (2, 3)),
    }
    assert document.data["dataset"]["path"].folder == "runs/a"
    assert document.problem(("hidden", 0), "wrong") == "config: hidden.0: wrong"


@pytest.mark.parametrize(
    ("mapping", "line"),
    [
        ({"a": {"b": 10**400}}, "config: a.b: has too many digits; write a smaller number"),
        ({1: 2}, "config: a key must be a string, not 1; give its text"),
        ({"a": {None: 2}}, "config: a: a key must be a string, not None; give its text"),
        (
            {"a": [object()]},
            "config: a.0: a object is not a config value; expected numbers, strings, lists and mappings",
        ),
    ],
)
def test_a_mapping_that_no_config_can_hold_is_refused(mapping, line):
    with pytest.raises(ConfigError) as caught:
        from_mapping(mapping, "", "config")
    assert str(caught.value) == line


def test_a_mapping_that_contains_itself_is_refused():
    unlimited_epochs = {}
    unlimited_epochs["a"] = unlimited_epochs
    with pytest.raises(ConfigError, match="nested more than 100 levels deep"):
        from_mapping(unlimited_epochs, "", "config")
