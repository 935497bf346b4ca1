"""What a config may say: validated, checked and complete, or refused with every problem at once."""

from mlprun.schema.json import json_schema
from mlprun.schema.load import load, parse
from mlprun.schema.model import Best, CheckpointSettings, Config, EarlyStopping, Training, registries
from mlprun.schema.placed import dump

__all__ = [
    "Best",
    "CheckpointSettings",
    "Config",
    "EarlyStopping",
    "Training",
    "dump",
    "json_schema",
    "load",
    "parse",
    "registries",
]
