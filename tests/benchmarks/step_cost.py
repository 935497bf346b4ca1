"""What a training step of `mlprun train` costs beside a plain PyTorch loop that does the same.

    python tests/benchmarks/step_cost.py [--epochs 2000] [--rounds 5]

Both sides evaluate dev after every epoch and keep the same history, on one thread; ours also draws rows,
watches for the best epoch, reports and writes checkpoints. The two take turns, so that a busy machine slows
both.
"""

import argparse
import statistics
import tempfile
import time

import torch
from torch import nn

import mlprun
from mlprun.api import load_config
from mlprun.experiment import Experiment

SGD, ADAM = {"name": "sgd", "lr": 0.1}, {"name": "adam", "lr": 0.001}
MOONS = {"name": "moons", "split": {"train": 640, "dev": 160, "test": 200}}
PARITY = {"name": "parity", "bits": 3, "split": {"train": 1024, "dev": 512, "test": 512}}
CLASSES = {
    "name": "classification",
    "features": 5,
    "informative": 3,
    "split": {"train": 1000, "dev": 200, "test": 200},
}
BLOBS = {"name": "blobs", "features": 20, "centers": 2, "split": {"train": 320, "dev": 80, "test": 80}}
WORKLOADS = {
    "xor, 4 rows, 2-5-1": ({"name": "xor"}, [5], "logistic", SGD, "full"),
    "moons, 640 rows, 2-5-1": (MOONS, [5], "logistic", SGD, "full"),
    "parity, 1024 rows, 3-4-1": (PARITY, [4], "logistic", SGD, "full"),
    "1000 rows, 5-8-4-1 ReLU": (CLASSES, [8, 4], "relu", SGD, "full"),
    "320 rows by 32, 20-64-64-1 ReLU, Adam": (BLOBS, [64, 64], "relu", ADAM, 32),
}


def main() -> None:
    """Print microseconds per step of both sides and their ratio for each workload."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{'workload':50} {'plain':>8} {'mlprun':>8} {'ratio':>6}   "
        f"(µs per step, medians of {arguments.rounds})"
    )
    for name, parts in WORKLOADS.items():
        batch = parts[4]
        epochs = arguments.epochs if batch == "full" else arguments.epochs // 10
        config = settings(parts, epochs)
        experiment = Experiment.of(load_config(config))
        rows = len(experiment.fixed["train"])
        steps = epochs * (1 if batch == "full" else -(-rows // batch))
        turns = [(plain(experiment, epochs), ours(config)) for _ in range(arguments.rounds + 1)][1:]
        theirs, mine = (statistics.median(turn[side] for turn in turns) for side in (0, 1))
        ratio = statistics.median(turn[1] / turn[0] for turn in turns)
        print(f"{name:50} {theirs / steps * 1e6:8.1f} {mine / steps * 1e6:8.1f} {ratio:6.2f}", flush=True)


def settings(parts: tuple, epochs: int) -> dict:
    """The workload as a config."""
    dataset, hidden, activation, optimizer, batch = parts
    return {
        "dataset": dataset,
        "architecture": {"name": "mlp", "hidden": hidden, "activation": activation},
        "loss": "bce",
        "optimizer": optimizer,
        "training": {"epochs": epochs, "batch_size": batch},
    }


def ours(config: dict) -> float:
    """Seconds of a whole run, from the first write to the status, without its final figures and baselines."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        run = mlprun.train(config, out=out)
        total = time.perf_counter() - began
        epochs = run.config.training.epochs
        began = time.perf_counter()
        mlprun.train({**config, "training": {**config["training"], "epochs": 0}}, out=out)
        assert len(run.history["epoch"]) == epochs
        return total - (
            time.perf_counter() - began
        )  # set-up, final figures and baselines belong to the run, not to steps


def plain(experiment: Experiment, epochs: int) -> float:
    """Seconds of the loop that a competent user would write."""
    config = experiment.config
    splits = (experiment.fixed[name] for name in ("train", "dev"))
    train, dev = ((torch.from_numpy(rows.inputs), torch.from_numpy(rows.targets)) for rows in splits)
    activation = {"logistic": nn.Sigmoid, "relu": nn.ReLU}[config.architecture.activation.name]
    layers: list[nn.Module] = []
    width = train[0].shape[1]
    for units in config.architecture.hidden:
        layers += [nn.Linear(width, units), activation()]
        width = units
    model = nn.Sequential(*layers, nn.Linear(width, 1))
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[config.optimizer.name]
    optimizer = kind(model.parameters(), lr=config.optimizer.lr)
    criterion, history = nn.BCEWithLogitsLoss(), []
    rows, size = len(train[0]), config.training.batch_size
    size = rows if size == "full" else size
    began = time.perf_counter()
    for epoch in range(epochs):
        inputs, targets = train
        if size < rows:
            order = torch.randperm(rows)
            inputs, targets = inputs[order], targets[order]
        total, right = 0.0, 0
        for start in range(0, rows, size):
            batch, target = inputs[start : start + size], targets[start : start + size]
            optimizer.zero_grad(set_to_none=True)
            values = model(batch)
            loss = criterion(values, target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            with torch.no_grad():
                right += ((torch.sigmoid(values) > 0.5) == (target > 0.5)).sum().item()
        with torch.no_grad():
            values = model(dev[0])
            dev_loss = criterion(values, dev[1]).item()
            dev_accuracy = ((torch.sigmoid(values) > 0.5) == (dev[1] > 0.5)).float().mean().item()
        history.append((epoch + 1, config.optimizer.lr, total / rows, right / rows, dev_loss, dev_accuracy))
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
