"""What to type for a library that is not there."""

from importlib import metadata

import pytest

from mlprun import extras
from mlprun.errors import UsageError

LINES = ["numpy>=2.0", "ray>=2.60; extra == 'ray'", 'pytest>=8; extra == "dev"', "ruff; extra == 'dev'"]


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)


def told(library):
    with pytest.raises(UsageError) as caught:
        extras.need(library, where="--on ray")
    return str(caught.value)


def test_the_metadata_says_what_an_extra_needs(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: LINES)
    assert extras.requirements() == (["numpy>=2.0"], {"ray": ["ray>=2.60"], "dev": ["pytest>=8", "ruff"]})


def test_a_library_that_is_absent_is_named_with_its_version(monkeypatch, absent):
    monkeypatch.setattr(metadata, "requires", lambda name: LINES)
    assert told("ray") == "--on ray: Ray is not installed; pip install 'ray>=2.60'"


def test_an_installation_without_metadata_names_the_library(monkeypatch, absent):
    def none(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", none)
    assert extras.requirements() == ([], {})
    assert told("ray") == "--on ray: Ray is not installed; pip install ray"


def test_a_library_that_is_there_is_no_error():
    extras.need("numpy", where="here")
