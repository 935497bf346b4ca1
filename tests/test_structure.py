"""The structure of the package stays within the bounds of tests/structure.py."""

import importlib.util
import sys
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("structure", Path(__file__).with_name("structure.py"))
structure = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = structure  # its named tuples look their module up
SPEC.loader.exec_module(structure)


@pytest.fixture(scope="module")
def measured():
    return structure.measure()


@pytest.mark.parametrize("name", structure.BOUNDS)
def test_the_structure_stays_within_its_bounds(name, measured):
    values, places = measured
    listed = "".join(f"\n  {place}" for place in places.get(name, ()))
    assert structure.BOUNDS[name].holds(values[name]), f"{name}: {values[name]}{listed}"


SAMPLE = {
    "__init__.py": "",
    "a.py": '"""A module.\n\nWith more."""\n\nimport os  # a comment\nfrom p import b\n\nX = (\n    1,\n)\n',
    "b.py": 'def f():\n    """Say it."""\n    from p.a import X\n    return f"{X!r}"\n',
    "c.py": "from p import a\nself.engine.advance(1)\nschedule.advance(1)\n",
}


@pytest.fixture
def sample(tmp_path):
    (tmp_path / "p").mkdir()
    for name, text in SAMPLE.items():
        (tmp_path / "p" / name).write_text(text)
    return {source.name: source for source in structure.sources(tmp_path / "p")}


def test_code_lines_and_tokens_leave_out_documentation(sample):
    assert structure.size(sample["p.a"]) == (5, 12)
    assert structure.size(sample["p.b"]) == (3, 13)


def test_circles_and_imports_inside_functions_are_found(sample):
    assert structure.circles(sample.values()) == ["p.a <-> p.b"]
    assert structure.inner_imports(sample["p.b"], {"p", "p.a", "p.b"}) == ["p.b:3"]


def test_calls_of_an_engine_are_found(sample):
    assert structure.advance_calls(sample["p.c"]) == ["p.c:2"]
