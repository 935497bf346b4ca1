"""How decision regions came about: small multiples, and the same as a moving picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from mlprun.figures import style
from mlprun.figures.panels import Panels, head
from mlprun.figures.plane import spread
from mlprun.figures.plot import Plot, kinds
from mlprun.figures.regions import Regions, bar_ticks, draw_panel, refuses_plane, regions, show_handles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject

PANELS = 12
MOVING = 60
"""frames of an animation, at most"""
LASTING = (400, 2000)
"""milliseconds that a frame is shown, and the last one"""


class _Frames(Plot):
    """What both have in common."""

    features: tuple[str, str] | None = Field(
        None, description="two inputs for the axes; by default the principal components of more than two"
    )

    def _regions(self, subject: Subject, most: int) -> Regions:
        epochs = chosen_epochs(subject, most)
        fewer = (
            f"{len(epochs)} of {len(subject.networks)} snapshots"
            if len(epochs) < len(subject.networks)
            else ""
        )
        return regions(subject, epochs, self.features, "train", "train rows", fewer, manner=" over training")


def chosen_epochs(subject: Subject, most: int) -> tuple[int, ...]:
    """The epochs that networks were kept of; of too many the first, the last, the best and some between."""
    epochs = tuple(subject.networks)
    picked = {epochs[index] for index in spread(len(epochs), most)}
    if subject.best is not None and subject.best not in picked:
        inner = sorted(picked - {epochs[0], epochs[-1]}, key=lambda epoch: abs(epoch - (subject.best or 0)))
        picked = (picked - set(inner[:1])) | {subject.best}
    return tuple(sorted(picked))


@kinds.register
class DecisionFrames(_Frames):
    """Decision regions at epoch 0, at the epochs of `snapshots:`, at the best and the last, side by side."""

    name: Literal["frames"] = "frames"

    def refuses(self, subject: Subject) -> str | None:
        few = "there is only one epoch to draw" if len(subject.networks) < 2 else None
        return refuses_plane(subject, self.features) or few

    def compute(self, subject: Subject) -> Regions:
        return self._regions(subject, PANELS)

    def draw(self, values: Regions) -> Figure:
        from mlprun.figures import canvas

        count = len(values.surfaces)
        panels = Panels(
            count,
            columns=2 if count in (2, 4) else 3,
            height=2.9 if count in (2, 4) else 2.1,
            heading=1.2,
            share=True,
        )
        for axes, surface in zip(panels.axes, values.surfaces, strict=True):
            draw_panel(axes, values, surface, small=True)
            head(axes, f"epoch {surface.epoch:,}")
        panels.label(below=values.short[0], left=values.short[1])
        _draw_bar(panels.figure, panels.axes, values)
        canvas.entitle(panels.figure, values.title, *values.details)
        show_handles(panels.figure, values)
        return panels.figure


@kinds.register
class Animation(_Frames):
    """Decision regions from epoch 0 to the last as an animated GIF, a frame for each kept epoch."""

    name: Literal["animation"] = "animation"
    formats: ClassVar[tuple[str, ...]] = ("gif",)

    def refuses(self, subject: Subject) -> str | None:
        few = (
            "there are too few epochs; name some under `snapshots:` in the config"
            if len(subject.networks) < 3
            else None
        )
        return refuses_plane(subject, self.features) or few

    def compute(self, subject: Subject) -> Regions:
        return self._regions(subject, MOVING)

    def draw(self, values: Regions) -> Figure:
        """The last frame."""
        return _frame(values, len(values.surfaces) - 1)

    def encode(self, values: Regions, form: str, *, dpi: int) -> bytes:
        """All frames as a GIF that repeats, with at most 120 dpi: every frame is a picture of its own."""
        from PIL import Image

        from mlprun.figures import canvas

        images = []
        for index in range(len(values.surfaces)):
            with style.styled():
                frame = canvas.encode(canvas.cleaned(_frame(values, index)), "png", dpi=min(dpi, 120))
            picture = Image.open(io.BytesIO(frame))
            images.append(picture.convert("RGB").quantize(128, dither=Image.Dither.NONE))
        return _moving(images)


def _moving(images: Sequence[object]) -> bytes:
    from PIL import Image

    first, *others = (image for image in images if isinstance(image, Image.Image))
    durations = [LASTING[0]] * len(others) + [LASTING[1]]
    stream = io.BytesIO()
    first.save(
        stream, format="gif", save_all=True, append_images=others, duration=durations, loop=0, optimize=False
    )
    return stream.getvalue()


def _frame(values: Regions, index: int) -> Figure:
    from mlprun.figures import canvas

    figure = canvas.picture(height=4.9)
    axes = figure.subplots()
    surface = values.surfaces[index]
    draw_panel(axes, values, surface)
    axes.set_xlabel(values.axes[0])
    axes.set_ylabel(values.axes[1])
    first, last = values.surfaces[0].epoch, values.surfaces[-1].epoch
    share = (surface.epoch - first) / max(1, last - first)
    canvas.entitle(figure, values.title, f"epoch {surface.epoch:,} of {last:,}", *values.details)
    # how far training is, as a bar above the picture, because snapshots need not be evenly spaced
    axes.plot(
        [0, share],
        [1.012, 1.012],
        transform=axes.transAxes,
        color=style.BLACK,
        linewidth=2.5,
        clip_on=False,
        solid_capstyle="butt",
    )
    show_handles(figure, values)
    return figure


def _draw_bar(figure: Figure, axes: list[Axes], values: Regions) -> None:
    """One colour bar for all panels, where the surface is of one output."""
    if values.classes is not None and values.surfaces[0].outputs.shape[2] > 1:
        return
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    scale = ScalarMappable(
        Normalize(float(values.levels[0]), float(values.levels[-1])), style.surface_colors()
    )
    figure.colorbar(
        scale, ax=np.array(axes), label=values.output, ticks=bar_ticks(values), format="%.4g", aspect=40
    )
