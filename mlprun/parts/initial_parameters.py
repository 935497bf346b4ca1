"""Initial parameters of a network as NumPy arrays, with PyTorch's bits and without importing it.

`initial_parameters` repeats what `Architecture.build` does. Whether it can is not assumed: the first time on
a machine, `matches_torch` compares both for every kind of initialiser, and remembers the result for this
version of PyTorch, NumPy and mlprun on this processor.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from mlprun import files
from mlprun.errors import FileError
from mlprun.parts import initializers, torch_random
from mlprun.parts.activations import Identity
from mlprun.parts.architectures import Architecture
from mlprun.parts.architectures.architecture import Embedding, OutputLayer
from mlprun.parts.architectures.mlp import Mlp
from mlprun.parts.architectures.rnn import Rnn
from mlprun.parts.initializers import (
    Initializer,
    Kaiming,
    LayerInit,
    ModuleInitializer,
    Normal,
    Shapes,
    Uniform,
    Xavier,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mlprun.parts.part import Dtype

MOST_NUMBERS = 2_000_000
"""parameters up to which NumPy draws; torch takes a tenth of the time and of the memory beside its import"""
EQUAL, DIFFERENT = b"equal\n", b"different\n"
_THREAD = threading.local()


def initial_parameters(
    architecture: Architecture, inputs: int, *, seed: int, dtype: Dtype
) -> dict[str, NDArray[Any]] | None:
    """Return the parameters of `architecture.build` after `torch.manual_seed(seed)` by name.

    The result is None if torch is needed: for orthogonal and truncated normal initialisers, files of weights,
    parts that users wrote, more than `MOST_NUMBERS` parameters, and where `matches_torch`
    is False. Raises UsageError as `build` does.
    """
    shapes = architecture.shapes(inputs) if _is_built_in(architecture) else None
    if shapes is None or sum(map(math.prod, shapes.values())) > MOST_NUMBERS:
        return None
    if not matches_torch():
        return None
    with suppress(NotImplementedError):
        return _drawn(architecture, shapes, generator(seed), dtype)
    return None


def generator(seed: int) -> torch_random.TorchGenerator:
    """Return this thread's generator as torch's is after `torch.manual_seed(seed)`.

    There is one for each thread, because NumPy takes longer to make one than to draw.
    """
    if not hasattr(_THREAD, "generator"):
        _THREAD.generator = torch_random.TorchGenerator(torch_random.cpu_capability() or "DEFAULT")
    made: torch_random.TorchGenerator = _THREAD.generator
    return made.manual_seed(seed)


def _is_built_in(part: Any) -> bool:
    return type(part).__module__.startswith("mlprun.parts.")


def _drawn(
    architecture: Architecture, shapes: Shapes, generator: torch_random.TorchGenerator, dtype: Dtype
) -> dict[str, NDArray[Any]]:
    """Draw the default of each layer, overwrite it, cast, and then set what is not drawn."""
    inits = architecture.all_inits
    overwritten: list[tuple[str, Initializer]] = [
        (f"{layer}.{kind}", getattr(init, kind))
        for layer, init in inits.items()
        for kind in ("weight", "bias")
        if f"{layer}.{kind}" in shapes
    ]
    unused = {name for name, initializer in overwritten if initializer.name != "default"}
    parameters = {name: _default(name, shapes, inits, generator, unused=name in unused) for name in shapes}
    named = getattr(architecture, "init", None)
    if not all(map(_is_built_in, (named, *(initializer for _, initializer in overwritten)))):
        raise NotImplementedError
    for name, initializer in overwritten:
        if initializer.is_random:
            parameters[name] = initializer.draw(shapes[name], generator)
    fixed = {
        name: initializer.draw(shapes[name], generator)
        for name, initializer in overwritten
        if not initializer.is_random and initializer.name != "default"
    }
    if isinstance(named, ModuleInitializer):
        fixed |= named.arrays(shapes)
    arrays = {name: np.asarray(array, dtype) for name, array in (parameters | fixed).items()}
    for name, shape in architecture.buffers.items():
        arrays[name] = np.full(shape, name.endswith("running_var"), dtype if shape else np.int64)
    return arrays


def _default(
    name: str,
    shapes: Shapes,
    inits: dict[str, LayerInit],
    generator: torch_random.TorchGenerator,
    *,
    unused: bool,
) -> NDArray[Any]:
    """Return what nn.Linear, nn.Embedding, nn.BatchNorm1d or nn.LayerNorm starts with; or only draw it."""
    layer, _, kind = name.rpartition(".")
    shape = shapes[name]
    if layer.startswith("embeddings."):
        return generator.normal(shape)
    if layer not in inits:  # a norm
        return np.full(shape, float(kind == "weight"), np.float32)
    if layer == "embedding":
        return generator.normal(shape)
    if unused:  # a uniform number takes one word
        generator.words(math.prod(shape))
        return np.zeros(shape, np.float32)
    if kind == "weight":
        return Kaiming(nonlinearity="leaky_relu", slope=math.sqrt(5)).draw(shape, generator)
    bound = 1 / math.sqrt(shapes[f"{layer}.weight"][1])
    return generator.uniform(shape, -bound, bound)


@cache
def matches_torch() -> bool:
    """Return True if weights drawn here have the bits of those that the installed torch draws on this CPU.

    Imports torch only if this is not known from an earlier process.
    """
    installation = _installation()
    if installation is None:
        return False
    folder = files.private_cache("weights")
    path = None if folder is None else os.path.join(folder, installation)
    with suppress(OSError, FileError):
        known = b"" if path is None else files.read_bytes(path, cap=len(DIFFERENT), follow=False)
        if known in (EQUAL, DIFFERENT):
            return known == EQUAL
    equal = _is_equal()
    if path is not None:
        with suppress(OSError, FileError):
            files.write_atomic(path, EQUAL if equal else DIFFERENT)
    return equal


def _installation() -> str | None:
    """Return a digest of all that decides about the bits, or None if they are not known to be equal."""
    spec, capability = PathFinder.find_spec("torch"), torch_random.cpu_capability()
    if spec is None or spec.origin is None or capability is None:
        return None
    folder = os.path.dirname(spec.origin)
    try:
        library = files.lstat(os.path.join(folder, "lib", "libtorch_cpu.so"))
        sources = (os.path.join(folder, "version.py"), initializers.__file__, torch_random.__file__, __file__)
        texts = [files.read_bytes(path, cap=10**6) for path in sources]
    except (OSError, FileError):
        return None
    versions = (sys.version, np.__version__, os.confstr("CS_GNU_LIBC_VERSION"), folder)
    facts = (versions, library.st_size, library.st_mtime_ns, capability, torch_random.cpu_features(), texts)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _is_equal() -> bool:
    """Return True if all of `_examples` and a permutation are equal to those of torch."""
    import torch

    permutation = torch.randperm(1000, generator=torch.Generator().manual_seed(3)).numpy()
    if not np.array_equal(permutation, generator(3).permutation(1000)):
        return False
    for seed, (architecture, inputs) in enumerate(_examples()):
        with torch_random.drawing(seed):
            state = architecture.build(inputs).state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        drawn = _drawn(architecture, shapes, generator(seed), "float32")
        if any(drawn[name].tobytes() != tensor.numpy().tobytes() for name, tensor in state.items()):
            return False
    return True


def _examples() -> Iterator[tuple[Architecture, int]]:
    """Yield networks that start in every way, with their inputs; some tensors have fewer than 16 numbers."""
    output: dict[str, Any] = {"outputs": 3, "output_activation": Identity()}
    rounded = Uniform(low=1e6, high=1e6 + 0.125)  # every fourth number would be `high`, and is `low`
    weights: list[Initializer] = [Uniform(low=-0.3, high=0.8), rounded, Normal(mean=0.7, std=1.3)]
    gains = get_args(Kaiming.model_fields["nonlinearity"].annotation)
    for distribution in get_args(Kaiming.model_fields["distribution"].annotation):
        weights.append(Xavier(distribution=distribution, gain=1.7))
        weights += [Kaiming(distribution=distribution, nonlinearity=gain, mode="fan_out") for gain in gains]
    biases = (Normal(mean=-0.3, std=0.2), Uniform(low=0.1, high=0.9))
    for number, weight in enumerate(weights):
        init = LayerInit(weight=weight, bias=biases[number % 2])
        yield Mlp(hidden=(7, 40), init=init, **output), 5
    large = LayerInit(weight=Normal())
    yield Mlp(hidden=(200,), init=large, output=OutputLayer(init=LayerInit()), **output), 200
    yield Mlp(hidden=(9, 30), norm="batch", **output), 4
    yield Mlp(hidden=(30,), norm="layer", embedding=Embedding(vocabulary=5, dim=7), **output), 4
    yield Rnn(hidden=20, **output), 6
