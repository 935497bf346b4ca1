import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlprun.config.parser import compose
from mlprun.config.tree import Source, plain
from mlprun.errors import ConfigError


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def _loader(request, monkeypatch):
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, request.param))


def read(text):
    problems = []
    root = compose(text, Source("a.yaml", "", 0, text), problems)
    if problems:
        raise ConfigError([problem.text for problem in problems])
    return None if root is None else plain(root)


def refusal(text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    return caught.value.problems


def test_lists_become_tuples_and_quoted_scalars_stay_strings():
    assert read("a: [1, '2', {b: null}]\nc: \"1e3\"\nd: |\n  x\n") == {
        "a": (1, "2", {"b": None}),
        "c": "1e3",
        "d": "x\n",
    }


def test_anchors_repeat_a_value():
    assert read("a: &x {b: 1}\nc: *x\nd: &k name\n*k : 2") == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": "name",
        "name": 2,
    }


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n"])
def test_an_empty_text_has_no_tree_or_null(text):
    assert read(text) is None


# text, line:column: message
REFUSED = [
    ("a: 1\nb: 2\na: 3", "3:1: a: duplicate key; first given at line 1, column 1; keep one of them"),
    ("a:\n  b: 1\n  b: 2", "3:3: a.b: duplicate key; first given at line 2, column 3; keep one of them"),
    ("a: !!str 5", "1:4: a: tags such as !!str are refused; remove it"),
    (
        "a: !!python/object:os.system x",
        "1:4: a: tags such as !!python/object:os.system are refused; remove it",
    ),
    ("a: !local x", "1:4: a: tags such as !local are refused; remove it"),
    ("a: !!map {}", "1:4: a: tags such as !!map are refused; remove it"),
    ("a: *x", "1:4: a: no value that ends before this has the anchor &x"),
    ("a: &x [1, *x]", "1:11: a.1: no value that ends before this has the anchor &x"),
    ("1: x", "1:1: a key must be a string, not the number 1; put it in quotes"),
    ("a: {true: x}", "1:5: a: a key must be a string, not true; put it in quotes"),
    ("? [a]\n: 1", "1:3: a key must be a string, not a list; put it in quotes"),
    ("? {a: b}\n: 1", "1:3: a key must be a string, not a mapping; put it in quotes"),
    ("~: 1", "1:1: a key must be a string, not null; put it in quotes"),
    (
        "a: &x {}\nb:\n  <<: *x",
        "3:3: b.<<: merge keys are not part of YAML 1.2; write the keys out, or use `base:`",
    ),
    ("a: 1\n---\nb: 2", "2:1: a second document starts here; a config is one document"),
    ("a: " + "1" * 500, "1:4: a: has too many digits; write a smaller number"),
    ("a: \x00", "1:4: the character U+0000 is not allowed in YAML; remove it"),
    ("a: 1\r\nb: '\x1b[31m'", "2:5: the character U+001B is not allowed in YAML; remove it"),
    ("a:\n\tb: 1", "2:1: not valid YAML: found character"),
    ("a: @x", "1:4: not valid YAML: found character"),
    ("a: `x`", "1:4: not valid YAML: found character"),
    (
        "a: b: c",
        "1:5: not valid YAML: mapping values are not allowed",
    ),
]


@pytest.mark.parametrize(("text", "line"), REFUSED)
def test_what_a_config_cannot_hold_is_refused_with_its_place(text, line):
    (problem,) = refusal(text)
    first, expected = problem.splitlines()[0], f"a.yaml:{line}"
    # the two parsers word what is no YAML in their own way
    assert first.startswith(expected) if "not valid" in line else first == expected


@pytest.mark.parametrize(
    "text",
    [
        "a: [1,\nb: c",
        "a: {b: 1",
        "a: 'x",
        'a: "\\U12345678"',
        "%YAML 3.0\n---\na: 1",
        "a: &b\n  - 1\n c: 2",
        "a: %x",
        "- a\nb: 1",
    ],
)
def test_broken_syntax_is_one_problem(text):
    (problem,) = refusal(text)
    assert problem.startswith("a.yaml:")
    assert "not valid YAML" in problem


def test_every_duplicate_is_told_at_once():
    assert len(refusal("a: 1\na: 2\nb: !x 1\nb: 2\n3: 4")) == 4


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "{", "a:\n"])
def test_deep_nesting_is_refused_before_it_can_hurt(opening):
    text = opening * 5000
    if opening == "a:\n":
        text = "".join(" " * depth + "a:\n" for depth in range(1000))
    (problem,) = refusal(text)
    assert "nested more than 100 levels deep" in problem


def test_nesting_through_aliases_counts_too():
    text = "".join(f"a{n}: &a{n} [{f'*a{n - 1}' if n else ''}]\n" for n in range(200))
    assert "nested more than 100 levels deep" in refusal(text)[0]


def test_an_alias_bomb_is_refused():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    assert "aliases repeat more than 600000 values; write fewer" in refusal(text)[0]


def test_a_long_list_is_read():
    text = "[" + "1," * 20_000 + "]"
    assert len(read(text)) == 20_000


# what YAML prints as it is: JSON escapes some of the rest in ways of its own
words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Zl", "Zp"), exclude_characters="\ufeff"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
trees = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(words, inner), max_leaves=20)


def as_tuples(value):
    if isinstance(value, list):
        return tuple(as_tuples(item) for item in value)
    return {key: as_tuples(inner) for key, inner in value.items()} if isinstance(value, dict) else value


@given(trees.filter(lambda tree: "<<" not in str(tree)))
def test_json_reads_as_what_it_says(tree):
    assert read(json.dumps(tree, ensure_ascii=False)) == as_tuples(tree)


@given(st.text(alphabet="abA1.:-?[]{},#&*!|>'\"%@` \n\t\\~<=\x85\u2028\ufeff\u202e\x07"))
def test_any_text_is_read_or_refused(text):
    try:
        read(text)
        problems = ()
    except ConfigError as error:
        problems = error.problems
    assert all(problem.startswith("a.yaml:") for problem in problems)
    assert "".join(problems).replace("\n", "").isprintable()


VALUES = [
    ("a: ${env:LR}", {"a": 0.1}),
    ("a: {b: ${env:LR}, c: [${env:LR}, ${env:UNSET:-7}]}", {"a": {"b": 0.1, "c": (0.1, 7)}}),
    ("a: '${env:LR}'", {"a": "0.1"}),
    ('a: "${env:LR}"', {"a": "0.1"}),
    ("a: x${env:LR}/${env:WORD}.csv", {"a": "x0.1/moons.csv"}),
    ("a: ${env:LIST}", {"a": "[1, 2]"}),
    ("a: ${env:EMPTY}", {"a": None}),
    ("a: ${env:EMPTY:-true}", {"a": True}),
    ("a: ${env:UNSET:-}", {"a": None}),
    ("a: ${env:UNSET:-1e-3}", {"a": 1e-3}),
    ("a: ${env:LR:-5}", {"a": 0.1}),
    ("a: $${env:LR}", {"a": "${env:LR}"}),
    ("a: {b: $${env:LR}}", {"a": {"b": "${env:LR}"}}),
    ("a: $$${env:LR}", {"a": "$${env:LR}"}),
    ("a: $${env:x", {"a": "${env:x"}),
    ("a: |\n  ${env:WORD}\n# ${env:UNSET}", {"a": "moons\n"}),
    ("${env:WORD}: 1", {"moons": 1}),
    ("a: ${HOME} $HOME ${oc.env:X}", {"a": "${HOME} $HOME ${oc.env:X}"}),
]


@pytest.fixture
def variables(monkeypatch):
    known = {"LR": "0.1", "WORD": "moons", "LIST": "[1, 2]", "EMPTY": "", "BAD": "a\x1bb"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize(("text", "value"), VALUES)
def test_environment_variables_have_the_type_of_what_they_hold(text, value):
    assert read(text) == value


EXPECTED = "expected ${env:NAME} or ${env:NAME:-default}; $${env: stands for these characters"


@pytest.mark.usefixtures("variables")
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "a: 1\nb: {c: ${env:UNSET}}",
            "2:8: b.c: the environment variable UNSET is not set; set it, or write ${env:UNSET:-default}",
        ),
        ("a: ${env:BAD}", "1:4: a: the environment variable BAD holds the character U+001B; remove it"),
        ("a: ${env:}", f"1:4: a: {EXPECTED}"),
        ("a: ${env:1A}", f"1:4: a: {EXPECTED}"),
        ("a: ${env:LR:5}", f"1:4: a: {EXPECTED}"),
        ("a: ${env:LR", f"1:4: a: {EXPECTED}"),
    ],
)
def test_a_variable_without_a_value_is_named_with_its_position(text, line):
    (problem,) = refusal(text)
    assert problem.splitlines()[0] == f"a.yaml:{line}"
    assert problem.splitlines()[1] == f"  {text.splitlines()[-1]}"
