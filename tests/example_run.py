"""Makes runs/example/, whose pictures README shows: `python tests/example_run.py [--pages]`.

Trains configs/moons.yaml in a temporary folder and keeps its config, history, figures and report, and what
the figures show as numbers (charts.json). With --pages, also photographs the report and the playground,
which needs playwright and Chromium; otherwise their pictures stay as they are.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from mlprun import api, cli, figures

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "runs" / "example"
CONFIG = ROOT / "configs" / "moons.yaml"
FIGURES = {"animation": 70, "regions": 110, "loss": 110}
"""the kinds of figures in README, with their resolutions"""


def train(folder: str) -> api.Run:
    """Train the config in `folder` under a relative path, so that no page names this machine's folders."""
    with contextlib.chdir(folder):
        assert cli.main(["train", str(CONFIG), "-q", "--json"]) == 0
    return api.load(Path(folder, "runs", "moons-001"))


def charts(run: api.Run) -> dict[str, Any]:
    """Return what each figure shows: its texts, and of numbers how many, the least, mean and greatest."""
    data, kinds = run.figure_data, [kind for kind in FIGURES if kind != "animation"]  # of thirty megabytes
    return {kind: summary(json.loads(json.dumps(figures.compute(kind, data).to_dict()))) for kind in kinds}


def summary(value: Any) -> Any:
    """Return a chart's JSON with each list of numbers as four numbers, and # for each number in a text."""
    if isinstance(value, dict):
        return {key: summary(member) for key, member in value.items()}
    if isinstance(value, str):
        return value if value.startswith("#") else re.sub(r"[\d.,e-]*\d", "#", value)
    if isinstance(value, list):
        numbers = [number for number in flat(value) if isinstance(number, int | float)]
        if numbers and len(numbers) == len(flat(value)):
            return [len(numbers), min(numbers), sum(numbers) / len(numbers), max(numbers)]
        return [summary(member) for member in value]
    return value


def flat(value: Any) -> list[Any]:
    """Return the members of nested lists; a mapping or text is a member."""
    return [one for member in value for one in flat(member)] if isinstance(value, list) else [value]


def make(folder: str) -> None:
    """Train and fill runs/example/."""
    run = train(folder)
    EXAMPLE.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        for kind, dpi in FIGURES.items():
            assert cli.main(["plot", "runs/moons-001", "-q", "--kind", kind, "--dpi", str(dpi)]) == 0
        assert cli.main(["report", "runs/moons-001", "-q"]) == 0
        assert cli.main(["play", str(CONFIG), "-q", "--no-open", "-o", "playground.html"]) == 0
    for name in ("config.yaml", "history.csv", *(path.name for path in Path(run.path, "plots").iterdir())):
        source = Path(run.path, name)
        shutil.copy(source if source.exists() else Path(run.path, "plots", name), EXAMPLE)
    report = Path(run.path, "report.html").read_text(encoding="utf-8")
    report = report.replace(platform.platform(), platform.system()).replace(platform.release(), "")
    (EXAMPLE / "report.html").write_text(report, encoding="utf-8")
    text = json.dumps(charts(run), indent=1)
    (EXAMPLE / "charts.json").write_text(re.sub(r"\[\s+([-\d.e+,\s]+?)\s+\]", flow, text) + "\n")


def flow(found: re.Match[str]) -> str:
    """Return a list of numbers in one line, with five digits."""
    return "[" + ", ".join(f"{float(number):.5g}" for number in found[1].split(",")) + "]"


def photograph(folder: str) -> None:
    """Take pictures of the report and the playground, where training has gone on for a while."""
    from playwright.sync_api import sync_playwright

    pages = {
        "report": (EXAMPLE / "report.html", 1000, 840),
        "playground": (Path(folder, "playground.html"), 1320, 1060),
    }
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"] * (os.geteuid() == 0)
        )
        for name, (path, width, height) in pages.items():
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(path.resolve().as_uri())
            if name == "playground":
                page.get_by_role("button", name="Train", exact=True).click()
            page.wait_for_timeout(800)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(128)
            picture.save(EXAMPLE / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", action="store_true", help="photograph the pages too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        make(temporary)
        if options.pages:
            photograph(temporary)
