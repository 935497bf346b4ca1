"""The report of a run: complete, readable, and safe whatever names it shows."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import mlprun.api as mlprun
from mlprun import figures
from mlprun.report import playground, run_report
from mlprun.storage import runs as run_folders

SECTIONS = [
    *("Diagnosis", "Result", "Curves", "Predictions", "Playground", "What if", "Data", "Network", "Config"),
    "Reproduce",
]


@pytest.fixture(scope="module")
def pages(runs):
    return {name: run_report(run.folder) for name, run in runs.items()}


@pytest.mark.parametrize("name", ["classes", "numbers", "moons"])
def test_hostile_names_are_shown_and_never_reach_markup(pages, parsed, name):
    page = parsed(pages[name])
    assert not {"img", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in page.elements}
    assert all(one.get("type") == "application/json" for one in page.all("script")[:-1])
    for tag, attributes in page.elements:
        for attribute, value in attributes.items():
            assert not attribute.startswith("on"), (tag, attribute)
            assert attribute not in ("style", "srcset", "srcdoc")
            if attribute in ("href", "src"):
                assert re.match(r"#|data:image/png;base64,", value)
    assert not re.search("[\u202e\u2066\u200f\x00-\x08]", pages[name].decode())
    if name != "moons":
        assert "<script>canary()</script>" in "".join(page.text)


@pytest.mark.parametrize("name", ["classes", "numbers", "moons"])
def test_a_page_loads_nothing_and_has_no_names_but_the_namespace(pages, name):
    text = pages[name].decode()
    markup = re.sub(
        r"http://www.w3.org/2000/svg|&[a-z#0-9]+;|url\(https://example|(https:)?//example\.\S*", "", text
    )
    assert not re.search(r"(https?:)?//[a-z]+\.", markup)
    assert "Content-Security-Policy" in text
    assert len(pages[name]) < 400_000


def test_a_page_without_the_users_data_is_no_larger_than_promised(pages):
    text = pages["moons"].decode()
    data = re.findall(r'<script type="application/json".*?</script>|<figure.*?</figure>', text, re.DOTALL)
    assert len(data) > 10
    assert len(text) - sum(map(len, data)) < 150_000


def test_hostile_names_of_a_run_and_its_metrics_are_text(runs, parsed, hostile, tmp_path):
    folder = tmp_path / hostile["quotes"].replace("/", "")
    shutil.copytree(runs["moons"].path, folder)
    for name in ("status.json", "history.csv"):
        text = (folder / name).read_text()
        quoted = json.dumps("<img src=x onerror=canary()>")[1:-1]
        (folder / name).write_text(text.replace("accuracy", quoted))
    page = parsed(run_report(run_folders.RunFolder(str(folder))))
    assert not {"img", "iframe"} & {tag for tag, _ in page.elements}
    assert not [
        attributes for _, attributes in page.elements if any(one.startswith("on") for one in attributes)
    ]
    assert "<img src=x onerror=canary()>" in "".join(page.text)
    assert "onmouseover=canary() x=" in "".join(page.text)


def test_a_page_has_a_heading_for_each_section_and_headers_in_tables(pages, parsed):
    page = parsed(pages["moons"])
    headings = [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert [tag for tag in headings if tag != "h3"] == ["h1"] + ["h2"] * len(SECTIONS)
    targets = [f"#{name.lower().replace(' ', '-')}" for name in SECTIONS]
    assert [one["href"] for one in page.all("a")][1:] == targets
    assert all(one.get("scope") in ("col", "row") for one in page.all("th"))
    identities = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    assert (
        len(page.all("title"))
        == len([one for one in page.all("svg") if one.get("role") == "img" and "aria-label" not in one]) + 1
    )


def test_the_verdict_and_the_metrics_of_the_run_are_in_the_page(pages, parsed, runs):
    text = " ".join(parsed(pages["moons"]).text)
    metrics = runs["moons"].metrics
    best = metrics["best"]
    assert f"{best['splits']['test']['accuracy']:.1%} of 20 test rows" in text
    for split in ("train", "dev", "test"):
        assert f"{best['splits'][split]['loss']:.4f}" in text
    assert "logistic regression" in text
    assert "model metric train dev test" in text, "a column per split, as in the terminal"
    assert "mlprun reproduce" in text


def test_a_run_whose_table_is_gone_still_has_a_report(runs, parsed, hostile_table):
    moved = hostile_table.with_name("moved.csv")
    hostile_table.rename(moved)
    try:
        text = " ".join(parsed(run_report(runs["classes"].folder)).text)
    finally:
        moved.rename(hostile_table)
    assert "whose rows are gone" in text
    assert "Loss" in text


def test_only_what_differs_from_the_defaults_is_listed(pages, parsed):
    text = " ".join(parsed(pages["moons"]).text)
    shown = text[text.index("Non-default values") : text.index("Full config")]
    assert "training.epochs" in shown
    assert "architecture.hidden" in shown
    for resolved in ("schedule", "best.mode", "output_activation", "dataset.seed", "samples"):
        assert resolved not in shown


def test_the_form_has_the_columns_and_categories_of_the_table(pages, parsed, hostile):
    data = next(json.loads(one) for one in parsed(pages["numbers"]).text if one.startswith('{"columns"'))
    kinds = ["categories" if "categories" in one else "number" for one in data["columns"]]
    assert kinds.count("categories") == 2
    assert all(one["low"] <= one["start"] <= one["high"] for one in data["columns"] if "low" in one)
    assert sorted(data["columns"][3]["categories"]) == sorted(list(hostile.values())[5:8])


def test_several_runs_are_compared_in_one_page(runs, call, tmp_path, parsed):
    paths = [runs[name].path for name in ("moons", "classes")]
    assert call("report", *paths, "-o", tmp_path / "c.html")[0] == 0
    text = " ".join(parsed((tmp_path / "c.html").read_bytes()).text)
    assert all(name in text for name in ("moons-001 best epoch", "classes-001 best epoch", "dataset.name"))
    assert "Positive class" not in text, "it is that of one run"


def test_the_command_writes_the_report_into_the_run_or_to_a_file(runs, call, tmp_path):
    path = runs["moons"].path
    code, out, err = call("report", path)
    assert (code, err) == (0, "")
    assert out == f"{path}/report.html\n"
    assert (run_folders.open_run(path)).status().state == "finished"
    target = tmp_path / "r.html"
    code, out, _ = call("report", path, "-o", target, "--json")
    said = json.loads(out)
    assert code == 0
    assert said == {"report": str(target), "of": [path], "bytes": os.path.getsize(target)}
    assert target.read_bytes() == Path(path, "report.html").read_bytes()
    assert runs["moons"].report(target) == str(target)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing",), 4, "missing: no such folder"),
        (("{run}", "-o", "{run}/none/r.html"), 7, "cannot be written"),
        (("{run}", "{other}"), 2, "name a file with --out"),
        (("{run}", "-o", "{link}"), 7, "symbolic link"),
        (("{run}", "-o", "{run}/last.safetensors"), 2, "choose one that ends in .html"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_an_exit_code(runs, call, tmp_path, arguments, code, words):
    (tmp_path / "link.html").symlink_to(tmp_path / "elsewhere")
    names = {"run": runs["moons"].path, "other": runs["classes"].path, "link": tmp_path / "link.html"}
    got, out, err = call("report", *(one.format(**names) for one in arguments))
    assert (got, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_run_with_several_targets_has_a_report_and_forged_files_break_none(call, tmp_path):
    rows = [[x / 8, y / 8] for x in range(8) for y in range(8)]
    config = {
        "dataset": {"name": "inline", "inputs": rows, "targets": [[x, y, x * y] for x, y in rows]},
        "architecture": {"hidden": [4], "activation": "relu"},
        "loss": "mse",
        "training": {"epochs": 1},
    }
    path = Path(mlprun.train(config, out=str(tmp_path)).path)
    assert call("report", path)[0] == 0
    record, status = (json.loads((path / name).read_text()) for name in ("run.json", "status.json"))
    (path / "run.json").write_text(
        json.dumps({**record, "platform": "x", "cpu": 3, "git": [1], "versions": 1})
    )
    status["figures"]["last"]["splits"] = {}
    status["figures"]["best"] = None
    (path / "status.json").write_text(json.dumps(status))
    assert call("report", path)[0] == 0
    status["figures"]["baselines"] = {"a": {"train": {"loss": [1]}, "dev": {"loss": 1.0}}}
    (path / "status.json").write_text(json.dumps(status))
    code, out, err = call("report", path)
    assert (code, out) == (4, "")
    assert "status.json: is damaged" in err


def test_a_report_of_quantiles_has_their_fan_and_says_where_coverage_is_wrong(call, tmp_path):
    draw = np.random.default_rng(0)
    inputs = draw.uniform(-1, 1, (200, 1))
    config = {
        "name": "prices",
        "dataset": {"name": "inline", "inputs": inputs.tolist(), "targets": (inputs + 5).tolist()},
        "loss": "quantile",
        "training": {"epochs": 1},
    }
    config["dataset"]["split"] = {"train": 100, "dev": 50, "test": 50}
    run = mlprun.train(config, out=str(tmp_path))
    coverage = run.metrics["last"]["splits"]["test"]["coverage"]
    assert coverage < 0.5
    assert call("report", run.path)[0] == 0
    page = (Path(run.path) / "report.html").read_text()
    assert "The quantiles hold fewer rows between them than their levels say." in page
    assert f"coverage {coverage:.1%} of 50 test rows, expected 80.0%" in page
    assert "80% expected inside" in page
    assert (
        "The form does not run this network. It has no quantile loss. For new rows: <code>mlprun predict"
        in page
    )
    network = page[page.index("<b>Network</b>") :]
    assert re.findall(r">(0\.\d quantile)<", network) == ["0.1 quantile", "0.5 quantile", "0.9 quantile"]


def test_a_report_of_labels_has_a_table_of_each(call, tmp_path):
    rows = [f"{k % 7},{k % 5},{int(k % 7 > 3)},{int(k % 5 > 2)}" for k in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["x,y,warm,wet", *rows]))
    dataset = {"name": "table", "path": str(tmp_path / "t.csv"), "target": ["warm", "wet"]}
    run = mlprun.train({"dataset": dataset, "loss": "bce", "training": {"epochs": 30}}, out=str(tmp_path))
    assert call("report", run.path)[0] == 0
    page = (Path(run.path) / "report.html").read_text()
    assert "Each target on test rows" in page
    for word in ("warm", "wet", "macro average", "micro average", "support", "subset accuracy", "ROC AUC"):
        assert word in page
    assert "It has no multi-label classification." in page
    assert 'id="data-playground"' not in page


def test_the_playground_says_of_how_many_rows_it_has_some(monkeypatch, tmp_path):
    config = {"dataset": {"name": "moons", "samples": 100}, "training": {"epochs": 1}}
    data = mlprun.train(config, out=str(tmp_path)).figure_data
    monkeypatch.setattr(playground, "MOST_ROWS", 50)
    section = playground.playground_section(data)
    counts = section.data["playground"]["table"]["counts"]
    assert f"{sum(counts)} of 100 rows, evenly spread, are in this page" in section.content.html
    monkeypatch.undo()
    assert "evenly spread" not in playground.playground_section(data).content.html


def test_the_table_of_results_says_what_was_chosen_on_dev_and_what_losses_are_of(tmp_path):
    def caption(config):
        run = mlprun.train(config | {"training": {"epochs": 3}}, out=str(tmp_path))
        page = run_report(run_folders.RunFolder(run.path)).decode()
        return re.search("<caption>([^<]*)", page)[1], run

    moons = {"dataset": "moons", "threshold": "f1", "calibrate": "temperature"}
    text, run = caption(moons)
    decision = run.figure_data.trained_at(run.figure_data.best_or_last).decision
    expected = f"threshold {decision.threshold:.4g}; temperature {decision.temperature:.4g}"
    assert text == f"Positive class: inner; {expected}"
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{k},{k**3 + 1}" for k in range(40))]))
    prices = {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y"}
    units = "other metrics in the target's units"
    for more, of in ({}, "standardised"), ({"target_transform": "log"}, "transformed"):
        text, run = caption({"dataset": prices | more, "loss": "mse"})
        assert text == f"Losses are of {of} targets, {units}"
    assert "It cannot prepare columns or targets" in run_report(run_folders.RunFolder(run.path)).decode()


def test_figures_that_count_rows_say_that_they_have_no_weights(tmp_path):
    rows = [f"{k / 40},{k % 3},{'ab'[k % 2]}" for k in range(120)]
    (tmp_path / "t.csv").write_text("\n".join(["x,w,y", *rows]))
    dataset = {"name": "table", "path": str(tmp_path / "t.csv"), "target": "y", "weight": "w"}
    data = mlprun.train({"dataset": dataset, "training": {"epochs": 2}}, out=str(tmp_path)).figure_data
    for kind, is_said in {"confusion": True, "roc": True, "network": False, "weights": False}.items():
        chart = figures.compute(kind, data)
        assert any("rows unweighted" in detail for detail in chart.details) == is_said, kind
