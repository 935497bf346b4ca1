import numpy as np
import pytest
from pydantic import ValidationError

from mlprun.parts.datasets import datasets
from mlprun.parts.part import ConfigStr

Inline = datasets["inline"]


def test_rows_are_taken_as_they_stand():
    data = Inline(inputs=((0.5, 1), (2, -3)), targets=((1, 2), (3, 4.5))).load()
    assert data.inputs.tolist() == [[0.5, 1], [2, -3]]
    assert data.targets.tolist() == [[1, 2], [3, 4.5]]
    assert (data.inputs.dtype, data.targets.dtype) == (np.float64, np.float64)
    assert (data.input_names, data.target_names, data.classes) == (("x1", "x2"), ("y1", "y2"), None)


def test_a_flat_list_of_inputs_is_one_column():
    data = Inline(inputs=(1, 2, 1, 2), targets=((0,), (1,), (0,), (1,))).load()
    assert data.inputs.tolist() == [[1], [2], [1], [2]]
    assert data.info.tokens == 3


def test_integers_in_a_flat_list_of_targets_are_class_ids():
    data = Inline(inputs=(1, 2, 1), targets=(0, 2, 0)).load()
    assert data.targets.tolist() == [0, 2, 0]
    assert (data.targets.dtype, data.classes) == (np.int64, ("0", "1", "2"))


def test_one_number_with_a_point_makes_a_flat_list_of_targets_numbers():
    data = Inline(inputs=(1, 2, 1), targets=(0, 2.0, 0)).load()
    assert data.targets.tolist() == [[0], [2], [0]]
    assert data.classes is None


def test_integers_in_rows_of_targets_are_numbers():
    data = Inline(inputs=((0, 0), (0, 1)), targets=((0,), (1,))).load()
    assert data.targets.tolist() == [[0], [1]]
    assert data.classes is None


def test_class_ids_of_zero_alone_still_mean_two_classes():
    assert Inline(inputs=(1, 2), targets=(0, 0)).info().classes == ("0", "1")


def test_there_may_be_more_classes_than_the_ids_show():
    assert Inline(inputs=(1, 2), targets=(0, 1), classes=4).info().classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("targets", "classes", "message"),
    [
        ((0, 3), 3, "classes is 3 and the class ids go up to 3; set it to 4"),
        ((0.5, 3), 4, "targets are numbers; leave classes out"),
        ((0, 1), 1, "greater than or equal to 2"),
    ],
)
def test_classes_that_are_not_of_the_ids_are_refused(targets, classes, message):
    with pytest.raises(ValidationError, match=message):
        Inline(inputs=(1, 2), targets=targets, classes=classes)


@pytest.mark.parametrize(
    ("inputs", "tokens"),
    [((0, 1, 4), 5), (((0, 1), (7, 2), (0, 0)), 8), ((0, 1.0, 4), None), ((0, -1, 4), None)],
)
def test_only_integers_from_zero_can_be_symbols(inputs, tokens):
    inline = Inline(inputs=inputs, targets=(0, 1, 0))
    assert inline.info().tokens == tokens
    assert inline.load().inputs.dtype == (np.float64 if tokens is None else np.int64)


def test_class_ids_survive_being_written_down_as_integers():
    inline = Inline(inputs=(1, 2.0), targets=(0, 1))
    assert [type(row) for row in inline.model_dump()["inputs"]] == [int, float]


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        ((), (), "at least 1 item"),
        (((),), (0,), "an empty row"),
        (((1, 2), (3,)), (0, 1), "row 2 is a list of 1, but row 1 is a list of 2"),
        (((1, 2), 3), (0, 1), "row 2 is a number, but row 1 is a list of 2"),
        ((1, 2, 3), (0, 1), "inputs has 3 rows and targets 2; give one target per row"),
        ((1, 2), ((0,), (1, 2)), "row 2 is a list of 2, but row 1 is a list of 1"),
        (
            (1, 2),
            (0, -1),
            r"class ids from 0 to 9999, but -1 is among them; for numbers, write rows: \[\[-1\]",
        ),
        ((1, 2), (0, 10**9), "class ids from 0 to 9999"),
        ((1, ConfigStr("two")), (0, 1), "this is 'two'; expected a finite number"),
        (((1, 2), (1, ConfigStr("b"))), (0, 1), "number 2 of the row is 'b'; expected a finite number"),
        ((1, True), (0, 1), "this is True"),
        ((1, None), (0, 1), "this is None"),
        ((1, float("nan")), (0, 1), "this is nan"),
        ((1, 10**400), (0, 1), "expected a finite number"),
        ((1, ((1,),)), (0, 1), "number 1 of the row is"),
        (3, (0, 1), "valid tuple"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused_with_its_place(inputs, targets, message):
    with pytest.raises(ValidationError, match=message):
        Inline(inputs=inputs, targets=targets)


def test_a_wrong_row_is_named_by_its_position():
    with pytest.raises(ValidationError) as refused:
        Inline(inputs=((1, 2), (1, ConfigStr("b"))), targets=(0, 1))
    assert [error["loc"] for error in refused.value.errors()] == [("inputs", 1)]


def test_all_wrong_rows_are_reported_at_once():
    with pytest.raises(ValidationError) as refused:
        Inline(inputs=(None, 1, ()), targets=(0, ConfigStr("x"), 1))
    assert [error["loc"] for error in refused.value.errors()] == [
        ("inputs", 0),
        ("inputs", 2),
        ("targets", 1),
    ]
