"""train.log: plain lines."""

from __future__ import annotations

from mlprun.storage.runs import Log


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
