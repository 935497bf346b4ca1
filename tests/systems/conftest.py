"""What the systems' tests share: a trainer, the printed figures, and configs with another start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mlprun.api as mlprun
from mlprun import schema

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., mlprun.Run]:
    """Trains a mapping, or a shipped config by its name."""

    def run(config: str | dict[str, Any], *overrides: str, **options: Any) -> mlprun.Run:
        named = CONFIGS / f"{config}.yaml" if isinstance(config, str) else config
        return mlprun.train(named, *overrides, out=str(tmp_path), **options)

    return run


@pytest.fixture(scope="session")
def shipped() -> Callable[..., dict[str, Any]]:
    """A shipped config by its name as a complete mapping, to be changed."""

    def mapping(name: str, **options: Any) -> dict[str, Any]:
        return schema.dump(mlprun.load_config(CONFIGS / f"{name}.yaml", **options), ".")

    return mapping


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The reference figures of the file that asks: computed in float64 by plain scripts, as it says."""
    name = request.module.__name__.rpartition("test_")[2].partition("_")[2]
    return json.loads((HERE / f"{name}.json").read_text())
