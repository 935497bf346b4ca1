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
from mlprun.version import __version__

GET_TORCH = "install PyTorch as described at https://pytorch.org/get-started"


class Finding(NamedTuple):
    """One line of the report: what was checked, its state, and how to fix it."""

    subject: str
    state: Literal["ok", "absent", "broken"]
    found: str
    remedy: str = ""


def doctor_command(*, output: Output) -> None:
    """Report versions, devices, optional extras and write access.

    `absent` means that an optional component is not available, `broken` that
    something must be fixed, with a suggested command. Imports PyTorch and reports
    how long that takes.

    --json prints {"ok": true | false,
      "findings": [{"subject", "state": "ok" | "absent" | "broken", "found", "remedy"}]}

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
    torch, finding = _import("torch", GET_TORCH)
    yield finding
    if torch is not None:
        threads = f"{os.cpu_count()} cores; training.threads sets how many a run uses"
        yield Finding("device cpu", "ok", threads)
        yield from _cuda(torch)
    yield _folder("runs", "runs")
    matplotlib, finding = _import("matplotlib", "pip install --force-reinstall matplotlib")
    yield finding
    if matplotlib is not None:  # without its cached list of fonts plotting starts slowly
        yield _folder("plots cache", matplotlib.get_cachedir())


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


def _import(name: str, remedy: str) -> tuple[Any, Finding]:
    """A module, or None, and whether it can be imported and how long that takes."""
    start = time.perf_counter()
    try:
        module = importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a broken installation can raise anything
        return None, Finding(f"import {name}", "broken", _first_line(error), remedy)
    return module, Finding(f"import {name}", "ok", f"takes {time.perf_counter() - start:.1f} s")


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


def _folder(subject: str, folder: str) -> Finding:
    """Whether files can be written to a folder, or to its parent if it does not exist."""
    existing = folder if files.is_folder(folder) else os.path.dirname(os.path.abspath(folder))
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            subject, "broken", f"{existing} is not writable", "use another folder, or change its mode"
        )
    return Finding(subject, "ok", f"{os.path.abspath(folder)} is writable")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
