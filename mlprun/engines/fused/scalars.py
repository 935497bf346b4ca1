"""What an optimizer's step needs beside parameters and slots, from its options and the count of steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun.engines.fused import tables as t
from mlprun.engines.fused import updates as u
from mlprun.engines.fused.compiled import inner
from mlprun.engines.fused.encoding import once

if TYPE_CHECKING:
    from mlprun.parts.optimizers import Optimizer

FAMILIES = {
    "sgd": t.SGD,
    "adam": t.ADAM,
    "adamw": t.ADAM,
    "nadam": t.NADAM,
    "rmsprop": t.RMSPROP,
    "adagrad": t.ADAGRAD,
    "adadelta": t.ADADELTA,
}


@once
def options(optimizer: Optimizer) -> tuple[float, ...]:
    """The options of an optimizer as `set_scalars` reads them."""
    given = optimizer.model_dump()
    name, decay = type(optimizer).names()[0], given["weight_decay"]
    if name == "sgd":
        return given["momentum"], given["dampening"], float(given["nesterov"]), decay
    if name in ("adam", "adamw", "nadam"):
        decoupled = float(name == "adamw" or given["decoupled_weight_decay"])
        return (*given["betas"], given["eps"], decay, decoupled, given.get("momentum_decay", 0.0))
    if name == "rmsprop":
        return given["alpha"], given["momentum"], given["eps"], decay
    if name == "adagrad":
        return given["lr_decay"], given["eps"], decay
    return given["rho"], given["eps"], decay


@inner
def set_scalars(family: Any, numbers: Any, rate: Any, steps: Any, stands: Any, scalars: Any) -> None:
    """Fill `scalars` for the step that is the `steps`-th."""
    o = numbers[t.O0 :]
    scalars[u.RATE], scalars[u.DECAY], scalars[u.SHRINK] = rate, 0.0, 1.0
    if family == t.SGD:
        # the first momentum is the gradient itself, without dampening
        fresh = steps == 1 or o[0] == 0.0
        scalars[u.DECAY], scalars[u.A] = o[3], o[0]
        scalars[u.B] = 1.0 if fresh else 1.0 - o[1]
        scalars[u.C], scalars[u.D] = (1.0, o[0]) if o[2] > 0 else (0.0, 1.0)
    elif family == t.ADAM or family == t.NADAM:
        scalars[u.KEEP], scalars[u.REST], scalars[u.A] = o[1], 1.0 - o[1], 1.0 - o[0]
        scalars[u.D] = o[2]
        if o[4] > 0:
            scalars[u.SHRINK] = 1.0 - rate * o[3]
        else:
            scalars[u.DECAY] = o[3]
        second = 1.0 - o[1] ** float(steps)
        if family == t.ADAM:
            scalars[u.RATE] = rate / (1.0 - o[0] ** float(steps))
            scalars[u.C] = 1.0 / math.sqrt(second)
        else:
            now = o[0] * (1.0 - 0.5 * 0.96 ** (steps * o[5]))
            following = o[0] * (1.0 - 0.5 * 0.96 ** ((steps + 1) * o[5]))
            # torch keeps this product in float32 whatever the parameters are
            product = float(np.float32(stands[t.MOMENTUM_PRODUCT]) * np.float32(now))
            stands[t.MOMENTUM_PRODUCT] = product
            scalars[u.RATE] = rate * (1.0 - now) / (1.0 - product)
            scalars[u.B] = rate * following / (1.0 - product * following)
            scalars[u.C] = 1.0 / second
    elif family == t.RMSPROP:
        scalars[u.KEEP], scalars[u.REST], scalars[u.C], scalars[u.D] = o[0], 1.0 - o[0], o[1], o[2]
        scalars[u.DECAY] = o[3]
    elif family == t.ADAGRAD:
        scalars[u.RATE] = rate / (1.0 + (steps - 1.0) * o[0])
        scalars[u.D], scalars[u.DECAY] = o[1], o[2]
    else:
        scalars[u.KEEP], scalars[u.REST], scalars[u.D], scalars[u.DECAY] = o[0], 1.0 - o[0], o[1], o[2]
