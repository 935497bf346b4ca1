import json
import re
from functools import partial
from typing import Annotated, Literal

import pytest
from pydantic import Field

from mlprun import figures
from mlprun.cli import reference
from mlprun.parts.activations import OneActivation
from mlprun.parts.datasets.table.column_options import ColumnOptions
from mlprun.parts.part import ConfigPath, Options, Part, PositiveInt, Seed, inline
from mlprun.schema import Config, registries


def kinds():
    """The parts of each kind as they are now: a test that runs user code may have registered more."""
    return {**reference.kinds(registries()), **reference.kinds([figures.run_figures, figures.sweep_figures])}


PARTS = [(kind, part) for kind, parts in kinds().items() for part in parts]
NAMED = pytest.mark.parametrize(
    ("kind", "part"), PARTS, ids=[f"{kind}-{part.names()[0]}" for kind, part in PARTS]
)


@pytest.fixture
def listed(call):
    return partial(call, "list")


def document(listed, *arguments):
    code, out, _ = listed(*arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_without_arguments_every_kind_is_counted_and_its_parts_named(listed):
    code, out, _ = listed()
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    for kind, parts in reference.kinds(registries()).items():
        assert rows[kind].split()[1] == str(len(parts))
        assert rows[kind].endswith(", ".join(part.names()[0] for part in parts))
    assert document(listed)["config"] == list(Config.model_fields)
    assert {kind: set(names) for kind, names in document(listed)["kinds"].items()} == {
        kind: {part.names()[0] for part in parts} for kind, parts in reference.kinds(registries()).items()
    }


@pytest.mark.parametrize("kind", kinds())
def test_a_kind_shows_a_line_for_each_part(kind, listed):
    lines = listed(kind)[1].splitlines()
    assert len(lines) == 1 + len(kinds()[kind])
    for line, part in zip(lines[1:], kinds()[kind], strict=True):
        assert line.startswith(", ".join(part.names()))
        assert line.endswith(part.summary())


def test_a_kind_may_be_named_in_the_singular(listed):
    assert listed("loss") == listed("losses")


@NAMED
def test_every_part_shows_its_documentation_and_all_its_options(kind, part, listed):
    code, out, err = listed(kind, part.names()[0])
    assert (code, err) == (0, "")
    assert out.startswith(f"{', '.join(part.names())} ({kind})\n\n{part.summary()}")
    shown = {line.split()[0] for line in out.splitlines() if line}
    assert set(part.model_fields) - {"name"} <= shown


@NAMED
def test_every_option_of_every_part_has_values_and_a_description(kind, part):
    for option in reference.options(part):
        assert option.description, option.name
        # what has no words is shown as Python writes it, which no user should meet
        assert not re.search(r"typing|<class|'|\bint\b|fieldinfo|annotated", option.values), option


def test_a_part_is_found_by_its_name_alone_and_by_an_alias(listed):
    assert listed("huber") == listed("losses", "huber")
    assert listed("silu") == listed("activations", "swish")


def test_the_documentation_of_a_part_as_json(listed):
    said = document(listed, "losses", "huber")
    assert said["name"] == "huber"
    assert said["documentation"].endswith("Source: Huber (1964), doi.org/10.1214/aoms/1177703732")
    assert said["options"][0] == {
        "name": "delta",
        "values": "number > 0",
        "required": False,
        "default": 1.0,
        "description": "error above which the loss is linear, in units of the target",
    }


def test_the_keys_of_a_config_are_listed_with_those_of_its_sections(listed):
    out = listed("config")[1]
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert set(Config.model_fields) <= set(rows)
    assert rows["training.batch_size"].split()[1:6] == ["integer", ">", "0", "|", "full"]
    assert "required" in rows["dataset"]
    # its default depends on the data: none is shown
    assert rows["loss"].split()[1:4] == ["loss", "loss", "function"]


def test_one_section_of_a_config_is_listed_alone(listed):
    said = document(listed, "config", "early_stopping")
    names = ["early_stopping", "early_stopping.patience", "early_stopping.min_delta"]
    assert [option["name"] for option in said["options"]] == names
    error = "error: trainin: unknown config key; did you mean training?\n"
    assert listed("config", "trainin") == (2, "", error)


@pytest.mark.parametrize(
    ("arguments", "place", "magic"),
    [
        (["datasets", "moons"], "moons.png", b"\x89PNG"),
        (["xor", "--out", "x.pdf"], "x.pdf", b"%PDF"),
        (["sequences"], "sequences.png", b"\x89PNG"),
        (["activations", "--out", "x.svg"], "x.svg", b"<?xml"),
    ],
)
def test_a_dataset_and_the_activations_are_drawn_but_over_no_file(
    arguments, place, magic, listed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert listed(*arguments, "--plot") == (0, f"wrote {place}\n", "")
    assert (tmp_path / place).read_bytes().startswith(magic)
    refused = f"error: {place}: exists; choose another name or add --force\n"
    assert listed(*arguments, "--plot") == (2, "", refused)


def test_a_dataset_is_drawn_over_a_file_where_asked_for(listed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moons.png").write_text("old")
    assert document(listed, "datasets", "moons", "--plot", "--force") == {"plot": "moons.png"}
    assert (tmp_path / "moons.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["losses"], "error: --plot: plots one dataset or all activations; try mlprun list datasets NAME"),
        (["table"], "error: table: has no rows without options; "),
        (["moons", "--out", "x.gif"], "error: x.gif: is no figure's name; "),
    ],
)
def test_what_cannot_be_drawn_says_what_can(arguments, line, listed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = listed(*arguments, "--plot")
    assert (code, out) == (2, "")
    assert err.startswith(line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["lossess"], "error: lossess: no such kind; did you mean losses?"),
        (["losses", "hubr"], "error: hubr: unknown name in losses; did you mean huber?"),
        (["losses", "\x1b]0;"], r"error: \x1b]0;: unknown name in losses; expected one of "),
    ],
)
def test_an_unknown_kind_or_name_suggests_what_is_near(arguments, line, listed):
    code, out, err = listed(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(line)


class Section(Options):
    depth: PositiveInt = Field(description="how deep")


class Example(Part):
    """A part with an option of every shape."""

    name: Literal["example", "sample"] = "example"
    mode: Literal["mean", "sum"] = "mean"
    seed: Seed | None = None
    path: ConfigPath = "a.csv"
    sizes: tuple[PositiveInt, ...] = (1, 2)
    pair: tuple[float, bool] = (0.5, True)
    activation: OneActivation | tuple[OneActivation, ...] = ()
    section: Section | None = None
    sections: tuple[Section, ...] = ()
    weights: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    share: Annotated[float, Field(ge=0, lt=1)] = 0.1


def test_annotations_are_described_in_words():
    described = {
        option.name: (option.values, option.shown_default()) for option in reference.options(Example)
    }
    assert described == {
        "mode": ("mean | sum", "mean"),
        "seed": ("integer >= 0 and < 4294967296 | null", "null"),
        "path": ("path", "a.csv"),
        "sizes": ("list of integer > 0", "[1, 2]"),
        "pair": ("[number, true | false]", "[0.5, true]"),
        "activation": ("activation | list of activation", "[]"),
        "section": ("mapping | null", "null"),
        "section.depth": ("integer > 0", "required"),
        "sections": ("list of mapping", "[]"),
        "sections.N.depth": ("integer > 0", "required"),
        "weights": ("mapping of list of number", "{}"),
        "share": ("number >= 0 and < 1", "0.1"),
    }


def test_a_part_as_a_default_is_written_as_short_as_a_config_allows():
    assert inline(Example()) == "example"
    assert inline(Example(mode="sum")) == "{name: example, mode: sum}"
    assert inline({"a b": ["true", "x y", 1e-8, None]}) == '{"a b": ["true", "x y", 1e-08, null]}'


def test_an_option_is_written_by_its_key() -> None:
    assert inline(ColumnOptions.model_validate({"as": "date"})) == "{as: date}"
