"""`mlprun train --seeds N` and `--folds N`: a sweep over seeds or folds with the mean of each metric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from mlprun import api
from mlprun.analysis import statistics
from mlprun.analysis.statistics import LEVEL
from mlprun.analysis.summary import describe_counts
from mlprun.cli.sweep.run import follow, show_plan
from mlprun.cli.terminal import Output, Table
from mlprun.errors import CheckFailedError, DivergedError, command_line, shell_path
from mlprun.sweeps.objective import BAD, LAST, SOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 58


def train_repeated(
    config: str,
    overrides: Sequence[str],
    output: Output,
    *,
    seeds: int | None,
    folds: int | None,
    out: str,
    allow_code: bool,
    dry_run: bool,
) -> None:
    """Run a sweep over seeds, folds or both and show the mean of each metric; with `dry_run`, the plan."""
    name = api.load_config(config, *overrides, allow_code=allow_code).name
    unit = "seeds" if folds is None else "folds"
    sweep = {"name": f"{name[:_LONGEST]}-{unit}", "base": config, "seeds": seeds or 1, "folds": folds}
    if dry_run:
        return show_plan(sweep, overrides, output, out=out, allow_code=allow_code)
    swept = follow(sweep, overrides, output, out=out, allow_code=allow_code)
    return _show(swept, seeds or 1, folds, output)


def _show(sweep: api.Sweep, seeds: int, folds: int | None, output: Output) -> None:
    names = [name for name in sweep.description.figures if not name.startswith(LAST)]
    samples = {name: sweep.summary(name).lines[0].stats for name in names}
    status, counts = sweep.status, sweep.summary().counts
    of = "best" if any(one.best_epoch is not None for one in sweep.trials) else "last"
    rows, figures = [], {}
    for name, one in samples.items():
        half = None if one.interval is None else (one.interval.high - one.interval.low) / 2
        rows.append((name, one.mean, half, one.std, one.minimum, one.maximum))
        figures[name] = {"n": one.n, "mean": one.mean, "deviation": one.std, "interval": one.interval}
    head = {"sweep": sweep.path, "status": status.state, "seeds": seeds}
    head |= {"folds": folds, "counts": dict(counts)} if folds else {"counts": dict(counts)}
    output.document({**head, "seconds": status.seconds, "of": of, "metrics": figures})
    unit = "fold" if folds and seeds == 1 else "seed"
    sound = sum(counts[one] for one in SOUND)
    if not sound:
        _raise(sweep, unit)
    if folds and seeds > 1:  # each seed counts once, with all of its folds
        sound = max(one.n for one in samples.values())
    title = f"{of} epoch, mean over {sound} {unit}{'' if sound == 1 else 's'}"
    title += f" of {folds} folds" if folds and seeds > 1 else ""
    if sound < statistics.MIN_SAMPLE:
        title += f": an interval requires at least {statistics.MIN_SAMPLE}"
    else:
        title += f" with {100 * LEVEL:g}% interval"
    output.result(Table(("metric", "mean", "±", "std", "min", "max"), rows, title))
    for text in describe_counts(counts, BAD):
        output.result(f"{text}: excluded from the means")
    output.result(f"\n{status.total} trials in {status.seconds:.2f} s\nsweep folder: {sweep.path}")
    output.result(f"next: {command_line('sweep show', sweep.path)}")


def _raise(sweep: api.Sweep, unit: str) -> NoReturn:
    """Raise the error of a sweep of which no seed or fold finished."""
    epochs = [one.epochs or 0 for one in sweep.trials if one.status == "diverged"]
    if epochs:
        what = f"no {unit} finished: {len(epochs)} diverged after {max(epochs)} epochs or fewer"
        remedy = f"{command_line('sweep show', sweep.path)} shows them; try a smaller learning rate"
        raise DivergedError(sweep.path, what, remedy)
    what, out = f"no {unit} finished: {sweep.trials[0].error}", os.path.dirname(sweep.path) or "."
    command = f"{command_line('sweep run', sweep.folder.definition)} --retry-failed --out {shell_path(out)}"
    raise CheckFailedError(sweep.path, what, f"to train them again: {command}")
