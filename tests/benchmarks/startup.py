"""Whole commands with compiled kernels beside the imports that they do without.

    python tests/benchmarks/startup.py [--rounds 9]

Each command is a process of its own and runs in turn with `python -c "import torch"` (for those that only
read and write text: `import typer, rich, pydantic, yaml`). A ratio is the median of each turn's ratio of wall
times, and of processor times, which vary less on a shared machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from whole_command import taken

ROOT = Path(__file__).parents[2]
HEAVY, LIGHT = "import torch", "import typer, rich, pydantic, yaml"
HEAVY_COMMANDS = {
    "train configs/moons.yaml": 0.45,
    "train configs/iris.yaml": 0.5,
    "eval RUN": 0.35,
    "predict RUN DATA": 0.35,
    "train configs/moons.yaml --seeds 20": 0.6,
    "plot RUN --kind loss": 0.7,
}
LIGHT_COMMANDS = dict.fromkeys(
    ("--help", "ls", "show RUN", "validate configs/moons.yaml", "schema", "list"), 1.5
)


def main() -> None:
    """Run each command in turn with the import and print its ratios and the bound on the first."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data.csv").write_text("x1,x2\n0.5,0.25\n1.0,-0.5\n")
        taken(_arguments("train configs/moons.yaml --name run"), folder)  # compiles the kernels, if need be
        taken(_arguments("train configs/iris.yaml"), folder)
        print(f"{'command':40} {'wall':>6} {'processor':>10} {'bound':>6}")
        for imports, commands in ((HEAVY, HEAVY_COMMANDS), (LIGHT, LIGHT_COMMANDS)):
            print(f"-- in turn with: {imports}")
            for command, bound in commands.items():
                turns = []
                for _ in range(rounds):
                    other = taken([sys.executable, "-c", imports], folder)
                    turns.append(
                        [a / b for a, b in zip(taken(_arguments(command), folder), other, strict=True)]
                    )
                wall, processor = (statistics.median(ratios) for ratios in zip(*turns, strict=True))
                print(f"{command:40} {wall:6.2f} {processor:10.2f} {bound:6.2f}", flush=True)


def _arguments(command: str) -> list[str]:
    words = command.replace("RUN", "runs/run-001").replace("DATA", "data.csv").split()
    return [
        sys.executable,
        "-m",
        "mlprun",
        *(str(ROOT / w) if w.startswith("configs/") else w for w in words),
    ]


if __name__ == "__main__":
    main()
