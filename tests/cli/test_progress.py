"""Progress on a terminal: a line that adapts to the width, what `--live` draws, and what is left of it."""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from mlprun import cli
from mlprun.cli import progress
from mlprun.cli.progress import Piece, line_of, progress_line
from mlprun.cli.terminal import LoadingNotice, Output, block

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = [
    Piece("moons", 8),
    Piece("epoch 312/1000", 0),
    Piece("train 0.213", 3),
    Piece("dev 0.198", 2),
    Piece("(best 0.197 @ 305)", 4),
    Piece("acc 0.941", 5),
    Piece("patience 7/50", 6),
    Piece("12,400 steps/s", 7),
    Piece("0:02 left", 1),
]
CONFIG = {
    "dataset": {"name": "moons", "noise": 0.2, "split": {"train": 60, "dev": 20, "test": 20}},
    "architecture": {"hidden": [3]},
    "training": {"epochs": 60},
}


class Screen(io.StringIO):
    """A terminal in memory; `text` is what it shows, for the sequences that mlprun writes."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> list[str]:
        lines, row, column = [""], 0, 0
        for move, count, letter, sign in re.findall(
            r"(\x1b\[)([0-9;]*)([A-Za-z])|([^\x1b])", self.getvalue()
        ):
            if move and letter == "A":
                row -= int(count)
            elif move and letter == "K":
                lines[row] = lines[row][:column]
            elif move and letter == "J":
                lines[row] = lines[row][:column]
                del lines[row + 1 :]
            elif move:
                assert letter == "m", f"{letter} changes the terminal"
            elif sign == "\r":
                column = 0
            elif sign == "\n":
                row, column = row + 1, 0
                lines += [""] * (row == len(lines))
            else:
                lines[row] = lines[row][:column].ljust(column) + sign + lines[row][column + 1 :]
                column += 1
        return lines


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Standard error as a terminal of 80 columns that every chunk is drawn on."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(progress, "DRAW_SECONDS", 0.0)
    return Screen()


@pytest.fixture
def train(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """Trains a config with changes, by default on the engine that loads fastest; on the screen, if any."""

    def run(*options: str, **changes: Any) -> int:
        if "screen" in request.fixturenames:
            monkeypatch.setattr("sys.stderr", request.getfixturevalue("screen"))
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump({"engine": "fused", **CONFIG, **changes}))
        return cli.main(["train", str(path), "--out", str(tmp_path / "runs"), *options])

    return run


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_wide_terminal_shows_everything() -> None:
    line = plain(progress_line(PIECES, 0.312, 150))
    assert line.replace("━", "").replace("─", "") == (
        "moons  epoch 312/1000  train 0.213 · dev 0.198 (best 0.197 @ 305) · acc 0.941 · patience 7/50 · "
        "12,400 steps/s · 0:02 left"
    )
    assert (line.count("━"), line.count("─")) == (6, 14)


@pytest.mark.parametrize("columns", range(14, 160))
def test_a_narrow_terminal_leaves_out_the_least_important_pieces(columns: int) -> None:
    line = plain(progress_line(PIECES, 0.5, columns))
    assert len(line) <= columns
    assert "epoch 312/1000" in line
    ranks = [piece.rank for piece in PIECES if piece.text in line]
    assert sorted(ranks) == list(range(len(ranks)))


def test_what_fits_into_80_columns() -> None:
    assert plain(progress_line(PIECES, 0.5, 79)).startswith("epoch 312/1000 ━━━")
    assert line_of([Piece("", 0), *PIECES[1:4]]) == "epoch 312/1000 · train 0.213 · dev 0.198"


def test_a_run_leaves_one_line_of_what_it_drew(screen: Screen, train: Callable[..., int]) -> None:
    assert train(early_stopping={"patience": 50}) == 0
    assert screen.getvalue().count("━") > 10  # it was drawn
    start = next(index for index, line in enumerate(screen.text) if line.startswith("training in "))
    summary, *rest = screen.text[start + 1 :]
    expected = r"small  epoch \d+/60 · train [\d.]+ · dev [\d.]+ \(best [\d.]+ @ \d+\) · acc [\d.]+"
    assert re.fullmatch(expected, summary)
    assert rest == [""]
    assert len(summary) <= 80


@pytest.mark.parametrize("engine", ["torch", "fused", "scratch"])
def test_live_draws_losses_and_regions_on_every_engine(
    engine: str, screen: Screen, train: Callable[..., int]
) -> None:
    assert train("--live", engine=engine, training={"epochs": 12, "dtype": "float64"}) == 0
    lines = [line for line in screen.text if "▀" in line]
    assert 8 <= len(lines) <= 24
    assert len({len(line) for line in lines}) == 1
    assert [line[:5] for line in screen.text if "█" in line] == ["train", "dev  "]
    assert "38;5;" in screen.getvalue()
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize(
    ("changes", "map_"),
    [
        ({"dataset": {"name": "blobs", "centers": 3}}, True),
        ({"dataset": {"name": "xor"}}, True),
        ({"dataset": {"name": "regression", "features": 2, "informative": 2, "scale": "max"}}, True),
        ({"dataset": "iris"}, False),
    ],
)
def test_live_draws_what_applies(
    changes: dict[str, Any], map_: bool, screen: Screen, train: Callable[..., int]
) -> None:
    assert train("--live", **changes) == 0
    assert any("▀" in line for line in screen.text) == map_


def test_without_colours_live_draws_the_losses_alone(
    screen: Screen, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert train("--live") == 0
    assert [line[:5] for line in screen.text if "█" in line] == ["train", "dev  "]
    assert "▀" not in screen.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*m", screen.getvalue())


@pytest.mark.parametrize(("option", "term"), [("-q", "xterm"), ("--json", "xterm"), ("--live", "dumb")])
def test_nothing_is_drawn_where_nobody_wants_it(
    option: str, term: str, screen: Screen, train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    assert train(option) == 0
    assert "\x1b" not in screen.getvalue()
    assert "\r" not in screen.getvalue()


def test_a_pipe_has_plain_lines(
    train: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    assert train("--live") == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "epoch" in line]
    assert len(lines) > 3
    assert all(re.match(r"small  epoch \d+/60 · train [\d.]+ · dev [\d.]+", line) for line in lines)


def test_a_terminal_without_unicode_has_other_signs(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Screen, "encoding", "ascii")
    monkeypatch.setattr("sys.stderr", screen)
    block.draw(["━━─ a · b"])
    assert screen.text == ["==- a | b"]
    block.clear()


def test_a_large_package_is_named_while_it_loads(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_large_one.py").write_text("import sys\nshown = sys.stderr.text\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(LoadingNotice, "PACKAGES", {"a_large_one": "Large"})
    monkeypatch.setattr("sys.stderr", screen)
    before = list(sys.meta_path)
    with LoadingNotice(Output()):
        import a_large_one  # type: ignore[import-not-found]

        Output().message("a message")
    assert a_large_one.shown == ["loading Large ..."]
    assert screen.text == ["a message", ""]
    assert sys.meta_path == before


class Child:
    """`mlprun` in a forked process on a pseudo-terminal."""

    def __init__(self, *arguments: str, columns: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which torch has started
            self.number, self.terminal = pty.fork()
        if self.number == 0:
            code = 99
            try:
                os.environ["TERM"] = "xterm"
                sys.stdout, sys.stderr = (open(one, "w", encoding="utf-8") for one in (1, 2))  # noqa: SIM115
                signal.signal(signal.SIGINT, signal.default_int_handler)
                code = cli.main(list(arguments))
            finally:
                os._exit(code)
        self.said, self._decoder = "", codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.resize(columns)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

    def read_until(self, wanted: str, seconds: float = 60) -> str:
        """What is said from now on, up to the text; "" waits for the end of the process."""
        start, deadline = len(self.said), time.monotonic() + seconds
        while not wanted or wanted not in self.said[start:]:
            assert time.monotonic() < deadline, self.said
            if select.select([self.terminal], [], [], 0.1)[0]:
                try:
                    data = os.read(self.terminal, 65536)
                except OSError:
                    break
                self.said += self._decoder.decode(data)  # a read may end within a character
        return self.said[start:]


def test_a_resize_and_a_ctrl_c_leave_the_terminal_in_order(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "engine": "torch", "training": {"epochs": 10**6}}))
    before = Child("train", str(path), "--out", str(tmp_path / "runs"), "--live", columns=100)
    settings = termios.tcgetattr(before.terminal)
    before.read_until("left")
    before.resize(50)
    before.read_until("left")  # the first may have been drawn for 100 columns
    frames = before.read_until("left") + before.read_until("left")
    # what was read may begin and end within an escape sequence
    drawn = [plain(line) for line in re.split(r"[\r\n]+|\x1b\[[0-9]*[AJK]", frames)][1:-1]
    assert max(map(len, drawn)) < 50
    os.write(before.terminal, b"\x03")
    end = before.read_until("")
    assert os.waitstatus_to_exitcode(os.waitpid(before.number, 0)[1]) == 130
    assert "mlprun resume" in plain(end).replace("\r\n", "")
    assert "\x1b[?" not in before.said  # no mode of the terminal was changed
    assert settings[3] & termios.ECHO
    os.close(before.terminal)
