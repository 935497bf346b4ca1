"""Whole reports in a browser: nothing is loaded or goes wrong, forms compute what the model predicts."""

from __future__ import annotations

import csv
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import mlprun.api as mlprun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Shown = Callable[..., Any]


@pytest.fixture
def shown(browser: Any) -> Shown:
    """Open a file; requests and messages of the console fail the test."""

    @contextmanager
    def show(path: str, **options: Any) -> Iterator[Any]:
        context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        page, problems = context.new_page(), list[str]()
        page.on("request", lambda request: problems.append(request.url))
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"file://{path}")
        yield page
        assert [one for one in problems if not one.startswith((f"file://{path}", "data:", "blob:"))] == []
        context.close()

    return show


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> str:
    base = {"dataset": {"name": "moons", "split": {"train": 40, "dev": 20}}, "training": {"epochs": 4}}
    definition = {
        "name": "s",
        "base": base,
        "seeds": 3,
        "grid": {"optimizer.lr": [0.01, 0.1, 1.0], "training.shuffle": [True, False]},
    }
    return mlprun.sweep(definition, out=str(tmp_path_factory.mktemp("sweeps"))).report()


def labels_run(folder: Path) -> mlprun.Run:
    """A run of two labels, which has a form and no playground."""
    rows = [f"{k % 7},{k % 5},{int(k % 7 > 3)},{int(k % 5 > 2)}" for k in range(60)]
    (folder / "t.csv").write_text("\n".join(["x,y,warm,wet", *rows]))
    dataset = {"name": "table", "path": str(folder / "t.csv"), "target": ["warm", "wet"]}
    return mlprun.train({"dataset": dataset, "loss": "bce", "training": {"epochs": 5}}, out=str(folder))


@pytest.mark.parametrize("kind", ["classes", "numbers", "labels"])
def test_the_form_predicts_what_the_model_predicts(
    shown: Shown, runs: Any, kind: str, tmp_path: Path
) -> None:
    run = labels_run(tmp_path) if kind == "labels" else runs[kind]
    path = run.report(tmp_path / "report.html")
    with shown(path) as page:
        fields = page.locator(".predict label")
        page.locator(".predict input[type=number]").first.fill("0.5")
        row = {}
        for k, name in enumerate(run.best.preprocessing.input_names):
            field = fields.nth(k).locator("input[type=number], select option:checked").first
            row[name] = field.input_value() if field.get_attribute("type") == "number" else field.inner_text()
        categories = dict(
            zip(run.best.preprocessing.input_names, run.best.preprocessing.categories, strict=True)
        )
        for k, (name, known) in enumerate(categories.items()):
            if known is not None:
                row[name] = known[int(fields.nth(k).locator("select").input_value())]
        said = [float(one) for one in page.locator(".predict [role=status] b").all_inner_texts()]
    with (tmp_path / "row.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    (predicted,) = run.predict_table(tmp_path / "row.csv").rows
    numbers = [one for one in predicted if isinstance(one, float)]
    assert said == pytest.approx(numbers, abs=1e-3 if kind == "numbers" else 6e-4)


def test_dragging_and_sliders_filter_the_settings(shown: Shown, sweep: str) -> None:
    with shown(sweep) as page:
        status, rows = page.locator(".explorer [role=status]"), page.locator("tbody tr[id]:visible")
        assert status.inner_text() == "6 of 6 settings"
        grip = page.locator(".grip").first
        grip.scroll_into_view_if_needed()
        box = grip.bounding_box()
        page.mouse.move(box["x"] + 5, box["y"] + 2)
        page.mouse.down()
        page.mouse.move(box["x"] + 5, box["y"] + box["height"] * 0.7, steps=3)
        page.mouse.up()
        assert status.inner_text() == "4 of 6 settings"
        assert rows.count() == 4
        page.locator(".explorer input").nth(2).focus()
        page.keyboard.press("ArrowRight")
        assert status.inner_text() == "2 of 6 settings"
        page.get_by_role("button", name="Show all settings").click()
        assert rows.count() == 6


def test_reports_can_be_read_without_scripts_and_printed(
    shown: Shown, runs: Any, sweep: str, tmp_path: Path
) -> None:
    for path in (runs["moons"].report(tmp_path / "report.html"), sweep):
        with shown(path, java_script_enabled=False, color_scheme="dark") as page:
            assert page.locator(".verdict").is_visible()
            assert page.locator("figure svg").first.is_visible()
            assert page.pdf(format="A4").startswith(b"%PDF")
        with shown(path) as page:
            page.set_viewport_size({"width": 400, "height": 800})
            page.wait_for_function("document.documentElement.scrollWidth <= 400")  # once it is laid out
            page.get_by_role("button", name=re.compile("theme")).click()
            assert page.evaluate("document.documentElement.dataset.theme") == "dark"
