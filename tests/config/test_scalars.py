import math

import pytest

from mlprun.config.parser import parse_scalar

# the examples of the YAML 1.2.2 specification (10.3.2) and the places where YAML 1.1 differs
MEANINGS = [
    *[(word, None) for word in ("", "~", "null", "Null", "NULL")],
    *[(word, True) for word in ("true", "True", "TRUE")],
    *[(word, False) for word in ("false", "False", "FALSE")],
    *[(word, word) for word in ("on", "off", "yes", "no", "y", "n", "tRUE", "nULL", "-", ".", "+", "...")],
    ("0", 0),
    ("-19", -19),
    ("+7", 7),
    ("012", 12),
    ("0o14", 12),
    ("0x1F", 31),
    ("0x3a", 58),
    *[
        (word, word)
        for word in ("0o8", "0xg", "-0x1", "1_000", "0b1", "1:30", "2024-01-01", "1e", "e3", ".e1")
    ],
    ("1e-3", 0.001),
    ("1E3", 1000.0),
    ("0.", 0.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("+12e03", 12000.0),
    ("-2E+05", -200000.0),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("+.INF", math.inf),
    *[(word, word) for word in ("inf", "nan", ".iNF", "NaN")],
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775808", -(2**63)),
    ("9223372036854775808", 2.0**63),  # where a float is not allowed, the schema names the range
    ("0xffffffffffffffff", 2.0**64),
    ("9" * 300 + ".0", float("9" * 300)),
]


@pytest.mark.parametrize(("plain", "value"), MEANINGS)
def test_a_plain_scalar_means_what_yaml_1_2_says(plain, value):
    found = parse_scalar(plain)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("plain", [".nan", ".NaN", ".NAN"])
def test_nan_is_a_float(plain):
    assert math.isnan(parse_scalar(plain))


@pytest.mark.parametrize(
    "plain",
    [
        "9" * 401,
        "9" * 309,
        "0x" + "f" * 5000,
        "0." + "1" * 5000,
        "-" + "1" * 9999,
    ],
)
def test_a_number_of_absurd_length_is_refused(plain):
    with pytest.raises(OverflowError):
        parse_scalar(plain)
