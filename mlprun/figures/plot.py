"""What a picture of a run or a sweep is: options, when it makes sense, what is computed, how that is drawn.

A new picture is one class in a file of this folder, registered in `kinds`, or in a file of `sweeps` and in
`sweep_kinds`. Computing and drawing are apart: what is computed is plain data that a test compares with
something independent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from mlprun.errors import UsageError
from mlprun.parts.part import Part, Registry, suggestion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

    from mlprun.figures.subject import Subject
    from mlprun.figures.sweeps.subject import Sweep


class Picture(Part):
    """Base of all pictures, of runs and of sweeps."""

    formats: ClassVar[tuple[str, ...]] = ("png", "svg", "pdf")
    """file formats, the first being the usual one"""

    def draw(self, values: Any) -> Figure:
        """The picture of what was computed for it; to be called inside `style.styled()`."""
        raise NotImplementedError

    def encode(self, values: Any, form: str, *, dpi: int) -> bytes:
        """The picture of what was computed for it as the bytes of a file."""
        from mlprun.figures import canvas, style

        with style.styled():
            return canvas.encode(canvas.cleaned(self.draw(values)), form, dpi=dpi)


P = TypeVar("P", bound=Picture)


class Plot(Picture):
    """Base of all pictures of a run."""

    needs_data: ClassVar[bool] = True
    """False where the history or the weights are enough, so that it can be drawn when the data is gone"""

    def refuses(self, subject: Subject) -> str | None:
        """Why this picture makes no sense for the run; None if it does."""
        raise NotImplementedError

    def compute(self, subject: Subject) -> Any:
        """What is drawn, as plain data."""
        raise NotImplementedError


class NetworkPlot(Plot):
    """Base of the pictures that are of one network of the run."""

    epoch: Literal["best", "last"] = Field("best", description="which network is asked")

    def moment(self, subject: Subject) -> int:
        """The epoch of that network; the last one where no dev rows chose a best."""
        return subject.last if self.epoch == "last" or subject.best is None else subject.best


class SweepPlot(Picture):
    """Base of all pictures of a sweep."""

    def refuses(self, sweep: Sweep) -> str | None:
        """Why this picture makes no sense for the sweep; None if it does."""
        raise NotImplementedError

    def compute(self, sweep: Sweep) -> Any:
        """What is drawn, as plain data."""
        raise NotImplementedError


kinds: Registry[Plot] = Registry("plot", "plots")
sweep_kinds: Registry[SweepPlot] = Registry("sweep_plot", "sweep_plots")


def named(registry: Registry[P], kind: str, options: Mapping[str, Any]) -> P:
    """The picture of that name with its options. Raises UsageError for an unknown name or option."""
    from pydantic import ValidationError

    if kind not in registry:
        raise UsageError(kind, "no such plot", suggestion(kind, registry.names()))
    part = registry[kind]
    unknown = [name for name in options if name not in part.model_fields]
    if unknown:
        known = [name for name in part.model_fields if name != "name"]
        remedy = suggestion(unknown[0], known) if known else "it has no options"
        raise UsageError(unknown[0], f"is no option of {kind}", remedy)
    try:
        return part.model_validate({"name": kind, **options})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            ".".join(map(str, (kind, *first["loc"]))),
            first["msg"].lower(),
            f"mlprun list {registry.plural} {kind}",
        ) from error
