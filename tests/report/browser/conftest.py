"""A browser for the pages: Chromium, driven by playwright. Tests are skipped where either is missing."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mlprun.report
from mlprun.report.page import Section, write_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SCRIPTS = Path(mlprun.report.__file__).parent / "page"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the tests of a module."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    if not os.path.exists(CHROMIUM):
        pytest.skip(f"no {CHROMIUM}")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def evaluate(browser: Any) -> Iterator[Callable[[str, Any], Any]]:
    """A function that evaluates an expression after the scripts about data and networks, in an empty page."""
    sources = "\n".join((SCRIPTS / name).read_text() for name in ("data.js", "network.js", "training.js"))
    page = browser.new_page()
    yield lambda expression, value: page.evaluate(f"(value) => {{ {sources}\n return {expression}; }}", value)
    page.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that opens a page of a section; nothing may be loaded or go wrong in it."""

    @contextmanager
    def open_page(section: Section, **options: Any) -> Iterator[Any]:
        path = tmp_path / "page.html"
        write_page(str(path), "Playground", [section])
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 1100}, **options})
        page, problems = context.new_page(), []
        page.on("request", lambda request: problems.append(f"request {request.url}"))
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        page.goto(path.as_uri())
        yield page
        local = (f"request {path.as_uri()}", "request data:", "request blob:")
        assert [problem for problem in problems if not problem.startswith(local)] == []
        context.close()

    return open_page
