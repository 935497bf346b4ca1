"""`mlprun train`: train a config."""

import json
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlprun.cli.terminal import Output
from mlprun.cli.trust import ConfigCode
from mlprun.errors import DivergedError, InterruptedRunError, command_line

if TYPE_CHECKING:
    from mlprun.api import Run


def command(
    config: Annotated[str, typer.Argument(help="the config, a YAML file")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="values that replace the config's")
    ] = None,
    *,
    out: Annotated[str, typer.Option("--out", help="The folder that run folders are made in.")] = "runs",
    name: Annotated[str | None, typer.Option("--name", help="Short for name=NAME.")] = None,
    seed: Annotated[str | None, typer.Option("--seed", help="Short for training.seed=SEED.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Short for device=DEVICE.")] = None,
    engine: Annotated[str | None, typer.Option("--engine", help="Short for engine=ENGINE.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="Train so many seeds, as a sweep, and show means."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and show the network; train nothing.")
    ] = False,
    allow_code: ConfigCode = False,
    output: Output,
) -> None:
    """Train a config; the run lands in a folder of its own.

    mlprun train configs/moons.yaml
    mlprun train configs/moons.yaml optimizer.lr=0.1 --seed 3
    mlprun train configs/moons.yaml --dry-run

    mlprun train configs/moons.yaml --seeds 20

    Ends with the figures of the best and of the last epoch on train, dev and
    test, with baselines beside them. Ctrl-C saves the last completed epoch;
    `mlprun resume RUN` goes on from there.

    --seeds N makes a sweep of the seeds from training.seed on, and ends with
    the mean of each figure and its 95% interval; the same command goes on with
    a sweep that was stopped.

    --json prints {"run", "status", "engine", "device", "epochs", "seconds",
      "best": {"epoch", "metric", "value"} or null, "positive": CLASS or null (the
      one of two that precision and the like are of), "of": "best" | "last",
      "splits": {SPLIT: {"loss", METRIC, ...}}, "last": {"epoch", "splits"},
      "baselines": {NAME: {SPLIT: {...}}}}, also of a run that diverged or was
      interrupted
      and under --dry-run {"config": {...}, "engine": {"name", "why"}, "device",
      "rows": {SPLIT: N}, "layers": [{"name", "kind", "shape", "parameters"}],
      "parameters"}
      and with --seeds {"sweep": FOLDER, "status", "seeds", "counts": {STATUS: N},
      "seconds", "of": "best" | "last", "figures": {SPLIT_FIGURE: {"n", "mean",
      "deviation", "interval": [LOW, HIGH]}}}, under --dry-run as `sweep run`

    Exit codes: 0 done, 2 config or usage, 3 data, 6 device, 7 files, 8 diverged,
    9 memory, 130 Ctrl-C, 143 SIGTERM; with --seeds 8 or 10 where no seed came to its
    end and some diverged or all failed.
    """
    words = [*(overrides or ()), *_quoted(name=name, device=device, engine=engine)]
    if seed is not None:
        words.append(f"training.seed={seed}")
    from mlprun import api

    if seeds is not None:
        from mlprun.cli.sweep.seeds import train_seeds

        return train_seeds(config, words, seeds, output, out=out, allow_code=allow_code, dry_run=dry_run)
    if dry_run:
        return _show_plan(api.load_config(config, *words, allow_code=allow_code), output)
    return follow(partial(api.train, config, *words, out=out, allow_code=allow_code), output)


def _quoted(**texts: str | None) -> list[str]:
    """Overrides of what was given; quoted, since values are read as YAML: a run may be called 2024."""
    return [
        f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in texts.items() if text is not None
    ]


def follow(training: "partial[Run]", output: Output) -> None:
    """Train before the user's eyes, and say how the run ended, well or not."""
    from mlprun import api
    from mlprun.cli.progress import Follower

    try:
        with closing(Follower(output)) as follower:
            run = training(reporter=follower)
    except (DivergedError, InterruptedRunError) as error:
        _tell(api.load(error.where, allow_code=training.keywords["allow_code"]), output)
        raise
    _show_end(run, output)


def _tell(run: "Run", output: Output) -> None:
    """The document of a run that has ended, well or not."""
    from mlprun.cli import figures

    status, record = run.status, run.record
    ended = status.figures
    of, splits = figures.chosen(ended)
    best = {key: ended["best"][key] for key in ("epoch", "metric", "value")} if ended["best"] else None
    output.document(
        {
            "run": run.path,
            "status": status.state,
            "engine": record["engine"],
            "device": record["device"],
            "epochs": status.epochs,
            "seconds": status.seconds,
            "best": best,
            "positive": ended.get("positive"),
            "of": of,
            "splits": splits,
            "last": ended["last"],
            "baselines": ended["baselines"],
        }
    )


def _show_end(run: "Run", output: Output) -> None:
    """The closing table, the run folder and what to type next."""
    from mlprun.cli import figures

    _tell(run, output)
    status, record, ended = run.status, run.record, run.figures
    output.result(figures.closing(ended))
    early = ", stopped early" if status.reason == "early_stopping" else ""
    where = f"engine {record['engine']} on {record['device']}"
    output.result(f"\n{status.epochs} epochs{early} in {status.seconds:.2f} s, {where}")
    output.result(f"run folder: {run.path}\nnext: {command_line('plot', run.path)}")


def _show_plan(config: Any, output: Output) -> None:
    from mlprun.cli.plan import plan

    document, tables = plan(config)
    output.result(*tables)
    output.document(document)
