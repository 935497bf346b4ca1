"""Print cars.csv: 200 synthetic used cars as a European spreadsheet writes them.

    python configs/data/cars.py > configs/data/cars.csv

Cells are separated by semicolons, numbers have a decimal comma, points between thousands and units, dates
begin with the day, and - means that a cell is missing. No real data is involved.
"""

from __future__ import annotations

import random
from datetime import date, timedelta

ROWS = 200
FUELS = {"petrol": 1.0, "diesel": 0.95, "electric": 1.3}  # factors of the price
POSTCODES = {"01067": 0.95, "10115": 1.0, "80331": 1.1}


def comma(value: float, digits: int = 0) -> str:
    """Return a number as 1.234,5."""
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def car(draw: random.Random, number: int) -> list[str]:
    """Return one row, using only `random()`, the one method whose numbers Python guarantees not to change."""
    days = int(4000 * draw.random())
    distance = days * (20 + 60 * draw.random())  # kilometres
    engine = 1.0 + 2.0 * draw.random()  # litres
    fuel = sorted(FUELS)[int(len(FUELS) * draw.random())]
    postcode = sorted(POSTCODES)[int(len(POSTCODES) * draw.random())]
    discount = 0.15 * draw.random()
    noise = sum(draw.random() for _ in range(12)) - 6  # approximately normal, standard deviation 1
    price = (6000 + 9000 * engine) * FUELS[fuel] * POSTCODES[postcode]
    price *= 0.5 ** (days / 2500) * (1 - distance / 600_000) * (1 - discount) * (1 + 0.03 * noise)
    registered = date(2024, 6, 30) - timedelta(days=days)
    cells = [f"{registered:%d.%m.%Y}", f"{comma(distance)} km", comma(engine, 1), fuel]
    cells = ["-" if draw.random() < 0.03 else cell for cell in cells]  # some are missing
    return [str(number), *cells, postcode, f"{comma(100 * discount, 1)} %", f"{comma(price, 2)} €"]


def main() -> None:
    """Print the header and the rows."""
    draw = random.Random(200)  # noqa: S311 - not used for security
    print("id;registered;distance;engine;fuel;postcode;discount;price")  # noqa: T201
    for number in range(1, ROWS + 1):
        print(";".join(car(draw, number)))  # noqa: T201


if __name__ == "__main__":
    main()
