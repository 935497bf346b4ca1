"""Configs as Python callers give them: files, or mappings of the same form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlprun import config as reading
from mlprun import schema
from mlprun.errors import ConfigError, UsageError, command_line
from mlprun.sweeps import definition as definitions

if TYPE_CHECKING:
    from mlprun.schema import Config


def load_config(
    config: str | os.PathLike[str] | Mapping[str, Any], *overrides: str, allow_code: bool = False
) -> Config:
    """The complete, checked config of a file or a mapping."""
    if isinstance(config, Mapping):
        return schema.parse(reading.from_mapping(config, "", "config", overrides), allow_code=allow_code)
    path = os.fspath(config)
    try:
        return schema.load(path, overrides, allow_code=allow_code)
    except ConfigError as error:
        if not definitions.is_sweep(path):
            raise
        what = "is a sweep file, not the config of a single run"
        raise UsageError(path, what, command_line("sweep run", path)) from error
