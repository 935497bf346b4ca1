"""The factors that part a sum from a mean, by what they are called."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mlprun.experiment import Experiment

NEAR = 1e-6
"""how far from a factor a number may be, relative, to be called by its name"""


class Factors:
    """What gradients and logged losses of an experiment may be multiplied with by mistake."""

    def __init__(self, experiment: Experiment) -> None:
        config, rows = experiment.config, experiment.fixed["train"]
        size = config.training.batch_size
        count = len(rows) if size == "full" else min(size, len(rows))
        outputs = config.architecture.outputs or 1
        weight = config.loss.weight(torch.from_numpy(rows.targets[:count]))
        self.sizes = f"N = {count} rows of a step, K = {outputs} output{'' if outputs == 1 else 's'}"
        over_both = weight == count * outputs
        found = {
            "N·K/2": (weight / 2 if over_both else 1.0, "a squared error's 2/(N·K) is left out of one side"),
            "N·K": (
                weight if over_both else 1.0,
                "one side sums over rows and outputs, the other takes the mean",
            ),
            "N": (float(count), "one side sums over rows, the other takes their mean"),
            "K": (
                float(outputs) if over_both else 1.0,
                "one side sums over outputs, the other takes their mean",
            ),
            "2": (2.0, "one side has a half in front"),
        }
        if not over_both and weight != count:
            found["the sum of the rows' weights"] = (weight, "one side sums over rows, the other does not")
        self._named: dict[float, list[str]] = {}
        for name, (value, meaning) in found.items():
            for factor, called in ((value, name), (1 / value, f"1/({name})" if "/" in name else f"1/{name}")):
                if factor != 1.0:
                    self._named.setdefault(factor, []).append(f"{called} ({meaning})")

    @property
    def values(self) -> tuple[float, ...]:
        """Every factor once."""
        return tuple(self._named)

    def nearest(self, number: float, *, within: float = NEAR) -> float | None:
        """The factor that a number is, up to rounding; None if it is none of them."""
        return next((factor for factor in self._named if math.isclose(factor, number, rel_tol=within)), None)

    def name(self, factor: float) -> str:
        """What a factor is called, all that it may be."""
        return f"{' or '.join(self._named[factor])}, with {self.sizes}"
