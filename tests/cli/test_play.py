"""`mlprun play` writes one page, of its own defaults or of a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlprun.cli import report

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., tuple[int, str, str]]

CONFIG = """
name: small
dataset: {name: moons, noise: 0.4, split: {train: 40, dev: 10, test: 10}}
architecture: {hidden: [3], activation: elu}
"""


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that would be opened."""
    paths: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "open_result", lambda path, output: paths.append(path))
    return paths


def data(path: str) -> dict[str, object]:
    """The data of the playground in a page."""
    text = Path(path).read_text()
    start = '<script type="application/json" id="data-playground">'
    return json.loads(text.split(start)[1].split("</script>")[0])  # type: ignore[no-any-return]


def test_it_writes_and_opens_a_page_without_data(call: Call, opened: list[str]) -> None:
    code, out, _ = call("play")
    assert (code, out, opened) == (0, "page: playground.html\n", ["playground.html"])
    assert data("playground.html") == {}


def test_a_config_brings_its_rows_network_and_training(call: Call, opened: list[str]) -> None:
    Path("small.yaml").write_text(CONFIG)
    code, out, _ = call("play", "small.yaml", "optimizer.lr=0.5", "-o", "small.html", "--no-open", "--json")
    assert (code, json.loads(out), opened) == (0, {"page": "small.html"}, [])
    found = data("small.html")
    assert found["name"] == "small"
    assert found["settings"]["hidden"] == [{"units": 3, "activation": {"name": "elu", "alpha": 1.0}}]  # type: ignore[index]
    assert found["settings"]["lr"] == 0.5  # type: ignore[index]
    assert found["table"]["counts"] == [40, 10, 10]  # type: ignore[index]


def test_a_network_that_the_browser_lacks_is_a_sentence_in_the_page(call: Call, opened: list[str]) -> None:
    Path("small.yaml").write_text(CONFIG + "loss: {name: bce, reduction: sum}\n")
    code, _, _ = call("play", "small.yaml", "--no-open")
    assert code == 0
    assert "It has no bce loss with these options." in Path("playground.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.yaml"], 2, "there is no such config"),
        (["-o", "missing/page.html"], 7, "missing"),
    ],
)
def test_what_cannot_be_read_or_written_is_refused(
    call: Call, opened: list[str], arguments: list[str], code: int, message: str
) -> None:
    found, _, err = call("play", *arguments)
    assert (found, opened) == (code, [])
    assert message in err
    assert "Traceback" not in err
