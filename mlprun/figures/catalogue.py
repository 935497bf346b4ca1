"""The activation functions and their derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlprun.figures import style
from mlprun.figures.panels import Panels, head
from mlprun.parts.activations import activations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from mlprun.parts.activations import Activation

REACH = 4.0
POINTS = 801
VARIANTS = {"hard_logistic": {"slope": 0.25}, "leaky_relu": {"slope": 0.1}, "swish": {"beta": 3.0}}
"""options beside the defaults that are worth seeing"""


@dataclass(frozen=True)
class Shape:
    """An activation and its derivative over `inputs` [POINTS]."""

    label: str
    inputs: NDArray[np.float64]
    values: NDArray[np.float64]
    slopes: NDArray[np.float64]


def shapes() -> list[Shape]:
    """Every registered activation that works on single numbers, with its defaults and with variants."""
    found = []
    for part in activations:
        if not part.elementwise:
            continue
        plain = part(name=part.names()[0])
        found.append(shape(plain))
        if plain.name in VARIANTS:
            found.append(shape(part.model_validate({"name": plain.name, **VARIANTS[plain.name]})))
    return found


def shape(activation: Activation) -> Shape:
    """One activation, its derivative as autograd gives it."""
    import torch

    inputs = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64, requires_grad=True)
    values = activation.build()(inputs)
    slopes = torch.autograd.grad(values.sum(), inputs)[0]
    return Shape(_label(activation), *(side.detach().numpy() for side in (inputs, values, slopes)))


def _label(activation: Activation) -> str:
    options = [
        f"{name} {style.number(value) if isinstance(value, float) else value}"
        for name, value in activation
        if name not in ("name", "threshold")
    ]
    return f"{activation.names()[0]}\n{', '.join(options)}"


def draw_catalogue(found: list[Shape]) -> Figure:
    """All of them, each on a centred axis; to be called inside `style.styled()`."""
    from mlprun.figures import canvas

    panels = Panels(len(found), columns=4, height=1.62, heading=1.1)
    for axes, one in zip(panels.axes, found, strict=True):
        axes.plot(one.inputs, one.values, color=style.BLUE, linewidth=1.7, label="f(z)", zorder=3)
        axes.plot(
            one.inputs,
            _broken(one),
            color=style.VERMILLION,
            linestyle=style.DASHES[1],
            linewidth=1.3,
            label="f′(z)",
            zorder=4,
        )
        _center(axes)
        head(axes, one.label)
        axes.title.set_fontsize(style.SIZE - 2)
    canvas.entitle(
        panels.figure,
        "Activation functions and their derivatives",
        "z runs from −4 to 4; softmax and log_softmax look at a whole row and are not drawn",
    )
    canvas.legend_below(panels.figure)
    return panels.figure


def _broken(one: Shape) -> NDArray[np.float64]:
    """The derivative with a gap where it jumps, instead of a line that it does not have."""
    slopes = one.slopes.copy()
    slopes[1:][np.abs(np.diff(one.slopes)) > 0.1] = np.nan
    return slopes


def _center(axes: Axes) -> None:
    """Axes that cross at 0."""
    axes.set(xlim=(-REACH, REACH), ylim=(-1.6, 2.6), yticks=(-1, 1, 2))
    axes.set_xticks((-4, -2, 2, 4), ("−4", "", "", "4"))  # those between would lie under the curves
    for side in ("left", "bottom"):
        axes.spines[side].set_position("zero")
        axes.spines[side].set_color("#444444")
    axes.tick_params(labelsize=style.SIZE - 3, length=2, pad=1.5)
    axes.grid(visible=False)
