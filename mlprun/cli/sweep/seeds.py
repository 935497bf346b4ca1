"""`mlprun train --seeds N`: the smallest sweep, and what its figures say."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NoReturn

from mlprun import api
from mlprun.analysis import statistics
from mlprun.analysis.statistics import LEVEL
from mlprun.analysis.summary import describe_counts
from mlprun.cli.sweep.run import follow, show_plan
from mlprun.cli.terminal import Output, Table
from mlprun.errors import CheckFailedError, DivergedError, command_line, shell_path
from mlprun.sweeps.objective import BAD, SOUND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.analysis.statistics import SampleStats

_LONGEST = 58
_OUT = "runs"
"""where `sweep run` looks for the folder without --out"""


def train_seeds(
    config: str,
    words: Sequence[str],
    seeds: int,
    output: Output,
    *,
    out: str,
    allow_code: bool,
    dry_run: bool,
) -> None:
    """Sweep over the seeds of a config and show each figure's mean; with `dry_run` what would be run."""
    name = api.load_config(config, *words, allow_code=allow_code).name
    sweep = {"name": f"{name[:_LONGEST]}-seeds", "base": config, "seeds": seeds}
    if dry_run:
        return show_plan(sweep, words, output, out=out, allow_code=allow_code)
    ended = follow(sweep, words, output, out=out, allow_code=allow_code)
    _show(ended, seeds, output)
    return None


def _show(ended: api.Sweep, seeds: int, output: Output) -> None:
    samples, status = figures(ended), ended.status
    with ended.folder.results() as results:
        counts = results.counts()
    of = "best" if any(one.best_epoch is not None for one in ended.trials) else "last"
    output.document(
        {
            "sweep": ended.path,
            "status": status.state,
            "seeds": seeds,
            "counts": dict(counts),
            "seconds": status.seconds,
            "of": of,
            "figures": {name: _as_json(sample) for name, sample in samples.items()},
        }
    )
    sound = sum(counts[one] for one in SOUND)
    if not sound:
        _raise(ended)
    rows = [(name, *_cells(sample)) for name, sample in samples.items()]
    title = f"{of} epoch, mean over {sound} seed{'' if sound == 1 else 's'}"
    title += (
        f" with its {100 * LEVEL:g}% interval"
        if sound >= statistics.MIN_SAMPLE
        else f": too few for an interval, which takes {statistics.MIN_SAMPLE}"
    )
    output.result(Table(("figure", "mean", "±", "deviation", "lowest", "highest"), rows, title))
    for text in describe_counts(counts, BAD):
        output.result(f"{text}: not in these means")
    output.result(f"\n{status.total} trials in {status.seconds:.2f} s\nsweep folder: {ended.path}")
    output.result(f"next: {command_line('sweep show', ended.path)}")


def _raise(ended: api.Sweep) -> NoReturn:
    """End as `train` does where no seed came to its end."""
    epochs = [one.epochs or 0 for one in ended.trials if one.status == "diverged"]
    if epochs:
        after = f"after {'' if min(epochs) == max(epochs) else f'{min(epochs)} to '}{max(epochs)} epochs"
        remedy = f"{command_line('sweep show', ended.path)} counts them; a smaller learning rate may help"
        raise DivergedError(ended.path, f"no seed came to its end: {len(epochs)} diverged {after}", remedy)
    what = f"no seed came to its end: {ended.trials[0].error}"
    raise CheckFailedError(ended.path, what, f"{_again(ended)} trains them again")


def _again(ended: api.Sweep) -> str:
    """The command that goes on with the sweep in its own folder, and trains what failed once more."""
    out = os.path.dirname(ended.path) or "."
    elsewhere = "" if out == _OUT else f" --out {shell_path(out)}"
    return f"{command_line('sweep run', ended.folder.definition)} --retry-failed{elsewhere}"


def figures(ended: api.Sweep) -> Mapping[str, SampleStats]:
    """The figures of the best epoch over the trials that came to their end, infinite ones left out."""
    sound = [one for one in ended.trials if one.status in SOUND]
    names = [name for name in ended.description.figures if not name.startswith("last_")]
    values = {name: [one.figures.get(name) for one in sound] for name in names}
    return {
        name: statistics.sample_stats([v for v in of_seeds if v is not None and math.isfinite(v)])
        for name, of_seeds in values.items()
    }


def _cells(sample: SampleStats) -> tuple[Any, ...]:
    half = None if sample.interval is None else (sample.interval.high - sample.interval.low) / 2
    return sample.mean, half, sample.std, sample.minimum, sample.maximum


def _as_json(sample: SampleStats) -> dict[str, Any]:
    interval = None if sample.interval is None else list(sample.interval)
    return {"n": sample.n, "mean": sample.mean, "deviation": sample.std, "interval": interval}
