"""The models of the zoo, each trained once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.export import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    import mlprun.api as mlprun


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], mlprun.Run]:
    """Return the run of a model in `zoo.MODELS`."""
    return cache(lambda name: zoo.train(name, tmp_path_factory.mktemp(name)))
