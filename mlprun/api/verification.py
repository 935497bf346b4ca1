"""`mlprun.api.verify`; a module of its own, so that training does not import verification."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlprun.api.runs import load_config
from mlprun.verification import verify as verification

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.verification.verify import Verification


def verify(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    steps: int | None = None,
    against: str | os.PathLike[str] | None = None,
    coordinates: int = 2000,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Train a config with every engine that can run it, from the same weights, and compare; check gradients.

    `against` names a run folder, a config or a CSV of losses to compare with, too. `coordinates` is how many
    entries of the gradient are checked, at most. Nothing is raised where results do not agree: see `agrees`
    and `problems`.
    """
    loaded = load_config(config, *overrides, allow_code=allow_code)
    other = None if against is None else os.fspath(against)
    return verification.verify(
        loaded, steps=steps, coordinates=coordinates, against=other, allow_code=allow_code, say=say
    )
