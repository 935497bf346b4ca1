"""`mlprun play`: the playground without a run, for the data and the network of a config or for its own."""

from typing import Annotated

from typer import Argument, Option

from mlprun import api
from mlprun.cli.options import AllowCode, Overrides, open_result
from mlprun.cli.terminal import Output
from mlprun.experiment import Experiment
from mlprun.report.page import write_page
from mlprun.report.playground import play_section


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
