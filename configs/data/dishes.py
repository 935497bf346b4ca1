"""Print dishes.csv: 240 synthetic dishes with their ingredients in grams, and four labels of each.

    python configs/data/dishes.py > configs/data/dishes.csv

The labels follow from the ingredients with noise; no real data is involved.
"""

from __future__ import annotations

import random

ROWS = 240
LABELS = ("vegan", "sweet", "hot", "balanced")


def dish(draw: random.Random) -> list[str]:
    """Return one row, using only `random()`, the one method whose numbers Python guarantees not to change."""
    meat = 180 * max(0.0, draw.random() - 0.5)  # grams
    dairy = 160 * max(0.0, draw.random() - 0.4)
    vegetables = 40 + 260 * draw.random()
    sugar = 90 * draw.random() ** 3
    chili = 12 * max(0.0, draw.random() - 0.55)
    oil = 30 * draw.random()
    noise = [sum(draw.random() for _ in range(12)) - 6 for _ in LABELS]  # normal, nearly
    energy = 2.2 * meat + 1.8 * dairy + 0.3 * vegetables + 4 * sugar + 9 * oil  # kilocalories
    scores = (8 - meat - dairy, (sugar - 25) / 5, 2 * chili - 1 - dairy / 40, (130 - abs(energy - 420)) / 40)
    cells = [f"{grams:.1f}" for grams in (meat, dairy, vegetables, sugar, chili, oil)]
    return [*cells, *(str(int(score + one / 2 > 0)) for score, one in zip(scores, noise, strict=True))]


def main() -> None:
    """Print the header and the rows."""
    draw = random.Random(240)  # noqa: S311 - not used for security
    print("meat,dairy,vegetables,sugar,chili,oil," + ",".join(LABELS))  # noqa: T201
    for _ in range(ROWS):
        print(",".join(dish(draw)))  # noqa: T201


if __name__ == "__main__":
    main()
