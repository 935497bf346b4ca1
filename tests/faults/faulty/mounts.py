"""Real file systems for one process: a read-only one and a tmpfs of 1 MB, in a mount namespace of its own.

`main((job, folder))` mounts and tells what came of each step; what it mounts ends with its process.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import shutil
import subprocess
from typing import Any

import mlprun.api as mlprun
from faulty.comparing import compare
from faulty.variants import config_of
from mlprun import cli
from mlprun.errors import FileError
from mlprun.storage import runs
from mlprun.sweeps.database import Writer

CONFIG = config_of("momentum", training={"epochs": 3})
PAGE = 4096
NEW_MOUNTS = 0x00020000


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def call(*arguments: str) -> dict[str, Any]:
    """The exit code and the messages of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([*arguments, "-q"])
    return {"does": arguments[0], "code": code, "err": err.getvalue()}


def read_only(folder: str) -> list[dict[str, Any]]:
    """Commands on a run in FOLDER/locked, which nobody can write to, root neither."""
    locked = f"{folder}/locked"
    run = mlprun.train(CONFIG, out=locked).path
    with open(f"{folder}/run.yaml", "w") as file:
        json.dump(CONFIG, file)
    with open(f"{folder}/rows.csv", "w") as file:
        file.write("x1,x2\n0,1\n")
    mount("--bind", locked, locked)
    mount("-o", "remount,ro,bind", locked)
    assert os.statvfs(locked).f_flag & os.ST_RDONLY
    return [
        call("eval", run),
        call("show", run),
        call("ls", locked),
        call("predict", run, f"{folder}/rows.csv", "--out", f"{folder}/said.csv"),
        call("plot", run, "--kind", "loss", "--out", f"{folder}/loss.png"),
        call("reproduce", run, "--out", f"{folder}/again"),
        call("train", f"{folder}/run.yaml", "--out", locked),
        call("train", f"{folder}/run.yaml", "--out", f"{locked}/deeper"),
        call("resume", run),
        call("resume", run, "--epochs", "5"),
        call("plot", run, "--kind", "loss"),
    ]


def sweeps(folder: str) -> list[dict[str, Any]]:
    """Commands on a finished sweep and on one whose newest rows are in its log, in FOLDER/locked."""
    locked, file = f"{folder}/locked", f"{folder}/small.yaml"
    with open(file, "w") as stream:
        json.dump({"base": CONFIG, "seeds": 2}, stream)
    done = mlprun.sweep(file, out=locked).path
    died = f"{locked}/died-001"
    shutil.copytree(done, died)
    os.unlink(f"{died}/trials.sqlite.sha256")
    with Writer(f"{died}/trials.sqlite") as writer:
        writer.reopen([1])
        for ending in ("", "-wal"):  # as they are when the process is killed
            shutil.copy(f"{died}/trials.sqlite{ending}", f"{folder}/kept{ending}")
    for ending in ("", "-wal"):
        shutil.copy(f"{folder}/kept{ending}", f"{died}/trials.sqlite{ending}")
    mount("--bind", locked, locked)
    mount("-o", "remount,ro,bind", locked)
    return [
        call("sweep", "show", done),
        call("sweep", "export", done, "-o", f"{folder}/trials.csv"),
        call("sweep", "show", died),
        call("sweep", "run", file, "--out", locked),
        call("sweep", "run", file, "seeds=[9]", "--out", locked),
    ]


def full(folder: str) -> list[dict[str, Any]]:
    """A run on a tmpfs that has room for ever more pages; after it failed there is room, and it goes on."""
    disk = f"{folder}/disk"
    os.mkdir(disk)
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
    whole, told = mlprun.train(CONFIG, out=f"{folder}/whole").path, []
    for pages in range(28):
        room = os.statvfs(disk).f_bavail * PAGE
        with open(f"{disk}/ballast", "wb") as file:
            file.write(bytes(room - pages * PAGE))
        told.append({"pages": pages, **met(f"{disk}/runs", f"{disk}/ballast", whole)})
        subprocess.run(["rm", "-r", "-f", f"{disk}/runs", f"{disk}/ballast"], check=True)
    return told


def met(out: str, ballast: str, whole: str) -> dict[str, Any]:
    """Train until the disk is full, remove the ballast, go on, and demand the bytes of an undisturbed run."""
    try:
        mlprun.train(CONFIG, out=out)
    except FileError as error:
        told = {"code": error.exit_code, "what": str(error)}
    else:
        return {"code": 0, "saved": True}
    found = runs.find(out) if os.path.isdir(out) else []
    last = found[0].load_last() if found else None
    assert last is None or last.damage is None
    os.unlink(ballast)
    if found:
        mlprun.resume(found[0].path)
        compare(whole, found[0].path)
    return {**told, "saved": last is not None}


def main(given: tuple[str, str]) -> list[dict[str, Any]]:
    """Do a job in a folder."""
    job, folder = given
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(NEW_MOUNTS) == 0, os.strerror(ctypes.get_errno())
    mount("--make-rprivate", "/")
    return {"read-only": read_only, "full": full, "sweeps": sweeps}[job](folder)
