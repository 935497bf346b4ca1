import pytest

from mlprun.config.tree import excerpt, printable, truncate


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 中", "plain é 中"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202etxt", "\\u202etxt"),
        ("\ud800", "\\ud800"),
        ("\x00", "\\x00"),
    ],
)
def test_nothing_that_steers_a_terminal_is_printed(text, shown):
    assert printable(text) == shown


def test_the_caret_stands_under_its_column():
    assert excerpt("  lr: -1", 6) == "    lr: -1\n        ^"


def test_wide_characters_move_the_caret_by_two():
    assert excerpt("名: x", 3) == "  名: x\n      ^"


def test_tabs_and_control_characters_take_one_column_each():
    assert excerpt("a\t\x1bb", 3) == "  a \ufffdb\n     ^"


@pytest.mark.parametrize("column", [0, 10, 48, 500, 990, 999, 1000])
def test_a_long_line_is_cut_around_the_caret(column):
    line = "".join(chr(ord("a") + n % 26) for n in range(1000))
    shown, caret = excerpt(line, column).split("\n")
    assert len(shown) <= 98
    at = len(caret) - 1
    if column < 1000:
        assert shown[at] == line[column]


def test_cutting_keeps_the_length():
    assert truncate("abcdef", 4) == "abc…"
    assert truncate("abcd", 4) == "abcd"
