"""Figures that belong to no window, and their bytes in a file format: the same figure, the same bytes."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Text

from mlprun.figures import style

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

DPI = 200
FORMATS = ("png", "svg", "pdf")
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "mlprun"},
    "pdf": {"CreationDate": None, "Creator": "mlprun", "Producer": None},
}


class Picture(Figure):
    """A matplotlib Figure in our style, which a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return encode(self, "png", dpi=130)


def picture(width: float = style.PAGE, height: float = 3.9) -> Picture:
    """An empty picture, in inches. To be called inside `style.styled()`."""
    figure = Picture(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.03)
    return figure


def leave_above(figure: Figure, inches: float) -> None:
    """Keep the panels this much farther from the title."""
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - inches / figure.get_size_inches()[1]))


def entitle(figure: Figure, title: str, *details: str) -> None:
    """A title in bold and, in smaller letters under it, what must be known to read the picture.

    A picture without a title is as much lower.
    """
    width, height = figure.get_size_inches()
    per_line = int(width * 14.5)
    lines = [line for detail in details if detail for line in textwrap.wrap(style.writable(detail), per_line)]
    bold = textwrap.wrap(style.writable(title), int(width * 10.5)) or [""]
    step = (style.SIZE + 2) * 1.25 / 72
    if not style.has_titles():
        figure.set_size_inches(width, height - step * (len(bold) + len(lines)))
        return
    # blank lines of the title keep the place that the smaller lines are put in
    figure.suptitle("\n".join(bold) + "\n" * len(lines), x=0.012, ha="left", linespacing=1.25)
    top = 1 - (0.06 + step * len(bold) + 0.03) / height
    below = figure.text(
        0.012, top, "\n".join(lines), ha="left", va="top", fontsize=style.SIZE - 0.5, color="#444444"
    )
    below.set_linespacing(1.25)
    below.set_in_layout(False)


def legend_below(figure: Figure, axes: Axes | None = None) -> None:
    """One legend of all that is labelled, under the panels, where it hides nothing."""
    handles: dict[str, Any] = {}
    for panel in [axes] if axes is not None else figure.axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    show_legend(figure, handles)


def show_legend(figure: Figure, *groups: dict[str, Any]) -> None:
    """A legend of handles by label, under the panels; every group begins a line of its own."""
    present = [group for group in groups if group]
    if not present:
        return
    longest = max(len(label) for group in present for label in group)
    fitting = max(1, int(figure.get_size_inches()[0] / (0.6 + 0.08 * longest)))
    columns = min(fitting, max(map(len, present)))
    nothing = Line2D([], [], linestyle="none")
    cells: list[tuple[str, Any]] = []
    for group in present:
        cells += [*group.items(), *([("", nothing)] * (-len(group) % columns if len(present) > 1 else 0))]
    # matplotlib fills a legend column by column and makes the first ones longer
    order = [cell for column in range(columns) for cell in cells[column::columns]]
    labels, handles = [style.writable(label) for label, _ in order], [handle for _, handle in order]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def finished(draw: Callable[..., Figure], *values: Any) -> Figure:
    """The figure that `draw` makes of the values, to be shown outside our style."""
    with style.styled():
        figure = draw(*values)
        figure.draw_without_rendering()  # the labels of ticks are made when needed, and so now
        return cleaned(figure)


def cleaned(figure: Figure) -> Figure:
    """The figure with every text fit to be written, also where one has not passed `style.name`."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(style.writable(text.get_text()))
    return figure


def encode(figure: Figure, form: str, *, dpi: int = DPI) -> bytes:
    """The figure as the bytes of a PNG, SVG or PDF file, without dates."""
    stream = io.BytesIO()
    with style.styled():
        figure.savefig(stream, format=form, dpi=dpi, metadata=_METADATA[form])
    return stream.getvalue()
