"""What run.json records: everything that may change a run's bits, and the commit it was started from.

No clock, no user, no absolute path. Versions come from package metadata, so nothing heavy is imported.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import subprocess
from typing import TYPE_CHECKING, Any

from mlprun import files
from mlprun.errors import FileError
from mlprun.storage import canonical
from mlprun.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = ("torch", "numpy", "numba", "llvmlite", "scikit-learn", "polars", "safetensors")

# the instruction sets that numeric libraries choose their kernels by
_CAPABILITY = re.compile(
    r"sse4_[12]|avx\w*|fma|f16c|amx\w*|asimd\w*|neon|sve\w*|bf16|i8mm|vsx|vxe?", re.IGNORECASE
)


def record(
    *,
    config_digest: str,
    data_digest: str,
    seeds: Mapping[str, int],
    threads: int,
    device: str,
    engine: str,
    engine_reason: str,
) -> dict[str, Any]:
    """The contents of run.json: what the caller decided, and what this machine is."""
    return {
        "config_digest": config_digest,
        "data_digest": data_digest,
        "seeds": dict(seeds),
        "threads": threads,
        "device": device,
        "engine": engine,
        "engine_reason": engine_reason,
        **environment(),
    }


def settings_digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of a complete config but for `training.epochs`: the same before and after an extension."""
    training = config.get("training")
    rest = (
        {key: value for key, value in training.items() if key != "epochs"}
        if isinstance(training, dict)
        else {}
    )
    return canonical.digest({**config, "training": rest})


def environment() -> dict[str, Any]:
    """Versions, platform, CPU and the working folder's commit, as JSON."""
    return {
        "versions": versions(),
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
        },
        "cpu": cpu(),
        "git": git(),
    }


def versions() -> dict[str, str | None]:
    """The versions of Python, mlprun and the packages that compute; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "mlprun": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def cpu() -> dict[str, Any]:
    """The processor's model and the instruction sets it offers."""
    text = _cpu_text()
    model = re.search(r"^(?:model name|cpu model|machdep\.cpu\.brand_string)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(
        r"^(?:flags|features|machdep\.cpu\.features)\s*:\s*(.+)$", text, re.MULTILINE | re.IGNORECASE
    )
    words = flags.group(1).lower().split() if flags else []
    return {
        "model": model.group(1).strip() if model else platform.processor() or platform.machine(),
        "capability": sorted({word for word in words if _CAPABILITY.fullmatch(word)}),
        "count": os.cpu_count(),
    }


def _cpu_text() -> str:
    """The first processor of /proc/cpuinfo, or what sysctl says on macOS."""
    if platform.system() == "Darwin":
        return _output("sysctl", "machdep.cpu") or ""
    try:
        return files.read_text("/proc/cpuinfo", cap=10_000_000).partition("\n\n")[0]
    except (OSError, FileError, UnicodeDecodeError):
        return ""


def git() -> dict[str, Any] | None:
    """The working folder's commit and whether tracked files differ from it; None outside a repository."""
    commit = _output("git", "rev-parse", "--verify", "HEAD")
    if commit is None or re.fullmatch("[0-9a-f]{40,64}", commit.strip()) is None:
        return None
    # a repository's own settings may name programs to run; the monitor is the one that status would start
    changes = _output(
        "git",
        "-c",
        "core.fsmonitor=false",
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--ignore-submodules",
    )
    return {"commit": commit.strip(), "dirty": None if changes is None else bool(changes.strip())}


def _output(*command: str) -> str | None:
    """What a program prints; None when it is missing, fails or takes longer than a start may."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    with contextlib.suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        done = subprocess.run(
            command, capture_output=True, check=True, timeout=2, env=environment, stdin=subprocess.DEVNULL
        )
        return done.stdout.decode()
    return None
