"""How parameters start: per tensor (normal, xavier, ...) or a whole module by name (values, file)."""

from mlprun.parts.initializers import draws, fans, named
from mlprun.parts.initializers.initializer import (
    Default,
    InitField,
    Initializer,
    InitializerField,
    LayerInit,
    LayerInitField,
    ModuleInitializer,
    initializers,
    module_initializers,
)

__all__ = [
    "Default",
    "InitField",
    "Initializer",
    "InitializerField",
    "LayerInit",
    "LayerInitField",
    "ModuleInitializer",
    "draws",
    "fans",
    "initializers",
    "module_initializers",
    "named",
]
