"""Models of mlprun are completed by pydantic when they are first used; those of users at once."""

import inspect
import pickle
import sys
import threading
from types import ModuleType

import pytest
from pydantic import ValidationError

SOURCE = '''
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from mlprun.parts.part import Options, Part, PositiveInt, Registry

examples = Registry("example", "examples")


class Nested(Options):
    """A section."""

    count: PositiveInt = 3


class Base(Part):
    mode: ClassVar[str] = "min"
    rate: float = Field(0.5, description="a rate")


@examples.register
class Example(Base):
    """An example."""

    name: Literal["example", "alias"] = "example"
    mode = "max"
    nested: Nested | None = None
    rate: float = 0.25
    items: tuple[int, ...] = ()

    @field_validator("items")
    @classmethod
    def _sorted(cls, items):
        return tuple(sorted(items))
'''


def defined(name, monkeypatch):
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(f"from __future__ import annotations\n{SOURCE}", f"{name}.py", "exec"), vars(module))
    return module


def is_complete(part):
    return not vars(part).get("__namespace__")


@pytest.fixture
def lazy(monkeypatch):
    return defined("mlprun.parts.example", monkeypatch)


@pytest.fixture
def user(monkeypatch):
    return defined("user_parts", monkeypatch)


def test_a_class_of_mlprun_is_completed_when_it_is_used_and_one_of_a_user_at_once(lazy, user):
    assert is_complete(user.Example)
    assert lazy.examples.names() == user.examples.names() == ("example", "alias")
    assert lazy.examples["alias"] is lazy.Example
    assert lazy.Example.mode == "max"
    assert not is_complete(lazy.Example)
    lazy.Example()
    assert is_complete(lazy.Example)
    assert is_complete(lazy.Base)
    assert lazy.Example.names() == ("example", "alias")


def test_a_class_completed_late_is_as_one_that_pydantic_completes_at_once(lazy, user):
    late, early = lazy.Example, user.Example
    assert late.model_json_schema() == early.model_json_schema()
    assert list(late.model_fields) == list(early.model_fields)
    inherited = {"__pydantic_parent_namespace__"}
    assert vars(late).keys() - {"__namespace__"} == vars(early).keys() - inherited
    assert inspect.signature(late).parameters.keys() == inspect.signature(early).parameters.keys()
    values = {"items": (3, 1), "nested": {"count": 2}}
    assert repr(late.model_validate(values)) == repr(early.model_validate(values))
    assert late().model_dump() == early().model_dump() == early.model_construct().model_dump()
    with pytest.raises(ValidationError, match="greater than 0"):
        late.model_validate({"nested": {"count": 0}})


@pytest.mark.parametrize(
    "use",
    [
        lambda part: part.model_fields["rate"].default,
        lambda part: part().rate,
        lambda part: part.model_validate({}).rate,
        lambda part: part.model_construct().rate,
        lambda part: part.model_json_schema()["properties"]["rate"]["default"],
        lambda part: type("Sub", (part,), {"__module__": "other"})().rate,
    ],
)
def test_every_first_use_completes_a_class(use, lazy):
    assert use(lazy.Example) == 0.25
    assert is_complete(lazy.Example)


def test_values_of_a_class_are_compared_hashed_and_pickled(lazy):
    one, other = lazy.Example(items=(1, 2)), lazy.Example(items=(2, 1))
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one


def test_threads_that_use_a_class_first_at_the_same_time_all_see_it_complete(monkeypatch):
    for _ in range(20):
        part, start = defined("mlprun.parts.example", monkeypatch).Example, threading.Barrier(4)
        seen = []

        def use(part=part, start=start, seen=seen):
            start.wait()
            seen.append((len(part.model_fields), repr(part.model_validate({"items": (2, 1)}))))

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 4
        assert set(seen) == {(4, seen[0][1])}
