"""`mlprun bench`: what a training step costs on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mlprun import api
from mlprun.cli.options import AllowCode, Overrides
from mlprun.cli.terminal import Output, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def bench_command(
    config: Annotated[str | None, Argument(help="A config; without one, five workloads.")] = None,
    overrides: Overrides = None,
    *,
    rounds: Annotated[int, Option(min=1, help="Repetitions.")] = 5,
    seconds: Annotated[float, Option(min=0.001, help="Seconds per repetition.")] = 0.2,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Benchmark a training step of each engine against a plain PyTorch loop.

    mlprun bench
    mlprun bench configs/moons.yaml training.batch_size=32

    The plain loop trains the same network. All evaluate dev and keep a row of
    history every 100 steps, on one thread, in turn; times are CPU times, medians
    over the repetitions.

    --json prints {"workloads": [{"name", "engines":
      [{"engine", "microseconds", "steps_per_second", "ratio"}],
      "refused": [{"engine", "reason"}]}]}
      where ratio says how many times faster than the plain loop.

    Exit codes: 0 done, 2 config or usage, 3 data.
    """
    from mlprun.cli import measuring  # here, since --help needs no torch

    if config is None:
        configs = {name: measuring.workload(text) for name, text in measuring.WORKLOADS.items()}
    else:
        loaded = api.load_config(config, *(overrides or ()), allow_code=allow_code)
        configs = {loaded.name: loaded}
    costs = [
        {"name": name, **measuring.measure(one, rounds=rounds, seconds=seconds, say=output.message)}
        for name, one in configs.items()
    ]
    return _show(costs, output)


def _show(workloads: "Sequence[Mapping[str, Any]]", output: Output) -> None:
    """A row for each engine that was measured, a line for each that refused."""
    rows = [(one["name"], *cost.values()) for one in workloads for cost in one["engines"]]
    output.result(Table(("workload", "engine", "µs per step", "steps per second", "ratio"), rows))
    refused = {(each["engine"], each["reason"]) for one in workloads for each in one["refused"]}
    for engine, reason in sorted(refused):
        names = [one["name"] for one in workloads if {"engine": engine, "reason": reason} in one["refused"]]
        output.result(f"{engine} cannot run {'; '.join(names)}: {reason}")
    output.document({"workloads": workloads})
