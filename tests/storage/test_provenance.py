"""What run.json records of the machine and the code."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch

import mlprun
from mlprun.storage import canonical, provenance

INTEL = """processor\t: 0
model name\t: Some CPU @ 2.00GHz
flags\t\t: fpu sse sse4_1 sse4_2 avx avx2 fma avx512f hypervisor

processor\t: 1
model name\t: Another
flags\t\t: amx_tile
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd evtstrm asimddp sve sve2 bf16\n"


def git(*arguments: str) -> None:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *arguments], check=True, capture_output=True)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_versions_are_those_that_would_be_imported():
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    assert found["mlprun"] == mlprun.__version__
    assert found["numpy"] == np.__version__
    assert found["torch"] == torch.__version__


def test_a_package_that_is_missing_has_no_version(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert provenance.versions()["no-such-package"] is None


@pytest.mark.parametrize(
    ("text", "model", "capability"),
    [
        (INTEL, "Some CPU @ 2.00GHz", ["avx", "avx2", "avx512f", "fma", "sse4_1", "sse4_2"]),
        (ARM, None, ["asimd", "asimddp", "bf16", "sve", "sve2"]),
        ("", None, []),
    ],
    ids=["intel", "arm", "unknown"],
)
def test_the_processor_is_told_from_its_description(monkeypatch, text, model, capability):
    monkeypatch.setattr(provenance, "_cpu_text", lambda: text)
    found = provenance.cpu()
    assert found["model"] == (model or platform.processor() or platform.machine())
    assert found["capability"] == capability
    assert found["count"] == os.cpu_count()


def test_a_folder_outside_a_repository_has_no_commit(outside):
    assert provenance.git() is None


def test_a_machine_without_git_has_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.git() is None


def test_the_commit_and_its_changes_are_recorded(outside):
    git("init", "-q")
    assert provenance.git() is None  # a repository without a commit
    (outside / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "x")
    clean = provenance.git()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (outside / "untracked").write_text("1")
    assert provenance.git() == clean
    (outside / "a").write_text("2")
    assert provenance.git() == {**clean, "dirty": True}


def test_a_repository_cannot_make_us_run_its_monitor(outside):
    git("init", "-q")
    (outside / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "x")
    (outside / "monitor").write_text("#!/bin/sh\ntouch canary\n")
    (outside / "monitor").chmod(0o755)
    git("config", "core.fsmonitor", str(outside / "monitor"))
    git("status")
    assert (outside / "canary").exists()  # the monitor works, so that its absence below proves something
    (outside / "canary").unlink()
    assert provenance.git()["dirty"] is False
    assert not (outside / "canary").exists()


def test_the_record_is_json_that_says_what_and_where():
    chosen = {
        "config_digest": "c",
        "data_digest": "d",
        "seeds": {"training": 0},
        "threads": 1,
        "device": "cpu",
        "engine": "torch",
        "engine_reason": "asked for",
    }
    record = provenance.record(**chosen)
    assert json.loads(canonical.encode(record)) == record
    assert record.items() >= chosen.items()
    assert record.keys() - chosen.keys() == {"versions", "platform", "cpu", "git"}


def test_storage_loads_nothing_heavy():
    program = """
import sys
from mlprun.storage import checkpoints, history, log, provenance, runs
provenance.environment()
print(sorted({"torch", "sklearn", "polars", "matplotlib", "pandas", "pydantic"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
