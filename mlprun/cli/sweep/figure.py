"""The figure that settings are judged by, as the commands on a sweep ask for it."""

from typing import Annotated

import typer

from mlprun.errors import UsageError

OF = ("best", "last")

Metric = Annotated[
    str | None,
    typer.Option("--metric", help="The figure, such as test_accuracy; by default the objective's."),
]
Of = Annotated[str, typer.Option("--of", help="Figures of each trial's best or last epoch.")]


def refuse(of: str) -> None:
    """Raise UsageError for a word that names no epoch."""
    if of not in OF:
        raise UsageError("--of", f"{of!r} is neither", f"use {' or '.join(OF)}")
