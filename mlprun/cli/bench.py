"""`mlprun bench`: what a training step costs on this machine."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.cli.options import ConfigCode, Force, check_writable, save
from mlprun.cli.terminal import Output, Table
from mlprun.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.cli.measuring import Measured


def bench_command(
    config: Annotated[str | None, typer.Argument(help="a config; without one, five workloads")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="values that replace the config's")
    ] = None,
    *,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns of each engine.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.001, help="Length of a turn.")] = 0.2,
    plot: Annotated[
        str | None,
        typer.Option("--plot", metavar="FILE", help="Draw cost over rows, width and runs; takes a minute."),
    ] = None,
    force: Force = False,
    allow_code: ConfigCode = False,
    output: Output,
) -> None:
    """Measure what a training step costs on each engine.

    mlprun bench
    mlprun bench configs/moons.yaml training.batch_size=32
    mlprun bench --plot cost.pdf

    Beside the engines stands a plain PyTorch loop that trains the same network.
    All evaluate dev and keep a row of history every 100 steps, on one thread,
    in turn; times are of the processor, medians over the turns.

    --plot draws how the cost grows with rows, width and the number of runs
    that are trained together (those in wall time, on all cores). A curve ends
    where a turn of 100 steps takes too long for the minute.

    --json prints {"workloads": [{"name", "engines":
      [{"engine", "microseconds", "steps_per_second", "ratio"}],
      "refused": [{"engine", "reason"}]}]}
      where ratio says how many times faster than the plain loop;
      with --plot {"plot": FILE, "curves": [{"over", "work", "sizes",
      "microseconds": {ENGINE: [number or null, ...]}}]}

    Exit codes: 0 done, 2 config or usage, 3 data, 7 the picture cannot be written.
    """
    if plot is not None:
        return _draw(plot, config, output, force=force)
    from mlprun import api
    from mlprun.cli import measuring
    from mlprun.cli.workloads import WORKLOADS, workload

    if config is None:
        configs = {name: workload(given) for name, given in WORKLOADS.items()}
    else:
        loaded = api.load_config(config, *(overrides or ()), allow_code=allow_code)
        configs = {loaded.name: loaded}
    found = {
        name: measuring.measure(each, rounds=rounds, seconds=seconds, say=output.note)
        for name, each in configs.items()
    }
    return _show(found, output)


def _draw(place: str, config: str | None, output: Output, *, force: bool) -> None:
    """The curves as tables and as a picture; what would stop it from being written is found first."""
    from mlprun import figures
    from mlprun.cli import scaling

    if config is not None:
        raise UsageError("--plot", "draws networks of its own", "leave the config out")
    figures.form_of(place)
    check_writable(place, force=force)
    panels = scaling.curves(scaling.FAMILIES, scaling.SECONDS, output.note)
    save(place, figures.encode(scaling.picture(panels), place), force=force)
    for panel in panels:
        names = list(panel.microseconds)
        rows = list(zip(panel.sizes, *panel.microseconds.values(), strict=True))
        output.result(Table((panel.axis, *names), rows, f"µs per step: {panel.heading}"))
    output.result(f"wrote {place}")
    curves = [
        {"over": one.axis, "work": one.heading, "sizes": one.sizes, "microseconds": one.microseconds}
        for one in panels
    ]
    output.document({"plot": place, "curves": curves})


def _show(found: "Mapping[str, Measured]", output: Output) -> None:
    """A row for each engine that was measured, a line for each that was not."""
    rows = [
        (name, cost.engine, cost.microseconds, cost.steps_per_second, cost.ratio)
        for name, measured in found.items()
        for cost in measured.costs
    ]
    output.result(Table(("workload", "engine", "µs per step", "steps per second", "ratio"), rows))
    refused: dict[tuple[str, str], list[str]] = {}
    for name, measured in found.items():
        for told in measured.refusals.items():
            refused.setdefault(told, []).append(name)
    for (engine, reason), names in refused.items():
        what = "any of them" if len(names) == len(found) > 1 else "; ".join(names)
        output.result(f"{engine} cannot run {what}: {reason}")
    output.document({"workloads": [_document(name, measured) for name, measured in found.items()]})


def _document(name: str, measured: "Measured") -> dict[str, Any]:
    costs = [
        {
            "engine": cost.engine,
            "microseconds": cost.microseconds,
            "steps_per_second": cost.steps_per_second,
            "ratio": cost.ratio,
        }
        for cost in measured.costs
    ]
    refused = [{"engine": engine, "reason": reason} for engine, reason in measured.refusals.items()]
    return {"name": name, "engines": costs, "refused": refused}
