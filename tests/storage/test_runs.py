"""Run folders: created whole, numbered apart, opened only when sound, saved to in an order that survives."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import multiprocessing
import os

import numpy as np
import pytest

from mlprun import files
from mlprun.errors import CheckpointError, FileError, RunInUseError, UsageError
from mlprun.storage import checkpoints, runs
from mlprun.storage.checkpoints import Checkpoint
from mlprun.storage.runs import Log, RunFolder, Status


def create(out: object, name: str = "moons", **more: object) -> RunFolder:
    run, lock = runs.create(str(out), name, config="name: moons\n", record={"threads": 1}, **more)
    lock.release()
    return run


def checkpoint(epoch: int) -> bytes:
    return checkpoints.encode(Checkpoint({"w": np.full(3, float(epoch))}, {"epoch": epoch}))


def epochs(run: RunFolder) -> dict[str, int]:
    paths = {"best": run.best, "last": run.last, "previous": run.previous}
    return {
        name: checkpoints.read(path).meta["epoch"] for name, path in paths.items() if os.path.exists(path)
    }


def test_a_new_folder_has_its_config_record_and_status(tmp_path):
    run = create(tmp_path / "deep" / "runs", code={"my_parts.py": b"x = 1\n"})
    assert run.path == str(tmp_path / "deep" / "runs" / "moons-001")
    assert run.name == "moons-001"
    expected = ["config.yaml", "lock", "my_parts.py", "run.json", "status.json"]
    assert sorted(os.listdir(run.path)) == expected
    assert sorted(os.listdir(tmp_path / "deep" / "runs")) == ["latest", "moons-001"]
    assert files.read_text(run.config, cap=100) == "name: moons\n"
    assert run.record() == {"threads": 1}


def test_numbers_go_up_and_are_not_used_again(tmp_path):
    for name in ("moons-002", "moons-007", "moons-xor-050", "moons-0", "moons-8", "moons-abc", "moons"):
        (tmp_path / name).mkdir()
    assert create(tmp_path).name == "moons-008"
    assert create(tmp_path, "moons-xor").name == "moons-xor-051"
    assert create(tmp_path, "moons-007").name == "moons-007-001"
    (tmp_path / "moons-999").touch()
    assert create(tmp_path).name == "moons-1000"
    assert create(tmp_path).name == "moons-1001"


@pytest.mark.parametrize("name", ["a", "moons", "7", "A.b_c-d", "x" * 64])
def test_a_good_name_is_taken(tmp_path, name):
    assert create(tmp_path, name).name == f"{name}-001"


@pytest.mark.parametrize(
    "name", ["", ".a", "-a", "_a", "a/b", "../a", "a b", "ä", "a\n", "x" * 65, "\x1b[2J"]
)
def test_a_bad_name_is_refused_before_anything_is_made(tmp_path, name):
    with pytest.raises(UsageError, match="expected up to 64 letters") as caught:
        create(tmp_path / "runs", name)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "runs").exists()


def create_many(out: str, start: object, queue: object) -> None:
    start.wait()
    for _ in range(10):
        run, lock = runs.create(out, "moons", config="name: moons\n", record={"pid": os.getpid()})
        queue.put((run.path, run.record()["pid"] == os.getpid(), run.status().state))
        lock.release()


def test_simultaneous_creators_get_folders_of_their_own(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, queue = context.Event(), context.Queue()
    arguments = (str(tmp_path), start, queue)
    workers = [context.Process(target=create_many, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    start.set()
    found = [queue.get(timeout=30) for _ in range(20)]
    for worker in workers:
        worker.join()
    assert sorted(path for path, _, _ in found) == [
        f"{tmp_path}/moons-{number:03d}" for number in range(1, 21)
    ]
    assert all(own and state == "running" for _, own, state in found)
    assert len(os.listdir(tmp_path)) == 21
    assert os.readlink(tmp_path / "latest") in {os.path.basename(path) for path, _, _ in found[-2:]}


def test_at_no_moment_has_a_numbered_folder_no_config_or_no_lock(tmp_path, monkeypatch):
    seen = set()

    class Watching(files.System):
        def __getattribute__(self, name: str) -> object:
            for folder in os.listdir(tmp_path):
                if not folder.startswith(".") and folder != "latest":
                    seen.add(folder)
                    assert {"config.yaml", "run.json", "status.json", "lock"} <= set(
                        os.listdir(tmp_path / folder)
                    )
            return super().__getattribute__(name)

    monkeypatch.setattr(files, "system", Watching())
    run, lock = runs.create(str(tmp_path), "moons", config="", record={})
    assert run.status().state == "running"  # with the lock held from the first moment
    with pytest.raises(RunInUseError):
        run.lock()
    lock.release()
    assert seen == {"moons-001"}


CALLS = ("mkdir", "open", "write", "fsync", "close", "flock", "ftruncate", "rename", "listdir")


@pytest.mark.parametrize("call", CALLS)
def test_a_creation_that_fails_at_any_call_is_7_and_leaves_nothing(tmp_path, monkeypatch, call):
    class Failing(files.System):
        left = 0

        def __getattribute__(self, name: str) -> object:
            found = super().__getattribute__(name)
            if name != call:
                return found

            def fail(*arguments: object, **options: object) -> object:
                self.left -= 1
                if self.left < 0:
                    if name == "close":
                        os.close(arguments[0])
                    raise OSError(errno.ENOSPC, "full")
                return found(*arguments, **options)

            return fail

    for after in range(50):
        system = Failing()
        system.left = after
        monkeypatch.setattr(files, "system", system)
        out = tmp_path / str(after)
        lock = None
        with contextlib.suppress(FileError):  # and no other error
            _, lock = runs.create(str(out), "moons", config="", record={})
        monkeypatch.undo()
        left = sorted(os.listdir(out)) if out.exists() else []
        if lock is not None:
            lock.release()
            break
        assert left in ([], ["latest", "moons-001"])  # claimed already when only the last sync failed
    assert after > 0
    assert left == ["latest", "moons-001"]


def test_source_files_cannot_take_the_place_of_the_runs_own(tmp_path):
    for name in ("config.yaml", "lock", "../x.py", "a/b.py", ".x.py", "plots", ""):
        with pytest.raises(AssertionError):
            create(tmp_path, code={name: b""})


FIGURES = {"best": None, "last": {"epoch": 1000, "splits": {"test": {"loss": math.inf}}}, "baselines": {}}


def test_a_run_that_is_open_says_how_it_stands(tmp_path):
    run, lock = runs.create(str(tmp_path), "moons", config="", record={})
    with lock:
        assert run.status() == Status("running")
        run.save_last(checkpoints.encode(checkpoints.Checkpoint({}, {"epoch": 5})))
        assert run.status().epochs == 5  # what is saved counts, not what was written when it began
    assert run.status() == Status("crashed", epochs=5)
    ended = Status("finished", 1000, 1.5, FIGURES, "early stopping")
    run.write_status(ended)
    assert run.status() == ended


def test_a_run_that_ends_between_two_looks_has_not_crashed(tmp_path, monkeypatch):
    run = create(tmp_path)

    def is_locked(path: str) -> bool:
        run.write_status(Status("finished"))
        return False

    monkeypatch.setattr(runs, "is_locked", is_locked)
    assert run.status().state == "finished"


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 10**5, b'{"state": "odd"}', b'{"state": ["running"]}', b"NaN"],
)
def test_a_damaged_status_or_record_is_4(tmp_path, damage):
    run = create(tmp_path)
    for name in ("status.json", "run.json"):
        (tmp_path / "moons-001" / name).write_bytes(damage)
    with pytest.raises(CheckpointError, match=r"status\.json: is damaged"):
        run.status()
    if not damage.startswith(b"{") or damage == b"{":
        with pytest.raises(CheckpointError, match=r"run\.json: is damaged"):
            run.record()


def test_a_status_of_a_later_version_may_say_more(tmp_path):
    run = create(tmp_path)
    path = tmp_path / "moons-001" / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "finished", "later": 1}))
    assert run.status() == Status("finished")


def test_saving_keeps_the_checkpoint_before(tmp_path):
    run = create(tmp_path)
    assert run.load_last() is None
    with pytest.raises(CheckpointError, match=r"best\.safetensors: no such file"):
        run.load_best()
    for epoch in range(4):
        run.save_best(checkpoint(epoch // 2))
        run.save_last(checkpoint(epoch))
    assert epochs(run) == {"best": 1, "last": 3, "previous": 2}
    last = run.load_last()
    assert (last.checkpoint.meta["epoch"], last.path, last.damage) == (3, run.last, None)
    assert run.load_best().meta["epoch"] == 1
    assert not any(files.is_temporary(name) for name in os.listdir(run.path))


def test_a_damaged_last_gives_way_to_the_one_before_which_then_survives_the_next_save(tmp_path):
    run = create(tmp_path)
    for epoch in range(3):
        run.save_last(checkpoint(epoch))
    with open(run.last, "r+b") as file:
        file.truncate(100)
    last = run.load_last()
    assert (last.checkpoint.meta["epoch"], last.path) == (1, run.previous)
    assert last.damage.where == run.last
    run.restore_last()
    assert epochs(run) == {"last": 1, "previous": 1}
    run.save_last(checkpoint(2))
    assert epochs(run) == {"last": 2, "previous": 1}


def test_a_missing_last_gives_way_to_the_one_before(tmp_path):
    run = create(tmp_path)
    for epoch in range(3):
        run.save_last(checkpoint(epoch))
    os.unlink(run.last)
    assert run.load_last().checkpoint.meta["epoch"] == 1


def test_without_a_usable_checkpoint_both_reasons_are_given(tmp_path):
    run = create(tmp_path)
    for path in (run.last, run.previous):
        with open(path, "wb") as file:
            file.write(b"\x89PNG")
    what = "is not a safetensors file"
    with pytest.raises(
        CheckpointError, match=rf"last\.safetensors: {what}.*last\.previous\.safetensors: {what}"
    ):
        run.load_last()
    with pytest.raises(CheckpointError, match=what):
        run.restore_last()


def test_a_save_that_fails_leaves_both_checkpoints_usable(tmp_path, monkeypatch):
    run = create(tmp_path)
    for epoch in range(3):
        run.save_last(checkpoint(epoch))
    for call in ("open", "write", "fsync", "close", "link", "replace"):
        system = files.System()

        def fail(*arguments: object, **options: object) -> object:
            raise OSError(errno.ENOSPC, "full")

        setattr(system, call, fail)
        with monkeypatch.context() as patch:
            patch.setattr(files, "system", system)
            with pytest.raises(FileError):
                run.save_last(checkpoint(9))
        assert epochs(run)["last"] == 2
        assert epochs(run)["previous"] in (1, 2)
    run.save_last(checkpoint(3))
    assert epochs(run) == {"last": 3, "previous": 2}


def test_taking_the_lock_removes_what_a_killed_process_left_and_nothing_else(tmp_path):
    run = create(tmp_path)
    folder = tmp_path / "moons-001"
    ours, mine = (
        ".mlprun-0123456789abcdef.tmp",
        [".mlprun-notes.tmp", "notes.tmp", ".mlprun-0123456789abcdef.tmp.bak"],
    )
    for name in [ours, *mine]:
        (folder / name).touch()
    (folder / ".mlprun-00000000000000ff.tmp").symlink_to("notes.tmp")
    with run.lock():
        present = set(os.listdir(folder))
    assert ours not in present
    assert {*mine, ".mlprun-00000000000000ff.tmp"} <= present


def test_a_sound_folder_is_opened_and_through_a_link_to_it_too(tmp_path):
    run = create(tmp_path)
    assert runs.open_run(run.path).path == run.path
    assert runs.open_run(f"{run.path}/").name == "moons-001"
    (tmp_path / "mine").symlink_to("moons-001")
    assert runs.open_run(str(tmp_path / "mine")).status().state == "crashed"


def test_latest_links_to_the_newest_run_and_is_no_run_itself(tmp_path):
    for number in (1, 2):
        run = create(tmp_path)
        assert os.readlink(tmp_path / "latest") == f"moons-{number:03d}"
        assert runs.resolve_latest(f"{tmp_path}/latest/last.safetensors") == run.last
    assert [found.name for found in runs.find(str(tmp_path))] == ["moons-001", "moons-002"]
    os.utime(tmp_path / "moons-001" / "run.json", ns=(2**60, 2**61))
    assert runs.open_run(str(tmp_path / "latest")).name == "moons-002"
    (tmp_path / "moons-002").rename(tmp_path / "kept")
    assert runs.open_run(str(tmp_path / "latest")).name == "moons-001"  # the newest of those that are left


@pytest.mark.parametrize("name", ["symlink", "rename"])
def test_without_links_latest_is_still_the_newest_run(tmp_path, monkeypatch, name):
    create(tmp_path)

    class Failing(files.System):
        pass

    def fail(source: str, target: str) -> None:
        if os.path.islink(source) or name == "symlink":
            raise OSError(errno.EPERM, "no links here")
        os.rename(source, target)

    setattr(Failing, name, staticmethod(fail))
    monkeypatch.setattr(files, "system", Failing())
    newest = create(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["moons-001", "moons-002"]
    assert runs.resolve_latest(str(tmp_path / "latest")) == newest.path


@pytest.mark.parametrize("mine", ["file", "folder", "link"])
def test_what_a_user_called_latest_stays(tmp_path, mine):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "latest"
    {"file": path.touch, "folder": path.mkdir, "link": lambda: path.symlink_to("elsewhere")}[mine]()
    create(tmp_path)
    assert path.is_symlink() == (mine == "link")
    assert path.resolve() == (tmp_path / "elsewhere" if mine == "link" else path)
    assert [run.name for run in runs.find(str(tmp_path))] == ["moons-001"]
    assert runs.resolve_latest(str(path)) == str(path)


def test_a_process_killed_before_its_run_exists_leaves_the_former_one_as_latest(tmp_path, monkeypatch):
    former = create(tmp_path)

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(files, "claim", die)
    monkeypatch.setattr(files, "remove_link", lambda path: None)  # a killed process removes nothing
    with pytest.raises(SystemExit):
        create(tmp_path)
    assert os.readlink(tmp_path / "latest") == "moons-002"
    assert runs.resolve_latest(str(tmp_path / "latest")) == former.path


def test_what_is_not_a_run_folder_is_4_and_says_why(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a run of that name in the working directory would be suggested
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    create(tmp_path)
    os.unlink(tmp_path / "moons-001" / "run.json")
    cases = {
        "missing": "no such folder",
        "file": "is a file",
        "empty": r"is not a run folder: it has no config\.yaml",
        "moons-001": r"is not a run folder: it has no run\.json",
        "nul\0": "no such folder",
    }
    for name, message in cases.items():
        with pytest.raises(CheckpointError, match=f"{message}; expected a run folder"):
            runs.open_run(f"{tmp_path}/{name}")


@pytest.mark.parametrize("name", [*runs._FILES, "plots"])
def test_a_link_out_of_a_run_folder_is_not_followed(tmp_path, name):
    run = create(tmp_path)
    target = tmp_path / "outside"
    target.mkdir() if name == "plots" else target.write_bytes(b"mine")
    path = tmp_path / "moons-001" / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    with pytest.raises(CheckpointError, match="is a symbolic link"):
        runs.open_run(run.path).plots()
    if name.endswith(".safetensors"):
        save = {"best.safetensors": run.save_best, "snapshots.safetensors": run.save_snapshots}
        with pytest.raises(FileError, match="symbolic link"):
            save.get(name, run.save_last)(checkpoint(1))
    assert path.is_symlink()
    assert os.listdir(target) == [] if name == "plots" else target.read_bytes() == b"mine"


def test_pictures_have_a_folder(tmp_path):
    run = create(tmp_path)
    assert run.plots() == run.plots() == f"{run.path}/plots"
    assert os.path.isdir(run.plots())


def test_history_and_log_stand_where_the_design_says(tmp_path):
    run = create(tmp_path)
    with run.open_history(["epoch", "train_loss"]) as history, run.open_log() as log:
        history.append([(1, 0.5)])
        log.write("line")
    assert (tmp_path / "moons-001" / "history.csv").read_text() == "epoch,train_loss\n1,0.5\n"
    assert (tmp_path / "moons-001" / "train.log").read_text() == "line\n"


def test_runs_are_found_by_name_and_number(tmp_path):
    for name in ("moons", "moons", "iris"):
        create(tmp_path, name)
    os.rename(tmp_path / "moons-001", tmp_path / "moons-1000")
    for name in (".hidden-001", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "moons-002" / ".x").touch()
    assert [run.name for run in runs.find(str(tmp_path))] == ["iris-001", "moons-002", "moons-1000"]
    for missing in ("missing", "file"):
        with pytest.raises(CheckpointError, match="no such folder"):
            runs.find(str(tmp_path / missing))


def test_odd_paths_work(tmp_path):
    out = tmp_path / "größe 1" / ("x" * 200) / "[/b] $\\frac$ 日本"
    run = create(out)
    run.save_last(checkpoint(1))
    assert [found.path for found in runs.find(str(out))] == [run.path]
    assert run.load_last().checkpoint.meta["epoch"] == 1


def test_a_relative_folder_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = create("runs")
    run.save_last(checkpoint(1))
    assert run.path == "runs/moons-001"
    assert create(".").path == "./moons-001"
    assert [found.path for found in runs.find(".")] == ["./moons-001"]
    monkeypatch.chdir("moons-001")
    assert runs.open_run(".").name == "moons-001"


def test_lines_are_appended_across_openings(tmp_path):
    path = str(tmp_path / "train.log")
    with Log(path) as log:
        log.write("epoch 1: dev_loss 0.5", "epoch 2: dev_loss 0.25")
    with Log(path) as log:
        log.write("resumed")
        log.write()
    log.close()
    lines = (tmp_path / "train.log").read_text().splitlines()
    assert lines == ["epoch 1: dev_loss 0.5", "epoch 2: dev_loss 0.25", "resumed"]


def test_what_a_terminal_would_act_on_is_spelled_out(tmp_path):
    with Log(str(tmp_path / "train.log")) as log:
        log.write("größe \x1b[2J \u202e\n\r\ud800 \t$x$")
    assert (tmp_path / "train.log").read_text() == "größe \\x1b[2J \\u202e\\n\\r\\ud800 \\t$x$\n"
