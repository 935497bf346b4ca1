"""Settings that are drawn: no two are equal, and more of them leave the first ones as they are."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from mlprun.storage import canonical
from mlprun.sweeps import space
from mlprun.sweeps.definition import from_mapping

FINITE = {
    "architecture.hidden": {"choice": [[2], [3], [2], []]},
    "training.epochs": {"integers": [1, 4]},
    "penalty.l2": {"choice": [0, 1e-4]},
}


def chosen(trials, random=FINITE, **more):
    words = {"base": {"dataset": {"name": "moons"}}, "random": random, "trials": trials, **more}
    return [
        canonical.encode(one.configuration.values) for one in space.candidates(from_mapping(words, "", "x"))
    ]


def test_a_finite_space_is_drawn_without_repetition_to_its_end():
    every = itertools.product([[], [2], [3]], range(1, 5), [0, 1e-4])
    assert sorted(chosen(24)) == sorted(
        canonical.encode(dict(zip(FINITE, one, strict=True))) for one in every
    )


@pytest.mark.parametrize("trials", [2, 7, 23])
def test_more_draws_leave_the_first_ones_as_they_are(trials):
    assert chosen(24)[:trials] == chosen(trials)
    assert chosen(24)[:trials] != chosen(24, seed=1)[:trials]


def test_a_search_that_draws_has_the_same_settings_round_by_round():
    words = {"base": {"dataset": {"name": "moons"}}, "random": FINITE}
    sweep = from_mapping({**words, "search": {"name": "random", "trials": 24}}, "", "x").sweep
    rounds = [space.sample(sweep, 0, 5, skip) for skip in (0, 5, 10, 15)]
    assert list(itertools.chain(*rounds)) == space.sample(sweep, 0, 20)


def test_a_value_that_a_choice_names_twice_is_drawn_twice_as_often_first():
    random = {"dataset.noise": {"choice": [0, 0.1, 0]}}
    firsts = Counter(chosen(1, random, seed=seed)[0] for seed in range(300))
    assert 170 <= firsts['{"dataset.noise":0}'] <= 230


def test_a_space_with_a_continuous_parameter_is_drawn_as_it_comes():
    random = {"optimizer.lr": {"uniform": [0, 1]}, "training.epochs": {"integers": [1, 2]}}
    draws = [canonical.decode(one) for one in chosen(50, random)]
    assert len({one["optimizer.lr"] for one in draws}) == 50
    assert {one["training.epochs"] for one in draws} == {1, 2}
