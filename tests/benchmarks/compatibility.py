"""Are the results of an older checkout reproduced byte for byte, and its killed runs resumed?

    python tests/benchmarks/compatibility.py OLD_CHECKOUT [--epochs 20] [--configs moons iris ...]
                                             [--engines torch fused scratch] [--kills 12]

Each file in configs/ is trained with each engine that takes it (scratch in float64), once by the code of
OLD_CHECKOUT and once by this one, and history.csv, last.safetensors and best.safetensors are compared.
Where checkpoints differ in bytes, the tensors and the metadata are compared one by one. Moons get the arcs
that old configs mean, `arcs: pytorch`. On fused, metrics besides the losses may differ in their last digits:
since `numerics: 2` they are computed without PyTorch. Then runs are killed (SIGKILL, just after a checkpoint
was written) under the old code and resumed by this one, and compared with an undisturbed run of the old code.
Longer runs are cut to `--epochs`; `--kills 0` leaves the second part out. The exit code is 1 if anything else
differs than metadata and those digits.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
FILES = ("history.csv", "last.safetensors", "best.safetensors")

# Answers one JSON line, {"code", "output"}, for each command line it reads. `epochs` is a command of its own.
WORKER = """
import contextlib, io, json, os, signal, sys
import mlprun
from mlprun import files, schema
from mlprun.cli import main

class Killing(type(files.system)):
    left = int(os.environ.get("KILL_AFTER", "0"))
    def replace(self, source, target):
        os.replace(source, target)
        if str(target).endswith("last.safetensors"):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

files.system = Killing()
for line in sys.stdin:
    command, *arguments = json.loads(line)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        if command == "settings":
            config = schema.load(arguments[0], allow_code=True)
            code, text = 0, [config.training.epochs, list(config.snapshots), config.dataset.name]
        else:
            code = main([command, *arguments])
            text = output.getvalue()
    print(json.dumps({"code": code, "output": text}), flush=True)
"""


class Worker:
    """A process that runs commands with the code of one checkout."""

    def __init__(self, checkout: Path, folder: Path, *, kill_after: int = 0) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(checkout),
            "PYTHONSAFEPATH": "1",
            "KILL_AFTER": str(kill_after),
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", WORKER]
        self.process = subprocess.Popen(command, cwd=folder, env=environment, **pipes)

    def __call__(self, *command: str) -> tuple[int, Any]:
        """Return the exit code and output of a command; the code is -9 if the process was killed."""
        self.process.stdin.write(f"{json.dumps(command)}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            return self.process.wait(), ""
        answer = json.loads(line)
        return answer["code"], answer["output"]

    def close(self) -> None:
        self.process.communicate()


def checkpoint(data: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the tensors of a safetensors file, each with its type and shape, and the metadata."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    record = json.loads(header.pop("__metadata__")["mlprun"])
    tensors = {}
    for name, tensor in header.items():
        start, stop = tensor["data_offsets"]
        tensors[name] = f"{tensor['dtype']}{tensor['shape']}".encode() + data[end + start : end + stop]
    return tensors, {"version": record["version"], **record["meta"]}


def differing(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys at which two mappings differ."""
    found = []
    for key in sorted({*old, *new}):
        one, other = old.get(key, "(absent)"), new.get(key, "(absent)")
        if isinstance(one, dict) and isinstance(other, dict):
            found += differing(one, other, f"{prefix}{key}.")
        elif json.dumps(one) != json.dumps(other):
            shown = [
                type(value).__name__ if isinstance(value, list | dict) else value for value in (one, other)
            ]
            found.append(f"{prefix}{key}: {shown[0]} -> {shown[1]}")
    return found


def compare(old: Path, new: Path) -> tuple[list[str], list[str]]:
    """Return what differs between two run folders: results, and mere metadata."""
    results, metadata = [], []
    for name in FILES:
        one, other = (path.read_bytes() if (path := run / name).exists() else b"" for run in (old, new))
        if one == other:
            continue
        is_fused = old.stem.endswith("-fused-001")
        if name == "history.csv" and is_fused and _differ_in_digits(one.decode(), other.decode()):
            metadata.append("history.csv: last digits of metrics")
            continue
        if name == "history.csv" or not one or not other:
            results.append(f"{name} differs" if one and other else f"{name} is missing in one")
            continue
        (tensors, meta), (other_tensors, other_meta) = checkpoint(one), checkpoint(other)
        if changed := [
            key for key in {*tensors, *other_tensors} if tensors.get(key) != other_tensors.get(key)
        ]:
            results.append(f"{name}: tensors differ: {', '.join(changed[:5])}")
        metadata += [f"{name}: {what}" for what in differing(meta, other_meta)]
    return results, metadata


def _differ_in_digits(old: str, new: str) -> bool:
    """Return True if only metrics besides the losses differ, by a millionth of their size at most."""
    tables = [list(csv.reader(text.splitlines())) for text in (old, new)]
    if tables[0][:1] != tables[1][:1] or len(tables[0]) != len(tables[1]):
        return False
    fixed = ("epoch", "lr", "train_loss", "train_objective", "dev_loss")
    return all(
        here == there or (name not in fixed and math.isclose(float(here), float(there), rel_tol=1e-6))
        for one, other in zip(*(table[1:] for table in tables), strict=True)
        for name, here, there in zip(tables[0][0], one, other, strict=True)
    )


class Comparison:
    """Runs each config with both checkouts and counts what agrees."""

    def __init__(self, old: Path, folder: Path, epochs: int) -> None:
        self.old_checkout, self.folder, self.epochs = old, folder, epochs
        self.old, self.new = Worker(old, folder), Worker(HERE, folder)
        self.same, self.results = 0, 0
        self.metadata: Counter[str] = Counter()

    def options(self, config: Path, engine: str) -> tuple[list[str], list[str]]:
        """Return the arguments with which `train` makes a short run of a config, for the old and the new."""
        epochs, snapshots, dataset = self.old("settings", str(config))[1]
        epochs = min(epochs, self.epochs)
        kept = [epoch for epoch in snapshots if epoch <= epochs]
        settings = {"epochs": max(1, epochs // 4), "seconds": 1000}
        options = [
            f"engine={engine}",
            f"training.epochs={epochs}",
            f"snapshots={json.dumps(kept)}",
            f"checkpoint={json.dumps(settings)}",
            "device=cpu",
            *(["training.dtype=float64"] if engine == "scratch" else []),
            "--allow-code",
            "-q",
        ]
        return options, [*options, *["dataset.arcs=pytorch"] * (dataset == "moons")]

    def train(self, config: Path, engine: str) -> Path | None:
        """Train with both, report, and return the old run; None where the engine does not take the config."""
        run, name = f"{config.stem}-{engine}", f"{config.stem} on {engine}"
        options, new_options = self.options(config, engine)
        names = ["--name", run, "--out"]
        code, output = self.old("train", str(config), *options, *names, "old")
        new_code, new_output = self.new("train", str(config), *new_options, *names, "new")
        if code == 0 != new_code and (own := HERE / "configs" / config.name).exists():
            print(f"{name}: trained by its file of today, since: {new_output.strip()[:300]}", flush=True)
            new_code, new_output = self.new("train", str(own), *new_options, *names, "new")
        if code != new_code:
            self.results += bool(new_code)  # others can be trained now
            message = (new_output if new_code else output).strip()[:300]
            print(f"{name}: exit code {code} -> {new_code}: {message}", flush=True)
        if code or new_code:
            return None
        self.report(name, self.folder / "old" / f"{run}-001", self.folder / "new" / f"{run}-001")
        return self.folder / "old" / f"{run}-001"

    def resume(self, config: Path, engine: str, undisturbed: Path) -> None:
        """Kill a run of the old code after its second checkpoint and resume it with the new code."""
        name = f"{config.stem} on {engine}, killed and resumed"
        killed = Worker(self.old_checkout, self.folder, kill_after=2)
        run = f"{config.stem}-{engine}"
        options = [*self.options(config, engine)[0], "--name", run, "--out", "killed"]
        code, output = killed("train", str(config), *options)
        if code != -9:
            killed.close()
            print(f"{name}: ended with {code} before it was killed {output[:200]}", flush=True)
            return
        code, output = self.new("resume", f"killed/{run}-001", "--allow-code", "-q")
        if code:
            self.results += 1
            print(f"{name}: exit code {code}: {output.strip()[:300]}", flush=True)
            return
        self.report(name, undisturbed, self.folder / "killed" / f"{run}-001")

    def report(self, name: str, old: Path, new: Path) -> None:
        results, metadata = compare(old, new)
        self.same += not results and not metadata
        self.results += bool(results)
        self.metadata.update(metadata)
        for line in results:
            print(f"{name}: {line}", flush=True)

    def close(self) -> None:
        self.old.close()
        self.new.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--configs", nargs="*", help="stems of files in configs/; by default all")
    parser.add_argument("--engines", nargs="*", default=["torch", "fused", "scratch"])
    parser.add_argument("--kills", type=int, default=12, help="runs to kill and resume")
    arguments = parser.parse_args()
    old = arguments.old.resolve()
    configs = [
        path
        for path in sorted((old / "configs").glob("*.yaml"))
        if not arguments.configs or path.stem in arguments.configs
    ]
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(old, Path(folder), arguments.epochs)
        trained = [
            (config, engine, run)
            for config, engine in product(configs, arguments.engines)
            if (run := comparison.train(config, engine)) is not None
        ]
        step = max(1, len(trained) // max(1, arguments.kills))
        for config, engine, run in trained[::step][: arguments.kills]:
            comparison.resume(config, engine, run)
        comparison.close()
    for what, count in sorted(comparison.metadata.items()):
        print(f"metadata of {count} checkpoints: {what}")
    print(f"{len(trained)} runs of {len(configs)} configs and {arguments.kills} resumed ones:")
    print(
        f"{comparison.same} identical, {comparison.results} with other results, the rest with other metadata"
    )
    return 1 if comparison.results else 0


if __name__ == "__main__":
    sys.exit(main())
