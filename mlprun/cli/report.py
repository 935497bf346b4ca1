"""`mlprun report` and `play`: one HTML file for a run, a sweep or several runs, or the playground alone."""

from __future__ import annotations

import os
from typing import Annotated

from typer import Argument, Option

from mlprun import api, report
from mlprun.cli.options import AllowCode, Baselines, Open, Overrides, open_result
from mlprun.cli.terminal import Output  # noqa: TC001
from mlprun.errors import UsageError
from mlprun.experiment import Experiment
from mlprun.report.page import write, write_page
from mlprun.report.playground import play_section
from mlprun.storage import runs
from mlprun.sweeps.folder import is_sweep


def report_command(
    names: Annotated[list[str], Argument(metavar="RUN|SWEEP", help="run folders, or one sweep folder")],
    *,
    out: Annotated[
        str | None,
        Option("--out", "-o", metavar="FILE", help="Ends in .html (default: report.html in the folder)."),
    ] = None,
    baselines: Baselines = None,
    open_: Open = False,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Write a report: one HTML file that needs no network.

    mlprun report runs/moons-001
    mlprun report runs/moons-001 --open
    mlprun report runs/moons-001 -o moons.html
    mlprun report runs/xor_width-001                a sweep
    mlprun report runs/moons-00* -o compared.html   several runs side by side

    The report of a run states how good the network is, what is wrong with it and
    what to try, and shows its curves, data, predictions, config and environment;
    that of a sweep compares its settings. Both can be read without scripts and
    printed. Several runs need --out. --baselines boosting fits scikit-learn's
    gradient boosting to the train rows of a run.

    --json prints {"report": FILE, "of": [RUN or SWEEP, ...], "bytes"}.

    Exit codes: 0 success, 2 usage, 4 run folder, 7 files.
    """
    paths = list(dict.fromkeys(names))
    more = [] if baselines is None else [baselines]
    if more and (len(paths) > 1 or is_sweep(paths[0])):
        raise UsageError("--baselines", "is for the report of a single run", "leave it out")
    if out is None and len(paths) > 1:
        raise UsageError("report", "several runs have no folder of their own", "name a file with --out")
    if any(map(is_sweep, paths)):
        if len(paths) > 1:
            raise UsageError(next(filter(is_sweep, paths)), "is a sweep", "report it by itself")
        folder, page = paths[0], report.sweep_report(paths[0])
    else:
        found = [runs.open_run(path) for path in paths]
        folder = found[0].path
        if len(found) == 1:
            page = report.run_report(found[0], allow_code=allow_code, baselines=more)
        else:
            page = report.comparison_report(found, allow_code=allow_code)
    target = os.path.join(folder, report.FILE) if out is None else out
    write(target, page)
    output.document({"report": target, "of": paths, "bytes": len(page)})
    output.result(target)
    if open_:
        open_result(target, output)


def play_command(
    config: Annotated[str | None, Argument(help="a config whose data and network to start with")] = None,
    overrides: Overrides = None,
    *,
    out: Annotated[
        str, Option("--out", "-o", metavar="FILE", help="The page; ends in .html.")
    ] = "playground.html",
    open_: Annotated[bool, Option("--open/--no-open", help="Open it in the browser.")] = True,
    allow_code: AllowCode = False,
    output: Output,
) -> None:
    """Train small networks in the browser, step by step.

    mlprun play
    mlprun play configs/iris.yaml
    mlprun play configs/moons.yaml dataset.noise=0.4 -o noisy.html --no-open

    Writes one HTML file that needs no network, and opens it: datasets or your
    own CSV file, layers, units, weights and every setting of the training can
    be changed while you watch. It gives a config for `mlprun train`, the
    weights as safetensors, and the picture as SVG.

    --json prints {"page": FILE}.

    Exit codes: 0 success, 2 config or usage, 3 data, 7 files.
    """
    experiment = None
    if config is not None:
        experiment = Experiment.of(api.load_config(config, *(overrides or ()), allow_code=allow_code))
    title = "mlprun playground" if experiment is None else f"{experiment.config.name}: playground"
    write_page(out, title, [play_section(experiment)])
    output.result(f"page: {out}")
    output.document({"page": out})
    if open_:
        open_result(out, output)
