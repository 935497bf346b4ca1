"""What holds for every dataset of the registry; a new one is tested here the day it is registered."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from mlprun.parts.datasets import Dataset, Generated, datasets

REQUIRED = {"inline": {"inputs": ((0, 1), (1, 1), (1, 0)), "targets": (1, 0, 1)}}
"""options for the parts that have no defaults; a new part of that kind is added here"""

NOISY = {"xor": {"noise": 0.1, "repeat": 50}}
"""options that make a part draw, where by default it does not"""

NEVER_DRAW = {"iris", "wine", "breast_cancer", "digits", "diabetes", "inline", "sequences", "table"}


DRAWN = [part for part in datasets if part.names()[0] not in NEVER_DRAW]
FIXED = [part for part in datasets if part.names()[0] in NEVER_DRAW]
FRESH = [part for part in DRAWN if part.fresh is not Dataset.fresh]
GENERATED = [part for part in datasets if issubclass(part, Generated)]


def called(part):
    return part.names()[0]


def for_each(parts):
    return pytest.mark.parametrize("part", parts, ids=called)


@pytest.fixture(params=list(datasets), ids=called)
def part(request):
    return request.param


@pytest.fixture
def options(part, tmp_path):
    name = called(part)
    if name == "table":
        path = tmp_path / "rows.csv"
        path.write_text("a,b,y\n" + "".join(f"{n},{n * n},{n % 3 / 2}\n" for n in range(20)))
        return {"name": name, "path": str(path), "target": "y"}
    return {"name": name, **REQUIRED.get(name, {}), **NOISY.get(name, {})}


@pytest.fixture
def dataset(part, options):
    return part.model_validate(options)


def same_bytes(one, other):
    return all(
        left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
        for left, right in [(one.inputs, other.inputs), (one.targets, other.targets)]
    )


def with_options(dataset, **changes):
    return type(dataset).model_validate({**dataset.model_dump(), **changes})


def test_the_facts_are_those_of_the_loaded_rows(dataset):
    assert dataset.info() == dataset.load().info


def test_rows_have_the_documented_shapes_and_types(dataset):
    data = dataset.load()
    rows, columns = data.inputs.shape
    assert rows > 0
    assert data.inputs.dtype == {
        "moons": np.float32,
        "sequences": np.int64,
        "inline": np.int64,
        "table": np.int64,
    }.get(dataset.name, np.float64)
    assert np.isfinite(data.inputs).all()
    assert len(data.input_names) == len(set(data.input_names)) == columns
    if data.classes is None:
        assert data.targets.dtype == np.float64
        assert data.targets.shape == (rows, len(data.target_names))
        assert np.isfinite(data.targets).all()
    else:
        assert data.targets.dtype == np.int64
        assert data.targets.shape == (rows,)
        assert len(data.target_names) == 1
        assert len(set(data.classes)) == len(data.classes) >= 2
        assert data.targets.min() >= 0
        assert data.targets.max() < len(data.classes)


@for_each([part for part in GENERATED if called(part) != "regression"])
def test_classes_of_generated_rows_are_balanced(dataset):
    data = dataset.load()
    shares = np.bincount(data.targets, minlength=len(data.classes)) / len(data.targets)
    assert np.abs(shares - 1 / len(data.classes)).max() < 0.06


@for_each([part for part in GENERATED if part in DRAWN and called(part) != "regression"])
def test_generated_rows_are_shuffled_so_that_a_slice_holds_every_class(dataset):
    data = dataset.load()
    classes = len(data.classes)
    assert len(set(data.targets[:100].tolist())) == classes
    assert not np.array_equal(data.targets[classes:], data.targets[:-classes])


@for_each(DRAWN)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(dataset):
    one, again, other = (with_options(dataset, seed=seed).load() for seed in (3, 3, 4))
    assert same_bytes(one, again)
    assert not np.array_equal(one.inputs, other.inputs)


@for_each(FIXED)
def test_rows_that_are_not_drawn_do_not_depend_on_the_seed(dataset):
    assert same_bytes(with_options(dataset, seed=3).load(), with_options(dataset, seed=4).load())


@for_each(DRAWN)
def test_no_seed_means_seed_zero(dataset):
    assert dataset.seed is None
    assert same_bytes(dataset.load(), with_options(dataset, seed=0).load())


@for_each(DRAWN)
def test_the_largest_seed_works(dataset):
    assert len(with_options(dataset, seed=2**32 - 1).load().inputs)


@for_each(GENERATED)
@pytest.mark.parametrize("samples", [1, 2, 7, 50])
def test_there_are_as_many_rows_as_samples(dataset, samples):
    asked = with_options(dataset, samples=samples)
    data = asked.load()
    assert len(data.inputs) == len(data.targets) == samples
    assert asked.info() == data.info


@for_each(FRESH)
def test_fresh_rows_are_keyed_by_seed_epoch_and_step(dataset):
    first = dataset.fresh(40, epoch=2, step=1)
    assert same_bytes(first, dataset.fresh(40, epoch=2, step=1))
    others = [
        dataset.fresh(40, epoch=3, step=1),
        dataset.fresh(40, epoch=2, step=0),
        dataset.fresh(40, epoch=1, step=2),
        with_options(dataset, seed=1).fresh(40, epoch=2, step=1),
    ]
    assert not any(np.array_equal(first.inputs, other.inputs) for other in others)


@for_each(FRESH)
def test_fresh_rows_are_like_the_others_but_not_the_same(dataset):
    data = dataset.load()
    fresh = dataset.fresh(len(data.inputs), epoch=0, step=0)
    assert fresh.info == data.info
    assert (fresh.input_names, fresh.target_names) == (data.input_names, data.target_names)
    assert not np.array_equal(fresh.inputs, data.inputs)
    assert np.abs(fresh.inputs.mean(axis=0) - data.inputs.mean(axis=0)).max() < 0.2 * data.inputs.std()


@for_each(FRESH)
@pytest.mark.parametrize("count", [1, 2, 513])
def test_any_number_of_fresh_rows_can_be_drawn(dataset, count):
    fresh = dataset.fresh(count, epoch=0, step=0)
    assert fresh.info == replace(dataset.info(), rows=count)


def test_options_survive_being_written_down_and_read_again(dataset):
    assert type(dataset).model_validate(dataset.model_dump()) == dataset
    text = json.dumps(dataset.model_dump())
    assert type(dataset).model_validate(tuples(json.loads(text))) == dataset


def tuples(value):
    if isinstance(value, list):
        return tuple(tuples(item) for item in value)
    return {key: tuples(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_a_dataset_says_in_a_sentence_what_it_is_and_describes_every_option(part):
    assert part.summary().endswith(".")
    undescribed = [name for name, field in part.model_fields.items() if not field.description]
    assert undescribed == ["name"]


def test_unknown_options_are_refused(part, options):
    with pytest.raises(ValidationError, match="Extra inputs"):
        part.model_validate({**options, "nosie": 0.1})


def test_the_short_form_of_a_split_is_read(part, options):
    assert part.model_validate({**options, "split": "same"}).split.same


def test_only_real_data_are_shuffled_and_standardised_by_default(part):
    real = called(part) in NEVER_DRAW - {"inline", "sequences"}
    assert part.shuffles is real
    assert part.model_fields["standardize"].default is real


def test_a_dataset_of_four_rows_or_given_rows_is_its_own_dev_and_test():
    assert {called(part) for part in datasets if part.default_split.same} >= {"xor", "inline", "sequences"}


def test_facts_load_no_heavy_library():
    code = (
        "import sys\n"
        "from mlprun.parts.datasets import datasets\n"
        "for part in datasets:\n"
        "    name = part.names()[0]\n"
        "    if name == 'table': continue\n"
        f"    part.model_validate({{'name': name, **{REQUIRED!r}.get(name, {{}})}}).info()\n"
        "print(sorted({'torch', 'sklearn', 'polars', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dataset_says_whether_it_can_draw_fresh_rows(part, dataset):
    assert dataset.can_draw_fresh is (part in FRESH)
    if not dataset.can_draw_fresh:
        with pytest.raises(NotImplementedError):
            dataset.fresh(3, epoch=0, step=0)


def test_the_generators_that_mlprun_draws_itself_can_draw_fresh_rows():
    assert {called(part) for part in FRESH} >= {
        *("xor", "parity", "moons", "circles", "spirals", "blobs", "gaussians", "checkerboard")
    }
