"""Callbacks that a config can name: `callbacks: [name]`, for those that an `extend` file registers."""

from __future__ import annotations

from typing import Any

from mlprun.parts.part import Part, Registry


class CallbackPart(Part):
    """The options of a callback. None is built in; a file that `extend` names registers its own.

    @callbacks.register
    class StopBelow(CallbackPart):
        "Stops a run when its loss is low enough."
        name: Literal["stop_below"] = "stop_below"
        loss: float = 0.1

        def build(self):
            return Stopper(self.loss)  # a mlprun.Callback
    """

    def build(self) -> Any:
        """Return a new `mlprun.Callback` for one run."""
        raise NotImplementedError


callbacks: Registry[CallbackPart] = Registry("callback", "callbacks")
