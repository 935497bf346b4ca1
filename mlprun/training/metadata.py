"""The metadata of a run: its stored config and run.json, and what differs from them now."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any

import torch
import yaml

from mlprun import config as reading
from mlprun import files, schema
from mlprun.errors import CheckpointError, DataError, MlprunError, UsageError, command_line
from mlprun.schema import with_format
from mlprun.schema.extend import MAX_CODE
from mlprun.storage import canonical, provenance, runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.experiment import Experiment
    from mlprun.schema import Config
    from mlprun.storage.checkpoints import Checkpoint
    from mlprun.storage.runs import RunFolder

_MAX_CONFIG = 16_000_000
_KINDS = {
    "settings_digest": str,
    "data_digest": str,
    "engine": str,
    "device": str,
    "device_kind": str,
    "code": dict,
}


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


def stored_config(config: Config, folder: str) -> dict[str, Any]:
    """Return the config as the run folder stores it: user code is in the folder under its own name."""
    dumped = schema.dump(config, folder)
    if config.extend:
        dumped["extend"] = [os.path.basename(path) for path in config.extend]
    return dumped


def written_config(folder: RunFolder) -> dict[str, Any]:
    """Return the config.yaml of a run folder in the format of the version that wrote it."""
    data: dict[str, Any] = canonical.decode(canonical.encode(reading.read(folder.config).data))
    return data if data["format"] > 1 else {key: value for key, value in data.items() if key != "format"}


def as_yaml(stored: Mapping[str, Any]) -> str:
    """Return the text of config.yaml."""
    return yaml.dump(stored, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """PyYAML leaves bare what YAML 1.1 reads as a string; configs are YAML 1.2, where 1e3 is a number."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = None if reading.is_plain_string(value) else "'"
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
) -> dict[str, Any]:
    """Return the content of run.json: what was run, where and with what."""
    config = experiment.config
    assert config.dataset.seed is not None
    return {
        "name": config.name,
        "config_digest": hashlib.sha256(as_yaml(stored).encode()).hexdigest(),
        "settings_digest": provenance.settings_digest(stored),
        "data_digest": experiment.digest(),
        "seeds": {"training": config.training.seed, "dataset": config.dataset.seed},
        "threads": config.training.threads,
        "device": device,
        "device_kind": device_kind(device),
        "engine": engine,
        "engine_reason": why,
        "code": {name: hashlib.sha256(data).hexdigest() for name, data in code.items()},
        **provenance.environment(),
    }


def device_kind(device: str) -> str:
    """Return the model of a device."""
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def record_of(folder: RunFolder) -> dict[str, Any]:
    """Return the content of run.json. Raises CheckpointError if it lacks what every run records."""
    record = folder.record()
    for name, kind in _KINDS.items():
        if not isinstance(record.get(name), kind):
            path = os.path.join(folder.path, "run.json")
            raise CheckpointError(
                path, f"is damaged: it has no {name}", "restore it from a copy or train again"
            )
    return record


def config_of(checkpoint: Checkpoint, path: str, folder: RunFolder, *, allow_code: bool) -> Config:
    """Return the config that is stored in a checkpoint of a run."""
    document = reading.from_mapping(with_format(checkpoint.meta["config"]), folder.path, path)
    return schema.parse(document, allow_code=allow_code, data=False)


def trained_config(folder: RunFolder, *, allow_code: bool = False) -> tuple[Config, str | None]:
    """Return the config that a run was trained with, and a warning if config.yaml differs from it."""
    last = None if is_as_recorded(folder) else folder.load_last()
    if last is None:
        return schema.parse(schema.read(folder.config), allow_code=allow_code, data=False), None
    config = config_of(last.checkpoint, last.path, folder, allow_code=allow_code)
    return config, edit_warning(folder, config, last.path, allow_code=allow_code)


def edit_warning(folder: RunFolder, config: Config, path: str, *, allow_code: bool = False) -> str | None:
    """Return a warning if config.yaml was edited and differs from `config`, that of the checkpoint at `path`.

    Extending a run replaces config.yaml, so only its meaning is compared.
    """
    if not _is_edited(folder, config, allow_code=allow_code):
        return None
    train = f"{command_line('train', folder.config)} starts a new run with the edited one"
    return f"{folder.config} was edited after the run was started; the config in {path} is used ({train})"


def _is_edited(folder: RunFolder, config: Config, *, allow_code: bool) -> bool:
    if is_as_recorded(folder):
        return False
    epochs = [config.training.epochs]
    with contextlib.suppress(CheckpointError):
        epochs += folder.status().extended  # config.yaml is replaced when an extension has ended
    return not any(
        has_meaning_of(folder, _with_epochs(config, number), allow_code=allow_code) for number in epochs
    )


def has_meaning_of(folder: RunFolder, config: Config, *, allow_code: bool) -> bool:
    """Return True if config.yaml means this config, whatever its comments and form."""
    try:
        edited = schema.parse(schema.read(folder.config), allow_code=allow_code, data=False)
    except MlprunError:
        return False
    return stored_config(edited, folder.path) == stored_config(config, folder.path)


def _with_epochs(config: Config, epochs: int) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})


def is_as_recorded(folder: RunFolder) -> bool:
    """Return True if config.yaml has the bytes that it had when the run was started."""
    data = files.read_bytes(folder.config, cap=_MAX_CONFIG, follow=False)
    return hashlib.sha256(data).hexdigest() == folder.record().get("config_digest")


def differences(
    record: Mapping[str, Any], experiment: Experiment, device: str, *, everything: bool = False
) -> list[str]:
    """Return what may change a run's bits and differs from `record`, without the rows.

    With `everything` also what should not matter: the kernel, the number of cores, the commit.
    """
    now = {
        **provenance.environment(),
        "threads": experiment.config.training.threads,
        "device": device,
        "device_kind": device_kind(device),
        "code": {name: hashlib.sha256(data).hexdigest() for name, data in code_of(experiment.config).items()},
    }
    return differing(record, now, everything=everything)


def differing(then: Mapping[str, Any], now: Mapping[str, Any], *, everything: bool = False) -> list[str]:
    """Return the differences of two records as text."""
    return [
        f"{name} was {_shown(before)} and is {_shown(value)}"
        for name, before, value in _pairs(then, now)
        if before != value and (everything or name not in ("kernel", "cores", "commit"))
    ]


def _pairs(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name of each property, its recorded and its present value."""
    for section, prefix in (("versions", ""), ("code", ""), ("devices", "device "), ("variables", "")):
        before, after = _part(then, section), _part(now, section)
        names = sorted({*before, *after})
        yield from ((f"{prefix}{name}", before.get(name), after.get(name)) for name in names)
    for name, section, key in (
        ("the system", "platform", "system"),
        ("the machine", "platform", "machine"),
        ("kernel", "platform", "release"),
        ("the CPU", "cpu", "model"),
        ("the CPU's instruction set", "cpu", "capability"),
        ("cores", "cpu", "count"),
        ("commit", "git", "commit"),
    ):
        yield name, _part(then, section).get(key), _part(now, section).get(key)
    for name in ("threads", "device", "device_kind"):
        yield name.replace("_", " "), then.get(name), now.get(name)


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
    path = getattr(experiment.config.dataset, "path", None)
    if path is None and changes:
        changes.append("the generated rows were others")
        return
    what = "its rows are no longer those that the run was started with"
    raise DataError(path or "dataset", what, "put the former data back, or train a new run on this one")
