"""runs/example/, whose pictures README shows, is what `python tests/example_run.py` makes today.

Numbers are compared with tolerances, since another CPU trains a slightly different network.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mlprun import api, cli
from mlprun.schema import load
from mlprun.storage import history

SPEC = importlib.util.spec_from_file_location("example_run", Path(__file__).with_name("example_run.py"))
assert SPEC is not None
assert SPEC.loader is not None
example_run = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example_run)
EXAMPLE = example_run.EXAMPLE

REMEDY = "run `python tests/example_run.py --pages`"
LARGEST = 1_500_000


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    """The run that the script trains."""
    made: api.Run = example_run.train(str(tmp_path_factory.mktemp("example")))
    return made


def close(found: Any, kept: Any) -> bool:
    """Return True if two summaries of charts have the same texts, and numbers that differ little."""
    if isinstance(kept, dict):
        return found.keys() == kept.keys() and all(close(found[key], kept[key]) for key in kept)
    if isinstance(kept, list):
        return len(found) == len(kept) and all(map(close, found, kept))
    if isinstance(kept, int | float) and isinstance(found, int | float):
        return bool(found == pytest.approx(kept, rel=0.1, abs=0.05))
    return bool(found == kept)


def test_the_example_is_the_first_config_as_it_is(run: api.Run) -> None:
    assert load(str(EXAMPLE / "config.yaml")) == run.config == load(str(example_run.CONFIG)), REMEDY


def test_its_history_is_the_one_of_training_it_now(run: api.Run) -> None:
    kept = history.read(str(EXAMPLE / "history.csv"))
    assert kept.keys() == run.history.keys(), REMEDY
    for name, values in run.history.items():
        assert values == pytest.approx(kept[name], abs=0.05), f"{name}: {REMEDY}"


def test_its_figures_show_what_they_would_show_now(run: api.Run) -> None:
    kept = json.loads((EXAMPLE / "charts.json").read_text())
    found = example_run.charts(run)
    assert found.keys() == kept.keys(), REMEDY
    for kind, chart in kept.items():
        assert close(json.loads(json.dumps(found[kind])), chart), f"{kind}: {REMEDY}"


def test_its_report_has_the_sections_of_a_report(run: api.Run) -> None:
    assert cli.main(["report", run.path, "-q"]) == 0
    pages = (EXAMPLE / "report.html", Path(run.path, "report.html"))
    kept, found = (re.findall(r"<h[12][^>]*>(.*?)</h", page.read_text(encoding="utf-8")) for page in pages)
    assert kept == found, REMEDY


def test_readme_shows_its_pictures_and_it_is_small() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\((.*?)\)", (example_run.ROOT / "README.md").read_text())
    assert {f"runs/example/{path.name}" for path in EXAMPLE.iterdir() if path.suffix in (".png", ".gif")} == {
        *pictures
    }
    assert sum(path.stat().st_size for path in EXAMPLE.iterdir()) < LARGEST


@pytest.mark.parametrize("place", ["/home/", "/tmp/", "/root/", "/work/", "/Users/"])
def test_it_names_no_machine(place: str) -> None:
    texts = [path for path in EXAMPLE.iterdir() if path.suffix not in (".png", ".gif")]
    assert not [path.name for path in texts if place in path.read_text(encoding="utf-8")]
