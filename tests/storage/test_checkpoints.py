"""Checkpoints: what goes in comes out, and any damage is found."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import random
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from mlprun.errors import CheckpointError, FileError
from mlprun.storage import checkpoints
from mlprun.storage.checkpoints import Checkpoint, decode, encode


def small() -> Checkpoint:
    tensors = {
        "model.layers.0.weight": np.array([[0.5, -1.25], [math.pi, 1e-40]], np.float32),
        "optimizer.0.step": np.array(7, np.int64),
    }
    return Checkpoint(tensors, {"epoch": 3, "figures": {"dev_loss": 0.1, "train_loss": math.nan}})


def varied() -> Checkpoint:
    generator = np.random.default_rng(1)
    tensors = {
        "a.float64": generator.normal(size=(3, 4)),
        "b.empty": np.zeros((0, 5), np.float32),
        "c.scalar": np.array(2.5),
        "d.bool": np.array([True, False, True]),
        "e.bytes": np.arange(256, dtype=np.uint8),
        "f.special": np.array([math.nan, math.inf, -math.inf, -0.0, 5e-324]),
        "g größe": np.arange(3, dtype=np.int64),
        "h.big_endian": np.arange(4, dtype=">f8"),
        "i.transposed": np.arange(6.0).reshape(2, 3).T,
        "j.fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "k.strided": np.arange(10.0)[::3],
        "l.reversed": np.arange(4, dtype=np.float32)[::-1],
    }
    meta = {"config": {"name": 'quoted "moons" \\ ü'}, "progress": {"best": math.inf, "stale": None}}
    return Checkpoint(tensors, meta)


def with_true_checksum(data: bytes) -> bytes:
    return (
        data[: checkpoints._CHECKSUM.start] + checkpoints._checksum(data) + data[checkpoints._CHECKSUM.stop :]
    )


@pytest.mark.parametrize(
    "checkpoint", [small(), varied(), Checkpoint({}, {})], ids=["small", "varied", "empty"]
)
def test_a_checkpoint_comes_back_to_the_bit(checkpoint):
    back = decode(encode(checkpoint), "here")
    assert repr(back.meta) == repr(dict(checkpoint.meta))
    assert list(back.tensors) == sorted(checkpoint.tensors)
    for name, array in checkpoint.tensors.items():
        found = back.tensors[name]
        assert found.dtype == array.dtype.newbyteorder("=")
        assert found.shape == array.shape
        assert found.tobytes() == array.astype(found.dtype).tobytes()
        assert found.flags.writeable  # torch.from_numpy warns otherwise


def test_other_programs_read_the_tensors_as_plain_safetensors(tmp_path):
    found = safetensors.numpy.load(encode(varied()))
    np.testing.assert_array_equal(found["i.transposed"], np.arange(6.0).reshape(2, 3).T)


def test_equal_checkpoints_give_equal_bytes_in_every_process():
    program = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_checkpoints import varied, encode
sys.stdout.buffer.write(encode(varied()))
"""
    tensors = dict(reversed(varied().tensors.items()))
    here = encode(Checkpoint(tensors, dict(reversed(varied().meta.items()))))
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=True)
    assert there.stdout == here


def test_every_flipped_bit_is_found():
    data = bytearray(encode(small()))
    for position in range(len(data)):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(CheckpointError):
                decode(bytes(data), "here")
            data[position] ^= 1 << bit
    decode(bytes(data), "here")


def test_every_truncation_and_every_addition_is_found():
    data = encode(small())
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            decode(data[:length], "here")
    for more in (b"\0", b" ", data):
        with pytest.raises(CheckpointError, match="damaged"):
            decode(data + more, "here")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The bytes with one to four places overwritten, removed, repeated, swapped or zeroed."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(changed))
        stop = min(len(changed), start + chance.choice([1, 2, 8, 64]))
        kind = chance.randrange(5)
        if kind == 0:
            changed[start:stop] = chance.randbytes(stop - start)
        elif kind == 1 and stop - start < len(changed) - 1:
            del changed[start:stop]
        elif kind == 2:
            changed[start:start] = changed[start:stop]
        elif kind == 3:
            changed[start:stop] = changed[start:stop][::-1]
        else:
            changed[start:stop] = bytes(stop - start)
    return bytes(changed)


def test_random_damage_is_always_found():
    data, chance = encode(varied()), random.Random(1)
    for _ in range(10_000):
        damaged = mutated(data, chance)
        if damaged != data:
            with pytest.raises(CheckpointError):
                decode(damaged, "here")


def test_a_file_forged_with_a_true_checksum_is_read_or_refused_but_never_a_bug():
    data, chance = encode(varied()), random.Random(2)
    refused = 0
    for _ in range(5_000):
        body = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            body[chance.randrange(checkpoints._CHECKSUM.stop, 1500)] = chance.choice(
                b'0123456789{}[]",:-.eE\\ntF'
            )
        with contextlib.suppress(CheckpointError):
            refused += 1
            decode(with_true_checksum(bytes(body)), "here")
            refused -= 1
    assert refused > 1_000


def forged(header: object, body: bytes = b"") -> bytes:
    """A file with a true checksum whose header says anything behind the checksum's place."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return with_true_checksum(len(text).to_bytes(8, "little") + text + body)


def ours(**changes: object) -> dict[str, str]:
    record = {"checksum": "0" * 64, "meta": {}, "version": 1} | changes
    return {"mlprun": json.dumps(record, separators=(",", ":"), sort_keys=True)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            forged({"__metadata__": ours(version=3)}),
            "has format 3, and this mlprun reads formats 1 to 2; use",
        ),
        (forged({"__metadata__": ours(version="\x1b[2J")}), r"has format '\\x1b\[2J'"),
        (forged({"__metadata__": ours(meta=[])}), "its metadata is not a mapping"),
        (forged({"__metadata__": {**ours(), "other": "x"}, "a": {"dtype": "BF16"}}), "'a' is 'BF16'"),
        (forged({"__metadata__": ours(), "a": 3}), "not a checkpoint"),
        (
            forged(
                {"__metadata__": ours(), "a": {"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8]}},
                b"12345678",
            ),
            "not a checkpoint",
        ),
        (forged({"__metadata__": ours(), **{f"t{i}": {} for i in range(10_001)}}), "more than 10000 tensors"),
        (forged({"__metadata__": ours(meta={"a": "b" * 8_000_000})}), "header of more than 8 MB"),
    ],
    ids=["newer", "escape", "meta", "dtype", "not a tensor", "size bomb", "tensors", "header"],
)
def test_what_only_a_forger_writes_is_refused_with_its_reason(data, message):
    with pytest.raises(CheckpointError, match=message):
        decode(data, "here")


def test_deep_nesting_is_refused():
    bomb = '{"checksum":"' + "0" * 64 + '","meta":' + "[" * 100_000 + "]" * 100_000 + ',"version":1}'
    with pytest.raises(CheckpointError, match="nested too deeply"):
        decode(forged({"__metadata__": {"mlprun": bomb}}), "here")
    text = b'{"__metadata__":' + json.dumps(ours(), separators=(",", ":")).encode() + b',"a":' + b"[" * 10**6
    with pytest.raises(CheckpointError, match="not a checkpoint of mlprun"):
        decode(with_true_checksum(len(text).to_bytes(8, "little") + text), "here")


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", content)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_and_never_run(tmp_path, protocol):
    canary = tmp_path / "canary"
    payload = pickle.dumps(Payload(str(canary)), protocol=protocol)
    pickle.loads(payload)
    assert canary.is_dir()  # the payload works, so that its absence below proves something
    canary.rmdir()
    for data in (payload, archive(payload)):
        (tmp_path / "last.safetensors").write_bytes(data)
        with pytest.raises(CheckpointError, match="expected a checkpoint that mlprun wrote"):
            checkpoints.read(tmp_path / "last.safetensors")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a safetensors file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a safetensors file"),
        (archive(b""), r"is a zip archive, perhaps a PyTorch \.pt file"),
        (pickle.dumps([1], protocol=2), r"is a pickle, perhaps a PyTorch \.pt file"),
        (safetensors.numpy.save({"a": np.zeros(3)}), "is a safetensors file that mlprun did not write"),
        (
            safetensors.numpy.save({"a": np.zeros(3)}, {"mlprun": "{}"}),
            "is a safetensors file that mlprun did not",
        ),
        (b"epoch,train_loss\n1,0.5\n", "is not a safetensors file"),
        (bytes(1000), "is not a safetensors file"),
    ],
    ids=["empty", "png", "zip", "pickle", "foreign", "foreign key", "text", "zeros"],
)
def test_a_file_of_another_kind_is_named(tmp_path, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=rf"^{path}: {message}.*; expected a checkpoint") as caught:
        checkpoints.read(path)
    assert caught.value.exit_code == 4


def test_missing_and_folder_are_4_and_unreadable_is_7(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="no such file; expected"):
        checkpoints.read(tmp_path / "missing")
    with pytest.raises(CheckpointError, match="is a folder, not a file; expected"):
        checkpoints.read(tmp_path)
    with pytest.raises(FileError, match="cannot be read: input/output error") as caught:
        checkpoints.read("/proc/self/mem")
    assert caught.value.exit_code == 7


def test_a_file_beyond_the_cap_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "bomb"
    path.touch()
    os.truncate(path, 2**40)  # sparse: it takes no room on the disk
    with pytest.raises(CheckpointError, match=r"is larger than 1073.74 MB"):
        checkpoints.read(path)


def test_a_link_is_followed_only_where_a_user_names_it(tmp_path):
    (tmp_path / "a").write_bytes(encode(small()))
    (tmp_path / "link").symlink_to("a")
    assert checkpoints.read(tmp_path / "link").meta["epoch"] == 3
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        checkpoints.read(tmp_path / "link", follow=False)


def test_what_could_not_be_read_again_is_not_written(monkeypatch):
    with pytest.raises(TypeError, match="float16"):
        encode(Checkpoint({"a": np.zeros(2, np.float16)}, {}))
    with pytest.raises(CheckpointError, match="header of more than 8 MB"):
        encode(Checkpoint({}, {"config": "x" * 8_000_000}))
    with pytest.raises(CheckpointError, match="more than 10000 tensors"):
        encode(Checkpoint({f"t{number}": np.zeros(0) for number in range(10_001)}, {}))
    monkeypatch.setattr(checkpoints, "MAX_BYTES", 100)
    with pytest.raises(CheckpointError, match="holds more than"):
        encode(small())
