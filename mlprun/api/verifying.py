"""Engines held against each other from Python."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlprun import verification
from mlprun.api.configs import load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlprun.verification import Verification


def verify(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    steps: int | None = None,
    against: str | os.PathLike[str] | None = None,
    coordinates: int = verification.LIMIT,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Train a config with every engine that can run it, from the same weights, and compare; check gradients.

    `against` names a run folder, a config or a CSV of losses that is compared, too. Nothing is raised where
    they do not agree: ask `agrees` and `problems`.
    """
    resolved = load_config(config, *overrides, allow_code=allow_code)
    return verification.verify(
        resolved,
        steps=steps,
        coordinates=coordinates,
        against=None if against is None else os.fspath(against),
        allow_code=allow_code,
        say=say,
    )
