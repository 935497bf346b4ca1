"""What is wrong with the settings of a sweep: each problem once, with the values that bring it about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mlprun.config import printable, truncate
from mlprun.parts.losses import losses
from mlprun.parts.metrics import metrics
from mlprun.sweeps import pruning
from mlprun.sweeps.definition import Success

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlprun.config import Path
    from mlprun.sweeps.definition import Definition, Sweep
    from mlprun.sweeps.space import Point

_MOST_WITH = 120
"""characters of the values that are told beside a problem"""


class Problems:
    """The problems of settings, in the order in which they are met."""

    def __init__(self, drawn: Iterable[str]) -> None:
        """`drawn` are the parameters whose values are drawn: one wrong number of each says enough."""
        self._drawn = frozenset(drawn)
        self._found: dict[tuple[str, str], _Found] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, point: Point, texts: Iterable[str]) -> None:
        """What is wrong with one setting, as ConfigError has it."""
        heads = {key: node.position.report(key, "").splitlines()[0] for key, node in point.nodes.items()}
        for text in texts:
            head = text.splitlines()[0]
            key = next((key for key, start in heads.items() if head.startswith(start)), "")
            # of a key that is unknown, each value stands elsewhere and says the same
            about = "" if key in self._drawn else head.removeprefix(heads.get(key, ""))
            found = self._found.setdefault((key, about), _Found(text, key, []))
            if text == found.text:
                found.points.append(point)

    def lines(self, points: Sequence[Point]) -> list[str]:
        """Each problem and, where only some of all `points` have it, what these have in common."""
        if not self._found:
            return []
        first = points[0].setting.values
        varied = [key for key in first if any(one.setting.values[key] != first[key] for one in points)]
        return [_told(one, () if one.key in self._drawn else varied) for one in self._found.values()]


def of_figures(definition: Definition, names: Sequence[str]) -> list[str]:
    """What is wrong with objective and success; `names` are the figures of each best epoch."""
    unknown = _unknown_figures(definition, names)
    found = (_of_mode(definition.sweep), _of_success(definition.sweep))
    return unknown or [definition.document.problem(*one) for one in found if one is not None]


def _of_mode(sweep: Sweep) -> tuple[Path, str] | None:
    """A mode that is not what the figure calls for, which `best.mode` is refused for as well."""
    objective = sweep.objective
    name = _plain(objective.metric)
    good = metrics[name].mode if name in metrics else "min" if name == "loss" or name in losses else None
    if good is None or objective.mode in (None, good):
        return None
    what = f"{objective.metric} is better when {'larger' if good == 'max' else 'smaller'}"
    return ("objective", "mode"), f"{what}; set mode: {good}, or leave it out"


def _of_success(sweep: Sweep) -> tuple[Path, str] | None:
    """A success that no trial can be."""
    success = Success.of(sweep.success or "")
    if success is None or _plain(success.figure) not in metrics:
        return None
    low, high = metrics[_plain(success.figure)].bounds
    number = success.number
    if {
        ">=": number <= high,
        ">": number < high,
        "<=": number >= low,
        "<": number > low,
        "==": low <= number <= high,
    }[success.operator]:
        return None
    end = f"below {low:g}" if number <= low else f"above {high:g}"
    share = f"; {number:g}% is {number / 100:g}" if high == 1 < number <= 100 else ""
    return ("success",), f"no trial can be one: {success.figure} is never {end}{share}"


def _plain(figure: str) -> str:
    """What a figure is called in every split: accuracy of last_test_accuracy."""
    return figure.removeprefix("last_").partition("_")[2]


def _unknown_figures(definition: Definition, names: Sequence[str]) -> list[str]:
    sweep, success = definition.sweep, Success.of(definition.sweep.success or "")
    named: dict[Path, str] = {}
    if "metric" in sweep.objective.model_fields_set:
        named["objective", "metric"] = sweep.objective.metric
    if success is not None:
        named["success",] = success.figure
    expected = f"expected one of {', '.join(names)}, or last_ and one"
    return [
        definition.document.problem(path, f"{name} is not a figure of these trials; {expected}")
        for path, name in named.items()
        if name.removeprefix("last_") not in names
    ]


def late_rungs(definition: Definition, epochs: int) -> list[str]:
    """What is wrong with a pruner whose first rung is not before the end of all epochs."""
    search = definition.sweep.search
    if search is None or search.pruner is None or pruning.epochs_of(search.pruner, epochs):
        return []
    message = f"has nothing to look at before the end; expected fewer than the base's {epochs} epochs"
    return [definition.document.problem(("search", "pruner", "min_epochs"), message)]


class _Found(NamedTuple):
    """A problem, the parameter at whose value it is told, if any, and the settings that have it."""

    text: str
    key: str
    points: list[Point]


def _told(found: _Found, varied: Sequence[str]) -> str:
    """`file:3:7: optimizer.momentum: unknown key (with optimizer.name=adam)`, and the lines below it."""
    values = found.points[0].setting.values
    shared = [
        f"{key}={_shown(values[key])}"
        for key in varied
        if key != found.key
        and f": {key}." not in found.text
        and all(one.setting.values[key] == values[key] for one in found.points)
    ]
    if not shared:
        return found.text
    head, *below = found.text.splitlines()
    return "\n".join([f"{head} (with {printable(truncate(', '.join(shared), _MOST_WITH))})", *below])


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
