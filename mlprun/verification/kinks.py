"""Whether a network has kinks: found by looking at its activations, so that a user's own are seen too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun.parts.activations import Activation, build_activation
from mlprun.parts.architectures import Mlp
from mlprun.parts.part import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from mlprun.schema import Config

REACH = 8.0
SHRINKS = 0.4
"""a smooth function's second difference falls to a quarter when the step is quartered, a kink's stays"""
NOISE = 1e-6


def kinked(config: Config) -> bool:
    """Whether an activation between layers has a kink, as relu and hard_tanh do."""
    architecture = config.architecture
    used: Any = architecture
    if isinstance(architecture, Mlp):  # without a hidden layer `activation` stands there unused
        used = (*architecture.hidden_layers, architecture.embedding, architecture.output_activation)
    return any(has_kink(_function(part)) for part in _activations(used) if part.elementwise)


def has_kink(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> bool:
    """Whether the slope of a function of one number jumps somewhere from -8 to 8."""
    coarse, fine = (_jump(function, step) for step in (1e-2, 2.5e-3))
    return bool(fine > NOISE and fine > SHRINKS * coarse)


def _jump(function: Callable[[NDArray[np.float64]], NDArray[np.float64]], step: float) -> float:
    """The largest difference between the slopes right and left of a point of a grid."""
    values = function(np.arange(-REACH, REACH + step, step))
    return float(np.abs(np.diff(values, 2)).max() / step)


def _activations(value: Any) -> Iterator[Activation]:
    """Every activation that stands somewhere in an architecture's options."""
    if isinstance(value, Activation):
        yield value
    elif isinstance(value, Options):
        for _, inner in value:
            yield from _activations(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _activations(inner)


def _function(part: Activation) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    module = build_activation(part).double().eval()

    def function(values: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(values)[:, None])[:, 0].numpy())

    return function
