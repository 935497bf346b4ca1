"""What a figure of a run or a sweep is: its options, what it applies to, and how its chart is computed.

A new figure is one class, registered in `run_figures` or `sweep_figures`; one in a file that a config names
under `extend:` is drawn beside ours.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, ValidationError

from mlprun.errors import DataError, UsageError
from mlprun.parts.part import Part, Registry, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlprun.figures.chart import Chart
    from mlprun.figures.run_data import RunData


FORMATS = ("png", "svg", "pdf")
"""of files that the renderer writes"""


class Figure(Part):
    """Base of all figures."""

    formats: ClassVar[tuple[str, ...]] = FORMATS
    """file formats, the first being the default"""
    is_default: ClassVar[bool] = True
    """whether it is drawn unless figures are named"""

    def unsupported_reason(self, data: Any) -> str | None:
        """Return why the figure cannot be drawn of the run or sweep; None if it can."""
        raise NotImplementedError

    def compute(self, data: Any) -> Chart:
        """Return the chart of a run or sweep that the figure applies to."""
        raise NotImplementedError


class RunFigure(Figure):
    """Base of the figures of a run."""

    needs_data: ClassVar[bool] = True
    """False where the history or the weights are enough, so that it can be drawn when the data is gone"""

    def unsupported_reason(self, data: RunData) -> str | None:
        """Return why the figure cannot be drawn of the run. Raises DataError where it needs lost data."""
        reason = self.check(data)
        if reason is None and self.needs_data and not len(data.experiment.fixed["train"]):
            return "there are no rows"
        return reason

    def check(self, data: RunData) -> str | None:
        """Return why the figure makes no sense for a run that has data; None if it does."""
        raise NotImplementedError

    def compute(self, data: RunData) -> Chart:
        raise NotImplementedError


Features = Annotated[
    tuple[str, str] | None,
    Field(description="two inputs for the axes; by default the principal components of more than two"),
]


class NetworkFigure(RunFigure):
    """Base of the figures of the network after one epoch."""

    epoch: Literal["best", "last"] = Field("best", description="epoch of the network")

    def epoch_of(self, data: RunData) -> int:
        """The epoch of that network; the last one where no dev rows chose a best."""
        return data.last if self.epoch == "last" else data.best_or_last


class SweepFigure(Figure):
    """Base of the figures of a sweep, whose data is a `SweepData`."""


def charts_of(registry: Registry[Any], data: Any, kinds: Iterable[str]) -> Iterator[tuple[str, Chart]]:
    """Yield the charts of these kinds that apply to a run or sweep by name, none where their data is gone."""
    for kind in kinds:
        if kind in registry:
            figure = make(registry, kind, {})
            with suppress(DataError):
                if figure.unsupported_reason(data) is None:
                    yield kind, figure.compute(data)


run_figures: Registry[RunFigure] = Registry("plot", "plots")
sweep_figures: Registry[SweepFigure] = Registry("sweep_plot", "sweep_plots")

F = TypeVar("F", bound=Figure)


def make(registry: Registry[F], kind: str, options: Mapping[str, Any]) -> F:
    """The figure of that name with its options. Raises UsageError for an unknown name or option."""
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
