"""What run.json records of the machine and the code."""

from __future__ import annotations

import json
import os
import platform
import shutil
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


def git(*arguments: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *settings, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git for its repositories")


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def repository(outside, monkeypatch):
    """A repository with one commit of one file, in the working directory."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    git("init", "-q", "-b", "main")
    (outside / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "x")
    return outside


def forbid_processes(patch):
    """Let every attempt to start a process fail the test."""

    def refuse(*arguments, **_):
        raise AssertionError(f"started {arguments}")

    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "posix_spawn"), (os, "fork")):
        patch.setattr(module, name, refuse)


def test_versions_are_those_that_would_be_imported():
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    assert found["mlprun"] == mlprun.__version__
    assert found["numpy"] == np.__version__
    # the build, +cpu or +cu130, is in torch's metadata or not, as the wheel has it
    assert found["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


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
    assert found["model"] == (model or platform.machine())
    assert found["capability"] == capability
    assert found["count"] == os.cpu_count()


def test_a_folder_outside_a_repository_has_no_commit(outside):
    assert provenance.git() is None


def test_a_deleted_working_directory_has_no_commit(outside):
    (outside / "gone").mkdir()
    os.chdir(outside / "gone")
    (outside / "gone").rmdir()
    assert provenance.git() is None


@needs_git
@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_the_commit_is_read_as_git_reads_it(outside, form):
    git("init", "-q", "-b", "main", f"--object-format={form}")
    assert provenance.git() is None  # a repository without a commit
    (outside / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "x")
    found = {"commit": git("rev-parse", "HEAD"), "dirty": None}
    (outside / "below").mkdir()
    os.chdir("below")
    assert provenance.git() == found
    git("pack-refs", "--all")
    assert not (outside / ".git/refs/heads/main").exists()
    assert provenance.git() == found
    git("checkout", "-q", "--detach")
    assert provenance.git() == found


@needs_git
def test_a_worktree_has_its_own_commit(repository):
    git("worktree", "add", "-q", "-b", "other", "tree")
    os.chdir("tree")
    git("commit", "-q", "--allow-empty", "-m", "y")
    commit = git("rev-parse", "HEAD")
    assert provenance.git()["commit"] == commit != git("rev-parse", "main")
    git("pack-refs", "--all")
    assert provenance.git()["commit"] == commit


SECRET = "c0ffee" * 6 + "beef"
"""as long as a commit, in a file that is none of the repository's"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HEAD", ""),
        ("HEAD", "ref: refs/heads/main"),  # the reference is missing
        ("HEAD", "ref: refs/heads/.invalid\n"),  # how the reftable format begins
        ("HEAD", "ref: refs/../../secret\n"),
        ("HEAD", "ref: /etc/passwd\n"),
        ("HEAD", "ref: refs/heads/\0\n"),
        ("HEAD", "g" * 40),
        ("HEAD", "a" * 41),
        ("HEAD", "\xff\xfe"),
        ("HEAD", "a" * 20_000_000),
        ("refs/heads/main", "ref: refs/heads/main\n"),
        ("refs/heads/main", "root:x:0:0:root:/root:/bin/bash\n"),
        ("packed-refs", "# pack-refs with: peeled\n" + "0" * 39 + " refs/heads/main\n"),
        ("commondir", "\0"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_no_commit_is_not_recorded(outside, name, text):
    (outside / "secret").write_text(SECRET)
    (outside / ".git/refs/heads").mkdir(parents=True)
    (outside / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (outside / ".git" / name).write_text(text, encoding="latin-1")
    assert provenance.git() is None


def test_neither_links_nor_pipes_are_read(outside):
    (outside / "secret").write_text(SECRET)
    (outside / ".git/refs/heads").mkdir(parents=True)
    head = outside / ".git/HEAD"
    head.symlink_to(outside / "secret")
    assert provenance.git() is None
    head.unlink()
    os.mkfifo(head)
    assert provenance.git() is None
    head.unlink()
    head.write_text("ref: refs/heads/main")
    (outside / ".git/refs/heads/main").symlink_to(outside / "secret")
    assert provenance.git() is None


@pytest.mark.parametrize("text", ["", "x", "gitdir: ", "gitdir: /nowhere", "gitdir: .git", "gitdir: \0"])
def test_a_pointer_to_no_repository_has_no_commit(outside, text):
    (outside / ".git").write_text(text)
    assert provenance.git() is None


HOOKS = {
    "filter": 'git config filter.x.clean "$0"; echo "* filter=x" > .gitattributes; touch -d 2001-01-01 a',
    "fsmonitor": 'git config core.fsmonitor "$0"',
    "include": 'printf "[core]\\nfsmonitor = "%s"\\n" "$0" > .git/more; git config include.path more',
    "promisor": 'git config remote.o.url "file://$PWD"; git config remote.o.uploadpack "$0";'
    " git config remote.o.promisor true; git config extensions.partialClone o;"
    " git config core.repositoryFormatVersion 1; rm -r .git/objects/??",
    "ssh": 'git config core.sshCommand "$0"; git config remote.o.url ssh://h/r;'
    " git config remote.o.promisor true; git config extensions.partialClone o;"
    " git config core.repositoryFormatVersion 1; rm -r .git/objects/??",
    "hooks": 'mkdir h; cp "$0" h/post-index-change; git config core.hooksPath h; touch -d 2001-01-01 a',
    "diff": 'git config diff.external "$0"; echo 2 > a',
    "textconv": 'git config diff.x.textconv "$0"; echo "a diff=x" > .gitattributes; echo 2 > a',
}
"""by what makes git run `$0`: shell commands that prepare a repository"""
SHOWN_BY_DIFF = ("diff", "textconv")
"""these are run by `git diff` and not by `git status`"""


@needs_git
@pytest.mark.parametrize("kind", HOOKS)
def test_a_received_repository_runs_nothing(repository, monkeypatch, kind):
    commit = git("rev-parse", "HEAD")
    program, canary = repository / "program", repository / "canary"
    program.write_text(f"#!/bin/sh\ntouch '{canary}'\n")
    program.chmod(0o755)
    subprocess.run(["sh", "-c", HOOKS[kind], program], check=True)
    with monkeypatch.context() as patch:
        forbid_processes(patch)
        assert provenance.git() == {"commit": commit, "dirty": None}
    assert not canary.exists()
    # the control: git itself does run the program
    command = "diff" if kind in SHOWN_BY_DIFF else "status"
    subprocess.run(["git", command], check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)
    assert canary.exists()


def test_the_environment_is_json():
    found = provenance.environment()
    assert json.loads(canonical.encode(found)) == found
    assert found.keys() == {"versions", "numerics", "platform", "cpu", "variables", "git"}


def test_storage_loads_nothing_heavy():
    program = """
import sys
from mlprun.storage import checkpoints, history, provenance, runs
provenance.environment()
print(sorted({"torch", "sklearn", "polars", "matplotlib", "pandas", "pydantic"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
