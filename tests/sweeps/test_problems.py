"""Problems of settings: each once, and with what the settings that have it have in common."""

import pytest

from mlprun.errors import ConfigError


@pytest.fixture
def refused(sweep, tmp_path):
    """The first line of each problem of a sweep, without its folder."""

    def run(text):
        with pytest.raises(ConfigError) as caught:
            sweep(text)
        return [one.splitlines()[0].replace(f"{tmp_path}/", "") for one in caught.value.problems]

    return run


def test_a_problem_of_some_settings_names_what_they_have_in_common(refused):
    (told,) = refused(
        "grid: {optimizer.name: [sgd, adam], optimizer.momentum: [0, 0.9], optimizer.lr: [1, 2]}"
    )
    assert told.startswith(
        "trials.yaml:2:58: optimizer.momentum: unknown key; expected one of name, lr, betas"
    )
    assert told.endswith(" (with optimizer.name=adam)")
    (told,) = refused("grid: {dataset.samples: [10, 80, 90], optimizer.lr: [1, 2]}")
    rows = "40 + 20 + 20 = 80 rows, but the data has 10; expected at most 10"
    assert told == f"small.yaml:2:31: dataset.split: {rows} (with dataset.samples=10)"


def test_a_problem_of_a_value_itself_needs_no_company(refused):
    assert refused("grid: {optimizer.lr: [1, -1, a], architecture.hidden: [[2], [[]]]}") == [
        "trials.yaml:2:62: architecture.hidden.0: expected a whole number, got a list",
        "trials.yaml:2:26: optimizer.lr: must be greater than 0, got -1",
        "trials.yaml:2:30: optimizer.lr: expected a number, got the string 'a'",
    ]


def test_a_problem_of_all_settings_is_told_as_it_is(refused):
    assert refused("grid: {optimizer.momentun: [0, 0.9], optimizer.lr: [1, 2]}") == [
        "trials.yaml:2:29: optimizer.momentun: unknown key; did you mean momentum?"
    ]


def test_one_wrong_number_of_a_draw_is_enough(refused):
    (told,) = refused(
        "random: {optimizer.lr: {uniform: [-2, -1]}, penalty.l2: {uniform: [0, 1]}}\ntrials: 300"
    )
    assert told.startswith("trials.yaml:2:24: optimizer.lr: must be greater than 0, got -1.")
