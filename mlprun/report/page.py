"""One HTML page that needs no network, made of sections.

Text and markup are different types: `element` escapes every string, and only `Markup` gets into a page as it
is. There are no style attributes, event handlers or loaded resources, so a strict Content-Security-Policy
holds: one inline script and one inline style, named by their hashes. Data for scripts stands in
`<script type="application/json">`; the policy does not count it, since it is never executed.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlprun import files
from mlprun.config.tree import printable
from mlprun.errors import UsageError
from mlprun.version import __version__

_FOLDER = os.path.join(os.path.dirname(__file__), "page")
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]*")
_TARGET = re.compile(
    r"#[A-Za-z][\w-]*|(?!//)[A-Za-z0-9._~/%-]+|data:image/png;base64,[A-Za-z0-9+/=]+", re.ASCII
)
"""a place in the page, a relative path, or an image within it: nothing with a scheme or a host"""
_REFUSED_TAGS = {"script", "style", "iframe", "object", "embed", "base", "meta", "link", "foreignobject"}
_REFUSED_ATTRIBUTES = {
    "style",
    "srcset",
    "srcdoc",
    "action",
    "formaction",
    "poster",
    "background",
    "ping",
    "data",
}
_VOID = {"br", "col", "hr", "img", "input", "wbr"}
_LEAVES = {"circle", "ellipse", "image", "line", "path", "polygon", "polyline", "rect", "stop", "use"}
"""elements of SVG that hold nothing"""
STYLES = ("report.css",)
SCRIPTS = ("report.js",)
"""of every page"""


@dataclass(frozen=True)
class Markup:
    """HTML or SVG that is safe in a page: made by `element` and `join`, never of text."""

    html: str


Child = Markup | str | float | None | Iterable[Any]
"""what an element holds: markup, text, numbers, nothing, or several of these"""
Value = str | float | bool | None
"""of an attribute"""


def join(*children: Child) -> Markup:
    """Children side by side, text escaped."""
    return Markup("".join(map(_content, children)))


def element(tag: str, *children: Child, **attributes: Value) -> Markup:
    """An element of HTML or SVG.

    Text is escaped, and what moves a cursor or changes direction in it is written as an escape sequence. In
    names of attributes, `_` stands for `-`, and a trailing one is dropped: `class_`, `aria_label`. True is an
    attribute without a value; None and False leave it out.

    Raises ValueError for elements and attributes that could run or load something.
    """
    if _NAME.fullmatch(tag) is None or tag.lower() in _REFUSED_TAGS:
        raise ValueError(f"no element of a page: {tag}")
    start = tag + "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{start}>")
    if tag in _LEAVES and not children:
        return Markup(f"<{start}/>")
    return Markup(f"<{start}>{join(*children).html}</{tag}>")


def _content(child: Child) -> str:
    if isinstance(child, Markup):
        return child.html
    if child is None:
        return ""
    if isinstance(child, str):
        return escape(child, quote=False)
    if isinstance(child, Iterable):
        return "".join(map(_content, child))
    return escape(str(child), quote=False)


def escape(text: str, *, quote: bool = True) -> str:
    """Text as HTML; control and bidirectional characters and what cannot be encoded as escape sequences."""
    if not text.isprintable():
        text = "\n".join(map(printable, text.split("\n")))
    return html.escape(text, quote=quote)


def _attribute(name: str, value: Value) -> str:
    name = name.rstrip("_").replace("_", "-")
    lower = name.lower()
    if _NAME.fullmatch(name) is None or lower.startswith("on") or lower in _REFUSED_ATTRIBUTES:
        raise ValueError(f"no attribute of a page: {name}")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    if lower in ("href", "src") and _TARGET.fullmatch(str(value)) is None:
        raise ValueError(f"no target of a page: {value}")
    return f' {name}="{escape(str(value))}"'


def table(
    head: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    *,
    caption: Child = None,
    numeric: Iterable[int] = (),
    ids: Sequence[str] = (),
    is_tall: bool = False,
) -> Markup:
    """A table whose first column names its rows; the columns `numeric` are aligned as numbers.

    `ids` are what links to rows name.
    """
    right = set(numeric)

    def cell(tag: str, index: int, content: Child, scope: str | None) -> Markup:
        return element(tag, content, scope=scope, class_="number" if index in right else None)

    heading = element("tr", [cell("th", k, one, "col") for k, one in enumerate(head)])
    body = [
        element(
            "tr",
            [cell("td" if k else "th", k, one, None if k else "row") for k, one in enumerate(row)],
            id=ids[number] if ids else None,
        )
        for number, row in enumerate(rows)
    ]
    parts = (
        element("caption", caption) if caption else None,
        element("thead", heading),
        element("tbody", body),
    )
    # wide tables scroll by themselves, also by keyboard
    name = caption if isinstance(caption, str) else f"Table of {head[0]}"
    return element(
        "div",
        element("table", *parts),
        class_="scroll tall" if is_tall else "scroll",
        tabindex=0,
        role="region",
        aria_label=name,
    )


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own, listed in the page's contents."""

    title: str
    content: Markup
    scripts: tuple[str, ...] = ()
    """files of mlprun/report/page/ that it needs, in their order; each is included once in a page"""
    styles: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    """JSON values by name, which scripts get by `pageData(name)`"""
    is_wide: bool = False
    """uses the whole width of the window"""

    @property
    def id(self) -> str:
        """What links to it name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"


def section(title: str, *parts: Markup | None) -> Section | None:
    """A section with its parts side by side where there is room; None without any."""
    known = [part for part in parts if part is not None]
    return Section(title, element("div", known, class_="figures")) if known else None


def facts(listed: Mapping[str, Child]) -> Markup:
    """Names with what they are, side by side."""
    pairs = [element("div", element("dt", name), element("dd", text)) for name, text in listed.items()]
    return element("dl", pairs, class_="facts")


def write_page(path: str, title: str, sections: Sequence[Section]) -> None:
    """Write a page to a file, replacing what is there. Raises FileError."""
    write(path, assemble(title, sections))


def write(path: str, page: bytes) -> None:
    """Write a finished page to a file; UsageError for the name of another kind of file, such as a config."""
    if not path.endswith(".html"):
        raise UsageError(path, "is no name for a page", "choose one that ends in .html")
    files.write_atomic(path, page)


def assemble(title: str, every: Iterable[Section | None], *, lead: Child = None) -> bytes:
    """The page as UTF-8, with those of its sections that are not None; `lead` stands under its title."""
    sections = [one for one in every if one is not None]
    style = _sources((*STYLES, *(name for one in sections for name in one.styles)))
    script = _sources((*SCRIPTS, *(name for one in sections for name in one.scripts)))
    script = f'(() => {{\n"use strict";\n{script}\n}})();'
    data = {name: value for one in sections for name, value in one.data.items()}
    policy = (
        f"default-src 'none'; img-src data: blob:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    contents = [element("li", element("a", one.title, href=f"#{one.id}")) for one in sections]
    body = join(
        element("a", "Skip to content", href="#content", class_="skip"),
        element("header", element("h1", title), lead),
        element("nav", element("ul", contents), aria_label="Contents") if len(sections) > 1 else None,
        element("main", map(_section, sections), id="content"),
        element("footer", element("p", f"mlprun {__version__}")),
    )
    head = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title, quote=False)}</title>\n<style>{style}</style>\n</head>\n"
    )
    values = "".join(f"{_data(name, value)}\n" for name, value in data.items())
    return f"{head}<body>\n{body.html}\n{values}<script>{script}</script>\n</body>\n</html>\n".encode()


def fragment(*parts: Child) -> str:
    """HTML for a page of somebody else, such as a notebook, with the styles of reports for it alone."""
    paper = ".paper, .paper table { background: var(--paper); color: var(--ink); padding: 0.5rem; }"
    style = Markup(f"<style>.mlprun {{\n{_sources(STYLES)}\n{paper}\n}}</style>")
    return element("div", style, element("div", *parts, class_="paper"), class_="mlprun").html


def _section(one: Section) -> Markup:
    heading = f"{one.id}-title"
    title = element("h2", one.title, id=heading)
    kind = "wide" if one.is_wide else None
    return element("section", title, one.content, id=one.id, class_=kind, aria_labelledby=heading)


def _data(name: str, value: Any) -> str:
    if re.fullmatch("[a-z][a-z0-9-]*", name) is None:
        raise ValueError(f"no name of data: {name}")
    # ASCII alone: no end of the element, no comment and no change of direction is in it
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="data-{name}">{text}</script>'


def _sources(names: Sequence[str]) -> str:
    """Our own scripts or styles one after the other, each once, without comment lines and idle spaces."""
    parts: list[str] = []
    for name in dict.fromkeys(names):
        text = files.read_text(os.path.join(_FOLDER, name), cap=10**6)
        lines = (line.strip() for line in text.splitlines())
        parts += [line for line in lines if line and not line.startswith("//")]
    source = "\n".join(parts)
    if any(name.endswith(".js") for name in names):
        source = compact(source)
    if re.search(r"</|<!--|\]\]>", source):
        raise ValueError("a script or style contains the end of its element")
    return source


_LITERAL_OR_SIGNS = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)"""
    r"""| *([=<>*/%,:;?{}()\[\]&|!]+) *|(?<![+-]) ([+-]) (?![+-])|(?<=[,;{(\[])(\n)"""
)


def compact(script: str) -> str:
    """A script without idle spaces and line breaks, which are a tenth of it; those in `a + +b` are not idle.

    Strings stay as they are. Templates must not hold templates, nor regular expressions quotes, and comments
    must have lines of their own.
    """
    return _LITERAL_OR_SIGNS.sub(lambda found: found[1] or found[2] or found[3] or "", script)


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
