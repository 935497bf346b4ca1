"""The metadata of a run: its stored config and run.json, and what differs from them now."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any

import yaml

from mlprun import files, schema
from mlprun.config import document as reading
from mlprun.config.parser import is_plain_string
from mlprun.errors import CheckpointError, DataError, MlprunError, UsageError, command_line
from mlprun.parts.datasets.table import MemoryTable, Table
from mlprun.parts.datasets.table.source import CAP
from mlprun.parts.torch_random import cpu_capability
from mlprun.schema.extend import MAX_CODE
from mlprun.storage import provenance, runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlprun.experiment import Experiment
    from mlprun.schema import Config
    from mlprun.storage.runs import LastCheckpoint, RunFolder

_MAX_CONFIG = 16_000_000
_TEXTS = ("settings_digest", "data_digest", "engine", "device", "device_kind")
_KINDS = dict.fromkeys(_TEXTS, str) | {"code": dict}


def code_of(config: Config) -> dict[str, bytes]:
    """Return the user's source files by the name under which the run folder stores them."""
    code: dict[str, bytes] = {}
    for path in config.extend:
        name = os.path.basename(path)
        if name in code or not runs.is_allowed_file_name(name):
            what = f"{name} cannot be copied into the run folder under its own name"
            raise UsageError("extend", what, "give each file a name of its own, without a dot in front")
        code[name] = files.read_bytes(path, cap=MAX_CODE)
    return code


def memory_of(config: Config) -> MemoryTable | None:
    """Return the rows in memory that the run folder stores; None where they are in files or generated."""
    return config.dataset.memory if isinstance(config.dataset, Table) else None


def with_own_data(config: Config, folder: RunFolder) -> Config:
    """Return the config with the rows that are stored in its run folder in memory, for another folder."""
    dataset, path = config.dataset, os.path.join(folder.path, runs.DATA)
    if not isinstance(dataset, Table) or os.path.abspath(dataset.location) != os.path.abspath(path):
        return config
    if files.kind(path) != "file":
        return config  # reported where the rows are read
    memory = MemoryTable(files.read_bytes(path, cap=CAP, follow=False))
    return config.model_copy(update={"dataset": dataset.with_memory(memory)})


def stored_config(config: Config, folder: str) -> dict[str, Any]:
    """Return the config as the run folder stores it: user code and rows of memory are in the folder."""
    dumped = schema.dump(config, folder)
    if memory_of(config) is not None:
        dumped["dataset"]["path"] = runs.DATA
    if config.extend:
        dumped["extend"] = [os.path.basename(path) for path in config.extend]
    return dumped


def as_yaml(stored: Mapping[str, Any]) -> str:
    """Return the text of config.yaml."""
    return yaml.dump(stored, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """PyYAML leaves bare what YAML 1.1 reads as a string; configs are YAML 1.2, where 1e3 is a number."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if is_plain_string(value) else "'"
    value = value.replace("${env:", "$${env:")
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def describe(
    experiment: Experiment,
    *,
    engine: str,
    why: str,
    device: str,
    code: Mapping[str, bytes],
    stored: Mapping[str, Any],
    text: str,
) -> dict[str, Any]:
    """Return the content of run.json: what was run, where and with what; `text` is that of config.yaml."""
    config = experiment.config
    memory = memory_of(config)
    assert config.dataset.seed is not None
    return {
        "name": config.name,
        "config_digest": hashlib.sha256(text.encode()).hexdigest(),
        "settings_digest": provenance.settings_digest(stored),
        "data_digest": experiment.digest(),
        **({} if memory is None else {"data": {"file": runs.DATA, "sha256": memory.digest}}),
        "seeds": {"training": config.training.seed, "dataset": config.dataset.seed},
        "torch_capability": cpu_capability(),
        "engine": engine,
        "engine_reason": why,
        **({"config_variables": config.variables} if config.variables else {}),
        **_environment(experiment, device, code),
    }


def _environment(experiment: Experiment, device: str, code: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what may change a run's bits beside its config and its rows."""
    return {
        "threads": experiment.config.training.threads,
        "device": device,
        "device_kind": device_kind(device),
        "code": {name: hashlib.sha256(data).hexdigest() for name, data in code.items()},
        **provenance.environment(),
    }


def device_kind(device: str) -> str:
    """Return the model of a device."""
    if device == "cpu":
        return "cpu"
    import torch

    return torch.cuda.get_device_name(device)


def record_of(folder: RunFolder) -> dict[str, Any]:
    """Return the content of run.json. Raises CheckpointError if it lacks what every run records."""
    record = folder.record()
    for name, kind in _KINDS.items():
        if not isinstance(record.get(name), kind):
            path = os.path.join(folder.path, "run.json")
            raise CheckpointError(path, f"is damaged: it has no {name}", "restore it from a copy")
    return record


def trained_config(
    folder: RunFolder, last: LastCheckpoint | None = None, *, allow_code: bool = False
) -> tuple[Config, str | None]:
    """Return the config that a run was trained with, and a warning if config.yaml differs from it.

    It is that of the checkpoint `last`, or of config.yaml where this is as recorded or there is none.
    """
    if last is None and not matches_record(folder):
        last = folder.load_last()
    if last is None:
        return schema.parse(schema.read(folder.config), allow_code=allow_code, data=False), None
    document = reading.from_mapping(
        schema.with_format(last.checkpoint.meta["config"]), folder.path, last.path
    )
    config = schema.parse(document, allow_code=allow_code, data=False)
    if not _is_edited(folder, config, allow_code=allow_code):
        return config, None
    what = f"{folder.config} was edited after the run was started; the config in {last.path} is used"
    train = f"{command_line('train', folder.config)} starts a new run with the edited one"
    return config, f"{what} ({train})"


def _is_edited(folder: RunFolder, config: Config, *, allow_code: bool) -> bool:
    """Return True if config.yaml means another config; an extended run may have its former epochs there."""
    if matches_record(folder):
        return False
    epochs = [config.training.epochs]
    with contextlib.suppress(CheckpointError):
        epochs += folder.status().extended  # config.yaml is replaced when an extension has ended
    return not any(
        is_equivalent_config(folder, with_epochs(config, number), allow_code=allow_code) for number in epochs
    )


def is_equivalent_config(folder: RunFolder, config: Config, *, allow_code: bool) -> bool:
    """Return True if config.yaml means this config, whatever its comments and form."""
    try:
        edited = schema.parse(schema.read(folder.config), allow_code=allow_code, data=False)
    except MlprunError:
        return False
    return stored_config(edited, folder.path) == stored_config(config, folder.path)


def with_epochs(config: Config, epochs: int) -> Config:
    """Return the config with another number of epochs."""
    return config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})


def matches_record(folder: RunFolder) -> bool:
    """Return True if config.yaml has the bytes that it had when the run was started."""
    data = files.read_bytes(folder.config, cap=_MAX_CONFIG, follow=False)
    return hashlib.sha256(data).hexdigest() == folder.record().get("config_digest")


def differences(
    record: Mapping[str, Any], experiment: Experiment, device: str, *, everything: bool = False
) -> list[str]:
    """Return what may change a run's bits and differs from `record`, without the rows.

    With `everything` also what should not matter: the kernel, the number of cores, the commit.
    """
    now = _environment(experiment, device, code_of(experiment.config))
    return differing(record, now, everything=everything)


def differing(then: Mapping[str, Any], now: Mapping[str, Any], *, everything: bool = False) -> list[str]:
    """Return the differences of two records as text."""
    before, after = _properties(then), _properties(now)
    return [
        f"{name} was {_shown(before.get(name))} and is {_shown(after.get(name))}"
        for name in {**before, **after}
        if before.get(name) != after.get(name) and (everything or name not in ("kernel", "cores", "commit"))
    ]


def _properties(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says of the environment, by the names that messages use."""
    platform, cpu = _part(record, "platform"), _part(record, "cpu")
    return {
        "numerics": record.get("numerics", 1),
        **_part(record, "versions"),
        **_part(record, "code"),
        **{f"device {name}": kind for name, kind in _part(record, "devices").items()},
        **_part(record, "variables"),
        "the system": platform.get("system"),
        "the machine": platform.get("machine"),
        "kernel": platform.get("release"),
        "the CPU": cpu.get("model"),
        "the CPU's instruction set": cpu.get("capability"),
        "cores": cpu.get("count"),
        "commit": _part(record, "git").get("commit"),
        "threads": record.get("threads"),
        "device": record.get("device"),
        "device kind": record.get("device_kind"),
    }


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _shown(value: Any) -> str:
    """Return a recorded value as text; of a digest, its first characters."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    if value is None:
        return "absent"
    return str(value)[:12] if isinstance(value, str) and len(value) in (40, 64) else str(value)


def check_rows(record: Mapping[str, Any], experiment: Experiment, changes: list[str]) -> None:
    """Raise DataError for rows that changed, or add to `changes` if one of these explains it.

    A table is read exactly, by every version alike. What a generator draws may differ in its last bits under
    another library or on another processor.
    """
    if experiment.digest() == record["data_digest"]:
        return
    path = getattr(experiment.config.dataset, "location", None)
    if path is None and changes:
        changes.append("the generated rows were others")
        return
    what = "its rows are no longer those that the run was started with"
    raise DataError(path or "dataset", what, "put the former data back, or train a new run on this one")
