"""A page: what is text stays text, nothing can run or load, and the policy names what is in the page."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from mlprun.report.page import Markup, Section, assemble, element, join, table, write_page

HOSTILE = (
    "<script>canary()</script>",
    "</script><img src=x onerror=canary()>",
    "\" onmouseover=canary() x='",
    "]]><svg onload=canary()>",
    "<!-- canary",
    "&lt;canary&gt;",
    "\u202ecanary\u2066",
    "\ud800canary\x00\x1b[31m",
)


class Tags(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_reaches_a_page_only_as_text(text):
    plain = Tags(assemble("x", [Section("y", element("p", "z", title="t"), data={"d": "v"})]))
    content = join(element("p", text, title=text), table([text], [[text, text]], caption=text))
    page = assemble(text, [Section(text, content, data={"d": {text: [text]}})], lead=text)
    found = Tags(page)
    assert not {"img", "svg"} & set(found.tags)
    assert found.tags.count("script") == plain.tags.count("script")
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name == "style"]
    assert not re.search("[\u202e\u2066\x00\x1b]", page.decode())
    stored = next(one for one in found.text if one.startswith("{"))
    assert json.loads(stored) == {text: [text]}


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        ("script", {}),
        ("iframe", {}),
        ("p onclick", {}),
        ("p", {"onclick": "x"}),
        ("p", {"style": "x"}),
        ("p", {"a b": "x"}),
        ("a", {"href": "javascript:canary()"}),
        ("a", {"href": "//example.org"}),
        ("a", {"href": "https://example.org"}),
        ("img", {"src": "data:text/html;base64,AAAA"}),
        ("img", {"srcset": "x.png"}),
    ],
)
def test_elements_and_attributes_that_run_or_load_are_refused(tag, attributes):
    with pytest.raises(ValueError, match="of a page"):
        element(tag, "x", **attributes)


def test_the_policy_allows_exactly_the_script_and_the_style_of_the_page():
    page = assemble("t", [Section("s", Markup("<p>x</p>"), data={"d": [1]})]).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    for source in (script, style):
        assert base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() in policy
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert not re.search(r"https?:|unsafe", page)


def test_a_page_has_landmarks_and_headings_in_order(tmp_path):
    write_page(str(tmp_path / "a.html"), "t", [Section("One", element("p", "1")), Section("Two", Markup(""))])
    found = Tags((tmp_path / "a.html").read_bytes())
    assert {"header", "nav", "main", "footer"} <= set(found.tags)
    assert [tag for tag in found.tags if re.fullmatch("h[1-6]", tag)] == ["h1", "h2", "h2"]
    assert ("a", "href", "#two") in found.attributes
    assert ("section", "id", "two") in found.attributes
