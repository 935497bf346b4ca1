"""No command sends a control character of a name to a terminal; files and pipes get names unchanged."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
import warnings

import pytest
import yaml

from mlprun import cli
from mlprun.cli import app

EVIL = "E\x1b[31mV\x9b2J\x85\u202eI\u2066L\x7f\x07\x1b]0;t\x07\u200b\u2028Z"
"""escape, C1, bidirectional, delete, bell, window title, invisible and line separator"""
CLASS = f"c{EVIL}"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def rows(target):
    made = io.StringIO()
    writer = csv.writer(made)
    writer.writerow([f"x{EVIL}", "y", target])
    writer.writerows([n % 7, n % 5, CLASS if n % 2 else "other"] for n in range(40))
    return made.getvalue()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A working directory with a run and a sweep whose columns, classes and folders have evil names."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "rows.csv").write_text(rows(f"t{EVIL}"), encoding="utf-8", newline="")
    dataset = {"name": "table", "path": "rows.csv", "target": f"t{EVIL}"}
    config = {"dataset": dataset, "architecture": {"hidden": [2]}, "training": {"epochs": 2}, "name": "odd"}
    (folder / "odd.yaml").write_text(yaml.safe_dump(config))
    sweep = {"name": "evils", "base": config, "grid": {"dataset.features": [["y"], [f"x{EVIL}"]]}, "seeds": 2}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    (folder / f"{EVIL}.yaml").write_text(yaml.safe_dump({**config, EVIL: EVIL}))
    former = os.getcwd()
    os.chdir(folder)
    for _ in range(2):
        assert cli.main(["train", "odd.yaml", "-q", "--out", EVIL]) == 0
    assert cli.main(["sweep", "run", "sweep.yaml", "-q", "--out", EVIL]) == 0
    os.chdir(former)
    return folder


RUN, OTHER, SWEEP = f"{EVIL}/odd-001", f"{EVIL}/odd-002", f"{EVIL}/evils-001"
COMMANDS = [
    ("validate", "odd.yaml"),
    ("validate", f"{EVIL}.yaml"),
    ("train", "odd.yaml", "--dry-run"),
    ("train", "odd.yaml", "--out", EVIL),
    ("train", "odd.yaml", f"dataset.target={EVIL}"),
    ("train", "odd.yaml", f"{EVIL}=1"),
    ("train", "odd.yaml", "--name", EVIL),
    ("resume", RUN),
    ("reproduce", RUN),
    ("eval", RUN),
    ("eval", RUN, "--data", "rows.csv"),
    ("eval", RUN, "--fail-under", EVIL),
    ("predict", RUN, "rows.csv"),
    ("plot", RUN, "--list"),
    ("plot", RUN, "--kind", EVIL),
    ("plot", RUN, "--kind", "loss", "--format", "svg"),
    ("show", RUN),
    ("ls", EVIL),
    ("ls", EVIL, "--sort", EVIL),
    ("ls", EVIL, "--where", EVIL),
    ("tag", RUN, EVIL),
    ("note", RUN, EVIL),
    ("rm", f"{EVIL}/odd-009"),
    ("compare", RUN, OTHER),
    ("init", "--data", "rows.csv", "--target", f"t{EVIL}", "--out", "-"),
    ("init", EVIL),
    ("list", EVIL),
    ("list", "datasets", EVIL),
    ("sweep", "run", "sweep.yaml", "--dry-run"),
    ("sweep", "show", SWEEP),
    ("sweep", "compare", SWEEP),
    ("sweep", "export", SWEEP),
    ("sweep", "trial", SWEEP, "1", "--out", EVIL),
    ("plot", SWEEP, "--list"),
    *((verb, EVIL) for verb in ("show", "eval", "ls", "resume", "reproduce", "plot", "bench", EVIL)),
    ("sweep", EVIL),
    ("show", RUN, f"--{EVIL}"),
]


@pytest.mark.parametrize(
    "arguments",
    COMMANDS,
    ids=lambda words: "-".join(words).encode("ascii", "ignore").decode().replace("\x1b", "")[:30],
)
def test_a_terminal_gets_no_control_characters_of_names(arguments, home, monkeypatch):
    monkeypatch.chdir(home)
    for term, json_wanted in (("dumb", False), ("xterm", False), ("dumb", True)):
        out, err = Terminal(), Terminal()
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        monkeypatch.setenv("TERM", term)
        cli.main([*arguments, *["--json"] * json_wanted])
        text = out.getvalue() + err.getvalue()
        assert text
        assert "internal" not in text
        if term == "xterm":  # bars and tables are styled by rich, with sequences of its own
            for one in ("\x1b[31mV", "\x9b", "\x85", "\u202e", "\u2066", "\x7f", "\x07", "\u200b", "\u2028"):
                assert one not in text
        else:
            assert {sign for sign in text if not sign.isprintable()} <= {"\n"}


def test_pipes_and_files_get_the_data_unchanged(home, monkeypatch, call):
    monkeypatch.chdir(home)
    _, out, _ = call("predict", RUN, "rows.csv", "-q")
    assert next(
        csv.reader(
            io.StringIO(
                out,
            )
        )
    ) == ["class", f"p({CLASS})", "p(other)"]
    _, out, _ = call("sweep", "export", SWEEP, "-q")
    assert json.dumps([f"x{EVIL}"], ensure_ascii=False) in out.replace('""', '"')
    _, out, _ = call("predict", RUN, "rows.csv", "--json")
    assert json.loads(out)["columns"][1] == f"p({CLASS})"


def test_a_real_terminal_shows_predictions_escaped(home):
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "mlprun", "predict", RUN, "rows.csv", "-q"]
    with subprocess.Popen(command, cwd=home, stdout=follower, stderr=follower) as process:
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 65536):
                shown += piece
        except OSError:  # the end of a terminal
            pass
        assert process.wait() == 0
    os.close(leader)
    text = shown.decode()
    assert r"p(cE\x1b[31mV\x9b2J\x85\u202eI\u2066L\x7f\x07" in text
    assert {sign for sign in text if not sign.isprintable()} == {"\r", "\n"}


def test_warnings_of_libraries_are_one_escaped_line_and_nothing_under_q(monkeypatch, capsys):
    def warn(*_, **__):
        warnings.simplefilter("always")
        warnings.warn(f"odd {EVIL}\nline", stacklevel=1)
        return 0

    monkeypatch.setattr(app, "_run", warn)
    assert cli.main([]) == 0
    said = capsys.readouterr().err
    assert said.startswith(r"warning: odd E\x1b[31mV")
    assert said.endswith("\\nline\n")
    assert cli.main(["-q"]) == 0
    assert capsys.readouterr().err == ""
