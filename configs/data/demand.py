"""Print demand.csv: 400 days of a synthetic electricity demand, in which the level rises with time.

    python configs/data/demand.py > configs/data/demand.csv

The demand is a formula of weekday, temperature and date with noise; no real data is involved.
"""

from __future__ import annotations

import datetime as dt
import math
import random

DAYS = 400
START = dt.date(2023, 1, 1)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def day(number: int, draw: random.Random) -> list[str]:
    """Return one row, using only `random()`, the one method whose numbers Python guarantees not to change."""
    date = START + dt.timedelta(days=number)
    season = math.cos(2 * math.pi * number / 365.25)
    noise = [sum(draw.random() for _ in range(12)) - 6 for _ in range(2)]  # standard deviation 1
    temperature = 11 - 10 * season + 3 * noise[0]
    heating, cooling = max(0.0, 15 - temperature), max(0.0, temperature - 21)
    weekend = date.weekday() >= 5
    demand = 52 - 7 * weekend + 0.9 * heating + 1.4 * cooling + 0.01 * number + 1.2 * noise[1]
    return [date.isoformat(), WEEKDAYS[date.weekday()], f"{temperature:.1f}", f"{demand:.1f}"]


def main() -> None:
    """Print the header and the rows."""
    draw = random.Random(400)  # noqa: S311 - not used for security
    print("date,weekday,temperature,demand")  # noqa: T201
    for number in range(DAYS):
        print(",".join(day(number, draw)))  # noqa: T201


if __name__ == "__main__":
    main()
