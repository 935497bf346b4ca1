"""What a sweep shows of its progress without a terminal."""

from __future__ import annotations

import time
from types import SimpleNamespace

from mlprun.cli.sweep.run import SweepProgress
from mlprun.cli.terminal import Output


def test_the_first_line_comes_after_a_moment(capsys, monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    follower = SweepProgress(Output())
    follower.begin("runs/x-001", SimpleNamespace(total=8, description=SimpleNamespace(name="x")), 8)
    capsys.readouterr()
    said = []
    for seconds in range(25):
        now[0] = 100.0 + seconds
        follower.report(8, float(seconds))
        said += [seconds] * bool(capsys.readouterr().err)
    assert said == [2, 12, 22]
    # the trial of an earlier session took no time of this one
    monkeypatch.setattr("mlprun.cli.sweep.run.plan_summary", lambda *_: "")
    follower.begin("runs/x-001", SimpleNamespace(total=8, description=SimpleNamespace(name="x")), 1)
    capsys.readouterr()
    now[0] = 150.0
    follower.report(3, 50.0)
    assert capsys.readouterr().err == "3 of 8 trials, 50 s, about 2 min 05 s left\n"
