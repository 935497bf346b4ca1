"""Model cards: what they say, what they keep, and how text from a run gets into Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt

import mlprun
from mlprun.errors import UsageError
from mlprun.export.card import FILE, OWN, code, model_card, text
from mlprun.storage.runs import open_run
from tests.export import hostile

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    *hostile.names("canary"),
    "<!-- end -->",
    "![image](http://example.com/i.png)",
    r"a \| b",
    r"\`\<b>",
    "`code` ``more``",
    "**bold** _it_ ~~gone~~ $x$",
    "# heading",
    "&lt;b&gt; &#60;",
    "http://example.com www.example.com me@example.com @user",
    "<http://example.com>",
    "line\n\n# heading\r\n- item",
    "[ref]: http://example.com",
    "---",
    "",
]
TAGS = {"p", "code", "table", "thead", "tbody", "tr", "th", "td", "strong", "em", "ul", "li", "h1", "h2"}


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(markdown)


def plain(html: str) -> str:
    for entity, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        html = html.replace(entity, sign)
    return html


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("escape", [text, code])
def test_names_are_literal_text_in_a_table(name: str, escape: Any) -> None:
    html = rendered(f"| a | b |\n| --- | --- |\n| {escape(name)} | x |\n")
    cells = re.findall(r"<td>(.*?)</td>", html, re.DOTALL)
    assert len(cells) == 2
    assert set(re.findall(r"<(?:/)?([a-zA-Z0-9]+)", cells[0])) <= {"code"}
    shown = plain(re.sub(r"</?code>", "", cells[0]))
    expected = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    if escape is code:
        expected = (expected or " ").replace("`", r"\x60").replace("|", r"\x7c")
    assert shown.strip() == expected.strip()


def test_no_address_is_linked_by_itself() -> None:
    shown = text("http://example.com WWW.example.com me@example.com")
    assert not re.search(r"https?://|www\.|\w@\w", shown, re.IGNORECASE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of a table whose columns and classes have hostile names."""
    folder = tmp_path_factory.mktemp("card")
    names = [name for name in HOSTILE if name.isprintable() and name.strip()]
    quoted = ['"{}"'.format(name.replace('"', '""')) for name in names]
    rows = [
        ",".join([f'"{classes}"', *(str((k * j + j) % 7) for j in range(len(names)))])
        for k in range(30)
        for classes in ["<img src=x onerror=alert(1)>" if k % 2 else "yes | no"]
    ]
    (folder / "rows.csv").write_text("\n".join([f"target,{','.join(quoted)}", *rows]) + "\n")
    config = {
        "dataset": {"name": "table", "path": str(folder / "rows.csv"), "target": "target"},
        "training": {"epochs": 2},
        "loss": "cross_entropy",
    }
    return mlprun.train(config, out=str(folder / "runs"))


def test_hostile_names_of_a_run_make_no_markup(run: Any) -> None:
    html = rendered(model_card(run.folder))
    body = re.sub(r"<!-- (yours|end|mlprun model card).*?-->", "", html)
    body = body.split("<h1>", 1)[1]  # behind the front matter
    assert set(re.findall(r"</?([a-zA-Z0-9]+)", body)) <= TAGS
    assert "<!--" not in body
    assert "**bold** _it_ ~~gone~~ $x$" in plain(body)
    assert "yes | no" in body
    assert body.count("<h2>") == 9


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_hostile_columns_categories_classes_and_targets_make_no_markup(kind: str, tmp_path: Path) -> None:
    body = rendered(model_card(hostile.train(kind, tmp_path).folder)).split("<h1>", 1)[1]
    body = re.sub(r"<!-- (yours|end|mlprun model card).*?-->", "", body)
    assert set(re.findall(r"</?([a-zA-Z0-9]+)", body)) <= TAGS
    assert not re.search(r"<!--|href|src=\"|<[^>]+ [^>]*=", re.sub(r"<code>.*?</code>", "", body))


def test_a_card_tells_what_was_trained_and_how_well(run: Any) -> None:
    card = model_card(run.folder)
    assert card.startswith("---\nlibrary_name: mlprun\npipeline_tag: tabular-classification\n")
    (accuracy,) = re.findall(r"Accuracy on 6 test rows: ([\d.]+)%, 95% interval (\d+)% to (\d+)%", card)
    found = run.metrics["best"]["splits"]["test"]["accuracy"]
    assert float(accuracy[0]) == pytest.approx(100 * found, abs=0.05)
    # Wilson (1927) for 6 rows, by its formula
    z, n = 1.959964, 6
    middle = (found + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (found * (1 - found) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    ends = [max(0.0, middle - half), min(1.0, middle + half)]
    assert [int(end) for end in accuracy[1:]] == [round(100 * end) for end in ends]
    for wanted in ("| all | 18 | 6 | 6 |", "| majority | loss |", "| training.epochs | 2 |"):
        assert wanted in card
    assert "| layers.0 | linear" in card
    assert "position in 2 classes" in card
    assert "mlprun reproduce" in card


def test_a_second_card_keeps_what_the_author_wrote(run: Any) -> None:
    first = model_card(run.folder)
    assert model_card(run.folder, former=first) == first
    edited = re.sub(r"\*To be written by the author: what.*\*", "Screening, with a nurse.", first)
    assert model_card(run.folder, former=edited) == edited
    assert model_card(run.folder, former=edited.replace("\n", "\r\n")) == edited


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda card: card.replace("## Metrics", "## Results"),
            "was edited outside the sections that are yours",
        ),
        (lambda card: card + "more\n", "was edited outside the sections that are yours"),
        (lambda card: "# notes\n", "is not a model card"),
        (lambda card: card.replace(OWN[1], ""), "is not a model card"),
    ],
)
def test_edits_elsewhere_are_not_overwritten(run: Any, change: Any, what: str) -> None:
    former = change(model_card(run.folder))
    with pytest.raises(UsageError, match=f"{FILE}: {what}; rename it, or replace it with --force"):
        model_card(run.folder, former=former)
    again = model_card(run.folder, former=former, force=True)
    assert model_card(run.folder, former=again) == again


def test_a_card_of_several_numbers_without_data(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,y,z\n" + "".join(f"{k},{k % 3},{k * 2}\n" for k in range(20)))
    dataset = {"name": "table", "path": str(tmp_path / "rows.csv"), "target": ["y", "z"]}
    run = mlprun.train({"dataset": dataset, "training": {"epochs": 1}}, out=str(tmp_path / "runs"))
    (tmp_path / "rows.csv").unlink()
    card = model_card(open_run(run.path))
    assert "pipeline_tag: tabular-regression" in card
    assert "The targets are `y`, `z`." in card
    assert "The rows are gone" in card
    assert "Wilson" not in card
