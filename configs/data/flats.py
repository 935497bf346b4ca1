"""Prints flats.csv: 150 made-up flats of a made-up town, numbers and categories mixed, some cells missing.

    python configs/data/flats.py > configs/data/flats.csv

The rent is area, rooms, age and district put into one formula with noise; no real flat was looked at.
"""

from __future__ import annotations

import random

ROWS = 150
DISTRICTS = {"centre": 4.0, "harbour": 2.5, "north": 0.0, "south": 1.0}  # euros per square metre on top


def flat(draw: random.Random) -> list[str]:
    """One row; every draw is `random()`, the one method whose numbers Python promises never to change."""
    area = 25 + 95 * draw.random() ** 1.5  # square metres
    rooms = max(1, round(area / 28 + 1.6 * draw.random() - 0.8))
    built = 1900 + int(124 * draw.random())
    district = sorted(DISTRICTS)[int(len(DISTRICTS) * draw.random())]
    balcony = draw.random() < 0.4
    noise = sum(draw.random() for _ in range(12)) - 6  # nearly normal, standard deviation 1
    fair = area * (9.0 + DISTRICTS[district] + 0.03 * (built - 1960)) + 40 * balcony + 60
    rent = fair * (1 + 0.08 * noise)
    quickly = rent / fair + 0.1 * (draw.random() - 0.5) < 1.0
    cells = [f"{area:.1f}", str(rooms), str(built), district, "yes" if balcony else "no"]
    cells = ["" if draw.random() < 0.03 else cell for cell in cells]  # some are missing
    return [*cells, str(round(rent)), "yes" if quickly else "no"]


def main() -> None:
    """Print the header and the rows."""
    draw = random.Random(150)  # noqa: S311 - nobody's secret
    print("area,rooms,built,district,balcony,rent,let_quickly")  # noqa: T201
    for _ in range(ROWS):
        print(",".join(flat(draw)))  # noqa: T201


if __name__ == "__main__":
    main()
