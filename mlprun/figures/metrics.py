"""The metrics over epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mlprun.figures import style
from mlprun.figures.curves import Curve, Mark, curve, draw_curves, draw_mark, mark_of
from mlprun.figures.panels import Panels, fitting
from mlprun.figures.plot import Plot, kinds
from mlprun.parts.losses import Loss

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject

PANELS = 40


@dataclass(frozen=True)
class Metrics:
    """The curves of each metric by its name, and the best epoch in each."""

    title: str
    details: tuple[str, ...]
    curves: dict[str, tuple[Curve, ...]]
    best: dict[str, Mark | None]


@kinds.register
class MetricCurves(Plot):
    """Every logged metric on train and dev over epochs, with the best epoch marked."""

    needs_data: ClassVar[bool] = False

    name: Literal["metrics"] = "metrics"

    def refuses(self, subject: Subject) -> str | None:
        return None if _curves(subject) else "no metric was logged, or none is a finite number"

    def compute(self, subject: Subject) -> Metrics:
        curves, rest = fitting(_curves(subject), PANELS)
        best = {name: mark_of(subject, f"dev_{name}") for name in curves}
        details = (f"best epoch by {subject.config.best.metric}",) if subject.best is not None else ()
        return Metrics(f"Metrics of {subject.name}", details + rest, curves, best)

    def draw(self, values: Metrics) -> Figure:
        from mlprun.figures import canvas

        panels = Panels(
            len(values.curves), columns=3 if len(values.curves) == 3 else 2, height=2.3, alone=3.9
        )
        for axes, (name, curves) in zip(panels.axes, values.curves.items(), strict=True):
            draw_curves(axes, curves, log=False)
            axes.set_ylabel(name)
            mark = values.best[name]
            if mark is not None:
                draw_mark(axes, mark)
        panels.label(below="epoch")
        canvas.entitle(panels.figure, values.title, *values.details)
        canvas.legend_below(panels.figure)
        return panels.figure


def _curves(subject: Subject) -> dict[str, tuple[Curve, ...]]:
    losses = {"loss", "objective", *(part.name for part in subject.config.metrics if isinstance(part, Loss))}
    columns = [column.removeprefix("train_") for column in subject.history if column.startswith("train_")]
    found = {}
    for name in [name for name in columns if name not in losses]:
        both = (
            curve(split, subject.history, f"{split}_{name}", style.SPLIT_LINES[split])
            for split in ("train", "dev")
        )
        known = tuple(one for one in both if one is not None)
        if known:
            found[name] = known
    return found
