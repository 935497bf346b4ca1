"""What a config may say: validated, checked and complete, or refused with every problem at once."""

from mlprun.schema.json import json_schema, json_schema_of
from mlprun.schema.load import CONFIG_FILE, given, load, parse, read, validated
from mlprun.schema.model import Best, CheckpointSettings, Config, EarlyStopping, Training, registries
from mlprun.schema.placed import dump
from mlprun.schema.resolve import run_name

__all__ = [
    "CONFIG_FILE",
    "Best",
    "CheckpointSettings",
    "Config",
    "EarlyStopping",
    "Training",
    "dump",
    "given",
    "json_schema",
    "json_schema_of",
    "load",
    "parse",
    "read",
    "registries",
    "run_name",
    "validated",
]
