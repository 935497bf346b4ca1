"""The contents of run.json: everything that may change a run's bits, and the commit it was started from.

No clock, no user, no absolute path. Versions come from package metadata, so nothing heavy is imported.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
from typing import TYPE_CHECKING, Any

from mlprun import files, isolation
from mlprun.errors import FileError
from mlprun.storage import canonical
from mlprun.version import NUMERICS, __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = (
    *isolation.NUMBA_VARIABLES,
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
)
"""environment variables by which libraries choose their code"""
PACKAGES = ("torch", "numpy", "numba", "llvmlite", "scikit-learn", "polars", "safetensors")

_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_LINE = 10_000
_MAX_PACKED_REFS = 20_000_000

# the instruction sets that numeric libraries choose their kernels by
_CAPABILITY = re.compile(
    r"sse4_[12]|avx\w*|fma|f16c|amx\w*|asimd\w*|neon|sve\w*|bf16|i8mm|vsx|vxe?", re.IGNORECASE
)


def settings_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a config without `training.epochs`, the same before and after an extension.

    Trackers are left out too, on which no bit depends.
    """
    training = config.get("training")
    options = training.items() if isinstance(training, dict) else ()
    config = {key: value for key, value in config.items() if key != "trackers"}
    return canonical.digest({**config, "training": {key: value for key, value in options if key != "epochs"}})


def environment() -> dict[str, Any]:
    """Return versions, platform, CPU, environment variables and the working directory's commit, as JSON."""
    return {
        "numerics": NUMERICS,
        "versions": versions(),
        "platform": {name: getattr(platform, name)() for name in ("system", "release", "machine")},
        "cpu": cpu(),
        "variables": {name: os.environ[name][:200] for name in VARIABLES if name in os.environ},
        "git": git(),
    }


def versions() -> dict[str, str | None]:
    """Return the versions of Python, mlprun and numeric packages; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "mlprun": __version__}
    return found | {package: _installed_version(package) for package in PACKAGES}


@functools.cache
def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu() -> dict[str, Any]:
    """Return the processor's model and its instruction sets."""
    text = _cpu_text()

    def value(names: str) -> str:
        found = re.search(rf"^(?:{names})\s*:\s*(.+)$", text, re.MULTILINE | re.IGNORECASE)
        return found[1].strip() if found else ""

    words = value(r"flags|features|machdep\.cpu\.features").lower().split()
    return {
        "model": value(r"model name|cpu model|machdep\.cpu\.brand_string") or platform.machine(),
        "capability": sorted({word for word in words if _CAPABILITY.fullmatch(word)}),
        "count": os.cpu_count(),
    }


@functools.cache
def _cpu_text() -> str:
    """Return the first processor of /proc/cpuinfo, or the output of sysctl on macOS."""
    try:
        if platform.system() == "Darwin":
            # an absolute path, because PATH may name the working directory
            command = ("/usr/sbin/sysctl", "machdep.cpu")
            return subprocess.run(command, capture_output=True, check=True, timeout=2).stdout.decode()
        return files.read_text("/proc/cpuinfo", cap=10_000_000).partition("\n\n")[0]
    except (OSError, FileError, UnicodeDecodeError, subprocess.SubprocessError):
        return ""


def git() -> dict[str, Any] | None:
    """Return the commit that is checked out in the working directory; None outside a repository.

    Files are read and no git process is started: the configuration of a repository can name programs that
    `git status` runs. Whether files differ from the commit cannot be known this way, so `dirty` is None.
    """
    with contextlib.suppress(OSError, FileError, ValueError):
        folder = os.path.realpath(os.getcwd())
        while not os.path.lexists(os.path.join(folder, ".git")):
            above = os.path.dirname(folder)
            if above == folder:
                return None
            folder = above
        commit = _head(os.path.join(folder, ".git"))
        return None if commit is None else {"commit": commit, "dirty": None}
    return None


def _head(repository: str) -> str | None:
    """Return the commit that HEAD names; None for a repository without one or in an unknown format."""
    if not files.is_folder(repository):  # a worktree or a submodule keeps its repository elsewhere
        pointer = _line(repository)
        if pointer is None or not pointer.startswith("gitdir: "):
            return None
        repository = os.path.join(os.path.dirname(repository), pointer.removeprefix("gitdir: "))
    shared = os.path.join(repository, _line(os.path.join(repository, "commondir")) or "")
    head = _line(os.path.join(repository, "HEAD"))
    if head is None or _COMMIT.fullmatch(head):
        return head
    name = head.removeprefix("ref: ")
    if name == head or not name.startswith("refs/") or ".." in name.split("/"):
        return None
    value = _line(os.path.join(repository, name)) or _line(os.path.join(shared, name))
    if value is None:
        return _packed(os.path.join(shared, "packed-refs"), name)
    return value if _COMMIT.fullmatch(value) else None


def _packed(path: str, name: str) -> str | None:
    """Return the commit of a reference in `packed-refs`, whose lines hold a commit and a name."""
    with contextlib.suppress(FileNotFoundError):
        text = files.read_bytes(path, cap=_MAX_PACKED_REFS, follow=False).decode()
        found = re.search(rf"^({_COMMIT.pattern}) {re.escape(name)}$", text, re.MULTILINE)
        return found and found[1]
    return None


def _line(path: str) -> str | None:
    """Return the text of a small file without its line break; None if there is no such file."""
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        return files.read_bytes(path, cap=_MAX_LINE, follow=False).decode().rstrip("\n")
    return None
