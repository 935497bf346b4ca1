"""`mlprun bench`: what a training step costs on this machine."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mlprun import api, figures
from mlprun.cli.options import AllowCode, Force, check_writable, save
from mlprun.cli.terminal import Output, Table
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.cli.measuring import Measurement
    from mlprun.figures import CostPanel


def bench_command(
    config: Annotated[str | None, typer.Argument(help="A config; without one, five workloads.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides of the config.")
    ] = None,
    *,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Repetitions.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.001, help="Seconds per repetition.")] = 0.2,
    plot: Annotated[
        str | None,
        typer.Option(
            "--plot", metavar="FILE", help="Plot the cost over rows, width and runs; takes a minute."
        ),
    ] = None,
    force: Force = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Benchmark a training step of each engine against a plain PyTorch loop.

    mlprun bench
    mlprun bench configs/moons.yaml training.batch_size=32
    mlprun bench --plot cost.pdf

    The plain loop trains the same network. All evaluate dev and keep a row of
    history every 100 steps, on one thread, in turn; times are CPU times, medians
    over the repetitions.

    --plot draws how the cost grows with rows, width and the number of runs that
    are trained together (those in wall time, on all cores). A curve ends where
    100 steps take too long for the minute.

    --json prints {"workloads": [{"name", "engines":
      [{"engine", "microseconds", "steps_per_second", "ratio"}],
      "refused": [{"engine", "reason"}]}]}
      where ratio says how many times faster than the plain loop;
      with --plot {"plot": FILE, "curves": [{"over", "work", "sizes",
      "microseconds": {ENGINE: [number or null, ...]}}]}

    Exit codes: 0 done, 2 config or usage, 3 data, 7 the figure cannot be written.
    """
    from mlprun.cli import measuring, workloads  # here, since --help needs no torch

    if plot is not None:
        if config is not None:
            raise UsageError("--plot", "draws networks of its own", "leave the config out")
        form = figures.format_of(plot)
        check_writable(plot, force=force)
        panels = measuring.measure_families(measuring.FAMILIES, measuring.SECONDS, output.message)
        save(plot, figures.encode(figures.costs(panels, measuring.DETAILS), form), force=force)
        return _show_panels(plot, panels, output)
    if config is None:
        configs = {name: workloads.workload(settings) for name, settings in workloads.WORKLOADS.items()}
    else:
        loaded = api.load_config(config, *(overrides or ()), allow_code=allow_code)
        configs = {loaded.name: loaded}
    measurements = {
        name: measuring.measure(one, rounds=rounds, seconds=seconds, say=output.message)
        for name, one in configs.items()
    }
    return _show(measurements, output)


def _show_panels(path: str, panels: "Sequence[CostPanel]", output: Output) -> None:
    for panel in panels:
        rows = list(zip(panel.sizes, *panel.microseconds.values(), strict=True))
        output.result(Table((panel.axis, *panel.microseconds), rows, f"µs per step: {panel.heading}"))
    output.result(f"wrote {path}")
    curves = [
        {"over": one.axis, "work": one.heading, "sizes": one.sizes, "microseconds": one.microseconds}
        for one in panels
    ]
    output.document({"plot": path, "curves": curves})


def _show(measurements: "Mapping[str, Measurement]", output: Output) -> None:
    """A row for each engine that was measured, a line for each that refused."""
    rows = [
        (name, cost.engine, cost.microseconds, cost.steps_per_second, cost.ratio)
        for name, one in measurements.items()
        for cost in one.costs
    ]
    output.result(Table(("workload", "engine", "µs per step", "steps per second", "ratio"), rows))
    refused: dict[tuple[str, str], list[str]] = {}
    for name, one in measurements.items():
        for engine_and_reason in one.refused.items():
            refused.setdefault(engine_and_reason, []).append(name)
    for (engine, reason), names in refused.items():
        what = "any of them" if len(names) == len(measurements) > 1 else "; ".join(names)
        output.result(f"{engine} cannot run {what}: {reason}")
    documents = [
        {
            "name": name,
            "engines": [{**asdict(cost), "steps_per_second": cost.steps_per_second} for cost in one.costs],
            "refused": [{"engine": engine, "reason": reason} for engine, reason in one.refused.items()],
        }
        for name, one in measurements.items()
    ]
    output.document({"workloads": documents})
