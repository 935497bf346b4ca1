"""The examples in the docstrings of the API, each docstring in a folder of its own."""

import doctest
import importlib
import re

import pytest

import mlprun

MODULES = ("mlprun.api", "mlprun.api.runs", "mlprun.api.sweeps")
EXAMPLES = [
    test
    for name in MODULES
    for test in doctest.DocTestFinder().find(importlib.import_module(name), extraglobs={"mlprun": mlprun})
    if test.examples
]


@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_examples_give_what_they_say(test, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test)
    assert not runner.failures, capsys.readouterr().out
    wanted = "".join(example.want for example in test.examples)
    assert not re.search(r"runs/|/tmp|\d s\b", wanted)


def test_the_tutorial_has_examples():
    assert len(EXAMPLES[0].examples) > 30
