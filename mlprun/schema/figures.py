"""What `metrics:` may name: metrics, and any loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from mlprun.parts.losses import Loss, losses
from mlprun.parts.metrics.metric import Metric, metrics
from mlprun.parts.part import Named, Part, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Figures(Registry[Metric | Loss]):
    """Everything that can be logged beside the loss; a metric goes before a loss of the same name."""

    def __init__(self) -> None:
        super().__init__("metric", "metrics")

    def __iter__(self) -> Iterator[type[Metric | Loss]]:
        return iter(dict.fromkeys(self[name] for name in self.names()))

    def __contains__(self, name: object) -> bool:
        return name in metrics or name in losses

    def __getitem__(self, name: str) -> type[Metric | Loss]:
        return metrics[name] if name in metrics else losses[name]

    def names(self) -> tuple[str, ...]:
        """Every name, the metrics' first."""
        return tuple(dict.fromkeys((*metrics.names(), *losses.names())))


class NamedFigure(Named):
    """Field metadata: a metric or a loss; a name of both means the loss if options of losses stand beside."""

    def __init__(self) -> None:
        super().__init__(Figures())

    def _choose(self, given: Mapping[str, Any] | Part) -> type[Part]:
        first, name = super()._choose(given), self._name(given)
        if name not in losses:
            return first
        if isinstance(given, Part):
            return losses[name] if isinstance(given, Loss) else first
        return losses[name] if given.keys() & losses[name].model_fields.keys() - first.model_fields else first

    def parts(self) -> Iterator[type[Part]]:
        """Every metric and every loss, of a common name both."""
        yield from metrics
        yield from losses


FigureField = Annotated[Metric | Loss, NamedFigure()]
