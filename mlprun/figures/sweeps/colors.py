"""Figures as colours: the scale that they are on, and the bar that says what each colour is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable


def between(low: float, high: float, *, is_log: bool) -> Any:
    """The scale from the first colour to the last."""
    from matplotlib.colors import LogNorm, Normalize

    return (LogNorm if is_log else Normalize)(low, high)


def shades(*, best_is_small: bool) -> str:
    """The name of the colours: in every picture good is dark, which on paper is what is seen first."""
    return "cividis" if best_is_small else "cividis_r"


def bar(axes: Axes, drawn: ScalarMappable, label: str, *, is_log: bool, best_is_small: bool) -> None:
    """A bar of the colours of what was drawn, at the right of the axes, with its good end named."""
    beside = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=26)
    beside.set_label(label)
    beside.outline.set_linewidth(0.5)
    if is_log:
        style.use_log(beside.ax.yaxis)
    beside.ax.annotate(
        "good",
        (0.5, 0.0 if best_is_small else 1.0),
        xycoords="axes fraction",
        xytext=(0, -4 if best_is_small else 4),
        textcoords="offset points",
        ha="center",
        va="top" if best_is_small else "bottom",
        fontsize=style.SIZE - 2,
    )
