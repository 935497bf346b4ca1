"""Small multiples: several panels in one picture, in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlprun.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlprun.figures.curves import Curve

    _Curves = dict[str, tuple[Curve, ...]]


class Panels:
    """`count` panels in rows of at most `columns`, each `height` inches high, one alone `alone` inches.

    With `share` all have the same axes, with `share_up` the same upward axis.
    """

    def __init__(
        self,
        count: int,
        *,
        columns: int,
        height: float,
        alone: float | None = None,
        heading: float = 0.9,
        share: bool = False,
        share_up: bool = False,
        width: float = style.PAGE,
    ) -> None:
        from mlprun.figures import canvas

        self.columns = min(columns, count)
        rows = -(-count // self.columns)
        tall = rows * height + heading if count > 1 or alone is None else alone
        self.figure = canvas.picture(width, tall)
        if count > 1:  # the panels' own titles keep a distance from the picture's
            canvas.leave_above(self.figure, 0.07)
        grid = self.figure.subplots(rows, self.columns, squeeze=False, sharex=share, sharey=share or share_up)
        every: list[Axes] = list(grid.flat)
        self.axes = every[:count]
        for empty in every[count:]:
            empty.remove()

    def label(self, *, below: str = "", left: str = "") -> None:
        """Name the axes once per column, under its lowest panel, and once per row, at its first."""
        for index, axes in enumerate(self.axes):
            if below and index + self.columns >= len(self.axes):
                axes.xaxis.set_tick_params(labelbottom=True)
                # a panel with nothing under it would push the row below away by its axis name
                if index // self.columns == (len(self.axes) - 1) // self.columns:
                    axes.set_xlabel(below)
            if left and index % self.columns == 0:
                axes.set_ylabel(left)


def fitting(found: _Curves, most: int) -> tuple[_Curves, tuple[str, ...]]:
    """The first panels of a picture, at most so many, and a line that names those left out."""
    rest = [style.name(name) for name in list(found)[most:]]
    return dict(list(found.items())[:most]), (f"not shown: {', '.join(rest)}",) if rest else ()


def head(axes: Axes, text: str) -> None:
    """A panel's own small title."""
    axes.set_title(style.writable(text), fontsize=style.SIZE, loc="left", pad=4)
