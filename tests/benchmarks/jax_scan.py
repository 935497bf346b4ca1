"""The fused engine beside JAX, jit and lax.scan: microseconds per step by turns, medians and ratios.

    pip install -e '.[jax]'
    python tests/benchmarks/jax_scan.py                     the five workloads of `mlprun bench` and a cohort
    python tests/benchmarks/jax_scan.py moons cohort --rounds 9

Both sides start from the same weights and must reach the same losses before anything is timed. Whole blocks
of epochs run under one jitted call whose parameters are donated; dev is evaluated and a row of history kept
every 100 epochs. Single runs are timed on one core in processor time; the cohort, 1,000 moons runs with
their own seeds and rows, in wall time on as many cores as `--cores` says (all of them unless it does), where
JAX maps (vmap) one run's epochs over all. JAX is written twice: with a row of data per matrix row, as
everybody writes it and as the ratio is meant, and transposed, which suits small networks on a CPU.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Any

COHORT = "cohort"
MUSTS = {
    "xor": (2.5, 3.0),
    "moons": (3.0, 4.0),
    "parity": (3.0, 8.0),
    "1000": (3.0, 3.5),
    "32": (0.5, 1.0),
    COHORT: (3.0, 3.0),
}
"""by the first word of a workload's name: how many times as fast as JAX the engine must be, and the aim"""
RUNS = 1000
CHECKED = 1000
"""epochs after which both sides must have the same losses"""
TOLERANCE = 1e-4
"""of the loss and a tenth; float32 sums in another order drift apart, most where next to nothing is left"""
BLOCKS = 50
"""rows of history of one jitted call"""
FUSED, JAX, TRANSPOSED = "fused", "JAX", "JAX transposed"


def main() -> int:
    """Measure each workload in a process of its own, whose cores are chosen before JAX looks at them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"any of {', '.join(MUSTS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--cores", type=int, help="cores of the cohort")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.workloads if name not in MUSTS]
    if unknown:
        parser.error(f"no workload {unknown[0]}; there are {', '.join(MUSTS)}")
    if given.here:
        return measure(given)
    try:
        import jax
    except ImportError:
        print("error: jax: is not installed; pip install -e '.[jax]'", file=sys.stderr)
        return 2
    print(
        f"jax {jax.__version__}; µs per step (of the cohort: of a step of a run), medians of {given.rounds}"
    )
    heads = f"{FUSED:>8} {JAX:>8} {'ratio':>6} {'must':>5} {'aim':>4} {TRANSPOSED:>15} {'ratio':>6}"
    print(f"{'workload':32} {heads}", flush=True)
    options = [f"--rounds={given.rounds}", f"--seconds={given.seconds}", "--here"]
    options += [f"--cores={given.cores}"] * (given.cores is not None)
    return max(
        subprocess.run([sys.executable, __file__, name, *options], check=False).returncode
        for name in given.workloads or MUSTS
    )


def measure(given: argparse.Namespace) -> int:
    """One workload: check, then time."""
    (name,) = given.workloads
    cores = given.cores if name == COHORT else 1
    if cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    if cores == 1:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"
    from mlprun.cli import measuring
    from mlprun.engines.fused import FusedEngine

    title, experiments, every = subjects(name)
    engine = FusedEngine()
    engine.warm_up(experiments[0], lambda message: print(message, file=sys.stderr))
    sides: dict[str, Any] = {
        FUSED: Fused(engine, experiments),
        JAX: Scan(experiments, every),
        TRANSPOSED: Scan(experiments, every, transposed=True),
    }
    difference = check(sides)
    if not difference < TOLERANCE:
        print(f"error: {title}: losses after {CHECKED} epochs differ by {difference:.1e}", file=sys.stderr)
        return 1
    clock = time.process_time if cores == 1 else time.perf_counter
    turns = measuring.take_turns(
        {side: one.train for side, one in sides.items()},
        rounds=given.rounds, seconds=given.seconds, unit=every * sides[JAX].blocks, clock=clock,
    )  # fmt: skip
    micros = {
        side: 1e6 * statistics.median(turn[side] for turn in turns) / len(experiments) for side in sides
    }
    ratio, other = (
        statistics.median(turn[side] / turn[FUSED] for turn in turns) for side in (JAX, TRANSPOSED)
    )
    must, aim = MUSTS[name]
    print(
        f"{title:32} {micros[FUSED]:8.3f} {micros[JAX]:8.3f} {ratio:6.2f} {must:5.1f} {aim:4.1f} "
        f"{micros[TRANSPOSED]:15.3f} {other:6.2f}",
        flush=True,
    )
    return 0


def subjects(name: str) -> tuple[str, list[Any], int]:
    """A workload's title, its experiments as `mlprun bench` measures them, and epochs between evaluations."""
    from mlprun.cli.measuring import WORKLOADS, unlimited_epochs, workload

    if name == COHORT:
        moons = next(text for title, text in WORKLOADS.items() if title.startswith("moons"))
        made = [unlimited_epochs(workload(moons, f"training.seed={seed}")) for seed in range(RUNS)]
        return f"{COHORT}, {RUNS} times moons", [experiment for experiment, _ in made], made[0][1]
    title = next(title for title in WORKLOADS if title.replace(",", " ").split()[0] == name)
    experiment, every = unlimited_epochs(workload(WORKLOADS[title]))
    return title, [experiment], every


def check(sides: dict[str, Any]) -> float:
    """The largest difference between the sides' losses, train and dev, in shares of the loss and a tenth."""
    ends = {}
    for side, one in sides.items():
        ends[side] = [value for losses in one.train(CHECKED) for value in losses]
    return max(
        abs(a - b) / (abs(a) + 0.1)
        for side in (JAX, TRANSPOSED)
        for a, b in zip(ends[FUSED], ends[side], strict=True)
    )


class Fused:
    """Runs on the fused engine, trained as one cohort."""

    def __init__(self, engine: Any, experiments: list[Any]) -> None:
        from mlprun.training.trainer import Callback, Trainer, TrainingRun

        class LastRow(Callback):
            def on_chunk_end(self, run: Any, chunk: Any) -> None:
                run.last_row = chunk.rows[-1]

        self.runs = [
            TrainingRun(one, engine.initial_state(one), until=0, callbacks=[LastRow()]) for one in experiments
        ]
        self.trainer = Trainer(engine, self.runs)

    def train(self, epochs: int) -> list[tuple[float, float]]:
        """Train and dev loss of each run after so many epochs more."""
        for run in self.runs:
            run.until += epochs
        self.trainer.fit()
        for run in self.runs:
            run.raise_for_error()
        return [(run.last_row[2], run.last_row[5]) for run in self.runs]  # type: ignore[attr-defined]


class Scan:
    """Runs in JAX: epochs under lax.scan, one run or many under vmap."""

    def __init__(self, experiments: list[Any], every: int, *, transposed: bool = False) -> None:
        import jax
        import jax.numpy as jnp
        import numpy as np

        self.every, self.many, self.transposed = every, len(experiments) > 1, transposed
        self.blocks = 1 if self.many else BLOCKS
        self.config = experiments[0].config
        self.layers = len(self.config.architecture.hidden) + 1

        def stacked(arrays: list[Any]) -> Any:
            flipped = [array.T if transposed else array for array in arrays]
            return jnp.asarray(np.stack(flipped) if self.many else flipped[0])

        networks = [experiment.network().state_dict() for experiment in experiments]
        parameters = {}
        for name in networks[0]:
            given = [network[name].numpy().T for network in networks]  # [inputs, outputs], or [outputs]
            shaped = [array[None, :] if array.ndim == 1 else array for array in given]
            parameters[name] = stacked(shaped)
        self.rows = {
            split: tuple(
                stacked([getattr(experiment.fixed[split], part) for experiment in experiments])
                for part in ("inputs", "targets")
            )
            for split in ("train", "dev")
        }
        zeros = [jax.tree.map(jnp.zeros_like, parameters) for _ in self.slots()]
        steps = jnp.zeros(len(experiments) if self.many else ())
        self.state = (parameters, zeros, steps)
        self.history: list[Any] = []
        self._calls: dict[int, Any] = {}

    def slots(self) -> tuple[str, ...]:
        """What the optimizer keeps for each parameter."""
        return ("mean", "square") if self.config.optimizer.name == "adam" else ()

    def train(self, epochs: int) -> list[tuple[float, float]]:
        """Epochs of every run, and the losses that each ends with."""
        import jax
        import numpy as np

        blocks = epochs // self.every
        for _ in range(max(1, blocks // self.blocks)):
            call = self._calls.get(min(blocks, self.blocks)) or self._compiled(min(blocks, self.blocks))
            self.state, history = call(self.state, self.rows)
            self.history.append(jax.tree.map(np.asarray, history))
        ends = [column[..., -1].reshape(-1).tolist() for column in self.history[-1][:2]]
        return list(zip(*ends, strict=True))

    def _compiled(self, blocks: int) -> Any:
        """Compiled for so many rows of history, before anything is timed."""
        import jax

        def run(state: Any, rows: Any) -> Any:
            return jax.lax.scan(lambda now, _: self._block(now, rows), state, None, length=blocks)

        mapped = jax.vmap(run) if self.many else run
        self._calls[blocks] = jax.jit(mapped, donate_argnums=0).lower(self.state, self.rows).compile()
        return self._calls[blocks]

    def _block(self, state: Any, rows: Any) -> Any:
        """`every` epochs, then train loss before the last update, dev loss and dev accuracy."""
        import jax
        import jax.numpy as jnp

        def epoch(now: Any, _: None) -> Any:
            loss, gradients = jax.value_and_grad(self._objective)(now[0], *rows["train"])
            return self._updated(now, gradients), loss

        before, _ = jax.lax.scan(epoch, state, None, length=self.every - 1)
        inputs, targets = rows["train"]
        loss = self._loss(self._outputs(before[0], inputs), targets)
        after, _ = epoch(before, None)
        outputs = self._outputs(after[0], rows["dev"][0])
        targets = rows["dev"][1]
        hits = jnp.mean((outputs > 0) == (targets > 0.5))
        return after, (loss, self._loss(outputs, targets), hits)

    def _objective(self, parameters: Any, inputs: Any, targets: Any) -> Any:
        value = self._loss(self._outputs(parameters, inputs), targets)
        for penalty in self.config.penalties:
            assert penalty.name == "l2"
            weights = (array for name, array in parameters.items() if name.endswith("weight"))
            value += penalty.coefficient * sum((array**2).sum() for array in weights)
        return value

    def _outputs(self, parameters: Any, inputs: Any) -> Any:
        """[B, K] before the logistic, or [K, B] when transposed."""
        import jax

        activation = {"logistic": jax.nn.sigmoid, "relu": jax.nn.relu}[
            self.config.architecture.activation.name
        ]
        values = inputs
        for number in range(self.layers):
            weight = parameters[f"layers.{number}.weight"]
            values = weight @ values if self.transposed else values @ weight
            if f"layers.{number}.bias" in parameters:
                values = values + parameters[f"layers.{number}.bias"]
            if number < self.layers - 1:
                values = activation(values)
        return values

    @staticmethod
    def _loss(outputs: Any, targets: Any) -> Any:
        """Binary cross entropy of values before the logistic."""
        import jax.numpy as jnp

        soft = jnp.maximum(outputs, 0) + jnp.log1p(jnp.exp(-jnp.abs(outputs)))
        return jnp.mean(soft - outputs * targets)

    def _updated(self, state: Any, gradients: Any) -> Any:
        import jax
        import jax.numpy as jnp

        parameters, slots, steps = state
        optimizer = self.config.optimizer
        if not slots:
            moved = jax.tree.map(lambda old, slope: old - optimizer.lr * slope, parameters, gradients)
            return moved, slots, steps
        steps = steps + 1
        decay, other = optimizer.betas
        means = jax.tree.map(lambda old, slope: decay * old + (1 - decay) * slope, slots[0], gradients)
        squares = jax.tree.map(lambda old, slope: other * old + (1 - other) * slope**2, slots[1], gradients)
        rate, spread = optimizer.lr / (1 - decay**steps), 1 - other**steps
        moved = jax.tree.map(
            lambda old, mean, square: old - rate * mean / (jnp.sqrt(square / spread) + optimizer.eps),
            parameters,
            means,
            squares,
        )
        return moved, [means, squares], steps


if __name__ == "__main__":
    sys.exit(main())
