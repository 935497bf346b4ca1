"""Hostile configs: whatever stands in one, it is valid or refused, soon, in words, and nothing runs."""

from __future__ import annotations

import os
import random
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faulty.mutations import mutated

from mlprun import cli, schema
from mlprun.cli.terminal import printable_lines
from mlprun.errors import MlprunError

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGS = Path(__file__).parents[2] / "configs"
COUNTS = {"usual": 1_000, "slow": 20_000}
SLOWEST = 3.0
"""seconds that no config may take; the slowest valid ones read a table"""


def shipped() -> list[str]:
    """The configs in configs/, their tables made absolute."""
    texts = [path.read_text() for path in sorted(CONFIGS.glob("*.yaml"))]
    return [text.replace("path: data/", f"path: {CONFIGS}/data/") for text in texts if "extend:" not in text]


def outcome(path: str) -> int:
    """The exit code that a config leads to; anything but a refusal in words is an error of the test."""
    try:
        schema.load(path)
    except MlprunError as error:
        told = error
    else:
        return 0
    assert str(told).strip()
    assert all(sign == "\n" or sign.isprintable() for sign in printable_lines(str(told)))
    return told.exit_code


def test_mutations_of_the_shipped_configs_are_valid_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    texts, chance = shipped(), random.Random(1)
    count = COUNTS["slow" if request.config.getoption("--slow") else "usual"]
    codes: Counter[int] = Counter()
    slowest = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while codes.total() < count:
            data = mutated(chance.choice(texts), texts, chance)
            (tmp_path / "run.yaml").write_bytes(data)
            began = time.process_time()
            try:
                codes[outcome("run.yaml")] += 1
            except Exception as error:
                raise AssertionError(
                    f"after {codes.total()}: {type(error).__name__}: {error}\n{data!r}"
                ) from error
            took = time.process_time() - began
            slowest = max(slowest, took)
            assert took < SLOWEST, f"{took:.1f} s\n{data!r}"
    assert set(codes) <= {0, 2, 3, 7}, codes
    assert codes[0] > 5
    assert codes[2] > 100
    assert sorted(os.listdir(tmp_path)) == ["run.yaml"]


def nested(opening: str, closing: str, depth: int) -> str:
    return f"dataset: moons\nx: {opening * depth}{closing * depth}\n"


BOMBS: dict[str, Callable[[], str]] = {
    "lists in lists": lambda: nested("[", "]", 100_000),
    "mappings in mappings": lambda: nested("{a: ", "}", 50_000),
    "keys of keys": lambda: "? " * 100_000,
    "items of items": lambda: "- " * 200_000,
    "indented without end": lambda: "\n".join(" " * n + "a:" for n in range(1000)),
    "a billion laughs": lambda: (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    ),
    "a deep chain of aliases": lambda: (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 2000))
    ),
    "an alias of itself": lambda: "dataset: &a {name: moons, x: *a}\n",
    "tens of thousands of keys": lambda: "dataset: moons\n" + "".join(f"k{n}: 1\n" for n in range(30_000)),
    "one key again and again": lambda: "dataset: moons\n" * 60_000,
    "more than a megabyte": lambda: f"dataset: moons\n# {'x' * 1_000_001}",
    "a number of a megabyte": lambda: f"dataset: {{name: moons, noise: {'9' * 900_000}}}",
    "a float of a megabyte": lambda: f"dataset: {{name: moons, noise: 0.{'9' * 900_000}}}",
    "a name of a megabyte": lambda: f"dataset: {'x' * 900_000}",
    "a key of a megabyte": lambda: f"dataset: moons\n{'x' * 900_000}: 1",
    "a line of quotes": lambda: "dataset: " + "'" * 900_000,
    "an anchor of a megabyte": lambda: f"dataset: *{'a' * 900_000}",
    "a hundred thousand layers": lambda: f"dataset: moons\narchitecture: {{hidden: [{'1, ' * 100_000}1]}}",
    "a comment for each byte": lambda: "#\n" * 450_000,
    "tabs": lambda: "\t" * 900_000,
    "objects": lambda: "dataset: !!python/object/apply:os.system ['touch canary']\n",
    "a name of Python": lambda: "dataset: !!python/name:os.system\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_soon_and_in_bounded_memory(name: str, children: Any, memory: Path) -> None:
    (memory / "bomb.yaml").write_text(BOMBS[name]())
    limits = {"RLIMIT_AS": 1 << 30, "RLIMIT_CPU": 30}
    told = children.one("validate", "bomb.yaml", folder=memory, limits=limits)
    assert told["code"] == 2, told["err"][-300:]
    assert len(told["err"]) < 60_000
    assert "Traceback" not in told["err"]
    assert sorted(os.listdir(memory)) == ["bomb.yaml"]


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"\x00", b"dataset: \xff", "dataset: moons\ufffe".encode(), b"\x80"]
)
def test_what_is_no_text_is_told_as_such(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(data)
    assert outcome(str(tmp_path / "run.yaml")) == 2


@pytest.mark.parametrize("size", [(10**12, 2), (100, 10**9)])
def test_a_config_of_more_than_any_memory_ends_with_nine_or_two(
    size: tuple[int, int], children: Any, memory: Path
) -> None:
    rows, units = size
    (memory / "large.yaml").write_text(
        f"dataset: {{name: moons, samples: {rows}}}\narchitecture: {{hidden: [{units}]}}\n"
    )
    told = children.one("train", "large.yaml", "-q", folder=memory, limits={"RLIMIT_AS": 4 << 30})
    assert told["code"] in (2, 9), told["err"]
    assert told["err"].startswith("error: ") or told["code"] == 2
    assert not (memory / "runs").exists() or not os.listdir(memory / "runs")


def test_a_config_that_is_no_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    os.symlink("loop.yaml", tmp_path / "loop.yaml")
    for path in ("pipe.yaml", "loop.yaml", ".", "missing.yaml", "/dev/zero", "\x00", "x" * 5000):
        assert cli.main(["train", str(tmp_path / path) if path.endswith("yaml") else path]) == 2, path
        assert capsys.readouterr().err.startswith("error: ")
