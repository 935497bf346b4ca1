"""What `metrics:` may name: metrics, and any loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic_core import core_schema

from mlprun.parts.losses import Loss, losses
from mlprun.parts.metrics.metric import Metric, metrics
from mlprun.parts.part import Named, Registry

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler


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

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        choices = {f"metric {name}": handler.generate_schema(metrics[name]) for name in metrics.names()}
        choices |= {f"loss {name}": handler.generate_schema(losses[name]) for name in losses.names()}
        tagged = core_schema.tagged_union_schema(choices, discriminator=_tag)
        return core_schema.no_info_before_validator_function(self._expand, tagged)


def _tag(value: Any) -> str:
    """Which of the choices a part, or a mapping with a known name, is."""
    if not isinstance(value, Mapping):
        return f"{'loss' if isinstance(value, Loss) else 'metric'} {value.name}"
    name = value["name"]
    is_loss = name not in metrics or (
        name in losses and bool(value.keys() & losses[name].model_fields.keys() - metrics[name].model_fields)
    )
    return f"{'loss' if is_loss else 'metric'} {name}"


FigureField = Annotated[Metric | Loss, NamedFigure()]
