"""The report of a sweep: its numbers, its filter, and names that stay text."""

import json
import re

import pytest

import mlprun.api as mlprun
from mlprun.report import sweep_report


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    definition = {
        "name": "rates",
        "base": {
            "dataset": {"name": "moons", "noise": 0.2, "split": {"train": 40, "dev": 20, "test": 20}},
            "training": {"epochs": 8},
            "metrics": ["accuracy"],
        },
        "seeds": 5,
        "grid": {"optimizer.lr": [0.001, 0.5], "architecture.hidden": [[2], [8, 4]]},
    }
    return mlprun.sweep(definition, out=str(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def page(sweep):
    return sweep_report(sweep.path)


def test_every_setting_is_a_row_with_its_statistics(sweep, page, parsed):
    found = parsed(page)
    text = " ".join(found.text)
    lines = sweep.summary().lines
    assert [one["id"] for one in found.all("tr") if "id" in one] == [
        f"setting-{line.setting.id}" for line in lines
    ]
    for line in lines:
        assert f"{line.stats.mean:.4g}"[:6] in text
    assert f"is the best of {len(lines)}" in text
    assert "no evidence of a difference" in text or "evidence of a difference" in text
    assert "Bonferroni" in text


def test_a_column_without_intervals_is_left_out(sweep, page, monkeypatch):
    assert b"95% interval</th>" in page
    monkeypatch.setattr("mlprun.report.sweep.report_text.interval_text", lambda _: "")
    assert b"95% interval</th>" not in sweep_report(sweep.path)


def test_links_lead_to_rows_and_headings_are_in_order(page, parsed):
    found = parsed(page)
    targets = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    assert {one["href"][1:] for one in found.all("a")} <= targets
    headings = [tag for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert headings == ["h1"] + ["h2"] * (len(headings) - 1)
    assert all(one.get("scope") in ("col", "row") for one in found.all("th"))


def test_the_filter_has_each_setting_at_the_places_of_its_values(sweep, page, parsed):
    text = next(one for one in parsed(page).text if one.startswith('{"axes"'))
    data = json.loads(text)
    assert [axis["name"] for axis in data["axes"]] == ["lr", "hidden", "dev loss (best epoch)"]
    by_id = {one["id"]: one["at"] for one in data["settings"]}
    means = {line.setting.id: line.stats.mean for line in sweep.summary().lines}
    for number, setting in sweep.settings.items():
        assert by_id[number][0] == (setting.values["optimizer.lr"] == 0.5)
        assert by_id[number][1] == (setting.values["architecture.hidden"] == [8, 4])
    assert sorted(by_id, key=lambda one: by_id[one][2]) == sorted(means, key=means.get)
    assert all(len(one["at"]) == len(one["texts"]) == 3 for one in data["settings"])


def test_a_sweep_over_hostile_columns_shows_them_as_text(hostile_table, hostile, tmp_path, parsed):
    targets = [hostile["quotes"], hostile["end"], hostile["cdata"]]
    definition = {
        "name": "columns",
        "base": {
            "dataset": {"name": "table", "path": str(hostile_table), "target": targets[0]},
            "training": {"epochs": 2},
        },
        "seeds": 3,
        "grid": {"dataset.target": targets},
    }
    path = mlprun.sweep(definition, out=str(tmp_path)).path
    page = sweep_report(path)
    found = parsed(page)
    assert "onerror=canary()" in " ".join(found.text)
    assert not {"img", "iframe", "form"} & {tag for tag, _ in found.elements}
    assert not [
        name
        for _, attributes in found.elements
        for name in attributes
        if name.startswith("on") or name == "style"
    ]
    assert len(page) < 150_000


def test_the_command_writes_into_the_folder_of_the_sweep(sweep, call, runs):
    assert call("report", sweep.path) == (0, f"{sweep.path}/report.html\n", "")
    code, _, err = call("report", sweep.path, runs["moons"].path, "-o", "x.html")
    assert code == 2
    assert "is a sweep; report it by itself" in err
