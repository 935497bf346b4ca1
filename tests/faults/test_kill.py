"""SIGKILL at any moment: a resumed run equals an undisturbed one, byte for byte."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from faulty.phases import OF_A_RUN
from faulty.variants import VARIANTS

if TYPE_CHECKING:
    from pathlib import Path

CONTROLS = {
    "in place": "is damaged|no usable checkpoint|snapshots.* differs",
    "last before history": "does not fit the checkpoint",
    "history not cut": r"history\.csv differs",
    "slots forgotten": "differs",
    "best last": r"best\.safetensors: no such file",
}
SURVIVED = set(OF_A_RUN) - {"before the history", "over"}
"""where kills must have landed: between training and history is next to no time, and behind the end none"""


@pytest.fixture(scope="module")
def done(children: Any, memory_folder: Path, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Everything at once, in two processes that fork their runs."""
    slow = request.config.getoption("--slow")
    kills = 400 if slow else 14
    jobs: list[dict[str, Any]] = [
        {"variant": variant, "does": "run", "arguments": {"kills": kills}} for variant in VARIANTS
    ]
    jobs += [
        {"variant": "momentum", "does": "run", "arguments": {"kills": 100}, "control": name}
        for name in CONTROLS
    ]
    jobs += [
        {
            "variant": "adam with dropout",
            "does": "epoch_by_epoch",
            "arguments": {"epochs": 50 if slow else 20},
        }
    ]
    jobs += [
        {"variant": "momentum", "does": "in_phase", "arguments": {"phase": phase}}
        for phase in ("between history and checkpoint", "between link and replace", "between the replaces")
    ]
    jobs += [
        {"variant": "early stopping", "does": "in_phase", "arguments": {"phase": phase, "times": [1]}}
        for phase in ("before the first checkpoint", "final figures", "between best and last")
    ]
    numbered = [{**job, "number": number} for number, job in enumerate(jobs)]
    halves = [{"folder": str(memory_folder), "jobs": numbered[start::2]} for start in (0, 1)]
    told = children.call("storm.main", *halves, seconds=3000)
    return [result for half in told for result in half]


def chosen(done: list[dict[str, Any]], does: str, *, control: bool = False) -> list[dict[str, Any]]:
    return [job for job in done if job["does"] == does and ("control" in job) == control]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_killed_at_random_moments_ends_as_if_nothing_had_happened(
    variant: str, done: list[dict[str, Any]]
) -> None:
    (job,) = (job for job in chosen(done, "run") if job["variant"] == variant)
    assert "failed" not in job, job["failed"]
    assert job["kills"] >= job["arguments"]["kills"]


def test_kills_landed_in_every_phase(done: list[dict[str, Any]]) -> None:
    storms = chosen(done, "run")
    phases: Counter[str] = Counter()
    for job in storms:
        phases.update(job["phases"])
    assert phases.total() == sum(job["kills"] for job in storms) >= 14 * len(VARIANTS)
    by_time = sum(job["by_time"] for job in storms)
    assert by_time >= 4 * len(VARIANTS)  # the others are told at which system call to die
    for job in chosen(done, "in_phase"):
        phases[job["arguments"]["phase"]] += len(job["ahead"])
    assert set(phases) >= SURVIVED, SURVIVED - set(phases)


@pytest.mark.parametrize("control", CONTROLS)
def test_a_writer_without_the_protocol_fails_the_same_test(control: str, done: list[dict[str, Any]]) -> None:
    (job,) = (job for job in chosen(done, "run", control=True) if job["control"] == control)
    assert re.search(CONTROLS[control], job.get("failed", "")), job


def test_a_run_of_many_sessions_of_one_epoch_equals_an_undisturbed_one(done: list[dict[str, Any]]) -> None:
    (job,) = chosen(done, "epoch_by_epoch")
    assert "failed" not in job, job["failed"]
    assert job["kills"] == job["arguments"]["epochs"]


def test_a_kill_in_each_gap_of_the_protocol_is_survived(done: list[dict[str, Any]]) -> None:
    for job in chosen(done, "in_phase"):
        assert "failed" not in job, job


def test_history_survives_a_kill_between_its_line_and_its_checkpoint(done: list[dict[str, Any]]) -> None:
    (job,) = (job for job in chosen(done, "in_phase") if "history and" in job["arguments"]["phase"])
    assert all(length > 10 for length in job["ahead"][1:]), job  # a row stood there that no checkpoint knew
