"""The networks of architectures as nn.Modules, modules that torch lacks, and the table of a network's layers.

Imports torch, so it is imported inside functions only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

import torch
from torch import Tensor, nn

from mlprun.parts.part import CategoryTable, Dtype, LayerSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlprun.parts.initializers import LayerInit, ModuleInitializer


class Network(nn.Module):
    """A network with its output activation apart: losses are computed stably from the values before it."""

    output_activation: nn.Module

    def reset_parameters(self) -> bool:
        """Initialise again in place, as if just built, from torch's default generator as it is.

        False where that cannot be done and the network must be built again.
        """
        return False

    def preactivation(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] int64 symbols to [B, K], before the output activation."""
        raise NotImplementedError

    def forward(self, rows: Tensor) -> Tensor:
        """[B, D] or [B, T] to [B, K], after the output activation."""
        outputs: Tensor = self.output_activation(self.preactivation(rows))
        return outputs

    @property
    def stages(self) -> list[nn.Module]:
        """The modules in the order in which rows pass them, before the output activation."""
        leaves = (module for module in self.modules() if not any(module.children()))
        return [module for module in leaves if module is not self.output_activation]

    @property
    def dropouts(self) -> list[Dropout]:
        """The dropout layers in module order; their masks are set from outside."""
        return [module for module in self.modules() if isinstance(module, Dropout)]

    def weights(self) -> tuple[nn.Parameter, ...]:
        """What penalties apply to: weight matrices and embeddings; not biases, not norm gains."""
        matrices = (module for module in self.modules() if isinstance(module, nn.Linear | nn.Embedding))
        return tuple(cast("nn.Parameter", module.weight) for module in matrices)

    def embedding_tables(self) -> frozenset[str]:
        """The names of the parameters that are embedding tables."""
        tables = (name for name, module in self.named_modules() if isinstance(module, nn.Embedding))
        return frozenset(f"{name}.weight" for name in tables)


_RESETTABLE = (nn.Linear, nn.Embedding, nn.BatchNorm1d, nn.LayerNorm)
"""modules that make all their parameters in `reset_parameters`, with the draws of their construction"""


class StepNetwork(Network):
    """A network of named modules; `define` says what rows pass and how parameters start."""

    def __init__(self, modules: Mapping[str, nn.Module], dtype: Dtype) -> None:
        super().__init__()
        self.dtype = dtype
        for name, module in modules.items():
            self.add_module(name, module)

    def define(
        self,
        steps: Sequence[Callable[[Tensor], Tensor]],
        inits: Sequence[tuple[nn.Module, LayerInit]],
        named: ModuleInitializer | None = None,
        stages: Sequence[nn.Module] = (),
    ) -> Self:
        """Set the steps before the output activation and initialise; `stages` are listed in their place."""
        # plain lists: the modules are registered above, and walking a list costs less than a ModuleList
        self.steps: list[Callable[[Tensor], Tensor]]
        self.steps = [step for step in steps if not isinstance(step, nn.Identity)]
        identity = isinstance(self.output_activation, nn.Identity)
        last: list[nn.Module] = [] if identity else [self.output_activation]
        self.all_steps: list[Callable[[Tensor], Tensor]] = [*self.steps, *last]
        self.inits, self.named, self._stages = list(inits), named, list(stages)
        self._initialize()
        return self

    @property
    def stages(self) -> list[nn.Module]:
        """The modules in the order in which rows pass them, before the output activation."""
        return self._stages or [step for step in self.steps if isinstance(step, nn.Module)]

    def preactivation(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] symbols to [B, K]."""
        for step in self.steps:
            rows = step(rows)
        return rows

    def forward(self, rows: Tensor) -> Tensor:
        """[B, D] numbers or [B, T] symbols to [B, K], after the output activation."""
        for step in self.all_steps:
            rows = step(rows)
        return rows

    def reset_parameters(self) -> bool:
        """Initialise again in place."""
        own = [module for module in self.modules() if any(True for _ in module.parameters(recurse=False))]
        if not all(type(module) in _RESETTABLE for module in own):
            return False
        if self.dtype != "float32":
            self.to(torch.float32)
        for module in own:  # in the order of construction
            cast("nn.Linear", module).reset_parameters()
        self._initialize()
        return True

    def _initialize(self) -> None:
        """Overwrite weights and biases in their order, cast to the dtype, then set what has a name."""
        pairs = [
            (initializer, module, kind)
            for module, init in self.inits
            for initializer, kind in ((init.weight, "weight"), (init.bias, "bias"))
            if getattr(module, kind, None) is not None
        ]
        with torch.no_grad():
            for initializer, module, kind in pairs:
                if initializer.is_random:
                    initializer.fill(getattr(module, kind))
            if self.dtype != "float32":  # as which parameters are made
                self.to(getattr(torch, self.dtype))
            for initializer, module, kind in pairs:
                if not initializer.is_random:  # 0.1 in float64 is not 0.1 that has been through float32
                    initializer.fill(getattr(module, kind))
        if self.named is not None:
            self.named.assign(self)


class Dropout(nn.Module):
    """Inverted dropout whose mask is given from outside: `keep` is [B, H] of 0 and 1, or None for no dropout.

    nn.Dropout draws from the device's own generator, so that its masks would differ between devices.
    """

    def __init__(self, probability: float, width: int) -> None:
        super().__init__()
        self.probability, self.width = probability, width
        self.keep: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        """[B, H] to [B, H]; the identity while `keep` is None."""
        return values if self.keep is None else values * self.keep / (1 - self.probability)


class CategoryEmbeddings(nn.ModuleList):
    """Inputs of which some are codes of categories, which become rows of tables, and unknown ones zeros."""

    def __init__(self, tables: Sequence[CategoryTable]) -> None:
        super().__init__(nn.Embedding(table.categories, table.dim) for table in tables)
        self.positions = [table.position for table in tables]

    def forward(self, rows: Tensor) -> Tensor:
        """[B, D] numbers and codes to [B, D'] numbers, in their order."""
        parts, start = [], 0
        for table, position in zip(self, self.positions, strict=True):
            codes, last = rows[:, position].long(), cast("nn.Embedding", table).num_embeddings - 1
            is_known = (codes >= 0) & (codes <= last)  # figures compute outputs beyond the codes, too
            parts += [rows[:, start:position], table(codes.clamp(0, last)) * is_known[:, None]]
            start = position + 1
        return torch.cat([*parts, rows[:, start:]], dim=1)


class Parallel(nn.ModuleList):
    """Several activations of the same values, summed in their order."""

    def forward(self, values: Tensor) -> Tensor:
        """[B, H] to [B, H]."""
        first, *others = self
        total: Tensor = first(values)
        for activation in others:
            total = total + activation(values)
        return total


class Elementwise(nn.Module):
    """A function of each value as a module, for activations that torch has no module of."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: Tensor) -> Tensor:
        """[B, H] to [B, H]."""
        return self.function(values)


class Sum(nn.Module):
    """What a block of layers returns plus its input; `label` is what tables call it."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def forward(self, values: Tensor, inputs: Tensor | float = 0.0) -> Tensor:
        """[B, H] and [B, H] to [B, H]."""
        return inputs + values


def layer_table(network: Network, inputs: int) -> list[LayerSummary]:
    """A row per layer in the order of computing, for `inputs` columns; the output activation comes last."""
    names = {module: name for name, module in network.named_modules()}
    rows: list[LayerSummary] = []
    shape: tuple[int, ...] = (inputs,)
    for stage in (*network.stages, network.output_activation):
        match stage:
            case nn.Linear():
                shape = (stage.out_features,)
            case nn.Embedding():
                shape = (*shape, stage.embedding_dim)
            case nn.Flatten():
                shape = (shape[0] * shape[1],)
        if not isinstance(stage, nn.Identity | nn.Flatten):
            parameters = sum(parameter.numel() for parameter in stage.parameters())
            rows.append(LayerSummary(names.get(stage, ""), _kind(stage), shape, parameters))
    return rows


def _kind(stage: nn.Module) -> str:
    """What a layer is, in words: `linear 2 -> 5`, `relu + tanh`, `dropout 0.5`."""
    match stage:
        case nn.Linear():
            bias = "" if stage.bias is not None else ", no bias"
            return f"linear {stage.in_features} -> {stage.out_features}{bias}"
        case nn.Embedding():
            return f"embedding of {stage.num_embeddings} in {stage.embedding_dim}"
        case Parallel():
            return " + ".join(map(_kind, stage))
        case Dropout():
            return f"dropout {stage.probability:g}"
        case nn.BatchNorm1d():
            return "batch norm"
        case nn.LayerNorm():
            return "layer norm"
    return str(getattr(stage, "label", type(stage).__name__.lower()))
