"""Files made to run code or to fill memory: refused in bounded memory, and the canary stays alive."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from faulty.comparing import read
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun.storage import checkpoints
from mlprun.storage.checkpoints import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = 1 << 30
"""bytes that a command may take beside what the libraries take"""
CONFIG = config_of("momentum", training={"epochs": 2})


class Payload:
    """An object that touches a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def pickled(canary: Path, protocol: int = 4) -> bytes:
    return pickle.dumps(Payload(canary), protocol)


def torch_archive(canary: Path, folder: str = "archive") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", pickled(canary, 2))
        archive.writestr(f"{folder}/version", "3\n")
    return file.getvalue()


def header(text: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def signed(data: bytes) -> bytes:
    """The file with a checksum that is true: the hash finds damage, not forgery."""
    start, stop = checkpoints._CHECKSUM.start, checkpoints._CHECKSUM.stop
    return data[:start] + checkpoints._checksum(data) + data[stop:]


START = checkpoints._START + b"0" * 64


def bomb(rest: bytes, data: bytes = b"") -> bytes:
    return signed(header(START + rest, data=data))


FILES: dict[str, Callable[[Path], bytes]] = {
    "pickle, protocol 0": lambda canary: pickled(canary, 0),
    "pickle, protocol 2": lambda canary: pickled(canary, 2),
    "pickle, protocol 5": lambda canary: pickled(canary, 5),
    "pickle behind a safetensors length": lambda canary: header(pickled(canary)),
    "pickle in a tensor": lambda canary: header(
        b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % ((len(pickled(canary)),) * 2),
        data=pickled(canary),
    ),
    "a .pt file": torch_archive,
    "a .pt file with a name of ours": lambda canary: torch_archive(canary, "best.safetensors"),
    "two files in one": lambda canary: header(b"{}") + torch_archive(canary),
    "yaml that builds objects": lambda canary: f"!!python/object/apply:os.system ['touch {canary}']".encode(),
    "a header of 2**63 bytes": lambda _: header(b"{}", 2**63),
    "a header of all memory": lambda _: header(b'{"__metadata__":{}}', 2**40),
    "a tensor of 2**60 bytes": lambda _: header(
        b'{"a":{"dtype":"F32","shape":[1152921504606846976],"data_offsets":[0,4]}}'
    ),
    "our start, then nothing": lambda _: bomb(b""),
    "our start, then nesting": lambda _: bomb(b'\\",\\"meta\\":' + b"[" * 100_000),
    "our start, then numbers": lambda _: bomb(b'\\",\\"meta\\":' + b"9" * 1_000_000 + b'}"}}'),
    "a header of 9 MB": lambda _: bomb(b" " * 9_000_000),
    "100,000 tensors": lambda _: bomb(
        b'\\",\\"meta\\":{},\\"version\\":1}"},'
        + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(100_000))
        + b"}"
    ),
    "tensors over each other": lambda _: bomb(
        b'\\",\\"meta\\":{},\\"version\\":1}"},"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
        b'"b":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
        bytes(16),
    ),
    "a shape that overflows": lambda _: bomb(
        b'\\",\\"meta\\":{},\\"version\\":1}"},"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}'
    ),
    "another version": lambda _: bomb(b'\\",\\"meta\\":{},\\"version\\":99}"}}'),
}


@pytest.fixture(scope="module")
def whole(memory_folder: Path) -> str:
    return mlprun.train(CONFIG, out=str(memory_folder / "whole")).path


@pytest.fixture
def run(whole: str, memory: Path) -> str:
    shutil.copytree(whole, memory / "run-001")
    return str(memory / "run-001")


def call(children: Any, *arguments: str, folder: Path) -> tuple[int, str]:
    """The exit code and the messages of a command with bounded memory."""
    told = children.one(*arguments, "-q", folder=folder, limits={"RLIMIT_AS": MEMORY})
    return told["code"], told["err"]


def test_the_canary_sings_under_plain_pickle(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickled(canary))
    assert canary.exists()
    assert len(FILES) >= 20


@pytest.mark.parametrize("name", FILES)
def test_a_malicious_checkpoint_is_refused_and_runs_nothing(
    name: str, children: Any, run: str, memory: Path
) -> None:
    canary = memory / "canary"
    data = FILES[name](canary)
    for file in ("best", "last"):
        Path(run, f"{file}.safetensors").write_bytes(data)
    table = memory / "rows.csv"
    table.write_text("x1,x2\n1,2\n")
    for arguments in (
        ("eval", run),
        ("eval", f"{run}/best.safetensors"),
        ("predict", f"{run}/best.safetensors", str(table)),
        ("resume", run),
    ):
        code, err = call(children, *arguments, folder=memory)
        assert code == 4, (arguments, err)
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert len(err) < 2000
    assert call(children, "ls", str(memory), folder=memory)[0] == 0
    assert not canary.exists()


def forged(path: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """A checkpoint whose metadata says something else, with a true checksum."""
    checkpoint = checkpoints.read(path)
    meta = json.loads(json.dumps(checkpoint.meta))
    change(meta)
    Path(path).write_bytes(checkpoints.encode(Checkpoint(checkpoint.tensors, meta)))


CODE = "import pathlib\npathlib.Path({canary!r}).touch()\n"
SAYS: dict[str, tuple[Callable[[dict[str, Any], str], Any], set[int]]] = {
    "extend beside it": (lambda meta, _: meta["config"].update(extend=["evil.py"]), {2, 4}),
    "extend elsewhere": (lambda meta, evil: meta["config"].update(extend=[evil]), {2, 4}),
    "extend through ..": (lambda meta, _: meta["config"].update(extend=["../evil.py"]), {2, 4}),
    "a base": (lambda meta, evil: meta["config"].update(base=evil), {2, 4}),
    "a table that is no table": (
        lambda meta, _: meta["config"].update(dataset={"name": "table", "path": "/dev/zero", "target": "y"}),
        {2, 3, 4},
    ),
    "a file of weights": (
        lambda meta, evil: meta["config"]["architecture"].update(init={"name": "file", "path": evil}),
        {0, 2, 4},
    ),
    "a network of all memory": (
        lambda meta, _: meta["config"]["architecture"].update(hidden=[10**6, 10**6], layers=None),
        {2, 4},
    ),
    "a config that is none": (lambda meta, _: meta.update(config=[1]), {2, 4}),
    "a config of text": (lambda meta, _: meta.update(config="moons"), {2, 4}),
    "an empty config": (lambda meta, _: meta.update(config={}), {2, 4}),
    "no preprocessing": (lambda meta, _: meta.update(preprocessing=None), {4}),
    "a preprocessing of many columns": (
        lambda meta, _: meta["preprocessing"].update(inputs=meta["preprocessing"]["inputs"] * 10_000),
        {4},
    ),
    "an epoch beyond the end": (lambda meta, _: meta.update(epoch=10**15), {0, 4}),
    "an epoch before the start": (lambda meta, _: meta.update(epoch=-1), {4}),
    "an epoch of text": (lambda meta, _: meta.update(epoch="1"), {4}),
    "no progress": (lambda meta, _: meta.update(progress=None), {0, 4}),
    "an offset beyond the history": (lambda meta, _: meta.update(history_offset=10**12), {0, 4}),
    "no slots": (lambda meta, _: meta.update(optimizer=[]), {0, 4}),
    "slots that are none": (
        lambda meta, _: meta.update(optimizer=[{"layers.0.weight": {"array": "x"}}]),
        {0, 4},
    ),
    "stopped as nothing does": (lambda meta, _: meta.update(stopped="asked"), {0, 4}),
}


@pytest.mark.parametrize("name", SAYS)
def test_metadata_that_lies_runs_nothing_and_takes_no_memory(
    name: str, children: Any, run: str, memory: Path
) -> None:
    canary, evil = memory / "canary", memory / "evil.py"
    code = CODE.format(canary=str(canary))
    evil.write_text(code)
    Path(run, "evil.py").write_text(code)
    change, codes = SAYS[name]
    for file in ("last", "best"):
        forged(f"{run}/{file}.safetensors", lambda meta: change(meta, str(evil)))
    os.unlink(f"{run}/last.previous.safetensors")
    # with a record that vouches for nothing, so that only what is checked later stands between
    record = json.loads(read(run, "run.json"))
    for digest in (record["settings_digest"], None):
        if digest is None:
            del record["settings_digest"]
            Path(run, "run.json").write_text(json.dumps(record))
        for arguments in (
            ("eval", f"{run}/best.safetensors"),
            ("eval", run),
            ("resume", run, "--epochs", "4"),
        ):
            found, err = call(children, *arguments, folder=memory)
            assert found in codes | {4}, (arguments, err)
            assert err.count("error:") <= 1
            assert "internal" not in err
    assert not canary.exists()


def test_a_config_in_a_run_folder_that_names_code_is_refused(children: Any, run: str, memory: Path) -> None:
    canary = memory / "canary"
    Path(run, "evil.py").write_text(CODE.format(canary=str(canary)))
    config = yaml.safe_load(read(run, "config.yaml"))
    Path(run, "config.yaml").write_text(yaml.safe_dump({**config, "extend": ["evil.py"]}))
    for path in (f"{run}/best.safetensors", f"{run}/last.safetensors", f"{run}/last.previous.safetensors"):
        os.unlink(path)
    for arguments in (("resume", run), ("reproduce", run), ("train", f"{run}/config.yaml"), ("show", run)):
        code, err = call(children, *arguments, folder=memory)
        assert code in (2, 4), (arguments, err)
        assert code == 4 or "would run code from" in err
        assert code == 4 or "add --allow-code if you trust it" in err
    assert not canary.exists()


LINKED = (
    "config.yaml",
    "run.json",
    "status.json",
    "history.csv",
    "best.safetensors",
    "last.safetensors",
    "lock",
)


@pytest.mark.parametrize("name", [*LINKED, "train.log", "last.previous.safetensors"])
def test_links_are_not_followed_out_of_a_run_folder(name: str, children: Any, run: str, memory: Path) -> None:
    mine = memory / "mine"
    shutil.copy(Path(run, name), mine)
    before = mine.read_bytes()
    os.unlink(Path(run, name))
    os.symlink(mine, Path(run, name))
    for arguments in (("resume", run, "--epochs", "3"), ("eval", run), ("show", run), ("reproduce", run)):
        code, err = call(children, *arguments, folder=memory)
        assert code == 4, (arguments, err)
        assert "which mlprun does not follow out of a run folder" in err
    assert mine.read_bytes() == before
    assert os.path.islink(Path(run, name))


def test_a_linked_table_of_code_beside_a_run_is_not_run_by_looking(
    children: Any, run: str, memory: Path
) -> None:
    """Nothing in a run folder but what the config names is ever read as code."""
    canary = memory / "canary"
    for name in ("sitecustomize.py", "mlprun.py", "torch.py", "conftest.py"):
        Path(run, name).write_text(CODE.format(canary=str(canary)))
    for arguments in (("eval", "."), ("show", "."), ("resume", "."), ("ls", "..")):
        assert call(children, *arguments, folder=Path(run))[0] == 0
    assert not canary.exists()
