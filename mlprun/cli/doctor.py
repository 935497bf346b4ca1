"""`mlprun doctor`: check the installation and suggest fixes."""

import importlib
import os
import platform
import re
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Any, Literal, NamedTuple

from mlprun import extras, files
from mlprun.cli.terminal import Output, Table
from mlprun.version import CUDA_TESTED, __version__

GET_TORCH = "install PyTorch as described at https://pytorch.org/get-started"


class Finding(NamedTuple):
    """One line of the report: what was checked, its state, and how to fix it."""

    subject: str
    state: Literal["ok", "absent", "untested", "broken"]
    found: str
    remedy: str = ""


def doctor_command(*, output: Output) -> None:
    """Report versions, devices, optional extras and write access.

    `absent` means that an optional component is not available, `untested` that
    this version was never tested with it, `broken` that something must be fixed,
    with a suggested command. Imports PyTorch and reports how long that takes.

    --json prints {"ok": true | false,
      "findings": [{"subject", "state": "ok" | "absent" | "untested" | "broken",
                    "found", "remedy"}]}

    Exit codes: 0 always.
    """
    findings = list(_look())
    output.result(Table(Finding._fields, findings))
    ok = all(finding.state != "broken" for finding in findings)
    output.document({"ok": ok, "findings": [finding._asdict() for finding in findings]})


def _look() -> Iterator[Finding]:
    yield Finding("mlprun", "ok", __version__)
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    needed = extras.requirements()
    yield from (_package(requirement) for requirement in needed.always)
    yield from (_extra(name, requirements) for name, requirements in needed.extras.items())
    yield from _torch()
    here = os.path.abspath("runs" if files.is_folder("runs") else os.curdir)
    if os.access(here, os.W_OK | os.X_OK):
        yield Finding("runs", "ok", f"{here} is writable")
    else:
        yield Finding("runs", "broken", f"{here} is not writable", "use another folder, or change its mode")


def _package(requirement: str) -> Finding:
    """Whether a package is installed in the required version."""
    name = re.match(r"[\w.-]+", requirement)[0]  # type: ignore[index]  # a requirement starts with its name
    remedy = extras.remedy([requirement])
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "broken", "not installed", remedy)
    lowest = re.search(r">=\s*([\d.]+)", requirement)
    if lowest and _numbers(version) < _numbers(lowest[1]):
        return Finding(name, "broken", f"{version}, older than {lowest[1]}", remedy)
    return Finding(name, "ok", version)


def _numbers(version: str) -> list[int]:
    """The release numbers of a version for comparison: `2.13.0+cpu` gives [2, 13, 0]."""
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def _extra(name: str, requirements: list[str]) -> Finding:
    missing = {one: found for one in requirements if (found := _package(one)).state != "ok"}
    if missing:
        names = ", ".join(found.subject for found in missing.values())
        return Finding(f"extra {name}", "absent", f"missing: {names}", extras.remedy(missing))
    return Finding(f"extra {name}", "ok", "installed")


def _torch() -> Iterator[Finding]:
    """Whether PyTorch can be imported, how long that takes, and its devices."""
    start = time.perf_counter()
    try:
        torch = importlib.import_module("torch")
    except Exception as error:  # noqa: BLE001 - a broken installation can raise anything
        yield Finding("import torch", "broken", _first_line(error), GET_TORCH)
        return
    yield Finding("import torch", "ok", f"takes {time.perf_counter() - start:.1f} s")
    yield Finding("device cpu", "ok", f"{os.cpu_count()} cores; training.threads sets how many a run uses")
    yield from _cuda(torch)
    if not CUDA_TESTED:
        yield Finding("CUDA", "untested", "not tested with this version", "compare with device: cpu")


def _cuda(torch: Any) -> Iterator[Finding]:
    if torch.version.cuda is None:
        yield Finding("device cuda", "absent", "this build of PyTorch has no CUDA", GET_TORCH)
        return
    try:
        torch.cuda.init()
        for index in range(torch.cuda.device_count()):
            float(torch.ones(2, device=f"cuda:{index}").sum())  # a listed device may still fail
            device = torch.cuda.get_device_properties(index)
            found = f"{device.name}, {device.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
            yield Finding(f"device cuda:{index}", "ok", found)
    except (RuntimeError, AssertionError) as error:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        remedy = "check the driver with nvidia-smi" if hidden is None else "unset CUDA_VISIBLE_DEVICES"
        yield Finding("device cuda", "absent", _first_line(error), remedy)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
