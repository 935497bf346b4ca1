"""`mlprun eval`: the figures of a checkpoint or a run."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from mlprun.commands.terminal import Output
from mlprun.errors import CheckFailedError, UsageError


def command(
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT|RUN", help="a checkpoint, or a run folder for its best")
    ],
    *,
    split: Annotated[
        str | None, typer.Option("--split", help="Only these splits, such as test or train,dev.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A table with known targets to evaluate instead.")
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="FIGURE=NUMBER",
            help="Exit 10 if a figure such as test_accuracy is lower; repeatable.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "cpu",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the user code that the run was made with.")
    ] = False,
    output: Output,
) -> None:
    """Give loss and metrics on train, dev and test.

    mlprun eval runs/moons-001
    mlprun eval runs/moons-001/last.safetensors --split test
    mlprun eval runs/wine-001 --data new.csv --fail-under data_accuracy=0.9

    The checkpoint is enough on its own for data that mlprun draws or bundles; a
    table is read again from where the config says, or from --data.

    --json prints {"checkpoint", "epoch", "splits": {SPLIT: {"loss", METRIC, ...}}};
      with --data the only split is "data".

    Exit codes: 0 done, 2 usage, 3 data, 4 checkpoint, 6 device, 7 files,
    10 a figure is below --fail-under.
    """
    bounds = [_bound(text) for text in fail_under or ()]
    chosen = _splits(split)
    if data is not None and split is not None:
        raise UsageError("--split", "a table given with --data is not divided", "leave out --split")
    from mlprun import api
    from mlprun.commands import figures
    from mlprun.engines.device import resolve

    loaded = api.load_checkpoint(checkpoint, device=resolve(device), allow_code=allow_code)
    if data is None:
        splits, warnings = loaded.figures(chosen), loaded.experiment.warnings
    else:
        rows = loaded.table(data)
        splits, warnings = {"data": loaded.figures_of(rows)}, rows.warnings
    for warning in warnings:
        output.note(f"warning: {warning}")
    measured = _measured(bounds, splits)
    output.document({"checkpoint": loaded.where, "epoch": loaded.epoch, "splits": splits})
    output.result(figures.table({f"epoch {loaded.epoch}": splits}, f"{loaded.where}"))
    for name, values in splits.items():
        output.result(*figures.confusion(values, loaded.preprocessing.classes, name))
    for name, bound in bounds:
        if not measured[name] >= bound:
            what = f"{measured[name]:.6g} is below {bound:g}"
            raise CheckFailedError(name, what, "train longer, or lower the bound")


def _splits(text: str | None) -> Sequence[str]:
    from mlprun.parts.datasets.shares import SPLITS

    if text is None:
        return SPLITS
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in SPLITS:
            raise UsageError("--split", f"{word!r} is no split", f"use {', '.join(SPLITS)}")
    return words


def _bound(text: str) -> tuple[str, float]:
    found = re.fullmatch(r"\s*([\w.]+)\s*=\s*(\S+)\s*", text)
    try:
        if found:
            return found[1], float(found[2])
    except ValueError:
        pass
    raise UsageError("--fail-under", f"{text!r} is no bound", "write one as test_accuracy=0.9")


def _measured(bounds: Sequence[tuple[str, float]], splits: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The figures as --fail-under names them; raises UsageError for a bound on what was not evaluated."""
    numbers = {
        f"{split}_{name}": value
        for split, values in splits.items()
        for name, value in values.items()
        if isinstance(value, float)
    }
    for name, _ in bounds:
        if name not in numbers:
            known = ", ".join(numbers)
            raise UsageError("--fail-under", f"{name!r} was not evaluated", f"use one of {known}")
    return numbers
