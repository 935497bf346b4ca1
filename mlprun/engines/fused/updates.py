"""Optimizers in kernels: one step on lanes of parameters, their gradients and up to three slots.

As torch.optim computes it. What does not differ from parameter to parameter comes as numbers, which
`scalars.py` makes from the options and the count of steps.
"""

from __future__ import annotations

from collections.abc import Callable

from mlprun.engines.fused import encoding
from mlprun.engines.fused.lanes import Lanes

Numbers = Callable[[int], Lanes]
Step = Callable[[Lanes, Lanes, list[Lanes], Numbers], tuple[Lanes, list[Lanes]]]
"""from parameter, gradient, slots and numbers: parameter and slots after the step"""

RATE, DECAY, SHRINK, KEEP, REST, A, B, C, D = range(9)
"""the learning rate or what takes its place, the weight decay in the gradient, the factor on the parameter,
the share of a running mean of squares that stays, what is missing to 1, and what the rules say"""
COUNT = 9


def _sgd(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    return w - number(RATE) * g, slots


def _momentum(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    g = w * number(DECAY) + g
    kept = slots[0] * number(A) + g * number(B)
    # C and D choose between the gradient itself and its momentum
    return w - number(RATE) * (g * number(C) + kept * number(D)), [kept]


def _moments(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, Lanes, Lanes]:
    g = w * number(DECAY) + g
    mean = slots[0] + (g - slots[0]) * number(A)
    square = slots[1] * number(KEEP) + g * g * number(REST)
    return w * number(SHRINK), mean, square


def _adam(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    w, mean, square = _moments(w, g, slots, number)
    return w - number(RATE) * (mean / (square.sqrt() * number(C) + number(D))), [mean, square]


def _amsgrad(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    w, mean, square = _moments(w, g, slots, number)
    largest = slots[2].at_least(square)
    return w - number(RATE) * (mean / (largest.sqrt() * number(C) + number(D))), [mean, square, largest]


def _nadam(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    after, mean, square = _moments(w, g, slots, number)
    g = w * number(DECAY) + g
    size = (square * number(C)).sqrt() + number(D)
    return after - number(RATE) * (g / size) - number(B) * (mean / size), [mean, square]


def _rmsprop(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    g = w * number(DECAY) + g
    square = slots[0] * number(KEEP) + g * g * number(REST)
    step = slots[1] * number(C) + g / (square.sqrt() + number(D))
    return w - number(RATE) * step, [square, step]


def _rmsprop_centered(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    g = w * number(DECAY) + g
    square = slots[0] * number(KEEP) + g * g * number(REST)
    mean = slots[2] + (g - slots[2]) * number(REST)
    step = slots[1] * number(C) + g / ((square - mean * mean).sqrt() + number(D))
    return w - number(RATE) * step, [square, step, mean]


def _adagrad(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    g = w * number(DECAY) + g
    total = slots[0] + g * g
    return w - number(RATE) * (g / (total.sqrt() + number(D))), [total]


def _adadelta(w: Lanes, g: Lanes, slots: list[Lanes], number: Numbers) -> tuple[Lanes, list[Lanes]]:
    g = w * number(DECAY) + g
    square = slots[0] * number(KEEP) + g * g * number(REST)
    step = (slots[1] + number(D)).sqrt() / (square + number(D)).sqrt() * g
    moved = slots[1] * number(KEEP) + step * step * number(REST)
    return w - number(RATE) * step, [square, moved]


RULES: dict[str, Step] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "adam": _adam,
    "amsgrad": _amsgrad,
    "nadam": _nadam,
    "rmsprop": _rmsprop,
    "rmsprop_centered": _rmsprop_centered,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
}
assert tuple(RULES) == tuple(encoding.RULES), "kernels know rules by their place in both"
