"""Charts drawn with matplotlib: in one style, whatever the user's own settings are, and with fixed bytes.

Everything is set in a context that ends with the drawing. The same chart gives the same bytes in each format.
"""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib import ticker
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.text import Text

from mlprun import files
from mlprun.config.tree import printable
from mlprun.figures import style
from mlprun.figures.marks import colormap, draw_marks, norm_of
from mlprun.figures.registry import compute, format_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as MplAxis

    from mlprun.figures.chart import Axis, Chart, ColorScale

DPI = 200
FRAME_DPI = 120
"""of an animation, at most"""
FRAME_MILLISECONDS = (250, 3000)
"""how long a frame is shown, and the last one"""
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "mlprun"},
    "pdf": {"CreationDate": None, "Creator": "mlprun", "Producer": None},
}
RC: Any = {
    "figure.constrained_layout.use": True,
    "font.size": style.SIZE,
    "axes.titlesize": style.SIZE,
    "xtick.labelsize": style.SIZE - 1,
    "ytick.labelsize": style.SIZE - 1,
    "legend.fontsize": style.SIZE - 1,
    "figure.titlesize": style.SIZE + 2,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.03,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.markersize": 4.0,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.borderaxespad": 0.3,
    "legend.borderpad": 0.3,
    "legend.labelspacing": 0.3,
    "legend.handlelength": 2.2,
    "legend.handletextpad": 0.6,
    "legend.columnspacing": 1.2,
    "hatch.linewidth": 0.5,
    "hatch.color": "#333333",
    # names may hold dollar signs; what they enclose is no formula
    "text.parse_math": False,
    # the same figure gives the same bytes, and its text survives on machines without our font
    "svg.hashsalt": "mlprun",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
FALLBACK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "PingFang SC",
    "Hiragino Sans",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
)


class NotebookFigure(Figure):
    """A matplotlib Figure in our style, which a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return _encode(self, "png", dpi=130)


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw and save in our style; the backend stays the user's."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)
        mpl.rcParams["font.family"] = list(_fonts())
        yield


def draw(kind: str, data: Any, **options: Any) -> NotebookFigure:
    """One figure of a run or a sweep, which a notebook shows. Raises UsageError where it does not apply."""
    return to_matplotlib(compute(kind, data, **options))


def to_matplotlib(chart: Chart) -> NotebookFigure:
    """The chart as a matplotlib figure, to be shown outside our style; of an animation its last frame."""
    with styled():
        figure = _draw(_frame(chart, chart.frames - 1))
        figure.draw_without_rendering()  # ticks are labelled now, in our style
    return figure


def save(chart: Chart, path: str, *, dpi: int = DPI) -> None:
    """Write the chart to a file in the format of its suffix, replacing what is there."""
    files.write_atomic(path, encode(chart, format_of(path), dpi=dpi))


def encode(chart: Chart, form: str, *, dpi: int = DPI) -> bytes:
    """The chart as the bytes of a PNG, SVG or PDF file without dates, or of a GIF or APNG that repeats."""
    if form in ("gif", "apng"):
        return _animation(chart, form, min(dpi, FRAME_DPI))
    with styled():
        figure = _draw(chart)
    return _encode(figure, form, dpi=dpi)


def _encode(figure: Figure, form: str, *, dpi: int) -> bytes:
    stream = io.BytesIO()
    with styled():
        figure.savefig(stream, format=form, dpi=dpi, metadata=METADATA[form])
    return stream.getvalue()


def _animation(chart: Chart, form: str, dpi: int) -> bytes:
    from PIL import Image

    images = []
    for index in range(chart.frames):
        image = Image.open(io.BytesIO(encode(_frame(chart, index), "png", dpi=dpi))).convert("RGB")
        images.append(
            image.quantize(255, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            if form == "gif"
            else image
        )
    durations = [FRAME_MILLISECONDS[0]] * (len(images) - 1) + [FRAME_MILLISECONDS[1]]
    stream, saved = io.BytesIO(), "gif" if form == "gif" else "png"
    images[0].save(stream, saved, save_all=True, append_images=images[1:], duration=durations, loop=0)
    return stream.getvalue()


def _frame(chart: Chart, index: int) -> Chart:
    """One group of panels of an animation as a chart of its own."""
    if chart.frames == 1:
        return chart
    size = len(chart.panels) // chart.frames
    panels = chart.panels[index * size : (index + 1) * size]
    return replace(
        chart, panels=panels, details=(chart.details[index], *chart.details[chart.frames :]), frames=1
    )


# --- text


@cache
def _fonts() -> dict[str, frozenset[int]]:
    """The fonts in use by family, each with the characters it has; the first comes with matplotlib."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    known = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(family for family in FALLBACK_FONTS if family in known)]
    paths = {family: font_manager.findfont(family) for family in families}
    return {family: frozenset(FT2Font(path).get_charmap()) for family, path in paths.items()}


def escape(text: str) -> str:
    """Text as our fonts can write it: control and bidirectional characters and those they lack escaped."""
    lines = (printable(line) for line in text.split("\n"))
    return "\n".join("".join(map(_escape, line)) for line in lines)


def _escape(character: str) -> str:
    if any(ord(character) in characters for characters in _fonts().values()):
        return character
    return character.encode("unicode_escape").decode()


def _set_title(figure: Figure, title: str, details: Sequence[str]) -> None:
    """A title in bold and the details in smaller letters under it; without titles the figure is lower."""
    width, height = figure.get_size_inches()
    lines = [line for detail in details for line in textwrap.wrap(escape(detail), int(width * 14.5))]
    bold = textwrap.wrap(escape(title), int(width * 10.5)) or [""]
    step = (style.SIZE + 2) * 1.25 / 72
    if not style.has_titles():
        figure.set_size_inches(width, height - step * (len(bold) + len(lines)))
        return
    look: Any = {"x": 0.012, "ha": "left", "linespacing": 1.25}
    # blank lines of the title keep the room that the smaller lines are put in
    figure.suptitle("\n".join(bold) + "\n" * len(lines), **look)
    top = 1 - (0.09 + step * len(bold)) / height
    small = figure.text(
        y=top, s="\n".join(lines), va="top", fontsize=style.SIZE - 0.5, color="#444444", **look
    )
    small.set_in_layout(False)


# --- panels


def _draw(chart: Chart) -> NotebookFigure:
    figure = NotebookFigure(figsize=(chart.width, chart.height))
    room = 0.07 / chart.height if len(chart.panels) > 1 else 0  # between the title and those of panels
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06, rect=(0, 0, 1, 1 - room))
    every = _subplots(figure, chart)
    known = set[str]()
    for axes, panel in zip(every, chart.panels, strict=True):
        handles = draw_marks(axes, panel, panel.colors or chart.colors)
        axes.set_title(panel.title, loc="left", pad=4)
        axes.set_aspect(panel.aspect)
        for axis, wanted in ((axes.xaxis, panel.x), (axes.yaxis, panel.y)):
            _set_axis(axis, wanted, chart.columns)
        new = {label: handle for label, handle in handles.items() if label not in known}
        known |= new.keys()
        if new:  # where it hides least
            axes.legend(list(new.values()), list(new), loc="best").set_zorder(20)
        if panel.colors is not None:
            _draw_bar(panel.colors, [axes])
    _label_axes(every, chart)
    if chart.colors is not None:
        _draw_bar(chart.colors, every)
    _set_title(figure, chart.title, chart.details)
    for text in figure.findobj(Text):
        text.set_text(escape(text.get_text()))
    axes_of_figure = [axis for axes in every for axis in (axes.xaxis, axes.yaxis)]
    named = [axis for axis in axes_of_figure if isinstance(axis.get_major_locator(), ticker.FixedLocator)]
    layout = figure.get_layout_engine()
    if named and layout is not None:
        layout.execute(figure)  # it says how much room names have
    for axis in named:
        _separate_labels(axis)
    return figure


def _subplots(figure: Figure, chart: Chart) -> list[Axes]:
    count = len(chart.panels)
    grid = figure.subplots(
        -(-count // chart.columns),
        chart.columns,
        squeeze=False,
        sharex=chart.share in ("x", "both"),
        sharey="row" if chart.share == "row" else chart.share in ("y", "both"),
        width_ratios=chart.widths or None,
        height_ratios=chart.heights or None,
    )
    every: list[Axes] = list(grid.flat)
    for empty in every[count:]:
        empty.remove()
    return every[:count]


def _label_axes(every: Sequence[Axes], chart: Chart) -> None:
    """Name the axes; a name that all panels have stands once per row and once per column, or once of many."""
    same_x, same_y = (len({getattr(panel, side).label for panel in chart.panels}) == 1 for side in "xy")
    is_once = same_x and chart.columns > 2
    if is_once:
        every[0].figure.supxlabel(chart.panels[0].x.label, fontsize=style.SIZE)
    for index, (axes, panel) in enumerate(zip(every, chart.panels, strict=True)):
        is_lowest = index + chart.columns >= len(every)
        if is_lowest:
            axes.xaxis.set_tick_params(labelbottom=True)
        if (is_lowest and not is_once) or not same_x:
            axes.set_xlabel(panel.x.label)
        if index % chart.columns == 0 or not same_y:
            axes.set_ylabel(panel.y.label)


def _set_axis(axis: MplAxis, wanted: Axis, columns: int) -> None:
    axes, side = axis.axes, axis.axis_name  # type: ignore[attr-defined]
    if wanted.is_hidden:
        axis.set_ticks([])
        axes.spines["bottom" if side == "x" else "left"].set_visible(False)
    if wanted.scale == "category":
        axes.grid(visible=False, axis=side)
    elif wanted.scale == "log":
        axes.set(**{f"{side}scale": "log"})
    if wanted.limits is not None:
        axes.set(**{f"{side}lim": wanted.limits})
    if wanted.tick_labels is not None:
        axis.set_ticks(wanted.ticks or (), [escape(label) for label in wanted.tick_labels])
        axis.set_minor_locator(ticker.NullLocator())
    elif wanted.ticks is not None:
        axis.set_ticks(wanted.ticks)
    elif wanted.scale == "log":
        _log_ticks(axis, columns)
    elif wanted.is_integer:
        axis.set_major_locator(ticker.MaxNLocator(max(3, 7 - 2 * columns), integer=True, steps=[1, 2, 5, 10]))
    if wanted.scale == "linear" and wanted.tick_labels is None:
        axis.set_major_formatter(Thousands())


class Thousands(ticker.ScalarFormatter):
    """Numbers with commas between thousands; years have none."""

    def format_ticks(self, values: Any) -> list[str]:
        texts = super().format_ticks(values)
        if not style.is_grouped(values):
            return texts
        return [re.sub(r"^([^\d]?)(\d+)(\d{3})(?!\d)", r"\1\2,\3", text) for text in texts]


def _log_ticks(axis: MplAxis, columns: int = 1) -> None:
    """Powers of ten or, where there are too few, numbers between them."""
    low, high = axis.get_view_interval()
    subs = (1.0,) if high / low > 50 else (1.0, 2.0, 5.0)
    axis.set_major_locator(ticker.LogLocator(subs=subs, numticks=9 - 2 * columns))
    axis.set_major_formatter(lambda value, _: style.number(value))
    axis.set_minor_formatter(ticker.NullFormatter())


def _separate_labels(axis: MplAxis) -> None:
    """Turn names of ticks across that would touch, and leave out those that still do."""
    is_across = axis.axis_name == "x"  # type: ignore[attr-defined]
    side = 0 if is_across else 1
    boxes = [(label.get_window_extent(), label) for label in axis.get_ticklabels()]
    boxes.sort(key=lambda pair: pair[0].min[side])
    if all(first.max[side] < second.min[side] for (first, _), (second, _) in pairwise(boxes)):
        return
    needed, kept = 1.3 * max(box.height for box, _ in boxes), -np.inf
    for box, label in boxes:
        if is_across:
            label.set(rotation=30, ha="right", rotation_mode="anchor")
        middle = (box.min[side] + box.max[side]) / 2
        if middle - kept < needed:
            label.set_visible(False)
        else:
            kept = middle


# --- colours and legends


def _draw_bar(scale: ColorScale, every: Sequence[Axes]) -> None:
    """A bar of the colours at the right of panels."""
    if not scale.label:
        return
    drawn = ScalarMappable(norm_of(scale), colormap(scale))
    bar = every[0].figure.colorbar(drawn, ax=every, pad=0.02, aspect=30, label=scale.label)
    if scale.is_log:
        _log_ticks(bar.ax.yaxis)
    elif scale.ticks:
        bar.set_ticks(scale.ticks, labels=[style.number(tick) for tick in scale.ticks])
    else:
        bar.ax.yaxis.set_major_formatter(Thousands())
