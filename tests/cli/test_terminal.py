import io
import json
import math
from collections import Counter

import numpy as np
import pytest

from mlprun.cli.terminal import Output, Table, printable_lines
from mlprun.config.tree import printable
from mlprun.errors import FileError

HOSTILE = [
    ("\x1b[31mred", r"\x1b[31mred"),
    ("a\u202egnp.exe", r"a\u202egnp.exe"),
    ("bell\x07", r"bell\x07"),
    ("line\nbreak", r"line\nbreak"),
    ("\u2028", r"\u2028"),
    ("\u2066hidden\u2069", r"\u2066hidden\u2069"),
    ("caf\udce9", r"caf\udce9"),
    ("\x9b2J", r"\x9b2J"),
    ("[/x]", "[/x]"),
    ("Zürich 東京 $\\frac$", "Zürich 東京 $\\frac$"),
]


@pytest.mark.parametrize(("text", "shown"), HOSTILE)
def test_what_steers_a_terminal_is_escaped_and_the_rest_kept(text, shown):
    assert printable(text) == shown


def test_lines_stay_lines():
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"


def test_a_plain_table_aligns_numbers_to_the_right_and_text_to_the_left():
    table = Table(("split", "rows", "loss"), [("train", 640, 0.43621), ("dev", 160, None)], title="moons")
    assert table.plain() == "moons\nsplit  rows    loss\ntrain   640  0.4362\ndev     160"


def test_metrics_of_one_size_have_the_same_decimals():
    rows = [("accuracy", 0.98, 1.0), ("mae", 49.746, 312.8), ("loss", 0.000012345, 0.0)]
    lines = Table(("metric", "dev", "test"), rows, is_fixed=True).plain().splitlines()
    assert [line.split()[1:] for line in lines[1:]] == [
        ["0.9800", "1.0000"],
        ["49.75", "312.80"],
        ["1.234e-05", "0.0000"],
    ]


def test_wide_characters_take_two_columns():
    assert Table(("a", "b"), [("東京", "x"), ("abc", "y")]).plain() == "a     b\n東京  x\nabc   y"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_table_on_a_terminal_reads_cells_as_text_not_markup(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    Output().result(Table(("name",), [("[/x]",), ("[red]a[/red]",), ("\x1b[2J",)]))
    assert "[/x]" in screen.getvalue()
    assert "[red]a[/red]" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()


def test_no_color_takes_the_colours_from_a_terminal_and_a_pipe_has_none(monkeypatch, capsys):
    Output().result(Table(("name",), [("a",)]))
    assert capsys.readouterr().out == "name\na\n"
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("NO_COLOR", "1")
    Output().result(Table(("name",), [("a",)], title="title"))
    assert "\x1b[3" not in screen.getvalue()


def test_results_go_to_standard_output_and_notes_to_standard_error(capsys):
    Output().result("figure")
    Output().message("progress")
    Output(quiet=True).message("silent")
    assert capsys.readouterr() == ("figure\n", "progress\n")


def test_text_of_users_is_escaped_wherever_it_is_printed(capsys):
    Output().result("a\x1b[2J", Table(("\u202eb",), [("\x07",)], title="\x9b"))
    Output().message("c\x1b")
    assert capsys.readouterr() == ("a\\x1b[2J\n\\x9b\n\\u202eb\n\\x07\n", "c\\x1b\n")


def test_json_replaces_the_text_and_is_strict(capsys):
    output = Output(as_json=True)
    output.result("figure")
    output.document(
        {"loss": math.nan, "best": np.float32(0.5), "epochs": (1, 2), "name": "a\x1b\u202e", "on": True}
    )
    said = capsys.readouterr().out
    assert json.loads(said) == {
        "loss": None,
        "best": 0.5,
        "epochs": [1, 2],
        "name": "a\x1b\u202e",
        "on": True,
    }
    assert said.isascii()
    Output().document({"not": "asked for"})
    assert capsys.readouterr().out == ""


def test_data_for_another_program_is_left_as_it_is_but_on_a_terminal(capsys, monkeypatch):
    Output().data("a\tb\x1b\r\n")
    assert capsys.readouterr().out == "a\tb\x1b\r\n"
    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "dumb")
    Output().data("a\tb\x1b\r\n")
    assert screen.getvalue() == "a\\tb\\x1b\\r\n"


def test_json_has_no_control_characters(capsys):
    names = {"name": "a\x1b\x7f\x85\u202e"}
    Output(as_json=True).document(names)
    said = capsys.readouterr().out
    assert all(sign == "\n" or sign.isprintable() for sign in said)
    assert json.loads(said) == names


class Full(io.StringIO):
    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_a_file_error(monkeypatch):
    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(FileError, match="standard output: No space left on device"):
        Output().result("figure")


FIGURES = Table(
    ("run", "status", "a long heading", "test"),
    [("runs/moons-001", "interrupted", 0.123456, "loss 0.359, accuracy 0.825"), ("runs/a", "ok", 1, "")],
)


@pytest.mark.parametrize("width", [200, 70, 60, 48, 30])
def test_on_a_narrow_terminal_nothing_is_lost(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    shown = FIGURES.drawn()
    cells = [cell for row in FIGURES.cells() for cell in row]
    assert Counter("".join(cells)) - Counter(shown) == Counter()
    assert max(map(len, shown.splitlines())) <= width
    if width >= 60:
        assert {"runs/moons-001", "interrupted", "0.1235", "0.359,", "accuracy", "heading"} <= {
            *shown.split()
        }
