"""Print inspections.csv: 400 synthetic inspections of machine parts, few of which are defective.

    python configs/data/inspections.py > configs/data/inspections.csv

A row stands for as many parts as were inspected together. No real data is involved.
"""

from __future__ import annotations

import random
from math import exp

ROWS = 400
SUPPLIERS = {"Ader": -0.4, "Brandt": 0.0, "Costa": 0.9}  # added to the logit of a defect


def inspection(draw: random.Random) -> list[str]:
    """Return one row, using only `random()`, the one method whose numbers Python guarantees not to change."""
    vibration = 0.2 + 1.6 * draw.random() ** 2  # millimetres per second
    temperature = 45 + 40 * draw.random()  # degrees Celsius
    hours = int(6000 * draw.random())
    supplier = sorted(SUPPLIERS)[int(len(SUPPLIERS) * draw.random())]
    logit = 3.2 * vibration + 0.09 * (temperature - 65) + hours / 3000 + SUPPLIERS[supplier] - 7.2
    defective = draw.random() < 1 / (1 + exp(-logit))
    parts = 1 + int(5 * draw.random() ** 2)
    cells = [f"{vibration:.2f}", f"{temperature:.1f}", str(hours), supplier]
    return [*cells, str(parts), "defective" if defective else "sound"]


def main() -> None:
    """Print the header and the rows."""
    draw = random.Random(400)  # noqa: S311 - not used for security
    print("vibration,temperature,hours,supplier,parts,result")  # noqa: T201
    for _ in range(ROWS):
        print(",".join(inspection(draw)))  # noqa: T201


if __name__ == "__main__":
    main()
