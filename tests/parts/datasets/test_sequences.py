import numpy as np
import pytest

from mlprun.parts.datasets import datasets

Sequences = datasets["sequences"]


def test_by_default_five_symbols_are_counted_in_a_circle():
    data = Sequences().load()
    assert data.inputs.tolist() == [
        [0, 1, 2, 3, 4],
        [1, 2, 3, 4, 0],
        [2, 3, 4, 0, 1],
        [3, 4, 0, 1, 2],
        [4, 0, 1, 2, 3],
    ]
    assert data.targets.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("symbols", "length", "samples"), [(7, 3, None), (3, 8, 10), (9, 2, 4), (4, 1, 1)])
def test_each_symbol_follows_the_one_before(symbols, length, samples):
    sequences = Sequences(symbols=symbols, length=length, samples=samples)
    data = sequences.load()
    assert data.inputs.shape == (samples or symbols, length)
    for row, (symbols_read, target) in enumerate(zip(data.inputs, data.targets, strict=True)):
        whole = [*symbols_read.tolist(), int(target)]
        assert whole == [(row + time) % symbols for time in range(length + 1)]
    assert data.inputs.dtype == np.int64
    assert sequences.info() == data.info
