"""What may come of a training that is no bug of mlprun: how it is told."""

from __future__ import annotations

import torch

from mlprun.errors import MlprunError, OutOfMemoryError, UsageError
from mlprun.schema import extend

EXPECTED = (MlprunError, RuntimeError)
"""what a training may raise, told by `as_expected`"""


def as_expected(error: Exception) -> Exception:
    """The failure as a user should meet it: memory that ran out and the user's own code are told as such."""
    told = str(error)
    if isinstance(error, MlprunError):
        return error
    if "does not have a deterministic implementation" in told:
        what = (
            f"this experiment needs {told.partition(' ')[0]}, which CUDA does not compute the same way twice"
        )
        return UsageError("device", what, "use device: cpu")
    if (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "allocate memory" in told
        or "ALLOC_FAILED" in told
    ):
        what = "memory ran out while training; the last checkpoint is intact"
        return OutOfMemoryError("memory", what, "use fewer rows, smaller layers or a smaller batch")
    return extend.user_code_error(error) or error
