"""The table of a network's layers that `train` and `show` print; imports torch."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from mlprun.parts.activations import activations
from mlprun.parts.activations.modules import Parallel
from mlprun.parts.architectures.network import Dropout

if TYPE_CHECKING:
    from mlprun.parts.architectures.network import Network


class Row(NamedTuple):
    """A layer: its name in the module, what it is, the shape of one row after it, its trained numbers."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int


def summary(network: Network, inputs: int) -> list[Row]:
    """A row per layer in the order of computing, for `inputs` columns; the output activation comes last."""
    names = {module: name for name, module in network.named_modules()}
    rows: list[Row] = []
    shape: tuple[int, ...] = (inputs,)
    for stage in (*network.stages, network.output_activation):
        shape = _shape(stage, shape)
        if not isinstance(stage, nn.Identity | nn.Flatten):
            parameters = sum(parameter.numel() for parameter in stage.parameters())
            rows.append(Row(names.get(stage, ""), kind(stage), shape, parameters))
    return rows


def _shape(stage: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(stage, nn.Linear):
        return (stage.out_features,)
    if isinstance(stage, nn.Embedding):
        return (*shape, stage.embedding_dim)
    if isinstance(stage, nn.Flatten):
        return (shape[0] * shape[1],)
    return shape


def kind(stage: nn.Module) -> str:
    """What a layer is, in words: `linear 2 -> 5`, `relu + tanh`, `dropout 0.5`."""
    if isinstance(stage, nn.Linear):
        bias = "" if stage.bias is not None else ", no bias"
        return f"linear {stage.in_features} -> {stage.out_features}{bias}"
    if isinstance(stage, nn.Embedding):
        return f"embedding of {stage.num_embeddings} in {stage.embedding_dim}"
    if isinstance(stage, Parallel):
        return " + ".join(kind(module) for module in stage)
    if isinstance(stage, Dropout):
        return f"dropout {stage.probability:g}"
    known = {nn.BatchNorm1d: "batch norm", nn.LayerNorm: "layer norm", **_activation_names()}
    return known.get(type(stage), type(stage).__name__.lower())


@cache
def _activation_names() -> dict[type[nn.Module], str]:
    parts = (part for part in activations if not any(f.is_required() for f in part.model_fields.values()))
    return {type(part.model_validate({}).build()): part.names()[0] for part in parts}
