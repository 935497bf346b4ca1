"""`mlprun bench`: what a training step costs on this machine."""

from typing import Annotated

import typer

from mlprun.commands.terminal import Output, Table


def command(
    config: Annotated[str | None, typer.Argument(help="a config; without one, five workloads")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="values that replace the config's")
    ] = None,
    *,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Turns of each engine.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.001, help="Length of a turn.")] = 0.2,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the user code that the config's `extend` names.")
    ] = False,
    output: Output,
) -> None:
    """Measure what a training step costs on each engine.

    mlprun bench
    mlprun bench configs/moons.yaml training.batch_size=32

    Beside the engines stands a plain PyTorch loop that trains the same network.
    All evaluate dev and keep a row of history every 100 steps, on one thread,
    in turn; times are of the processor, medians over the turns.

    --json prints {"workloads": [{"name", "engines":
      [{"engine", "microseconds", "steps_per_second", "ratio"}]}]}
      where ratio says how many times faster than the plain loop.

    Exit codes: 0 done, 2 config or usage, 3 data.
    """
    from mlprun import schema
    from mlprun.commands import measuring

    if config is None:
        configs = {name: measuring.workload(given) for name, given in measuring.WORKLOADS.items()}
    else:
        loaded = schema.load(config, tuple(overrides or ()), allow_code=allow_code)
        configs = {loaded.name: loaded}
    found = {
        name: measuring.costs(each, rounds=rounds, seconds=seconds, say=output.note)
        for name, each in configs.items()
    }
    rows = [
        (name, cost.engine, cost.microseconds, cost.steps_per_second, cost.ratio)
        for name, costs in found.items()
        for cost in costs
    ]
    output.result(Table(("workload", "engine", "µs per step", "steps per second", "ratio"), rows))
    output.document(
        {
            "workloads": [
                {
                    "name": name,
                    "engines": [
                        {
                            "engine": cost.engine,
                            "microseconds": cost.microseconds,
                            "steps_per_second": cost.steps_per_second,
                            "ratio": cost.ratio,
                        }
                        for cost in costs
                    ],
                }
                for name, costs in found.items()
            ]
        }
    )
