"""history.csv: exact digits, whole lines, and which damage is forgiven."""

from __future__ import annotations

import csv
import errno
import math
import os
import random
import struct

import numpy as np
import pytest

from mlprun import files
from mlprun.errors import CheckpointError, FileError, UsageError
from mlprun.storage import history
from mlprun.storage.history import History

COLUMNS = ("epoch", "lr", "train_loss", "dev_loss")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "history.csv")


def content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def written(path: str, data: bytes) -> str:
    with open(path, "wb") as file:
        file.write(data)
    return path


def test_the_file_is_what_the_design_says(path):
    with History.open(path, COLUMNS) as log:
        log.append([(1, 0.1, 0.30000000000000004, None), (2, 1e-3, math.nan, 5e-324)])
        log.append([(3, 1.0, math.inf, -math.inf)])
    lines = [
        "epoch,lr,train_loss,dev_loss",
        "1,0.1,0.30000000000000004,",
        "2,0.001,nan,5e-324",
        "3,1.0,inf,-inf",
    ]
    assert content(path).decode() == "".join(f"{line}\n" for line in lines)


def test_every_value_reads_back_exactly(path):
    chance = random.Random(1)
    values = [struct.unpack("<d", chance.randbytes(8))[0] for _ in range(2_000)] + [
        0.0,
        -0.0,
        1e22,
        123456789.0,
    ]
    singles = [float(np.float32(chance.gauss(0, 1))) for _ in values]
    with History.open(path, ["epoch", "a", "b"]) as log:
        log.append(zip(range(len(values)), values, singles, strict=True))
    found = history.read(path)
    assert found["epoch"].dtype == np.int64
    np.testing.assert_array_equal(found["epoch"], np.arange(len(values)))
    np.testing.assert_array_equal(found["a"], values)
    assert found["b"].tobytes() == np.array(singles).tobytes()


def test_numpy_scalars_are_written_as_numbers(path):
    with History.open(path, ["epoch", "a", "b"]) as log:
        log.append([(np.int64(1), np.float64(0.5), np.float32(0.1))])
    assert content(path).endswith(b"\n1,0.5,0.10000000149011612\n")


def test_a_spreadsheet_reads_it(path):
    with History.open(path, COLUMNS) as log:
        log.append([(1, 0.1, 0.2, 0.3)])
    with open(path, newline="") as file:
        assert list(csv.DictReader(file)) == [dict(zip(COLUMNS, ["1", "0.1", "0.2", "0.3"], strict=True))]


def test_a_history_without_rows_has_its_columns(path):
    History.open(path, COLUMNS).close()
    found = history.read(path)
    assert list(found) == list(COLUMNS)
    assert all(len(values) == 0 for values in found.values())


def test_each_batch_of_rows_is_one_write_and_is_synced_on_demand(path, monkeypatch):
    calls = []

    class Recording(files.System):
        @staticmethod
        def write(descriptor: int, data: bytes) -> int:
            calls.append(bytes(data))
            return os.write(descriptor, data)

        @staticmethod
        def fsync(descriptor: int) -> None:
            calls.append(b"fsync")
            os.fsync(descriptor)

    with History.open(path, ["epoch"]) as log:
        monkeypatch.setattr(files, "system", Recording())
        log.append([(1,), (2,)])
        log.append([])
        log.sync()
    assert calls == [b"1\n2\n", b"fsync"]


def test_the_header_is_durable_before_anything_refers_to_it(path, monkeypatch):
    synced = []

    class Recording(files.System):
        @staticmethod
        def fsync(descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(files, "system", Recording())
    with History.open(path, COLUMNS) as log:
        assert log.offset == len(",".join(COLUMNS)) + 1
    assert synced == [path, os.path.dirname(path)]


def test_rows_behind_a_checkpoint_are_cut_off_and_written_again(path):
    with History.open(path, ["epoch", "loss"]) as log:
        log.append([(1, 0.5)])
        offset = log.offset
        log.append([(2, 0.25), (3, 0.125)])
        undisturbed = content(path)
    with open(path, "ab") as file:
        file.write(b"4,0.0")  # a row that was cut short
    with History.open(path, ["epoch", "loss"]) as log:
        log.truncate(offset)
        assert (log.offset, content(path)) == (offset, b"epoch,loss\n1,0.5\n")
        log.append([(2, 0.25), (3, 0.125)])
        assert log.offset == len(undisturbed)
    assert content(path) == undisturbed


@pytest.mark.parametrize("data", [b"epoch,loss\n1,0.5\n", bytes(11), bytes(3), b"epoch,lr\n"])
def test_a_run_that_begins_again_has_no_rows_whatever_stands_there(path, data):
    with History.open(written(path, data), ["epoch", "loss"], anew=True) as log:
        log.append([(1, 0.25)])
    assert content(path) == b"epoch,loss\n1,0.25\n"


@pytest.mark.parametrize("offset", [-1, 0, 5, 12, 18, 100])
def test_an_offset_that_ends_no_row_is_refused_and_nothing_is_cut(path, offset):
    data = b"epoch,loss\n1,0.5\n"
    refused = pytest.raises(CheckpointError, match="does not fit the checkpoint beside it")
    with History.open(written(path, data), ["epoch", "loss"]) as log, refused:
        log.truncate(offset)
    assert content(path) == data


def test_a_header_that_was_cut_short_is_written_again(path):
    header = b"epoch,loss\n"
    for length in range(len(header)):
        with History.open(written(path, header[:length]), ["epoch", "loss"]) as log:
            assert (log.offset, content(path)) == (len(header), header)


@pytest.mark.parametrize("data", [b"epoch,accuracy\n", b"x", b"epoch,loss,accuracy\n1,2,3\n", b"\xff\n"])
def test_a_history_with_other_columns_is_refused_and_left_alone(path, data):
    with pytest.raises(CheckpointError, match="has other columns than its run"):
        History.open(written(path, data), ["epoch", "loss"])
    assert content(path) == data


@pytest.mark.parametrize("column", ["", "a,b", 'a"b', "a\nb", "a\x1b[0m", "a\u202eb"])
def test_a_column_that_would_break_the_file_is_refused(path, column):
    with pytest.raises(UsageError, match=r"is not possible in history\.csv"):
        History.open(path, ["epoch", column])
    assert not os.path.exists(path)


def test_a_row_that_does_not_fit_is_our_own_mistake(path):
    with History.open(path, COLUMNS) as log, pytest.raises(AssertionError):
        log.append([(1, 0.1)])


@pytest.mark.parametrize("taken", [0, 3, 9])
def test_a_full_disk_leaves_only_whole_rows_and_work_goes_on_when_there_is_room(path, monkeypatch, taken):
    class Full(files.System):
        room = taken

        def write(self, descriptor: int, data: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "full")
            count = os.write(descriptor, data[: self.room])
            self.room -= count
            return count

    with History.open(path, ["epoch", "loss"]) as log:
        log.append([(1, 0.5)])
        with monkeypatch.context() as patch:
            patch.setattr(files, "system", Full())
            with pytest.raises(FileError, match="no space left on device; free some space"):
                log.append([(2, 0.25), (3, 0.125)])
        assert content(path) == b"epoch,loss\n1,0.5\n"
        log.append([(2, 0.25)])
    assert content(path) == b"epoch,loss\n1,0.5\n2,0.25\n"


@pytest.mark.parametrize("tail", [b"2", b"2,", b"2,0.2", b"2,0.2,7,x", b"\0\0\0", b"\xff\xfe", b"\r"])
def test_an_unterminated_last_line_is_forgiven(path, tail):
    found = history.read(written(path, b"epoch,loss\n1,0.5\n" + tail))
    assert {name: list(values) for name, values in found.items()} == {"epoch": [1], "loss": [0.5]}


@pytest.mark.parametrize("data", [b"", b"epo", b"\0\0\0"])
def test_a_history_without_even_a_header_is_empty(path, data):
    assert history.read(written(path, data)) == {}


DAMAGE = [
    (b"\n", 1),
    (b"epoch,\n", 1),
    (b"epoch,epoch\n", 1),
    (b"\xef\xbb\xbfepoch,loss\n1,2.0\n", 1),
    (b"epoch,loss\r\n1,0.5\r\n", 1),
    (b"ep\xffch,loss\n1,0.5\n", 1),
    (b"epoch,loss\n1,0.5\n\n3,0.5\n", 3),
    (b"epoch,loss\n1,0.5\n2\n", 3),
    (b"epoch,loss\n1,0.5\n2,0.5,0.5\n", 3),
    (b"epoch,loss\n1,0.5\n2,0.5x\n", 3),
    (b"epoch,loss\n1,0.5\n2,0.\n", 3),
    (b"epoch,loss\n1,0.5\n2, 0.5\n", 3),
    (b"epoch,loss\n1,0.5\n2,0_5\n", 3),
    (b"epoch,loss\n1,0.5\n2,NaN\n", 3),
    (b"epoch,loss\n1,0.5\n2,\xff\n", 3),
    (b"epoch,loss\n1,0.5\n\0\0\0\0\n", 3),
    ("epoch,loss\n1,0.5\n2,٣\n".encode(), 3),
    (b"epoch,loss\n1,0.5\n" + b"9" * 30 + b",0.5\n", 3),
]


@pytest.mark.parametrize(("data", "line"), DAMAGE)
def test_other_damage_is_refused_with_its_line(path, data, line):
    with pytest.raises(CheckpointError) as caught:
        history.read(written(path, data))
    assert caught.value.where == f"{path}:{line}"
    assert caught.value.exit_code == 4
    assert str(caught.value).isprintable()


def test_random_damage_is_never_a_bug(path):
    data, chance = b"epoch,loss,dev_loss\n1,0.5,\n2,1e-05,nan\n3,-inf,0.25\n", random.Random(3)
    refused = 0
    for _ in range(1_000):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        try:
            history.read(written(path, bytes(changed)))
        except CheckpointError:
            refused += 1
    assert refused > 500


def test_what_is_not_a_file_is_refused(path, tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        history.read(path)
    with pytest.raises(CheckpointError, match="is a folder"):
        history.read(str(tmp_path))
    (tmp_path / "mine").write_bytes(b"epoch\n")
    os.symlink("mine", path)
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        history.read(path)
    with pytest.raises(FileError, match="a symbolic link"):
        History.open(path, ["epoch"])
