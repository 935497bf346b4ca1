"""The loss over epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mlprun.parts.losses import Loss
from mlprun.plots import style
from mlprun.plots.curves import EPOCH_AXIS, Curve, curve, draw_curves, wants_log
from mlprun.plots.plot import Plot, kinds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.plots.subject import Subject
    from mlprun.schema import Config


EXTRA = (style.GREEN, style.PURPLE, style.SKY, style.ORANGE)
"""colours of the losses that are logged beside the trained one"""


@dataclass(frozen=True)
class Losses:
    """The curves, and the epoch that was kept with its value where the loss is what was watched."""

    title: str
    details: tuple[str, ...]
    curves: tuple[Curve, ...]
    axis: str
    best: tuple[int, float | None] | None


@kinds.register
class LossCurves(Plot):
    """The loss on train and dev over epochs, with the best epoch marked.

    All are means over rows and outputs, without reduction, scale or penalties; what is differentiated is
    drawn too where penalties make it another number. Losses that are logged beside the trained one stand in
    the same picture.
    """

    needs_data: ClassVar[bool] = False

    name: Literal["loss"] = "loss"

    def refuses(self, subject: Subject) -> str | None:
        return None if _curves(subject) else "the history has no loss that is a finite number"

    def compute(self, subject: Subject) -> Losses:
        config, curves = subject.config, tuple(_curves(subject))
        extra = [part.name for part in config.metrics if isinstance(part, Loss)]
        names = " and ".join(dict.fromkeys([config.loss.name, *extra]))
        unit = ", of standardised targets" if subject.scaled_targets else ""
        details = (
            "logarithmic axis" if wants_log(curves) else "",
            f"best epoch by {config.best.metric}" if subject.best is not None else "no dev rows",
        )
        about = "; ".join(detail for detail in details if detail)
        return Losses(f"Loss of {subject.name}", (about,), curves, f"{names} (mean{unit})", _best(subject))

    def draw(self, values: Losses) -> Figure:
        from mlprun.plots import canvas

        figure = canvas.picture()
        axes = figure.subplots()
        draw_curves(axes, values.curves, log=wants_log(values.curves))
        if values.best is not None:
            epoch, height = values.best
            axes.axvline(epoch, color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            mark: dict[str, Any] = {
                "color": style.BLACK,
                "marker": "*",
                "linestyle": "none",
                "markersize": 11,
                "zorder": 5,
            }
            label = f"best epoch {epoch:,}"
            if height is None:
                axes.plot([], [], color=style.GREY, linewidth=0.9, linestyle=(0, (4, 3)), label=label)
            else:
                axes.plot([epoch], [height], label=f"{label} ({style.number(height)})", **mark)
        axes.set_xlabel(EPOCH_AXIS)
        axes.set_ylabel(values.axis)
        canvas.entitle(figure, values.title, *values.details)
        canvas.legend_below(figure)
        return figure


def _curves(subject: Subject) -> list[Curve]:
    config, history = subject.config, subject.history
    trained = config.loss.name
    extra = tuple(dict.fromkeys(part.name for part in config.metrics if isinstance(part, Loss)))
    found = []
    for index, name in enumerate((None, *extra)):
        for split in ("train", "dev"):
            line = style.SPLIT_LINES[split]
            if index:
                color = EXTRA[(index - 1) % len(EXTRA)]
                line = style.Line(color, line.dashes, style.MARKERS[2 + index % 6])
            label = f"{split} {name or trained}" if extra else split
            found.append(curve(label, history, f"{split}_{name or 'loss'}", line))
    if differs(config):
        line = style.Line(style.GREY, style.DASHES[3], "")
        found.append(curve("train, with penalties", history, "train_objective", line))
    return [one for one in found if one is not None]


def differs(config: Config) -> bool:
    """Whether what is differentiated is the loss and penalties: another number, on the same scale."""
    return bool(config.penalties) and config.loss.reduction == "mean" and config.loss.scale == 1.0


def _best(subject: Subject) -> tuple[int, float | None] | None:
    if subject.best is None or not len(subject.history.get("epoch", ())):
        return None
    at = np.flatnonzero(subject.history["epoch"] == subject.best)
    watched = subject.config.best.metric
    if watched != "dev_loss" or not len(at):
        return subject.best, None
    return subject.best, float(subject.history[watched][at[0]])
