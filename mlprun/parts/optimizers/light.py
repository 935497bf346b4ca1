"""torch.optim without torch's compiler: importing that costs a second, and its wrappers cost every step.

Both functions fall back on torch's ordinary way where its internals are not as they expect.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""The methods that torch.optim.Optimizer hides from the compiler; the first of them runs at construction."""


def avoid_dynamo_import() -> None:
    """Let optimizers be built and stepped without importing torch._dynamo; does nothing where it is loaded.

    torch wraps these methods so that their first call imports torch._dynamo to ask it for a version that is
    not compiled, and keeps that version as an attribute. Where nothing is compiled, the plain function is it.
    """
    if "torch._dynamo" in sys.modules:
        return
    from torch.optim import Optimizer

    for name in WRAPPED:
        plain = getattr(getattr(Optimizer, name, None), "__wrapped__", None)
        if inspect.isfunction(plain) and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)


def step_function(optimizer: torch.optim.Optimizer) -> Callable[..., Any]:
    """`optimizer.step` without profiling, hooks and graph breaks: the same arithmetic, a quarter less time.

    The function takes the closure, if any, as its only argument. An optimizer that torch.optim does not
    define, or whose step is not as expected, keeps its own `step`.
    """
    import torch

    plain = inspect.unwrap(type(optimizer).step)
    torchs = f"{type(optimizer).__module__}.".startswith("torch.optim.")
    if not torchs or optimizer.defaults.get("differentiable") or not _is_plain_step(plain):
        return optimizer.step
    no_grad = torch.no_grad()

    def step(closure: Callable[[], Any] | None = None) -> Any:
        with no_grad:
            return plain(optimizer, closure)

    return step


def _is_plain_step(function: object) -> bool:
    """Whether it is a function of (self, closure)."""
    return inspect.isfunction(function) and list(inspect.signature(function).parameters) == [
        "self",
        "closure",
    ]
