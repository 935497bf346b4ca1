"""Print flats.csv: 150 synthetic flats with numbers, categories and some missing values.

    python configs/data/flats.py > configs/data/flats.csv

The rent is a formula of area, year, district and balcony with noise; no real data is involved.
"""

from __future__ import annotations

import random

ROWS = 150
DISTRICTS = {"centre": 4.0, "harbour": 2.5, "north": 0.0, "south": 1.0}  # additional euros per square metre


def flat(draw: random.Random) -> list[str]:
    """Return one row, using only `random()`, the one method whose numbers Python guarantees not to change."""
    area = 25 + 95 * draw.random() ** 1.5  # square metres
    rooms = max(1, round(area / 28 + 1.6 * draw.random() - 0.8))
    built = 1900 + int(124 * draw.random())
    district = sorted(DISTRICTS)[int(len(DISTRICTS) * draw.random())]
    balcony = draw.random() < 0.4
    noise = sum(draw.random() for _ in range(12)) - 6  # approximately normal, standard deviation 1
    fair = area * (9.0 + DISTRICTS[district] + 0.03 * (built - 1960)) + 40 * balcony + 60
    rent = fair * (1 + 0.08 * noise)
    quickly = rent / fair + 0.1 * (draw.random() - 0.5) < 1.0
    cells = [f"{area:.1f}", str(rooms), str(built), district, "yes" if balcony else "no"]
    cells = ["" if draw.random() < 0.03 else cell for cell in cells]  # some are missing
    return [*cells, str(round(rent)), "yes" if quickly else "no"]


def main() -> None:
    """Print the header and the rows."""
    draw = random.Random(150)  # noqa: S311 - not used for security
    print("area,rooms,built,district,balcony,rent,let_quickly")  # noqa: T201
    for _ in range(ROWS):
        print(",".join(flat(draw)))  # noqa: T201


if __name__ == "__main__":
    main()
