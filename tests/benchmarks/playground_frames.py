"""Times of the playground in Chromium: `python tests/benchmarks/playground_frames.py [CONFIG] [SECONDS]`.

Prints milliseconds of a step, of the evaluation and of a drawing, then what training reaches: frames per
second, and steps and drawings per frame. Sixty frames with five steps are wanted on an idle machine.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from mlprun import cli

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "moons.yaml"
PARTS = """() => {
  const { playground: play } = globalThis, { training } = play;
  const time = (work, count = 100) => {
    for (let i = 0; i < count; i++) work();
    const start = performance.now();
    for (let i = 0; i < count; i++) work();
    return (performance.now() - start) / count;
  };
  return { step: time(() => training.step()), evaluation: time(() => training.record()),
    drawing: time(() => play.refresh()) };
}"""
FRAMES = """(seconds) => new Promise((done) => {
  const { playground: play } = globalThis, start = performance.now(), first = play.training.steps;
  const draw = play.refresh.bind(play);
  let frames = 0, drawings = 0;
  play.refresh = () => { drawings++; draw(); };
  const count = (now) => {
    frames++;
    if (now - start < 1000 * seconds) return requestAnimationFrame(count);
    return done({ "frames per second": (1000 * frames) / (now - start),
      "steps per frame": (play.training.steps - first) / frames, "drawings per frame": drawings / frames });
  };
  requestAnimationFrame(count);
})"""


def main(config: str = str(CONFIG), seconds: str = "5") -> None:
    """Measure the playground of a config."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        page_path = Path(folder, "play.html")
        assert cli.main(["play", config, "-q", "--no-open", "-o", str(page_path)]) == 0
        root = ["--no-sandbox"] * (os.geteuid() == 0)
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=root)
        page = browser.new_page(viewport={"width": 1300, "height": 1100})
        page.goto(page_path.as_uri())
        for name, value in page.evaluate(PARTS).items():
            print(f"{name:20}{value:8.2f} ms")
        page.get_by_role("button", name="Train", exact=True).click()
        page.wait_for_timeout(1000)
        for name, value in page.evaluate(FRAMES, float(seconds)).items():
            print(f"{name:20}{value:8.2f}")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
