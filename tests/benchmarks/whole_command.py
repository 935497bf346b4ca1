"""`mlprun train` as a whole command beside the same experiment as a PyTorch script.

    python tests/benchmarks/whole_command.py [--rounds 9] [--epochs 1000] [--engine auto]

The command is `mlprun train configs/moons_course.yaml dataset.arcs=exact`. Both are processes of their own,
run by turns; wall and processor time are medians, ratios medians of each turn's ratio. The script does what
the config says and no more: the same rows, initial weights, steps and figures, dev after every epoch, the
best network kept, figures of all splits at the end, `torch.save`. It draws its rows with PyTorch, which
spares it the time that scikit-learn takes to be imported.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
import copy
import csv
import math

import torch
from torch import nn

EPOCHS, ROWS, NOISE, SEED = {epochs}, 1000, 0.2, 0

generator = torch.Generator().manual_seed(SEED)
half = torch.linspace(0, math.pi, ROWS // 2, dtype=torch.float64)
across = torch.cat([half.cos(), 1 - half.cos()])
up = torch.cat([half.sin(), 0.5 - half.sin()])
order = torch.randperm(ROWS, generator=generator)
inputs = torch.stack([across, up], dim=1).float()[order]
inputs = inputs + torch.normal(0.0, NOISE, inputs.shape, generator=generator)
targets = (order >= ROWS // 2).float()[:, None]
splits = {{"train": slice(0, 640), "dev": slice(640, 800), "test": slice(800, 1000)}}
x, y = inputs[splits["train"]], targets[splits["train"]]
dev_x, dev_y = inputs[splits["dev"]], targets[splits["dev"]]

torch.manual_seed(SEED)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(2, 5), nn.Sigmoid(), nn.Linear(5, 1))
for layer in (model[0], model[2]):
    nn.init.normal_(layer.weight)
    nn.init.zeros_(layer.bias)
criterion, optimizer = nn.BCEWithLogitsLoss(), torch.optim.SGD(model.parameters(), lr=0.2)
best, kept, history = float("inf"), None, []
for epoch in range(1, EPOCHS + 1):
    optimizer.zero_grad()
    outputs = model(x)
    loss = criterion(outputs, y)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        accuracy = ((outputs > 0) == (y > 0.5)).float().mean().item()
        outputs = model(dev_x)
        dev_loss = criterion(outputs, dev_y).item()
        dev_accuracy = ((outputs > 0) == (dev_y > 0.5)).float().mean().item()
    history.append((epoch, loss.item(), accuracy, dev_loss, dev_accuracy))
    if dev_loss < best:
        best, kept = dev_loss, copy.deepcopy(model.state_dict())
    if epoch % 50 == 0:
        print(f"epoch {{epoch}} loss {{loss.item():.4f}} dev {{dev_loss:.4f}} accuracy {{dev_accuracy:.4f}}")
with open("history.csv", "w", newline="") as file:
    csv.writer(file).writerows([("epoch", "loss", "accuracy", "dev_loss", "dev_accuracy"), *history])
torch.save({{"model": model.state_dict(), "optimizer": optimizer.state_dict()}}, "last.pt")
torch.save(kept, "best.pt")
model.load_state_dict(kept)
with torch.no_grad():
    for name, rows in splits.items():
        outputs = model(inputs[rows])
        accuracy = ((outputs > 0) == (targets[rows] > 0.5)).float().mean().item()
        print(name, criterion(outputs, targets[rows]).item(), accuracy)
"""


def main() -> None:
    """Run both by turns and print what they take."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--engine", default="auto")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "moons.py")
        path.write_text(SCRIPT.format(epochs=given.epochs))
        config = str(ROOT / "configs/moons_course.yaml")
        options = ["dataset.arcs=exact", f"training.epochs={given.epochs}", "--engine", given.engine]
        commands = {
            "script": [sys.executable, str(path)],
            "mlprun train": [sys.executable, "-m", "mlprun", "train", config, *options],
        }
        turns = [
            {name: taken(command, folder) for name, command in commands.items()}
            for _ in range(given.rounds + 1)
        ][1:]
    for number, clock in enumerate(("wall", "processor")):
        script, ours = (statistics.median(turn[name][number] for turn in turns) for name in commands)
        ratio = statistics.median(turn["mlprun train"][number] / turn["script"][number] for turn in turns)
        print(f"{clock:9} script {script:.2f} s, mlprun train {ours:.2f} s, ratio {ratio:.2f}")


def taken(command: list[str], folder: str) -> tuple[float, float]:
    """Seconds of a command: wall, and processor with what it started.

    Python may keep its bytecode, as that of an installed package is.
    """
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    after = os.times()
    used = after.children_user - before.children_user + after.children_system - before.children_system
    return time.perf_counter() - began, used


if __name__ == "__main__":
    main()
