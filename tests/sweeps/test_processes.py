"""Trials that other processes train are the same trials, stopped or not, and no signal loses them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

import mlprun
from mlprun.errors import OutOfMemoryError
from mlprun.sweeps import cohort_file, executors
from mlprun.sweeps.folder import SweepFolder

LONG = 10_000_000
"""epochs that no test waits for"""
SCRIPT = """
import sys
from mlprun import cli
from mlprun.sweeps import executors, run, trials
trials.TURN_SECONDS = run.SAVE_INTERVAL = 0.2
run.SAVE_FACTOR = 0
if __name__ == "__main__":
    executors.PROCESS_SECONDS = 0.0
    executors.cores = lambda: int(sys.argv[1])
    sys.exit(cli.main(["sweep", "run", *sys.argv[2:]]))
"""


def trials(swept):
    return [replace(trial, seconds=None) for trial in swept.trials]


def cohort(swept):
    with open(swept.folder.cohort(1), "rb") as file:
        return file.read()


@pytest.fixture
def apart(monkeypatch):
    """Counts the sweeps that start processes; everything is worth them."""
    given = []
    original = executors.ProcessWorkers.__init__
    monkeypatch.setattr(executors, "PROCESS_SECONDS", 0.0)
    monkeypatch.setattr(executors, "cores", lambda: 2)
    monkeypatch.setattr(executors.ProcessWorkers, "__init__", lambda self: given.append(1) or original(self))
    return given


def test_other_processes_train_the_same_trials_and_go_on_with_them(
    apart, sweep, stopping, tmp_path, monkeypatch
):
    text = "seeds: 3\ngrid: {optimizer.lr: [0.5, 1e+38]}"
    words = (
        "base.engine=scratch",
        "base.loss=mse",
        "base.architecture.activation=identity",
        "base.training={epochs: 1200, dtype: float64}",
    )
    here = sweep(text, *words)
    assert not apart

    def there(**options):
        return mlprun.sweep(
            tmp_path / "trials.yaml", *words, out=str(tmp_path / "there"), processes=True, **options
        )

    with stopping(1) as counting:
        there(reporter=counting)
    left = cohort_file.read(SweepFolder(str(tmp_path / "there" / "trials-001")).partial(1))
    begun = {one.trial: one.epochs for one in left.partial_results if not one.has_ended}
    assert begun
    assert all(0 < epoch < 1200 for epoch in begun.values())
    resumed = given_to_processes(monkeypatch)
    assert trials(there()) == trials(here)
    assert cohort(there()) == cohort(here)
    assert len(apart) == 2
    assert begun.items() <= resumed.items()
    assert len(resumed) == 6 - sum(one.has_ended for one in left.partial_results)


def given_to_processes(monkeypatch):
    """The epochs at which trials are handed to processes from now on, by trial."""
    handed, original = {}, executors.ProcessPoolExecutor.submit

    def submit(self, function, batch):
        (spec,) = batch.specs
        handed[spec.trial] = batch.checkpoints[spec.trial].epochs if batch.checkpoints else 0
        return original(self, function, batch)

    monkeypatch.setattr(executors.ProcessPoolExecutor, "submit", submit)
    return handed


@pytest.fixture
def alone(tmp_path, base, unmeasured):
    """Starts `sweep run` in a group of its own, with processes for six trials that never end."""
    base("engine: scratch")  # loads in a fifth of the time that torch takes
    (tmp_path / "trials.yaml").write_text("base: small.yaml\nseeds: 6")
    (tmp_path / "script.py").write_text(SCRIPT)

    @contextmanager
    def start(cores):
        training = f"base.training={{epochs: {LONG}, dtype: float64}}"
        words = [sys.executable, "script.py", str(cores), "trials.yaml", training, "-q"]
        with (
            unmeasured(),
            subprocess.Popen(
                words, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()
                for child in children(process.pid):
                    os.kill(child, signal.SIGKILL)

    return start


def children(group):
    """The processes of a group, but for the first of them and for what counts semaphores."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat, open(f"/proc/{name}/cmdline") as line:
                state, _parent, leader = stat.read().rpartition(")")[2].split()[:3]
                command = line.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(leader) == group != int(name) and state != "Z" and "spawn_main" in command:
            found.append(int(name))
    return found


def until(condition, seconds=60.0):
    """Wait for what a condition gives once that is something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)
    return found


def stands(tmp_path):
    """The epochs of the trials that partial files have in the middle."""
    place = SweepFolder(str(tmp_path / "runs" / "trials-001"))
    paths = [place.partial(number) for number in range(1, 7)]
    found = [cohort_file.read(path).partial_results for path in paths if os.path.exists(path)]
    return {one.trial: one.epochs for results in found for one in results if not one.has_ended}


def further(now, then):
    """Whether some trials have gone on, and none has gone back."""
    return then.keys() <= now.keys() and then != now and all(now[one] >= then[one] for one in then)


def test_a_sweep_that_is_killed_keeps_where_its_processes_stood_and_they_end(alone, tmp_path):
    with alone(2) as process:
        first = until(lambda: len(found := stands(tmp_path)) == 2 and found)
        assert len(children(process.pid)) == 2
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: not children(process.pid), seconds=20)
    assert all(0 < epoch < LONG for epoch in first.values())
    left = stands(tmp_path)
    with alone(2) as process:
        until(lambda: further(stands(tmp_path), left))
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert further(stands(tmp_path), left)
    with open(tmp_path / "runs" / "trials-001" / "status.json") as file:
        assert json.load(file)["state"] == "interrupted"


def test_a_service_that_stops_a_sweep_at_its_very_start_finds_it_saved(alone, tmp_path):
    with alone(2) as process:
        until(lambda: children(process.pid))
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said


def test_a_killed_process_ends_the_sweep_and_its_neighbours_with_what_stood(alone, tmp_path):
    with alone(2) as process:
        until(lambda: len(stands(tmp_path)) == 2)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert not children(process.pid)
    assert process.returncode == 9
    assert said.startswith("error: memory: a process that trained was killed, perhaps for its memory; ")
    assert len(stands(tmp_path)) == 2
    with open(tmp_path / "runs" / "trials-001" / "status.json") as file:
        assert json.load(file)["state"] == "failed"


def test_a_process_that_is_killed_while_trials_are_handed_out_is_told_of_the_same(apart, sweep, monkeypatch):
    def broken(self, *given):
        raise executors.BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr(executors.ProcessPoolExecutor, "submit", broken)
    with pytest.raises(OutOfMemoryError, match="a process that trained was killed"):
        sweep("seeds: 2", "base.engine=torch", processes=True)
