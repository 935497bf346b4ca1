"""Names of a sweep's metrics and parameters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args

from mlprun.errors import UsageError
from mlprun.parts.metrics import metrics
from mlprun.parts.part import suggestion
from mlprun.sweeps.objective import LAST
from mlprun.sweeps.schema import TrialStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlprun.sweeps.schema import Description

_COLUMNS = ("setting", "n", "mean", "std", "median", "success", "pruned at", "best", "trial", "epoch", "rows")
_TAKEN = frozenset(("name", "seed", "fold", "status", *_COLUMNS, *get_args(TrialStatus)))
"""Endings of paths that say nothing by themselves, or are the names of columns beside them."""


def column_of(description: Description, metric: str | None, of: str) -> str:
    """The column of a metric, by default the objective's; `of` is best or last.

    Raises UsageError for a metric that the sweep does not have.
    """
    names = [name for name in description.figures if not name.startswith(LAST)]
    unseen = next((name for name in ("dev_loss", "test_loss") if name in names), names[0])
    plain = metric or str(description.objective.get("metric") or unseen)
    column = plain if of == "best" or plain.startswith(LAST) else LAST + plain
    if column in description.figures:
        return column
    raise UsageError(plain, "is no metric of this sweep", suggestion(plain, names))


def direction_of(description: Description, column: str) -> str:
    """Which values of a metric are better: `min` or `max`."""
    plain = column.removeprefix(LAST)
    if plain == description.objective.get("metric") and description.objective.get("mode"):
        return str(description.objective["mode"])
    name = plain.partition("_")[2]
    return metrics[name].mode if name in metrics else "min"


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The shortest unambiguous ending of each dotted path: `lr` for optimizer.lr.

    No other path ends so, nor is a column of a table called so; `optimizer.name` is not called `name`.
    """

    def is_fitting(path: str, ending: str) -> bool:
        others = (f".{other}" for other in paths if other != path)
        return ending not in _TAKEN and not any(other.endswith(f".{ending}") for other in others)

    names = {}
    for path in paths:
        keys = path.split(".")
        endings = (".".join(keys[start:]) for start in range(len(keys) - 1, 0, -1))
        names[path] = next((one for one in endings if is_fitting(path, one)), path)
    return names


def configuration_label(parameters: Sequence[str], values: Mapping[str, Any]) -> str:
    """A configuration in one line, such as `hidden=[4] lr=0.1`."""
    names = short_names(parameters)
    return " ".join(f"{names.get(path, path)}={format_value(value)}" for path, value in values.items())


def format_value(value: Any) -> str:
    """A parameter's value as JSON, a number with the four digits that tables show."""
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
