"""`mlprun verify`: whether engines agree, whether gradients are right, and which trap a curve fell into."""

from typing import TYPE_CHECKING, Annotated

import typer

from mlprun.cli.options import ConfigsCode, Force, check_writable, save
from mlprun.cli.terminal import Output
from mlprun.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.verification import Verification


def verify_command(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG... [KEY=VALUE]...", help="configs, and values that replace theirs"),
    ],
    *,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Steps to compare; by default 100, or 10 of kinked networks."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="OTHER", help="A run, a config or a CSV of losses to compare with."
        ),
    ] = None,
    coordinates: Annotated[
        int, typer.Option("--coordinates", min=1, help="Gradients to check of a network that has more.")
    ] = 2000,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Draw the curves over one another.")
    ] = None,
    force: Force = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print one table in Markdown, a line for each config.")
    ] = False,
    allow_code: ConfigsCode = False,
    output: Output,
) -> None:
    """Train with every engine from the same weights and compare.

    mlprun verify configs/moons.yaml
    mlprun verify configs/xor.yaml --against my_losses.csv --plot curves.png
    mlprun verify configs/moons*.yaml --markdown

    For each pair of engines: the largest difference in the first gradient, the
    loss curve and the weights afterwards, also in roundings of the precision,
    beside its bound. First gradients may differ by 1e-5 (float32) or 1e-12
    (float64) of the largest; afterwards an engine may be 4 times as far from torch
    in float64 as torch's own float32 is. Where float32 strays from float64 within
    the steps, fewer are compared. Every gradient is held against central
    differences in float64.

    OTHER is a run folder, another config, or a CSV that a script of your own wrote:
    a column loss or train_loss, a row for each epoch, recorded before the update.
    Where its curve is another one, the classic traps are tried: a factor between sum
    and mean, a missing bias, other initial weights, another definition of the loss.

    --json prints {"agree", "configs": [{"config", "agree", "dtype", "epochs", "steps",
      "engines": [NAME, ...], "refused": {NAME: REASON},
      "pairs": [{"engines": [A, B], "agree", "gradient": D or null, "curve": D,
        "weights": D}],
      "gradients": [{"engine", "agree", "parameters", "checked", "kinks", "wrong",
        "difference", "largest", "bound", "where"}],
      "against": {"other", "kind": "run" | "config" | "curve", "agree", "rows",
        "difference", "bound", "precision", "first_epoch": epoch or null, "notes": [...],
        "explanations": [{"traps": [{"kind", "text"}], "difference": d or null,
          "rows"}]} or null,
      "problems": [...]}]}
      where D is {"difference", "roundings", "bound": b or null, "agree"}; kinds of
      traps are factor, bias, initialisation, logged loss, step; an explanation that
      was not tried has the difference null.

    Exit codes: 0 all agree, 2 config or usage, 3 data, 4 run folder, 6 device,
    7 files, 10 they do not agree, 130 Ctrl-C.
    """
    from mlprun import api
    from mlprun.cli import agreements
    from mlprun.cli.validate import divide

    configs, overrides = divide(arguments)
    if len(configs) > 1 and (against is not None or plot is not None):
        raise UsageError("verify", "--against and --plot are for one config", "name one")
    if plot is not None:
        _check(plot, force=force)
    found = {}
    for config in configs:
        found[config] = api.verify(
            config,
            *overrides,
            steps=steps,
            against=against,
            coordinates=coordinates,
            allow_code=allow_code,
            say=output.note,
        )
        if not markdown:
            agreements.tell(config, found[config], output)
    output.document(agreements.document(found))
    if markdown:
        output.result(*agreements.table(found))
    if plot is not None:
        _draw(found[configs[0]], plot, force=force)
        output.note(f"curves drawn in {plot}")
    _fail(found)


def _check(path: str, *, force: bool) -> None:
    """Refuse a picture that cannot be drawn before engines are compared."""
    from mlprun import figures

    figures.form_of(path)
    check_writable(path, force=force)


def _draw(found: "Verification", path: str, *, force: bool) -> None:
    from mlprun import figures

    save(path, figures.encode(figures.verified(found), path), force=force)


def _fail(found: "Mapping[str, Verification]") -> None:
    """Raise where any config's engines, gradients or curves do not agree."""
    failed = {config: one for config, one in found.items() if not one.agrees}
    if not failed:
        return
    config, first = next(iter(failed.items()))
    what = "; ".join(first.problems[:3])
    if len(first.problems) > 3:
        what += f"; and {len(first.problems) - 3} more"
    more = f" ({len(failed)} of {len(found)} configs do not agree)" if len(found) > 1 else ""
    if first.held is not None and not first.held.agrees:
        tried = "no trap that was tried explains it: compare setups"
        remedy = "see above what may explain it" if first.held.explanations else tried
    elif first.alone is not None:
        remedy = f"only {first.alone} differs from the others: report it, and use another engine"
    else:
        remedy = "report it, and use engine: torch, which is the definition"
    raise CheckFailedError(config, what + more, remedy)
