"""status.json: how a run stands and, once it has ended, its final figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from mlprun.errors import CheckpointError
from mlprun.parts.splits import SPLITS
from mlprun.storage import canonical

State = Literal["running", "finished", "interrupted", "diverged", "failed", "crashed"]
"""`crashed` is never written: it is how a run that died while running is shown."""

_KINDS = {
    "state": str,
    "epochs": int,
    "seconds": float | int,
    "figures": dict,
    "reason": str,
    "differences": list,
    "extended": list,
}


@dataclass(frozen=True)
class Status:
    """How a run stands: completed epochs, seconds of training, final figures (JSON), and why it ended.

    `differences` says what was not as recorded when the run was resumed; while it is empty, the run equals
    one that was never disturbed, byte for byte. `extended` holds the epochs it went to before each extension.
    """

    state: State
    epochs: int = 0
    seconds: float = 0.0
    figures: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    differences: tuple[str, ...] = ()
    extended: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The bytes of status.json."""
        return f"{canonical.encode(asdict(self), indent=2)}\n".encode()

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> Status:
        """The status that `encode` wrote; raises CheckpointError, which names `where`, for anything else."""
        sound = all(isinstance(value.get(key), kind) for key, kind in _KINDS.items())
        sound = sound and _are_figures(value["figures"])
        if not sound or value["state"] not in get_args(State):
            raise CheckpointError(
                where, "is damaged: it is not a status", "restore it from a copy or train again"
            )
        lists = {"differences": tuple(value["differences"]), "extended": tuple(value["extended"])}
        return cls(**{key: value[key] for key in _KINDS} | lists)


def _are_figures(value: dict[str, Any]) -> bool:
    """Whether these are the figures that a run ends with, or none."""
    if not value:
        return True
    if not isinstance(value.get("positive"), str | None):
        return False
    if value.keys() - {"positive"} != {"best", "last", "baselines"} or not isinstance(
        value["baselines"], dict
    ):
        return False
    best, last = value["best"], value["last"]
    of_epochs = [last] if best is None else [last, best]
    if not all(isinstance(part, dict) and isinstance(part.get("epoch"), int) for part in of_epochs):
        return False
    chosen = best is None or (
        isinstance(best.get("metric"), str) and isinstance(best.get("value"), float | int)
    )
    return chosen and all(
        map(_are_splits, (*(part.get("splits") for part in of_epochs), *value["baselines"].values()))
    )


def _are_splits(value: Any) -> bool:
    """Whether these are figures by name, by split: numbers, or tables of them."""
    return isinstance(value, dict) and all(
        split in SPLITS
        and isinstance(named, dict)
        and all(isinstance(figure, float | int | list | None) for figure in named.values())
        for split, named in value.items()
    )
