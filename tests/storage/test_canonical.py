"""One spelling of JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlprun.storage import canonical

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(derandomize=True, deadline=None)
@given(VALUES)
def test_a_value_comes_back_as_it_was_and_its_text_is_plain_json_when_finite(value):
    text = canonical.encode(value)
    assert canonical.decode(text) == value
    assert text.isascii()
    if "$" not in text:
        assert json.loads(text) == value


def test_keys_are_sorted_and_digits_are_the_shortest():
    assert canonical.encode({"b": 0.1, "a": (1, 1.0, -0.0)}) == '{"a":[1,1.0,-0.0],"b":0.1}'


def test_numpy_scalars_are_numbers():
    values = [np.float32(0.1), np.float64(0.1), np.int64(3), np.bool_(True)]
    assert canonical.encode(values) == "[0.10000000149011612,0.1,3,true]"


def test_nan_and_infinities_come_back():
    text = canonical.encode([math.nan, math.inf, -math.inf])
    assert text == '[{"$float":"nan"},{"$float":"inf"},{"$float":"-inf"}]'
    nan, *infinities = canonical.decode(text)
    assert math.isnan(nan)
    assert infinities == [math.inf, -math.inf]


@pytest.mark.parametrize("value", [{"$float": "nan"}, {"$$float": 1}, {"$": {"$float": None}}])
def test_a_key_that_looks_like_our_own_mark_is_kept_apart_from_it(value):
    assert canonical.decode(canonical.encode(value)) == value


@pytest.mark.parametrize("value", [{1: 2}, object(), {1, 2}, np.zeros(2), b"bytes"])
def test_what_json_cannot_say_is_the_callers_mistake(value):
    with pytest.raises(TypeError):
        canonical.encode(value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", '{"$float":"x"}', '{"$float":[]}', "[" * 10**6, b"\xff", "1" * 10**4],
)
def test_what_is_not_ours_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011  one kind of error is the contract, not its words
        canonical.decode(text)


def test_equal_values_have_equal_digests():
    assert canonical.digest({"a": 1, "b": [2.0]}) == canonical.digest({"b": (2.0,), "a": 1})
    assert canonical.digest({"a": 1}) != canonical.digest({"a": 1.0})
