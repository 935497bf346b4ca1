"""The results of a sweep opened, and what its figures and parameters are called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

from mlprun.errors import UsageError
from mlprun.parts.part import suggestion
from mlprun.sweeps.folder import open_sweep
from mlprun.sweeps.schema import TrialStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.sweeps.database import Results
    from mlprun.sweeps.schema import Description

LAST = "last_"
"""stands before the figures of a trial's last epoch; those without it are of its best"""
_COLUMNS = ("setting", "n", "mean", "std", "median", "success", "pruned at", "best", "trial", "epoch", "rows")
_TAKEN = frozenset(("name", "seed", "fold", "status", *_COLUMNS, *get_args(TrialStatus)))
"""endings of paths that say nothing by themselves, or are columns beside them"""


def open_folder(path: str) -> Results:
    """The results in a sweep's folder, a context that closes them. Raises CheckpointError and FileError."""
    return open_sweep(path).results()


def column_of(description: Description, metric: str | None, of: str) -> str:
    """The column of a figure's name, by default the objective's; `of` is best or last. UsageError if none."""
    plain = metric or str(description.objective.get("metric") or _usual(description.figures))
    column = plain if of == "best" or plain.startswith(LAST) else LAST + plain
    if column in description.figures:
        return column
    known = [name for name in description.figures if not name.startswith(LAST)]
    raise UsageError(metric or plain, "is no figure of this sweep", suggestion(plain, known))


def _usual(figures: Sequence[str]) -> str:
    """The figure that a sweep without an objective is judged by: the loss on rows not trained on."""
    return next((name for name in ("dev_loss", "test_loss") if name in figures), figures[0])


def goal_of(description: Description, column: str) -> str:
    """Whether small values of a figure are good (`min`) or large ones (`max`)."""
    plain = column.removeprefix(LAST)
    if plain == description.objective.get("metric") and description.objective.get("mode"):
        return str(description.objective["mode"])
    from mlprun.parts.metrics import metrics  # here, since only figures without a mode of their own need it

    name = plain.partition("_")[2]
    return metrics[name].mode if name in metrics else "min"


def is_share(column: str) -> bool:
    """Whether a figure lies between 0 and 1, as an accuracy does."""
    from mlprun.parts.metrics import metrics  # here, as in `goal_of`

    name = column.removeprefix(LAST).partition("_")[2]
    return name in metrics and metrics[name].target == "classes" and metrics[name].mode == "max"


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The shortest ending of each dotted path that says which one it is: `lr` for optimizer.lr.

    No other path ends so, nor is a column of a table called so; `optimizer.name` is not called `name`.
    """

    def is_fitting(path: str, ending: str) -> bool:
        others = (f".{other}" for other in paths if other != path)
        return ending not in _TAKEN and not any(other.endswith(f".{ending}") for other in others)

    names = {}
    for path in paths:
        words = path.split(".")
        endings = (".".join(words[place:]) for place in range(len(words) - 1, 0, -1))
        names[path] = next((one for one in endings if is_fitting(path, one)), path)
    return names


def label(parameters: Sequence[str], chosen: Mapping[str, Any]) -> str:
    """A setting in one line, such as `hidden=[4] lr=0.1`."""
    names = short_names(parameters)
    return " ".join(f"{names.get(path, path)}={text(value)}" for path, value in chosen.items())


def text(value: Any) -> str:
    """A parameter's value as JSON, a number with the four digits that tables show."""
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
