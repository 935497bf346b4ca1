"""The loss over epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mlprun.figures import style
from mlprun.figures.curves import EPOCH_AXIS, Curve, Mark, curve, draw_curves, draw_mark, mark_of, wants_log
from mlprun.figures.plot import Plot, kinds
from mlprun.parts.losses import Loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject
    from mlprun.schema import Config


EXTRA = (style.GREEN, style.PURPLE, style.SKY, style.ORANGE)
"""colours of the losses that are logged beside the trained one"""


@dataclass(frozen=True)
class Losses:
    """The curves, and the epoch that was kept with its dev loss."""

    title: str
    details: tuple[str, ...]
    curves: tuple[Curve, ...]
    axis: str
    best: Mark | None


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
        best = mark_of(subject, "dev_loss")
        details = (
            "logarithmic axis" if wants_log(curves, best) else "",
            f"best epoch by {config.best.metric}" if subject.best is not None else "no dev rows",
        )
        about = "; ".join(detail for detail in details if detail)
        return Losses(f"Loss of {subject.name}", (about,), curves, f"{names} (mean{unit})", best)

    def draw(self, values: Losses) -> Figure:
        from mlprun.figures import canvas

        figure = canvas.picture()
        axes = figure.subplots()
        draw_curves(axes, values.curves, log=wants_log(values.curves, values.best))
        if values.best is not None:
            height = values.best.value
            value = "" if height is None else f", dev loss {style.number(height)}"
            draw_mark(axes, values.best, values.best.label + value)
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
