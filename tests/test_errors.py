import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import mlprun
from mlprun.errors import command_line, plural, shell_path

PLAIN = [
    "runs/moons-001",
    "a b",
    "$(touch x)",
    "`id`",
    "a;b",
    'say "x"',
    "it's",
    "back\\slash",
    "*",
    "~",
    "ü 数据",
    "",
]
CONTROL = ["line\nbreak", "\x1b[31m'red'\\", "\x9b2J", "a\u202eb", "caf\udce9", "tab\there", "\x7f"]


@pytest.mark.parametrize("path", PLAIN)
def test_a_printable_path_is_one_word_of_a_shell(path):
    assert shlex.split(command_line("resume", path)) == ["mlprun", "resume", path]


def test_a_path_that_looks_like_an_option_names_the_folder_it_is_in():
    assert command_line("sweep run", "-x.yaml") == "mlprun sweep run ./-x.yaml"


def test_bash_reads_back_every_path_and_no_control_character_is_printed():
    paths = [*PLAIN, *CONTROL]
    words = [shell_path(path) for path in paths]
    assert all(word.isprintable() for word in words)
    printed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {' '.join(words)}"], capture_output=True, check=True
    ).stdout
    assert printed.decode("utf-8", "surrogateescape").split("\0")[:-1] == paths


def test_no_message_puts_a_value_into_a_command_without_quoting_it():
    """Every f-string of the package: behind `mlprun VERB ` and `--out ` stands no bare value."""
    folder = Path(mlprun.__file__).parent
    bare = []
    for file in sorted(folder.rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        if not re.search(r"(mlprun [a-z ]+|--out) \{", source):
            continue
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.JoinedStr):
                continue
            for before, value in zip(node.values, node.values[1:], strict=False):
                text = before.value if isinstance(before, ast.Constant) else ""
                quoted = isinstance(value, ast.FormattedValue) and "shell_path" in ast.unparse(value)
                if re.search(r"(\bmlprun (sweep )?(?!list\b)[a-z]+|--out) $", text) and not quoted:
                    bare.append(f"{file.relative_to(folder)}:{node.lineno}")
    assert bare == []


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "step", "1 step"),
        (1000, "step", "1,000 steps"),
        (0, "epoch", "0 epochs"),
        (3, "class", "3 classes"),
        (2, "batch", "2 batches"),
    ],
)
def test_numbers_of_things_have_their_plural(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text
