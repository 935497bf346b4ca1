"""`mlprun find-lr`: the learning-rate range test."""

import math
import re
from typing import Annotated

import numpy as np
from typer import Option

from mlprun import api, figures, files, schema
from mlprun.analysis.rate_range import run_range_test
from mlprun.cli.options import AllowCode, ConfigPath, Force, Overrides, Plot, check_writable, save
from mlprun.cli.terminal import Output, Table
from mlprun.errors import UsageError


def find_lr_command(
    config: ConfigPath,
    overrides: Overrides = None,
    *,
    start: Annotated[float, Option("--from", help="Lowest learning rate.")] = 1e-6,
    end: Annotated[float, Option("--to", help="Highest learning rate.")] = 10.0,
    epochs: Annotated[int, Option(min=10, help="Epochs, each at a higher learning rate.")] = 100,
    seeds: Annotated[int, Option(min=1, help="Seeds, from training.seed on.")] = 5,
    plot: Plot = None,
    should_write: Annotated[bool, Option("--write", help="Set optimizer.lr in the config file.")] = False,
    force: Force = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Suggest a learning rate by a range test over several seeds.

    mlprun find-lr configs/moons.yaml
    mlprun find-lr configs/moons.yaml optimizer.name=sgd --plot lr.png
    mlprun find-lr my.yaml --write

    Trains while the learning rate rises exponentially, without early stopping, and
    saves no run (Smith 2017, doi.org/10.1109/WACV.2017.58). The logarithm of the
    train loss is averaged over seeds, up to where the first one diverges, and
    smoothed by a running median over 5 epochs. The suggestion is a tenth of the rate
    at the smallest smoothed loss: a start for constant rates. All parameters have
    this rate: optimizer.groups are not used.

    --json prints {"steepest", "minimum", "suggestion": NUMBER or null,
      "rates": [NUMBER, ...], "losses": [[NUMBER or null, ...], ...],
      "smoothed": [NUMBER, ...]}
      with a list of losses for each seed, null once it has diverged.

    Exit codes: 0 success, 2 usage, 3 data, 4 checkpoint, 6 device, 7 files.
    """
    if not 0 < start < end < math.inf:
        raise UsageError("--from", f"{start:g} to {end:g} does not rise", "use such as --from 1e-6 --to 10")
    if plot is not None:
        form = figures.format_of(plot)
        check_writable(plot, force=force)
    loaded = api.load_config(config, *(overrides or ()), allow_code=allow_code)
    found = run_range_test(loaded, start, end, epochs=epochs, seeds=seeds)
    points = found.points
    suggestion = points["suggestion"]
    smoothed = np.exp(found.smoothed).tolist()
    losses = found.losses.tolist()
    output.document({**points, "rates": found.rates.tolist(), "losses": losses, "smoothed": smoothed})
    if suggestion is None:
        output.warn(f"{config}: the loss never fell, so that nothing is suggested; lower --from")
    else:
        title = "of the smoothed train loss; the suggestion is a tenth of the minimum"
        output.result(Table(("point", "learning rate"), list(points.items()), title))
    if points["minimum"] == end:
        output.warn(f"the loss still falls at {end:g}; raise --to")
    if plot is not None:
        save(plot, figures.encode(figures.rate_range_chart(loaded.name, found), form), force=force)
        output.message(f"curves drawn in {plot}")
    if should_write and suggestion is not None:
        write_rate(config, suggestion)
        output.message(f"optimizer.lr is {suggestion:g} in {config}")


def write_rate(path: str, rate: float) -> None:
    """Set optimizer.lr in a config file, whose other text stays as it is.

    Raises UsageError if it is not written there as a number.
    """
    source, row, column = schema.read(path).position(("optimizer", "lr"))
    lines = (source.text or "").splitlines(keepends=True)
    number = re.compile(r"[\d.][\w.+-]*(?=[\s,}]|$)").match(lines[row], column)
    if source.rank or not number:
        what = "optimizer.lr is not written as a number there"
        raise UsageError(path, what, f"write `optimizer: {{lr: {rate:g}}}`, with your other options")
    lines[row] = f"{lines[row][:column]}{rate:g}{lines[row][number.end() :]}"
    files.write_atomic(path, "".join(lines).encode("utf-8", "surrogateescape"))
