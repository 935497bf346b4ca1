"""Why a curve is not this config's: the classic traps, each tried before it is named.

The mean taken for the sum, a missing bias, another initialisation, another definition of the logged loss. A
trap is named when this config, changed by it, gives the other's curve; what nothing explains is said to be
unexplained. Only that the first losses differ is told without such a proof, as what it may mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from mlprun.verification.agreement import EPS, GROWTH, STRAYED
from mlprun.verification.factors import Factors
from mlprun.verification.variants import Biases, Change, Variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from mlprun.verification.rivals import Rival

    Values = NDArray[np.float64]

ROWS = 3
"""fewer rows could be explained by anything"""
MOST = 2
"""traps that are tried together"""
TELLING = 10.0
"""times the bound that a curve must move, and a trap bring it nearer, to be told from chance"""
NEARLY = 100.0
"""times its bound that an early row may miss by, if the variant is to be looked at more closely"""
ITERATIONS = 25


@dataclass(frozen=True)
class Trap:
    """What is otherwise: `kind` is factor, bias, initialisation, logged loss or step."""

    kind: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """Traps that together make this curve the other's, and how far it is then; None if that was not tried."""

    traps: tuple[Trap, ...]
    difference: float | None
    rows: int
    """that were compared: fewer than there are where rounding takes over on the way"""


class Search:
    """Looks for what makes this config's curve the rival's."""

    def __init__(self, variants: Variants, rival: Rival, bound: Values, *, dtype: str) -> None:
        self.variants, self.bound, self.eps = variants, bound, EPS[dtype]
        self.rows, self.losses = rival.epochs - 1, rival.losses
        self.factors = Factors(variants.experiment)

    def explanations(self) -> tuple[Explanation, ...]:
        """The simplest that fit, the nearest first; empty where nothing does."""
        if len(self.losses) < ROWS:
            return ()
        changes = [
            change
            for values in product(self._biases(), self._starts(), (1.0, *self.factors.values))
            if (change := Change(*values)).count <= MOST
        ]
        for count in range(1, MOST + 1):
            found = [
                Explanation((*self._named(change), *reading), *fit)
                for change in changes
                for reading, values in self._readings(change, count - change.count)
                if (fit := self._fits(change, values)) is not None
            ]
            if found:
                return tuple(sorted(found, key=lambda one: one.difference or 0.0))
        return self._by_rate()

    def _biases(self) -> tuple[Biases, ...]:
        other = self.variants.other
        if other is None:
            return ("", "otherwise", "drawn")
        return ("otherwise" if set(other.model) != set(self.variants.state.model) else "",)

    def _starts(self) -> tuple[bool, ...]:
        return (False,) if self.variants.other is None else (False, True)

    def _fits(self, change: Change, values: Values) -> tuple[float, int] | None:
        """The largest difference and its rows where all are within bounds and far nearer than without traps.

        A variant with longer steps may answer to rounding as this config does not: then it has bounds of
        its own, and is compared up to where rounding takes over.
        """
        here, bound = self.losses[: len(values)], self.bound[: len(values)]
        distance = np.abs(values - here)
        if len(values) < ROWS or not (distance[:ROWS] <= bound[:ROWS] * NEARLY).all():
            return None
        if not (distance <= bound).all():
            bound = bound + self._growth(change, values)
            strayed = np.flatnonzero(~(bound <= STRAYED * np.abs(here).max()))
            rows = int(strayed[0]) if len(strayed) else len(here)
            here, distance, bound = here[:rows], distance[:rows], bound[:rows]
        if len(here) < ROWS or not (distance <= bound).all():
            return None
        plain = self.variants.history(Change())
        assert plain is not None
        before = np.abs(_taken(plain["train_loss"], self.rows)[: len(here)] - here)
        worst = float(distance.max())
        return None if worst * TELLING > float(before.max()) else (worst, len(here))

    def _growth(self, change: Change, values: Values) -> Values:
        """What roundings may have grown to in a variant by each of the rows, in the values read of it."""
        history, growth = self.variants.history(change), self.variants.growth(change)
        assert history is not None
        share = np.abs(values).max() / max(float(np.abs(history["train_loss"]).max()), 1e-300)
        padded = np.concatenate([growth, np.full(max(0, int(self.rows[-1]) + 1 - len(growth)), np.inf)])
        return np.asarray(
            GROWTH * self.eps / EPS["float32"] * share * _taken(padded, self.rows)[: len(values)]
        )

    def _readings(self, change: Change, more: int) -> Iterator[tuple[tuple[Trap, ...], Values]]:
        """A variant's curve, or with one trap more whatever else of it may have been logged in its place."""
        history = self.variants.history(change) if more in (0, 1) else None
        if history is None:
            return
        values = _taken(history["train_loss"], self.rows)
        if more == 0:
            yield (), values
            if change.factor != 1.0:  # one mistake: a sum is most often logged as it is differentiated
                text = f"so is what it logs: {change.factor:.6g} times, too"
                yield (Trap("logged loss", text),), values * change.factor
            return
        text = "it is recorded after each update, where this one's is before: a row earlier"
        yield (Trap("logged loss", text),), _taken(history["train_loss"], self.rows + 1)
        yield from self._multiples(values)
        yield (Trap("logged loss", "it is the root of this one's"),), np.sqrt(np.maximum(values, 0.0))
        for name in history:
            if name.startswith(("train_", "dev_")) and name != "train_loss":
                text = f"it is what mlprun logs as {name}"
                yield (Trap("logged loss", text),), _taken(history[name], self.rows)

    def _multiples(self, values: Values) -> Iterator[tuple[tuple[Trap, ...], Values]]:
        """The curve times what the first rows' ratio is."""
        moved = float(np.ptp(self.losses)) > TELLING * float(self.bound.max())
        if not len(values) or values[0] == 0 or not moved:
            return
        ratio = float(self.losses[0] / values[0])
        within = max(1e-6, 2 * float(self.bound[0]) / abs(self.losses[0])) if self.losses[0] else 1e-6
        known = self.factors.nearest(ratio, within=within)
        text = f"it is {known or ratio:.6g} times this one's from the first row on: "
        text += "none of the known factors" if known is None else self.factors.name(known)
        yield (Trap("logged loss", text),), values * (known or ratio)

    def _named(self, change: Change) -> Iterator[Trap]:
        """A change as traps."""
        variants = self.variants
        if change.biases:
            has = any(name.endswith(".bias") for name in variants.state.model)
            how = "" if change.start or has else ", which start at 0"
            if change.biases == "drawn":
                how = ", and begins with the weights that the seed draws then"
            yield Trap("bias", f"it has {'no ' if has else ''}biases{how}")
        if change.start and variants.other is not None:
            yield Trap("initialisation", f"it starts from other weights: {_farthest(variants)}")
        if change.factor != 1.0:
            text = f"its loss's gradient, or its learning rate, is {change.factor:.6g} times this one's: "
            yield Trap("factor", text + self.factors.name(change.factor))

    def _by_rate(self) -> tuple[Explanation, ...]:
        """A learning rate that explains the second row, if it explains all of them."""
        if list(self.rows[:2]) != [0, 1] or abs(self._first() - self.losses[0]) > self.bound[0]:
            return ()
        rate = self._rate()
        history = None if rate is None else self.variants.history(Change(rate=rate))
        if rate is None or history is None:
            return ()
        fit = self._fits(Change(rate=rate), _taken(history["train_loss"], self.rows))
        text = f"its steps are {rate:.6g} times as long from the first on, as with another learning rate"
        return () if fit is None else (Explanation((Trap("step", text),), *fit),)

    def _first(self) -> float:
        history = self.variants.history(Change())
        assert history is not None
        return float(history["train_loss"][0])

    def _second(self, rate: float) -> float:
        history = self.variants.history(Change(rate=rate), 2)
        assert history is not None
        return float(history["train_loss"][1]) if len(history["train_loss"]) > 1 else np.nan

    def _rate(self) -> float | None:
        """The factor on the learning rate that gives the rival's second loss, by the secant method."""
        target, tried, missed = float(self.losses[1]), [0.0, 1.0], []
        missed = [self._first() - target, self._second(1.0) - target]
        for _ in range(ITERATIONS):
            slope = (missed[-1] - missed[-2]) / (tried[-1] - tried[-2]) if tried[-1] != tried[-2] else 0.0
            if slope == 0 or not np.isfinite(slope):
                break
            following = tried[-1] - missed[-1] / slope
            if following <= 0:
                return None
            tried.append(following)
            missed.append(self._second(following) - target)
        return tried[-1] if abs(missed[-1]) <= self.bound[1] and tried[-1] != 1.0 else None


def _taken(column: Values, rows: NDArray[np.int64]) -> Values:
    """The values at rows, as far as there are any."""
    return column[rows[rows < len(column)]]


def _farthest(variants: Variants) -> str:
    """Which start differs most, and by how much."""
    assert variants.other is not None
    mine: Mapping[str, NDArray[np.float64]] = variants.state.model
    found = {
        name: float(np.abs(mine[name] - array).max())
        for name, array in variants.other.model.items()
        if name in mine and mine[name].shape == array.shape
    }
    name = max(found, key=lambda key: found[key], default="")
    return f"{name} is up to {found[name]:.3g} away" if name else "none is the same"
