"""Charts drawn with matplotlib: in one style, whatever the user's own settings are, and with fixed bytes.

Everything is set in a context that ends with the drawing. The same chart gives the same bytes in each format.
"""

from __future__ import annotations

import contextlib
import io
import math
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
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.text import Text as MplText
from matplotlib.textpath import text_to_path

from mlprun import files
from mlprun.config import printable
from mlprun.figures import style
from mlprun.figures.chart import Axis
from mlprun.figures.marks import colormap, draw_marks, norm_of, point_handle
from mlprun.figures.registry import compute, format_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as MplAxis

    from mlprun.figures.chart import Chart, ColorScale, Panel

DPI = 200
FRAME_DPI = 120
"""of an animation, at most"""
FRAME_MILLISECONDS = (400, 2000)
"""how long a frame is shown, and the last one"""
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": "mlprun"},
    "pdf": {"CreationDate": None, "Creator": "mlprun", "Producer": None},
}
RC: Any = {
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": style.SIZE,
    "axes.titlesize": style.SIZE,
    "axes.labelsize": style.SIZE,
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
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "hatch.linewidth": 0.5,
    "hatch.color": "#333333",
    "savefig.facecolor": "white",
    # names may hold dollar signs; what they enclose is no formula
    "text.parse_math": False,
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    # the same figure gives the same bytes, and its text survives on machines without our font
    "svg.hashsalt": "mlprun",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "path.simplify": True,
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
    """The chart as a matplotlib figure, to be shown outside our style; of an animation its last panel."""
    with styled():
        figure = _draw(_frame(chart, len(chart.panels) - 1) if chart.is_animated else chart)
        figure.draw_without_rendering()  # ticks are labelled now, in our style
        _escape_all(figure)
    return figure


def save(chart: Chart, path: str, *, dpi: int = DPI) -> None:
    """Write the chart to a file in the format of its suffix, replacing what is there."""
    files.write_atomic(path, encode(chart, format_of(path), dpi=dpi))


def encode(chart: Chart, form: str, *, dpi: int = DPI) -> bytes:
    """The chart as the bytes of a PNG, SVG or PDF file without dates, or of a GIF that repeats."""
    if form == "gif":
        return _animation(chart, min(dpi, FRAME_DPI))
    with styled():
        figure = _draw(chart)
        _escape_all(figure)
    return _encode(figure, form, dpi=dpi)


def _encode(figure: Figure, form: str, *, dpi: int) -> bytes:
    stream = io.BytesIO()
    with styled():
        figure.savefig(stream, format=form, dpi=dpi, metadata=METADATA[form])
    return stream.getvalue()


def _animation(chart: Chart, dpi: int) -> bytes:
    from PIL import Image

    images = []
    for index in range(len(chart.panels)):
        frame = Image.open(io.BytesIO(encode(_frame(chart, index), "png", dpi=dpi)))
        images.append(frame.convert("RGB").quantize(128, dither=Image.Dither.NONE))
    durations = [FRAME_MILLISECONDS[0]] * (len(images) - 1) + [FRAME_MILLISECONDS[1]]
    stream = io.BytesIO()
    images[0].save(
        stream, "gif", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False
    )
    return stream.getvalue()


def _frame(chart: Chart, index: int) -> Chart:
    """One panel of an animation as a chart of its own; its title stands among the details."""
    panel = chart.panels[index]
    return replace(
        chart,
        panels=(replace(panel, title="", colors=panel.colors or chart.colors),),
        details=(panel.title, *chart.details),
        colors=None,
        is_animated=False,
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


def _escape_all(figure: Figure) -> None:
    for text in figure.findobj(MplText):
        assert isinstance(text, MplText)
        text.set_text(escape(text.get_text()))


def _set_title(figure: Figure, title: str, details: Sequence[str]) -> None:
    """A title in bold and the details in smaller letters under it; without titles the figure is lower."""
    width, height = figure.get_size_inches()
    lines = [line for detail in details for line in textwrap.wrap(escape(detail), int(width * 14.5))]
    bold = textwrap.wrap(escape(title), int(width * 10.5)) or [""]
    step = (style.SIZE + 2) * 1.25 / 72
    if not style.has_titles():
        figure.set_size_inches(width, height - step * (len(bold) + len(lines)))
        return
    # blank lines of the title keep the room that the smaller lines are put in
    figure.suptitle("\n".join(bold) + "\n" * len(lines), x=0.012, ha="left", linespacing=1.25)
    top = 1 - (0.06 + step * len(bold) + 0.03) / height
    look: Any = {
        "ha": "left",
        "va": "top",
        "fontsize": style.SIZE - 0.5,
        "color": "#444444",
        "linespacing": 1.25,
    }
    figure.text(0.012, top, "\n".join(lines), **look).set_in_layout(False)


# --- panels


def _draw(chart: Chart) -> NotebookFigure:
    figure = NotebookFigure(figsize=(chart.width, chart.height))
    room = 0.07 / chart.height if len(chart.panels) > 1 else 0  # between the title and those of panels
    figure.set_layout_engine(
        "constrained", w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.03, rect=(0, 0, 1, 1 - room)
    )
    every = _subplots(figure, chart)
    handles: dict[str, Any] = {}
    for axes, panel in zip(every, chart.panels, strict=True):
        colors = panel.colors or chart.colors
        drawn = draw_marks(axes, panel, colors)
        _finish_panel(axes, panel, chart.columns)
        if panel.colors is not None and panel.colors.bar:
            _draw_bar(panel.colors, axes, aspect=26)
        if panel.legend is None:
            handles |= {label: handle for label, handle in drawn.items() if label not in handles}
        else:
            _panel_legend(axes, panel.legend, drawn)
    _label_axes(every, chart)
    if chart.colors is not None and chart.colors.bar:
        _draw_bar(chart.colors, np.array(every), aspect=40)
    _set_title(figure, chart.title, chart.details)
    if chart.legend is None:
        _legend_below(figure, [handles])
    else:
        _legend_below(figure, [{mark.label: point_handle(mark) for mark in group} for group in chart.legend])
    return figure


def _subplots(figure: Figure, chart: Chart) -> list[Axes]:
    count = len(chart.panels)
    rows = -(-count // chart.columns)
    grid = figure.subplots(
        rows,
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
    """Name the axes; a name that all panels have stands once per column and once per row."""
    count, columns = len(every), chart.columns
    same_x, same_y = (
        count > 1 and len({getattr(panel, side).label for panel in chart.panels}) == 1 for side in "xy"
    )
    for index, (axes, panel) in enumerate(zip(every, chart.panels, strict=True)):
        is_lowest = index + columns >= count
        if is_lowest:
            axes.xaxis.set_tick_params(labelbottom=True)
        # a panel with nothing under it would push the row below away by its axis name
        if not same_x or (is_lowest and index // columns == (count - 1) // columns):
            axes.set_xlabel(escape(panel.x.label))
        if not same_y or index % columns == 0:
            axes.set_ylabel(escape(panel.y.label))


def _finish_panel(axes: Axes, panel: Panel, columns: int) -> None:
    if panel.title:
        axes.set_title(escape(panel.title), fontsize=style.SIZE - (panel.is_centered * 2), loc="left", pad=4)
    if panel.aspect == "square":
        axes.set_box_aspect(1)
    elif panel.aspect == "equal":
        axes.set_aspect("equal")
    inches = _inches(axes, panel, columns)
    for side, axis in (("x", panel.x), ("y", panel.y)):
        _set_axis(axes.xaxis if side == "x" else axes.yaxis, axis, inches[side])
    if panel.grid in ("x", "none"):
        axes.grid(visible=False, axis="y")
    if panel.grid in ("y", "none"):
        axes.grid(visible=False, axis="x")
    if not panel.frame:
        axes.spines[:].set_visible(False)
    if panel.is_centered:
        for side in ("left", "bottom"):
            axes.spines[side].set_position("zero")
            axes.spines[side].set_color("#444444")
        axes.tick_params(length=2, pad=1.5)


def _inches(axes: Axes, panel: Panel, columns: int) -> dict[str, float]:
    """The size of the panel, more or less, before its surroundings are laid out."""
    box, (width, height) = axes.get_position(), axes.figure.get_size_inches()  # type: ignore[union-attr]
    bar = 0.9 if panel.colors is not None and panel.colors.bar else 0.0
    across, up = (width - 0.85 - bar) / columns - 0.1, float(box.height * height)
    if panel.aspect != "auto":
        across = up = min(across, up)
    return {"x": across, "y": up}


def _set_axis(axis: MplAxis, wanted: Axis, inches: float) -> None:
    axes, side = axis.axes, axis.axis_name  # type: ignore[attr-defined]
    set_scale = axes.set_xscale if side == "x" else axes.set_yscale
    if wanted.margin is not None:
        (axes.set_xmargin if side == "x" else axes.set_ymargin)(wanted.margin)
        axes.autoscale_view()
    if wanted.scale == "symlog":
        set_scale("symlog", linthresh=wanted.linear_below)
    elif wanted.scale == "log":
        set_scale("log")
    if wanted.limits is not None:
        axes.set(**{f"{side}lim": wanted.limits})
    if wanted.tick_labels is not None:
        _name_ticks(axis, wanted, inches)
    elif wanted.ticks is not None:
        axis.set_ticks(wanted.ticks)
    elif wanted.scale == "log":
        _log_ticks(axis, max(4, int(inches / 0.33)) if side == "x" else 8)
    elif wanted.scale == "symlog":
        locator = ticker.SymmetricalLogLocator(base=10, linthresh=wanted.linear_below)
        locator.set_params(numticks=max(3, int(inches / 0.33)))
        axis.set_major_locator(locator)
        axis.set_minor_locator(ticker.NullLocator())
    elif wanted.format == "integer":
        wide = {"nbins": 7, "steps": [1, 2, 5, 10]}
        narrow = {"nbins": 3}  # thousands would run into one another
        axis.set_major_locator(ticker.MaxNLocator(integer=True, **(wide if inches > 2 else narrow)))
    if wanted.tick_labels is None:
        _format_ticks(axis, wanted)
    axis.set_tick_params(labelsize=wanted.tick_size)
    if wanted.scale == "category":
        axis.set_tick_params(length=0)


def _format_ticks(axis: MplAxis, wanted: Axis) -> None:
    if wanted.format == "integer":
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    elif wanted.format == "percent":
        axis.set_major_formatter(lambda value, _: f"{value:.0%}")
    elif wanted.scale == "log":
        axis.set_major_formatter(lambda value, _: style.power(value))
        axis.set_minor_formatter(ticker.NullFormatter())
    elif wanted.scale == "symlog":
        axis.set_major_formatter(lambda value, _: style.power(value) or "0")


def _log_ticks(axis: MplAxis, most: int) -> None:
    """Powers of ten or, where there are too few, numbers between them."""
    low, high = axis.get_view_interval()
    wide = low > 0 and high / low > 1500
    axis.set_major_locator(
        ticker.LogLocator(numticks=min(8, most))
        if wide
        else ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=8)
    )


def _name_ticks(axis: MplAxis, wanted: Axis, inches: float) -> None:
    """Ticks with labels where there is room for these, turned where that helps, and others without."""
    ticks, labels = wanted.ticks or (), [escape(label) for label in wanted.tick_labels or ()]
    is_across = axis.axis_name == "x"  # type: ignore[attr-defined]
    height = 1.35 * wanted.tick_size / 72
    widths = [_width(label, wanted.tick_size) + 0.08 if is_across else height for label in labels]
    positions = _positions(axis, wanted, inches)
    shown = _fitting(positions, widths, wanted)
    is_turned = is_across and wanted.scale == "category" and len(shown) < len(ticks)
    if is_turned:
        shown = _fitting(positions, [0.2] * len(ticks), wanted)
    axis.set_ticks([ticks[k] for k in shown], [labels[k] for k in shown])
    if is_turned:
        for label in axis.get_ticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    if len(shown) < len(ticks):
        axis.set_ticks(ticks, minor=True)
        axis.set_minor_formatter(ticker.NullFormatter())
    else:
        axis.set_minor_locator(ticker.NullLocator())


def _width(text: str, size: float) -> float:
    """The width of a text in inches."""
    font = FontProperties(family=mpl.rcParams["font.family"], size=size)
    lines = text.split("\n")
    return (
        max(float(text_to_path.get_text_width_height_descent(line, font, ismath=False)[0]) for line in lines)
        / 72
    )


def _positions(axis: MplAxis, wanted: Axis, inches: float) -> list[float]:
    """Where the ticks stand in inches from the start of the axis."""
    transform = axis.get_transform()
    low, high = transform.transform(np.sort(axis.get_view_interval()))
    every = transform.transform(np.array(wanted.ticks or (), np.float64))
    return list((every - low) / ((high - low) or 1) * inches)


def _fitting(positions: Sequence[float], widths: Sequence[float], wanted: Axis) -> list[int]:
    """The ticks whose labels do not touch: all, powers of ten, or each far from the one before."""

    def touches(first: int, second: int) -> bool:
        return positions[second] - positions[first] < (widths[first] + widths[second]) / 2

    every = list(range(len(positions)))
    ticks = wanted.ticks or ()
    powers = [k for k in every if wanted.scale == "log" and math.log10(ticks[k]).is_integer()]
    for some in (every, powers):
        if len(some) > 1 and not any(touches(*pair) for pair in pairwise(some)):
            return some
    kept = every[:1]
    for k in every[1:]:
        if not touches(kept[-1], k):
            kept.append(k)
    return kept


# --- colours and legends


def _draw_bar(scale: ColorScale, axes: Any, *, aspect: float) -> None:
    """A bar of the colours at the right, with its good end named."""
    figure = (axes.flat[0] if isinstance(axes, np.ndarray) else axes).figure
    drawn = ScalarMappable(norm_of(scale), colormap(scale))
    bar = figure.colorbar(
        drawn, ax=axes, pad=0.02, aspect=aspect, ticks=scale.ticks, format="%.4g" if scale.ticks else None
    )
    bar.set_label(escape(scale.label))
    bar.outline.set_linewidth(0.5)
    if scale.is_log:
        _log_ticks(bar.ax.yaxis, 8)
        _format_ticks(bar.ax.yaxis, Axis(scale="log"))
    if scale.good:
        is_low = scale.good == "low"
        bar.ax.annotate(
            "good",
            (0.5, 0.0 if is_low else 1.0),
            xycoords="axes fraction",
            xytext=(0, -4 if is_low else 4),
            textcoords="offset points",
            ha="center",
            va="top" if is_low else "bottom",
            fontsize=style.SIZE - 2,
        )


def _legend_below(figure: Figure, groups: Sequence[dict[str, Any]]) -> None:
    """One legend under the panels, where it hides nothing; every group begins a line of its own."""
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
    labels, handles = [escape(label) for label, _ in order], [handle for _, handle in order]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def _panel_legend(axes: Axes, title: str, handles: dict[str, Any]) -> None:
    short = max(map(len, handles), default=0) <= 6
    axes.legend(
        handles.values(),
        map(escape, handles),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.02),
        ncols=4 if short else 2,
        title=escape(title),
        title_fontsize=style.SIZE - 1.5,
        fontsize=style.SIZE - 2,
        handlelength=2.2,
        columnspacing=1.0,
    )
